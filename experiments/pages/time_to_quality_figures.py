"""Figures of time to quality."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from measuring.contest import Stage


def name_of(stage: Stage) -> str:
    """Of the file of a stage's figure."""
    return f"quality_{stage.settings['size']}.png"


def draw(stage: Stage) -> Figure:
    """How far above the target the median pair is, by evaluations and by seconds."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    by_evaluations, by_seconds = figure.subplots(1, 2, sharey=True)
    names = list(dict.fromkeys(way.name for way in stage.ways))
    for i, way in enumerate(stage.ways):
        style = {
            "color": f"C{names.index(way.name)}",
            "ls": "--" if way.precision == "float32" else "-",
            "lw": 1.6,
        }
        for axes, axis in ((by_evaluations, "evaluations"), (by_seconds, "seconds")):
            x, y = _median_curve(stage, i, axis)
            axes.plot(x, y, label=f"{way.name} in {way.precision}", **style)
            axes.plot(x[-1:], y[-1:], "o", color=style["color"], ms=4)
    by_evaluations.set(xlabel="evaluations", ylabel="loss, in parts of the target")
    shortest = min(course.seconds[1] for each in stage.courses for course in each)
    by_seconds.set(xlabel="seconds", xscale="log", xlim=(shortest / 2, None))
    for axes in (by_evaluations, by_seconds):
        axes.set(yscale="log", ylim=(0.98, 4))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_yticks((1, 1.1, 1.2, 1.5, 2, 3, 4))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*by_evaluations.get_legend_handles_labels(), loc="outside right", fontsize=8)
    return figure


def _median_curve(stage: Stage, way: int, axis: str) -> tuple[np.ndarray, np.ndarray]:
    """Where the median pair is, up to where the median pair stopped."""
    gone = stage.of(way)
    ends = [getattr(course, axis)[-1] for course in gone]
    x = np.linspace(0, float(np.median(ends)), 200)[1:]
    targets = [course.totals[-1] for course in stage.of(0)]
    curves = [
        np.interp(x, getattr(course, axis), np.log(course.best / target))
        for course, target in zip(gone, targets, strict=True)
    ]
    return x, np.exp(np.median(curves, axis=0))
