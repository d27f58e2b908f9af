"""Arithmetic that the losses share: float32 at least, and batch axes spelled out."""

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
