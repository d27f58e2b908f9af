"""The first four moments of each channel: what its values are, without what they go together with.

They are made of sums of powers over locations. Powers of features as they are would lose the digits
of float32 in their differences: before, features are shifted by the style's mean and divided by
one number a layer, which are targets, so that the sums remain sums over locations.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from nst_jax.losses.arithmetic import at_least_float32, locations

EPSILON = 1e-2
"""Added to the variance of each channel, in parts of the mean variance of the style's channels: a
channel that varies far less counts as flat. Fourth powers in float32 allow no less."""
WEIGHTS = (1.0, 1.0, 0.1, 0.001)
"""Of mean, standard deviation, skewness and kurtosis. A portrait and a painting in trained VGG19
differ by squares of about 0.2, 0.2, 3 and 200: weighed so, no one of the four hides the others."""


class PowerSums(NamedTuple):
    """Sums over the locations k of a picture, each with its weight w_k; z = (F - m') / s.

    Attributes:
      weight: sum w_k.
      powers: sum w_k z_k^p of the powers p = 1 to 4, (4, channel).
    """

    weight: Float[Array, ""]
    powers: Float[Array, "4 channel"]


class MomentTarget(NamedTuple):
    """What the distance takes of the style: computed once.

    Attributes:
      center: m', the mean of each channel, (channel,).
      scale: s, the root of the mean variance of the channels; of a flat style, that of the mean
        square of its means.
      moments: see `channel_moments`, (4, channel).
    """

    center: Float[Array, "channel"]
    scale: Float[Array, ""]
    moments: Float[Array, "4 channel"]


@jax.jit
def power_sums(
    features: Float[Array, "height width channel"],
    where: Float[Array, "height width"] | None = None,
    *,
    center: Float[Array, "channel"],
    scale: Float[Array, ""],
) -> PowerSums:
    """The sums of which the moments are made, in float32 or wider.

    Args:
      features: F, activations of one layer, (height, width, channel), any real range.
      where: w, weights of the locations, (height, width), not negative; None: 1 each.
      center: m', see `MomentTarget`.
      scale: s, positive.
    """
    z = (at_least_float32(features) - center[None, None]) / scale
    weighted = z if where is None else z * where[..., None].astype(z.dtype)
    square = jnp.square(z)
    powers = (weighted, weighted * z, weighted * square, weighted * z * square)
    return PowerSums(
        locations(features, where), jnp.stack([jnp.sum(x, axis=(0, 1)) for x in powers])
    )


@jax.jit
def channel_moments(sums: PowerSums, *, epsilon: ArrayLike = EPSILON) -> Float[Array, "4 channel"]:
    """Mean, standard deviation, skewness and kurtosis of each channel of z.

    mu = mean z;  sigma^2 = mean (z - mu)^2 + epsilon;
    mean (z - mu)^3 / sigma^3;  mean (z - mu)^4 / sigma^4

    Args:
      sums: of a picture whose locations have any weight.
      epsilon: see `EPSILON`; of a flat channel skewness and kurtosis are 0.

    Returns:
      (4, channel), in the order above.
    """
    first, second, third, fourth = sums.powers / sums.weight
    # Rounded, the variance of a flat channel may be negative.
    variance = jnp.maximum(second - first**2, 0) + epsilon
    skewed = third - 3 * first * second + 2 * first**3
    peaked = fourth - 4 * first * third + 6 * first**2 * second - 3 * first**4
    deviation = jnp.sqrt(variance)
    return jnp.stack([first, deviation, skewed / deviation**3, peaked / variance**2])


@jax.jit
def moment_target(
    features: Float[Array, "height width channel"],
    where: Float[Array, "height width"] | None = None,
    *,
    epsilon: ArrayLike = EPSILON,
) -> MomentTarget:
    """The style's mean, scale and moments; see `power_sums` for the arguments."""
    wide = at_least_float32(features)
    where = jnp.ones(wide.shape[:2], wide.dtype) if where is None else where.astype(wide.dtype)
    weight = jnp.sum(where)
    center = jnp.sum(wide * where[..., None], axis=(0, 1)) / weight
    squares = jnp.sum(jnp.square(wide - center[None, None]) * where[..., None], axis=(0, 1))
    scale = _scale(jnp.mean(squares) / weight, jnp.mean(jnp.square(center)))
    sums = power_sums(features, where, center=center, scale=scale)
    return MomentTarget(center, scale, channel_moments(sums, epsilon=epsilon))


def _scale(variance: Array, square: Array) -> Array:
    """s of a style with this mean variance, and this mean square of its means."""
    # What a flat style varies is rounding: divided by it, fourth powers would overflow. Its means
    # are a scale as well, and of a style without any features all is: then any will do.
    varies = variance > 1e-8 * square
    return jnp.sqrt(jnp.where(varies, variance, jnp.where(square > 0, square, 1)))


@jax.jit
def moment_distance(
    sums: PowerSums,
    target: MomentTarget,
    *,
    weights: Sequence[ArrayLike] = WEIGHTS,
    epsilon: ArrayLike = EPSILON,
) -> Float[Array, ""]:
    """sum_p a_p mean (M_p - M'_p)^2, with means over the channels.

    Args:
      sums: of the features of the picture that is made, with center and scale of the target.
      target: of the style, see `moment_target`.
      weights: a, of mean, standard deviation, skewness and kurtosis.
      epsilon: see `EPSILON`; that of the target.

    Returns:
      A non-negative number without a unit.

    References:
      Mean and standard deviation alone: Huang, Belongie, "Arbitrary Style Transfer in Real-Time
      with Adaptive Instance Normalization", ICCV 2017, equation 13. Higher moments: Kalischek,
      Wegner, Schindler, "In the light of feature distributions: moment matching for Neural Style
      Transfer", CVPR 2021 (there without the division by powers of the deviation).
    """
    squares = jnp.square(channel_moments(sums, epsilon=epsilon) - target.moments)
    return jnp.sum(jnp.asarray(weights, squares.dtype) * jnp.mean(squares, axis=1))
