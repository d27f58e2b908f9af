"""An objective made of terms: what an image is optimized for, as one pure function.

    L = sum_t a_t L_t,    L_t = sum_p v_tp L_tp

with the weights a_t of the terms and v_tp of their parts, mostly the layers of a network. Targets,
weights of terms and weights of the network are arguments of the objective (a pytree), so that a new
value of any of them never compiles a program again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array

from nst_jax.scalars import is_number
from nst_jax.terms.term import FeatureFn, Losses, Objective, Term, View, Weights


@dataclass(frozen=True)
class _Composed:
    """The static part of an objective: its terms by name, in their order."""

    terms: tuple[tuple[str, Term], ...]

    def __call__(
        self, feature_fn: FeatureFn, targets: Mapping[str, Any], image: ArrayLike, weights: Weights
    ) -> tuple[Array, Losses]:
        seen = view(feature_fn, image)
        targets = {**targets, **(weights.targets or {})}
        parts = {name: term.losses_of(targets[name], seen) for name, term in self.terms}
        return total_of(dict(self.terms), parts, weights)


def total_of(
    terms: Mapping[str, Term], parts: Mapping[str, Array], weights: Weights
) -> tuple[Array, Losses]:
    """The loss of an image, of the losses of all parts.

    Args:
      terms: by name, in their order.
      parts: `{term: (part,)}`.
      weights: of the terms and parts.

    Raises:
      ValueError: another number of losses or weights than a term has parts.
    """
    each = {
        name: _sum_of_parts(name, term, parts[name], weights.parts[name])
        for name, term in terms.items()
    }
    # In the order of the terms: another order would round the total otherwise.
    total = sum((weights.terms[name] * each[name] for name in each), start=jnp.zeros(()))
    return total, Losses(total, each, dict(parts))


def _sum_of_parts(name: str, term: Term, parts: Array, weights: ArrayLike) -> Array:
    if np.shape(parts) != (len(term.parts),):
        raise ValueError(
            f"the loss of the term {name!r} must be an array of as many numbers as it has parts "
            f"({', '.join(term.parts)}), got the shape {np.shape(parts)}"
        )
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


def blend(views: Sequence[View], weights: Sequence[Any]) -> View:
    """Several pictures as one style: their statistics are the weighted means of each one's.

    For statistics of single locations: of pairs of locations those of one picture would stand
    beside those of another.

    Args:
      views: of the same network, each of any size.
      weights: one each, positive; only their ratios count. They may be traced.

    Returns:
      A view in which all locations stand in one row, (1, M_1 + M_2 + ..., c_l), each with its
      picture's weight over the number of that picture's locations; weights of locations of the
      views are kept. Its image is that of the first.

    Raises:
      ValueError: there is no view, or another number of weights.
    """
    return in_a_row(shared(views, weights))


def shared(views: Sequence[View], weights: Sequence[Any]) -> list[View]:
    """Pictures that are one style together, with the weights of their locations for that.

    Args:
      views: of the same network, each of any size; of features shapes are enough.
      weights: one each, positive; only their ratios count.

    Returns:
      The views, in each of which the weights of a layer's locations add up to its picture's share.

    Raises:
      ValueError: there is no view, or another number of weights.
    """
    if not views or len(views) != len(weights):
        raise ValueError(
            f"a blend needs views and a weight each, got {len(views)} and {len(weights)} weights"
        )
    shares = jnp.asarray(weights, jnp.float32) / jnp.sum(jnp.asarray(weights, jnp.float32))
    return [
        seen._replace(where={layer: share * _counts(seen, layer) for layer in seen.features})
        for share, seen in zip(shares, views, strict=True)
    ]


def _counts(seen: View, layer: str) -> Array:
    """The weights of the locations of a layer, with the sum 1."""
    own = seen.weights(layer)
    counts = jnp.ones(seen.features[layer].shape[:2]) if own is None else own
    return counts / jnp.sum(counts)


def in_a_row(views: Sequence[View]) -> View:
    """One view of the locations of several that have weights, (1, M_1 + M_2 + ..., c_l)."""
    features, where = {}, {}
    for layer in views[0].features:
        rows = [seen.features[layer] for seen in views]
        counts = [jnp.asarray(seen.weights(layer)) for seen in views]
        features[layer] = jnp.concatenate([x.reshape(1, -1, x.shape[-1]) for x in rows], axis=1)
        where[layer] = jnp.concatenate([x.reshape(1, -1) for x in counts], axis=1)
    return View(views[0].image, features, where)


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
    if not isinstance(terms, Mapping) or not terms:
        raise ValueError(f"`terms` must be a dict of one term at least, got {terms!r:.80}")
    for name, term in terms.items():
        _check_references(name, term, pictures)
    return of_targets(feature_fn, terms, targets_from(terms, pictures))


def targets_from(terms: Mapping[str, Term], pictures: Mapping[str, View]) -> dict[str, Any]:
    """The targets of each term, by its name.

    Raises:
      ValueError: a term reads a picture or layer that it does not name.
    """
    targets = {}
    for name, term in terms.items():
        named = {picture: pictures[picture] for picture in term.references}
        try:
            targets[name] = term.init(named)
        except KeyError as error:
            raise ValueError(
                f"the term {name!r} looks for {error}, which is neither one of its references "
                f"({', '.join(named) or 'none'}) nor one of its layers"
            ) from error
    return targets


def of_targets(
    feature_fn: FeatureFn, terms: Mapping[str, Term], targets: Mapping[str, Any]
) -> jax.tree_util.Partial:
    """`compose` with targets that are there already, one of each term; without its checks."""
    static = _Composed(tuple(terms.items()))
    return jax.tree_util.Partial(static, as_pytree(feature_fn), dict(targets))


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
    """The terms of an objective that `compose` has made, by name, in their order.

    Raises:
      ValueError: it is another function.
    """
    composed: Any = _composed(objective).func
    return dict(composed.terms)


def targets_of(objective: jax.tree_util.Partial) -> dict[str, Any]:
    """The targets of an objective that `compose` has made, by the names of its terms.

    Raises:
      ValueError: it is another function.
    """
    return _composed(objective).args[1]


def feature_fn_of(objective: jax.tree_util.Partial) -> jax.tree_util.Partial:
    """The network of an objective that `compose` has made.

    Raises:
      ValueError: it is another function.
    """
    return _composed(objective).args[0]


def _composed(objective: jax.tree_util.Partial) -> jax.tree_util.Partial:
    if getattr(objective, "func", None) is _in_gray:
        return _composed(objective.args[0])
    if not isinstance(getattr(objective, "func", None), _Composed):
        raise ValueError(f"`objective` must be one that terms.compose gives, got {objective!r:.80}")
    return objective


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


def check_weights(weights: Mapping[str, float]) -> None:
    """Refuses weights of terms that are negative, not finite in float32, or all zero there.

    Args:
      weights: by term, one at least.

    Raises:
      ValueError: one line that names the term.
    """
    # Programs compute in float32, where 1e39 is infinite and 1e-50 is zero. NumPy warns of both.
    with np.errstate(over="ignore", under="ignore"):
        values = {name: float(np.float32(weight)) for name, weight in weights.items()}
    words = {name: name.replace("_", " ") for name in weights}
    for name, value in values.items():
        if not (np.isfinite(value) and value >= 0):
            raise ValueError(
                f"the {words[name]} weight must be finite and not negative, got {weights[name]}"
            )
    if not any(values.values()):
        *first, last = words.values()
        listed = f"{', '.join(first)} and {last}" if first else last
        raise ValueError(f"the weights of {listed} are all zero")


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
      New weights. A part whose target is all zeros has no scale, and keeps its weight.
    """
    scales = losses_without_features(objective, seen)
    return weights._replace(parts=relative_parts(weights.parts, scales))


