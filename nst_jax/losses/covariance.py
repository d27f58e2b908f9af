"""Mean and covariance of features, as sums over locations, and the plain distance of two.

Everything here is made of three sums over the locations k: sum w_k, sum w_k F_k, sum w_k F_k F_k^T.
Sums add up: those of two parts of a picture are together those of the whole.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nst_jax.losses.arithmetic import at_least_float32, locations
from nst_jax.losses.gram import inner_products


class CovarianceSums(NamedTuple):
    """Sums over the locations k of a picture, each with its weight w_k.

    Attributes:
      weight: sum w_k.
      first: sum w_k F_k, (channel,).
      second: sum w_k F_k F_k^T, (channel, channel).
    """

    weight: Float[Array, ""]
    first: Float[Array, "channel"]
    second: Float[Array, "channel channel"]


@jax.jit
def covariance_sums(
    features: Float[Array, "height width channel"],
    where: Float[Array, "height width"] | None = None,
) -> CovarianceSums:
    """The sums of which mean and covariance are made, in float32 or wider.

    Args:
      features: F, activations of one layer, (height, width, channel), any real range.
      where: w, weights of the locations, (height, width), not negative; None: 1 each.
    """
    weighted = features if where is None else features * where[..., None].astype(features.dtype)
    first = jnp.sum(at_least_float32(weighted), axis=(-3, -2))
    second = inner_products(weighted, features)
    return CovarianceSums(locations(features, where), first, second)


@jax.jit
def mean_and_covariance(
    sums: CovarianceSums,
) -> tuple[Float[Array, "channel"], Float[Array, "channel channel"]]:
    """m = sum w_k F_k / sum w_k;  C = sum w_k F_k F_k^T / sum w_k - m m^T.

    Args:
      sums: of a picture whose locations have any weight.

    Returns:
      The mean of each channel, and the covariance of each two (of the population: divided by the
      number of locations, not by one less).
    """
    mean = sums.first / sums.weight
    return mean, sums.second / sums.weight - jnp.outer(mean, mean)


@jax.jit
def covariance_distance(sums: CovarianceSums, target: CovarianceSums) -> Float[Array, ""]:
    """mean (m - m')^2 + mean (C - C')^2, the plain distance of mean and covariance.

    The Gram matrix of centered features in place of that of features as they are: what the means
    have in common counts once, and not in each entry.

    Args:
      sums: of the picture that is made.
      target: of the style.

    Returns:
      A non-negative number.

    References:
      Li, Wang, Liu, Hou, "Demystifying Neural Style Transfer", IJCAI 2017, whose matching of batch
      normalization statistics this extends from variances to covariances.
    """
    mean, covariance = mean_and_covariance(sums)
    target_mean, target_covariance = mean_and_covariance(target)
    return jnp.mean(jnp.square(mean - target_mean)) + jnp.mean(
        jnp.square(covariance - target_covariance)
    )
