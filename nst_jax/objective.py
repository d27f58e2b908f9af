"""The objective: what an image is optimized for, as one pure function.

    L_total = alpha L_content + beta L_style + gamma TV
    L_content = sum_l v_l L_content^l,    L_style = sum_l w_l E_l

with the loss of each layer l and the total variation from `losses`. Targets are computed once.
Targets, weights of the loss terms and weights of the network are arguments of the objective
(a pytree), so that a new value of any of them never recompiles a program.

References:
  Gatys, Ecker, Bethge, "Image Style Transfer Using Convolutional Neural Networks", CVPR 2016,
  equations 5 (the sum over layers) and 7 (the total); the report, Chapter 6, which has no total
  variation.
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
"""From an image, RGB in [0, 1], (h, w, 3), to `{layer: features}`, each (h_l, w_l, c_l)."""
Objective = Callable[[Array, "LossWeights"], "tuple[Array, LossTerms]"]
"""From an image, RGB in [0, 1], (h, w, 3), to its loss, a number, and the terms of it."""

DEFAULT_WEIGHTS: dict[Convention, tuple[float, float]] = {
    "report": (1e4, 1e-2),
    "gatys": (1.0, 1e3),
}
"""Alpha and beta, the weights of content and style, of each convention."""
DEFAULT_TV_WEIGHT = 30.0
"""Gamma of the TensorFlow tutorial. The report's total has no such term; at usual sizes it does
little (0.07 % of the total at 96 pixels, 3.8 % at 320)."""

# Divides in place of a loss of 0, that of a layer whose target is all zeros. Far below any loss
# that counts, yet large enough that 1 / _TINY is finite in float32.
_TINY = 1e-30


# Arrays are data, which JAX traces: other targets of the same shapes run the same program. The
# convention and M select what is computed: they are static, and another value compiles anew.
@partial(
    jax.tree_util.register_dataclass,
    data_fields=["content", "style"],
    meta_fields=["convention", "locations"],
)
@dataclass(frozen=True)
class Targets:
    """What the features of the generated image are compared with; see `compute_targets`.

    Attributes:
      content: `{layer: P}`, features of the content image, (h_l, w_l, c_l).
      style: `{layer: A}`, Gram matrices of the style image, (c_l, c_l), float32.
      convention: "report" or "gatys", the one in which both were computed.
      locations: M = h_l x w_l of each style layer, of the content image.
    """

    # Any and not Array: JAX's transformations rebuild a pytree with other leaves in it, such as
    # axis numbers of `vmap` or bare objects, and beartype would refuse them.
    content: dict[str, Any]
    style: dict[str, Any]
    convention: Convention
    locations: tuple[int, ...]


class LossWeights(NamedTuple):
    """Weights of the terms, non-negative and traced; see `make_weights`.

    All fields may have leading axes v of variants, for `jax.vmap`.

    Attributes:
      content: alpha.
      style: beta.
      total_variation: gamma.
      content_layers: v_l, of the layers within the content term, in the order of the targets.
        They are taken as they are, and need not sum to 1.
      style_layers: w_l, the same of the style term.
    """

    content: Float[ArrayLike, "*v"]
    style: Float[ArrayLike, "*v"]
    total_variation: Float[ArrayLike, "*v"]
    content_layers: Float[Array | np.ndarray, "*v content_layer"]
    style_layers: Float[Array | np.ndarray, "*v style_layer"]

    @property
    def axes(self) -> Any:
        """How many axes each has for one variant, in the same structure."""
        axes: Any = (0, 0, 0, 1, 1)
        return LossWeights(*axes)


class LossTerms(NamedTuple):
    """The loss of an image and its terms before their weights are applied.

    total = alpha content + beta style + gamma total_variation

    All fields have the leading axes v of the variants, if there are any.

    Attributes:
      total: L_total, what is minimized.
      content: L_content, the sum over layers, weighted by layer.
      style: L_style, as `content`.
      total_variation: TV of the image.
      style_per_layer: E_l, the terms of which `style` is the weighted sum.
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
      content_image: RGB in [0, 1], (h, w, 3), as large as the image that is to be made.
      style_image: RGB in [0, 1], (h2, w2, 3), of any size.
      content_layers: layers of the content term; may be empty.
      style_layers: layers of the style term; may be empty.
      convention: "report" or "gatys", see `losses`.

    Returns:
      Features (h_l, w_l, c_l) and Gram matrices (c_l, c_l), in the order of the layers.

    Raises:
      ValueError: `feature_fn` gives no such layer; layers that are no list; an array that is no
        picture in [0, 1]; an unknown convention.
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
    # JAX sorts the keys of a plain dict whenever it takes a pytree apart. Weights of layers go by
    # position, so that the order has to stay: JAX keeps that of an OrderedDict.
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
    """The function to minimize: `objective(image, LossWeights) -> (total, LossTerms)`.

    It is a pytree whose leaves are the targets and the network's weights: pass it to a jitted
    function as an argument. One forward pass serves all layers.

    Args:
      feature_fn: the function that `targets` were computed with. If it is not a pytree (a plain
        Python function), it is compiled in as a constant.
      targets: see `compute_targets`.

    Returns:
      The objective, for `jax.value_and_grad(objective, has_aux=True)`: image (h, w, 3), of the
      size of the content image, RGB around [0, 1]. It raises a ValueError while it is traced for
      an image of another size, and for another number of layer weights than layers.
    """
    return jax.tree_util.Partial(_objective, as_pytree(feature_fn), targets)


