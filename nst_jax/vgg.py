"""VGG16 and VGG19 without their fully connected layers, as pure functions over Flax modules.

Input is RGB in [0, 1]; the convention of the converted weights (BGR, 0 to 255, minus the
ImageNet mean) is applied inside. A layer's features are its activations after ReLU, as in Keras.

References:
  Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
  ICLR 2015, table 1, configurations D (VGG16) and E (VGG19); the report, section 4.1 and
  Figure 2.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from nst_jax import backend, compiler, networks

# Not by its own name, which is that of an argument of `feature_fn`.
from nst_jax import convolutions as fixed_layers
from nst_jax.choices import (
    Arch,
    Border,
    Convolutions,
    Pooling,
    Precision,
    PrecisionSetting,
    check_choice,
)

Params = Mapping[str, Mapping[str, Array | np.ndarray]]
"""`{layer: {"kernel": (3, 3, in, out), "bias": (out,)}}` by Keras's names of layers, float32."""

_CONVOLUTIONS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
_CHANNELS = (64, 128, 256, 512, 512)
# The mean color of ImageNet in the order of the weights, (blue, green, red).
_MEAN_BGR = np.array([103.939, 116.779, 123.68], np.float32)
# Pixels of a reflected border: the fewest with which the result has no visible outline. As many as
# the stride of block5, so that no location is half of the border and half of the picture.
_MARGIN = 16
# `jax.checkpoint` asks by name which intermediate results to keep.
_POOLED = "pooled"
# With fewer input channels the additions of Winograd's algorithm cost more than the multiplications
# that it saves.
_WINOGRAD_CHANNELS = 128
_PRECISION_OF: dict[Convolutions, Precision] = {"winograd": "float32", "onednn": "bfloat16"}
_ALIAS = re.compile(r"(?:relu|conv)(\d+)_(\d+)|pool(\d+)")


class Form(NamedTuple):
    """How a network is computed: what a run has to repeat for the same bytes.

    Attributes:
      precision: of the convolutions.
      convolutions: the algorithm, see `feature_fn`.
    """

    precision: Precision
    convolutions: Convolutions


class Layer(NamedTuple):
    """One row of the architecture: a convolution with its ReLU, or a pooling layer.

    Attributes:
      name: Keras's, "block4_conv2" or "block4_pool".
      kind: "conv" or "pool".
      in_channels: of the input; 3 for the image.
      channels: of the output; N in the notation of `losses`.
      stride: pixels of the image between two neighboring locations of the output.
      receptive_field: side, in pixels of the image, of the square that one location sees.
    """

    name: str
    kind: Literal["conv", "pool"]
    in_channels: int
    channels: int
    stride: int
    receptive_field: int

    @property
    def block(self) -> int:
        """Its block, from 1 up: all layers between two poolings, and the pooling behind them."""
        return int(self.name[len("block") : self.name.index("_")])

    @property
    def num_parameters(self) -> int:
        """Weights and biases: (9 in + 1) out of a convolution, none of a pooling."""
        return (9 * self.in_channels + 1) * self.channels if self.kind == "conv" else 0

    @property
    def kernel_shape(self) -> tuple[int, int, int, int]:
        """(3, 3, in, out): Keras's, Flax's and XLA's order."""
        return (3, 3, self.in_channels, self.channels)

    def output_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Shape of the features (h_l, w_l, c_l) of a `height` x `width` image in pixels."""
        # Each pooling drops an odd last row or column. To halve n times and drop the rest each time
        # is to divide by 2^n and drop the rest once.
        return (height // self.stride, width // self.stride, self.channels)


def architecture(arch: Arch = "vgg19") -> tuple[Layer, ...]:
    """The layers of a network from the image upward, convolutions and poolings.

    Args:
      arch: "vgg19" (16 convolutions) or "vgg16" (13).

    Returns:
      Five blocks of convolutions, each with its pooling behind them.

    Raises:
      ValueError: there is no such network.
    """
    check_choice("arch", arch, Arch)
    layers, in_channels, stride, field = [], 3, 1, 1
    blocks = zip(_CONVOLUTIONS[arch], _CHANNELS, strict=True)
    for block, (count, channels) in enumerate(blocks, start=1):
        for conv in range(1, count + 1):
            # A 3 x 3 kernel sees one more location of its input on each side.
            field += 2 * stride
            name = f"block{block}_conv{conv}"
            layers.append(Layer(name, "conv", in_channels, channels, stride, field))
            in_channels = channels
        # A 2 x 2 window sees one location more, on one side.
        field += stride
        stride *= 2
        layers.append(Layer(f"block{block}_pool", "pool", channels, channels, stride, field))
    return tuple(layers)


def canonical_name(name: str, arch: Arch = "vgg19") -> str:
    """Keras's name of a layer: `relu4_2` and `conv4_2` become `block4_conv2`.

    Both aliases mean the activation after ReLU: no layer here is one before it.

    Args:
      name: in either family, also `pool4` for `block4_pool`.
      arch: "vgg19" or "vgg16".

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
    """The shortest side, in pixels, of an image of which every layer has a location at least.

    Args:
      layers: one at least, named in either family.
      arch: "vgg19" or "vgg16".

    Raises:
      ValueError: the network has no such layer.
    """
    names = [canonical_name(name, arch) for name in layers]
    return max(layer.stride for layer in architecture(arch) if layer.name in names)


