"""Figures of the study."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from measuring import measures, tuning
from measuring.measures import Runs
from measuring.tuning import Stage, Tuned, tuned_stage

from nst_jax.report import plotting
from pages.names import NAMES

COLORS = {
    "adam": "#1d4ed8",
    "rmsprop": "#c2410c",
    "adagrad": "#15803d",
    "sgd": "#6b7280",
    "lbfgs": "#7e22ce",
}


def draw_curves(first: Stage, second: Stage) -> Figure:
    """The median curve of each optimizer, its rate chosen on the other pairs."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    for axes, stage in zip(figure.subplots(1, 2, sharey=True), (first, second), strict=True):
        ends = []
        for name, each in tuned_stage(stage).items():
            relative = np.median(stage.runs[name].relative, axis=2)
            curve = np.median(relative[np.arange(len(relative)), each.choice], axis=0)
            axes.plot(curve, color=COLORS[name], lw=1.6)
            ends.append((float(curve[-1]), stage.budget, NAMES[name], {"color": COLORS[name]}))
        axes.set_yscale("log")
        axes.set(xlabel="gradient evaluations", title=f"{stage.budget} evaluations")
        _percent_axis(axes)
        plotting.label_ends(axes, sorted(ends, key=lambda end: end[0]))
    figure.axes[0].set_ylabel("loss left, of the start's")
    return figure


def draw_pairs(first: Stage, second: Stage) -> Figure:
    """The loss left of each pair under each optimizer."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    for axes, stage in zip(figure.subplots(1, 2, sharey=True), (first, second), strict=True):
        tuned = tuned_stage(stage)
        finals = np.stack([each.final for each in tuned.values()])
        axes.plot(finals, color="#bbbbbb", lw=0.8, zorder=1)
        for place, (name, each) in enumerate(tuned.items()):
            axes.plot(np.full(len(each.final), place), each.final, "o", color=COLORS[name], ms=4)
            axes.plot([place - 0.25, place + 0.25], [np.median(each.final)] * 2, color="k", lw=1.6)
        axes.set_yscale("log")
        axes.set_xticks(range(len(tuned)), [NAMES[name].replace(" ", "\n") for name in tuned])
        axes.set_title(f"{stage.budget} evaluations")
        _percent_axis(axes)
    figure.axes[0].set_ylabel("loss left, of the start's")
    figure.supxlabel("a line is a pair of pictures, a bar the median of an optimizer", fontsize=9)
    return figure


def draw_rates(first: Stage, second: Stage) -> Figure:
    """The loss left against the rate at several budgets, a panel an optimizer."""
    names = [name for name in first.runs if name != "lbfgs"]
    figure = Figure(figsize=(9, 6.4), layout="constrained")
    for axes, name in zip(figure.subplots(2, 2, sharey=True).flat, names, strict=True):
        _draw_first(axes, first.runs[name], tuning.budgets(first), COLORS[name])
        _draw_longer(axes, second.runs[name])
        axes.axhline(1, color="#b91c1c", lw=0.8, ls=":")
        axes.set(xscale="log", yscale="log", title=NAMES[name], xlabel="learning rate")
        highest = np.max(np.median(measures.after(first.runs[name], first.budget // 4), axis=0))
        # A rate that explodes would press all others together; the table has its number.
        axes.set_ylim(top=4 if highest > 4 else None)
        _percent_axis(axes)
        axes.legend(fontsize=8, frameon=False)
    for axes in figure.axes[::2]:
        axes.set_ylabel("loss left, of the start's")
    figure.supxlabel(
        f"medians over the pairs, after {first.budget} evaluations with their quartiles; dotted: "
        "no better than the start",
        fontsize=9,
    )
    return figure


def _draw_first(axes: Axes, runs: Runs, budgets: Sequence[int], color: str) -> None:
    """The medians after each budget, and the quartiles after the last."""
    for budget, alpha in zip(budgets, (0.35, 0.6, 1.0), strict=True):
        finals = measures.after(runs, budget)
        axes.plot(
            runs.rates, np.median(finals, axis=0), "o-",
            color=color, alpha=alpha, ms=3.5, label=f"{budget} evaluations",
        )  # fmt: skip
    axes.fill_between(
        runs.rates, *np.quantile(finals, (0.25, 0.75), axis=0), color=color, alpha=0.12
    )


def _draw_longer(axes: Axes, runs: Runs) -> None:
    axes.plot(
        runs.rates, np.median(measures.after(runs, runs.budget), axis=0), "s--",
        color="k", ms=4, lw=1.2, label=f"{runs.budget} evaluations",
    )  # fmt: skip


def _percent_axis(axes: Axes) -> None:
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def draw_pictures(first: Stage, second: Stage) -> Figure:
    """What each optimizer makes of a content with a style of its own, at equal budget."""
    del first
    tuned = tuned_stage(second)
    rows = _pictures(second, tuned)
    titles = ["content", "style", *(NAMES[name] for name in tuned)]
    height = rows[0][0].shape[0] / rows[0][0].shape[1]
    figure = Figure(figsize=(12, 12 / len(titles) * height * len(rows) + 0.6), layout="constrained")
    grid = figure.subplots(len(rows), len(titles), squeeze=False)
    for axes_of_row, pictures in zip(grid, rows, strict=True):
        for axes, picture in zip(axes_of_row, pictures, strict=True):
            axes.imshow(picture)
            axes.set_axis_off()
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize=10)
    return figure


def _pictures(stage: Stage, tuned: Mapping[str, Tuned]) -> list[list[UInt8[np.ndarray, "h w 3"]]]:
    """A row a content: itself, the style that has its place, and the results."""
    rows = []
    for number, record in enumerate(stage.records):
        styles = list(record.styles.values())
        place = number % len(styles)
        pair = number * len(styles) + place
        results = [
            stage.runs[name].pictures[pair][each.choice[pair]] for name, each in tuned.items()
        ]
        rows.append([record.content, styles[place], *results])
    return rows


FIGURES = {
    "study_curves.png": draw_curves,
    "study_pairs.png": draw_pairs,
    "study_rates.png": draw_rates,
    "study_pictures.jpg": draw_pictures,
}
