"""The content loss: the features of two images compared location by location."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nst_jax.choices import Convention, check_choice
from nst_jax.losses.arithmetic import at_least_float32, difference


# `convention` is static because JAX traces numbers, not names; each name has its own program.
@partial(jax.jit, static_argnames="convention")
def content_loss(
    features: Float[Array, "*batch height width channel"],
    target: Float[Array, "*#batch height width channel"],
    *,
    convention: Convention = "report",
) -> Float[Array, "*batch"]:
    """How far the features of the generated image are from those of the content image.

    - `report`: mean (F - P)^2
    - `gatys`: 1/2 sum (F - P)^2

    Args:
      features: F, activations of one layer for the generated image, (..., height, width, channel),
        any real range.
      target: P, activations of the same layer for the content image: as `features`, or without
        the batch axes.
      convention: "report" or "gatys".

    Returns:
      A non-negative number an image, (...), in float32 or wider.

    Raises:
      ValueError: the features are of an image of another size, or of another layer; the
        convention is unknown.

    References:
      `gatys`: Gatys, Ecker, Bethge, "Image Style Transfer Using Convolutional Neural Networks",
      CVPR 2016, equation 1. `report`: the report, Chapter 6; the same as Johnson, Alahi, Fei-Fei,
      "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", ECCV 2016, equation 2.
    """
    check_choice("convention", convention, Convention)
    if features.shape[-3:] != target.shape[-3:]:
        raise ValueError(
            f"`features` must have the axes {target.shape[-3:]} of their target, got "
            f"{features.shape[-3:]}: the image must be as large as the content image"
        )
    # Widened before the subtraction and not only for the sum: half precision would round each
    # difference and each square, and float16 has no squares above 65504.
    squares = jnp.square(difference(at_least_float32(features), at_least_float32(target)))
    if convention == "gatys":
        return jnp.sum(squares, axis=(-3, -2, -1)) / 2
    return jnp.mean(squares, axis=(-3, -2, -1))
