"""The report's objective: the content and the style of two pictures, and total variation.

    L_total = alpha L_content + beta L_style + gamma TV
    L_content = sum_l v_l L_content^l,    L_style = sum_l w_l E_l

with the loss of each layer l and the total variation from `losses`. It is an instance of the open
objective in `terms`, with the names "content", "style" and "total_variation".

References:
  Gatys, Ecker, Bethge, "Image Style Transfer Using Convolutional Neural Networks", CVPR 2016,
  equations 5 (the sum over layers) and 7 (the total); the report, Chapter 6, which has no total
  variation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float

from nst_jax import pixels, terms
from nst_jax.choices import Convention, check_choice
from nst_jax.scalars import is_number
from nst_jax.terms import FeatureFn, Targets, Term, View, Weights

DEFAULT_WEIGHTS: dict[Convention, tuple[float, float]] = {
    "report": (1e4, 1e-2),
    "gatys": (1.0, 1e3),
}
"""Alpha and beta, the weights of content and style, of each convention."""
DEFAULT_TV_WEIGHT = 30.0
"""Gamma of the TensorFlow tutorial. The report's total has no such term; at usual sizes it does
little (0.07 % of the total at 96 pixels, 3.8 % at 320)."""


# Arrays are data, which JAX traces: other targets of the same shapes run the same program. Layers
# and convention select what is computed: they are static, and another value compiles anew.
@partial(
    jax.tree_util.register_dataclass,
    data_fields=["content", "style"],
    meta_fields=["content_layers", "style_layers", "convention"],
)
@dataclass(frozen=True)
class ReportTargets:
    """What the features of the generated image are compared with; see `compute_targets`.

    Attributes:
      content: `{layer: P}`, features of the content image, (h_l, w_l, c_l).
      style: `{layer: A}`, Gram matrices of the style image, means over its locations, (c_l, c_l),
        in float32.
      content_layers: in the order of their weights.
      style_layers: in the order of their weights.
      convention: "report" or "gatys", that of the losses.
    """

    # Any and not Array, as in `terms.View`.
    content: dict[str, Any]
    style: dict[str, Any]
    content_layers: tuple[str, ...]
    style_layers: tuple[str, ...]
    convention: Convention


def report_terms(
    content_layers: tuple[str, ...],
    style_layers: tuple[str, ...],
    convention: Convention = "report",
) -> dict[str, Term]:
    """The terms of the report's objective, or, gatys, of the formulas that it prints."""
    return {
        "content": terms.content(content_layers, convention=convention),
        "style": terms.gram(style_layers, convention=convention),
        "total_variation": terms.total_variation(),
    }


def compute_targets(
    feature_fn: FeatureFn,
    content_image: Float[ArrayLike, "h w 3"],
    style_image: Float[ArrayLike, "h2 w2 3"],
    *,
    content_layers: Sequence[str],
    style_layers: Sequence[str],
    convention: Convention = "report",
) -> ReportTargets:
    """The content image's features and the style image's Gram matrices.

    Gram matrices are means over locations in both conventions: as sums, a style picture of another
    size would ask for another contrast.

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
    views = {
        "content": terms.view(feature_fn, pixels.check_picture("content_image", content_image)),
        "style": terms.view(feature_fn, pixels.check_picture("style_image", style_image)),
    }
    given = views["content"].features
    if unknown := [x for x in (*content_layers, *style_layers) if x not in given]:
        raise ValueError(f"`feature_fn` gives {', '.join(given)}, not {', '.join(unknown)}")
    layers = (tuple(content_layers), tuple(style_layers))
    of_terms = report_terms(*layers, convention)
    return ReportTargets(
        {x: views["content"].features[x] for x in content_layers},
        of_terms["style"].init(views).values,
        *layers,
        convention,
    )


def make_objective(feature_fn: FeatureFn, targets: ReportTargets) -> jax.tree_util.Partial:
    """The function to minimize: `objective(image, Weights) -> (total, Losses)`.

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
    of_terms = report_terms(targets.content_layers, targets.style_layers, targets.convention)
    return terms.of_targets(
        feature_fn,
        of_terms,
        {
            "content": Targets({x: (kept, None) for x, kept in targets.content.items()}, ()),
            "style": Targets({}, targets.style),
            "total_variation": Targets({}, ()),
        },
    )


def make_weights(
    targets: ReportTargets,
    *,
    content: float | None = None,
    style: float | None = None,
    total_variation: float = DEFAULT_TV_WEIGHT,
    content_layers: Sequence[float] | None = None,
    style_layers: Sequence[float] | None = None,
) -> Weights:
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
    content_each = _layer_weights("content_layers", content_layers, len(targets.content_layers))
    style_each = _layer_weights("style_layers", style_layers, len(targets.style_layers))
    # A term without layers, or with weights of 0 for all of them, adds nothing whatever its own
    # weight is. If no other term has a weight, there is nothing to minimize.
    terms.check_weights(
        {
            "content": content * content_each.any(),
            "style": style * style_each.any(),
            "total_variation": total_variation,
        }
    )
    # NumPy's float32 and not Python's float: JAX types the two differently (a Python number is
    # "weak") and would compile a second program where the one replaces the other. NumPy's and not
    # JAX's: making weights starts no device.
    return Weights(
        {
            "content": np.float32(content),
            "style": np.float32(style),
            "total_variation": np.float32(total_variation),
        },
        {
            "content": content_each,
            "style": style_each,
            "total_variation": np.ones(1, np.float32),
        },
    )


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


def relative_weights(targets: ReportTargets, weights: Weights) -> Weights:
    """The same weights with each layer's loss taken relative to that of no features at all.

    v_l' = v_l / L_content^l(F = 0),    w_l' = w_l / E_l(F = 0)

    A layer then counts equally whatever the scale of its features. Random networks need it: no
    training has balanced the scales of their layers.

    Args:
      targets: of the objective.
      weights: of the objective, without leading axes; their layer weights are divided.

    Returns:
      New weights. A layer whose target is all zeros has no scale, and keeps its weight.
    """
    # The mean of a Gram matrix does not depend on how many zeros it is the mean of.
    style = {x: np.zeros((1, 1, len(gram)), np.float32) for x, gram in targets.style.items()}
    seen = View(None, style | targets.content)
    return terms.relative(make_objective(_no_features, targets), weights, seen)


def _no_features(image: Any) -> dict:
    """Stands for a network that is not asked for anything."""
    return {}
