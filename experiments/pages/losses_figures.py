"""Figures of the choices of a loss."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from measuring import yardstick
from measuring.yardstick import Measured


def draw_pictures(measured: Sequence[Measured]) -> Figure:
    """A row a group, a column a setting; content and style above."""
    groups = yardstick.groups_of(measured)
    first = measured[0].record
    columns = max(map(len, groups.values()))
    height, width = first.content.shape[:2]
    rows = len(groups) + 1
    size = (1.9 * columns + 0.4, rows * (1.9 * height / width + 0.3))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    for axes, picture, title in zip(
        grid[0], (first.content, *first.styles.values()), ("content", "style"), strict=False
    ):
        axes.imshow(picture)
        axes.set_title(title, fontsize=9)
    for axes_of_row, (name, members) in zip(grid[1:], groups.items(), strict=True):
        axes_of_row[0].set_ylabel(name, fontsize=9)
        for axes, each in zip(axes_of_row, members, strict=False):
            axes.imshow(each.record.images[0])
            axes.set_title(each.choice.label, fontsize=8)
    return figure


def draw_tradeoff(measured: Sequence[Measured]) -> Figure:
    """Style left against content lost; the settings of a group are joined in their order."""
    figure = Figure(figsize=(7.5, 5), layout="constrained")
    axes = figure.subplots()
    for place, (name, members) in enumerate(yardstick.groups_of(measured).items()):
        _draw_group(axes, f"C{place}", name, members)
    report = next(each for each in measured if each.is_report)
    place = (report.by.content, report.by.style)
    axes.plot(*place, "o", color="k", ms=7)
    axes.annotate("the report's loss", place, xytext=(6, 6), textcoords="offset points", fontsize=8)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel=f"content lost (at {yardstick.LAYER})",
        ylabel="style left to match",
    )
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    return figure


def _draw_group(axes: Axes, color: str, name: str, members: Sequence[Measured]) -> None:
    points = np.array([[each.by.content, each.by.style] for each in members])
    line = "o-" if name in ("content : style", "total variation") else "o"
    axes.plot(*points.T, line, color=color, ms=5, lw=1, alpha=0.8, label=name)
    for point, each in zip(points, members, strict=True):
        if not each.is_report:
            axes.annotate(
                each.choice.label, point, xytext=(4, 3), textcoords="offset points",
                fontsize=6.5, color=color,
            )  # fmt: skip
