"""Arrays of an npz archive, known by shape and type before their values are read; no pickle."""

import math
import zipfile
from collections.abc import Callable
from functools import partial
from typing import IO, NamedTuple

import numpy as np

# What inflates no further than it is told to; NumPy writes nothing else.
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Entry(NamedTuple):
    """One array; `read` gives its values, for whom its shape and type will do."""

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]


def entry(archive: zipfile.ZipFile, name: str) -> Entry:
    """An array of an archive, by its name without the ending.

    Raises:
      Exception: of many kinds, if the archive is damaged.
    """
    if archive.getinfo(f"{name}.npy").compress_type not in _COMPRESSIONS:
        raise ValueError(f"{name} is compressed in another way than NumPy's")
    with archive.open(f"{name}.npy") as member:
        shape, _, dtype = _header(member, name)
    return Entry(shape, dtype, partial(_values, archive, name))


def _header(member: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    if np.lib.format.read_magic(member) != (1, 0):
        raise ValueError(f"{name} has an unknown version")
    return np.lib.format.read_array_header_1_0(member)


def _values(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(f"{name}.npy") as member:
        shape, fortran_order, dtype = _header(member, name)
        values = np.frombuffer(member.read(math.prod(shape) * dtype.itemsize), dtype)
        if member.read(1):
            raise ValueError(f"{name} is longer than it declares")
    return values.reshape(shape, order="F" if fortran_order else "C")
