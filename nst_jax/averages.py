"""The average of the images that an optimizer goes through, as what a run ends with.

Steps of a high rate swing about a valley of the loss. The average of many of its images lies nearer
to the floor, and single steps leave no grain in it.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float


class Average(NamedTuple):
    """The average so far; a pytree, each leaf with leading axis v.

    Attributes:
      image: before the first step the image that begins.
      weight: of the images in it, 1 - d^t after t steps.
    """

    image: Float[Array, "*v h w 3"]
    weight: Float[Array, "*v"]


def begin(images: Float[Array, "v h w 3"]) -> Average:
    """The average of no step yet.

    Args:
      images: that begin; they are copied, because states are donated.
    """
    return Average(jnp.array(images), jnp.zeros(len(images), jnp.float32))


def update(average: Average, image: Float[Array, "h w 3"], factor: float) -> Average:
    """The average of one variant after one more step.

    a_t = (d a'_(t-1) + (1 - d) x_t) / (1 - d^t), where a' is the same before its division, a'_0 = 0

    It is computed as a mean of the last average and the image, so that it never leaves [0, 1] if
    they do not.

    Args:
      average: after t - 1 steps.
      image: x_t.
      factor: d in [0, 1); 0 leaves the image itself.

    References:
      Kingma, Ba, "Adam: A Method for Stochastic Optimization", 2014, section 7.2.
    """
    weight = factor * average.weight + (1 - factor)
    share = (1 - factor) / weight
    return Average((1 - share) * average.image + share * image, weight)
