"""The loss terms: content, Gram matrix, style, total variation.

Notation of the papers, kept in every docstring here. At a layer l the network has N channels
and M = height x width locations; F holds the features of the generated image, P those of the
content image, G and A the Gram matrices of the generated and of the style image.

Two conventions are in use, and published weights belong to one of them:

- `report`: content = mean (F - P)^2, style = mean (G - A)^2 with G = F^T F / M
- `gatys`: content = 1/2 sum (F - P)^2, style = 1/(4 N^2 M^2) sum (G - A)^2 with G = F^T F

so that content_gatys = (N M / 2) content_report and style_gatys = style_report / 4.

Every function is pure, jitted, twice differentiable almost everywhere, and agnostic of leading
batch axes: it reduces the last three axes, (height, width, channel), and keeps the others.
Sums are accumulated in float32 at least, whatever the type of the features: in half precision
a Gram matrix overflows. Derivatives in bfloat16 go backward only (no `jax.jvp`).
"""

from functools import partial, reduce
from operator import add

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nst_jax.choices import Convention, Normalization, check_choice

# Into which locations are cut where sums in bfloat16 must stay short; the error is then 1e-3.
_PIECES = 16


def _at_least_float32(x: Array) -> Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _difference(x: Array, target: Array) -> Array:
    """x - target, one target for a batch spelled out: callers may forbid rank promotion."""
    shape = jnp.broadcast_shapes(x.shape, target.shape)
    return jnp.broadcast_to(x, shape) - jnp.broadcast_to(target, shape)


@partial(jax.jit, static_argnames="normalize")
def gram_matrix(
    features: Float[Array, "*batch height width channel"],
    *,
    normalize: Normalization = "locations",
) -> Float[Array, "*batch channel channel"]:
    """The Gram matrix of a layer's features: the correlations between its channels.

    G_ij = sum_k F_ik F_jk, divided by the number of locations M if `normalize` is "locations".

    Args:
      features: activations of one layer, any real range.
      normalize: "locations" divides by height x width (the report's program); "none" leaves
        the sum (the formula that the report prints, and Gatys et al.).

    Returns:
      A symmetric positive semidefinite matrix an image, in float32 or wider.

    References:
      Gatys, Ecker, Bethge, "Image Style Transfer Using Convolutional Neural Networks", CVPR
      2016, equation 3.
    """
    check_choice("normalize", normalize, Normalization)
    low = features.dtype == jnp.bfloat16
    gram = (_products_with_itself_in_bfloat16 if low else _products_with_itself)(features)
    if normalize == "none":
        return gram
    return gram / (features.shape[-3] * features.shape[-2])


def _products(first: Array, second: Array) -> Array:
    """Inner products over locations of each channel of one with each channel of the other."""
    return jnp.einsum(
        "...hwi,...hwj->...ij",
        first,
        second,
        precision="highest" if first.dtype != jnp.bfloat16 else None,
        preferred_element_type=jnp.promote_types(first.dtype, jnp.float32),
    )


@jax.custom_jvp
def _products_with_itself(features: Array) -> Array:
    return _products(features, features)


@_products_with_itself.defjvp
def _products_with_itself_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    # Its two halves are transposes of each other. JAX does not know, and would go through the
    # features twice, there and back.
    (features,), (tangent,) = primals, tangents
    half = _products(features, tangent)
    return _products(features, features), half + half.swapaxes(-1, -2)


@jax.custom_vjp
def _products_with_itself_in_bfloat16(features: Array) -> Array:
    return jax.lax.platform_dependent(
        features, cpu=_products_of_pieces, default=lambda x: _products(x, x)
    )


def _products_of_pieces(features: Array) -> Array:
    """Products of bfloat16 with sums in float32, where one operation cannot have both.

    A CPU multiplies bfloat16 fast if the result is bfloat16 as well: sums over pieces of the
    picture are rounded to it, and added up in float32.
    """
    flat = features.reshape(*features.shape[:-3], -1, features.shape[-1])
    even = flat.shape[-2] // _PIECES * _PIECES
    pieces = flat[..., :even, :].reshape(*flat.shape[:-2], _PIECES, -1, flat.shape[-1])
    sums = (
        jnp.einsum("...pki,...pkj->...pij", x, x).astype(jnp.float32).sum(-3)
        for x in (pieces, flat[..., None, even:, :])
        if x.size
    )
    return reduce(add, sums)


