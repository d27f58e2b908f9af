"""The loss terms: content, Gram matrix, style, total variation. One concept a file.

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
from nst_jax.losses.gram import gram_matrix, style_loss
from nst_jax.losses.variation import total_variation

__all__ = ["content_loss", "gram_matrix", "style_loss", "total_variation"]