def max_pool(x: Float[Array, "*batch h w c"]) -> Float[Array, "*batch h2 w2 c"]:
    """2 x 2 max pooling with stride 2; an odd last row or column is dropped.

    The gradient of a tie goes to its first element in reading order, as in Keras.

    Args:
      x: (..., h, w, c).

    Returns:
      (..., h // 2, w // 2, c).
    """
    # Three choices between two, because each says where a tie goes. `jnp.max` shares its gradient
    # among equals. They are common, in regions that are flat or clipped, and the gradient of a
    # picture with such regions was off by up to two thirds.
    a, b, c, d = _pooling_views(x)
    ab, cd = jnp.where(a >= b, a, b), jnp.where(c >= d, c, d)
    return jnp.where(ab >= cd, ab, cd)


def average_pool(x: Float[Array, "*batch h w c"]) -> Float[Array, "*batch h2 w2 c"]:
    """2 x 2 average pooling with stride 2; an odd last row or column is dropped.

    Args:
      x: (..., h, w, c).

    Returns:
      (..., h // 2, w // 2, c).

    References:
      Gatys, Ecker, Bethge, CVPR 2016, section 2: it gives "slightly more appealing results".
    """
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
    """The convolutional part of a VGG, up to the deepest of `layers`, in Flax's own form.

    It has every derivative: forward and backward, of the image and of the parameters.
    Parameters: `{layer: {"kernel": (3, 3, in, out), "bias": (out,)}}`.

    Attributes:
      layers: Keras's names of the layers whose features are returned.
      arch: "vgg19" or "vgg16".
      pooling: "max" or "average".
      precision: "float32", "tf32" or "bfloat16".
      border: "zeros", "edge" or "reflect", see `extract_features`.
      first_block: where it begins: its input is what leaves the block before.
    """

    layers: tuple[str, ...]
    arch: Arch = "vgg19"
    pooling: Pooling = "max"
    precision: Precision = "float32"
    border: Border = "zeros"
    first_block: int = 1

    @nn.compact
    def __call__(self, x: Float[Array, "*batch h w c"]) -> dict[str, Array]:
        """The features (..., h_l, w_l, c_l) of each layer, of an input as `preprocess` gives it."""
        pool = {"max": max_pool, "average": average_pool}[self.pooling]
        return _compute_features(
            self, x, lambda layer, x: nn.relu(self._convolution(layer)(x)), pool
        )

    def _convolution(self, layer: Layer) -> nn.Module:
        is_bfloat16 = self.precision == "bfloat16" and not _sees_pixels(layer.in_channels)
        return nn.Conv(
            layer.channels,
            kernel_size=(3, 3),
            dtype=jnp.bfloat16 if is_bfloat16 else jnp.float32,
            # JAX's default on a GPU is TF32 (10 bits of mantissa instead of 23), on a TPU bfloat16
            # (7 bits); "float32" is to mean float32 everywhere. "high" is TF32, on a TPU three
            # products of bfloat16.
            precision="high" if self.precision == "tf32" else "highest",
            name=layer.name,
        )


