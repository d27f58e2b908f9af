"""VGG16 and VGG19 without their fully connected layers, as pure functions over Flax modules.

Input is RGB in [0, 1]; the convention of the converted weights (BGR, 0 to 255, minus the
ImageNet mean) is applied inside. A layer's features are its activations after ReLU, as in Keras.

References:
  Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
  2014, table 1, configurations D and E; the report, section 4.1 and Figure 2.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from nst_jax import winograd as fast
from nst_jax.choices import Arch, Pooling, Precision, check_choice

Params = Mapping[str, Mapping[str, Array | np.ndarray]]

_CONVOLUTIONS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
_CHANNELS = (64, 128, 256, 512, 512)
# The mean color of ImageNet in the order of the weights, (blue, green, red).
_MEAN_BGR = np.array([103.939, 116.779, 123.68], np.float32)
# Names the activations that `rematerialize` keeps.
_KEPT = "pooled"
_ALIAS = re.compile(r"(?:relu|conv)(\d+)_(\d+)|pool(\d+)")


class Layer(NamedTuple):
    """One row of the architecture: a convolution with its ReLU, or a pooling layer."""

    name: str
    kind: Literal["conv", "pool"]
    in_channels: int
    channels: int
    stride: int
    """Pixels of the image between two neighboring locations of the output."""
    receptive_field: int
    """Side, in pixels of the image, of the square that one location sees."""

    @property
    def num_parameters(self) -> int:
        return (9 * self.in_channels + 1) * self.channels if self.kind == "conv" else 0

    @property
    def kernel_shape(self) -> tuple[int, int, int, int]:
        return (3, 3, self.in_channels, self.channels)

    def output_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Shape of the features of a `height` x `width` image: pooling rounds down."""
        return (height // self.stride, width // self.stride, self.channels)


def architecture(arch: Arch = "vgg19") -> tuple[Layer, ...]:
    """The layers of a network from the image upward, convolutions and poolings."""
    check_choice("arch", arch, Arch)
    layers, in_channels, stride, field = [], 3, 1, 1
    blocks = zip(_CONVOLUTIONS[arch], _CHANNELS, strict=True)
    for block, (count, channels) in enumerate(blocks, start=1):
        for conv in range(1, count + 1):
            field += 2 * stride
            name = f"block{block}_conv{conv}"
            layers.append(Layer(name, "conv", in_channels, channels, stride, field))
            in_channels = channels
        field += stride
        stride *= 2
        layers.append(Layer(f"block{block}_pool", "pool", channels, channels, stride, field))
    return tuple(layers)


def canonical_name(name: str, arch: Arch = "vgg19") -> str:
    """Keras's name of a layer: `relu4_2` and `conv4_2` become `block4_conv2`.

    Both aliases mean the activation after ReLU.

    Raises:
      ValueError: the network has no such layer; the message lists the valid names.
    """
    valid = [layer.name for layer in architecture(arch)]
    match = _ALIAS.fullmatch(name)
    keras_name = name
    if match:
        block, conv, pool = match.groups()
        keras_name = f"block{pool}_pool" if pool else f"block{block}_conv{conv}"
    if keras_name not in valid:
        raise ValueError(
            f"unknown layer {name!r}: {arch} has {', '.join(valid)} "
            "(relu4_2 or conv4_2 is accepted for block4_conv2, pool4 for block4_pool)"
        )
    return keras_name


def smallest_side(layers: Sequence[str], arch: Arch = "vgg19") -> int:
    """The shortest side in pixels with which an image still reaches all of `layers`."""
    names = [canonical_name(name, arch) for name in layers]
    return max(layer.stride for layer in architecture(arch) if layer.name in names)


def max_pool(x: Float[Array, "*batch h w c"]) -> Float[Array, "*batch h2 w2 c"]:
    """2 x 2 max pooling with stride 2; an odd last row or column is dropped.

    The gradient of a tie goes to its first element, as in Keras. Ties are common: regions that
    are flat or clipped have equal positive activations, and `reshape` + `max`, which shares the
    gradient, is wrong there by up to two thirds.
    """
    a, b, c, d = _pooling_views(x)
    ab, cd = jnp.where(a >= b, a, b), jnp.where(c >= d, c, d)
    return jnp.where(ab >= cd, ab, cd)


def average_pool(x: Float[Array, "*batch h w c"]) -> Float[Array, "*batch h2 w2 c"]:
    """2 x 2 average pooling with stride 2; an odd last row or column is dropped."""
    a, b, c, d = _pooling_views(x)
    return (a + b + c + d) / 4


def _pooling_views(x: Array) -> tuple[Array, Array, Array, Array]:
    """The four corners of every 2 x 2 window, in reading order."""
    height, width = x.shape[-3] // 2 * 2, x.shape[-2] // 2 * 2
    rows = (slice(0, height, 2), slice(1, height, 2))
    columns = (slice(0, width, 2), slice(1, width, 2))
    a, b, c, d = (x[..., row, column, :] for row in rows for column in columns)
    return a, b, c, d


class VGG(nn.Module):
    """The convolutional part of a VGG, up to the deepest of `layers`.

    Parameters: `{layer: {"kernel": (3, 3, in, out), "bias": (out,)}}`.
    """

    layers: tuple[str, ...]
    arch: Arch = "vgg19"
    pooling: Pooling = "max"
    precision: Precision = "float32"
    winograd: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "*batch h w 3"]) -> dict[str, Array]:
        pool = {"max": max_pool, "average": average_pool}[self.pooling]
        features = {}
        for layer in architecture(self.arch):
            if layer.kind == "pool":
                x = checkpoint_name(pool(x), _KEPT)
            else:
                x = nn.relu(self._convolution(layer)(x))
            if layer.name in self.layers:
                features[layer.name] = x
            if len(features) == len(self.layers):
                break
        return features

    def _convolution(self, layer: Layer) -> nn.Module:
        if self.winograd and _suits_winograd(layer):
            return _WinogradConv(layer.channels, name=layer.name)
        # The first layer sees raw pixels, whose differences bfloat16 cannot hold.
        low = self.precision == "bfloat16" and layer.in_channels != 3
        return nn.Conv(
            layer.channels,
            kernel_size=(3, 3),
            dtype=jnp.bfloat16 if low else jnp.float32,
            precision="high" if self.precision == "tf32" else "highest",
            name=layer.name,
        )


