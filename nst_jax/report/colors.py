"""The colors of curves, on a light and on a dark background: by term, and by learning rate."""

import itertools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex

from nst_jax.runlog import TOTAL, RunRecord


class Color(NamedTuple):
    """One color in the two shades that stand out from a light and from a dark background."""

    light: str
    dark: str


_CHOSEN = {
    "total": Color("#222", "#eee"),
    "style": Color("#c2410c", "#fb923c"),
    "content": Color("#1d4ed8", "#7aa2ff"),
    "total_variation": Color("#15803d", "#5cc98a"),
}
# A term for which no color has been chosen takes the next of these.
_SPARE = (
    Color("#7e22ce", "#c084fc"),
    Color("#a16207", "#facc15"),
    Color("#0e7490", "#22d3ee"),
    Color("#be185d", "#f472b6"),
)

# The ends of the color map are left out: yellow is too faint on white, violet on black.
_LEVELS = 16
_LIGHT, _DARK = (0.0, 0.8), (0.3, 1.0)


def of_terms(names: Iterable[str]) -> dict[str, Color]:
    """The color of the total and of each term of an objective.

    Args:
      names: of the terms.

    Returns:
      In the order in which curves are drawn: later ones cover earlier ones.
    """
    own = [TOTAL, *names]
    spare = zip(
        (term for term in own if term not in _CHOSEN), itertools.cycle(_SPARE), strict=False
    )
    return {term: color for term, color in _CHOSEN.items() if term in own} | dict(spare)


def ramp() -> list[Color]:
    """The colors of the levels of learning rates, low to high."""
    light, dark = (colormaps["plasma"](np.linspace(*ends, _LEVELS)) for ends in (_LIGHT, _DARK))
    return [Color(to_hex(each), to_hex(other)) for each, other in zip(light, dark, strict=True)]


def rate_class(rate: float, scale: tuple[float, float] | None) -> str:
    """The CSS class of a learning rate on a scale: its level, or `plain` if it has no place."""
    if scale is None or not 0 < rate < np.inf:
        return "plain"
    low, high = np.log10(scale)
    place = (np.log10(rate) - low) / (high - low) if high > low else 0.5
    return f"level{round(place * (_LEVELS - 1))}"


def rate_scales(record: RunRecord) -> dict[str, tuple[float, float]]:
    """The learning rates, least and greatest, of the colors of each optimizer.

    Optimizers whose ranges overlap share a scale; plain descent, at 1e-9, has its own.
    """
    groups: list[tuple[float, float, list[str]]] = []
    for name, own in sorted(_rates(record).items(), key=lambda item: min(item[1])):
        if groups and groups[-1][1] >= min(own):
            low, high, names = groups.pop()
            groups.append((low, max(high, *own), [*names, name]))
        else:
            groups.append((min(own), max(own), [name]))
    return {name: (low, high) for low, high, names in groups for name in names}


def _rates(record: RunRecord) -> dict[str, list[float]]:
    """The learning rates of each optimizer that have a place on a logarithmic scale."""
    rates: dict[str, list[float]] = {}
    for variant in record.variants:
        if 0 < variant.learning_rate < np.inf:
            rates.setdefault(variant.optimizer, []).append(variant.learning_rate)
    return rates
