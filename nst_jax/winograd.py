"""3 x 3 convolutions with fewer multiplications, for the deep layers on a CPU.

Winograd's F(m x m, 3 x 3): a tile of m x m outputs takes (m + 2)^2 multiplications a pair of
channels instead of 9 m^2. The rest is additions, of each channel alone, so that they weigh little
where there are many channels. Kernels are transformed once.

A convolution is a product of polynomials. The algorithm evaluates both at m + 2 points, multiplies
value by value, and interpolates. The choice of the points decides two things:

- How much is lost to rounding. With the textbook's points for m = 4 (0, 1, -1, 2, -2, infinity) it
  is 1.2e-5 of the largest feature; with 0, +-sqrt(1/2), +-sqrt(2), infinity, which are taken here,
  2.2e-6, because their powers stay closer to 1.
- Whether a flat region stays flat to the last bit, so that max pooling sees its ties. With m = 2
  and the points 0, 1, -1, infinity it does: on equal pixels all places of the transform but one
  are exactly zero. With m = 4 a tile reaches beyond a pooling window, and no points would do.

References:
  Lavin, Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, section 4;
  Barabasz, Anderson, Soodhalter, Gregg, "Error Analysis and Improving the Accuracy of Winograd
  Convolution for Deep Neural Networks", ACM Transactions on Mathematical Software, 2020 (the
  choice of points).
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

    with g a kernel, d a tile of the input, Y the outputs of the tile, and * element by element.

    Attributes:
      A: (m + 2, m), makes outputs of the products.
      B: (m + 2, m + 2), transforms the input.
      G: (m + 2, 3), transforms the kernel: its values at the points.

    References:
      Lavin, Gray, CVPR 2016, equation 8.
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
    """The algorithm for these points and infinity (Toom and Cook).

    To evaluate a polynomial is to multiply by the powers of the points, and to interpolate is to
    multiply by the inverse. A layer's convolution is the transpose of a product of polynomials: the
    matrix that evaluates there makes the outputs here (A), and the one that interpolates there
    transforms the input here (B).
    """

    def powers(count: int) -> np.ndarray:
        # The value "at infinity" is the leading coefficient: that of p(x) / x^degree in the limit.
        return np.vstack([np.vander(points, count, increasing=True), np.eye(count)[-1]])

    interpolation = np.linalg.inv(powers(len(points) + 1))
    # The inverse leaves rounding errors where the exact matrix has zeros. Zeros cost nothing in
    # `_combined`, and flat regions stay flat only if they are exact.
    interpolation[np.abs(interpolation) < 1e-12] = 0
    # Scaling a row of G and dividing the column of B changes no result. It brings the places of a
    # tile to one scale, and by powers of two it rounds nothing.
    scale = 2.0 ** np.round(np.log2(np.abs(interpolation).max(axis=0)))
    return Algorithm(powers(len(points) - 1), interpolation / scale, powers(3) * scale[:, None])


F2 = _algorithm(0.0, 1.0, -1.0)
"""F(2 x 2, 3 x 3): 4/9 of an ordinary convolution's multiplications; flat regions stay flat."""
F4 = _algorithm(0.0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5))
"""F(4 x 4, 3 x 3): 1/4 of an ordinary convolution's multiplications."""
# A kernel travels through JAX as an array alone; its number of places tells which algorithm it is.
_BY_PLACES = {algorithm.tile**2: algorithm for algorithm in (F2, F4)}


