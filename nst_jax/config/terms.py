"""The terms of an objective as plain values: in the log, in a file, and by name.

A file is TOML, a table `[terms.NAME]` each:

    layer_balance = "relative"            # may be left out

    [terms.style]
    kind = "wasserstein"                  # of `terms.KINDS`, or "package.module:function"
    layers = ["block1_conv1", "block2_conv1"]
    layer_weights = [2.0, 1.0]            # default: equal, with the sum 1
    weight = 1.0
    reference = "style"                   # the picture; default: that of the kind
    region = "sky"                        # default: all of the picture
    options = {epsilon = 1e-4}            # of the kind

A further objective by name is a file in `objectives/`.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from nst_jax.choices import LayerBalance
from nst_jax.system import files, plain

_MOST_BYTES = 100_000


@dataclass(frozen=True)
class TermSpec:
    """A term of an objective, not yet made.

    Attributes:
      kind: its function, by name.
      layers: of the network that it reads; none of a term of pixels.
      layer_weights: within the term, one a layer; none: 1 / number of layers each.
      weight: of the term.
      reference: the picture that it compares with; None: that of the kind.
      region: the name of a mask; None: all of the picture.
      options: of the kind.
    """

    kind: str
    layers: tuple[str, ...] = ()
    layer_weights: tuple[float, ...] = ()
    weight: float = 1.0
    reference: str | None = None
    region: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


Terms = Mapping[str, TermSpec]
"""The terms of an objective by name, in their order."""


class ObjectiveSpec(NamedTuple):
    """What an objective file says; `layer_balance` is None where it is silent."""

    terms: dict[str, TermSpec]
    layer_balance: LayerBalance | None = None


@dataclass(frozen=True)
class _File:
    terms: dict[str, TermSpec]
    layer_balance: LayerBalance | None = None


def names() -> list[str]:
    """The objectives that have a name."""
    folder = resources.files(__package__) / "objectives"
    found = (each.name.partition(".") for each in folder.iterdir())
    return sorted(name for name, _, ending in found if ending == "toml")


def text_of(source: str) -> str:
    """An objective as TOML.

    Args:
      source: a name, or the path of a file.

    Raises:
      ValueError: there is neither such a name nor such a file.
      OSError: the file cannot be read.
    """
    if source in names():
        folder = resources.files(__package__) / "objectives"
        return (folder / f"{source}.toml").read_text(encoding="utf-8")
    path = Path(source)
    if not path.is_file():
        reason = "it is a folder" if path.is_dir() else files.absence(path)
        raise ValueError(
            f"the objective must be {', '.join(names())} or a file of terms, got {source!r}: "
            f"{reason}"
        )
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{source} is no file of terms: it has more than {_MOST_BYTES:,} bytes")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{source} is no file of terms: it is not text") from None


def _parsed(source: str) -> dict[str, Any]:
    text = text_of(source)
    try:
        return tomllib.loads(text)
    # Python limits the digits of an int and the depth of a call.
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{source} is no TOML: {files.reason(error)}") from None


def load(source: str) -> ObjectiveSpec:
    """An objective by name or from a file; arguments and errors as `text_of`.

    Raises:
      ValueError: besides, what the file holds is not an objective; one line.
    """
    try:
        found = plain.read(_parsed(source), _File)
    except TypeError as error:
        raise ValueError(f"{source}: {error}") from None
    return ObjectiveSpec(found.terms, found.layer_balance)
