"""Masks: which locations of a layer belong to a region of the picture.

A location of a deep layer sees far beyond its own pixels. Taken by the pixels under it, a region's
statistics hold much of what lies beside it (a quarter of the Gram matrix at block5_conv1); taken by
all that it sees, small regions have no location left. So a mask is eroded by a part of the
receptive field: half of it leaves an error of one or two hundredths at most
(`docs/how-to/objective.md` has the figures).

References:
  Gatys, Ecker, Bethge, Hertzmann, Shechtman, "Controlling Perceptual Factors in Neural Style
  Transfer", CVPR 2017, section 4 (guidance channels, and their erosion).
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from nst_jax import vgg
from nst_jax.choices import Arch, Border

LEAST = 16
"""Locations that a region needs at a layer: fewer make no statistic."""
_SHARES = (0.5, 0.25, 0.0)


class Region(NamedTuple):
    """A region of a picture, as terms take it.

    Attributes:
      where: weights of the locations by layer, (h_l, w_l), and of the pixels as "image".
      erosion: by layer, the share of the receptive field by which the mask was eroded. Less than
        0.5 says that the region is small for the layer: its statistic holds some of what lies
        beside it.
    """

    where: dict[str, Array]
    erosion: dict[str, float]


def region(
    mask: Float[Array | np.ndarray, "h w"],
    layers: Sequence[str],
    *,
    arch: Arch = "vgg19",
    border: Border = "zeros",
) -> Region:
    """A mask at each layer, eroded as far as `LEAST` locations are left, by half at most.

    Args:
      mask: 1 in the region, 0 outside, (h, w) as the picture.
      layers: of the network.
      arch: of the network.
      border: of the network, see `vgg.feature_fn`.

    Raises:
      ValueError: the region leaves no layer `LEAST` locations, or the mask is none.
    """
    mask = _checked(mask)
    where, erosion = {"image": mask}, {}
    # Features of a reflected border come as well: what they see is in the region as its pixels are.
    mask = vgg.with_border(mask[..., None], border)[..., 0]
    for layer in layers:
        where[layer], erosion[layer] = _eroded_as_far_as_possible(mask, layer, arch)
    return Region(where, erosion)


def _checked(mask: Array | np.ndarray) -> Array:
    values = np.asarray(mask)
    if values.ndim != 2 or not np.all((values >= 0) & (values <= 1)):
        raise ValueError(f"a mask must have two axes and values from 0 to 1, got {values.shape}")
    return jnp.asarray(values, jnp.float32)


def _eroded_as_far_as_possible(mask: Array, layer: str, arch: Arch) -> tuple[Array, float]:
    for share in _SHARES:
        weights = at_layer(mask, layer, arch=arch, erosion=share)
        if (count := float(jnp.sum(weights))) >= LEAST:
            return weights, share
    raise ValueError(
        f"the region is too small for {layer}: {count:.0f} of its locations, at least {LEAST} "
        "are needed; take a larger picture or region, or no layer so deep"
    )


def at_layer(
    mask: Float[Array, "h w"], layer: str, *, arch: Arch = "vgg19", erosion: float = 0.5
) -> Float[Array, "h_l w_l"]:
    """The weights of a layer's locations: the least of the mask over what each location sees.

    Args:
      mask: 1 in the region, 0 outside; may be traced.
      layer: of the network, in either family of names.
      arch: of the network.
      erosion: the share of the receptive field that has to lie inside, beyond the pixels of the
        location itself; 0 takes the mean over these pixels.

    Returns:
      From 0 to 1.
    """
    name = vgg.canonical_name(layer, arch)
    found = next(each for each in vgg.architecture(arch) if each.name == name)
    stride = found.stride
    height, width = mask.shape[0] // stride, mask.shape[1] // stride
    # Pooling drops what is left over at the lower and right border.
    cut = mask[: height * stride, : width * stride]
    if erosion == 0:
        return jnp.mean(cut.reshape(height, stride, width, stride), axis=(1, 3))
    reach = int(erosion * (found.receptive_field - stride) / 2)
    window = 2 * reach + stride
    pads = ((reach, reach), (reach, reach))
    # Beyond the border is no other region: what is added there is greater than any weight.
    return jax.lax.reduce_window(
        cut, jnp.inf, jax.lax.min, (window, window), (stride, stride), pads
    )
