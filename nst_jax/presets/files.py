"""The files of presets: settings and terms by name, and where they come from."""

import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from nst_jax.config import TermSpec
from nst_jax.system import plain


@dataclass(frozen=True)
class Preset:
    """What a file says; the tables have fields of the settings of a single run.

    The settings name an objective, or the file has the terms of its own, as a file of
    `--objective` has them.

    Attributes:
      about: what it is for, in a few words.
      source: whose settings these are.
      version: of that source.
      date: when they were written down, as year, month and day.
      settings: what it sets.
      terms: what is minimized, by name; none: what the settings say, or the report's.
      preview: what it sets instead where the network's weights are random; none: the same.
      sweep: what it sets besides in a sweep, in the fields of one.
    """

    about: str
    source: str
    version: str
    date: str
    settings: dict[str, Any]
    terms: dict[str, TermSpec] = field(default_factory=dict)
    preview: dict[str, Any] = field(default_factory=dict)
    sweep: dict[str, Any] = field(default_factory=dict)


def names() -> list[str]:
    """The presets that there are."""
    found = (each.name.partition(".") for each in resources.files(__package__).iterdir())
    return sorted(name for name, _, ending in found if ending == "toml")


@cache
def load(name: str) -> Preset:
    """A preset by its name.

    Args:
      name: of `names`.

    Raises:
      ValueError: there is none of that name; one line that lists them.
    """
    preset: Preset = plain.read(tomllib.loads(text_of(name)), Preset)
    return preset


def text_of(name: str) -> str:
    """The file of a preset, with what it says about its source; arguments and errors as `load`."""
    if name not in names():
        raise ValueError(f"the preset must be one of {', '.join(names())}, got {name!r}")
    return (resources.files(__package__) / f"{name}.toml").read_text(encoding="utf-8")
