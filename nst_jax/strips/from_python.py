"""Losses and gradient in strips, as calls from Python of two small programs a section.

The first pass gives the sums of all strips, and keeps what leaves the poolings. Between the passes
the losses are taken of the sums, and their derivatives by these. The second pass computes each
strip once more, from the last section to the first, and adds its gradient to that of the input.
"""

from collections.abc import Mapping
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from nst_jax import terms, vgg
from nst_jax.compiler import Program
from nst_jax.strips import measuring
from nst_jax.strips.measuring import Cut, Kept, Measured, Terms
from nst_jax.strips.objective import part_losses, total_of
from nst_jax.strips.sections import Section, Strip, strips_of
from nst_jax.terms import FeatureFn, Losses, Term, Weights


class Cotangents(NamedTuple):
    """Derivatives of the total.

    Attributes:
      sums: by the sums of each term.
      maps: by its maps.
      image: by the pixels, of the terms of pixels.
    """

    sums: dict[str, Any]
    maps: dict[str, dict[str, Any]]
    image: Array


def evaluate(
    objective: Partial, image: Float[Array, "h w 3"], weights: Weights, *, rows: int
) -> tuple[tuple[Array, Losses], Array]:
    """Losses and gradient at an image: `steps.evaluate` in strips.

    Args:
      objective: of `terms.compose`.
      image: at which.
      weights: of one variant.
      rows: of a strip.
    """
    own = {name: term for name, term in terms.terms_of(objective).items() if term.layers}
    feature_fn, targets = terms.feature_fn_of(objective), terms.targets_of(objective)
    cuts = measuring.cuts_of(feature_fn, own) if own else []
    found, inputs = _first_pass(cuts, targets, jit_prepare(objective, image), rows)
    sums = measuring.merged([each for each, _ in found], own)
    result, cotangents = jit_between(objective, image, sums, measuring.merged_maps(found), weights)
    del found
    gradient = None
    for cut in reversed(cuts):
        of_measured = cotangents_of_cut(cut, cotangents, gradient)
        gradient = _backward(cut, targets, inputs.pop(), rows, of_measured)
    return result, jit_finish(objective, image, gradient, cotangents.image)


def measured(
    feature_fn: FeatureFn,
    own: Mapping[str, Term],
    targets: Mapping[str, Any],
    image: ArrayLike,
    *,
    rows: int,
) -> dict[str, Any]:
    """The sums of terms over an image, without derivatives.

    Args:
      feature_fn: of `vgg.feature_fn`.
      own: terms that read features, by name.
      targets: what each measures with.
      image: RGB in [0, 1], (h, w, 3).
      rows: of a strip.
    """
    x = vgg.with_border(jnp.asarray(image), vgg.anatomy(feature_fn).border)
    found, _ = _first_pass(measuring.cuts_of(feature_fn, own), targets, x, rows)
    return measuring.merged([sums for sums, _ in found], own)


def features(
    feature_fn: FeatureFn, layers: tuple[str, ...], image: ArrayLike, *, rows: int
) -> dict[str, Any]:
    """The features of some layers, whole, `{layer: (h_l, w_l, c_l)}`; arguments as `measured`."""
    reader = _reader(layers)
    x = vgg.with_border(jnp.asarray(image), vgg.anatomy(feature_fn).border)
    found, _ = _first_pass(measuring.cuts_of(feature_fn, {"": reader}), {"": ()}, x, rows)
    return measuring.merged_maps(found)[""]


def losses_without_features(
    objective: Partial, image: Array, *, rows: int
) -> dict[str, Float[np.ndarray, "part"]]:
    """`terms.losses_without_features` in strips.

    Args:
      objective: of `terms.compose`.
      image: any picture of the size of the image.
      rows: of a strip.
    """
    own = {name: term for name, term in terms.terms_of(objective).items() if term.layers}
    targets = terms.targets_of(objective)
    cuts = [
        cut._replace(network=Partial(_without_features, cut.network))
        for cut in measuring.cuts_of(terms.feature_fn_of(objective), own)
    ]
    found, _ = _first_pass(cuts, targets, jit_prepare(objective, image), rows)
    sums = measuring.merged([each for each, _ in found], own)
    maps = measuring.merged_maps(found)
    return {
        name: np.asarray(part_losses(term, targets[name], image, sums[name], maps.get(name)))
        for name, term in own.items()
    }


def _without_features(network: Partial, x: Array) -> dict[str, Array]:
    return jax.tree.map(jnp.zeros_like, network(x))


# Kept, so that its programs are found again.
@cache
def _reader(layers: tuple[str, ...]) -> Term:
    """A term whose maps are the features themselves."""
    return Term(
        init=lambda pictures: (),
        measure=lambda targets, seen: {},
        loss=lambda targets, sums: jnp.zeros(0),
        parts=(),
        layers=layers,
        maps=lambda targets, seen: dict(seen.features),
        groups=tuple((layer,) for layer in layers),
    )


