"""Sheets that a judge sees without names, and what the judge says of them."""

import csv
import json
import random
import string
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nst_jax.report import plotting

Key = dict[str, str]
"""From the letter on a sheet to the recipe."""

_COLUMNS = ("pair", "letter", "score")


def shuffled(recipes: Sequence[str], pair: str) -> Key:
    """A letter for each recipe; another order in each pair, the same each time.

    Args:
      recipes: 26 at most.
      pair: whose sheet it is.

    Raises:
      ValueError: there are more.
    """
    if len(recipes) > len(string.ascii_uppercase):
        raise ValueError(f"a sheet has 26 letters, got {len(recipes)} recipes: name fewer")
    order = list(recipes)
    random.Random(f"sheet of {pair}").shuffle(order)
    return dict(zip(string.ascii_uppercase, order, strict=False))


def draw(path: Path, originals: Sequence[np.ndarray], painted: Mapping[str, np.ndarray]) -> None:
    """Writes a sheet: content and style, then the pictures under their letters."""
    titles = ("content", "style", *painted)
    figure = plotting.side_by_side((*originals, *painted.values()), titles)
    plotting.save(figure, path)


def write_key(path: Path, keys: Mapping[str, Key]) -> None:
    """Writes which letter is which recipe, for after the judgement."""
    path.write_text(json.dumps(keys, indent=1) + "\n", encoding="utf-8")


def check_key(path: Path, keys: Mapping[str, Key]) -> None:
    """Refuses letters that are other recipes than when the judge saw them.

    Raises:
      ValueError: the key that was written is another one; one line.
    """
    if json.loads(path.read_text(encoding="utf-8")) != keys:
        raise ValueError(
            f"{path} is of other recipes or pairs than those asked for: give the same, or another "
            "--output-dir"
        )


def scores(path: Path, keys: Mapping[str, Key]) -> dict[str, dict[str, float]]:
    """What the judge gave, `{recipe: {pair: score}}`.

    Args:
      path: a table with the columns pair, letter and score.
      keys: of each pair.

    Raises:
      ValueError: another table, or a letter that is on no sheet; one line.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or set(rows[0]) != set(_COLUMNS):
        raise ValueError(f"{path} must have rows with the columns {', '.join(_COLUMNS)}")
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        recipe = keys.get(row["pair"], {}).get(row["letter"])
        if recipe is None:
            raise ValueError(f"{path}: there is no sheet {row['pair']} with {row['letter']}")
        found.setdefault(recipe, {})[row["pair"]] = float(row["score"])
    return found
