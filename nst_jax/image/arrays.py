"""Pictures as arrays: 8 bits, gray, alpha, other sizes.

A picture of 100 megapixels takes 1.2 GB as floats. So whatever needs an array between input and
output works on some rows at a time, see `bands`.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8, UInt16
from PIL import Image

from nst_jax import pixels

Box = tuple[float, float, float, float]
"""Left, top, right and bottom of a part of a picture, in pixels of the picture."""

# JPEG in color makes the channels of a gray picture differ, by up to this many of 255 levels.
_GRAY_LEVELS = 3
# Values a band: few enough for the cache of a processor core, many enough for NumPy's overhead.
_BAND = 2**17


def bands(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices of the rows of a picture, in order: each of few rows, together all of them.

    Args:
      shape: (h, w, c).
    """
    height, width, channels = shape
    rows = max(1, _BAND // max(1, width * channels))
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))


def _by_pieces(
    convert: Callable[[np.ndarray], np.ndarray], values: np.ndarray, kind: Any
) -> np.ndarray:
    """The same as `convert(values).astype(kind)` of a function that takes each value alone."""
    flat, found = values.reshape(-1), np.empty(values.size, kind)
    for start in range(0, flat.size, _BAND):
        piece = slice(start, start + _BAND)
        found[piece] = convert(flat[piece])
    return found.reshape(values.shape)


