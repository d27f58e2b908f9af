"""The states of a run's programs, beside its log: each whole or absent, without pickle."""

import glob
import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nst_jax.system import files, npz

_PROGRAM = np.asarray(0)


def path_of(log: Path, program: int = 0) -> Path:
    """Where the checkpoint of a program of a run lies."""
    number = f"-{program}" if program else ""
    return log.with_name(f"{log.name}.checkpoint{number}.npz")


def all_of(log: Path) -> list[Path]:
    """The checkpoints of a run that there are."""
    endings = (".checkpoint.npz", ".checkpoint-[0-9]*.npz")
    found = [log.parent.glob(glob.escape(log.name) + ending) for ending in endings]
    return sorted(path for paths in found for path in paths)


def remove(log: Path) -> None:
    """Removes the checkpoints of a run."""
    for path in all_of(log):
        path.unlink(missing_ok=True)


def copy(source: Path, destination: Path) -> None:
    """Copies a checkpoint, on disk before it has its name."""
    with files.replacing(destination) as temporary:
        shutil.copyfile(source, temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())


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
            raise OtherRun(path)
        leaves = [_read(archive, f"leaf{i}", leaf, path) for i, leaf in enumerate(expected)]
    return jax.tree.unflatten(structure, leaves)


class OtherRun(ValueError):
    """A checkpoint that is not of this run."""

    def __init__(self, path: Path):
        super().__init__(f"{path} is the checkpoint of another run; remove it to start again")


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        if not path.is_file():
            raise ValueError("it is no file")
        with zipfile.ZipFile(path) as archive:
            yield archive
    except OtherRun:
        raise
    # A damaged archive raises errors of many kinds: BadZipFile, zlib.error, struct.error, ...
    except Exception as error:
        raise ValueError(
            f"{path} is a damaged checkpoint: {files.reason(error)}; remove it to start again"
        ) from error


def _read(archive: zipfile.ZipFile, name: str, like: Any, path: Path) -> np.ndarray:
    """One array, if it is as large as expected."""
    entry = npz.entry(archive, name)
    if (entry.shape, entry.dtype) != (like.shape, like.dtype):
        raise OtherRun(path)
    return entry.read()