class _WinogradConv(nn.Module):
    """A convolution by `winograd.convolve`; its parameters are made by `feature_fn`."""

    channels: int

    @nn.compact
    def __call__(self, x: Float[Array, "*batch h w i"]) -> Float[Array, "*batch h w o"]:
        channels = x.shape[-1], self.channels
        zeros = nn.initializers.zeros
        kernels = fast.Kernels(
            self.param("forward", zeros, (16, *channels)),
            self.param("backward", zeros, (16, *channels[::-1])),
        )
        y = fast.convolve(x, kernels)
        return y + jnp.broadcast_to(self.param("bias", zeros, channels[1:]), y.shape)


def winograd_pays(precision: Precision) -> bool:
    """Whether this device is faster with `feature_fn(..., winograd=True)`."""
    return precision == "float32" and jax.default_backend() == "cpu"


def _suits_winograd(layer: Layer) -> bool:
    # Fewer channels do not pay for the additions.
    return layer.kind == "conv" and layer.in_channels >= 128 and layer.channels >= 256


def preprocess(image: Float[Array | np.ndarray, "*batch h w 3"]) -> Float[Array, "*batch h w 3"]:
    """RGB in [0, 1] to the input of the weights: BGR, 0 to 255, minus the ImageNet mean.

    Raises:
      ValueError: not an image, or one of integers.
    """
    if image.ndim < 3 or image.shape[-1] != 3 or not jnp.issubdtype(image.dtype, jnp.floating):
        raise ValueError(
            "an image must be floating RGB in [0, 1] of the shape (..., height, width, 3), got "
            f"{image.dtype} {image.shape}; see `image.from_uint8`"
        )
    return jnp.asarray(image)[..., ::-1] * 255 - jnp.broadcast_to(_MEAN_BGR, image.shape)


def extract_features(
    params: Params,
    image: Float[Array | np.ndarray, "*batch h w 3"],
    layers: Sequence[str],
    *,
    arch: Arch = "vgg19",
    pooling: Pooling = "max",
    precision: Precision = "float32",
) -> dict[str, Array]:
    """The activations of an image at some layers of a VGG.

    Args:
      params: `{layer: {"kernel", "bias"}}`, see `weights.load_params`.
      image: RGB in [0, 1], any size from `smallest_side(layers)` up, odd ones included.
      layers: names in either family (`block4_conv2`, `relu4_2`, `conv4_2`, `block4_pool`).
      arch: "vgg19" or "vgg16".
      pooling: "max" (the trained network) or "average" (smoother pictures: Gatys et al.).
      precision: "float32" on every device, "tf32", or "bfloat16" (all convolutions but the
        first; features come in bfloat16).

    Returns:
      The features (..., h_l, w_l, c_l) of each layer, under the name by which it was asked for.
      Nothing above the deepest of them is computed.

    Raises:
      ValueError: an unknown layer or option, or an image too small for the layers.
    """
    return feature_fn(params, layers, arch=arch, pooling=pooling, precision=precision)(image)


