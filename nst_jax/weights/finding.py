"""Finds weights: the places to look at, and their order.

Weights that nobody names are the first of

1. `$NST_JAX_WEIGHTS`, a path or "random";
2. `weights/` of the checkout, then `../shared/weights/` beside it;
3. the user's cache;
4. Keras's official file from its official host, checked by its checksum, kept in the cache.

A source that is named, by argument or variable, is used or is an error; it is never skipped.
"""

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nst_jax.choices import Arch
from nst_jax.system import files, places
from nst_jax.weights import official
from nst_jax.weights.formats import check_file

Kind = Literal["path", "environment", "checkout", "shared", "cache", "download", "random"]
"""How weights were found."""

VARIABLE = "NST_JAX_WEIGHTS"
"""The environment variable that names weights."""


@dataclass(frozen=True)
class Resolution:
    """Which weights would be used, and from where; nothing is read or downloaded for it."""

    kind: Kind
    arch: Arch
    path: Path | None
    """The file; for "download" where it would be kept; None for "random"."""
    tried: tuple[str, ...] = ()
    """The places that come before in the order, each with what was wrong there."""

    @property
    def name(self) -> str:
        """The name of the file, or "random"."""
        return self.path.name if self.path else "random"

    @property
    def description(self) -> str:
        """One line for people."""
        urls = " or ".join(official.urls(self.arch))
        where = {
            "path": f"{self.path}",
            "environment": f"{self.path} (named by ${VARIABLE})",
            "checkout": f"{self.path} (in the checkout)",
            "shared": f"{self.path} (beside the checkout)",
            "cache": f"{self.path} (downloaded before)",
            "download": f"to be downloaded from {urls} to {self.path}",
            "random": "random numbers, not a trained network",
        }
        return f"{self.arch}: {where[self.kind]}"


def resolve(source: str | os.PathLike[str] | None = None, *, arch: Arch = "vgg19") -> Resolution:
    """Which weights `load_params` would use; downloads nothing.

    A file in the checkout that cannot be used is passed over with a warning.

    Args:
      source: as `load_params`.
      arch: "vgg19" or "vgg16".

    Raises:
      ValueError: an unknown `arch`.
      OSError: the file that is named, by argument or variable, is not there or is a folder.
    """
    if arch not in official.FILES:
        raise ValueError(f"`arch` must be one of {', '.join(official.FILES)}, got {arch!r}")
    if source is not None:
        return _named(source, "path", arch)
    if variable := os.environ.get(VARIABLE):
        return _named(variable, "environment", arch)
    tried: list[str] = []
    for kind, path in _places(arch):
        problem = _problem(kind, path, arch)
        if problem is None:
            return Resolution(kind, arch, path, tuple(tried))
        tried.append(problem)
        if kind == "checkout" and path.exists():
            warnings.warn(f"weights passed over: {problem}", stacklevel=2)
    return Resolution("download", arch, official.cached_path(arch), tuple(tried))


def _named(source: str | os.PathLike[str], kind: Kind, arch: Arch) -> Resolution:
    if source == "random":
        return Resolution("random", arch, None)
    path = Path(source).expanduser()
    by = f" (named by ${VARIABLE})" if kind == "environment" else ""
    if path.is_dir():
        raise IsADirectoryError(f"weights {path}: expected a file, found a folder{by}")
    if not path.exists():
        raise FileNotFoundError(f"weights {path}: {files.absence(path)}{by}")
    return Resolution(kind, arch, path)


def _places(arch: Arch) -> Iterator[tuple[Kind, Path]]:
    """The files to look for without being told, in order."""
    checkout = places.checkout()
    if checkout:
        yield "checkout", checkout / "weights" / f"{arch}.h5"
        yield "checkout", checkout / "weights" / official.FILES[arch].name
        shared = checkout.parent / "shared" / "weights"
        # Without any file the pattern itself stands for them, to be told as tried in vain.
        for path in sorted(shared.glob("*.h5")) or [shared / "*.h5"]:
            yield "shared", path
    yield "cache", official.cached_path(arch)


def _problem(kind: Kind, path: Path, arch: Arch) -> str | None:
    """Why a file is of no use, or None."""
    if kind == "cache":
        return official.problem(path, arch)
    if not path.exists():
        return f"{path}: no such file"
    try:
        check_file(path, arch)
    except (ValueError, OSError) as error:
        return str(error)
    return None
