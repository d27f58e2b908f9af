"""Folders that the program knows without being told: its own, and the user's cache."""

from pathlib import Path

HOME = Path(__file__).resolve().parents[2]
"""The folder that holds the package: a checkout, or an installation's."""


def checkout() -> Path | None:
    """The folder that holds the package, if it is a checkout.

    Returns:
      The folder; None in an installation.
    """
    return HOME if (HOME / "pyproject.toml").is_file() else None


def cache_folder() -> Path:
    """Where downloads and compiled programs are kept, by the rules of the operating system."""
    # Who only asks for the checkout starts faster without pooch.
    import pooch

    return Path(pooch.os_cache("nst_jax"))
