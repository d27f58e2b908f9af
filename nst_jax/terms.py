"""An open objective: any sum of named terms, over any number of pictures.

    L = sum_t a_t L_t,    L_t = sum_p v_tp L_tp

with the weights a_t of the terms and v_tp of their parts, mostly the layers of a network. A term
is three pure functions: `init` makes its targets of the pictures that it names, once; `measure`
gives statistics of an image as sums over locations; `loss` compares the sums of the whole image
with the targets. Because `measure` is a sum, parts of a picture, weights of locations and several
pictures as one style are one thing to a term.

    pictures = {
        "content": terms.view(feature_fn, photograph),
        "style": terms.view(feature_fn, painting),
    }
    objective = terms.compose(
        feature_fn,
        {"content": terms.content(("block4_conv2",)),
         "style": terms.wasserstein(("block1_conv1", "block2_conv1", "block3_conv1")),
         "smooth": terms.squared_variation()},
        pictures,
    )
    weights = terms.weigh(objective, {"content": 0.1, "style": 1.0, "smooth": 1e-4})
    total, found = objective(image, weights)

A term of your own is a function that returns a `Term`; nothing here has to know it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from nst_jax import losses
from nst_jax.choices import Convention, check_choice
from nst_jax.losses.arithmetic import at_least_float32, locations
from nst_jax.losses.wasserstein import EPSILON, ROOT_STEPS
from nst_jax.objective import FeatureFn, LossTerms, LossWeights, as_pytree
from nst_jax.scalars import is_number

_TINY = 1e-30


class View(NamedTuple):
    """A picture as a term sees it.

    Attributes:
      image: RGB in [0, 1], (h, w, 3).
      features: `{layer: F}`, each (h_l, w_l, c_l).
      where: weights of the locations by layer, or "image", each (h_l, w_l), not negative; None: all
        count alike.
    """

    image: Float[Array, "h w 3"]
    features: Mapping[str, Any]
    where: Mapping[str, Any] | None = None

    def weights(self, layer: str) -> Array | None:
        """Of the locations of a layer, or None."""
        return None if self.where is None else self.where[layer]


class Term(NamedTuple):
    """A summand of an objective before its weight. Static: functions and names.

    A term is hashed by its functions: make it once, by a cached constructor, so that a program
    that has been compiled for it is found again.

    Attributes:
      init: `{name: View}` of the pictures -> targets, a pytree of arrays; called once.
      measure: (targets, view of the image) -> sums over locations, a pytree of arrays.
      loss: (targets, sums of the whole image) -> (part,), one number a part, not negative.
      parts: names of these numbers.
      layers: whose features it reads.
      references: names of the pictures that it reads.
    """

    init: Callable[[Mapping[str, View]], Any]
    measure: Callable[[Any, View], Any]
    loss: Callable[[Any, Any], Float[Array, "part"]]
    parts: tuple[str, ...]
    layers: tuple[str, ...] = ()
    references: tuple[str, ...] = ()


class Weights(NamedTuple):
    """Weights of an objective, traced; all may have leading axes of variants.

    Attributes:
      terms: a_t, `{term: ()}`.
      parts: v_t, `{term: (part,)}`.
    """

    terms: dict[str, Any]
    parts: dict[str, Any]

    @property
    def axes(self) -> "Weights":
        """How many axes each has for one variant."""
        return Weights(dict.fromkeys(self.terms, 0), dict.fromkeys(self.parts, 1))


class Losses(NamedTuple):
    """The loss of an image, and what it is the sum of, before their weights.

    Attributes:
      total: L.
      terms: L_t, `{term: ()}`.
      parts: L_tp, `{term: (part,)}`.
    """

    total: Float[Array, "*v"]
    terms: dict[str, Any]
    parts: dict[str, Any]


AnyWeights = LossWeights | Weights
"""Of the report's objective, or of an open one."""
AnyLosses = LossTerms | Losses


