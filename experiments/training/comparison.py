"""Networks beside optimization: the same goal on photographs that no network has seen."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.tree_util import Partial
from painting import paired_table

from nst_jax import feedforward, metrics, weights
from nst_jax import image as images
from nst_jax.compiler import Program
from nst_jax.report import plotting
from nst_jax.runs import judging
from nst_jax.solve import stylize
from nst_jax.system.console import note, say
from training import photographs
from training.problem import Goal, objective_of

OPTIMIZED = "Adam"
_JUDGED = ("ssim", "lpips", "style_distance", "patch_distance", "chroma_speckle")


class Painted(NamedTuple):
    """A photograph as one way has painted it.

    Attributes:
      picture: RGB in [0, 1], rounded to 8 bits.
      seconds: of painting, without compiling.
      total: its loss, by the objective of its photograph.
      worth: after how many evaluations Adam's loss is as low; None: not within its steps.
      metrics: what judges say that were not optimized.
    """

    picture: np.ndarray
    seconds: float
    total: float
    worth: int | None
    metrics: Mapping[str, float]


def networks_of(paths: Sequence[Path]) -> dict[str, Partial]:
    """Networks as functions of a photograph, by the names of their files.

    Raises:
      ValueError, OSError: a file is no network, or two have one name; one line.
    """
    if not paths:
        raise ValueError("there is nothing to compare: name networks by --networks")
    found: dict[str, Partial] = {}
    for path in paths:
        if path.stem in (*found, OPTIMIZED):
            raise ValueError(f"{path}: two ways would be called {path.stem}: rename one")
        network = weights.load_feedforward(path)
        found[path.stem] = feedforward.paint_fn(network.params, network.architecture)
    return found


def compare(
    goal: Goal,
    found: photographs.Photographs,
    style: np.ndarray,
    networks: Mapping[str, Partial],
    *,
    size: int,
    numbers: Sequence[int],
    num_steps: int,
    learning_rate: float,
    judges: metrics.Judges,
) -> list[dict[str, Painted]]:
    """Paints photographs in each way.

    Args:
      goal: that of the training.
      found: photographs.
      style: the painting, for judges, RGB in [0, 1].
      networks: by name.
      size: side of the squares in pixels.
      numbers: which photographs.
      num_steps: of Adam.
      learning_rate: of Adam.
      judges: networks that were not optimized.

    Returns:
      For each photograph what each way has made, Adam last.
    """
    rows = []
    for number in numbers:
        photo = found.square(number, size)
        objective, of_terms = _OBJECTIVE(goal, photo)
        started = time.perf_counter()
        optimized = stylize(
            objective, photo, of_terms, learning_rate=learning_rate, num_steps=num_steps
        )
        by_adam = (optimized.image, time.perf_counter() - started)
        made = {name: _timed(network, photo) for name, network in networks.items()}
        course = optimized.history.terms.total
        row = {}
        for name, (picture, seconds) in {**made, OPTIMIZED: by_adam}.items():
            rounded = images.from_uint8(images.to_uint8(np.clip(picture, 0, 1)))
            total = float(_LOSS(objective, rounded, of_terms))
            judged = metrics.measure(rounded, photo, style, judges)
            worth = num_steps if name == OPTIMIZED else worth_of(total, course)
            row[name] = Painted(rounded, seconds, total, worth, judged)
        totals = ", ".join(f"{name} {each.total:.4g}" for name, each in row.items())
        say(f"{found.names[number]}: {totals}")
        rows.append(row)
    return rows


def _timed(network: Partial, photo: np.ndarray) -> tuple[np.ndarray, float]:
    """A painting, and the seconds of painting it: compiled by a call before."""
    jax.block_until_ready(_PAINT(network, photo))
    started = time.perf_counter()
    painted = np.asarray(_PAINT(network, photo))
    return painted, time.perf_counter() - started


def worth_of(total: float, course: np.ndarray) -> int | None:
    """After how many evaluations a course of losses, (t,), is as low as a loss; None: never."""
    as_low = np.flatnonzero(course <= total)
    return int(as_low[0]) + 1 if len(as_low) else None


_OBJECTIVE = Program(objective_of)
_PAINT = Program(lambda paint, photo: paint(photo))
_LOSS = Program(lambda objective, picture, of_terms: objective(picture, of_terms)[0])


def table(rows: Sequence[Mapping[str, Painted]]) -> str:
    """Means over the photographs in Markdown; of what a network is worth the median and range."""
    judged = [name for name in _JUDGED if name in rows[0][OPTIMIZED].metrics]
    lines = [
        f"| way | seconds | loss | worth evaluations of Adam | {' | '.join(judged)} |",
        "|---|" + "---:|" * (3 + len(judged)),
    ]
    for name in rows[0]:
        own = [row[name] for row in rows]
        numbers = [
            f"{np.median([each.seconds for each in own]):.3g}",
            f"{np.mean([each.total for each in own]):.4g}",
            _worth([each.worth for each in own]),
            *(f"{np.mean([each.metrics[judge] for each in own]):.3g}" for judge in judged),
        ]
        lines.append(f"| {name} | {' | '.join(numbers)} |")
    return "\n".join(lines) + "\n"


def _worth(numbers: Sequence[int | None]) -> str:
    """Median and range; what Adam has not reached is more than all of its steps."""
    values = np.array([np.inf if each is None else each for each in numbers])
    words = ["over all" if np.isinf(x) else f"{x:.0f}" for x in (values.min(), values.max())]
    middle = np.median(values)
    return f"{'over all' if np.isinf(middle) else f'{middle:.0f}'} ({words[0]} to {words[1]})"


def paired(rows: Sequence[Mapping[str, Painted]]) -> str:
    """How Adam compares with each network, photograph by photograph, in Markdown."""
    ways = [OPTIMIZED, *(name for name in rows[0] if name != OPTIMIZED)]
    judged = {
        way: {str(i): {**row[way].metrics, "loss": row[way].total} for i, row in enumerate(rows)}
        for way in ways
    }
    return paired_table.table(judged)


def write(
    folder: Path,
    rows: Sequence[Mapping[str, Painted]],
    found: photographs.Photographs,
    numbers: Sequence[int],
    size: int,
) -> None:
    """Writes table.md, numbers.json, and a sheet of each photograph."""
    tables = [table(rows)]
    if len(rows) >= paired_table.LEAST:
        tables.append(paired(rows))
    (folder / "table.md").write_text("\n".join(tables), encoding="utf-8")
    plain: dict[str, Any] = {}
    for number, row in zip(numbers, rows, strict=True):
        plain[found.names[number]] = {
            name: {**each._asdict(), "metrics": dict(each.metrics), "picture": None}
            for name, each in row.items()
        }
        shown = [found.square(number, size), *(each.picture for each in row.values())]
        levels = [images.to_uint8(picture) for picture in shown]
        figure = plotting.side_by_side(levels, ("photograph", *row))
        plotting.save(figure, folder / f"sheet-{number:03}.png")
    (folder / "numbers.json").write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def load_judges(source: Path | None) -> metrics.Judges:
    """The networks that judge, as far as they are there."""
    return judging.load_panel(source, say=note).judges
