"""Which recipe paints best: pictures of many on a few pairs, sheets for the eye, a table.

    python experiments/recipe.py search pictures/
    python experiments/recipe.py untouched pictures/ --size 512

Hardware: two CPU cores; time: half a minute a picture of 256 pixels, over a minute one of 512.
`pictures/` holds the files that `painting/pairs.py` names; `docs/recipes.md` has the result.

A first call paints what is missing and writes a sheet of each pair, on which recipes have letters
in another order on each. A judge who has not seen key.json writes scores.csv beside the sheets
(columns pair, letter, score, more for a better picture). A second call writes table.md, by the
judge first and by metrics that were not optimized second.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import numpy as np
import tyro
from painting import comparison, sheets
from painting.pairs import SEARCHED_PAIRS, UNTOUCHED_PAIRS, Pair, files_of
from painting.recipes import COMPARED, SEARCHED, OfPreset, Recipe

from nst_jax import image as images
from nst_jax import runs
from nst_jax.runs import judging
from nst_jax.system import files
from nst_jax.system.console import exit_code_of, note, say

Item = TypeVar("Item")


@dataclass(frozen=True)
class Study:
    """Paint pairs of pictures by several recipes, and compare them."""

    part: tyro.conf.Positional[Literal["search", "untouched"]]
    """On which pairs, and which recipes: those of the search, or the chosen one beside others."""
    pictures: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="PICTURES")]
    """The folder of contents and styles."""
    output_dir: Path = Path("out/recipe")
    """Where pictures, sheets and tables go; what is there is not painted again."""
    size: int = 256
    """Longest side in pixels."""
    recipes: tuple[str, ...] = ()
    """Some of the recipes (default: all of the part)."""
    pairs: tuple[str, ...] = ()
    """Some of the pairs (default: all of the part)."""
    weights: str | None = None
    """A weights file, or "random" (default: see `nst-jax weights info`)."""
    judges: Path | None = None
    """The folder of the judges (default: see `nst-jax metrics --help`)."""

    @property
    def folder(self) -> Path:
        """Of this part and size."""
        return self.output_dir / f"{self.part}-{self.size}"

    @property
    def chosen_recipes(self) -> dict[str, Recipe | OfPreset]:
        """By name."""
        every = {"search": SEARCHED, "untouched": COMPARED}[self.part]
        return _chosen("recipe", every, self.recipes)

    @property
    def chosen_pairs(self) -> dict[str, Pair]:
        """By name."""
        every = {"search": SEARCHED_PAIRS, "untouched": UNTOUCHED_PAIRS}[self.part]
        return _chosen("pair", every, self.pairs)


def _chosen(kind: str, every: Mapping[str, Item], names: tuple[str, ...]) -> dict[str, Item]:
    """Those of these names, or all.

    Raises:
      ValueError: there is none of a name; one line.
    """
    if unknown := [name for name in names if name not in every]:
        raise ValueError(f"there is no {kind} {unknown[0]!r}: give {', '.join(every)}")
    return {name: every[name] for name in names or every}


def paint(settings: Study) -> None:
    """Paints the pictures that are not there, FOLDER/PAIR.RECIPE.png."""
    for pair, (content, style) in originals_of(settings).items():
        for name, recipe in settings.chosen_recipes.items():
            path = path_of(settings, pair, name)
            if path.exists():
                continue
            say(f"{pair} by {name}")
            config = recipe.config(content, style, path, size=settings.size)
            outcome = runs.stylize_files(replace(config, weights=settings.weights), say=_quiet)
            if outcome.record.status == "interrupted":
                # The next call would take what is there for a whole painting.
                path.unlink(missing_ok=True)
                raise SystemExit(outcome.exit_code)


def _quiet(line: object) -> None:
    """A hundred runs have no need to say where weights come from."""
    del line


def path_of(settings: Study, pair: str, recipe: str) -> Path:
    """The picture of a pair by a recipe."""
    return settings.folder / f"{pair}.{recipe}.png"


def originals_of(settings: Study) -> dict[str, tuple[Path, Path]]:
    """Content and style of each pair."""
    cropped = settings.output_dir / "cropped"
    return {
        name: files_of(pair, settings.pictures, cropped)
        for name, pair in settings.chosen_pairs.items()
    }


def draw_sheets(settings: Study) -> dict[str, sheets.Key]:
    """Writes a sheet of each pair, and which letter is which recipe."""
    names = [*settings.chosen_recipes]
    keys = {pair: sheets.shuffled(names, pair) for pair in settings.chosen_pairs}
    if scores_of(settings).is_file():
        sheets.check_key(settings.folder / "key.json", keys)
    for pair, originals in originals_of(settings).items():
        painted = {
            letter: _picture(path_of(settings, pair, recipe), settings.size)
            for letter, recipe in keys[pair].items()
        }
        originals_seen = [_picture(path, settings.size) for path in originals]
        sheets.draw(settings.folder / f"sheet-{pair}.png", originals_seen, painted)
    sheets.write_key(settings.folder / "key.json", keys)
    return keys


def scores_of(settings: Study) -> Path:
    """What the judge writes."""
    return settings.folder / "scores.csv"


def _picture(path: Path, size: int) -> np.ndarray:
    return images.to_uint8(images.load(path, size=size))


def measured(settings: Study) -> dict[str, dict[str, dict[str, float]]]:
    """What the metrics say of each picture, `{recipe: {pair: {metric: value}}}`."""
    judges = judging.load_panel(settings.judges, say=note).judges
    return {
        recipe: {
            pair: judging.of_picture(path_of(settings, pair, recipe), *originals, judges).metrics
            for pair, originals in originals_of(settings).items()
        }
        for recipe in settings.chosen_recipes
    }


def main(settings: Study) -> None:
    """Paints, draws the sheets, and writes the table once there are scores."""
    files.check_folder(settings.folder)
    paint(settings)
    keys = draw_sheets(settings)
    given = scores_of(settings)
    if not given.is_file():
        say(f"look at {settings.folder}/sheet-*.png, and write {given}")
        return
    table = comparison.table(sheets.scores(given, keys), measured(settings))
    path = settings.folder / "table.md"
    path.write_text(table, encoding="utf-8")
    say(f"wrote {path}")


def command() -> int:
    main(tyro.cli(Study, config=(tyro.conf.FlagCreatePairsOff,)))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(command))
