"""Terms of the pixels of the image."""

from collections.abc import Callable, Mapping

import jax.numpy as jnp
from jaxtyping import Array

from nst_jax import losses
from nst_jax.losses.arithmetic import at_least_float32, locations
from nst_jax.scalars import is_number
from nst_jax.terms.options import constructor, is_whole
from nst_jax.terms.sums import where_of
from nst_jax.terms.term import IMAGE, Targets, Term, View


@constructor
def total_variation() -> Term:
    """See `losses.total_variation`."""
    return of_pixels(losses.total_variation, reach=1)


@constructor
def squared_variation() -> Term:
    """See `losses.squared_variation`."""
    return of_pixels(losses.squared_variation, reach=1)


@constructor
def power_variation(*, beta: float = 2.5) -> Term:
    """See `losses.power_variation`.

    Raises:
      ValueError: `beta` is not from 1 to 8.
    """
    if not (is_number(beta) and 1 <= beta <= 8):
        raise ValueError(f"`beta` must be a number from 1 to 8, got {beta!r:.40}")
    return of_pixels(lambda image: losses.power_variation(image, beta=beta), reach=1)


@constructor
def nine_point_variation() -> Term:
    """See `losses.nine_point_variation`."""
    return of_pixels(losses.nine_point_variation, reach=1)


@constructor
def laplacian(*, pools: tuple[int, ...] = (4,), reference: str = "content") -> Term:
    """The lines of a picture, by the Laplacian; see `losses.laplacian_loss`.

    Args:
      pools: sides in pixels of the squares over which means are taken first; a part each, "pool4".
      reference: the picture whose lines are kept, of the image's size.

    Raises:
      ValueError: the pools are no different whole numbers from 1 up; in `compose`, or when an
        objective is traced: the image has fewer than three squares along an axis.
    """
    is_tuple = isinstance(pools, tuple) and pools and all(is_whole(x) and x > 0 for x in pools)
    if not is_tuple or len(set(pools)) < len(pools):
        raise ValueError(f"`pools` must be different whole numbers from 1 up, got {pools!r}")

    def measure(targets: Targets, seen: View) -> Array:
        target, where = targets.maps[IMAGE], seen.weights(IMAGE)
        return jnp.stack(
            [losses.laplacian_loss(seen.image, target, where, pool=pool) for pool in pools]
        )

    return Term(
        init=lambda pictures: Targets({IMAGE: pictures[reference].image}, ()),
        measure=measure,
        loss=lambda targets, found: found,
        parts=tuple(f"pool{pool}" for pool in pools),
        references=(reference,),
        # Three squares, less the pixel itself.
        reach=3 * max(pools) - 1,
    )


@constructor
def pixel_content(*, reference: str = "content", region: str | None = None) -> Term:
    """How far the pixels are from those of a picture: L = 1 / D sum_p c_p |x_p - w_p|^2.

    D is the number of values of the whole picture, whatever the region: a small one adds little,
    and none nothing. With the last result, moved, as w and its reliability as c this is the
    temporal loss of a clip.

    Args:
      reference: the picture w, of the image's size.
      region: the picture of the image's size whose region of the image counts, c; None: all of it.

    References:
      Ruder, Dosovitskiy, Brox, "Artistic Style Transfer for Videos", GCPR 2016, equation 7.
    """

    def init(pictures: Mapping[str, View]) -> Targets:
        where = where_of(region, pictures, (IMAGE,))
        return Targets({IMAGE: (pictures[reference].image, where.get(IMAGE))}, ())

    def measure(targets: Targets, seen: View) -> tuple[Array, Array]:
        kept, counts = targets.maps[IMAGE]
        own = seen.weights(IMAGE)
        squares = jnp.square(at_least_float32(seen.image) - at_least_float32(kept))
        for where in (own, counts):
            squares = squares if where is None else squares * where[..., None]
        return locations(seen.image, own) * kept.shape[-1], jnp.sum(squares)

    return Term(
        init=init,
        measure=measure,
        loss=lambda targets, sums: (sums[1] / sums[0])[None],
        parts=(IMAGE,),
        references=(reference,) if region is None else (reference, region),
    )


def of_pixels(function: Callable[[Array], Array], *, reach: int = 0) -> Term:
    """A term of the image alone.

    Args:
      function: from (h, w, 3) to a number, a sum over pixels.
      reach: how far it looks beyond a pixel, see `Term`.
    """
    return Term(
        init=lambda pictures: Targets({}, ()),
        measure=lambda targets, seen: function(seen.image),
        loss=lambda targets, found: found[None],
        parts=(IMAGE,),
        reach=reach,
    )
