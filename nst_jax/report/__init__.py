"""One HTML page of a run log, figures, and the frames of its snapshots."""

from nst_jax.report.page import render, write

__all__ = ["frames", "plotting", "render", "write"]