@dataclass(frozen=True)
class _Composed:
    """The static part of an objective: its terms by name, in their order."""

    terms: tuple[tuple[str, Term], ...]

    def __call__(
        self, feature_fn: FeatureFn, targets: Mapping[str, Any], image: ArrayLike, weights: Weights
    ) -> tuple[Array, Losses]:
        seen = view(feature_fn, image)
        parts, terms = {}, {}
        for name, term in self.terms:
            parts[name] = term.loss(targets[name], term.measure(targets[name], seen))
            terms[name] = _sum_of_parts(name, parts[name], weights.parts[name])
        # In the order of the terms: another order would round the total otherwise.
        total = sum((weights.terms[name] * terms[name] for name in terms), start=jnp.zeros(()))
        return total, Losses(total, terms, parts)


def _sum_of_parts(name: str, parts: Array, weights: ArrayLike) -> Array:
    # JAX takes the last weight for an index beyond the end: too few would go unnoticed.
    if np.shape(weights) != np.shape(parts):
        raise ValueError(
            f"the term {name!r} has {len(parts)} parts and needs as many weights, got weights of "
            f"the shape {np.shape(weights)}"
        )
    each = jnp.asarray(weights)
    return sum((each[i] * parts[i] for i in range(len(parts))), start=jnp.zeros(()))


def view(
    feature_fn: FeatureFn,
    image: ArrayLike,
    where: Mapping[str, Any] | None = None,
) -> View:
    """A picture as terms see it.

    Args:
      feature_fn: from an image to `{layer: features}`; see `vgg.feature_fn`.
      image: RGB in [0, 1], (h, w, 3).
      where: weights of the locations; see `View`.
    """
    image = jnp.asarray(image)
    return View(image, feature_fn(image), where)


def compose(
    feature_fn: FeatureFn, terms: Mapping[str, Term], pictures: Mapping[str, View]
) -> jax.tree_util.Partial:
    """The function to minimize: `objective(image, Weights) -> (total, Losses)`.

    It is a pytree whose leaves are the targets and the network's weights: pass it to a jitted
    function as an argument. One forward pass serves all terms.

    Args:
      feature_fn: with which the views were made.
      terms: by the names under which their losses are told.
      pictures: views by name, of whatever terms refer to: mostly "content" and "style".

    Returns:
      The objective, for `stylize`, and for `jax.value_and_grad(objective, has_aux=True)`.

    Raises:
      ValueError: there is no term; a term refers to a picture or to a layer that is not there.
    """
    if not terms:
        raise ValueError("an objective needs a term at least, got none")
    for name, term in terms.items():
        _check_references(name, term, pictures)
    targets = {name: term.init(pictures) for name, term in terms.items()}
    return jax.tree_util.Partial(_Composed(tuple(terms.items())), as_pytree(feature_fn), targets)


def _check_references(name: str, term: Term, pictures: Mapping[str, View]) -> None:
    for picture in term.references:
        if picture not in pictures:
            raise ValueError(
                f"the term {name!r} refers to the picture {picture!r}, got "
                f"{', '.join(pictures) or 'none'}"
            )
        for layer in term.layers:
            if layer not in pictures[picture].features:
                raise ValueError(
                    f"the term {name!r} reads the layer {layer!r}, the network gives "
                    f"{', '.join(pictures[picture].features)}"
                )


def terms_of(objective: jax.tree_util.Partial) -> dict[str, Term]:
    """The terms of an objective that `compose` has made, by name.

    Raises:
      ValueError: it is another function.
    """
    if not isinstance(objective.func, _Composed):
        raise ValueError(f"`objective` must be one that terms.compose gives, got {objective!r:.80}")
    return dict(objective.func.terms)


