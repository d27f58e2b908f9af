"""Luma and chroma of an image: what is light, and what is color."""

import jax.numpy as jnp
from jaxtyping import Array, Float

# Of red, green and blue (ITU-R BT.601).
_LUMA = (0.299, 0.587, 0.114)


def luma(image: Float[Array, "*batch h w 3"]) -> Float[Array, "*batch h w 1"]:
    """Y = 0.299 R + 0.587 G + 0.114 B, from 0 to 1."""
    red, green, blue = (weight * image[..., i] for i, weight in enumerate(_LUMA))
    return (red + green + blue)[..., None]


def chroma(image: Float[Array, "*batch h w 3"]) -> Float[Array, "*batch h w 2"]:
    """Blue and red difference, C_B = 0.564 (B - Y) and C_R = 0.713 (R - Y), from -1/2 to 1/2."""
    light = luma(image)[..., 0]
    blue = (image[..., 2] - light) / (2 - 2 * _LUMA[2])
    red = (image[..., 0] - light) / (2 - 2 * _LUMA[0])
    return jnp.stack([blue, red], axis=-1)
