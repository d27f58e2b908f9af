"""AlexNet's five convolutions, as pure functions over a Flax module: the network of LPIPS.

Input is RGB in [0, 1]; the normalization of torchvision's weights is applied inside. A layer's
features are its activations after ReLU. The channels are those of the second paper, without the
local response normalization of the first: torchvision's network, on which LPIPS was trained.

References:
  Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural Networks",
  NeurIPS 2012; Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014;
  Zhang, Isola, Efros, Shechtman, Wang, "The Unreasonable Effectiveness of Deep Features as a
  Perceptual Metric", CVPR 2018, section 3.
"""

import re
from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Array, Float

from nst_jax import networks
from nst_jax.networks import Convolution, Layer, Params, Pool, Window

LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5")
"""The layers that have features, from the image upward: those that LPIPS compares."""

_TABLE: tuple[Layer, ...] = (
    Convolution("conv1", 3, 64, Window(side=11, step=4, padding=(2, 2))),
    Pool("pool1", 64, 64),
    Convolution("conv2", 64, 192, Window(side=5)),
    Pool("pool2", 192, 192),
    Convolution("conv3", 192, 384, Window(side=3)),
    Convolution("conv4", 384, 256, Window(side=3)),
    Convolution("conv5", 256, 256, Window(side=3)),
)


def architecture() -> tuple[Layer, ...]:
    """The layers from the image upward: five convolutions, and two poolings between them."""
    return _TABLE


def parameter_shapes() -> networks.Shapes:
    """The shapes of the parameters, in the order of the layers.

    Returns:
      For each convolution "kernel" (h, w, in, out) and "bias" (out,).
    """
    return networks.parameter_shapes(architecture())


def canonical_name(name: str) -> str:
    """The name of a layer: `relu3` becomes `conv3`; both mean the activation after ReLU.

    Args:
      name: `conv1` to `conv5`, or `relu1` to `relu5`.

    Raises:
      ValueError: there is no such layer; the message lists the valid names.
    """
    own_name = re.sub(r"^relu", "conv", name)
    if own_name not in LAYERS:
        networks.check_name(name, LAYERS, "AlexNet")
    return own_name


def smallest_side(layers: Sequence[str] = LAYERS) -> int:
    """The shortest side, in pixels, of an image of which every layer has a location at least.

    Args:
      layers: one at least, `conv1` or `relu1` to `conv5` or `relu5`.

    Raises:
      ValueError: there is no such layer.
    """
    return networks.smallest_side(networks.up_to(architecture(), [*map(canonical_name, layers)]))


def extract_features(
    params: Params,
    image: Float[Array | np.ndarray, "*batch h w 3"],
    layers: Sequence[str] = LAYERS,
) -> dict[str, Array]:
    """The activations of an image at some layers of AlexNet, in float32 on every device.

    Args:
      params: `{layer: {"kernel", "bias"}}`, see `weights.load_judges`.
      image: RGB in [0, 1], (..., h, w, 3), any size from `smallest_side(layers)` up, odd ones
        included.
      layers: `conv1` to `conv5`; `relu1` to `relu5` are the same.

    Returns:
      The features (..., h_l, w_l, c_l) of each layer, under the name by which it was asked for.
      Nothing above the deepest of them is computed.

    Raises:
      ValueError: an unknown layer, or an image too small for the layers.
    """
    return feature_fn(params, layers)(image)


def feature_fn(params: Params, layers: Sequence[str] = LAYERS) -> jax.tree_util.Partial:
    """`extract_features` of a fixed network, as a function of the image alone.

    The result is a pytree whose leaves are the parameters, as that of `vgg.feature_fn`: wherever
    that one is taken, in an objective too, this one is.

    Args:
      params: see `extract_features`. Parameters above the deepest of `layers` are left out.
      layers: one at least, `conv1` or `relu1` to `conv5` or `relu5`.

    Returns:
      From an image, RGB in [0, 1], (..., h, w, 3), to `{layer: (..., h_l, w_l, c_l)}`.

    Raises:
      ValueError: as `extract_features`.
      RuntimeError: JAX has no device; one line that says what to do.
    """
    return networks.feature_fn(
        params, architecture(), layers, own_name=canonical_name, prepare=networks.normalize
    )