def to_uint8(image: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Rounds values in [0, 1] to the nearest of 256 levels.

    Args:
      image: of any shape; values a little outside [0, 1] are clipped.

    Returns:
      The levels, from 0 to 255.

    Raises:
      ValueError: there is a NaN, or a value far outside; the array is not of floats.
    """
    return _to_levels(image, np.uint8)


def to_uint16(image: Float[np.ndarray, "*shape"]) -> UInt16[np.ndarray, "*shape"]:
    """Rounds values in [0, 1] to the nearest of 65536 levels, as `to_uint8` does to 256."""
    return _to_levels(image, np.uint16)


def _to_levels(image: np.ndarray, kind: type[np.unsignedinteger]) -> np.ndarray:
    image = pixels.as_array("image", image)
    pixels.check_values("image", image)
    peak = np.float32(np.iinfo(kind).max)
    return _by_pieces(lambda part: np.rint(np.clip(part, 0, 1) * peak), np.asarray(image), kind)


def from_uint8(array: UInt8[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Turns levels from 0 to 255 into floats; the exact inverse of `to_uint8`.

    Args:
      array: of any shape; or a picture of Pillow's.

    Returns:
      The values in float32, from 0 to 1.

    Raises:
      ValueError: the array is of another type.
    """
    array = np.asarray(pixels.as_array("array", array))
    if array.dtype != np.uint8:
        raise ValueError(f"`array` must be of uint8, from 0 to 255, got {array.dtype}")
    return array.astype(np.float32) / np.float32(255)


def to_gray(image: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    """Puts the luma of an image into all three channels, rounded to 8 bits as in a gray file.

    Args:
      image: RGB in [0, 1].

    Returns:
      A new float32 array with three equal channels.

    Raises:
      ValueError: the array is no picture in [0, 1].

    References:
      ITU-R BT.601, which weighs red, green and blue by .299, .587 and .114.
    """
    luma = Image.fromarray(to_uint8(pixels.check_picture("image", image))).convert("L")
    return from_uint8(np.asarray(luma.convert("RGB")))


def is_gray(image: Float[np.ndarray, "h w 3"]) -> bool:
    """Whether the three channels are equal, up to the small differences that JPEG makes.

    Args:
      image: RGB in [0, 1].

    Raises:
      ValueError: the array is no picture in [0, 1].
    """
    image = np.asarray(pixels.check_picture("image", image))
    # Most pictures in color are known by their first rows.
    return all(
        np.ptp(to_uint8(image[rows]), axis=-1).max() <= _GRAY_LEVELS for rows in bands(image.shape)
    )


def spread_first_channel(image: np.ndarray) -> np.ndarray:
    """Makes an image gray by its first channel alone.

    The mean of three channels would not do for noise: it deviates less than each of them.

    Args:
      image: of the shape (..., 3).

    Returns:
      A new array of the same shape with three equal channels.
    """
    return np.repeat(image[..., :1], 3, axis=-1)


def with_alpha(
    levels: UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"],
    alpha: UInt8[np.ndarray, "h w"],
) -> UInt8[np.ndarray, "h w 4"] | UInt16[np.ndarray, "h w 4"]:
    """Takes the white out of a picture that lies on white, and adds the alpha channel.

    A pixel on white is share x color + (1 - share) x white, where share = alpha / 255. So its
    color is 1 - (1 - pixel) / share.

    Args:
      levels: RGB on white, in 8 or 16 bits.
      alpha: 0 where nothing of the picture is seen, 255 where all is.

    Returns:
      RGBA that looks like `levels` when it is laid on white.

    Raises:
      ValueError: `alpha` has another height or width.
    """
    if alpha.shape != levels.shape[:2]:
        raise ValueError(
            f"`alpha` must have the image's height and width, {levels.shape[:2]}, got {alpha.shape}"
        )
    kind = levels.dtype.type
    found = np.empty((*alpha.shape, 4), kind)
    for rows in bands(found.shape):
        share = from_uint8(alpha[rows])[..., None]
        missing = 1 - levels[rows] / np.float32(np.iinfo(kind).max)
        # Where the share is 0, nobody sees the color: divide by 1 to have a finite one.
        color = 1 - missing / np.where(share > 0, share, 1)
        found[rows] = _to_levels(np.concatenate([np.clip(color, 0, 1), share], axis=-1), kind)
    return found


def resize(
    image: Float[np.ndarray, "h1 w1 3"], height: int, width: int
) -> Float[np.ndarray, "h2 w2 3"]:
    """Resizes an image in floating point, by Lanczos's filter, clipped to [0, 1].

    The filter widens when the image shrinks, so that no pixel is skipped.

    Args:
      image: RGB in [0, 1].
      height: of the result in pixels, at least 1.
      width: of the result in pixels, at least 1; the aspect is free.

    Returns:
      A new float32 array; equal to `image` if the size is.

    Raises:
      ValueError: a side below 1, an array that is no picture in [0, 1].
    """
    return _resample(np.asarray(pixels.check_picture("image", image)), height, width)


def central_part(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Cuts out the largest central part of an aspect, and resizes it.

    Args:
      image: RGB in [0, 1], of any size.
      height: of the result in pixels, at least 1.
      width: of the result in pixels, at least 1.

    Returns:
      A new float32 array of that size, in [0, 1].
    """
    own_height, own_width = image.shape[:2]
    return _resample(image, height, width, box=central_box(own_height, own_width, height / width))


def central_box(height: int, width: int, aspect: float) -> Box:
    """The largest part of an aspect that lies in the center of a picture.

    Args:
      height: of the picture.
      width: of the picture.
      aspect: height over width of the part.
    """
    part_height, part_width = min(height, width * aspect), min(width, height / aspect)
    left, top = (width - part_width) / 2, (height - part_height) / 2
    return (left, top, left + part_width, top + part_height)


def check_sides(height: int, width: int) -> None:
    """Refuses a picture without pixels.

    Args:
      height: in pixels.
      width: in pixels.

    Raises:
      ValueError: a side is below 1.
    """
    if height < 1 or width < 1:
        raise ValueError(f"`height` (={height}) and `width` (={width}) must be at least 1")


def _resample(image: np.ndarray, height: int, width: int, box: Box | None = None) -> np.ndarray:
    check_sides(height, width)
    found = np.empty((height, width, 3), np.float32)
    # Pillow resizes floats in one channel only, so each channel goes alone.
    for channel in range(3):
        plane = Image.fromarray(np.ascontiguousarray(image[..., channel], np.float32))
        resized = plane.resize((width, height), Image.Resampling.LANCZOS, box=box)
        found[..., channel] = np.asarray(resized)
    return np.clip(found, 0, 1, out=found)
