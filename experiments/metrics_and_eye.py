"""How often each metric puts two pictures in the order in which a person put them.

    python experiments/metrics_and_eye.py scores.csv

Hardware: two CPU cores; time: seconds a picture. `docs/metrics.md` has the result.

scores.csv has the columns picture, content, style and score: paths from its folder, and what a
person gave, more for a better picture. Compared are each two pictures of the same content, style
and size that got different scores. A metric agrees with such a pair if its better value is that of
the picture with the higher score; equal values count one half.
"""

import csv
import itertools
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tyro

from nst_jax import image as images
from nst_jax import metrics
from nst_jax.metrics import Judges
from nst_jax.runs import judging
from nst_jax.system.console import exit_code_of, note, say

_COLUMNS = ("picture", "content", "style", "score")


@dataclass(frozen=True)
class Agreement:
    """Compare metrics with scores that a person gave."""

    scores: tyro.conf.Positional[Path]
    """A table with the columns picture, content, style, score (.csv)."""
    judges: Path | None = None
    """The folder of the judges (default: see `nst-jax metrics --help`)."""


class Judged(NamedTuple):
    """A picture: what is compared only within, the person's score, the metrics."""

    group: tuple[str, str, int]
    score: float
    metrics: Mapping[str, float]


def read(path: Path) -> list[dict[str, str]]:
    """The rows of the table.

    Raises:
      ValueError: it has other columns.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or set(rows[0]) != set(_COLUMNS):
        raise ValueError(f"{path} must have rows with the columns {', '.join(_COLUMNS)}")
    return rows


def judged(row: Mapping[str, str], folder: Path, judges: Judges) -> Judged:
    """One row with the metrics of its picture."""
    picture, content, style = (folder / row[name] for name in ("picture", "content", "style"))
    found = judging.of_picture(picture, content, style, judges)
    size = max(images.load(picture).shape)
    return Judged((row["content"], row["style"], size), float(row["score"]), found.metrics)


def pairs(pictures: list[Judged]) -> Iterator[tuple[Judged, Judged]]:
    """Each two of a group that got different scores, the better one first."""
    groups = defaultdict(list)
    for picture in pictures:
        groups[picture.group].append(picture)
    for group in groups.values():
        for one, other in itertools.combinations(group, 2):
            if one.score != other.score:
                yield (one, other) if one.score > other.score else (other, one)


def agreement(name: str, better: Judged, worse: Judged) -> float:
    """1 if a metric puts them in this order, 0 if in the other, 1/2 if it sees no difference."""
    goodness = [_goodness(name, each.metrics[name]) for each in (better, worse)]
    return 0.5 if goodness[0] == goodness[1] else float(goodness[0] > goodness[1])


def _goodness(name: str, value: float) -> float:
    """More for a better value."""
    with np.errstate(divide="ignore"):
        signs = {"higher": value, "lower": -value, "near 1": -abs(np.log(value))}
    return float(signs[metrics.METRICS[name].better])


def main(settings: Agreement) -> None:
    """Prints the table in Markdown."""
    judges = judging.load_panel(settings.judges, say=note).judges
    folder = settings.scores.parent
    pictures = [judged(row, folder, judges) for row in read(settings.scores)]
    compared = list(pairs(pictures))
    say(f"| metric | agrees, of {len(compared)} pairs |\n|---|---:|")
    totals = {name: sum(agreement(name, *pair) for pair in compared) for name in judges.names}
    for name, total in sorted(totals.items(), key=lambda item: -item[1]):
        say(f"| `{name}` | {total:g} |")


def command() -> int:
    main(tyro.cli(Agreement, config=(tyro.conf.FlagCreatePairsOff,)))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(command))
