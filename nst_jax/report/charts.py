"""The charts of the page: which curves they hold, on which axes, and where each line stands."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from matplotlib.ticker import MaxNLocator

from nst_jax.report import colors, layout, terms, words
from nst_jax.runlog import RunRecord, labels

_MAX_LABELS = 12
_MAX_LETTERS = 20
_MAX_POINTS = 200
# The height of a line of text and the width of a letter, in units of a chart.
_LINE, _LETTER = 14.0, 6.3


class Frame(NamedTuple):
    """A chart and the margins of its plot, in units of which a phone shows about one a pixel."""

    width: int = 420
    height: int = 290
    left: int = 44
    top: int = 10
    bottom: int = 42


class Curve(NamedTuple):
    """What a chart draws: the CSS class names the color, a label is written at the end."""

    name: str
    label: str
    css_class: str
    steps: Int[np.ndarray, "t"]
    values: Float[np.ndarray, "t"]
    diverged: bool


class Axes(NamedTuple):
    """The ranges that all charts of a page share: steps, and log10 of the loss."""

    last_step: int
    low: float
    high: float


class Plot(NamedTuple):
    """Where the curves of a chart are drawn; its upper left corner is (0, 0)."""

    axes: Axes
    width: int | float
    height: int

    def x(self, step):
        """The place of a step, or of an array of them."""
        return step / max(self.axes.last_step, 1) * self.width

    def y(self, log):
        """The place of the log10 of a loss, or of an array of them."""
        return (self.axes.high - log) / (self.axes.high - self.axes.low) * self.height


class Line(NamedTuple):
    """A curve as it is drawn: its points, its end (x, y), and the place of its label there."""

    name: str
    label: str
    css_class: str
    diverged: bool
    points: str
    last: str
    x: float
    y: float
    is_last: bool
    place: float = 0.0


class Chart(NamedTuple):
    """The lines and texts of a chart; `key`: the least and greatest learning rate of its colors."""

    name: str
    description: str
    lines: list[Line]
    labeled: bool
    width: int | float
    height: int
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    key: tuple[str, str] | None


FRAME = Frame()
"""Of every chart."""


def panels(record: RunRecord) -> dict[str, list[Curve]]:
    """The curves of each chart: an optimizer of a sweep, or the terms of a single run.

    Curves without a value are left out.
    """
    single = len(record.variants) == 1
    panels = {"": _term_curves(record)} if single else _rate_curves(record)
    panels = {name: [c for c in panel if len(c.values)] for name, panel in panels.items()}
    return {name: panel for name, panel in panels.items() if panel}


def late(record: RunRecord, panels: dict[str, list[Curve]]) -> dict[str, int]:
    """The curves that begin after the first row, and where: before, their loss was zero."""
    curves = [curve for panel in panels.values() for curve in panel]
    return {
        curve.name: int(curve.steps[0]) for curve in curves if curve.steps[0] > record.rows.step[0]
    }


def charts(record: RunRecord, panels: dict[str, list[Curve]]) -> list[Chart]:
    """A chart of each panel, all on the same axes."""
    if not panels:
        return []
    axes = _shared_axes([curve for panel in panels.values() for curve in panel])
    keys = {} if len(record.variants) == 1 else colors.rate_scales(record)
    return [_chart(name, panel, axes, keys.get(name)) for name, panel in panels.items()]


def _term_curves(record: RunRecord) -> list[Curve]:
    diverged = record.variants[0].status == "diverged"
    return [
        _curve(record, terms.name(term), "", f"term-{term}", values[:, 0], diverged)
        for term, values in terms.weighted_terms(record).items()
    ]


def _rate_curves(record: RunRecord) -> dict[str, list[Curve]]:
    """The totals of the variants, by optimizer."""
    scales = colors.rate_scales(record)
    panels: dict[str, list[Curve]] = {}
    for i, variant in enumerate(record.variants):
        curve = _curve(
            record,
            variant.label,
            variant.label.removeprefix(variant.optimizer).strip(),
            colors.rate_class(variant.learning_rate, scales.get(variant.optimizer)),
            record.rows.total[:, i],
            variant.status == "diverged",
        )
        panels.setdefault(variant.optimizer, []).append(curve)
    return panels


def _curve(
    record: RunRecord, name: str, label: str, css_class: str, values: np.ndarray, diverged: bool
) -> Curve:
    kept = _thinned(values)
    return Curve(name, label or name, css_class, record.rows.step[kept], values[kept], diverged)


def _thinned(values: Float[np.ndarray, "t"]) -> Int[np.ndarray, "n"]:
    """Places of `_MAX_POINTS` values at most: the ends, lowest and highest of each stretch.

    What a log axis has no place for is left out: NaN, infinity, zero.
    """
    good = np.flatnonzero(np.isfinite(values) & (values > 0))
    if len(good) <= _MAX_POINTS:
        return good
    stretches = np.array_split(good, _MAX_POINTS // 2 - 1)
    extremes = [s[pick(values[s])] for s in stretches for pick in (np.argmin, np.argmax)]
    return np.unique([good[0], *extremes, good[-1]])


def _shared_axes(curves: Sequence[Curve]) -> Axes:
    """Ranges that hold all curves, but for what rises far above all starts: that leaves the top."""
    low = math.log10(min(curve.values.min() for curve in curves))
    start = math.log10(max(curve.values[0] for curve in curves))
    high = min(math.log10(max(curve.values.max() for curve in curves)), start + 0.5)
    # Equal curves too need a range that holds a few ticks, and every curve a margin.
    middle, half = (low + high) / 2, max((high - low) / 2, 0.25) * 1.04
    last = max(int(curve.steps[-1]) for curve in curves)
    return Axes(last, middle - half, middle + half)


def _chart(
    name: str, curves: Sequence[Curve], axes: Axes, key: tuple[float, float] | None
) -> Chart:
    labeled = len(curves) <= _MAX_LABELS
    names = labels.brief([curve.label for curve in curves], _MAX_LETTERS)
    right = _margin(names) if labeled else 12
    plot = Plot(axes, FRAME.width - FRAME.left - right, FRAME.height - FRAME.top - FRAME.bottom)
    lines = _lines(curves, names, plot)
    return Chart(
        name,
        description=_described(name, curves, axes),
        lines=_with_places(lines, plot.height) if labeled else lines,
        labeled=labeled,
        width=plot.width,
        height=plot.height,
        x_ticks=[(plot.x(tick), words.number(int(tick))) for tick in _step_ticks(axes.last_step)],
        y_ticks=[(plot.y(np.log10(tick)), words.power(tick)) for tick in _loss_ticks(axes)],
        key=(words.number(key[0]), words.number(key[1])) if key and key[0] < key[1] else None,
    )


def _margin(names: Sequence[str]) -> float:
    """Room for the labels on the right; dots are as wide as two letters."""
    return 30 + _LETTER * max(len(name) + name.count("…") for name in names)


def _lines(curves: Sequence[Curve], names: Sequence[str], plot: Plot) -> list[Line]:
    last_step = max(curve.steps[-1] for curve in curves)
    return [_line(curve, name, plot, last_step) for curve, name in zip(curves, names, strict=True)]


def _line(curve: Curve, label: str, plot: Plot, last_step: int | np.integer) -> Line:
    logs = np.log10(curve.values)
    step, log = _visible_end(curve.steps, logs, plot.axes.high)
    points = zip(plot.x(curve.steps).tolist(), plot.y(logs).tolist(), strict=True)
    return Line(
        curve.name,
        label,
        curve.css_class,
        curve.diverged,
        points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points),
        last=words.number(float(curve.values[-1])),
        x=round(plot.x(step), 1),
        y=round(plot.y(log), 1),
        is_last=bool(step == last_step),
    )


def _with_places(lines: Sequence[Line], height: int) -> list[Line]:
    """The lines from top to bottom, with the places of their labels."""
    lines = sorted(lines, key=lambda line: line.y)
    places = layout.spread([line.y for line in lines], _LINE, low=4.0, high=height - 4.0)
    return [line._replace(place=round(place, 1)) for line, place in zip(lines, places, strict=True)]


def _visible_end(
    steps: Int[np.ndarray, "t"], logs: Float[np.ndarray, "t"], high: float
) -> tuple[float, float]:
    """Where a curve ends, or leaves the chart at its top for good."""
    inside = np.flatnonzero(logs <= high)
    if not len(inside):
        return float(steps[0]), high
    last = inside[-1]
    if last == len(logs) - 1:
        return float(steps[-1]), float(logs[-1])
    return float(np.interp(high, logs[last : last + 2], steps[last : last + 2])), high


def _described(name: str, curves: Sequence[Curve], axes: Axes) -> str:
    """A chart in words, for those who do not see it."""
    ends = sorted((float(curve.values[-1]), curve.name) for curve in curves)
    listed = ends if len(ends) <= _MAX_LABELS else [ends[0], ends[-1]]
    text = ", ".join(f"{label} {words.number(value)}" for value, label in listed)
    what = f"Total loss of {len(ends)} variants of {name}" if name else "The weighted loss terms"
    return f"{what} over {axes.last_step} steps on a logarithmic axis. Last values: {text}."


def _step_ticks(last: int) -> Float[np.ndarray, "n"]:
    locator = MaxNLocator(nbins=6, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)
    ticks = np.asarray(locator.tick_values(0, max(last, 1)))
    return ticks[ticks <= max(last, 1)]


def _loss_ticks(axes: Axes) -> list[float]:
    """Three to seven or so round numbers."""
    decades = range(int(np.floor(axes.low)), int(np.ceil(axes.high)) + 1)
    for mantissas in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
        ticks = [m * 10.0**n for n in decades for m in mantissas]
        ticks = [tick for tick in ticks if axes.low <= np.log10(tick) <= axes.high]
        if len(ticks) >= 3:
            break
    return ticks[:: -(-len(ticks) // 7)]
