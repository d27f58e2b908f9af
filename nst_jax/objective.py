"""The objective: what an image is optimised for, as one pure function.

    L_total = alpha L_content + beta L_style + gamma TV

with L_content and L_style weighted sums of `losses` over layers. Targets are computed once;
targets, weights of the loss terms and weights of the network are arguments of the objective
(a pytree), so that a new value of any of them never recompiles a program.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from nst_jax import losses, pixels
from nst_jax.choices import Convention, check_choice
from nst_jax.scalars import is_number

FeatureFn = Callable[[Array], Mapping[str, Array]]
Objective = Callable[[Array, "LossWeights"], "tuple[Array, LossTerms]"]

DEFAULT_WEIGHTS: dict[Convention, tuple[float, float]] = {
    "report": (1e4, 1e-2),
    "gatys": (1.0, 1e3),
}
"""Content and style weight of each convention."""
DEFAULT_TV_WEIGHT = 30.0
"""The TensorFlow tutorial's; the report's total has no such term. Almost inert at usual sizes."""

_TINY = 1e-30


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["content", "style"],
    meta_fields=["convention", "locations"],
)
@dataclass(frozen=True)
class Targets:
    """What the features of the generated image are compared with.

    Attributes:
      content: `{layer: P}`, features of the content image, (h_l, w_l, c_l).
      style: `{layer: A}`, Gram matrices of the style image, (c_l, c_l).
      convention: the one in which both were computed.
      locations: M of each style layer, of the content image.
    """

    # Any: inside JAX's transformations the leaves of a pytree are not always arrays.
    content: dict[str, Any]
    style: dict[str, Any]
    convention: Convention
    locations: tuple[int, ...]


class LossWeights(NamedTuple):
    """Weights of the terms, all traced; see `make_weights`.

    Attributes:
      content: alpha.
      style: beta.
      total_variation: gamma.
      content_layers: of the layers within the content term, in the order of the targets; not
        normalised.
      style_layers: the same of the style term.
    """

    content: Float[ArrayLike, "*v"]
    style: Float[ArrayLike, "*v"]
    total_variation: Float[ArrayLike, "*v"]
    content_layers: Float[Array | np.ndarray, "*v content_layer"]
    style_layers: Float[Array | np.ndarray, "*v style_layer"]


class LossTerms(NamedTuple):
    """The loss of an image and its terms before their weights are applied.

    total = content_weight content + style_weight style + tv_weight total_variation

    Attributes:
      total: what is minimised.
      content: the sum over layers, weighted by layer.
      style: as `content`.
      total_variation: of the image.
      style_per_layer: the terms of which `style` is the weighted sum.
    """

    total: Float[Array, "*v"]
    content: Float[Array, "*v"]
    style: Float[Array, "*v"]
    total_variation: Float[Array, "*v"]
    style_per_layer: Float[Array, "*v style_layer"]


def compute_targets(
    feature_fn: FeatureFn,
    content_image: Float[ArrayLike, "h w 3"],
    style_image: Float[ArrayLike, "h2 w2 3"],
    *,
    content_layers: Sequence[str],
    style_layers: Sequence[str],
    convention: Convention = "report",
) -> Targets:
    """The content image's features and the style image's Gram matrices.

    In the `gatys` convention Gram matrices are sums over locations: the style's is scaled by
    M_image / M_style, without which a style picture of another size asks for another contrast.

    Args:
      feature_fn: any pure function from an image to `{layer: features}`, e.g. `vgg.feature_fn`.
      content_image: RGB in [0, 1].
      style_image: RGB in [0, 1], of any size.
      content_layers: layers of the content term; may be empty.
      style_layers: layers of the style term; may be empty.
      convention: "report" or "gatys", see `losses`.

    Raises:
      ValueError: `feature_fn` gives no such layer; layers that are no list; an array that is no
        picture in [0, 1].
    """
    check_choice("convention", convention, Convention)
    for name, names in (("content_layers", content_layers), ("style_layers", style_layers)):
        if isinstance(names, str):
            raise ValueError(f"`{name}` must be a list of layers, got {names!r}: give [{names!r}]")
    content_image = pixels.check_picture("content_image", content_image)
    style_image = pixels.check_picture("style_image", style_image)
    normalize = "locations" if convention == "report" else "none"
    content_features = feature_fn(jnp.asarray(content_image))
    style_features = feature_fn(jnp.asarray(style_image))
    unknown = [x for x in (*content_layers, *style_layers) if x not in content_features]
    if unknown:
        raise ValueError(
            f"`feature_fn` gives {', '.join(content_features)}, not {', '.join(unknown)}"
        )
    # Ordered: JAX sorts the keys of a plain dict, and weights of layers go by position.
    grams = OrderedDict()
    for name in style_layers:
        gram = losses.gram_matrix(style_features[name], normalize=normalize)
        if convention == "gatys":
            gram *= _locations(content_features[name]) / _locations(style_features[name])
        grams[name] = gram
    content = OrderedDict((name, content_features[name]) for name in content_layers)
    locations = tuple(_locations(content_features[name]) for name in style_layers)
    return Targets(content, grams, convention, locations)


def _locations(features: Array) -> int:
    return features.shape[-3] * features.shape[-2]


def make_objective(feature_fn: FeatureFn, targets: Targets) -> jax.tree_util.Partial:
    """The function to minimise: `objective(image, LossWeights) -> (total, LossTerms)`.

    It is a pytree whose leaves are the targets and the network's weights: pass it to a jitted
    function as an argument. One forward pass serves all layers.

    Args:
      feature_fn: the function that `targets` were computed with. If it is not a pytree (a plain
        Python function), it is compiled in as a constant.
      targets: see `compute_targets`.
    """
    return jax.tree_util.Partial(_objective, as_pytree(feature_fn), targets)


def in_gray(objective: Objective) -> jax.tree_util.Partial:
    """The objective among gray images: one that starts gray stays so, up to its last bits.

    It takes an image for the mean of its channels. That projects orthogonally onto the gray images:
    of a gray image the losses are the same, and the gradient is the part of it that is gray.

    Args:
      objective: see `make_objective`; targets of gray pictures can be reached.
    """
    return jax.tree_util.Partial(_in_gray, as_pytree(objective))


def _in_gray(
    objective: Objective, image: ArrayLike, weights: LossWeights
) -> tuple[Array, LossTerms]:
    image = jnp.asarray(image)
    mean = jnp.mean(image, axis=-1, keepdims=True)
    return objective(jnp.broadcast_to(mean, image.shape), weights)


def as_pytree(function: Callable) -> jax.tree_util.Partial:
    """A function that a jitted one takes as an argument; a plain one is compiled in as it is."""
    if isinstance(function, jax.tree_util.Partial):
        return function
    return jax.tree_util.Partial(function)


def _objective(
    feature_fn: FeatureFn, targets: Targets, image: ArrayLike, weights: LossWeights
) -> tuple[Array, LossTerms]:
    image = jnp.asarray(image)
    features = feature_fn(image)
    content = [
        losses.content_loss(features[name], target, convention=targets.convention)
        for name, target in targets.content.items()
    ]
    style = [
        losses.style_loss(features[name], gram, convention=targets.convention)
        for name, gram in targets.style.items()
    ]
    content_term = _weighted_sum(content, weights.content_layers)
    style_term = _weighted_sum(style, weights.style_layers)
    variation = losses.total_variation(image)
    total = (
        weights.content * content_term
        + weights.style * style_term
        + weights.total_variation * variation
    )
    per_layer = jnp.stack(style) if style else jnp.zeros(0)
    return total, LossTerms(total, content_term, style_term, variation, per_layer)


def _weighted_sum(terms: list[Array], weights: Array | np.ndarray) -> Array:
    # JAX would take the last weight for all that are missing.
    if np.shape(weights) != (len(terms),):
        raise ValueError(
            f"{len(terms)} layers need as many weights, got weights of shape {np.shape(weights)}"
        )
    return sum((weights[i] * term for i, term in enumerate(terms)), start=jnp.zeros(()))


def make_weights(
    targets: Targets,
    *,
    content: float | None = None,
    style: float | None = None,
    total_variation: float = DEFAULT_TV_WEIGHT,
    content_layers: Sequence[float] | None = None,
    style_layers: Sequence[float] | None = None,
) -> LossWeights:
    """Weights of the loss terms, checked; what is not given is the convention's default.

    Args:
      targets: what the weights are for: their convention sets the defaults (`report`: content
        1e4, style 1e-2; `gatys`: 1 and 1e3), their layers the number of layer weights.
      content: alpha, the weight of the content term.
      style: beta, the weight of the style term.
      total_variation: gamma; 0 in everything that reproduces the report.
      content_layers: a weight a content layer; default 1 / number of layers each.
      style_layers: w_l, a weight a style layer; default 1 / number of layers each.

    Raises:
      ValueError: a weight is negative or not finite, all are zero, or their number is wrong.
    """
    default_content, default_style = DEFAULT_WEIGHTS[targets.convention]
    content = default_content if content is None else content
    style = default_style if style is None else style
    for name, weight in {
        "content": content,
        "style": style,
        "total_variation": total_variation,
    }.items():
        if not is_number(weight):
            raise ValueError(f"`{name}` must be a number, got {weight!r}")
    of_content = _layer_weights("content_layers", content_layers, len(targets.content))
    of_style = _layer_weights("style_layers", style_layers, len(targets.style))
    # A term without layers has no weight either.
    check_weights(content * of_content.any(), style * of_style.any(), total_variation)
    return LossWeights(
        np.float32(content), np.float32(style), np.float32(total_variation), of_content, of_style
    )


def check_weights(content: float, style: float, total_variation: float) -> None:
    """Refuses weights that are negative, not finite in float32, or all zero there."""
    named = {"content": content, "style": style, "total variation": total_variation}
    with np.errstate(over="ignore", under="ignore"):
        values = {name: float(np.float32(weight)) for name, weight in named.items()}
    for name, value in values.items():
        if not (np.isfinite(value) and value >= 0):
            raise ValueError(
                f"the {name} weight must be finite and not negative, got {named[name]}"
            )
    if not any(values.values()):
        raise ValueError("the weights of content, style and total variation are all zero")


def _layer_weights(name: str, weights: Sequence[float] | None, count: int) -> np.ndarray:
    if weights is None:
        return np.full(count, 1 / max(count, 1), np.float32)
    try:
        array: np.ndarray = np.asarray(weights, np.float32)
    except (TypeError, ValueError):
        array = np.zeros((), np.float32)
    if array.shape != (count,) or not np.all(np.isfinite(array) & (array >= 0)):
        raise ValueError(f"`{name}` must be {count} finite weights >= 0, got {weights!r}")
    return array


def relative_weights(targets: Targets, weights: LossWeights) -> LossWeights:
    """The same weights with each layer's loss taken relative to that of no features at all.

    Divides the weight of a layer by the loss that an image without features would have there:
    a layer then counts equally whatever its scale. Random networks need it, whose layers share
    no trained balance.
    """
    content, style = losses_without_features(targets)
    return weights._replace(
        content_layers=weights.content_layers / np.maximum(content, _TINY),
        style_layers=weights.style_layers / np.maximum(style, _TINY),
    )


def losses_without_features(
    targets: Targets,
) -> tuple[Float[np.ndarray, "content_layer"], Float[np.ndarray, "style_layer"]]:
    """The loss of each layer for an image that has no features at all: the targets' own scale."""
    convention = targets.convention
    content = [
        losses.content_loss(jnp.zeros_like(target), target, convention=convention)
        for target in targets.content.values()
    ]
    style = [
        losses.style_loss(jnp.zeros((count, 1, gram.shape[-1])), gram, convention=convention)
        for gram, count in zip(targets.style.values(), targets.locations, strict=True)
    ]
    return _float32(content), _float32(style)


def _float32(terms: list[Array]) -> np.ndarray:
    return np.array([float(term) for term in terms], np.float32)