def relative_parts(parts: Mapping[str, Any], scales: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Weights of parts over the scales of `losses_without_features`, where there is one."""
    # A part that an image without features satisfies has no scale of its own.
    divided = {name: parts[name] / np.where(scale > 0, scale, 1) for name, scale in scales.items()}
    return {**parts, **divided}


def losses_without_features(objective: jax.tree_util.Partial, seen: View) -> dict[str, np.ndarray]:
    """The loss of each part for an image that has no features at all: the targets' own scale.

    Args:
      objective: see `compose`.
      seen: any picture of the size of the image: only the shapes count.

    Returns:
      `{term: L_t(F = 0), (part,)}` of the terms that read features, in float32.
    """
    nothing = seen._replace(features=jax.tree.map(jnp.zeros_like, dict(seen.features)))
    targets = targets_of(objective)
    return {
        name: np.asarray(jax.jit(term.losses_of)(targets[name], nothing))
        for name, term in terms_of(objective).items()
        if term.layers
    }


def in_gray(objective: Objective) -> jax.tree_util.Partial:
    """The objective among gray images: one that starts gray stays so, up to its last bits.

    Every pixel is first replaced by the mean of its three channels, P x = (R + G + B) / 3. P is
    the orthogonal projection onto the gray images: it changes no gray image, so that the losses
    there are the same, and the gradient P^T grad = P grad is the gray part of what it was.

    Args:
      objective: see `compose`. Its targets should be of gray pictures: a gray image cannot reach
        others.

    Returns:
      An objective for the same arguments.
    """
    return jax.tree_util.Partial(_in_gray, as_pytree(objective))


def _in_gray(objective: Objective, image: ArrayLike, weights: Weights) -> tuple[Array, Losses]:
    return objective(_gray(jnp.asarray(image)), weights)


def _gray(image: Array) -> Array:
    mean = jnp.mean(image, axis=-1, keepdims=True)
    return jnp.broadcast_to(mean, image.shape)


def image_seen(objective: jax.tree_util.Partial, image: Array) -> Array:
    """An image as the terms of an objective of `compose` or `in_gray` see it."""
    return _gray(image) if objective.func is _in_gray else image


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
