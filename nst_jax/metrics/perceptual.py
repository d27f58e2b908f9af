"""LPIPS: how different two pictures look, by the features of a trained network."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@jax.jit
def lpips(
    features: Mapping[str, Float[Array, "*batch _ _ _"]],
    content: Mapping[str, Float[Array, "*batch _ _ _"]],
    linear: Mapping[str, Float[Array, "_"]],
) -> Float[Array, "*batch"]:
    """sum_l mean_k <w_l, (F_k / |F_k| - P_k / |P_k|)^2>, over layers l and locations k.

    Args:
      features: F of the image, (..., h_l, w_l, c_l) by layer.
      content: P of the content, of the same shapes.
      linear: w, a weight a channel, by the same layers.

    Returns:
      0 or more; 0 of the content itself.

    References:
      Zhang, Isola, Efros, Shechtman, Wang, "The Unreasonable Effectiveness of Deep Features as a
      Perceptual Metric", CVPR 2018, equation 1; `linear` of its version 0.1 belongs to AlexNet's
      five layers.
    """
    return sum(
        (_distance(features[layer], content[layer], linear[layer]) for layer in linear),
        start=jnp.zeros(()),
    )


def _distance(features: Array, content: Array, weights: Array) -> Array:
    squares = jnp.square(_unit(features) - _unit(content))
    return jnp.mean(jnp.einsum("...c,c->...", squares, weights, precision="highest"), axis=(-2, -1))


def _unit(features: Array) -> Array:
    # The published program adds as much: its figures come out to the last digit.
    return features / (jnp.linalg.norm(features, axis=-1, keepdims=True) + 1e-10)
