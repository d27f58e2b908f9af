"""Runs from files to files: stylize, sweep, resume, rerun; and networks applied to files."""

from nst_jax.runs.again import rerun, resume
from nst_jax.runs.application import Application, apply_files
from nst_jax.runs.checks import check_config
from nst_jax.runs.inputs import Network, check_same, load_mask
from nst_jax.runs.objectives import layers_of
from nst_jax.runs.preparation import (
    Run,
    load_network,
    load_pictures,
    make_terms,
    prepare,
    problem_of,
    sources_of,
)
from nst_jax.runs.problem import Pictures, Problem
from nst_jax.runs.run import stylize_files, sweep_files
from nst_jax.runs.video import video_files

__all__ = [
    "Application",
    "Network",
    "Pictures",
    "Problem",
    "Run",
    "apply_files",
    "check_config",
    "check_same",
    "estimate",
    "grid",
    "judging",
    "layers_of",
    "load_mask",
    "load_network",
    "load_pictures",
    "make_terms",
    "prepare",
    "problem_of",
    "rerun",
    "resume",
    "sources_of",
    "stylize_files",
    "sweep_files",
    "video_files",
]
