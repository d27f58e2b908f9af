"""The contents of a run: folders become the pictures that are in them, by name."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from nst_jax import image as images
from nst_jax.config import (
    Config,
    StylizeConfig,
    at_stage,
    contents_of,
    name_in_folder,
    pictures_of,
    stages_of,
)
from nst_jax.runs import inputs, objectives
from nst_jax.runs.preparation import make_terms
from nst_jax.system.console import Say

_Config = TypeVar("_Config", bound=Config)


def listed(config: _Config, *, say: Say) -> _Config:
    """The settings with the pictures of folders in the place of the folders.

    A file of a folder that cannot be used is passed over, and that is said: it must not cost the
    others. One that is named by itself is refused later, as every wrong input is.

    Args:
      config: of a run, resolved.
      say: gets a line for each file that is passed over.

    Returns:
      The same settings without folders. Several pictures of `stylize` have a log, in the folder of
      the results, from which an interrupted run goes on.

    Raises:
      ValueError, OSError: a folder holds no picture, or two results would have one name; one line.
    """
    given = contents_of(config)
    check = _checking(config)
    found = [path for each in given for path in pictures_in(each, check, say)]
    has_folder = any(map(Path.is_dir, given))
    config = replace(config, content=found[0], contents=tuple(found[1:]))
    places = _places(config, has_folder) if isinstance(config, StylizeConfig) else {}
    return replace(config, **places)


def pictures_in(path: Path, check: Callable[[Path], object], say: Say) -> Iterator[Path]:
    """A picture, or those of a folder in natural order: 2.png before 10.png.

    Args:
      path: of a file, which is not looked at, or of a folder.
      check: raises a ValueError or OSError for a file that cannot be used.
      say: gets a line for each that is passed over.

    Raises:
      ValueError, OSError: the folder holds nothing to work with; one line.
    """
    if not path.is_dir():
        yield path
        return
    usable = False
    for each in sorted(path.iterdir(), key=in_natural_order):
        if each.name.startswith(".") or each.is_dir():
            continue
        try:
            check(each)
        except (ValueError, OSError) as error:
            say(f"note: passed over: {error}")
            continue
        usable = True
        yield each
    if not usable:
        raise ValueError(f"the folder {path} holds no picture to work with")


def in_natural_order(path: Path) -> list[str | int]:
    """What files are sorted by: 2.png before 10.png."""
    return [int(x) if i % 2 else x for i, x in enumerate(re.split("([0-9]+)", path.name))]


def _checking(config: Config) -> Callable[[Path], None]:
    """What refuses a file that is no picture, or too small at the first size of the run."""
    first = next(iter(stages_of(config)), None)
    own = at_stage(config, first) if first else config
    (size, _), aspect = own.longest_sides, own.aspect
    layers = objectives.layers_of(make_terms(config))

    def check(path: Path) -> None:
        with images.notes(lambda line: None):
            picture, _ = images.load_with_alpha(path, size=size, enlarge=own.enlarge, aspect=aspect)
        inputs.check_sizes({str(path): picture}, layers, config.arch)

    return check


def _places(config: StylizeConfig, has_folder: bool) -> dict[str, Any]:
    """Where results go, as far as it is another place than the settings say."""
    if config.contents:
        check_distinct(contents_of(config), pictures_of(config))
        return {"log": config.log or config.output / "run.h5"}
    if has_folder:
        # A folder of one picture has one result, where those of several would be.
        place = config.output / name_in_folder(config, config.content)
        return {"output": place, "suffix": None}
    if config.suffix is not None:
        raise ValueError(f"--suffix is for results in a folder: {config.output} has its own")
    return {}


def check_distinct(contents: Iterable[Path], results: Iterable[Path]) -> None:
    """Refuses two results of one name.

    Args:
      contents: what they are made of.
      results: as many.

    Raises:
      ValueError: one line that names both contents.
    """
    taken: dict[Path, Path] = {}
    for content, result in zip(contents, results, strict=True):
        if other := taken.get(result):
            raise ValueError(f"{other} and {content} would both become {result}: rename one")
        taken[result] = content
