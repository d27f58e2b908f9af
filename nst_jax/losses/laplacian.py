"""The Laplacian loss: edges and fine lines of two pictures compared."""

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


@jax.jit
def laplacian_loss(
    image: Float[Array, "*batch height width channel"],
    target: Float[Array, "*#batch height width channel"],
) -> Float[Array, "*batch"]:
    """sum (D x - D p)^2: how far the fine lines of an image are from those of the content.

    Args:
      image: pixels x, (..., height, width, channel), pooled beforehand for coarser lines.
      target: pixels p of the content image, of the same size.

    Returns:
      A non-negative number an image, (...), in float32 or wider.

    References:
      Li, Xu, Nie, Chua, "Laplacian-Steered Neural Style Transfer", ACM Multimedia 2017, equation 5.
    """
    return jnp.sum(jnp.square(difference(laplacian(image), laplacian(target))), axis=(-3, -2, -1))
