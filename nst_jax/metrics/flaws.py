"""Flaws that a painter would not leave: colored specks, and a border that stands out."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from nst_jax.losses.laplacian import laplacian
from nst_jax.metrics.colors import chroma

OUTERMOST = 2
"""Pixels of the border on each side."""
INTERIOR = 8
"""Pixels from the edge at which the interior begins."""


@jax.jit
def chroma_speckle(
    image: Float[Array, "*batch h w 3"], style: Float[Array, "h2 w2 3"]
) -> Float[Array, "*batch"]:
    """mean (D c)^2 / mean (D c')^2: the energy of the chroma's Laplacian over the style's.

    Noise of color changes from pixel to pixel; strokes keep their color over some.

    Args:
      image: RGB in [0, 1], (..., h, w, 3), at least 3 x 3.
      style: of any size; mind that a larger one has fewer edges a pixel.

    Returns:
      0 or more; about 1 where colors change as sharply as in the style, and less in most paintings
      that are clean. Infinite of a gray style, and NaN
      if both are gray.
    """
    return _energy(image) / _energy(style)


def _energy(image: Array) -> Array:
    return jnp.mean(jnp.square(laplacian(chroma(image))), axis=(-3, -2, -1))


@jax.jit
def border_saturation(image: Float[Array, "*batch h w 3"]) -> Float[Array, "*batch"]:
    """Mean saturation of the outermost pixels in parts of that of the interior.

    A network that sees zeros beyond the image tempts an optimizer to saturate its border.

    Args:
      image: RGB in [0, 1], (..., h, w, 3), more than 16 x 16.

    Returns:
      0 or more, about 1 without a border; NaN if the interior is gray.
    """
    distance = _distance_from_edge(*image.shape[-3:-1])
    values = _saturation(image)
    return _mean(values, distance < OUTERMOST) / _mean(values, distance >= INTERIOR)


def _saturation(image: Array) -> Array:
    """As in HSV: from 0, gray, to 1; black has none."""
    largest = jnp.max(image, axis=-1)
    # Below one of 255 levels a picture is black.
    return (largest - jnp.min(image, axis=-1)) / jnp.maximum(largest, 1 / 255)


def _distance_from_edge(height: int, width: int) -> np.ndarray:
    rows, columns = (np.minimum(x, x[::-1]) for x in (np.arange(height), np.arange(width)))
    return np.minimum.outer(rows, columns)


def _mean(values: Array, where: np.ndarray) -> Array:
    return jnp.mean(values, axis=(-2, -1), where=jnp.broadcast_to(where, values.shape))
