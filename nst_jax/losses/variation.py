"""Total variation: how much neighboring pixels differ."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from nst_jax.losses.arithmetic import absolute, at_least_float32


@jax.jit
def total_variation(
    image: Float[Array, "*batch height width channel"],
) -> Float[Array, "*batch"]:
    """The sum of the absolute differences of neighboring pixels, along height and width.

    TV = sum |x[i+1, j] - x[i, j]| + sum |x[i, j+1] - x[i, j]|, summed over channels; equal to
    `tf.image.total_variation`. Its gradient on a flat image is zero.

    Args:
      image: pixels x, (..., height, width, channel), any real range; at least one pixel each way.

    Returns:
      A non-negative number an image, (...), in float32 or wider.

    References:
      Rudin, Osher, Fatemi, "Nonlinear total variation based noise removal algorithms", Physica D
      60, 1992, here in the anisotropic form (|dx| + |dy| in place of the root of their squares);
      the report, step 9.3.
    """
    image = at_least_float32(image)
    # Axes are counted from the end: height is -3 and width -2 with any number of batch axes. An
    # image of one row has no vertical neighbors; the empty sum is 0.
    vertical = absolute(image[..., 1:, :, :] - image[..., :-1, :, :])
    horizontal = absolute(image[..., :, 1:, :] - image[..., :, :-1, :])
    axes = (-3, -2, -1)
    return jnp.sum(vertical, axis=axes) + jnp.sum(horizontal, axis=axes)


@jax.jit
def squared_variation(
    image: Float[Array, "*batch height width channel"],
) -> Float[Array, "*batch"]:
    """The sum of the squared differences of neighboring pixels, along height and width.

    sum (x[i+1, j] - x[i, j])^2 + sum (x[i, j+1] - x[i, j])^2: it smooths edges away where
    `total_variation` leaves the largest.

    Args:
      image: pixels x, (..., height, width, channel), any real range.

    Returns:
      A non-negative number an image, (...), in float32 or wider.

    References:
      Mahendran, Vedaldi, "Understanding Deep Image Representations by Inverting Them", CVPR 2015,
      with beta = 2.
    """
    image = at_least_float32(image)
    vertical = image[..., 1:, :, :] - image[..., :-1, :, :]
    horizontal = image[..., :, 1:, :] - image[..., :, :-1, :]
    axes = (-3, -2, -1)
    return jnp.sum(jnp.square(vertical), axis=axes) + jnp.sum(jnp.square(horizontal), axis=axes)


@jax.jit
def power_variation(
    image: Float[Array, "*batch height width channel"], *, beta: ArrayLike = 2.5
) -> Float[Array, "*batch"]:
    """The sum of a power of the slope at each pixel, of each channel.

    sum ((x[i+1, j] - x[i, j])^2 + (x[i, j+1] - x[i, j])^2)^(beta / 2) over the pixels that have a
    neighbor below and one to the right.

    Args:
      image: pixels x, (..., height, width, channel), any real range.
      beta: 1 or more: with 1 edges stay, beyond 2 the steepest of them weigh most.

    Returns:
      A non-negative number an image, (...), in float32 or wider.

    References:
      Mahendran, Vedaldi, "Understanding Deep Image Representations by Inverting Them", CVPR 2015,
      section 2; beta = 2.5 is the Keras example's.
    """
    image = at_least_float32(image)
    corner = image[..., :-1, :-1, :]
    squares = jnp.square(image[..., 1:, :-1, :] - corner)
    squares += jnp.square(image[..., :-1, 1:, :] - corner)
    # A root has no derivative at 0: a flat place is at rest, as in `total_variation`.
    is_flat = squares == 0
    powers = jnp.where(is_flat, 1, squares) ** (jnp.asarray(beta, squares.dtype) / 2)
    return jnp.sum(jnp.where(is_flat, 0, powers), axis=(-3, -2, -1))


# (down, right) to a neighbor, and its weight: the stencil (1/6) [[1, 4, 1], [4, -20, 4], [1, 4, 1]]
# of the Laplacian as a quadratic form, each pair of pixels once.
_NINE_POINTS = ((0, 1, 2 / 3), (1, 0, 2 / 3), (1, 1, 1 / 6), (1, -1, 1 / 6))


@jax.jit
def nine_point_variation(
    image: Float[Array, "*batch height width channel"],
) -> Float[Array, "*batch"]:
    """The mean squared difference of neighboring pixels, also along the diagonals.

    2/3 mean (d_right x)^2 + 2/3 mean (d_down x)^2 + 1/6 mean (d_\\ x)^2 + 1/6 mean (d_/ x)^2

    with means over all pixels, the border repeated outward. It weighs an edge alike in whatever
    direction it runs, where differences along rows and columns prefer these.

    Args:
      image: pixels x, (..., height, width, channel), any real range.

    Returns:
      A non-negative number an image, (...), in float32 or wider.

    References:
      The nine-point stencil of the Laplacian; the smoothness term of Crowson's
      style-transfer-pytorch is of this kind.
    """
    image = at_least_float32(image)
    height, width = image.shape[-3:-1]
    pads = [(0, 0)] * (image.ndim - 3) + [(0, 1), (1, 1), (0, 0)]
    padded = jnp.pad(image, pads, mode="edge")
    total = jnp.zeros(image.shape[:-3], image.dtype)
    for down, right, weight in _NINE_POINTS:
        neighbor = padded[..., down : down + height, 1 + right : 1 + right + width, :]
        total += weight * jnp.mean(jnp.square(image - neighbor), axis=(-3, -2, -1))
    return total
