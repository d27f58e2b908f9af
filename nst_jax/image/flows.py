"""Optical flow as files, and computed of two pictures by OpenCV.

A flow is a float32 array (height, width, 2): (x, y) in pixels, not a number where it is not known.
"""

import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from jaxtyping import Float

from nst_jax.image.arrays import to_uint8
from nst_jax.image.decoding import MAX_PIXELS
from nst_jax.system import files, npz

FLOW_SUFFIXES = (".flo", ".npz")
"""The endings of files of flow, in lower case."""
# The number 202021.25 in float32, with which a .flo begins, and the value from which on nothing is
# known: both of the Middlebury benchmark.
_MAGIC, _UNKNOWN = b"PIEH", 1e9


def load_flow(path: Path) -> Float[np.ndarray, "h w 2"]:
    """Reads a flow.

    Args:
      path: a .flo of the Middlebury benchmark, or an .npz with the array `flow`, (h, w, 2).

    Raises:
      ValueError: it is no flow, or damaged; one line.
      OSError: there is no such file, or it may not be read.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: {files.absence(path)}; expected a flow")
    try:
        flow = _of_npz(path) if path.suffix.lower() == ".npz" else _of_flo(path)
    # A damaged archive raises errors of many kinds.
    except Exception as error:
        raise ValueError(
            f"{path} is no flow, or a damaged one: {files.reason(error)}; expected {_expected()}"
        ) from error
    is_known = np.isfinite(flow) & (np.abs(flow) < _UNKNOWN)
    return np.where(is_known, flow, np.nan).astype(np.float32)


def _expected() -> str:
    return "a .flo, or an .npz with the array `flow` of (height, width, 2)"


def _of_npz(path: Path) -> np.ndarray:
    with zipfile.ZipFile(path) as archive:
        found = npz.entry(archive, "flow")
        if len(found.shape) != 3 or found.dtype.kind != "f":
            raise ValueError(f"its array has the shape {found.shape} and the type {found.dtype}")
        _check_shape(*found.shape)
        return found.read()


def _of_flo(path: Path) -> np.ndarray:
    with path.open("rb") as file:
        if file.read(4) != _MAGIC:
            raise ValueError("it does not begin as a .flo does")
        width, height = np.frombuffer(file.read(8), "<i4")
        _check_shape(int(height), int(width), 2)
        values = file.read(int(height) * int(width) * 8 + 1)
    return np.frombuffer(values, "<f4").reshape(height, width, 2)


def _check_shape(height: int, width: int, count: int) -> None:
    if count != 2 or min(height, width) < 2 or height * width > MAX_PIXELS:
        raise ValueError(f"its shape is {height} x {width} x {count}")


def save_flow(path: Path, flow: Float[np.ndarray, "h w 2"]) -> None:
    """Writes a flow, whole or not at all.

    Args:
      path: ends in one of `FLOW_SUFFIXES`.
      flow: see the top of this module.

    Raises:
      ValueError: another ending.
      OSError: it cannot be written.
    """
    files.check_output(path, force=True, suffixes=FLOW_SUFFIXES)
    with files.replacing(path) as temporary:
        if path.suffix.lower() == ".npz":
            np.savez_compressed(temporary, flow=flow.astype(np.float32))
            return
        known = np.where(np.isfinite(flow), flow, 10 * _UNKNOWN).astype("<f4")
        size = np.array(flow.shape[1::-1], "<i4")
        temporary.write_bytes(_MAGIC + size.tobytes() + known.tobytes())


def opencv_version() -> str | None:
    """That of the library that computes flow; None: it is not installed."""
    if not find_spec("cv2"):
        return None
    import cv2

    return str(cv2.__version__)


def compute_flow(
    picture: Float[np.ndarray, "h w 3"], other: Float[np.ndarray, "h w 3"]
) -> Float[np.ndarray, "h w 2"]:
    """The flow from one picture to another by dense inverse search, OpenCV's.

    Args:
      picture: RGB in [0, 1].
      other: of the same size.

    Returns:
      Known everywhere, a guess where the other picture does not show the point.

    Raises:
      ImportError: OpenCV is not installed; one line.

    References:
      Kroeger, Timofte, Dai, Van Gool, "Fast Optical Flow using Dense Inverse Search", ECCV 2016.
    """
    if not opencv_version():
        raise ImportError("flow is computed by OpenCV: pip install 'nst_jax[video]'")
    import cv2

    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    # Down to the pixel, of pictures twice as large: strokes are fine, and a tenth of a pixel shows.
    search.setFinestScale(0)
    search.setVariationalRefinementIterations(10)
    height, width = picture.shape[:2]
    gray = [
        cv2.resize(
            cv2.cvtColor(to_uint8(each), cv2.COLOR_RGB2GRAY),
            (2 * width, 2 * height),
            interpolation=cv2.INTER_CUBIC,
        )
        for each in (picture, other)
    ]
    doubled = search.calc(gray[0], gray[1], None)
    flow = cv2.resize(doubled, (width, height), interpolation=cv2.INTER_AREA) / 2
    return np.asarray(flow, np.float32)
