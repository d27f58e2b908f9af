"""A network that paints in one pass: of one style, which it was trained for.

    y = N(x),    N = argmin_N  E_x L(N(x); x)

with an objective L of `terms`, whose content is the photograph x and whose style is one painting.
What `stylize` searches for each picture by itself, N learns once for all of them.

The layers are those of Johnson et al.: two convolutions halve the picture, residual blocks work on
the quarter, two enlargements come back. Each convolution has an instance normalization

    z_c = scale_c (y_c - mean y_c) / sqrt(variance y_c + epsilon) + shift_c

over the locations of its channel c, and nothing in the layers knows a size: a picture of any size
will do.

References:
  Johnson, Alahi, Fei-Fei, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution",
  ECCV 2016, section 3.1, and its supplement, table 1; Ulyanov, Vedaldi, Lempitsky, "Instance
  Normalization: The Missing Ingredient for Fast Stylization", 2016, equation 5; Odena, Dumoulin,
  Olah, "Deconvolution and Checkerboard Artifacts", Distill 2016; Engstrom, "Fast Style Transfer",
  https://github.com/lengstrom/fast-style-transfer, 2016.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from nst_jax import backend, networks
from nst_jax.choices import FeedforwardForm, Precision, check_choice
from nst_jax.networks import Params, Shapes

SMALLEST_SIDE = 5
"""The shortest side of a picture in pixels: the first layer mirrors four of them at each border."""

# Two layers halve the picture: sides are filled up to multiples.
_STRIDE = 4
# Beyond the levels of a picture, so that black and white are reached with a slope.
_RANGE, _CENTER = 150 / 255, 0.5
_BLOCK: dict[int, Literal["relu", "add"]] = {1: "relu", 2: "add"}


class Form(NamedTuple):
    """What is done in one way or another by networks of these layers.

    Attributes:
      transposed: enlarge by the transpose of a convolution of step 2; else each location becomes
        four equal ones, before a convolution.
      mirrors: beyond a layer's input is its mirror image; else zeros.
      normalizes_last: normalize what the last convolution gives; else it has a bias.
      epsilon: added to variances.
      white: the level that the first layer sees where a picture has 1.
    """

    transposed: bool
    mirrors: bool
    normalizes_last: bool
    epsilon: float
    white: int


FORMS: dict[FeedforwardForm, Form] = {
    # Four equal locations leave no checkerboard, the mirror no frame of black.
    "resize": Form(transposed=False, mirrors=True, normalizes_last=False, epsilon=1e-5, white=1),
    "lengstrom": Form(
        transposed=True, mirrors=False, normalizes_last=True, epsilon=1e-3, white=255
    ),
}
"""Ours, and that of the networks that Engstrom has published."""


@dataclass(frozen=True)
class Architecture:
    """The layers of a network.

    Attributes:
      form: a name of `FORMS`.
      width: channels of the first layer, of whole size; four times as many are at a quarter.
      residuals: blocks of two layers at a quarter of the size.
    """

    form: FeedforwardForm = "resize"
    width: int = 32
    residuals: int = 5

    def __post_init__(self) -> None:
        check_choice("form", self.form, FeedforwardForm)
        if self.width < 1 or self.residuals < 0:
            raise ValueError(
                f"a network has a width from 1 and residual blocks from 0 up, got {self.width} and "
                f"{self.residuals}"
            )


OURS = Architecture()
"""That of Johnson et al., with convolutions that enlarge without a checkerboard."""


class Layer(NamedTuple):
    """A convolution, with its normalization or bias.

    Attributes:
      name: of its parameters.
      side: of the kernel.
      in_channels: of the input; 3 for the picture.
      channels: of the output.
      step: between two neighboring locations of the output, in locations of the input.
      enlarges: to twice the size.
      transposed: see `Form`; of a layer that enlarges.
      normalizes: else it has a bias.
      then: what is done with the output: negative values become 0; or the input of the layer before
        is added; or nothing.
    """

    name: str
    side: int
    in_channels: int
    channels: int
    step: int = 1
    enlarges: bool = False
    transposed: bool = False
    normalizes: bool = True
    then: Literal["relu", "add", "nothing"] = "relu"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of its parameters by their names."""
        ends = (self.in_channels, self.channels)
        kernel = (self.side, self.side, *(ends[::-1] if self.transposed else ends))
        names = ("scale", "shift") if self.normalizes else ("bias",)
        return {"kernel": kernel, **{name: (self.channels,) for name in names}}


