"""How far an image is from a style, under a network that was not optimized."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nst_jax import losses


@jax.jit
def style_distances(
    features: Mapping[str, Float[Array, "_ _ _"]], style: Mapping[str, Float[Array, "_ _ _"]]
) -> dict[str, Float[Array, ""]]:
    """The squared Wasserstein distance of mean and covariance of each layer, relative to the style.

    W^2 / (mean m'^2 + mean diag C'), see `losses.wasserstein_distance`.

    Args:
      features: of the image, (h_l, w_l, c_l) by layer.
      style: of the style, of any size. The covariance of few locations is not that of more: a
        picture of half the size lies apart even if it is painted alike.

    Returns:
      By layer a number that is 0 or more, about 1 of an image without any features. It is some
      thousandths less than the exact distance, by the epsilon of `losses.wasserstein_distance`.
    """
    return {layer: _relative_distance(features[layer], style[layer]) for layer in style}


def _relative_distance(features: Array, style: Array) -> Array:
    sums = losses.covariance_sums(style)
    distance = losses.wasserstein_distance(losses.covariance_sums(features), losses.normal(sums))
    square = jnp.trace(sums.second) / sums.weight / style.shape[-1]
    # Where both have no features, they are the same.
    return jnp.maximum(distance, 0) / jnp.maximum(square, jnp.finfo(square.dtype).tiny)
