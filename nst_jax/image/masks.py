"""Masks as files: black and white pictures, and regions of an indexed one."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from nst_jax.image import arrays, decoding
from nst_jax.image.reading import load_part


def load_mask(
    path: Path, height: int, width: int, *, index: int | None = None
) -> Float[np.ndarray, "h w"]:
    """The mask of a region, as large as the picture that it belongs to.

    Args:
      path: white inside and black outside, or an indexed picture, such as a GIF or a PNG with a
        palette.
      height: of the result in pixels.
      width: of the result in pixels.
      index: of the color of the region in an indexed picture; None: white is inside.

    Returns:
      1 inside, 0 outside, float32.

    Raises:
      ValueError, OSError: as `load`; or the picture is not indexed.
    """
    if index is None:
        image = load_part(path, height, width)
        if not arrays.is_gray(image):
            raise ValueError(
                f"{path} has colors: a mask is white inside and black outside; of an indexed "
                "picture give PATH#INDEX"
            )
        return _sharp(image)
    with decoding.opened(path) as picture:
        mode, inside = picture.mode, np.asarray(picture) == index
    if mode != "P":
        raise ValueError(
            f"{path} is not indexed (its mode is {mode}): give it without #{index}, white inside"
        )
    image = np.repeat(inside[..., None], 3, axis=-1).astype(np.float32)
    return _sharp(arrays.resize(arrays.central_part(image, height, width), height, width))


def _sharp(image: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    return (image[..., 0] >= 0.5).astype(np.float32)
