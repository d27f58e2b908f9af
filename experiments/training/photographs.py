"""Photographs of a folder or a zip archive, as squares in batches."""

import io
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from nst_jax import image as images

_SUFFIXES = (*images.SUFFIXES, ".bmp", ".ppm")


class Photographs(NamedTuple):
    """Photographs that are read when they are asked for.

    Attributes:
      source: a folder or a zip archive.
      names: of its pictures, relative to it.
    """

    source: Path
    names: tuple[str, ...]

    def square(self, number: int, size: int) -> np.ndarray:
        """The largest central square of a photograph, (size, size, 3), RGB in [0, 1].

        Raises:
          ValueError: it is no picture; one line that names it.
        """
        name = self.names[number]
        try:
            with Image.open(io.BytesIO(_read(self.source, name))) as picture:
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
    there = sorted(_members(source))
    if listed is None:
        names = [name for name in there if PurePosixPath(name).suffix.lower() in _SUFFIXES]
    elif listed not in there:
        raise ValueError(f"{source} has no list {listed!r}")
    else:
        names = _read(source, listed).decode().split()
        if missing := sorted(set(names) - set(there)):
            raise ValueError(f"{source} lacks {missing[0]}, which its list {listed!r} names")
    if not names:
        raise ValueError(f"{source} holds no pictures: expected {', '.join(_SUFFIXES)}")
    return Photographs(source, tuple(names))


def batches(
    photographs: Photographs, *, size: int, batch: int, seed: int, first: int, stop: int
) -> Iterator[np.ndarray]:
    """The photographs of each step, (batch, size, size, 3), the next ones read in the meantime.

    All come once in an order of the seed, then once in another order, and so on: what a step sees
    depends on its number alone, so that an interrupted training goes on as if it had not been.

    Args:
      photographs: to be drawn from.
      size: side of the squares in pixels.
      batch: photographs a step.
      seed: of the orders.
      first, stop: steps, of which the last one is left out.
    """

    def of_step(step: int) -> np.ndarray:
        numbers = [number_of(photographs, i, seed) for i in range(step * batch, (step + 1) * batch)]
        return np.stack([photographs.square(number, size) for number in numbers])

    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(of_step, first)
        for step in range(first, stop):
            present = coming.result()
            if step + 1 < stop:
                coming = reader.submit(of_step, step + 1)
            yield present


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


def _members(source: Path) -> list[str]:
    if source.is_dir():
        return [path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()]
    if not source.exists():
        raise FileNotFoundError(f"{source}: no such folder or archive")
    if not zipfile.is_zipfile(source):
        raise ValueError(f"{source} is neither a folder nor a zip archive")
    with zipfile.ZipFile(source) as archive:
        return [name for name in archive.namelist() if not name.endswith("/")]


def _read(source: Path, name: str) -> bytes:
    if source.is_dir():
        return (source / name).read_bytes()
    with zipfile.ZipFile(source) as archive:
        return archive.read(name)
