"""3 x 3 convolutions with fewer multiplications, for the deep layers on a CPU.

Winograd's F(2 x 2, 3 x 3): a tile of 2 x 2 outputs takes 16 multiplications a pair of channels
instead of 36; the rest is additions, which many channels share. Kernels are transformed once.

Source: Lavin, Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, section 4.1.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# The names of the paper: Y = A^T [(G g G^T) * (B^T d B)] A.
_G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)


class Kernels(NamedTuple):
    """A kernel as `convolve` takes it, and its mirror image for the gradient."""

    forward: Float[Array, "16 i o"]
    backward: Float[Array, "16 o i"]


def transform(kernel: Float[np.ndarray, "3 3 i o"]) -> Kernels:
    """G g G^T of a kernel, and of the one that takes a gradient back to the input.

    By NumPy: done once, it would not be worth compiling.

    Args:
      kernel: of the ordinary convolution.
    """
    mirrored = kernel[::-1, ::-1].swapaxes(2, 3)
    return Kernels(*(jnp.asarray(_transformed(each)) for each in (kernel, mirrored)))


def _transformed(kernel: np.ndarray) -> np.ndarray:
    # As one product: the sixteen places of a tile from the nine of the kernel.
    places = np.kron(_G, _G) @ kernel.reshape(9, -1)
    return places.reshape(16, *kernel.shape[2:])


@jax.custom_vjp
def convolve(x: Float[Array, "*b h w i"], kernels: Kernels) -> Float[Array, "*b h w o"]:
    """The convolution of images, padded with zeros to their own size.

    Its gradient goes to the images alone: kernels are taken for constants.

    Args:
      x: images with any batch axes.
      kernels: see `transform`.
    """
    return _convolve(x, kernels.forward)


def _forward(x: Array, kernels: Kernels) -> tuple[Array, Kernels]:
    return _convolve(x, kernels.forward), kernels


def _backward(kernels: Kernels, gradient: Array) -> tuple[Array, None]:
    return _convolve(gradient, kernels.backward), None


convolve.defvjp(_forward, _backward)


def _convolve(x: Array, kernel: Array) -> Array:
    *batch, height, width, channels = x.shape
    rows, columns = -(-height // 2), -(-width // 2)
    products = jax.lax.dot_general(
        _input_tiles(x, rows, columns).reshape(16, -1, channels),
        kernel,
        (((2,), (1,)), ((0,), (0,))),
        precision="highest",
    )
    products = products.reshape(4, 4, *batch, rows, columns, -1)
    outputs = _each_column(_output_rows, [_output_rows(list(row)) for row in products])
    # (..., rows, 2, columns, 2, channels): the places of a tile beside each other.
    joined = jnp.stack([jnp.stack(row, axis=-2) for row in outputs], axis=-4)
    joined = joined.reshape(*batch, 2 * rows, 2 * columns, -1)
    return joined[..., :height, :width, :]


def _input_tiles(x: Array, rows: int, columns: int) -> Float[Array, "4 4 *b rows columns i"]:
    """B^T d B of the tiles of 4 x 4 that begin at every second pixel, one outside the image."""
    edges = [(0, 0)] * (x.ndim - 3)
    edges += [(1, 2 * rows - x.shape[-3] + 1), (1, 2 * columns - x.shape[-2] + 1), (0, 0)]
    across = _input_rows(jnp.pad(x, edges), axis=-2)
    # Both ways at once would be a fusion of sixteen branches, which takes five times as long.
    return _input_rows(jax.lax.optimization_barrier(across), axis=-3)


def _input_rows(x: Array, axis: int) -> Float[Array, "4 *shape"]:
    """B^T d along an axis: the four pixels from every second one on, combined."""
    last = x.shape[axis] - 3
    d0, d1, d2, d3 = (jax.lax.slice_in_dim(x, i, i + last, stride=2, axis=axis) for i in range(4))
    return jnp.stack([d0 - d2, d1 + d2, d2 - d1, d1 - d3])


def _each_column(combine, rows: Sequence[Sequence[Array]]) -> list[tuple[Array, ...]]:
    columns = [combine(column) for column in zip(*rows, strict=True)]
    return list(zip(*columns, strict=True))


def _output_rows(m: Sequence[Array]) -> tuple[Array, ...]:
    """A^T m."""
    return m[0] + m[1] + m[2], m[1] - m[2] - m[3]
