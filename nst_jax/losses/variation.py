"""Total variation: how much neighboring pixels differ."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nst_jax.losses.arithmetic import at_least_float32


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
    vertical = _absolute(image[..., 1:, :, :] - image[..., :-1, :, :])
    horizontal = _absolute(image[..., :, 1:, :] - image[..., :, :-1, :])
    axes = (-3, -2, -1)
    return jnp.sum(vertical, axis=axes) + jnp.sum(horizontal, axis=axes)


def _absolute(x: Array) -> Array:
    """|x| with the derivative 0 at 0, where that of `jnp.abs` is 1."""
    # |x| has no derivative at 0. With the 1 that JAX takes, the edges of a flat image would have a
    # gradient; with 0, halfway between the slopes on both sides, a flat image is at rest.
    return jnp.where(x == 0, 0, jnp.abs(x))
