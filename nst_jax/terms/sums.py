"""Terms of statistics that are sums over the locations of layers."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from nst_jax.terms.term import Source, Targets, Term, View


class Located(NamedTuple):
    """The features of a layer, and what their locations count.

    Attributes:
      features: F, (h_l, w_l, c_l).
      where: weights of the view's own locations, (h_l, w_l), or None: those of parts of a picture
        add up to 1.
      region: weights of a region of the picture, likewise.
    """

    features: Array
    where: Array | None
    region: Array | None

    @property
    def weights(self) -> Array | None:
        """Both in one, for a statistic of single locations."""
        if self.where is None or self.region is None:
            return self.region if self.where is None else self.where
        return self.where * self.region


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
    return compared(
        {x: (x,) for x in layers},
        lambda target, seen: sums_of(seen.features, seen.weights),
        distance,
        finish=finish,
        reference=reference,
        region=region,
    )


def compared(
    parts: Mapping[str, tuple[str, ...]],
    sums_of: Callable[..., Any],
    distance: Callable[[Any, Any], Array],
    *,
    finish: Callable[[Any], Any] = lambda sums: sums,
    target_of: Callable[..., Any] | None = None,
    reference: str = "style",
    region: str | None = None,
) -> Term:
    """The same of several layers together, or with sums that need the target.

    Args:
      parts: `{name: layers that it reads}`.
      sums_of: (target, `Located` of each of these layers of the image) -> sums. Without
        `target_of` the target may be None: the sums do not depend on it.
      distance: (target, sums) -> a number.
      finish: see `of_sums`.
      target_of: `Located` of each of these layers of the reference -> target; None: it is made of
        the sums.
      reference: see `of_sums`.
      region: likewise.
    """
    layers = tuple(dict.fromkeys(layer for names in parts.values() for layer in names))
    make = target_of or (lambda *seen: finish(sums_of(None, *seen)))

    def init(pictures: Mapping[str, View]) -> Targets:
        # What is chosen of the reference is a region of it: it is always seen whole.
        style = pictures[reference]
        whole = style._replace(where=None)
        values = {x: make(*_located(parts[x], whole, style.where)) for x in parts}
        return Targets(where_of(region, pictures, layers), values)

    def measure(targets: Targets, seen: View) -> dict[str, Any]:
        maps = targets.maps or None
        return {
            x: sums_of(targets.values[x], *_located(names, seen, maps))
            for x, names in parts.items()
            if all(layer in seen.features for layer in names)
        }

    def loss(targets: Targets, sums: Mapping[str, Any]) -> Array:
        return stack([distance(targets.values[x], sums[x]) for x in parts])

    def finished(pictures: Mapping[str, View], sums: Mapping[str, Any]) -> Targets:
        values = {x: finish(sums[x]) for x in parts}
        return Targets(where_of(region, pictures, layers), values)

    return Term(
        init,
        measure,
        loss,
        tuple(parts),
        layers,
        references=(reference,) if region is None else (reference, region),
        groups=tuple(parts.values()),
        source=None if target_of else Source(reference, partial(_unknown, parts), finished),
    )


def _unknown(parts: Mapping[str, Any], reference: View) -> Targets:
    """What the reference is measured with: its own region, and no target yet."""
    return Targets(reference.where or {}, dict.fromkeys(parts))


def where_of(
    region: str | None, pictures: Mapping[str, View], layers: tuple[str, ...]
) -> dict[str, Any]:
    """The weights of the locations of a region, `{layer: (h_l, w_l)}`; none: all of the picture.

    Raises:
      ValueError: the picture of that name is no region, or not at these layers.
    """
    if region is None:
        return {}
    where = pictures[region].where or {}
    if missing := [layer for layer in layers if layer not in where]:
        raise ValueError(
            f"the picture {region!r} has no weights of locations at {missing[0]}: give its view "
            "`where`, see masks.region"
        )
    return {layer: where[layer] for layer in layers}


def _located(
    layers: tuple[str, ...], seen: View, region: Mapping[str, Any] | None
) -> list[Located]:
    return [
        Located(seen.features[x], seen.weights(x), None if region is None else region[x])
        for x in layers
    ]


def stack(losses_of_parts: list[Array]) -> Array:
    """(part,), of as many numbers."""
    # `jnp.stack` refuses an empty list, and layers may be none.
    return jnp.stack(losses_of_parts) if losses_of_parts else jnp.zeros(0)