def in_gray(objective: Objective) -> jax.tree_util.Partial:
    """The objective among gray images: one that starts gray stays so, up to its last bits.

    Every pixel is first replaced by the mean of its three channels, P x = (R + G + B) / 3. P is
    the orthogonal projection onto the gray images: it changes no gray image, so that the losses
    there are the same, and the gradient P^T grad = P grad is the gray part of what it was.

    Args:
      objective: see `make_objective`. Its targets should be of gray pictures: a gray image cannot
        reach others.

    Returns:
      An objective for the same arguments.
    """
    return jax.tree_util.Partial(_objective_in_gray, as_pytree(objective))


def _objective_in_gray(
    objective: Objective, image: ArrayLike, weights: LossWeights
) -> tuple[Array, LossTerms]:
    image = jnp.asarray(image)
    mean = jnp.mean(image, axis=-1, keepdims=True)
    return objective(jnp.broadcast_to(mean, image.shape), weights)


def as_pytree(function: Callable) -> jax.tree_util.Partial:
    """A function as a pytree, which a jitted function can take as an argument.

    Args:
      function: a `Partial` is returned as it is: its leaves are traced. Any other function becomes
        a `Partial` without leaves, and the arrays that it encloses are constants of the program.
    """
    # JAX finds the program of a plain function by the function itself: a lambda that is written
    # anew in each call is compiled in each call.
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
    # `jnp.stack` refuses an empty list, and style layers may be none.
    per_layer = jnp.stack(style) if style else jnp.zeros(0)
    return total, LossTerms(total, content_term, style_term, variation, per_layer)


def _weighted_sum(terms: list[Array], weights: Array | np.ndarray) -> Array:
    # JAX does not refuse an index beyond the end: it takes the last element. A list that is too
    # short would silently give its last weight to all further layers.
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

    All are finite and not negative, and at least one is positive in float32.

    Args:
      targets: what the weights are for: their convention sets the defaults (`report`: content
        1e4, style 1e-2; `gatys`: 1 and 1e3), their layers the number of layer weights.
      content: alpha, the weight of the content term.
      style: beta, the weight of the style term.
      total_variation: gamma; 0 in everything that reproduces the report.
      content_layers: v_l, a weight a content layer; default 1 / number of layers each.
      style_layers: w_l, a weight a style layer; default 1 / number of layers each.

    Returns:
      Weights in float32, without leading axes: numbers, and an array of each group of layers.

    Raises:
      ValueError: a weight is no number, negative or not finite, all are zero, or their number is
        wrong.
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
    content_each = _layer_weights("content_layers", content_layers, len(targets.content))
    style_each = _layer_weights("style_layers", style_layers, len(targets.style))
    # A term without layers, or with weights of 0 for all of them, adds nothing whatever its own
    # weight is. If no other term has a weight, there is nothing to minimize.
    check_weights(content * content_each.any(), style * style_each.any(), total_variation)
    # NumPy's float32 and not Python's float: JAX types the two differently (a Python number is
    # "weak") and would compile a second program where the one replaces the other. NumPy's and not
    # JAX's: making weights starts no device.
    return LossWeights(
        np.float32(content),
        np.float32(style),
        np.float32(total_variation),
        content_each,
        style_each,
    )


def check_weights(content: float, style: float, total_variation: float) -> None:
    """Refuses weights that are negative, not finite in float32, or all zero there.

    Args:
      content: alpha.
      style: beta.
      total_variation: gamma.

    Raises:
      ValueError: one line that names the weight.
    """
    named = {"content": content, "style": style, "total variation": total_variation}
    # Programs compute in float32, where 1e39 is infinite and 1e-50 is zero. NumPy warns of both.
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
    """Weights of `count` layers, (count,), checked; 1 / count each if none are given."""
    if weights is None:
        return np.full(count, 1 / max(count, 1), np.float32)
    try:
        array: np.ndarray = np.asarray(weights, np.float32)
    except (TypeError, ValueError):
        # No numbers, or lists of unequal length: refused below, by its shape.
        array = np.zeros((), np.float32)
    if array.shape != (count,) or not np.all(np.isfinite(array) & (array >= 0)):
        raise ValueError(f"`{name}` must be {count} finite weights >= 0, got {weights!r}")
    return array


def relative_weights(targets: Targets, weights: LossWeights) -> LossWeights:
    """The same weights with each layer's loss taken relative to that of no features at all.

    v_l' = v_l / L_content^l(F = 0),    w_l' = w_l / E_l(F = 0)

    A layer then counts equally whatever the scale of its features. Random networks need it: no
    training has balanced the scales of their layers.

    Args:
      targets: of the objective.
      weights: of the objective, without leading axes; their layer weights are divided.

    Returns:
      New weights. A layer whose target is all zeros is divided by 1e-30.
    """
    content, style = losses_without_features(targets)
    return weights._replace(
        content_layers=weights.content_layers / np.maximum(content, _TINY),
        style_layers=weights.style_layers / np.maximum(style, _TINY),
    )


def losses_without_features(
    targets: Targets,
) -> tuple[Float[np.ndarray, "content_layer"], Float[np.ndarray, "style_layer"]]:
    """The loss of each layer for an image that has no features at all: the targets' own scale.

    Args:
      targets: of the objective.

    Returns:
      L_content^l(F = 0) of each content layer, and E_l(F = 0) of each style layer, unweighted.
    """
    convention = targets.convention
    content = [
        losses.content_loss(jnp.zeros_like(target), target, convention=convention)
        for target in targets.content.values()
    ]
    # The style loss depends on the number of locations and not on their arrangement, so that a
    # column of zeros stands for a picture of the content image's size.
    style = [
        losses.style_loss(jnp.zeros((count, 1, gram.shape[-1])), gram, convention=convention)
        for gram, count in zip(targets.style.values(), targets.locations, strict=True)
    ]
    return _on_the_host(content), _on_the_host(style)


def _on_the_host(terms: list[Array]) -> np.ndarray:
    return np.array([float(term) for term in terms], np.float32)