def layers(architecture: Architecture = OURS) -> tuple[Layer, ...]:
    """The layers of a network, from the photograph to the painting.

    Args:
      architecture: which.
    """
    form = FORMS[architecture.form]
    full, half, quarter = (architecture.width * factor for factor in (1, 2, 4))
    return (
        Layer("conv1", 9, 3, full),
        Layer("conv2", 3, full, half, step=2),
        Layer("conv3", 3, half, quarter, step=2),
        *(
            Layer(f"res{block}_{i}", 3, quarter, quarter, then=then)
            for block in range(1, architecture.residuals + 1)
            for i, then in _BLOCK.items()
        ),
        Layer("up1", 3, quarter, half, enlarges=True, transposed=form.transposed),
        Layer("up2", 3, half, full, enlarges=True, transposed=form.transposed),
        Layer("out", 9, full, 3, normalizes=form.normalizes_last, then="nothing"),
    )


def parameter_shapes(architecture: Architecture = OURS) -> Shapes:
    """The shapes of the parameters, in the order of the layers.

    Args:
      architecture: of the network.

    Returns:
      For each layer "kernel" (h, w, in, out), of one that is transposed (h, w, out, in); "scale"
      and "shift" of its normalization (out,), of the last layer of "resize" "bias" (out,) instead.
    """
    return {layer.name: layer.shapes for layer in layers(architecture)}


def init_params(seed: int, architecture: Architecture = OURS) -> dict[str, dict[str, Array]]:
    """Parameters to begin a training with.

    Args:
      seed: of the kernels; nothing else is random.
      architecture: of the network.

    Returns:
      Kernels drawn by the variance 1 / number of inputs (LeCun), scales 1, shifts and biases 0.
    """
    picture = jax.ShapeDtypeStruct((2 * _STRIDE, 2 * _STRIDE, 3), jnp.float32)
    return dict(_Network(architecture).lazy_init(jax.random.key(seed), picture)["params"])


def paint(
    params: Params,
    image: Float[Array | np.ndarray, "*batch h w 3"],
    architecture: Architecture = OURS,
    *,
    precision: Precision = "float32",
) -> Float[Array, "*batch h w 3"]:
    """A picture, or several of one size, in the style of a network.

    A pure function of parameters and picture: differentiate it, map it, compile it.

    Args:
      params: with the shapes of `parameter_shapes`; see `weights.load_feedforward`.
      image: RGB in [0, 1], (..., h, w, 3), any size from `SMALLEST_SIDE` up. Sides that are no
        multiples of four are filled up by their mirror image, and cut back.
      architecture: of the network.
      precision: "float32" on every device, "tf32", or "bfloat16", of the convolutions.

    Returns:
      RGB from -0.09 to 1.09, (..., h, w, 3) of the same size, in float32: a saved picture is
      clipped to [0, 1], and an objective is given what is beyond, so that its slope is not lost.

    Raises:
      ValueError: not an image, or one that is too small; an unknown precision.
    """
    check_choice("precision", precision, Precision)
    x = filled_up(image)
    painted: Any = _Network(architecture, precision).apply({"params": params}, x)
    height, width = np.shape(image)[-3:-1]
    return painted[..., :height, :width, :]