def _first_pass(
    cuts: list[Cut], targets: Mapping[str, Any], x: Array, rows: int
) -> tuple[list[Measured], list[Array]]:
    """What all sections give, and what went into each."""
    found, inputs = [], []
    for cut in cuts:
        inputs.append(x)
        found.append(_forward(cut, targets, x, rows))
        x = found[-1][1].output
    return found, inputs


def prepare(objective: Partial, image: Array) -> Array:
    """An image as the network gets it."""
    border = vgg.anatomy(terms.feature_fn_of(objective)).border
    return vgg.with_border(terms.image_seen(objective, image), border)


def targets_of_cut(cut: Cut, targets: Mapping[str, Any]) -> dict[str, Any]:
    """The targets of the terms of a section."""
    return {name: targets[name] for name, _ in cut.terms}


def _forward(cut: Cut, targets: Mapping[str, Any], x: Array, rows: int) -> Measured:
    """Sums and maps of a section, strip by strip."""
    length, strips = strips_of(cut.section, len(x), rows)
    static = cut.static(length)
    own = targets_of_cut(cut, targets)
    so_far = jit_begin(cut.network, own, x, **static)
    for strip in strips:
        so_far = jit_forward(so_far, cut.network, own, x, strip, **static)
    return so_far


def begin(
    network: Partial, targets: Any, x: Array, *, section: Section, of_terms: Terms, length: int
) -> Measured:
    """What has been measured of a section before its first strip."""
    measure = partial(measuring.measure, section, of_terms, length)
    strip = Strip(0, 0, 0)
    there = measuring.rows_of(x, strip, length)
    shapes = jax.eval_shape(measure, network, targets, there, strip)
    return measuring.nothing(section, len(x), shapes)


def _forward_strip(
    so_far: Any,
    network: Partial,
    targets: Any,
    x: Array,
    strip: Strip,
    *,
    section: Section,
    of_terms: Terms,
    length: int,
) -> Measured:
    there = measuring.rows_of(x, strip, length)
    found = measuring.measure(section, of_terms, length, network, targets, there, strip)
    return measuring.add(section, so_far, strip, found)


def _between(
    objective: Partial,
    image: Array,
    sums: dict[str, Any],
    maps: dict[str, dict[str, Any]],
    weights: Weights,
) -> tuple[tuple[Array, Losses], Cotangents]:
    """The losses, and their derivatives by what they are made of."""

    def total(measured: Cotangents) -> tuple[Array, Losses]:
        return total_of(objective, measured.image, measured.sums, measured.maps, weights)

    return jax.value_and_grad(total, has_aux=True)(Cotangents(sums, maps, image))


def _backward(
    cut: Cut, targets: Mapping[str, Any], x: Array, rows: int, of_measured: Measured
) -> Array:
    """The derivative by the input of a section."""
    length, strips = strips_of(cut.section, len(x), rows)
    own = targets_of_cut(cut, targets)
    gradient = jnp.zeros(x.shape, x.dtype)
    for strip in strips:
        gradient = jit_backward(
            gradient, cut.network, own, x, strip, of_measured, **cut.static(length)
        )
    return gradient


def cotangents_of_cut(cut: Cut, cotangents: Cotangents, of_output: Any) -> Measured:
    """Those of what a section gives."""
    layers = {name for name, _ in cut.section.layers}
    names = {name for name, _ in cut.terms}
    maps = {
        name: {x: map_ for x, map_ in of_term.items() if x in layers}
        for name, of_term in cotangents.maps.items()
        if name in names
    }
    return {name: cotangents.sums[name] for name in names}, Kept(of_output, maps)


def _backward_strip(
    gradient: Array,
    network: Partial,
    targets: Any,
    x: Array,
    strip: Strip,
    of_measured: Measured,
    *,
    section: Section,
    of_terms: Terms,
    length: int,
) -> Array:
    """The derivative by the section's input, with what a strip adds to it."""

    def measure(there: Array) -> Measured:
        return measuring.measure(section, of_terms, length, network, targets, there, strip)

    found, pull = jax.vjp(measure, measuring.rows_of(x, strip, length))
    (own,) = pull(measuring.cotangent_there(section, strip, length, found, of_measured))
    return measuring.with_rows_added(gradient, strip, own)


def _finish(objective: Partial, image: Array, of_input: Array | None, of_image: Array) -> Array:
    """The gradient by the image, of those by the network's input and by the pixels."""
    if of_input is None:
        return of_image
    _, pull = jax.vjp(partial(prepare, objective), image)
    return of_image + pull(of_input)[0]


_STATIC = ("section", "of_terms", "length")
jit_prepare = Program(prepare)
jit_begin = Program(begin, static_argnames=_STATIC)
jit_forward = Program(_forward_strip, static_argnames=_STATIC, donate_argnums=0)
jit_between = Program(_between)
jit_backward = Program(_backward_strip, static_argnames=_STATIC, donate_argnums=0)
jit_finish = Program(_finish, donate_argnums=3)
