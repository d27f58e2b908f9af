"""The `nst-jax` command: its entry point, its subcommands, and what they show."""

__all__ = ["inspection"]
