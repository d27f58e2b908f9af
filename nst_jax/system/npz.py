"""Arrays of an npz archive, known by shape and type before their values are read; no pickle."""

import math
import zipfile
from collections.abc import Callable
from functools import partial
from typing import IO, NamedTuple

import numpy as np

# Python inflates these no further than it is told to, and NumPy writes no others.
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# Bytes that are read at a time: a state of many gigabytes must not be there twice.
_PIECE = 2**24


class Entry(NamedTuple):
    """One array: shape and type, and `read`, which gives the values to who accepts the two."""

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]


def entry(archive: zipfile.ZipFile, name: str) -> Entry:
    """Looks at an array of an archive, without reading its values.

    Args:
      archive: open for reading.
      name: of the array, without the ending .npy.

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
        values = np.empty(math.prod(shape), dtype)
        found = values.view(np.uint8)
        for start in range(0, found.size, _PIECE):
            place = found[start : start + _PIECE]
            piece = member.read(place.size)
            # NumPy would repeat a single byte.
            if len(piece) < place.size:
                raise ValueError(f"{name} is shorter than it declares")
            place[:] = np.frombuffer(piece, np.uint8)
        if member.read(1):
            raise ValueError(f"{name} is longer than it declares")
    return values.reshape(shape, order="F" if fortran_order else "C")