def _sees_pixels(in_channels: int) -> bool:
    """Whether a layer is the first one, which is computed in float32 in every precision.

    It sees levels from -124 to 151, between which bfloat16 has steps of up to one: neighboring
    levels of 8 bits, and all smaller changes of an optimizer, would be rounded together.
    """
    return in_channels == 3


def _compute_features(
    network: "VGG | _FixedNetwork",
    x: Array,
    convolve: Callable[[Layer, Array], Array],
    pool: Callable[[Array], Array],
) -> dict[str, Array]:
    """The features of a network by these ways to convolve and to pool, up to the deepest layer."""
    features: dict[str, Array] = {}
    x = with_border(x, network.border)
    for layer in architecture(network.arch):
        if layer.block < network.first_block:
            continue
        if layer.kind == "pool":
            x = checkpoint_name(pool(x), _POOLED)
        elif network.border == "edge" and _sees_pixels(layer.in_channels):
            x = _beyond_edge(layer, x, convolve)
        else:
            x = convolve(layer, x)
        if layer.name in network.layers:
            features[layer.name] = x
        if len(features) == len(network.layers):
            break
    return features


def _beyond_edge(layer: Layer, x: Array, convolve: Callable[[Layer, Array], Array]) -> Array:
    """The convolution of an image whose edge goes on for a pixel."""
    # The outermost locations see the zeros beyond that pixel, and are cut off.
    return convolve(layer, _padded(x, 1, "edge"))[..., 1:-1, 1:-1, :]


def preprocess(image: Float[Array | np.ndarray, "*batch h w 3"]) -> Float[Array, "*batch h w 3"]:
    """RGB in [0, 1] to the input of the weights: BGR, 0 to 255, minus the ImageNet mean.

    Args:
      image: (..., h, w, 3), of any float type.

    Returns:
      (..., h, w, 3), from -123.68 to 151.061, in float32 or wider.

    Raises:
      ValueError: not an image, or one of another range.

    References:
      `keras.applications.vgg19.preprocess_input`, which is Caffe's convention.
    """
    x = networks.as_input(image)
    return x[..., ::-1] * 255 - jnp.broadcast_to(_MEAN_BGR, x.shape)


def extract_features(
    params: Params,
    image: Float[Array | np.ndarray, "*batch h w 3"],
    layers: Sequence[str],
    *,
    arch: Arch = "vgg19",
    pooling: Pooling = "max",
    precision: Precision = "float32",
    border: Border = "zeros",
) -> dict[str, Array]:
    """The activations of an image at some layers of a VGG.

    Args:
      params: `{layer: {"kernel", "bias"}}`, see `weights.load_params`.
      image: RGB in [0, 1], (..., h, w, 3), any size from `smallest_side(layers)` up, odd ones
        included.
      layers: names in either family (`block4_conv2`, `relu4_2`, `conv4_2`, `block4_pool`).
      arch: "vgg19" or "vgg16".
      pooling: "max" (the trained network) or "average" (smoother pictures: Gatys et al.).
      precision: "float32" on every device, "tf32", or "bfloat16" (all convolutions but the
        first; features come in bfloat16).
      border: what is beyond the image: "zeros", as in training, which is the mean color; or
        "edge", of which the first layer alone sees its outermost pixels once more, the other layers
        zeros; or "reflect", 16 pixels of its reflection, whose features come as well: h_l and w_l
        are those of an image of 32 pixels more each way. Zeros tempt an optimized image to saturate
        its outermost pixels.

    Returns:
      The features (..., h_l, w_l, c_l) of each layer, under the name by which it was asked for.
      Nothing above the deepest of them is computed.

    Raises:
      ValueError: an unknown layer or option, or an image too small for the layers.
    """
    extract = feature_fn(
        params, layers, arch=arch, pooling=pooling, precision=precision, border=border
    )
    return extract(image)


