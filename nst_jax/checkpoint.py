"""The state of an unfinished run, beside its log: whole or absent, without pickle."""

import os
import zipfile
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nst_jax import files


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
    leaves = {f"leaf{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(state))}
    with files.replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, program=program, **leaves)
        file.flush()
        os.fsync(file.fileno())


def program_of(path: Path) -> int | None:
    """Which program the checkpoint belongs to; None if there is no checkpoint."""
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as arrays:
        return int(arrays["program"])


def load(path: Path, like: Any) -> Any:
    """Reads a state.

    Args:
      path: see `path_of`.
      like: a state of the same structure, shapes and types, e.g. that before the first step.

    Raises:
      ValueError: the checkpoint is of another run, or damaged.
    """
    expected, structure = jax.tree.flatten(like)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            leaves = [arrays[f"leaf{i}"] for i in range(len(expected))]
            complete = len(arrays.files) == len(expected) + 1
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is a damaged checkpoint: {error}") from error
    shapes = [(leaf.shape, leaf.dtype) for leaf in leaves]
    if not complete or shapes != [(leaf.shape, leaf.dtype) for leaf in expected]:
        raise ValueError(f"{path} is the checkpoint of another run; remove it to start again")
    return jax.tree.unflatten(structure, leaves)