def weigh(
    objective: jax.tree_util.Partial,
    terms: Mapping[str, float],
    parts: Mapping[str, Sequence[float]] | None = None,
) -> Weights:
    """Weights of an objective, checked.

    Args:
      objective: see `compose`.
      terms: a_t, of each term; finite, not negative, not all 0.
      parts: v_t, of the terms whose parts shall not count alike; as many as parts, as they are.
        The others have 1 / number of parts each.

    Returns:
      Weights in float32.

    Raises:
      ValueError: a term has no weight, or there is no such term; a weight is no number, negative or
        not finite; their number is wrong, or all are 0.
    """
    own = terms_of(objective)
    for named in (terms, parts or {}):
        for name in named:
            if name not in own:
                raise ValueError(f"there is no term {name!r} to weigh: {', '.join(own)}")
    for name in own:
        if name not in terms:
            raise ValueError(f"the term {name!r} has no weight: give one, or 0")
    of_terms = {name: _checked(name, terms[name], ()) for name in own}
    of_parts = {
        name: np.full(len(term.parts), 1 / len(term.parts), np.float32)
        if name not in (parts or {})
        else _checked(name, (parts or {})[name], (len(term.parts),))
        for name, term in own.items()
    }
    if not any(of_terms[name] * of_parts[name].any() for name in own):
        raise ValueError("all weights are zero: there is nothing to minimize")
    return Weights(of_terms, of_parts)


