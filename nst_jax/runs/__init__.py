"""Runs from files to files: stylize, sweep, resume, rerun."""

from nst_jax.runs.run import (
    check_config,
    rerun,
    resume,
    stylize_files,
    sweep_files,
)

__all__ = [
    "check_config",
    "rerun",
    "resume",
    "stylize_files",
    "sweep_files",
]
