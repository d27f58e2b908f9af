"""The layers of a network whose weights are fixed, for a CPU: fast forward and backward.

A layer here is convolution, bias and ReLU,

    y = max(x * K + b, 0),    dL/dx = (dL/dy where y > 0, else 0) * K'

with K' the kernel turned by half a turn and its channels exchanged, made once beforehand. The
derivative is written by hand, because XLA does not give the convolution that JAX derives to oneDNN,
and because the sign of y tells what ReLU let through, so that its input need not be kept. It goes
backward only (no `jax.jvp`), and to the image alone: for other derivatives, or those of the
weights, there is Flax's own form (`vgg.VGG`).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float, Int8, Shaped

from nst_jax import winograd

# With fewer channels the additions of F(2 x 2, 3 x 3) cost more than the multiplications that it
# saves: at 128 channels it was no faster.
_F2_CHANNELS = 256
# For two columns in bfloat16 oneDNN takes twenty-five times as long as for three (63 ms and 2.5 ms
# for four rows of 512 channels).
_LEAST_COLUMNS = 3


class Direct(NamedTuple):
    """The kernel of an ordinary convolution.

    Attributes:
      kernel: (3, 3, in, out), in the type in which it is multiplied: float32 or bfloat16.
    """

    kernel: Float[Array, "3 3 i o"]

    def convolve(self, x: Float[Array, "*b h w i"]) -> Float[Array, "*b h w o"]:
        """The convolution of images, padded with zeros to their own size.

        Args:
          x: (..., height, width, in), of any float type.

        Returns:
          (..., height, width, out), of the kernel's type.
        """
        *batch, height, width, channels = x.shape
        x = _with_columns(x.reshape(-1, height, width, channels), _LEAST_COLUMNS)
        y = jax.lax.conv_general_dilated(
            x.astype(self.kernel.dtype),
            self.kernel,
            window_strides=(1, 1),
            padding="SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            # Otherwise a GPU multiplies float32 with 10 bits of mantissa, and a TPU with 7.
            precision="highest" if self.kernel.dtype == jnp.float32 else None,
        )
        return y[:, :, :width].reshape(*batch, height, width, -1)


def _with_columns(x: Float[Array, "b h w c"], least: int) -> Array:
    """x, with columns of zeros added at the right until there are `least`."""
    if x.shape[-2] >= least:
        return x
    padded = jnp.pad(x, [(0, 0), (0, 0), (0, least - x.shape[-2]), (0, 0)])
    # Without the barrier XLA would merge these zeros into the padding of the convolution, and
    # oneDNN would see the narrow picture again.
    return jax.lax.optimization_barrier(padded)


class FixedLayer(NamedTuple):
    """A convolution with its bias; see `direct_layer` and `winograd_layer`.

    Attributes:
      forward: the kernel K, from input to output.
      backward: the kernel K', from the gradient of the output to that of the input.
      bias: b, (out,), float32 in every precision.
    """

    forward: Direct | winograd.Kernel
    backward: Direct | winograd.Kernel
    bias: Float[Array, "o"]


def direct_layer(kernel: ArrayLike, bias: ArrayLike, dtype: DTypeLike) -> FixedLayer:
    """A layer by ordinary convolutions.

    Args:
      kernel: (3, 3, in, out).
      bias: (out,).
      dtype: float32 or bfloat16, the type in which to multiply.
    """
    forward, backward = (Direct(jnp.asarray(x, dtype)) for x in (kernel, mirrored(kernel)))
    return FixedLayer(forward, backward, jnp.asarray(bias, jnp.float32))


def winograd_layer(kernel: ArrayLike, bias: ArrayLike, *, keeps_ties: bool) -> FixedLayer:
    """A layer by Winograd's algorithm, in float32.

    Args:
      kernel: (3, 3, in, out).
      bias: (out,).
      keeps_ties: whether equal pixels must stay equal to the last bit, because a max pooling
        follows: which of four equal values it takes decides where the gradient goes. Below 256
        channels the forward convolution is then an ordinary one.

    Returns:
      A layer whose kernels take five to eight times the memory of `kernel`.
    """
    array = np.asarray(kernel)
    if not keeps_ties:
        forward: Direct | winograd.Kernel = winograd.transform(array, winograd.F4)
    elif array.shape[2] < _F2_CHANNELS:
        forward = Direct(jnp.asarray(array, jnp.float32))
    else:
        forward = winograd.transform(array, winograd.F2)
    # Backward nothing compares pixels: the algorithm with the fewest multiplications will do,
    # although it rounds equal pixels differently.
    backward = winograd.transform(mirrored(array), winograd.F4)
    return FixedLayer(forward, backward, jnp.asarray(bias, jnp.float32))


def mirrored(kernel: ArrayLike) -> np.ndarray:
    """The kernel that takes a gradient back: turned by half a turn, channels exchanged.

    K'[i, j, o, c] = K[2 - i, 2 - j, c, o]

    Args:
      kernel: K, (3, 3, in, out).

    Returns:
      K', (3, 3, out, in).
    """
    # Turned here and not in the program: JAX's own derivative asks for a convolution that turns its
    # kernel, and XLA does not give such a one to oneDNN.
    return np.ascontiguousarray(np.asarray(kernel)[::-1, ::-1].swapaxes(2, 3))


# custom_vjp has to be told that `dtype` (argument 2) is no array and has no derivative.
@partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve_and_rectify(
    x: Float[Array, "*b h w i"], layer: FixedLayer, dtype: DTypeLike
) -> Float[Array, "*b h w o"]:
    """max(x * K + b, 0), padded with zeros to the size of x.

    Args:
      x: images with any batch axes, (..., height, width, in).
      layer: see `direct_layer` and `winograd_layer`; its derivative is taken to be zero.
      dtype: of the result.

    Returns:
      (..., height, width, out), non-negative.
    """
    y = layer.forward.convolve(x)
    # XLA joins convolution, bias and ReLU to one call of oneDNN only if bias and ReLU are in
    # float32, even where the convolution is in bfloat16.
    y = y.astype(jnp.float32) + jnp.broadcast_to(layer.bias, y.shape)
    return jnp.maximum(y, 0).astype(dtype)


def _convolve_forward(
    x: Array, layer: FixedLayer, dtype: DTypeLike
) -> tuple[Array, tuple[Array, FixedLayer]]:
    y = convolve_and_rectify(x, layer, dtype)
    # x is not kept: only the derivative of the weights would need it, and they are constant.
    return y, (y, layer)


def _convolve_backward(
    dtype: DTypeLike, kept: tuple[Array, FixedLayer], gradient: Array
) -> tuple[Array, None]:
    y, layer = kept
    return layer.backward.convolve(jnp.where(y > 0, gradient, 0)), None


convolve_and_rectify.defvjp(_convolve_forward, _convolve_backward)


def average_pool(x: Float[Array, "*b h w c"]) -> Float[Array, "*b h2 w2 c"]:
    """As `vgg.average_pool`; its derivative writes each window once instead of adding up four."""
    return _mean_of_windows(_even(x))


def max_pool(x: Float[Array, "*b h w c"]) -> Float[Array, "*b h2 w2 c"]:
    """As `vgg.max_pool`; its derivative writes each window once instead of adding up four.

    A tie goes to the first element in reading order, as there.
    """
    return _largest_of_windows(_even(x))


def _even(x: Array) -> Array:
    """x without an odd last row or column, which pooling drops."""
    return x[..., : x.shape[-3] // 2 * 2, : x.shape[-2] // 2 * 2, :]


def _corners(x: Array) -> list[Array]:
    """The four corners of every 2 x 2 window, in reading order."""
    return [x[..., i::2, j::2, :] for i in (0, 1) for j in (0, 1)]


@jax.custom_vjp
def _mean_of_windows(x: Array) -> Array:
    a, b, c, d = _corners(x)
    return (a + b + c + d) / 4


def _mean_backward(kept: None, gradient: Array) -> tuple[Array]:
    del kept
    return (_joined(_spread(gradient / 4)),)


_mean_of_windows.defvjp(lambda x: (_mean_of_windows(x), None), _mean_backward)


@jax.custom_vjp
def _largest_of_windows(x: Array) -> Array:
    return _largest_and_its_corner(x)[0]


def _largest_and_its_corner(x: Array) -> tuple[Array, Int8[Array, "*b h2 w2 c"]]:
    """The largest of each 2 x 2 window, and its corner, 0 to 3: of equals the first.

    The corner is one byte a window; to find it again the derivative would need all of x.
    """
    a, b, c, d = _corners(x)
    ab, cd = jnp.maximum(a, b), jnp.maximum(c, d)
    upper, lower = jnp.where(a >= b, 0, 1), jnp.where(c >= d, 2, 3)
    return jnp.maximum(ab, cd), jnp.where(ab >= cd, upper, lower).astype(jnp.int8)


def _largest_backward(chosen: Array, gradient: Array) -> tuple[Array]:
    spread = _spread(gradient)
    corners = np.arange(4, dtype=np.int8).reshape(2, 1, 2, 1)
    is_chosen = _spread(chosen) == jnp.broadcast_to(corners, spread.shape)
    return (_joined(jnp.where(is_chosen, spread, 0)),)


_largest_of_windows.defvjp(_largest_and_its_corner, _largest_backward)


def _spread(x: Shaped[Array, "*b h w c"]) -> Shaped[Array, "*b h 2 w 2 c"]:
    """The value of each window at its four corners."""
    *batch, height, width, channels = x.shape
    windows = (*batch, height, 2, width, 2, channels)
    return jnp.broadcast_to(x[..., :, None, :, None, :], windows)


def _joined(x: Float[Array, "*b h 2 w 2 c"]) -> Float[Array, "*b h2 w2 c"]:
    """The image of which these are the windows."""
    *batch, height, _, width, _, channels = x.shape
    return x.reshape(*batch, 2 * height, 2 * width, channels)
