"""One strip of a section: the sums of its own rows, and what of them is kept."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float

from nst_jax import vgg
from nst_jax.strips.sections import Section, Strip, sections_of
from nst_jax.terms import FeatureFn, Targets, Term, View

Terms = tuple[tuple[str, Term], ...]
"""Terms by name: a dict could not be hashed."""


class Kept(NamedTuple):
    """What of a section lies in the plane of the picture, all of it or that of a strip.

    Attributes:
      output: what the next section takes, (h, w, c); None after the last.
      maps: `{term: {layer: (h_l, w_l, ...)}}` of terms that need them, see `terms.Term`.
    """

    output: Any
    maps: Mapping[str, Mapping[str, Any]]


Measured = tuple[dict[str, Any], Kept]
"""`{term: sums}`, and what is kept."""


class Cut(NamedTuple):
    """A section of a certain network, with the terms that read its features.

    Attributes:
      section: static, as `terms`.
      terms: whose sums it gives.
      network: from the section's input to its features.
    """

    section: Section
    terms: Terms
    network: Partial

    def static(self, length: int) -> dict[str, Any]:
        """What programs of strips of so many rows are compiled for."""
        return {"section": self.section, "of_terms": self.terms, "length": length}


def cuts_of(feature_fn: FeatureFn, terms: Mapping[str, Term]) -> list[Cut]:
    """The sections of a network with the terms of each.

    Raises:
      ValueError: the network is none of `vgg.feature_fn`.
    """
    anatomy = vgg.anatomy(feature_fn)
    cuts = []
    for section in sections_of(anatomy, terms):
        own = {name for name, _ in section.layers}
        readers = {name: term for name, term in terms.items() if own & {*term.layers}}
        network = vgg.part_of(feature_fn, section.needed, first_block=section.first_block)
        cuts.append(Cut(section, tuple(readers.items()), network))
    return cuts


def measure(
    section: Section,
    terms: Terms,
    length: int,
    network: Partial,
    targets: Mapping[str, Any],
    x: Float[Array, "rows w c"],
    strip: Strip,
) -> Measured:
    """The sums of a strip, and what is kept of it; differentiable.

    Args:
      section: static, as the next two.
      terms: with layers of the section.
      length: rows of the strip with its overlap.
      network: of the section.
      targets: of the terms, by name.
      x: these rows of the section's input.
      strip: which they are, traced.

    Returns:
      `{term: sums}`, and maps in which all rows that belong to another strip are 0.

    Raises:
      ValueError: a term reads pixels as well.
    """
    features = network(x)
    sums, maps = {}, {}
    for name, term in terms:
        own = {layer: stride for layer, stride in section.layers if layer in term.layers}
        where = {x: _own_rows(features[x], strip, stride) for x, stride in own.items()}
        seen = View(_Pixels(name), {layer: features[layer] for layer in own}, where)
        there = _targets_there(targets[name], own, strip, length)
        sums[name] = term.measure(there, seen)
        if term.maps is not None:
            found = term.maps(there, seen)
            maps[name] = {x: _masked(map_, strip, own[x]) for x, map_ in found.items()}
    output = None
    if section.output is not None:
        pooled, stride = section.output
        output = _masked(features[pooled], strip, stride)
    return sums, Kept(output, maps)


class _Pixels:
    """Stands for the image in a view of features."""

    def __init__(self, term: str) -> None:
        self._term = term

    def __getattr__(self, name: str) -> Any:
        raise ValueError(
            f"the term {self._term!r} reads features and pixels, and a strip of features has no "
            "pixels: make two terms of it, or compute the picture whole"
        )


def rows_of(x: Array, strip: Strip, length: int, stride: int = 1) -> Array:
    """The rows of a strip with its overlap, of a layer with this stride."""
    return jax.lax.dynamic_slice_in_dim(x, strip.start // stride, length // stride, 0)


def with_rows_added(x: Array, strip: Strip, rows: Array, stride: int = 1) -> Array:
    """x, with the rows of a strip added where they are."""
    there = jax.lax.dynamic_slice_in_dim(x, strip.start // stride, len(rows), 0)
    return jax.lax.dynamic_update_slice_in_dim(x, there + rows, strip.start // stride, 0)


def _is_own(count: int, strip: Strip, stride: int) -> Array:
    """Which of `count` rows of a layer are the strip's own, (count,)."""
    at = strip.start + stride * jnp.arange(count)
    return (at >= strip.begin) & (at < strip.stop)


