"""The Laplacian loss: edges and fine lines of two pictures compared."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nst_jax.losses.arithmetic import at_least_float32, difference


@jax.jit
def laplacian(
    image: Float[Array, "*batch height width channel"],
) -> Float[Array, "*batch height_ width_ channel"]:
    """The sum of each inner pixel's differences from its four neighbors.

    (D x)[i, j] = x[i-1, j] + x[i+1, j] + x[i, j-1] + x[i, j+1] - 4 x[i, j]

    Args:
      image: pixels x, (..., height, width, channel), at least 3 x 3.

    Returns:
      (..., height - 2, width - 2, channel), in float32 or wider; 0 on an even slope.
    """
    x = at_least_float32(image)
    inner = x[..., 1:-1, 1:-1, :]
    above, below = x[..., :-2, 1:-1, :], x[..., 2:, 1:-1, :]
    left, right = x[..., 1:-1, :-2, :], x[..., 1:-1, 2:, :]
    return above + below + left + right - 4 * inner


@partial(jax.jit, static_argnames="pool")
def laplacian_loss(
    image: Float[Array, "*batch height width channel"],
    target: Float[Array, "*#batch height width channel"],
    where: Float[Array, "height width"] | None = None,
    *,
    pool: int = 1,
) -> Float[Array, "*batch"]:
    """sum_k w_k |D P (x - p)|^2: how far the fine lines of an image are from those of the content.

    Args:
      image: pixels x, (..., height, width, channel).
      target: pixels p of the content image, of the same size.
      where: weights of the pixels, (height, width), not negative; a line counts by the mean of
        those of the upper left of the nine cells of which it is made. None: 1 each.
      pool: side of the squares of pixels, the cells, of which P takes means first: larger ones give
        coarser lines. What is left at the right and below is dropped.

    Returns:
      A non-negative number an image, (...), in float32 or wider. Sums of parts of a picture that
      are told apart by `where` add up to that of the whole.

    Raises:
      ValueError: there are fewer than 3 x 3 cells.

    References:
      Li, Xu, Nie, Chua, "Laplacian-Steered Neural Style Transfer", ACM Multimedia 2017, equation 5.
    """
    cells = _pooled(difference(at_least_float32(image), at_least_float32(target)), pool)
    squares = jnp.sum(jnp.square(laplacian(cells)), axis=-1)
    if where is not None:
        weights = _pooled(where[..., None].astype(squares.dtype), pool)[:-2, :-2, 0]
        squares = squares * jnp.broadcast_to(weights, squares.shape)
    return jnp.sum(squares, axis=(-2, -1))


def _pooled(image: Array, pool: int) -> Array:
    """Means over squares of pool x pool pixels."""
    *batch, height, width, channel = image.shape
    down, right = height // pool, width // pool
    if min(down, right) < 3:
        raise ValueError(
            f"`pool` must leave 3 x 3 cells or more of an image, got {pool} for {height} x {width}"
        )
    cells = image[..., : down * pool, : right * pool, :]
    return jnp.mean(cells.reshape(*batch, down, pool, right, pool, channel), axis=(-4, -2))