def feature_fn(
    params: Params,
    layers: Sequence[str],
    *,
    arch: Arch = "vgg19",
    pooling: Pooling = "max",
    precision: Precision = "float32",
    border: Border = "zeros",
    convolutions: Convolutions = "plain",
    rematerialize: bool = False,
) -> jax.tree_util.Partial:
    """`extract_features` of a fixed network, as a function of the image alone.

    The result is a pytree whose leaves are the parameters: passed to a jitted function they
    are its arguments, never constants compiled into it. Two results for the same options share
    one compiled program, whatever their parameters.

    Args:
      params: as the next five, see `extract_features`. Parameters above the deepest of `layers` are
        left out.
      layers: one at least, named in either family.
      arch: "vgg19" or "vgg16".
      pooling: "max" or "average".
      precision: "float32", "tf32" or "bfloat16".
      border: "zeros", "edge" or "reflect".
      convolutions: "plain" is Flax's own form, with every derivative. The others are for a CPU,
        and their derivatives go backward only (no `jax.jvp`), to the image alone: "winograd"
        (`nst_jax.winograd`, float32; kernels from 128 channels on take five to eight times their
        memory), and "onednn" (`nst_jax.convolutions`, bfloat16; features of every layer come in
        it), which is fast in programs of `compiler.Program`. `fastest_convolutions` tells what
        pays.
      rematerialize: for the derivative keep only what leaves the pooling layers, and compute what
        lies between once more: less memory, for one more forward pass. XLA on a CPU undoes it.

    Returns:
      From an image, RGB in [0, 1], (..., h, w, 3), to `{layer: (..., h_l, w_l, c_l)}`.

    Raises:
      ValueError: as `extract_features`; `convolutions` of another precision.
      RuntimeError: JAX has no device; one line that says what to do.

    References:
      `rematerialize`: Chen, Xu, Zhang, Guestrin, "Training Deep Nets with Sublinear Memory Cost",
      2016, section 4.
    """
    networks.check_layers(layers)
    names = tuple(layers)
    keras_names = tuple(dict.fromkeys(canonical_name(name, arch) for name in names))
    check_choice("pooling", pooling, Pooling)
    check_choice("precision", precision, Precision)
    check_choice("border", border, Border)
    check_choice("convolutions", convolutions, Convolutions)
    needed = _needed_params(params, keras_names, arch)
    backend.start()
    network: VGG | _FixedNetwork
    if convolutions == "plain":
        network = VGG(keras_names, arch, pooling, precision, border)
        # Moved to the device once: arrays of NumPy would be copied there at every call.
        parameters = jax.tree.map(jnp.asarray, needed)
    else:
        if precision != (wanted := _PRECISION_OF[convolutions]):
            raise ValueError(f"{convolutions!r} is for {wanted}, got the precision {precision!r}")
        network = _FixedNetwork(keras_names, arch, pooling, precision, border)
        parameters = {name: network.layer(**of_layer) for name, of_layer in needed.items()}
    return jax.tree_util.Partial(_Extractor(network, names, rematerialize), parameters)


class Anatomy(NamedTuple):
    """What `feature_fn` was asked for.

    Attributes:
      rows: of the architecture, from the image upward.
      layers: some of these, by the names under which their features come.
      border: see `extract_features`.
    """

    rows: tuple[Layer, ...]
    layers: Mapping[str, Layer]
    border: Border


def anatomy(features_of: Callable) -> Anatomy:
    """What a function of `feature_fn` was asked for.

    Raises:
      ValueError: it is another function.
    """
    extractor, _ = _opened(features_of)
    arch = extractor.network.arch
    rows = {layer.name: layer for layer in architecture(arch)}
    asked = {name: rows[canonical_name(name, arch)] for name in extractor.names}
    return Anatomy(tuple(rows.values()), asked, extractor.network.border)


