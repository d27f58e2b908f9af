"""The layers of a network whose weights are fixed, ready for the two ways through it.

A layer here is convolution, bias and ReLU with a derivative of its own: the ReLU's from its output
(the sign of the input is not kept), the convolution's as a convolution with the mirrored kernel,
which is made ready as well. It goes to the image alone: for other derivatives, or those of the
weights, there is Flax's own form (`vgg.VGG`).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float, Int8

from nst_jax import winograd

# With fewer channels F2's additions cost more than the multiplications that it saves.
_F2_CHANNELS = 256
# oneDNN takes twenty times as long for two columns of bfloat16 as for three.
_LEAST_COLUMNS = 3


class Direct(NamedTuple):
    """A kernel of ordinary convolutions in its type.

    Attributes:
      kernel: (3, 3, in, out).
    """

    kernel: Float[Array, "3 3 i o"]

    def convolve(self, x: Float[Array, "*b h w i"]) -> Float[Array, "*b h w o"]:
        """The convolution of images, padded with zeros to their own size."""
        *batch, height, width, channels = x.shape
        x = _with_columns(x.reshape(-1, height, width, channels), _LEAST_COLUMNS)
        y = jax.lax.conv_general_dilated(
            x.astype(self.kernel.dtype),
            self.kernel,
            window_strides=(1, 1),
            padding="SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision="highest" if self.kernel.dtype == jnp.float32 else None,
        )
        return y[:, :, :width].reshape(*batch, height, width, -1)


def _with_columns(x: Float[Array, "b h w c"], least: int) -> Array:
    """With columns of zeros at the right, if there are fewer."""
    if x.shape[-2] >= least:
        return x
    padded = jnp.pad(x, [(0, 0), (0, 0), (0, least - x.shape[-2]), (0, 0)])
    # XLA would make the zeros part of the convolution's own padding again.
    return jax.lax.optimization_barrier(padded)


class Layer(NamedTuple):
    """A convolution with its bias, ready for both ways.

    Attributes:
      forward: the kernel from input to output.
      backward: its mirror image, from the gradient of the output to that of the input.
      bias: float32 in every precision.
    """

    forward: Direct | winograd.Kernel
    backward: Direct | winograd.Kernel
    bias: Float[Array, "o"]


def direct(kernel: ArrayLike, bias: ArrayLike, dtype: DTypeLike) -> Layer:
    """A layer by ordinary convolutions, in float32 or bfloat16.

    Args:
      kernel: (3, 3, in, out).
      bias: (out,).
      dtype: in which to multiply.
    """
    forward, backward = (Direct(jnp.asarray(x, dtype)) for x in (kernel, mirrored(kernel)))
    return Layer(forward, backward, jnp.asarray(bias, jnp.float32))


def by_winograd(kernel: ArrayLike, bias: ArrayLike, *, keeps_flat: bool) -> Layer:
    """A layer by Winograd's algorithm, in float32.

    Args:
      kernel: (3, 3, in, out).
      bias: (out,).
      keeps_flat: whether equal pixels must stay equal to the last bit, for a max pooling behind.
    """
    array = np.asarray(kernel)
    if not keeps_flat:
        forward: Direct | winograd.Kernel = winograd.transform(array, winograd.F4)
    elif array.shape[2] < _F2_CHANNELS:
        forward = Direct(jnp.asarray(array, jnp.float32))
    else:
        forward = winograd.transform(array, winograd.F2)
    # Of gradients no pooling asks which is larger.
    backward = winograd.transform(mirrored(array), winograd.F4)
    return Layer(forward, backward, jnp.asarray(bias, jnp.float32))


def mirrored(kernel: ArrayLike) -> np.ndarray:
    """The kernel (3, 3, out, in) that takes a gradient back: turned by half a turn."""
    return np.ascontiguousarray(np.asarray(kernel)[::-1, ::-1].swapaxes(2, 3))


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve_and_rectify(
    x: Float[Array, "*b h w i"], layer: Layer, dtype: DTypeLike
) -> Float[Array, "*b h w o"]:
    """max(convolution + bias, 0).

    Args:
      x: images with any batch axes.
      layer: see `direct` and `by_winograd`; taken for a constant.
      dtype: of the result.
    """
    y = layer.forward.convolve(x)
    # oneDNN takes bias and ReLU into its convolution if they come in float32.
    y = y.astype(jnp.float32) + jnp.broadcast_to(layer.bias, y.shape)
    return jnp.maximum(y, 0).astype(dtype)


def _rectified(x: Array, layer: Layer, dtype: DTypeLike) -> tuple[Array, tuple[Array, Layer]]:
    y = convolve_and_rectify(x, layer, dtype)
    return y, (y, layer)


def _rectified_gradient(
    dtype: DTypeLike, kept: tuple[Array, Layer], gradient: Array
) -> tuple[Array, None]:
    y, layer = kept
    return layer.backward.convolve(jnp.where(y > 0, gradient, 0)), None


convolve_and_rectify.defvjp(_rectified, _rectified_gradient)


def average_pool(x: Float[Array, "*b h w c"]) -> Float[Array, "*b h2 w2 c"]:
    """As `vgg.average_pool`, with such a derivative as well."""
    return _mean(_even(x))


def max_pool(x: Float[Array, "*b h w c"]) -> Float[Array, "*b h2 w2 c"]:
    """As `vgg.max_pool`; its derivative writes each window once instead of adding up four."""
    return _maximum(_even(x))


def _even(x: Array) -> Array:
    """Without an odd last row or column."""
    return x[..., : x.shape[-3] // 2 * 2, : x.shape[-2] // 2 * 2, :]


def _corners(x: Array) -> list[Array]:
    """The four corners of every 2 x 2 window, in reading order."""
    return [x[..., i::2, j::2, :] for i in (0, 1) for j in (0, 1)]


@jax.custom_vjp
def _mean(x: Array) -> Array:
    a, b, c, d = _corners(x)
    return (a + b + c + d) / 4


def _mean_gradient(kept: None, gradient: Array) -> tuple[Array]:
    del kept
    return (_joined(_spread(gradient / 4)),)


_mean.defvjp(lambda x: (_mean(x), None), _mean_gradient)


@jax.custom_vjp
def _maximum(x: Array) -> Array:
    return _largest(x)[0]


def _largest(x: Array) -> tuple[Array, Int8[Array, "*b h2 w2 c"]]:
    """The largest of each 2 x 2 window, and its place in reading order: of equals the first."""
    a, b, c, d = _corners(x)
    ab, cd = jnp.maximum(a, b), jnp.maximum(c, d)
    upper, lower = jnp.where(a >= b, 0, 1), jnp.where(c >= d, 2, 3)
    return jnp.maximum(ab, cd), jnp.where(ab >= cd, upper, lower).astype(jnp.int8)


def _maximum_gradient(place: Array, gradient: Array) -> tuple[Array]:
    spread = _spread(gradient)
    corner = np.arange(4, dtype=np.int8).reshape(2, 1, 2, 1)
    chosen = _spread(place) == jnp.broadcast_to(corner, spread.shape)
    return (_joined(jnp.where(chosen, spread, 0)),)


_maximum.defvjp(_largest, _maximum_gradient)


def _spread(x: Array) -> Array:
    """A value of each window at its four places."""
    *batch, height, width, channels = x.shape
    windows = (*batch, height, 2, width, 2, channels)
    return jnp.broadcast_to(x[..., :, None, :, None, :], windows)


def _joined(x: Float[Array, "*b h 2 w 2 c"]) -> Float[Array, "*b h2 w2 c"]:
    *batch, height, _, width, _, channels = x.shape
    return x.reshape(*batch, 2 * height, 2 * width, channels)
