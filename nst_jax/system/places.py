"""Folders that the program knows without being told: its own, and the user's cache."""

from pathlib import Path

HOME = Path(__file__).resolve().parents[2]
"""The folder that holds the package: a checkout, or an installation's."""


def checkout() -> Path | None:
    """The folder that holds the package, if that is a checkout rather than an installation."""
    return HOME if (HOME / "pyproject.toml").is_file() else None


def cache_folder() -> Path:
    """Where downloads and compiled programs are kept, by the rules of the operating system."""
    # The children of `sandbox` and `check` import this module, and need no downloads.
    import pooch

    return Path(pooch.os_cache("nst_jax"))
