"""3 x 3 convolutions with fewer multiplications, for the deep layers on a CPU.

Winograd's F(m x m, 3 x 3): a tile of m x m outputs takes (m + 2)^2 multiplications a pair of
channels instead of 9 m^2; the rest is additions, which many channels share. Kernels are
transformed once.

The algorithm multiplies polynomials by their values at m + 2 points, which decide two things:

- what is rounded. The textbook's points for m = 4 (0, 1, -1, 2, -2, infinity) lose a digit more
  than 0, +-sqrt(1/2), +-sqrt(2), infinity, which are taken here.
- whether a flat region stays flat to the last bit: max pooling must see its ties. By 0, 1, -1,
  infinity it does (m = 2: on equal pixels all places of the transform but one are exactly zero);
  a tile of m = 4 reaches beyond a pooling window, so that no choice of points would do.

Sources: Lavin, Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, section 4;
Barabasz, Anderson, Soodhalter, Gregg, "Error Analysis and Improving the Accuracy of Winograd
Convolution for Deep Neural Networks", 2020 (the choice of points).
"""

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class Algorithm(NamedTuple):
    """The matrices of F(m x m, 3 x 3), by Lavin and Gray's names.

    Y = A^T [(G g G^T) * (B^T d B)] A
    """

    A: np.ndarray
    B: np.ndarray
    G: np.ndarray

    @property
    def outputs(self) -> int:
        """m, the side of the square that a tile gives."""
        return self.A.shape[1]

    @property
    def tile(self) -> int:
        """m + 2, the side of the square that it takes."""
        return len(self.A)


def _algorithm(*points: float) -> Algorithm:
    """The algorithm for these points and infinity (Toom and Cook)."""

    def powers(count: int) -> np.ndarray:
        # At infinity a polynomial has its leading coefficient.
        return np.vstack([np.vander(points, count, increasing=True), np.eye(count)[-1]])

    interpolation = np.linalg.inv(powers(len(points) + 1))
    interpolation[np.abs(interpolation) < 1e-12] = 0
    # Powers of two round nothing; they keep the places of a tile at one scale.
    scale = 2.0 ** np.round(np.log2(np.abs(interpolation).max(axis=0)))
    return Algorithm(powers(len(points) - 1), interpolation / scale, powers(3) * scale[:, None])


F2 = _algorithm(0.0, 1.0, -1.0)
"""F(2 x 2, 3 x 3): flat regions stay flat."""
F4 = _algorithm(0.0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5))
"""F(4 x 4, 3 x 3): four ninths of the multiplications of F2."""
_BY_PLACES = {algorithm.tile**2: algorithm for algorithm in (F2, F4)}


class Kernel(NamedTuple):
    """A transformed kernel; see `transform`.

    Attributes:
      places: G g G^T, one matrix of channels for each place of a tile: 16 or 36.
    """

    places: Float[Array, "places i o"]

    # Traced once for all layers of one shape: tracing takes as long as a dozen steps.
    @jax.jit
    def convolve(self, x: Float[Array, "*b h w i"]) -> Float[Array, "*b h w o"]:
        """The convolution of images, padded with zeros to their own size."""
        algorithm = _BY_PLACES[self.places.shape[0]]
        m, tile = algorithm.outputs, algorithm.tile
        *batch, height, width, channels = x.shape
        rows, columns = -(-height // m), -(-width // m)
        products = jax.lax.dot_general(
            _input_tiles(x, rows, columns, algorithm).reshape(tile**2, -1, channels),
            self.places,
            (((2,), (1,)), ((0,), (0,))),
            precision="highest",
        )
        products = products.reshape(tile, tile, *batch, rows, columns, -1)
        down = jnp.stack(_combined(algorithm.A.T, products), axis=len(batch) + 2)
        # (..., rows, m, columns, m, channels): the places of a tile beside each other.
        joined = jnp.stack(_combined(algorithm.A.T, down), axis=-2)
        return joined.reshape(*batch, m * rows, m * columns, -1)[..., :height, :width, :]


def transform(kernel: Float[np.ndarray, "3 3 i o"], algorithm: Algorithm) -> Kernel:
    """A kernel of an ordinary convolution as `Kernel` takes it.

    By NumPy: done once, it would not be worth compiling.
    """
    # As one product: the places of a tile from the nine of the kernel.
    places = np.kron(algorithm.G, algorithm.G) @ kernel.reshape(9, -1).astype(np.float64)
    places = places.astype(np.float32).reshape(algorithm.tile**2, *kernel.shape[2:])
    return Kernel(jnp.asarray(places))


def _input_tiles(
    x: Array, rows: int, columns: int, algorithm: Algorithm
) -> Float[Array, "tile tile *b rows columns i"]:
    """B^T d B of the tiles that begin at every m-th pixel, the first one outside the image."""
    missing = [algorithm.outputs * rows - x.shape[-3], algorithm.outputs * columns - x.shape[-2]]
    edges = [(0, 0)] * (x.ndim - 3) + [(1, 1 + each) for each in missing] + [(0, 0)]
    across = _input_line(jnp.pad(x, edges), algorithm, axis=-2)
    # Both ways at once would be one fusion with a branch for each place, many times slower.
    return _input_line(jax.lax.optimization_barrier(across), algorithm, axis=-3)


def _input_line(x: Array, algorithm: Algorithm, axis: int) -> Float[Array, "tile *shape"]:
    """B^T d along an axis: the pixels of each tile, from every m-th one on, combined."""
    end = x.shape[axis] - algorithm.tile + 1
    pixels = [
        jax.lax.slice_in_dim(x, i, i + end, stride=algorithm.outputs, axis=axis)
        for i in range(algorithm.tile)
    ]
    return jnp.stack(_combined(algorithm.B.T, pixels))


def _combined(matrix: np.ndarray, parts: Sequence[Array] | Array) -> list[Array]:
    """A matrix of constants times a list of arrays, spelled out: zeros cost nothing."""
    return [
        reduce(add, (float(row[i]) * parts[i] for i in range(len(row)) if row[i])) for row in matrix
    ]
