"""Terms of pairs of features: of places beside each other, and of two layers at one place."""

from collections.abc import Iterable
from itertools import combinations, pairwise
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from nst_jax import losses
from nst_jax.terms.options import check_layers, constructor, is_whole
from nst_jax.terms.sums import Located, compared
from nst_jax.terms.term import Term

Shift = tuple[int, int]


@constructor
def shifted_gram(
    layers: tuple[str, ...],
    *,
    shifts: tuple[Shift, ...] = ((0, 1), (1, 0)),
    reference: str = "style",
    region: str | None = None,
) -> Term:
    """The Gram matrices of each layer with itself shifted; see `losses.shifted_gram`.

    Args:
      layers: of the network; a part each.
      shifts: (down, right) in locations, 0 or more and not both 0; a part is the mean over them.
      reference: the picture whose style is taken.
      region: see `of_sums`; a pair counts by the product of both its locations' weights. By those
        of a view (`View.where`) it counts as the location does at which it begins.

    Raises:
      ValueError: the shifts are none; in `compose`: a layer is not larger than a shift.
    """
    check_layers(layers)
    _check_shifts(shifts)

    def sums_of(target: Any, seen: Located) -> list[losses.GramSums]:
        return [losses.shifted_sums(*seen, shift=shift) for shift in shifts]

    def finish(sums: list[losses.GramSums]) -> list[Array]:
        return [losses.mean_of_pairs(each) for each in sums]

    def distance(target: list[Array], sums: list[losses.GramSums]) -> Array:
        return jnp.mean(jnp.stack([_distance(*both) for both in zip(target, sums, strict=True)]))

    parts = {x: (x,) for x in layers}
    term = compared(parts, sums_of, distance, finish=finish, reference=reference, region=region)
    return term._replace(reach=max(max(shift) for shift in shifts))


def _check_shifts(shifts: Any) -> None:
    is_tuple = isinstance(shifts, tuple) and shifts and all(map(_is_shift, shifts))
    if not is_tuple or len(set(shifts)) < len(shifts):
        raise ValueError(
            "`shifts` must be different pairs (down, right) of whole numbers from 0 up, not both "
            f"0, got {shifts!r}"
        )


def _is_shift(shift: Any) -> bool:
    is_pair = isinstance(shift, tuple) and len(shift) == 2 and all(map(is_whole, shift))
    return is_pair and min(shift) >= 0 and max(shift) > 0


@constructor
def cross_layer_gram(
    layers: tuple[str, ...], *, reference: str = "style", region: str | None = None
) -> Term:
    """The Gram matrices of each two of the layers; see `losses.cross_layer_gram`.

    Args:
      layers: of the network, two or more, from the shallow to the deep; parts are named by pairs,
        "block1_conv1_block2_conv1".
      reference: the picture whose style is taken.
      region: see `shifted_gram`: the pair is one of a finer and a coarser location.

    Raises:
      ValueError: layers that are fewer or no names; in `compose`: a deeper one comes first.
    """
    check_layers(layers, least=2)
    return _of_pairs(combinations(layers, 2), reference, region)


@constructor
def adjacent_gram(
    layers: tuple[str, ...], *, reference: str = "style", region: str | None = None
) -> Term:
    """The same of each layer with the next in the list: `cross_layer_gram` has the arguments.

    After the report's reference 6, which betters the style loss with adjacent features. Its text
    was not at hand: this definition is ours, and what Yeh and Tang call pairwise descent.
    """
    check_layers(layers, least=2)
    return _of_pairs(pairwise(layers), reference, region)


def _of_pairs(pairs: Iterable[tuple[str, str]], reference: str, region: str | None) -> Term:
    return compared(
        {"_".join(pair): pair for pair in pairs},
        _sums_of_layers,
        _distance,
        finish=losses.mean_of_pairs,
        reference=reference,
        region=region,
    )


def _sums_of_layers(target: Any, fine: Located, coarse: Located) -> losses.GramSums:
    return losses.cross_layer_sums(
        fine.features, coarse.features, fine.where, fine.region, coarse.region
    )


def _distance(target: Array, sums: losses.GramSums) -> Array:
    return jnp.mean(jnp.square(losses.mean_of_pairs(sums) - target))
