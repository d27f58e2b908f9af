"""The distance of small patches of two pictures: strokes and colors, seen by no network."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

SIDE = 7
"""Of a patch, in pixels."""
DIRECTIONS = 128
"""Along which patches are compared."""
MOST_PATCHES = 2**15
"""Of each picture; of a larger one they are drawn at random, the same in every call."""


@partial(jax.jit, static_argnames=("side", "directions", "most"))
def patch_distance(
    image: Float[Array, "h w 3"],
    style: Float[Array, "h2 w2 3"],
    *,
    side: int = SIDE,
    directions: int = DIRECTIONS,
    most: int = MOST_PATCHES,
) -> Float[Array, ""]:
    """The sliced Wasserstein distance of all patches of side x side x 3 values.

    sqrt mean_{a, i} (<a, p>_(i) - <a, p'>_(i))^2, with random unit directions a, and the i-th
    smallest of the products of a with the patches p of either picture.

    Args:
      image: RGB in [0, 1], (h, w, 3), at least `side` each way.
      style: of any size; of the larger picture as many patches are drawn as the smaller one has.
      side: of a patch in pixels.
      directions: their number.
      most: patches of a picture.

    Returns:
      0 or more, of the scale of pixels: about c for two pictures that differ by c everywhere.

    Raises:
      ValueError: a picture is smaller than a patch.

    References:
      Rabin, Peyré, Delon, Bernot, "Wasserstein barycenter and its application to texture mixing",
      2011, equation 14. Patches of 7 x 7 values: Karras, Aila, Laine, Lehtinen, "Progressive
      Growing of GANs", ICLR 2018, section 5 (there of a Laplacian pyramid).
    """
    if min(*image.shape[:2], *style.shape[:2]) < side:
        raise ValueError(
            f"patches of {side} x {side} pixels need pictures as large, got {image.shape} and "
            f"{style.shape}"
        )
    count = min(_number_of_patches(image, side), _number_of_patches(style, side), most)
    first, second = (_projections(x, count, side, directions) for x in (image, style))
    return jnp.sqrt(jnp.mean(jnp.square(first - second)))


def _projections(image: Array, count: int, side: int, directions: int) -> Array:
    """The sorted products of `count` patches with each direction, (count, directions)."""
    products = jnp.matmul(
        _patches(image, count, side), _directions(side, directions), precision="highest"
    )
    return jnp.sort(products, axis=0)


def _patches(image: Array, count: int, side: int) -> Array:
    """`count` patches in a row each, (count, side * side * 3); all if there are no more."""
    corners = _drawn(_number_of_patches(image, side), count)
    rows, columns = np.divmod(corners, image.shape[1] - side + 1)
    cut = jax.vmap(
        lambda row, column: jax.lax.dynamic_slice(image, (row, column, 0), (side, side, 3))
    )
    return cut(jnp.asarray(rows), jnp.asarray(columns)).reshape(count, -1)


def _number_of_patches(image: Array, side: int) -> int:
    return (image.shape[0] - side + 1) * (image.shape[1] - side + 1)


# NumPy has frozen its legacy generator: the same patches and directions in every version.
def _drawn(total: int, count: int) -> np.ndarray:
    return (
        np.random.RandomState(0).permutation(total)[:count] if count < total else np.arange(total)
    )


def _directions(side: int, directions: int) -> np.ndarray:
    normal = np.random.RandomState(1).standard_normal((side * side * 3, directions))
    return (normal / np.linalg.norm(normal, axis=0, keepdims=True)).astype(np.float32)
