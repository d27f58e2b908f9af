"""Products of features at different places: of one layer with itself shifted, and of two layers.

A Gram matrix knows which features appear together at a location and nothing of where: shuffling
the locations changes none of its entries. These statistics know what lies beside what.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nst_jax.losses.gram import inner_products


@partial(jax.jit, static_argnames="shift")
def shifted_gram(
    features: Float[Array, "*batch height width channel"], *, shift: tuple[int, int]
) -> Float[Array, "*batch channel channel"]:
    """G_ij = mean_k F_i(k) F_j(k + shift): which feature follows which at that distance.

    Args:
      features: F, activations of one layer, (..., height, width, channel).
      shift: (down, right) in locations of the layer, 0 or more, less than its height and width.

    Returns:
      A matrix an image, (..., channel, channel), which is not symmetric; of the shift (0, 0) the
      Gram matrix.

    Raises:
      ValueError: the shift leaves no location.

    References:
      Berger, Memisevic, "Incorporating Long-Range Consistency in CNN-Based Texture Generation",
      ICLR 2017, section 3.
    """
    down, right = shift
    height, width = features.shape[-3:-1]
    if not (0 <= down < height and 0 <= right < width):
        raise ValueError(
            f"`shift` must be from 0 up and less than the {height} x {width} locations of the "
            f"layer, got {shift}"
        )
    first = features[..., : height - down, : width - right, :]
    second = features[..., down:, right:, :]
    return inner_products(first, second) / ((height - down) * (width - right))


@jax.jit
def cross_layer_gram(
    fine: Float[Array, "*batch height width channel"],
    coarse: Float[Array, "*batch height2 width2 channel2"],
) -> Float[Array, "*batch channel channel2"]:
    """G_ij = mean_k F_i(k) H_j(k): features of two layers at the same place of the picture.

    The coarser layer is enlarged to the finer one by repeating its locations. Of a layer with
    itself it is the Gram matrix; of neighbors in the network it is what the report's reference 6
    calls adjacent features (its text was not at hand: this is our reading).

    Args:
      fine: F, of the layer with more locations, (..., height, width, channel).
      coarse: H, of the layer with fewer.

    Returns:
      (..., channel, channel2).

    References:
      Yeh, Tang, "Improved Style Transfer by Respecting Inter-layer Correlations", 2018.
    """
    factor = fine.shape[-3] // coarse.shape[-3]
    for axis in (-3, -2):
        coarse = jnp.repeat(coarse, factor, axis=axis)
    # Pooling drops an odd last row or column: the finer layer has it, the coarser has not.
    height, width = coarse.shape[-3:-1]
    fine = fine[..., :height, :width, :]
    return inner_products(fine, coarse) / (height * width)