def _checked(name: str, given: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Weights in float32, if they are numbers of that shape."""
    values = given if shape else [given]
    wanted = f"{shape[0]} weights" if shape else "a number"
    if np.ndim(values) != 1 or len(values) != (shape or (1,))[0] or not all(map(is_number, values)):
        raise ValueError(f"the weight of {name!r} must be {wanted}, got {given!r}")
    # Programs compute in float32, where 1e39 is infinite.
    with np.errstate(over="ignore"):
        found = np.asarray(given, np.float32)
    if not np.all(np.isfinite(found) & (found >= 0)):
        raise ValueError(f"the weight of {name!r} must be finite and not negative, got {given!r}")
    return found


def relative(objective: jax.tree_util.Partial, weights: Weights, seen: View) -> Weights:
    """The same weights with each part's loss taken relative to that of no features at all.

    v_tp' = v_tp / L_tp(F = 0)

    A layer then counts equally whatever the scale of its features. Terms of pixels stay as they
    are.

    Args:
      objective: see `compose`.
      weights: of it, without leading axes.
      seen: any picture of the size of the image: only the shapes count.

    Returns:
      New weights. A part whose target is all zeros is divided by 1e-30.
    """
    _, targets = objective.args
    nothing = seen._replace(features=jax.tree.map(jnp.zeros_like, dict(seen.features)))
    parts = dict(weights.parts)
    for name, term in terms_of(objective).items():
        if term.layers:
            found = term.loss(targets[name], term.measure(targets[name], nothing))
            parts[name] = weights.parts[name] / np.maximum(np.asarray(found), _TINY)
    return weights._replace(parts=parts)


# Terms of features


@cache
def content(
    layers: tuple[str, ...], *, reference: str = "content", convention: Convention = "report"
) -> Term:
    """The content loss of each layer; see `losses.content_loss`.

    Args:
      layers: of the network.
      reference: the picture whose subject is kept.
      convention: "report": mean (F - P)^2; "gatys": 1/2 sum (F - P)^2.
    """
    check_choice("convention", convention, Convention)

    def init(pictures: Mapping[str, View]) -> dict[str, Array]:
        return {layer: pictures[reference].features[layer] for layer in layers}

    def measure(targets: Mapping[str, Array], seen: View) -> dict[str, Any]:
        return {x: _squares(seen.features[x], targets[x], seen.weights(x)) for x in layers}

    def loss(targets: Mapping[str, Array], sums: Mapping[str, Any]) -> Array:
        del targets
        if convention == "gatys":
            return jnp.stack([sums[x][1] / 2 for x in layers])
        return jnp.stack([sums[x][1] / sums[x][0] for x in layers])

    return Term(init, measure, loss, layers, layers, (reference,))


def _squares(features: Array, target: Array, where: Array | None) -> tuple[Array, Array]:
    """Number of values, and sum of (F - P)^2, both by the weights of the locations."""
    squares = jnp.square(at_least_float32(features) - at_least_float32(target))
    if where is not None:
        squares = squares * where[..., None]
    return locations(features, where) * features.shape[-1], jnp.sum(squares)


@cache
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
    check_choice("convention", convention, Convention)
    factor = 4 if convention == "gatys" else 1

    def loss(target: losses.GramSums, sums: losses.GramSums) -> Array:
        distance = sums.products / sums.weight - target.products / target.weight
        return jnp.mean(jnp.square(distance)) / factor

    return of_sums(layers, losses.gram_sums, loss, reference=reference, region=region)


@cache
def moments(
    layers: tuple[str, ...], *, reference: str = "style", region: str | None = None
) -> Term:
    """Mean and covariance of each layer; see `losses.moment_distance`, and `of_sums`."""
    return of_sums(
        layers,
        losses.moment_sums,
        lambda target, sums: losses.moment_distance(sums, target),
        reference=reference,
        region=region,
    )


@cache
def wasserstein(
    layers: tuple[str, ...],
    *,
    reference: str = "style",
    region: str | None = None,
    epsilon: float = EPSILON,
    steps: int = ROOT_STEPS,
) -> Term:
    """The Wasserstein distance of each layer; see `losses.wasserstein_distance`, and `of_sums`."""
    return of_sums(
        layers,
        losses.moment_sums,
        lambda target, sums: losses.wasserstein_distance(
            sums, target, epsilon=epsilon, steps=steps
        ),
        reference=reference,
        region=region,
        finish=losses.normal,
    )


def of_sums(
    layers: tuple[str, ...],
    sums_of: Callable[[Array, Array | None], Any],
    distance: Callable[[Any, Any], Array],
    *,
    reference: str = "style",
    region: str | None = None,
    finish: Callable[[Any], Any] = lambda sums: sums,
) -> Term:
    """A term of a statistic that is made of sums over the locations of a layer.

    Args:
      layers: a part each.
      sums_of: (features (h_l, w_l, c_l), weights of locations or None) -> sums.
      distance: (target, sums) -> a number.
      reference: the picture that the target is made of, in its own region if its view has one.
      region: the picture of the image's size whose region of the image counts; None: all of it.
      finish: from the sums of the reference to the target.
    """

    def sums(seen: View, where: Mapping[str, Any] | None) -> dict[str, Any]:
        return {x: sums_of(seen.features[x], _both(seen, where, x)) for x in layers}

    def init(pictures: Mapping[str, View]) -> _Regional:
        values = {x: finish(each) for x, each in sums(pictures[reference], None).items()}
        where = None if region is None else pictures[region].where
        return _Regional(values, None if where is None else {x: where[x] for x in layers})

    def loss(targets: _Regional, found: Mapping[str, Any]) -> Array:
        return jnp.stack([distance(targets.values[x], found[x]) for x in layers])

    references = (reference,) if region is None else (reference, region)
    return Term(
        init, lambda targets, seen: sums(seen, targets.where), loss, layers, layers, references
    )


class _Regional(NamedTuple):
    """Targets, and the region of the image that is compared with them."""

    values: dict[str, Any]
    where: dict[str, Any] | None


def _both(seen: View, where: Mapping[str, Any] | None, layer: str) -> Array | None:
    """The weights of a view's locations times those of a region."""
    own = seen.weights(layer)
    if where is None or own is None:
        return own if where is None else where[layer]
    return own * where[layer]


# Terms of pixels


@cache
def total_variation() -> Term:
    """See `losses.total_variation`."""
    return of_pixels(losses.total_variation)


@cache
def squared_variation() -> Term:
    """See `losses.squared_variation`."""
    return of_pixels(losses.squared_variation)


@cache
def nine_point_variation() -> Term:
    """See `losses.nine_point_variation`."""
    return of_pixels(losses.nine_point_variation)


def of_pixels(function: Callable[[Array], Array]) -> Term:
    """A term of the image alone: a function from (h, w, 3) to a number, a sum over its pixels."""
    return Term(
        init=lambda pictures: (),
        measure=lambda targets, seen: function(seen.image),
        loss=lambda targets, found: found[None],
        parts=("image",),
    )


def report(
    content_layers: tuple[str, ...],
    style_layers: tuple[str, ...],
    convention: Convention = "report",
) -> dict[str, Term]:
    """The terms of the report's objective, or, gatys, of the formulas that it prints."""
    return {
        "content": content(content_layers, convention=convention),
        "style": gram(style_layers, convention=convention),
        "total_variation": total_variation(),
    }