def can_be_spread(features_of: Callable) -> bool:
    """Whether XLA can compute the rows of an image on several devices: it knows the operations.

    What has derivatives of our own, in tiles or by oneDNN, it would gather on one; of a function
    that is none of `feature_fn` nothing is known.
    """
    extractor = getattr(features_of, "func", None)
    return isinstance(extractor, _Extractor) and isinstance(extractor.network, VGG)


def part_of(
    features_of: Callable, layers: Sequence[str], *, first_block: int
) -> jax.tree_util.Partial:
    """The same network from a block on, up to the deepest of `layers`.

    Args:
      features_of: of `feature_fn`.
      layers: one at least, named in either family, none of an earlier block.
      first_block: where it begins.

    Returns:
      As `feature_fn`: from an image, or from what leaves the block before, (..., h, w, c), to
      features. Nothing is put around the image: `with_border` before it does that.

    Raises:
      ValueError: `features_of` is another function.
    """
    extractor, params = _opened(features_of)
    names = tuple(layers)
    arch = extractor.network.arch
    own_names = tuple(dict.fromkeys(canonical_name(name, arch) for name in names))
    changes: dict[str, Any] = {"layers": own_names, "first_block": first_block}
    if extractor.network.border == "reflect":
        changes["border"] = "zeros"
    network: VGG | _FixedNetwork
    if isinstance(extractor.network, VGG):
        network = extractor.network.clone(**changes)
    else:
        network = replace(extractor.network, **changes)
    blocks = range(first_block, 1 + max(_block_of(name, arch) for name in own_names))
    needed = {name: params[name] for name in params if _block_of(name, arch) in blocks}
    return jax.tree_util.Partial(_Extractor(network, names, rematerialize=False), needed)


def _opened(features_of: Callable) -> "tuple[_Extractor, Mapping[str, Any]]":
    """Network and parameters of a function of `feature_fn`."""
    if not (
        isinstance(features_of, jax.tree_util.Partial) and isinstance(features_of.func, _Extractor)
    ):
        raise ValueError(f"the network must be of vgg.feature_fn, got {features_of!r:.80}")
    return features_of.func, features_of.args[0]


def _block_of(name: str, arch: Arch) -> int:
    return next(layer.block for layer in architecture(arch) if layer.name == name)


def fastest_convolutions(precision: Precision) -> Convolutions:
    """The form of `feature_fn` that is fastest on this device.

    By what the compiler and the processor can do, not by a timing: equal settings on equal
    machines give equal programs.

    Args:
      precision: of the convolutions.

    Raises:
      RuntimeError: JAX has no device.
    """
    if backend.platform() != "cpu":
        return "plain"
    if precision == "float32":
        return "winograd"
    is_fast = precision == "bfloat16" and compiler.obstacle_to_bfloat16() is None
    return "onednn" if is_fast else "plain"


def resolve_precision(setting: PrecisionSetting) -> Precision:
    """The precision that a setting means on this device.

    "fast" is the fastest that keeps the gradient's direction (a cosine with that of float32 of
    0.99 with trained weights): bfloat16 on a TPU, on a GPU that multiplies it (compute capability 8
    and later: not a T4), and on a CPU where it goes by oneDNN; else float32.

    Args:
      setting: "fast", or a precision, which is returned as it is.

    Raises:
      ValueError: there is no such setting.
      RuntimeError: JAX has no device.
    """
    check_choice("precision", setting, PrecisionSetting)
    if setting != "fast":
        return setting
    if backend.platform() == "cpu":
        has_fast_form = fastest_convolutions("bfloat16") == "onednn"
    else:
        has_fast_form = compiler.accelerator_multiplies_bfloat16()
    return "bfloat16" if has_fast_form else "float32"


def fastest_form(setting: PrecisionSetting) -> Form:
    """The precision that a setting means on this device, and its fastest convolutions."""
    precision = resolve_precision(setting)
    return Form(precision, fastest_convolutions(precision))