def _forward(features: Array) -> tuple[Array, Array]:
    return _products_with_itself_in_bfloat16(features), features


def _backward(features: Array, gradient: Array) -> tuple[Array]:
    # In the layout of the features: JAX's own rule would put channels first and copy them back.
    both = (gradient + gradient.swapaxes(-1, -2)).astype(features.dtype)
    return (jnp.einsum("...hwi,...ij->...hwj", features, both),)


_products_with_itself_in_bfloat16.defvjp(_forward, _backward)


@partial(jax.jit, static_argnames="convention")
def content_loss(
    features: Float[Array, "*batch height width channel"],
    target: Float[Array, "*#batch height width channel"],
    *,
    convention: Convention = "report",
) -> Float[Array, "*batch"]:
    """How far the features of the generated image are from those of the content image.

    - `report`: mean (F - P)^2
    - `gatys`: 1/2 sum (F - P)^2

    Args:
      features: F, activations of one layer for the generated image.
      target: P, activations of the same layer for the content image.
      convention: "report" or "gatys".

    Returns:
      A non-negative number an image.

    Raises:
      ValueError: the features are of an image of another size, or of another layer.

    References:
      Gatys et al., CVPR 2016, equation 1 (`gatys`); the report, Chapter 6 (`report`).
    """
    check_choice("convention", convention, Convention)
    if features.shape[-3:] != target.shape[-3:]:
        raise ValueError(
            f"`features` must have the axes {target.shape[-3:]} of their target, got "
            f"{features.shape[-3:]}: the image must be as large as the content image"
        )
    squares = jnp.square(_difference(_at_least_float32(features), _at_least_float32(target)))
    if convention == "gatys":
        return jnp.sum(squares, axis=(-3, -2, -1)) / 2
    return jnp.mean(squares, axis=(-3, -2, -1))


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
      features: F, activations of one layer for the generated image.
      target_gram: A, `gram_matrix` of the style image's features in the same normalization:
        "locations" for `report`, "none" for `gatys`.
      convention: "report" or "gatys".

    Returns:
      A non-negative number an image.

    References:
      Gatys et al., CVPR 2016, equation 4 (`gatys`); the report, Chapter 6 (`report`).
    """
    check_choice("convention", convention, Convention)
    if convention == "report":
        difference = _difference(gram_matrix(features), target_gram)
        return jnp.mean(jnp.square(difference), axis=(-2, -1))
    # Dividing by M before squaring is the same formula; 4 N^2 M^2 itself overflows an int32,
    # and the squares of plain sums can overflow a float32. Each term is divided by itself: XLA
    # would move a division of their difference behind the square.
    locations = features.shape[-3] * features.shape[-2]
    difference = _difference(gram_matrix(features), target_gram / locations)
    return jnp.mean(jnp.square(difference), axis=(-2, -1)) / 4


@jax.jit
def total_variation(
    image: Float[Array, "*batch height width channel"],
) -> Float[Array, "*batch"]:
    """The sum of the absolute differences of neighboring pixels, along height and width.

    TV = sum |x[i+1, j] - x[i, j]| + sum |x[i, j+1] - x[i, j]|, summed over channels; equal to
    `tf.image.total_variation`. Its gradient on a flat image is zero.

    Args:
      image: pixels, any real range; at least one pixel each way.

    Returns:
      A non-negative number an image.

    References:
      Rudin, Osher, Fatemi, "Nonlinear total variation based noise removal algorithms", 1992
      (the anisotropic form); the report, step 9.3.
    """
    image = _at_least_float32(image)
    vertical = _absolute(image[..., 1:, :, :] - image[..., :-1, :, :])
    horizontal = _absolute(image[..., :, 1:, :] - image[..., :, :-1, :])
    axes = (-3, -2, -1)
    return jnp.sum(vertical, axis=axes) + jnp.sum(horizontal, axis=axes)


def _absolute(x: Array) -> Array:
    """|x| with the derivative 0 at 0, where that of `jnp.abs` is 1."""
    return jnp.where(x == 0, 0, jnp.abs(x))