def _own_rows(features: Array, strip: Strip, stride: int) -> Float[Array, "h_l w_l"]:
    """Weights of a layer's locations: 1 of the strip's own, 0 of the overlap."""
    height, width = features.shape[:2]
    own = _is_own(height, strip, stride).astype(jnp.float32)
    return jnp.broadcast_to(own[:, None], (height, width))


def _masked(map_: Any, strip: Strip, stride: int) -> Any:
    """A map in which the rows of the overlap are 0."""

    def masked(leaf: Array) -> Array:
        own = _is_own(len(leaf), strip, stride)
        # A choice and not a product: what is not finite in another strip's rows stays there.
        return jnp.where(own.reshape(-1, *[1] * (leaf.ndim - 1)), leaf, jnp.zeros((), leaf.dtype))

    return jax.tree.map(masked, map_)


def _targets_there(targets: Any, layers: Mapping[str, int], strip: Strip, length: int) -> Any:
    """The targets at the layers and the rows of a strip."""
    if not isinstance(targets, Targets):
        return targets
    maps = {
        x: _map_there(targets.maps[x], strip, length, stride)
        for x, stride in layers.items()
        if x in targets.maps
    }
    return targets._replace(maps=maps)


def _map_there(map_: Any, strip: Strip, length: int, stride: int) -> Any:
    return jax.tree.map(lambda leaf: rows_of(leaf, strip, length, stride), map_)


def add(section: Section, so_far: Measured, strip: Strip, found: Measured) -> Measured:
    """What has been measured, with what another strip gives.

    Args:
      section: static.
      so_far: sums, and whole maps.
      strip: the other one.
      found: of `measure`.
    """

    def placed(whole: Any, part: Any, stride: int) -> Any:
        return jax.tree.map(lambda x, rows: with_rows_added(x, strip, rows, stride), whole, part)

    sums = jax.tree.map(jnp.add, so_far[0], found[0])
    return sums, _each_map(section, placed, so_far[1], found[1])


def cotangent_there(
    section: Section, strip: Strip, length: int, found: Measured, of_all: Measured
) -> Measured:
    """Derivatives by what a strip gives, of those by the sums and maps of all.

    Args:
      section: static.
      strip: which.
      length: of the strip.
      found: of `measure`: what it gives.
      of_all: of these; there may be others.
    """

    def there(part: Any, whole: Any, stride: int) -> Any:
        del part
        return _map_there(whole, strip, length, stride)

    sums = {name: _those_of(own, of_all[0][name]) for name, own in found[0].items()}
    return sums, _each_map(section, there, found[1], of_all[1])


def _those_of(found: Any, given: Any) -> Any:
    """Of what is given by parts, those that are there."""
    return {key: given[key] for key in found} if isinstance(found, dict) else given


def _each_map(section: Section, function: Callable[..., Any], *kept: Kept) -> Kept:
    """`function(*maps, stride)` of the output and of each map."""
    strides = dict(section.layers)
    maps = {
        term: {x: function(*(each.maps[term][x] for each in kept), strides[x]) for x in own}
        for term, own in kept[0].maps.items()
    }
    output = None
    if section.output is not None:
        output = function(*(each.output for each in kept), section.output[1])
    return Kept(output, maps)


def nothing(section: Section, height: int, found: Measured) -> Measured:
    """What has been measured before the first strip: zeros.

    Args:
      section: static.
      height: of its input.
      found: of any strip; shapes are enough.
    """

    def blank(part: Any, stride: int) -> Any:
        rows = height // stride
        return jax.tree.map(lambda x: jnp.zeros((rows, *x.shape[1:]), x.dtype), part)

    sums = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), found[0])
    return sums, _each_map(section, blank, found[1])


def merged(of_sections: list[dict[str, Any]], terms: Mapping[str, Term]) -> dict[str, Any]:
    """The sums of each term, of which sections may have given some parts each."""
    sums: dict[str, Any] = {}
    for own in of_sections:
        for name, found in own.items():
            is_part = terms[name].groups is not None and name in sums
            sums[name] = {**sums[name], **found} if is_part else found
    return sums


def merged_maps(found: list[Measured]) -> dict[str, dict[str, Any]]:
    """The maps of each term, of all sections."""
    maps: dict[str, dict[str, Any]] = {}
    for _, kept in found:
        for term, own in kept.maps.items():
            maps[term] = {**maps.get(term, {}), **own}
    return maps
