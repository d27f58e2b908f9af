"""An objective in strips as one differentiable function: a loop in the program.

For a GPU or TPU. On a CPU XLA computes the convolutions in a loop on one thread: `from_python` has
the loops outside.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from nst_jax import terms, vgg
from nst_jax.strips import measuring
from nst_jax.strips.measuring import Cut, Measured
from nst_jax.strips.sections import Strip, strips_of
from nst_jax.terms import Losses, Term, View, Weights


@dataclass(frozen=True)
class InStrips:
    """The static part of an objective in strips: how many rows one has."""

    rows: int

    def __call__(
        self, objective: Partial, image: ArrayLike, weights: Weights
    ) -> tuple[Array, Losses]:
        image = jnp.asarray(image)
        sums, maps = self._measured(objective, terms.image_seen(objective, image))
        return total_of(objective, image, sums, maps, weights)

    def _measured(
        self, objective: Partial, image: Array
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Sums and maps of all terms that read features."""
        own = {name: term for name, term in terms.terms_of(objective).items() if term.layers}
        if not own:
            return {}, {}
        feature_fn = terms.feature_fn_of(objective)
        x = vgg.with_border(image, vgg.anatomy(feature_fn).border)
        found = []
        for cut in measuring.cuts_of(feature_fn, own):
            found.append(_section(cut, terms.targets_of(objective), x, self.rows))
            x = found[-1][1].output
        return measuring.merged([sums for sums, _ in found], own), measuring.merged_maps(found)


def in_strips(objective: Partial, rows: int) -> Partial:
    """The same objective, of which a device never has more than a strip of rows at a time.

    Args:
      objective: of `terms.compose` or `terms.in_gray`, with a network of `vgg.feature_fn`.
      rows: of a strip, in the resolution of each block of the network; rounded up to what its
        poolings need, and at least 1. Each strip computes some rows more: two to four on each side.

    Returns:
      An objective for the same arguments.

    Raises:
      ValueError: the network is another one, or `rows` is less than 1; once it is evaluated: a term
        reads both features and pixels; one line.
    """
    if rows < 1:
        raise ValueError(f"`rows` must be at least 1, got {rows}")
    vgg.anatomy(terms.feature_fn_of(objective))
    return Partial(InStrips(rows), objective)


def total_of(
    objective: Partial,
    image: Array,
    sums: Mapping[str, Any],
    maps: Mapping[str, Mapping[str, Any]],
    weights: Weights,
) -> tuple[Array, Losses]:
    """The losses of an image, of what the strips gave.

    Args:
      objective: of `terms.compose`.
      image: for the terms of pixels, (h, w, 3).
      sums: of the terms that read features, by name.
      maps: of those of them that have maps.
      weights: of the objective.

    Raises:
      ValueError: they have targets; one line.
    """
    if weights.targets is not None:
        raise ValueError("an objective in strips has targets of its own: make one for each variant")
    own, targets = terms.terms_of(objective), terms.targets_of(objective)
    seen = terms.image_seen(objective, image)
    parts = {
        name: part_losses(term, targets[name], seen, sums.get(name), maps.get(name))
        for name, term in own.items()
    }
    return terms.total_of(own, parts, weights)


def part_losses(
    term: Term, targets: Any, image: Array, sums: Any, maps: Mapping[str, Any] | None
) -> Float[Array, "part"]:
    """The losses of a term, of what the strips gave; of a term of pixels, of the image."""
    if not term.layers:
        return term.losses_of(targets, View(image, {}))
    return term.loss(targets, sums if term.maps is None else (sums, maps))


def _section(cut: Cut, targets: Mapping[str, Any], x: Array, rows: int) -> Measured:
    """Sums and maps of a section, of which no more than a strip is there at a time."""
    length, strips = strips_of(cut.section, len(x), rows)

    @jax.checkpoint
    def measure(network: Partial, targets: Any, x: Array, strip: Strip) -> Measured:
        there = measuring.rows_of(x, strip, length)
        return measuring.measure(cut.section, cut.terms, length, network, targets, there, strip)

    def body(so_far: Measured, strip: Strip) -> tuple[Measured, None]:
        found = measure(cut.network, targets, x, strip)
        return measuring.add(cut.section, so_far, strip, found), None

    each = Strip(*(np.array(numbers, np.int32) for numbers in zip(*strips, strict=True)))
    shapes = jax.eval_shape(measure, cut.network, targets, x, strips[0])
    return jax.lax.scan(body, measuring.nothing(cut.section, len(x), shapes), each)[0]
