"""Terms of the features of layers: the content, and statistics of style."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from nst_jax import losses
from nst_jax.choices import Convention, check_choice
from nst_jax.losses.arithmetic import at_least_float32, locations
from nst_jax.losses.moments import EPSILON as LEAST_VARIANCE
from nst_jax.losses.moments import WEIGHTS as MOMENT_WEIGHTS
from nst_jax.losses.wasserstein import EPSILON, ROOT_STEPS
from nst_jax.terms.options import (
    check_layers,
    check_numbers,
    check_positive,
    check_whole,
    constructor,
)
from nst_jax.terms.sums import Located, compared, of_sums, stack, where_of
from nst_jax.terms.term import Targets, Term, View

MOST_STEPS = 200
"""Of the root in a Wasserstein distance: all are computed, and it converges in thirty."""


@constructor
def content(
    layers: tuple[str, ...],
    *,
    reference: str = "content",
    region: str | None = None,
    convention: Convention = "report",
) -> Term:
    """The content loss of each layer; see `losses.content_loss`.

    Args:
      layers: of the network.
      reference: the picture whose subject is kept.
      region: the picture of the image's size in whose region it is kept; None: everywhere.
      convention: "report": mean (F - P)^2; "gatys": 1/2 sum (F - P)^2.
    """
    check_layers(layers)
    check_choice("convention", convention, Convention)

    def init(pictures: Mapping[str, View]) -> Targets:
        kept, where = pictures[reference].features, where_of(region, pictures, layers)
        return Targets({x: (kept[x], where.get(x)) for x in layers}, ())

    def measure(targets: Targets, seen: View) -> dict[str, Any]:
        return {x: squares(x, targets.maps[x], seen) for x in layers if x in seen.features}

    def squares(layer: str, target: tuple[Array, Array | None], seen: View) -> Any:
        located = Located(seen.features[layer], seen.weights(layer), target[1])
        return _squares(located.features, target[0], located.weights)

    def loss(targets: Targets, sums: Mapping[str, Any]) -> Array:
        del targets
        if convention == "gatys":
            return stack([sums[x][1] / 2 for x in layers])
        return stack([sums[x][1] / sums[x][0] for x in layers])

    references = (reference,) if region is None else (reference, region)
    groups = tuple((x,) for x in layers)
    return Term(init, measure, loss, layers, layers, references, groups=groups)


def _squares(features: Array, target: Array, where: Array | None) -> tuple[Array, Array]:
    """Number of values, and sum of (F - P)^2, both by the weights of the locations."""
    squares = jnp.square(at_least_float32(features) - at_least_float32(target))
    if where is not None:
        squares = squares * where[..., None]
    return locations(features, where) * features.shape[-1], jnp.sum(squares)


@constructor
def gram(
    layers: tuple[str, ...],
    *,
    reference: str = "style",
    region: str | None = None,
    convention: Convention = "report",
) -> Term:
    """The style loss of each layer; see `losses.style_loss`.

    Args:
      layers: of the network.
      reference: the picture whose style is taken.
      region: see `of_sums`.
      convention: "report": mean (G - A)^2; "gatys": that over 4. Both Gram matrices are means over
        locations, so that pictures of other sizes ask for the same contrast.
    """
    check_layers(layers)
    check_choice("convention", convention, Convention)
    factor = 4 if convention == "gatys" else 1

    def loss(target: Array, sums: losses.GramSums) -> Array:
        return jnp.mean(jnp.square(_gram(sums) - target)) / factor

    return of_sums(layers, losses.gram_sums, loss, reference=reference, region=region, finish=_gram)


def _gram(sums: losses.GramSums) -> Array:
    return sums.products / sums.weight


@constructor
def covariance(
    layers: tuple[str, ...], *, reference: str = "style", region: str | None = None
) -> Term:
    """Mean and covariance of each layer; see `losses.covariance_distance`, and `of_sums`."""
    check_layers(layers)
    return of_sums(
        layers,
        losses.covariance_sums,
        lambda target, sums: losses.covariance_distance(sums, target),
        reference=reference,
        region=region,
    )


@constructor
def moments(
    layers: tuple[str, ...],
    *,
    reference: str = "style",
    region: str | None = None,
    moment_weights: tuple[float, ...] = MOMENT_WEIGHTS,
    epsilon: float = LEAST_VARIANCE,
) -> Term:
    """Mean, deviation, skewness and kurtosis of each channel; see `losses.moment_distance`.

    Args:
      layers: of the network.
      reference: the picture whose style is taken.
      region: see `of_sums`.
      moment_weights: of these four, in this order; see `losses.moments.WEIGHTS`.
      epsilon: see `losses.moments.EPSILON`.

    Raises:
      ValueError: an argument is out of its range.
    """
    check_layers(layers)
    check_numbers("moment_weights", moment_weights, count=4)
    check_positive("epsilon", epsilon)

    def sums_of(target: losses.MomentTarget, seen: Located) -> losses.PowerSums:
        return losses.power_sums(
            seen.features, seen.weights, center=target.center, scale=target.scale
        )

    return compared(
        {x: (x,) for x in layers},
        sums_of,
        lambda target, sums: losses.moment_distance(
            sums, target, weights=moment_weights, epsilon=epsilon
        ),
        target_of=lambda seen: losses.moment_target(seen.features, seen.weights, epsilon=epsilon),
        reference=reference,
        region=region,
    )


@constructor
def wasserstein(
    layers: tuple[str, ...],
    *,
    reference: str = "style",
    region: str | None = None,
    epsilon: float = EPSILON,
    steps: int = ROOT_STEPS,
) -> Term:
    """The Wasserstein distance of each layer; see `losses.wasserstein_distance`, and `of_sums`.

    Raises:
      ValueError: `epsilon` is not above 0, or `steps` not from 1 to `MOST_STEPS`.
    """
    check_layers(layers)
    check_positive("epsilon", epsilon)
    check_whole("steps", steps, least=1, most=MOST_STEPS)
    return of_sums(
        layers,
        losses.covariance_sums,
        lambda target, sums: losses.wasserstein_distance(
            sums, target, epsilon=epsilon, steps=steps
        ),
        reference=reference,
        region=region,
        finish=losses.normal,
    )
