"""What lies between the program and its machine: files, locks, signals, memory, lines, versions."""

__all__ = ["console", "environment", "files"]
