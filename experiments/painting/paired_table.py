"""Ways compared pair by pair, as tables in Markdown."""

from collections.abc import Mapping

import numpy as np
from measuring import paired

Judged = Mapping[str, Mapping[str, Mapping[str, float]]]
"""`{way: {pair: {metric: value}}}`."""

# Of each metric what is positive, and lower where the picture is better: ratios can be compared.
_LOWER = {
    "ssim": ("1 - SSIM", lambda value: 1 - value),
    "psnr": ("squared error (PSNR)", lambda value: 10 ** (-value / 10)),
    "lpips": ("LPIPS", float),
    "style_distance": ("style distance", float),
    "patch_distance": ("patch distance", float),
    "chroma_speckle": ("chroma speckle", float),
    "loss": ("loss", float),
}
_DECIDED = 0.05
LEAST = 6
"""Pairs, below which nothing can be decided."""


def table(judged: Judged) -> str:
    """For each metric the median of each way, and how the first compares with the others.

    Args:
      judged: of all ways on the same pairs; two ways and LEAST pairs at least.
    """
    lines = [
        "| metric, lower is better | way | median (95 %) | first against it | first better | p |",
        "|---|---|---:|---:|---:|---:|",
    ]
    told = next(iter(next(iter(judged.values())).values()))
    for metric in (name for name in _LOWER if name in told):
        lines += _rows(metric, judged)
    return "\n".join(lines) + "\n"


def _rows(metric: str, judged: Judged) -> list[str]:
    title, lower = _LOWER[metric]
    values = {
        way: np.array([lower(each[metric]) for each in own.values()]) for way, own in judged.items()
    }
    compared = paired.compare(values, with_first=True)
    first = next(iter(values))
    rows = [f"| {title} | {first} | {_interval(paired.median_of(values[first]))} | | | |"]
    for (_, way), found in compared.items():
        p = f"{found.adjusted:.2g}"
        cells = [
            "",
            way,
            _interval(paired.median_of(values[way])),
            _interval(found.ratio),
            f"{found.wins} of {len(values[way])}",
            f"**{p}**" if found.adjusted < _DECIDED else p,
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def _interval(found: paired.Interval) -> str:
    return f"{found.median:.3g} ({found.low:.3g} to {found.high:.3g})"


def matrix(losses: Mapping[str, Mapping[str, float]]) -> str:
    """The losses of pictures under each objective, `{painted by: {under: ratio}}`."""
    names = list(losses)
    lines = ["| painted by | " + " | ".join(f"under {name}" for name in names) + " |"]
    lines.append("|---|" + "---:|" * len(names))
    for by, own in losses.items():
        lines.append(
            "| " + " | ".join([by, *(f"{100 * own[name]:.3g} %" for name in names)]) + " |"
        )
    return "\n".join(lines) + "\n"


def costs(found: Mapping[str, tuple[float, float]]) -> str:
    """Seconds and megabytes of an evaluation by way, beside the first."""
    first = next(iter(found.values()))
    lines = ["| way | ms an evaluation | of the first | MB |", "|---|---:|---:|---:|"]
    for way, (seconds, megabytes) in found.items():
        ratio = seconds / first[0]
        lines.append(f"| {way} | {1e3 * seconds:.0f} | {ratio:.2f} | {megabytes:.0f} |")
    return "\n".join(lines) + "\n"
