"""SqueezeNet 1.1 with its 1000 classes, as pure functions over a Flax module.

Input is RGB in [0, 1]; what the weights expect is applied inside. There are two published forms of
the network with weights of their own, see `architecture`. A layer's features are its activations
after ReLU.

References:
  Iandola, Han, Moskewicz, Ashraf, Dally, Keutzer, "SqueezeNet: AlexNet-level accuracy with 50x
  fewer parameters and <0.5MB model size", 2016, section 3; version 1.1 in forresti/SqueezeNet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from nst_jax import networks
from nst_jax.choices import SqueezeNetConvention, check_choice
from nst_jax.networks import Convolution, Layer, Params, Pool, Window

LAYERS = ("conv1", *(f"fire{n}" for n in range(2, 10)), "conv10")
"""The layers that have features, from the image upward; conv10 has one channel a class."""

# The mean color of ImageNet in the order of the weights, (blue, green, red), 0 to 255.
_MEAN_BGR = np.array([104.006, 116.669, 122.679], np.float32)
# Channels of the output of each fire module; None for a pooling.
_BLOCKS = (None, 128, 128, None, 256, 256, None, 384, 384, 512, 512)
_FIRST_WINDOW: dict[SqueezeNetConvention, Window] = {
    "caffe": Window(side=3, step=2),
    "torchvision": Window(side=3, step=2, padding=(0, 0)),
}
_POOL_PADDING: dict[SqueezeNetConvention, tuple[int, int]] = {
    "caffe": (0, 0),
    # Torch's ceil mode keeps a last window that is not full: as with one location more.
    "torchvision": (0, 1),
}


@dataclass(frozen=True)
class Fire(Layer):
    """A fire module: few channels, from which 1 x 1 and 3 x 3 convolutions make many.

    Each convolution has its ReLU; the outputs of the last two lie behind each
    other in the order 1 x 1, 3 x 3.

    References:
      Iandola et al., section 3.2; its squeeze ratio is 1/8, half of the kernels are 3 x 3.
    """

    @property
    def squeeze(self) -> Convolution:
        name = f"{self.name}/squeeze1x1"
        return Convolution(name, self.in_channels, self.channels // 8, Window(side=1))

    @property
    def expand(self) -> tuple[Convolution, Convolution]:
        few, half = self.channels // 8, self.channels // 2
        return (
            Convolution(f"{self.name}/expand1x1", few, half, Window(side=1)),
            Convolution(f"{self.name}/expand3x3", few, half, Window(side=3)),
        )

    @property
    def kernels(self) -> Mapping[str, tuple[int, int, int, int]]:
        single, square = self.expand
        return {**self.squeeze.kernels, **single.kernels, **square.kernels}

    def count(self, length: int) -> int:
        return length

    def __call__(self, x: Array) -> Array:
        squeezed = self.squeeze(x)
        return jnp.concatenate([expand(squeezed) for expand in self.expand], axis=-1)


def architecture(convention: SqueezeNetConvention = "caffe") -> tuple[Layer, ...]:
    """The layers from the image upward: convolutions, poolings and fire modules.

    Args:
      convention: "caffe": the first convolution with "SAME" padding, poolings that drop what does
        not fill a window; "torchvision": the first convolution without padding, poolings that keep
        it (`ceil_mode`).

    Raises:
      ValueError: there is no such convention.
    """
    check_choice("convention", convention, SqueezeNetConvention)
    layers: list[Layer] = [Convolution("conv1", 3, 64, _FIRST_WINDOW[convention])]
    fire = 2
    for channels in _BLOCKS:
        below = layers[-1].channels
        if channels is None:
            layers.append(Pool(f"pool{fire - 1}", below, below, _POOL_PADDING[convention]))
        else:
            layers.append(Fire(f"fire{fire}", below, channels))
            fire += 1
    return (*layers, Convolution("conv10", 512, 1000, Window(side=1)))


def parameter_shapes() -> networks.Shapes:
    """The shapes of the parameters, in the order of the layers.

    Returns:
      For each convolution (`conv1`, `fire2/squeeze1x1`, `fire2/expand1x1`, `fire2/expand3x3`, ...,
      `conv10`) "kernel" (h, w, in, out) and "bias" (out,).
    """
    return networks.parameter_shapes(architecture())


def smallest_side(
    layers: Sequence[str] = LAYERS, *, convention: SqueezeNetConvention = "caffe"
) -> int:
    """The shortest side, in pixels, of an image of which every layer has a location at least.

    Args:
      layers: one at least of `LAYERS`.
      convention: see `architecture`.

    Raises:
      ValueError: there is no such layer or convention.
    """
    names = [_own_name(name) for name in layers]
    return networks.smallest_side(networks.up_to(architecture(convention), names))


def feature_fn(
    params: Params,
    layers: Sequence[str] = LAYERS,
    *,
    convention: SqueezeNetConvention = "caffe",
) -> jax.tree_util.Partial:
    """The activations of an image at some layers, as a function of the image alone.

    The result is a pytree whose leaves are the parameters, as that of `vgg.feature_fn`: wherever
    that one is taken, in an objective too, this one is. Float32 on every device.

    Args:
      params: `{layer: {"kernel", "bias"}}` with the shapes of `parameter_shapes`, see
        `weights.load_judges`. Parameters above the deepest of `layers` are left out.
      layers: one at least of `LAYERS`.
      convention: of the weights. "caffe" is BGR, 0 to 255, minus (104.006, 116.669, 122.679);
        "torchvision" RGB, normalized by ImageNet's mean and deviation; for the sizes see
        `architecture`.

    Returns:
      From an image, RGB in [0, 1], (..., h, w, 3), any size from `smallest_side(layers)` up, to
      `{layer: (..., h_l, w_l, c_l)}`. Nothing above the deepest layer is computed.

    Raises:
      ValueError: an unknown layer or convention, or an image too small for the layers.
      RuntimeError: JAX has no device; one line that says what to do.
    """
    table = architecture(convention)
    prepare = _PREPARATIONS[convention]
    return networks.feature_fn(params, table, layers, own_name=_own_name, prepare=prepare)


def class_logits(
    params: Params,
    image: Float[Array | np.ndarray, "*batch h w 3"],
    *,
    convention: SqueezeNetConvention = "caffe",
) -> Float[Array, "*batch 1000"]:
    """How much an image speaks for each of ImageNet's classes: the mean of conv10 over locations.

    The softmax of it is the network's probability of the classes.

    Args:
      params: all of them, see `feature_fn`.
      image: RGB in [0, 1], (..., h, w, 3), any size from `smallest_side()` up. The weights were
        trained on squares of 227 (Caffe) or 224 pixels (torchvision).
      convention: of the weights, see `feature_fn`.

    Returns:
      (..., 1000), not negative, in the order of the sorted WordNet identifiers.

    Raises:
      ValueError: as `feature_fn`.
    """
    features = feature_fn(params, ("conv10",), convention=convention)(image)
    return features["conv10"].mean(axis=(-3, -2))


_own_name = partial(networks.check_name, valid=LAYERS, network="SqueezeNet")


def _subtract_mean(image: Array | np.ndarray) -> Array:
    x = networks.as_input(image)
    return x[..., ::-1] * 255 - jnp.broadcast_to(_MEAN_BGR, x.shape)


_PREPARATIONS = {"caffe": _subtract_mean, "torchvision": networks.normalize}