def paint_fn(
    params: Params,
    architecture: Architecture = OURS,
    *,
    precision: Precision = "float32",
) -> jax.tree_util.Partial:
    """`paint` of a fixed network, as a function of the picture alone.

    The result is a pytree whose leaves are the parameters: networks of one architecture share one
    compiled program a size.

    Args:
      params: as of `paint`, and so are the others.
      architecture: of the network.
      precision: of the convolutions.

    Raises:
      ValueError: a parameter is missing or has another shape; an unknown precision.
      RuntimeError: JAX has no device; one line that says what to do.
    """
    check_choice("precision", precision, Precision)
    check_shapes(jax.tree.map(np.shape, params), architecture)
    backend.start()
    # Moved to the device once: arrays of NumPy would be copied there at every call.
    parameters = jax.tree.map(jnp.asarray, dict(params))
    return jax.tree_util.Partial(_Painter(architecture, precision), parameters)


def check_shapes(shapes: Mapping[str, Mapping[str, Any]], architecture: Architecture) -> None:
    """Refuses parameters that are not those of a network.

    Args:
      shapes: of the parameters, as those of `parameter_shapes`.
      architecture: of the network.

    Raises:
      ValueError: the message names the first that is missing, unknown or of another shape.
    """
    expected, found = _flat(parameter_shapes(architecture)), _flat(shapes)
    for name in (*expected, *found):
        if found.get(name) != expected.get(name):
            raise ValueError(
                f"{name}: expected {_in_words(expected.get(name))}, got "
                f"{_in_words(found.get(name))}"
            )


def architecture_of(shapes: Mapping[str, Mapping[str, Any]], form: FeedforwardForm) -> Architecture:
    """Which network has parameters of these shapes.

    Args:
      shapes: as those of `parameter_shapes`.
      form: a name of `FORMS`, which shapes do not tell for sure.

    Raises:
      ValueError: none; the message names a parameter.
    """
    first = shapes.get("conv1", {}).get("kernel", ())
    blocks = sum(name.startswith("res") for name in shapes) // 2
    width = first[-1] if first else OURS.width
    architecture = Architecture(form, width, residuals=blocks)
    check_shapes(shapes, architecture)
    return architecture