class Kernel(NamedTuple):
    """A transformed kernel; see `transform`.

    Attributes:
      places: G g G^T, float32, (places, in, out): one matrix of channels for each place of a tile,
        16 of F2 or 36 of F4.
    """

    places: Float[Array, "places i o"]

    # jit here, inside other programs too, because JAX then traces once for all layers of one shape.
    # Tracing each of them takes as long as a dozen steps.
    @jax.jit
    def convolve(self, x: Float[Array, "*b h w i"]) -> Float[Array, "*b h w o"]:
        """The convolution of images, padded with zeros to their own size.

        Args:
          x: (..., height, width, in), float32.

        Returns:
          (..., height, width, out). It differs from an ordinary convolution by rounding, up to
          some 2e-6 of the largest output.
        """
        algorithm = _BY_PLACES[self.places.shape[0]]
        m, tile = algorithm.outputs, algorithm.tile
        *batch, height, width, channels = x.shape
        # Tiles at the lower and right edge reach beyond the image; the surplus is cut off below.
        rows, columns = -(-height // m), -(-width // m)
        products = jax.lax.dot_general(
            _input_tiles(x, rows, columns, algorithm).reshape(tile**2, -1, channels),
            self.places,
            (((2,), (1,)), ((0,), (0,))),
            # The transform cancels large numbers: fewer bits than float32's would show.
            precision="highest",
        )
        products = products.reshape(tile, tile, *batch, rows, columns, -1)
        down = jnp.stack(_combined(algorithm.A.T, products), axis=len(batch) + 2)
        # The axes become (..., rows, m, columns, m, channels): the outputs of a tile lie where they
        # belong in the image, so that reshaping moves nothing.
        joined = jnp.stack(_combined(algorithm.A.T, down), axis=-2)
        return joined.reshape(*batch, m * rows, m * columns, -1)[..., :height, :width, :]


def transform(kernel: Float[np.ndarray, "3 3 i o"], algorithm: Algorithm) -> Kernel:
    """The kernel of an ordinary convolution, transformed: G g G^T for each pair of channels.

    Args:
      kernel: g, (3, 3, in, out).
      algorithm: `F2` or `F4`.

    Returns:
      The kernel in float32; it takes 16/9 or 4 times the memory.
    """
    # By NumPy, because compiling a program for one use takes longer than the use; in float64, so
    # that the transform is rounded once. The Kronecker product applies G to rows and columns in one
    # product: all places of a tile from the nine of the kernel.
    places = np.kron(algorithm.G, algorithm.G) @ kernel.reshape(9, -1).astype(np.float64)
    places = places.astype(np.float32).reshape(algorithm.tile**2, *kernel.shape[2:])
    return Kernel(jnp.asarray(places))


def _input_tiles(
    x: Array, rows: int, columns: int, algorithm: Algorithm
) -> Float[Array, "tile tile *b rows columns i"]:
    """B^T d B of the tiles d that begin at every m-th pixel.

    The first one begins a pixel outside the image: padding with zeros, as of any 3 x 3 convolution.
    """
    missing = [algorithm.outputs * rows - x.shape[-3], algorithm.outputs * columns - x.shape[-2]]
    edges = [(0, 0)] * (x.ndim - 3) + [(1, 1 + each) for each in missing] + [(0, 0)]
    across = _input_line(jnp.pad(x, edges), algorithm, axis=-2)
    # The barrier keeps the two axes apart. XLA would fuse them to one loop over the output, with a
    # branch for each of the 16 or 36 places: 11 ms instead of 1.6 (256 channels, 64 x 48).
    return _input_line(jax.lax.optimization_barrier(across), algorithm, axis=-3)


def _input_line(x: Array, algorithm: Algorithm, axis: int) -> Float[Array, "tile *shape"]:
    """B^T d along one axis: the pixels of each tile, which begins at every m-th pixel, combined."""
    end = x.shape[axis] - algorithm.tile + 1
    pixels = [
        jax.lax.slice_in_dim(x, i, i + end, stride=algorithm.outputs, axis=axis)
        for i in range(algorithm.tile)
    ]
    return jnp.stack(_combined(algorithm.B.T, pixels))


def _combined(matrix: np.ndarray, parts: Sequence[Array] | Array) -> list[Array]:
    """A matrix of constants times a list of arrays."""
    # Spelled out instead of multiplied: up to half of the entries are 0, and cost nothing so.
    # `float`, because NumPy's float64 would widen the arrays where JAX allows float64.
    return [
        reduce(add, (float(row[i]) * parts[i] for i in range(len(row)) if row[i])) for row in matrix
    ]
