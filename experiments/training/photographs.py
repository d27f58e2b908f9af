"""Photographs of a folder or a zip archive, as squares in batches."""

import io
import zipfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from nst_jax import image as images

_SUFFIXES = (*images.SUFFIXES, ".bmp", ".ppm")
# A GPU takes a photograph a millisecond, which is less than decoding one takes.
_STEPS_AHEAD = 8


class Photographs(NamedTuple):
    """Photographs that are read when they are asked for.

    Attributes:
      source: a folder or a zip archive.
      names: of its pictures, relative to it.
      read: the bytes of a name; from several threads at once.
    """

    source: Path
    names: tuple[str, ...]
    read: Callable[[str], bytes]

    def square(self, number: int, size: int) -> np.ndarray:
        """The largest central square of a photograph, (size, size, 3), RGB in [0, 1].

        Raises:
          ValueError: it is no picture; one line that names it.
        """
        name = self.names[number]
        try:
            with Image.open(io.BytesIO(self.read(name))) as picture:
                upright = ImageOps.exif_transpose(picture).convert("RGB")
        # Decoders raise errors of many kinds on damaged files.
        except Exception as error:
            raise ValueError(f"{self.source}: {name} is no picture: {error}") from None
        square = ImageOps.fit(upright, (size, size), Image.Resampling.LANCZOS)
        return images.from_uint8(np.asarray(square))


def found(source: Path, listed: str | None = None) -> Photographs:
    """The photographs of a folder, with those of folders in it, or of a zip archive.

    Args:
      source: the folder or archive.
      listed: the name of a text in it that names the ones to take, a line each; None: all.

    Raises:
      ValueError, OSError: it is neither, or has no pictures, or not the listed ones; one line.
    """
    members, read = _members(source)
    there = sorted(members)
    if listed is None:
        names = [name for name in there if PurePosixPath(name).suffix.lower() in _SUFFIXES]
    elif listed not in there:
        raise ValueError(f"{source} has no list {listed!r}")
    else:
        names = read(listed).decode().split()
        if missing := sorted(set(names) - set(there)):
            raise ValueError(f"{source} lacks {missing[0]}, which its list {listed!r} names")
    if not names:
        raise ValueError(f"{source} holds no pictures: expected {', '.join(_SUFFIXES)}")
    return Photographs(source, tuple(names), read)


def batches(
    photographs: Photographs, *, size: int, batch: int, seed: int, first: int, stop: int
) -> Iterator[np.ndarray]:
    """The photographs of each step, (batch, size, size, 3), those to come read in the meantime.

    All come once in an order of the seed, then once in another order, and so on: what a step sees
    depends on its number alone, so that an interrupted training goes on as if it had not been.

    Args:
      photographs: to be drawn from.
      size: side of the squares in pixels.
      batch: photographs a step.
      seed: of the orders.
      first, stop: steps, of which the last one is left out.
    """

    def of_step(step: int) -> list[Future[np.ndarray]]:
        places = range(step * batch, (step + 1) * batch)
        numbers = [number_of(photographs, place, seed) for place in places]
        return [readers.submit(photographs.square, number, size) for number in numbers]

    with ThreadPoolExecutor() as readers:
        coming = deque(of_step(step) for step in range(first, min(first + _STEPS_AHEAD, stop)))
        for step in range(first, stop):
            if step + _STEPS_AHEAD < stop:
                coming.append(of_step(step + _STEPS_AHEAD))
            yield np.stack([square.result() for square in coming.popleft()])


def number_of(photographs: Photographs, place: int, seed: int) -> int:
    """Which photograph comes at a place of the endless row.

    Args:
      photographs: as `batches`.
      place: from 0 up.
      seed: as `batches`.
    """
    count = len(photographs.names)
    turn, position = divmod(place, count)
    return int(np.random.default_rng([seed, turn]).permutation(count)[position])


def _members(source: Path) -> tuple[list[str], Callable[[str], bytes]]:
    """The names of all files, and what reads one."""
    if source.is_dir():
        files = [path for path in source.rglob("*") if path.is_file()]
        names = [path.relative_to(source).as_posix() for path in files]
        return names, lambda name: (source / name).read_bytes()
    if not source.exists():
        raise FileNotFoundError(f"{source}: no such folder or archive")
    if not zipfile.is_zipfile(source):
        raise ValueError(f"{source} is neither a folder nor a zip archive")
    # Opened once: reading the directory of a large archive takes longer than a photograph.
    archive = zipfile.ZipFile(source)
    return [name for name in archive.namelist() if not name.endswith("/")], archive.read
