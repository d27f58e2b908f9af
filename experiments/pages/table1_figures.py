"""Loss plots as in the report: the mean of each epoch, on the loss of each step."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from measuring import rows
from measuring.rows import EPOCH

from nst_jax.report import plotting
from nst_jax.runlog import RunRecord

MOST_DOTS = 60
"""Epoch means drawn as dots; more are a line."""


class PlotOf(NamedTuple):
    """A figure of the report: its curves (optimizer, rate) and the steps that it shows."""

    title: str
    curves: tuple[tuple[str, float], ...]
    steps: int


FIGURES = {
    "fig07.png": PlotOf("Figure 7: rate 0.02", (("adam", 0.02), ("adagrad", 0.02)), 250),
    "fig08.png": PlotOf("Figure 8: rate 0.1", (("adam", 0.1), ("adagrad", 0.1)), 250),
    "fig09.png": PlotOf(
        "Figure 9: rate 0.02", (("adam", 0.02), ("adagrad", 0.02), ("rmsprop", 0.02)), 500
    ),
    "fig10.png": PlotOf(
        "Figure 10: rate 0.02", (("adam", 0.02), ("adagrad", 0.02), ("rmsprop", 0.02)), 2500
    ),
    "fig10b.png": PlotOf(
        "Figure 10, the second: several rates",
        (
            ("adam", 0.02),
            ("adagrad", 0.02),
            ("rmsprop", 0.02),
            ("adagrad", 0.1),
            ("rmsprop", 0.001),
        ),
        2500,
    ),
}


def draw(record: RunRecord, plot: PlotOf) -> Figure:
    """Curves of each step with the means of the epochs on them."""
    columns = [rows.column_of(record, *curve) for curve in plot.curves]
    steps = rows.scaled(plot.steps, record.config["steps"])
    figure = plotting.loss_curves(_part(record, columns, steps))
    axes = figure.axes[0]
    for line in list(axes.lines):
        means = rows.epoch_means(line.get_ydata())
        middles = np.arange(len(means)) * EPOCH + (EPOCH - 1) / 2
        few = len(means) <= MOST_DOTS
        line.set(alpha=0.5 if few else 0.3, linewidth=0.9)
        marks = {"marker": "o", "ms": 3, "ls": ""} if few else {"lw": 1.6}
        axes.plot(middles, means, color=line.get_color(), **marks)
    shown = "dots" if steps // EPOCH <= MOST_DOTS else "strong"
    axes.set_title(
        f"{plot.title}, {steps / EPOCH:g} epochs (pale: each step, {shown}: epoch means)",
        fontsize=9,
    )
    return figure


def _part(record: RunRecord, columns: Sequence[int], steps: int) -> RunRecord:
    """Some variants of a log, up to a step."""
    return replace(
        record,
        variants=tuple(record.variants[i] for i in columns),
        rows=record.rows.of_variants(columns, slice(steps)),
    )