@dataclass(frozen=True)
class _FixedNetwork:
    """What `VGG` computes, by layers with a derivative of their own (`convolutions`)."""

    layers: tuple[str, ...]
    arch: Arch
    pooling: Pooling
    precision: Precision
    border: Border
    first_block: int = 1

    def layer(
        self, kernel: Array | np.ndarray, bias: Array | np.ndarray
    ) -> fixed_layers.FixedLayer:
        in_channels = kernel.shape[2]
        if self.precision == "float32" and in_channels >= _WINOGRAD_CHANNELS:
            return fixed_layers.winograd_layer(kernel, bias, keeps_ties=self.pooling == "max")
        dtype = jnp.float32 if _sees_pixels(in_channels) else self._dtype
        return fixed_layers.direct_layer(kernel, bias, dtype)

    def __call__(self, layers: Mapping[str, fixed_layers.FixedLayer], x: Array) -> dict[str, Array]:
        pool = {"max": fixed_layers.max_pool, "average": fixed_layers.average_pool}[self.pooling]
        return _compute_features(
            self,
            x,
            lambda layer, x: fixed_layers.convolve_and_rectify(x, layers[layer.name], self._dtype),
            pool,
        )

    @property
    def _dtype(self) -> DTypeLike:
        return jnp.bfloat16 if self.precision == "bfloat16" else jnp.float32


@dataclass(frozen=True)
class _Extractor:
    """From parameters and an image to features: the static part of `feature_fn`.

    A frozen dataclass and not a closure: JAX finds a compiled program by the hash of the function.
    A dataclass is hashed by its fields, so that equal networks share one program; a closure by its
    identity, so that each new one would be compiled anew.
    """

    network: VGG | _FixedNetwork
    names: tuple[str, ...]
    rematerialize: bool

    def __call__(
        self, params: Params | Mapping[str, fixed_layers.FixedLayer], image: Array | np.ndarray
    ) -> dict[str, Array]:
        arch, first_block = self.network.arch, self.network.first_block
        x = preprocess(image) if first_block == 1 else jnp.asarray(image)
        least = smallest_side(self.names, arch) // 2 ** (first_block - 1)
        networks.check_size(x, self.names, least)
        apply: Callable[..., Any] = self._apply
        if self.rematerialize:
            # The outputs of the poolings are a quarter of their inputs: few bytes, from which each
            # block can be computed once more.
            policy = jax.checkpoint_policies.save_only_these_names(_POOLED)
            apply = jax.checkpoint(apply, policy=policy)
        features = apply(params, x)
        return {name: features[canonical_name(name, arch)] for name in self.names}

    def _apply(self, params: Any, x: Array) -> dict[str, Array]:
        if isinstance(self.network, _FixedNetwork):
            return self.network(params, x)
        features: Any = self.network.apply({"params": params}, x)
        return features


def with_border(x: Float[Array, "*batch h w c"], border: Border) -> Float[Array, "*batch h2 w2 c"]:
    """An image, or a mask with one channel, as large as what the features of the network are of.

    Args:
      x: (..., h, w, c).
      border: "zeros" or "edge": nothing is added; "reflect": the reflection of x, 16 pixels wide,
        on each side.
    """
    # The network still pads with zeros, around the margin: what they spoil lies mostly within it.
    return _padded(x, _MARGIN, "reflect") if border == "reflect" else x


def _padded(x: Array, width: int, mode: str) -> Array:
    margins = [(0, 0)] * (x.ndim - 3) + [(width, width), (width, width), (0, 0)]
    return jnp.pad(x, margins, mode=mode)


def _needed_params(params: Params, names: tuple[str, ...], arch: Arch) -> Params:
    """The parameters up to the deepest of `names`; a missing one is an error."""
    layers = architecture(arch)
    deepest = max(i for i, layer in enumerate(layers) if layer.name in names)
    needed = [layer.name for layer in layers[: deepest + 1] if layer.kind == "conv"]
    return networks.needed_params(params, needed, names)
