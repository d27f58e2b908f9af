"""Films as folders of frames and back, by OpenCV: its wheels carry FFmpeg without any GPL part."""

from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import numpy as np

from nst_jax.image import flows, writing
from nst_jax.image.arrays import to_uint8
from nst_jax.image.reading import load
from nst_jax.system import files

FILM_SUFFIX = ".mp4"
"""The ending of films that `write_film` writes: their pictures are coded by VP9."""
_CODEC = "vp09"


def unpack_film(path: Path, folder: Path) -> float:
    """Writes the frames of a film as `frame_000001.png` and so on, one at a time.

    Args:
      path: of any form that FFmpeg reads.
      folder: is made; what lies in it under these names is replaced.

    Returns:
      Frames a second.

    Raises:
      ValueError: it holds no frame that can be read; one line.
      ImportError: OpenCV is not installed.
      OSError: there is no such file, or a frame cannot be written.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: {files.absence(path)}; expected a film")
    cv2 = _cv2()
    film = cv2.VideoCapture(str(path))
    count = 0
    try:
        while True:
            is_there, frame = film.read()
            if not is_there:
                break
            count += 1
            levels = np.ascontiguousarray(frame[..., ::-1])
            writing.save(folder / f"frame_{count:06}.png", levels)
        rate = float(film.get(cv2.CAP_PROP_FPS))
    finally:
        film.release()
    if not count:
        raise ValueError(f"{path} is no film, or a damaged one: expected frames that FFmpeg reads")
    return rate if 0 < rate < 1000 else 24.0


def write_film(path: Path, frames: Iterable[Path], *, rate: float) -> None:
    """Writes a film of pictures of one size, whole or not at all.

    Args:
      path: ends in `FILM_SUFFIX`.
      frames: their files, in order, one at least.
      rate: frames a second, above 0.

    Raises:
      ValueError: another ending.
      ImportError: OpenCV is not installed.
      OSError: it cannot be written.
    """
    cv2 = _cv2()
    files.check_output(path, force=True, suffixes=(FILM_SUFFIX,))
    codec = cv2.VideoWriter_fourcc(*_CODEC)
    film = None
    with files.replacing(path) as temporary:
        for frame in frames:
            levels = to_uint8(load(frame))
            if film is None:
                size = levels.shape[1], levels.shape[0]
                film = cv2.VideoWriter(str(temporary), codec, rate, size)
            film.write(np.ascontiguousarray(levels[..., ::-1]))
        if film is not None:
            film.release()
        if not temporary.is_file():
            raise OSError(f"cannot write {path}: OpenCV's FFmpeg has no encoder for it here")


def _cv2() -> ModuleType:
    if not flows.opencv_version():
        raise ImportError("films are read and written by OpenCV: pip install 'nst_jax[video]'")
    import cv2

    module: ModuleType = cv2
    return module
