"""Products of features at different places: of one layer with itself shifted, and of two layers.

A Gram matrix knows which features appear together at a location and nothing of where: shuffling
the locations changes none of its entries. These statistics know what lies beside what.

A pair of locations has two kinds of weights: by `where` it counts as its first location does, so
that parts of a picture add up to the whole; by `region` as both do, so that no pair reaches out.
"""

from functools import partial, reduce
from operator import mul

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nst_jax.losses.arithmetic import at_least_float32, locations
from nst_jax.losses.gram import GramSums, inner_products


@partial(jax.jit, static_argnames="shift")
def shifted_gram(
    features: Float[Array, "*batch height width channel"], *, shift: tuple[int, int]
) -> Float[Array, "*batch channel channel"]:
    """G_ij = mean_k F_i(k) F_j(k + shift): which feature follows which at that distance.

    Args:
      features: F, activations of one layer, (..., height, width, channel).
      shift: (down, right) in locations of the layer, 0 or more, less than its height and width.

    Returns:
      A matrix an image, (..., channel, channel), which is not symmetric; of the shift (0, 0) the
      Gram matrix.

    Raises:
      ValueError: the shift leaves no location.

    References:
      Berger, Memisevic, "Incorporating Long-Range Consistency in CNN-Based Texture Generation",
      ICLR 2017, section 3.
    """
    return mean_of_pairs(shifted_sums(features, shift=shift))


@partial(jax.jit, static_argnames="shift")
def shifted_sums(
    features: Float[Array, "*batch height width channel"],
    where: Float[Array, "height width"] | None = None,
    region: Float[Array, "height width"] | None = None,
    *,
    shift: tuple[int, int],
) -> GramSums:
    """The sums of which `shifted_gram` is made: sum_k w_k F_i(k) F_j(k + shift), and sum_k w_k.

    Args:
      features: see `shifted_gram`.
      where: weights of the locations at which a pair begins, not negative; None: 1 each.
      region: weights of the locations at which it begins or ends, likewise.
      shift: see `shifted_gram`.

    Raises:
      ValueError: the shift leaves no location.
    """
    down, right = shift
    height, width = features.shape[-3:-1]
    if not (0 <= down < height and 0 <= right < width):
        raise ValueError(
            f"`shift` must be from 0 up and less than the {height} x {width} locations of the "
            f"layer, got {shift}"
        )
    begins = slice(height - down), slice(width - right)
    ends = slice(down, None), slice(right, None)
    weights = [None if where is None else where[begins]]
    weights += [None if region is None else region[at] for at in (begins, ends)]
    first, second = (features[..., *at, :] for at in (begins, ends))
    weight = _product(weights)
    return GramSums(locations(first, weight), inner_products(_weighted(first, weight), second))


@jax.jit
def cross_layer_gram(
    fine: Float[Array, "*batch height width channel"],
    coarse: Float[Array, "*batch height2 width2 channel2"],
) -> Float[Array, "*batch channel channel2"]:
    """G_ij = mean_k F_i(k) H_j(k): features of two layers at the same place of the picture.

    The coarser layer is enlarged to the finer one by repeating its locations. Of a layer with
    itself it is the Gram matrix; of neighbors in the network it is what the report's reference 6
    calls adjacent features (its text was not at hand: this is our reading).

    Args:
      fine: F, of the layer with more locations, (..., height, width, channel).
      coarse: H, of the layer with fewer.

    Returns:
      (..., channel, channel2).

    Raises:
      ValueError: the second layer has more locations than the first.

    References:
      Yeh, Tang, "Improved Style Transfer by Respecting Inter-layer Correlations", 2018.
    """
    return mean_of_pairs(cross_layer_sums(fine, coarse))


@jax.jit
def cross_layer_sums(
    fine: Float[Array, "*batch height width channel"],
    coarse: Float[Array, "*batch height2 width2 channel2"],
    where: Float[Array, "height width"] | None = None,
    region: Float[Array, "height width"] | None = None,
    coarse_region: Float[Array, "height2 width2"] | None = None,
) -> GramSums:
    """The sums of which `cross_layer_gram` is made: sum_k w_k F_i(k) H_j(k), and sum_k w_k.

    Args:
      fine: see `cross_layer_gram`.
      coarse: likewise.
      where: weights of the finer locations, not negative; None: 1 each.
      region: likewise; a pair counts by this and by `coarse_region`.
      coarse_region: weights of the coarser locations.

    Raises:
      ValueError: the second layer has more locations than the first.
    """
    weight = _product([where, region])
    size = coarse.shape[-3:-1]
    # H is the same all over a cell of finer locations. Adding these up first gives the same sums
    # as enlarging H, with a product over the coarser locations alone.
    first = _cells(_weighted(at_least_float32(fine), weight), size)
    second = _weighted(at_least_float32(coarse), coarse_region)
    own = jnp.ones(fine.shape[-3:-1], first.dtype) if weight is None else weight
    cells = _cells(own[..., None].astype(first.dtype), size)[..., 0]
    products = inner_products(first, second)
    return GramSums(locations(coarse, _product([cells, coarse_region])), products)


@jax.jit
def mean_of_pairs(sums: GramSums) -> Float[Array, "*batch channel channel2"]:
    """G = products / weight; 0 of a region that holds no pair."""
    return sums.products / jnp.where(sums.weight > 0, sums.weight, 1)


def _product(weights: list[Array | None]) -> Array | None:
    """Of the weights that are there, or None."""
    given = [each for each in weights if each is not None]
    return reduce(mul, given) if given else None


def _weighted(features: Array, weight: Array | None) -> Array:
    if weight is None:
        return features
    axes = (*range(features.ndim - 3), features.ndim - 1)
    return features * jnp.expand_dims(weight, axes).astype(features.dtype)


def _cells(fine: Array, size: tuple[int, ...]) -> Array:
    """Sums over the finer locations that lie in each of height x width coarser ones."""
    *batch, height, width, channel = fine.shape
    down, right = _factor(height, size[0]), _factor(width, size[1])
    # Pooling drops an odd last row or column: the finer layer has it, the coarser has not.
    fine = fine[..., : size[0] * down, : size[1] * right, :]
    cells = fine.reshape(*batch, size[0], down, size[1], right, channel)
    return jnp.sum(cells, axis=(-4, -2))


def _factor(fine: int, coarse: int) -> int:
    """How many finer locations a coarser one spans along an axis."""
    if coarse > fine:
        raise ValueError(
            f"the first of two layers must have at least as many locations as the second, got "
            f"{fine} and {coarse} along an axis: name the shallower layer first"
        )
    ratio = fine // coarse
    # 31 locations, pooled by two three times, are 3: each spans 8, although 31 // 3 is 10.
    halved = 1 << (ratio.bit_length() - 1)
    return halved if fine // halved == coarse else ratio
