"""What a loss is made of: content, statistics of style, smoothness. One concept a file.

Notation of the papers, kept in every docstring here:

- x: an image, (height, width, channel)
- N, M: at one layer of the network, the number of channels and of locations (height x width)
- F, P, S: features at that layer of the generated, the content and the style image, (M, N),
  channels last as in JAX; the papers write the transpose
- G, A: Gram matrices of F and of S, (N, N)

Two conventions are in use, and published weights belong to one of them:

- `report`: content = mean (F - P)^2, style = mean (G - A)^2 with G = F^T F / M
- `gatys`: content = 1/2 sum (F - P)^2, style = 1/(4 N^2 M^2) sum (G - A)^2 with G = F^T F

so that content_gatys = (N M / 2) content_report and style_gatys = style_report / 4.

Every function is pure, jitted, and twice differentiable almost everywhere. It reduces the last
three axes, (height, width, channel), and keeps the axes before them as a batch. Sums are
accumulated in float32 at least, whatever the type of the features: in half precision a Gram
matrix overflows. Derivatives of a Gram matrix in bfloat16 go backward only (no `jax.jvp`).
"""

from nst_jax.losses.content import content_loss
from nst_jax.losses.covariance import (
    CovarianceSums,
    covariance_distance,
    covariance_sums,
    mean_and_covariance,
)
from nst_jax.losses.gram import GramSums, gram_matrix, gram_sums, style_loss
from nst_jax.losses.laplacian import laplacian, laplacian_loss
from nst_jax.losses.moments import (
    MomentTarget,
    PowerSums,
    channel_moments,
    moment_distance,
    moment_target,
    power_sums,
)
from nst_jax.losses.shifted import (
    cross_layer_gram,
    cross_layer_sums,
    mean_of_pairs,
    shifted_gram,
    shifted_sums,
)
from nst_jax.losses.variation import (
    nine_point_variation,
    power_variation,
    squared_variation,
    total_variation,
)
from nst_jax.losses.wasserstein import Normal, normal, wasserstein_distance

__all__ = [
    "CovarianceSums",
    "GramSums",
    "MomentTarget",
    "Normal",
    "PowerSums",
    "channel_moments",
    "content_loss",
    "covariance_distance",
    "covariance_sums",
    "cross_layer_gram",
    "cross_layer_sums",
    "gram_matrix",
    "gram_sums",
    "laplacian",
    "laplacian_loss",
    "mean_and_covariance",
    "mean_of_pairs",
    "moment_distance",
    "moment_target",
    "nine_point_variation",
    "normal",
    "power_sums",
    "power_variation",
    "shifted_gram",
    "shifted_sums",
    "squared_variation",
    "style_loss",
    "total_variation",
    "wasserstein_distance",
]
