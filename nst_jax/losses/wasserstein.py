"""The squared 2-Wasserstein distance of two normal distributions with given mean and covariance.

It asks what it costs to move one cloud of features onto the other, where a Gram matrix compares
products of features entry by entry.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from nst_jax.losses.covariance import CovarianceSums, mean_and_covariance

EPSILON = 1e-4
"""Added to the matrix whose root is taken, in parts of the square of the style's mean variance."""
ROOT_STEPS = 30
"""Of the iteration at most. It stops by itself where rounding begins to make it worse."""

# A GPU would multiply float32 as TF32, which keeps 10 bits: the iteration would not converge.
_product = partial(jnp.matmul, precision="highest")


class Normal(NamedTuple):
    """What the distance takes of the style: computed once.

    Attributes:
      mean: m', (channel,).
      trace: tr C', the sum of the variances.
      root: R = C'^(1/2), (channel, channel).
    """

    mean: Float[Array, "channel"]
    trace: Float[Array, ""]
    root: Float[Array, "channel channel"]


@jax.jit
def normal(sums: CovarianceSums) -> Normal:
    """The style's mean, trace and root of the covariance.

    Args:
      sums: of the style's features.
    """
    mean, covariance = mean_and_covariance(sums)
    values, vectors = jnp.linalg.eigh(covariance)
    # A covariance has no negative eigenvalues; its rounded form may.
    root = _product(vectors * jnp.sqrt(jnp.maximum(values, 0))[None], vectors.T)
    return Normal(mean, jnp.trace(covariance), root)


@partial(jax.jit, static_argnames="steps")
def wasserstein_distance(
    sums: CovarianceSums, target: Normal, *, epsilon: ArrayLike = EPSILON, steps: int = ROOT_STEPS
) -> Float[Array, ""]:
    """The squared distance, a channel.

    W^2 / N = (|m - m'|^2 + tr C + tr C' - 2 tr (R C R)^(1/2)) / N,  R = C'^(1/2)

    Args:
      sums: of the features of the picture that is made.
      target: of the style, see `normal`.
      epsilon: added to the eigenvalues of R C R, in parts of (tr C' / N)^2, so that the root has a
        derivative where some are 0: with fewer locations than channels many are.
      steps: of the iteration for the root, at most.

    Returns:
      A number that is 0 or more, up to `epsilon` and rounding.

    References:
      Dowson, Landau, "The Fréchet distance between multivariate normal distributions", 1982.
      Crowson's style-transfer-pytorch minimizes it for style.
    """
    mean, covariance = mean_and_covariance(sums)
    # Divided by the square of the mean variance, eigenvalues are about 1, and epsilon is relative.
    # A flat style has none: then any scale will do.
    variance = jnp.maximum(target.trace / len(mean), jnp.finfo(mean.dtype).tiny ** 0.25)
    between = _product(target.root, _product(covariance, target.root)) / jnp.square(variance)
    common = variance * trace_of_root(between, epsilon, steps)
    distance = jnp.sum(jnp.square(mean - target.mean)) + jnp.trace(covariance) + target.trace
    return (distance - 2 * common) / len(mean)


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def trace_of_root(matrix: Float[Array, "n n"], epsilon: ArrayLike, steps: int) -> Float[Array, ""]:
    """tr (X + epsilon 1)^(1/2) of a symmetric matrix without negative eigenvalues."""
    return jnp.trace(_roots(matrix, epsilon, steps)[0])


@trace_of_root.defjvp
def _trace_of_root_jvp(steps: int, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    """d tr X^(1/2) = tr (X^(-1/2) dX) / 2."""
    # JAX's own rule would go back through every step of the iteration, and add up its rounding.
    # The iteration has found the inverse root already.
    (matrix, epsilon), (tangent, _) = primals, tangents
    root, inverse = _roots(matrix, epsilon, steps)
    return jnp.trace(root), jnp.sum(inverse * tangent) / 2


def _roots(
    matrix: Float[Array, "n n"], epsilon: ArrayLike, steps: int
) -> tuple[Float[Array, "n n"], Float[Array, "n n"]]:
    """X^(1/2) and X^(-1/2) of X + epsilon 1, by matrix products alone.

    Y_0 = X / |X|, Z_0 = 1;  T = (3 - Z Y) / 2;  Y <- Y T, Z <- T Z: they converge to the root of
    Y_0 and to its inverse (Newton and Schulz; Higham, "Functions of Matrices", 2008, 6.7).

    An eigenvalue decomposition is slower on a GPU, less exact in float32, and its derivative fails
    where two eigenvalues are equal.
    """
    identity = jnp.eye(len(matrix), dtype=matrix.dtype)
    matrix = matrix + epsilon * identity
    norm = jnp.linalg.norm(matrix)

    def improve(carry: tuple, _: None) -> tuple[tuple, None]:
        root, inverse, least = carry
        product = _product(inverse, root)
        residual = jnp.linalg.norm(identity - product)
        # Once it has converged, rounding makes it diverge: it stops where the residual grows.
        goes_on = residual < least
        factor = jnp.where(goes_on, (3 * identity - product) / 2, identity)
        least = jnp.where(goes_on, residual, -1)
        return (_product(root, factor), _product(factor, inverse), least), None

    start = (matrix / norm, identity, jnp.full((), jnp.inf, matrix.dtype))
    (root, inverse, _), _ = jax.lax.scan(improve, start, length=steps)
    return root * jnp.sqrt(norm), inverse / jnp.sqrt(norm)
