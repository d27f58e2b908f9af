"""The table of a study: what the judge gave, and what metrics say."""

from collections.abc import Iterable, Mapping

import numpy as np

Scores = Mapping[str, Mapping[str, float]]
"""`{recipe: {pair: score}}`."""

METRICS = ("chroma_speckle", "patch_distance", "style_distance", "border_saturation", "ssim")
"""Those that are told, the ones first that agree best with the eye (`docs/metrics.md`)."""


def table(scores: Scores, measured: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """A row for each recipe in Markdown, the one with the best mean score first.

    Beside the means over pairs stands on how many pairs a recipe is better and worse than the
    first row.

    Args:
      scores: of all recipes on the same pairs.
      measured: `{recipe: {pair: {metric: value}}}`.
    """
    order = sorted(scores, key=lambda recipe: -_mean(scores[recipe].values()))
    told = next(iter(next(iter(measured.values())).values()))
    names = [name for name in METRICS if name in told]
    titles = " | ".join(name.replace("_", " ") for name in names)
    lines = [
        f"| recipe | score | better, worse than the first | {titles} |",
        "|---|---:|---:|" + "---:|" * len(names),
    ]
    for recipe in order:
        better, worse = compared(scores[recipe], scores[order[0]])
        values = [_mean(each[name] for each in measured[recipe].values()) for name in names]
        cells = [recipe, f"{_mean(scores[recipe].values()):.2f}", f"{better}, {worse}"]
        lines.append("| " + " | ".join([*cells, *(f"{value:.3g}" for value in values)]) + " |")
    return "\n".join(lines) + "\n"


def compared(own: Mapping[str, float], other: Mapping[str, float]) -> tuple[int, int]:
    """On how many pairs the first is better, and on how many worse."""
    return (
        sum(own[pair] > other[pair] for pair in own),
        sum(own[pair] < other[pair] for pair in own),
    )


def _mean(values: Iterable[float]) -> float:
    return float(np.mean([*values]))
