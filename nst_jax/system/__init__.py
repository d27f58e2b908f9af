"""What lies between the program and its machine: files, locks, signals, memory, console."""

__all__ = ["console", "environment", "files", "memory"]
