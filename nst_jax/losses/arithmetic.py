"""Arithmetic that the losses share: float32 at least, batch axes, |x|, counts of locations."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def at_least_float32(x: Array) -> Array:
    """x in float32, or in its own type if that is wider.

    A loss adds up thousands of squares. float16 ends at 65504, which a single square can exceed;
    a sum in bfloat16 stops growing once it is some 256 times as large as what is added.
    """
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def difference(
    x: Float[Array, "*batch rest"], target: Float[Array, "*#batch rest"]
) -> Float[Array, "*batch rest"]:
    """x - target, where one target may serve a whole batch."""
    # JAX broadcasts missing axes by itself, but a caller may forbid it
    # (jax_numpy_rank_promotion="raise", as our tests do).
    shape = jnp.broadcast_shapes(x.shape, target.shape)
    return jnp.broadcast_to(x, shape) - jnp.broadcast_to(target, shape)


def absolute(x: Array) -> Array:
    """|x| with the derivative 0 at 0, where that of `jnp.abs` is 1."""
    # |x| has no derivative at 0. With the 1 that JAX takes, the edges of a flat image would have a
    # gradient; with 0, halfway between the slopes on both sides, a flat image is at rest.
    return jnp.where(x == 0, 0, jnp.abs(x))


def locations(
    features: Float[Array, "*batch height width channel"],
    where: Float[Array, "height width"] | None,
) -> Float[Array, ""]:
    """The number of locations, or the sum of their weights, in float32 or wider."""
    kind = jnp.promote_types(features.dtype, jnp.float32)
    if where is None:
        return jnp.asarray(features.shape[-3] * features.shape[-2], kind)
    return jnp.sum(where.astype(kind))