def _flat(named: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {f"{layer}/{name}": value for layer, own in named.items() for name, value in own.items()}


def _in_words(shape: tuple[int, ...] | None) -> str:
    return "nothing" if shape is None else f"the shape {shape}"


@dataclass(frozen=True)
class _Painter:
    """The static part of `paint_fn`, by whose fields JAX finds a compiled program again."""

    architecture: Architecture
    precision: Precision

    def __call__(self, params: Params, image: Array | np.ndarray) -> Array:
        return paint(params, image, self.architecture, precision=self.precision)


class _Network(nn.Module):
    """From RGB in [0, 1] with sides of multiples of four to RGB around [0, 1]."""

    architecture: Architecture
    precision: Precision = "float32"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        form = FORMS[self.architecture.form]
        before = x = x * form.white
        for layer in layers(self.architecture):
            y = _Layer(layer, form, self.precision, name=layer.name)(x)
            if layer.then == "add":
                y = y + before
            before, x = x, nn.relu(y) if layer.then == "relu" else y
        return as_levels(x)


class _Layer(nn.Module):
    """A convolution, with its normalization or bias."""

    layer: Layer
    form: Form
    precision: Precision

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shapes = self.layer.shapes
        ends = (-1, -2) if self.layer.transposed else (-2, -1)
        kernel = self.param("kernel", nn.initializers.lecun_normal(*ends), shapes["kernel"])
        y = convolve(x, jnp.asarray(kernel), self.layer, self.form, self.precision)
        y = y.astype(jnp.float32)
        if not self.layer.normalizes:
            return y + self._of_channels("bias", nn.initializers.zeros, y)
        scale = self._of_channels("scale", nn.initializers.ones, y)
        shift = self._of_channels("shift", nn.initializers.zeros, y)
        return _normalized(y, self.form.epsilon) * scale + shift

    def _of_channels(self, name: str, init: nn.initializers.Initializer, y: Array) -> Array:
        """A parameter with a number a channel, at each location."""
        return jnp.broadcast_to(self.param(name, init, self.layer.shapes[name]), y.shape)


def filled_up(image: Array | np.ndarray) -> Array:
    """A picture with sides of multiples of four, filled up by their mirror image.

    Args:
      image: RGB, (..., h, w, 3).

    Raises:
      ValueError: not an image, or one that is too small.
    """
    x = networks.as_input(image)
    height, width = x.shape[-3:-1]
    if min(height, width) < SMALLEST_SIDE:
        raise ValueError(
            f"an image of {width} x {height} pixels is too small: both sides must be at least "
            f"{SMALLEST_SIDE} pixels"
        )
    return _beyond(x, (0, -height % _STRIDE), (0, -width % _STRIDE))


def convolve(
    x: Array,
    kernel: Array,
    layer: Layer,
    form: Form,
    precision: Precision,
    *,
    is_strip: bool = False,
) -> Array:
    """The convolution of a layer, before its normalization or bias.

    Args:
      x: its input, (..., h, w, in).
      kernel: its kernel.
      layer: which.
      form: of the network.
      precision: of the result, which is of bfloat16 or float32.
      is_strip: the input is the rows of `rows_seen`, with those beyond the border and, before an
        enlargement by equal locations, each twice.
    """
    if layer.enlarges and not layer.transposed:
        x = jnp.repeat(x if is_strip else jnp.repeat(x, 2, axis=-3), 2, axis=-2)
    if form.mirrors:
        margin = (layer.side // 2,) * 2
        x = _beyond(x, (0, 0) if is_strip else margin, margin)
    dtype = jnp.bfloat16 if precision == "bfloat16" else jnp.float32
    batch = x.reshape(-1, *x.shape[-3:]).astype(dtype)
    options: Any = {
        "dimension_numbers": ("NHWC", "HWIO", "NHWC"),
        # JAX's default on a GPU or TPU has 10 or 7 bits of mantissa instead of 23.
        "precision": "high" if precision == "tf32" else "highest",
    }
    kernel, steps = kernel.astype(dtype), (layer.step,) * 2
    if layer.transposed:
        y = jax.lax.conv_transpose(batch, kernel, (2, 2), "SAME", transpose_kernel=True, **options)
        y = y[:, 2:] if is_strip else y
    else:
        sides = (layer.side,) * 2
        beyond = "VALID" if form.mirrors else "SAME"
        pads = jax.lax.padtype_to_pads(batch.shape[1:3], sides, steps, beyond)
        pads = [(0, 0), pads[1]] if is_strip else pads
        y = jax.lax.conv_general_dilated(batch, kernel, steps, pads, **options)
    return y.reshape(*x.shape[:-3], *y.shape[-3:])


def rows_seen(layer: Layer, form: Form, start: int, count: int) -> tuple[int, int]:
    """Which rows of its input a convolution sees for some rows of its output.

    Args:
      layer: which.
      form: of the network.
      start: the first row of the output; of a transposed convolution even, and so is `count`.
      count: of rows.

    Returns:
      The first one and their number, beyond the border too; of an enlargement by equal locations
      those of the enlarged input.
    """
    if layer.transposed:
        return start // 2 - 1, count // 2 + 1
    # Of an even number of rows "SAME" puts the one zero of a step of 2 behind them.
    before = layer.side // 2 if form.mirrors or layer.step == 1 else 0
    return layer.step * start - before, layer.step * (count - 1) + layer.side


def as_levels(x: Array) -> Array:
    """RGB from -0.09 to 1.09 of what the last layer gives."""
    return _RANGE * jnp.tanh(x) + _CENTER


def _normalized(x: Array, epsilon: float) -> Array:
    """Each channel of a picture with the mean 0 and the variance 1 over its locations."""
    # Not the mean of squares less the square of the mean: their difference loses its digits.
    centered = x - jnp.mean(x, axis=(-3, -2), keepdims=True)
    variance = jnp.mean(jnp.square(centered), axis=(-3, -2), keepdims=True)
    return centered * jax.lax.rsqrt(variance + epsilon)


def _beyond(x: Array, rows: tuple[int, int], columns: tuple[int, int]) -> Array:
    """A picture with so many rows and columns of its mirror image (before, after) it."""
    return jnp.pad(x, ((0, 0),) * (x.ndim - 3) + (rows, columns, (0, 0)), mode="reflect")
