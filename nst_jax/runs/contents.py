"""The contents of a run: folders become the pictures that are in them, by name."""

from collections.abc import Callable, Iterator
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
    found = [path for each in given for path in _pictures_in(each, check, say)]
    has_folder = any(map(Path.is_dir, given))
    config = replace(config, content=found[0], contents=tuple(found[1:]))
    places = _places(config, has_folder) if isinstance(config, StylizeConfig) else {}
    return replace(config, **places)


def _pictures_in(path: Path, check: Callable[[Path], None], say: Say) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    usable = False
    for each in sorted(path.iterdir()):
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
        _check_names(config)
        return {"log": config.log or config.output / "run.h5"}
    if has_folder:
        # A folder of one picture has one result, where those of several would be.
        place = config.output / name_in_folder(config, config.content)
        return {"output": place, "suffix": None}
    if config.suffix is not None:
        raise ValueError(f"--suffix is for results in a folder: {config.output} has its own")
    return {}


def _check_names(config: StylizeConfig) -> None:
    """Refuses two results of one name."""
    taken: dict[Path, Path] = {}
    for content, result in zip(contents_of(config), pictures_of(config), strict=True):
        if other := taken.get(result):
            raise ValueError(f"{other} and {content} would both become {result}: rename one")
        taken[result] = content
