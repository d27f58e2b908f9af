"""The state of an unfinished run, beside its log: whole or absent, without pickle."""

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nst_jax import files

_PROGRAM = np.asarray(0)


def path_of(log: Path) -> Path:
    """Where the checkpoint of a run log lies."""
    return log.with_name(log.name + ".checkpoint.npz")


def save(path: Path, state: Any, *, program: int) -> None:
    """Writes a state, on disk before it takes the place of the last one.

    Args:
      path: see `path_of`.
      state: any pytree of arrays.
      program: which program of the run it belongs to.
    """
    leaves: dict[str, Any] = {
        f"leaf{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(state))
    }
    with files.replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, program=program, **leaves)
        file.flush()
        os.fsync(file.fileno())


def program_of(path: Path) -> int | None:
    """Which program the checkpoint belongs to; None if there is no checkpoint.

    Raises:
      ValueError: the checkpoint is damaged.
    """
    if not path.exists():
        return None
    with _opened(path) as archive:
        return int(_read(archive, "program", _PROGRAM, path))


def load(path: Path, like: Any) -> Any:
    """Reads a state.

    Args:
      path: see `path_of`.
      like: a state of the same structure, shapes and types, e.g. that before the first step.

    Raises:
      ValueError: the checkpoint is of another run, or damaged.
    """
    expected, structure = jax.tree.flatten(like)
    with _opened(path) as archive:
        if len(archive.namelist()) != len(expected) + 1:
            raise _Other(path)
        leaves = [_read(archive, f"leaf{i}", leaf, path) for i, leaf in enumerate(expected)]
    return jax.tree.unflatten(structure, leaves)


class _Other(ValueError):
    def __init__(self, path: Path):
        super().__init__(f"{path} is the checkpoint of another run; remove it to start again")


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        if not path.is_file():
            raise ValueError("it is no file")
        with zipfile.ZipFile(path) as archive:
            yield archive
    except _Other:
        raise
    # A damaged archive raises errors of many kinds: BadZipFile, zlib.error, struct.error, ...
    except Exception as error:
        raise ValueError(
            f"{path} is a damaged checkpoint: {files.reason(error)}; remove it to start again"
        ) from error


def _read(archive: zipfile.ZipFile, name: str, like: Any, path: Path) -> np.ndarray:
    """One array; that it is as large as expected is known before its values are read."""
    with archive.open(f"{name}.npy") as member:
        if np.lib.format.read_magic(member) != (1, 0):
            raise ValueError(f"{name} has an unknown version")
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(member)
        if (shape, dtype) != (like.shape, like.dtype):
            raise _Other(path)
        values = np.frombuffer(member.read(like.nbytes), dtype)
        if member.read(1):
            raise ValueError(f"{name} is longer than it declares")
    return values.reshape(shape, order="F" if fortran_order else "C")