def feature_fn(
    params: Params,
    layers: Sequence[str],
    *,
    arch: Arch = "vgg19",
    pooling: Pooling = "max",
    precision: Precision = "float32",
    winograd: bool = False,
    rematerialize: bool = False,
) -> jax.tree_util.Partial:
    """`extract_features` of a fixed network, as a function of the image alone.

    The result is a pytree whose leaves are the parameters: passed to a jitted function they
    are its arguments, never constants compiled into it.

    Args:
      params: as the next four, see `extract_features`.
      layers: names in either family.
      arch: "vgg19" or "vgg16".
      pooling: "max" or "average".
      precision: "float32", "tf32" or "bfloat16".
      winograd: take the deep layers by `winograd.convolve`: on a CPU in float32 a step is a third
        faster. Derivatives go backward only (no `jax.jvp`), and to the image alone; parameters
        take up to four times their memory.
      rematerialize: for the derivative keep what leaves the pooling layers alone, and compute what
        lies between once more (Chen et al., "Training Deep Nets with Sublinear Memory Cost",
        2016): less memory for a forward pass more. XLA on a CPU undoes it.

    Raises:
      ValueError: as `extract_features`; `winograd` with another precision than float32.
    """
    if isinstance(layers, str) or not layers:
        raise ValueError(f"`layers` must be a list of at least one layer, got {layers!r}")
    names = tuple(layers)
    keras_names = tuple(dict.fromkeys(canonical_name(name, arch) for name in names))
    check_choice("pooling", pooling, Pooling)
    check_choice("precision", precision, Precision)
    needed = _needed_params(params, keras_names, arch)
    if winograd:
        if precision != "float32":
            raise ValueError(f"`winograd` is for float32, got the precision {precision!r}")
        needed = _with_winograd(needed, arch)
    # NumPy arrays would be copied to the device at every call.
    needed = jax.tree.map(jnp.asarray, needed)
    module = VGG(keras_names, arch, pooling, precision, winograd)
    return jax.tree_util.Partial(_Extractor(module, names, rematerialize), needed)


def _with_winograd(params: Params, arch: Arch) -> Params:
    """The parameters with transformed kernels for the layers that they suit."""
    suited = {layer.name for layer in architecture(arch) if _suits_winograd(layer)}

    def transformed(of_layer: Mapping[str, Array | np.ndarray]) -> dict[str, Array | np.ndarray]:
        kernels = fast.transform(np.asarray(of_layer["kernel"]))
        return {**kernels._asdict(), "bias": of_layer["bias"]}

    return {
        name: transformed(of_layer) if name in suited else of_layer
        for name, of_layer in params.items()
    }


@dataclass(frozen=True)
class _Extractor:
    """Hashed by its fields, so that two equal networks share one compiled program."""

    module: VGG
    names: tuple[str, ...]
    rematerialize: bool

    def __call__(self, params: Params, image: Array | np.ndarray) -> dict[str, Array]:
        arch = self.module.arch
        side = smallest_side(self.names, arch)
        height, width = image.shape[-3:-1]
        if min(height, width) < side:
            raise ValueError(
                f"an image of {width} x {height} pixels is too small for "
                f"{', '.join(self.names)}: both sides must be at least {side} pixels"
            )
        apply: Callable[..., Any] = self.module.apply
        if self.rematerialize:
            policy = jax.checkpoint_policies.save_only_these_names(_KEPT)
            apply = jax.checkpoint(apply, policy=policy)
        features = apply({"params": params}, preprocess(image))
        return {name: features[canonical_name(name, arch)] for name in self.names}


def _needed_params(params: Params, names: tuple[str, ...], arch: Arch) -> Params:
    """The parameters up to the deepest of `names`; a missing one is an error."""
    layers = architecture(arch)
    deepest = max(i for i, layer in enumerate(layers) if layer.name in names)
    needed = [layer.name for layer in layers[: deepest + 1] if layer.kind == "conv"]
    missing = [name for name in needed if name not in params]
    if missing:
        raise ValueError(f"`params` lacks {', '.join(missing)}, which {', '.join(names)} needs")
    return {name: params[name] for name in needed}
