"""Runs from files to files: stylize, sweep, resume, rerun."""

from nst_jax.runs.again import rerun, resume
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
    "Network",
    "Pictures",
    "Problem",
    "Run",
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
