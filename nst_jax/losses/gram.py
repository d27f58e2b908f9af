"""The Gram matrix, and the style loss that compares two of them."""

from functools import partial, reduce
from operator import add

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nst_jax.choices import Convention, Normalization, check_choice
from nst_jax.losses.arithmetic import difference

# A CPU rounds sums of bfloat16 products to bfloat16. Rounding those of sixteen parts of the picture
# leaves an error of 1e-3 of the largest entry; rounding the one sum of all leaves 2e-3.
_PIECES = 16


# `normalize` is static because JAX traces numbers, not names; each name has its own program.
@partial(jax.jit, static_argnames="normalize")
def gram_matrix(
    features: Float[Array, "*batch height width channel"],
    *,
    normalize: Normalization = "locations",
) -> Float[Array, "*batch channel channel"]:
    """The Gram matrix of a layer's features: the correlations between its channels.

    G_ij = sum_k F_ki F_kj, divided by the number of locations M if `normalize` is "locations".

    Args:
      features: F, activations of one layer, (..., height, width, channel), any real range.
      normalize: "locations" divides by height x width (the report's program); "none" leaves
        the sum (the formula that the report prints, and Gatys et al.).

    Returns:
      A symmetric positive semidefinite matrix an image, (..., channel, channel), in float32 or
      wider.

    Raises:
      ValueError: the normalization is unknown.

    References:
      Gatys, Ecker, Bethge, "Image Style Transfer Using Convolutional Neural Networks", CVPR
      2016, equation 3.
    """
    check_choice("normalize", normalize, Normalization)
    is_bfloat16 = features.dtype == jnp.bfloat16
    gram = (_sums_in_bfloat16 if is_bfloat16 else _sums)(features)
    if normalize == "none":
        return gram
    return gram / (features.shape[-3] * features.shape[-2])


@partial(jax.jit, static_argnames="convention")
def style_loss(
    features: Float[Array, "*batch height width channel"],
    target_gram: Float[Array, "*#batch channel channel"],
    *,
    convention: Convention = "report",
) -> Float[Array, "*batch"]:
    """How far the Gram matrix of one layer is from that of the style image.

    - `report`: mean (G - A)^2 with both Gram matrices divided by their number of locations
    - `gatys`: E_l = 1/(4 N^2 M^2) sum (G - A)^2 with the plain sums; A must then be one over as
      many locations as the features have: scale it by M_image / M_style if the pictures differ
      in size (`objective.compute_targets` does)

    The weighted sum over layers belongs to the objective.

    Args:
      features: F, activations of one layer for the generated image, (..., height, width, channel),
        any real range.
      target_gram: A, (channel, channel) or with the batch axes of `features`: `gram_matrix` of
        the style image's features in the same normalization, "locations" for `report`, "none"
        for `gatys`.
      convention: "report" or "gatys".

    Returns:
      A non-negative number an image, (...), in float32 or wider.

    Raises:
      ValueError: the convention is unknown.

    References:
      `gatys`: Gatys, Ecker, Bethge, CVPR 2016, equation 4. `report`: the report, Chapter 6; the
      same as Johnson, Alahi, Fei-Fei, "Perceptual Losses for Real-Time Style Transfer and
      Super-Resolution", ECCV 2016, equations 3 and 4, where the Gram matrix is divided by N M and
      the squares are summed.
    """
    check_choice("convention", convention, Convention)
    if convention == "report":
        distance = difference(gram_matrix(features), target_gram)
        return jnp.mean(jnp.square(distance), axis=(-2, -1))
    # Dividing by M before squaring is the same formula. As printed it overflows: 4 N^2 M^2 an
    # int32 from 96 pixels on, and the squares of plain sums a float32. G and A are divided each by
    # itself, because XLA moves a division of their difference behind the square.
    locations = features.shape[-3] * features.shape[-2]
    distance = difference(gram_matrix(features), target_gram / locations)
    return jnp.mean(jnp.square(distance), axis=(-2, -1)) / 4


def _inner_products(first: Array, second: Array) -> Array:
    """Inner products over locations of each channel of one with each channel of the other."""
    is_bfloat16 = first.dtype == jnp.bfloat16
    return jnp.einsum(
        "...hwi,...hwj->...ij",
        first,
        second,
        # By default a GPU multiplies float32 as TF32, with 10 bits, and a TPU as bfloat16, with 7.
        # Features in bfloat16 have no more bits to lose.
        precision=None if is_bfloat16 else "highest",
        # By default the sums have the type of the features: those of float16 end at 65504, and
        # those of bfloat16 keep 8 bits.
        preferred_element_type=jnp.promote_types(first.dtype, jnp.float32),
    )


@jax.custom_jvp
def _sums(features: Array) -> Array:
    """F^T F."""
    return _inner_products(features, features)


@_sums.defjvp
def _sums_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    """d(F^T F) = F^T dF + (F^T dF)^T."""
    # JAX's own rule does not know that one half is the transpose of the other, and would multiply
    # the features twice. It derives the backward pass from this rule, by transposing it.
    (features,), (tangent,) = primals, tangents
    half = _inner_products(features, tangent)
    return _inner_products(features, features), half + half.swapaxes(-1, -2)


@jax.custom_vjp
def _sums_in_bfloat16(features: Array) -> Array:
    """F^T F of features in bfloat16, in float32."""
    # Decided when the program is lowered for a device, not when it is traced: a program that is
    # exported for a TPU may be traced on a CPU.
    return jax.lax.platform_dependent(
        features, cpu=_sums_of_pieces, default=lambda x: _inner_products(x, x)
    )


def _sums_of_pieces(features: Array) -> Array:
    """F^T F of features in bfloat16, where one operation cannot sum them in float32.

    A CPU multiplies bfloat16 fast only if the result is bfloat16 as well. So the sums over each of
    `_PIECES` equal parts of the picture are rounded to bfloat16, and then added up in float32.
    """
    flat = features.reshape(*features.shape[:-3], -1, features.shape[-1])
    even = flat.shape[-2] // _PIECES * _PIECES
    pieces = flat[..., :even, :].reshape(*flat.shape[:-2], _PIECES, -1, flat.shape[-1])
    remainder = flat[..., None, even:, :]
    sums = (
        jnp.einsum("...pki,...pkj->...pij", x, x).astype(jnp.float32).sum(-3)
        for x in (pieces, remainder)
        # Fewer than `_PIECES` locations leave the pieces empty, a multiple of it the remainder.
        if x.size
    )
    return reduce(add, sums)


def _sums_in_bfloat16_forward(features: Array) -> tuple[Array, Array]:
    return _sums_in_bfloat16(features), features


def _sums_in_bfloat16_backward(features: Array, gradient: Array) -> tuple[Array]:
    """dL/dF = F (dL/dG + dL/dG^T)."""
    # This einsum keeps the layout of the features. JAX's own rule puts channels first and copies
    # the result back in float32, 57 MB for the first layer of 512 x 512 pixels.
    both = (gradient + gradient.swapaxes(-1, -2)).astype(features.dtype)
    return (jnp.einsum("...hwi,...ij->...hwj", features, both),)


_sums_in_bfloat16.defvjp(_sums_in_bfloat16_forward, _sums_in_bfloat16_backward)
