"""Networks that are tables of layers, one behind the other: AlexNet and SqueezeNet; checks for all.

A row of a table is a hashable value that knows its parameters, the size of its output, and how it
is computed. Input is RGB in [0, 1]; what the weights expect is applied inside.
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from nst_jax import backend, pixels

Params = Mapping[str, Mapping[str, Array | np.ndarray]]
"""`{layer: {"kernel": (h, w, in, out), "bias": (out,)}}`, float32."""

Shapes = dict[str, dict[str, tuple[int, ...]]]
"""`{layer: {"kernel": (h, w, in, out), "bias": (out,)}}`: the shapes alone."""

# Of ImageNet's pictures in [0, 1], in the order RGB, as torchvision rounds them.
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)


@dataclass(frozen=True)
class Window:
    """The square that a layer moves over its input.

    Attributes:
      side: in locations of the input.
      step: between two neighboring locations of the output, in locations of the input.
      padding: locations put (before, after) the input on both axes; "SAME": as many as give
        one location of the output to each whole or partial step.
    """

    side: int
    step: int = 1
    padding: Literal["SAME"] | tuple[int, int] = "SAME"

    def count(self, length: int) -> int:
        """Locations of the output along an axis with `length` of the input; below 1 if none."""
        if self.padding == "SAME":
            return -(-length // self.step)
        return (length + sum(self.padding) - self.side) // self.step + 1


@dataclass(frozen=True)
class Layer(ABC):
    """One row of an architecture.

    Attributes:
      name: under which its features are asked for.
      in_channels: of the input; 3 for the image.
      channels: of the output; N in the notation of `losses`.
    """

    name: str
    in_channels: int
    channels: int

    @property
    @abstractmethod
    def kernels(self) -> Mapping[str, tuple[int, int, int, int]]:
        """The shapes (h, w, in, out) of its convolutions by their names."""

    @abstractmethod
    def count(self, length: int) -> int:
        """As `Window.count`."""

    @abstractmethod
    def __call__(self, x: Array) -> Array:
        """(..., h, w, in) to (..., h_l, w_l, channels), within a Flax module."""


@dataclass(frozen=True)
class Convolution(Layer):
    """A convolution and its ReLU.

    Attributes:
      window: its side is that of the kernel.
    """

    window: Window

    @property
    def kernels(self) -> Mapping[str, tuple[int, int, int, int]]:
        side = self.window.side
        return {self.name: (side, side, self.in_channels, self.channels)}

    def count(self, length: int) -> int:
        return self.window.count(length)

    def __call__(self, x: Array) -> Array:
        side, step, padding = self.window.side, self.window.step, self.window.padding
        convolve = nn.Conv(
            self.channels,
            kernel_size=(side, side),
            strides=(step, step),
            padding="SAME" if padding == "SAME" else (padding, padding),
            dtype=jnp.float32,
            # JAX's default on a GPU or TPU has 10 or 7 bits of mantissa instead of 23.
            precision="highest",
            name=self.name,
        )
        return nn.relu(convolve(x))


@dataclass(frozen=True)
class Pool(Layer):
    """3 x 3 max pooling with stride 2.

    Attributes:
      padding: locations put (before, after) the input on both axes, which are never the largest.
    """

    padding: tuple[int, int] = (0, 0)

    @property
    def kernels(self) -> Mapping[str, tuple[int, int, int, int]]:
        return {}

    def count(self, length: int) -> int:
        return Window(side=3, step=2, padding=self.padding).count(length)

    def __call__(self, x: Array) -> Array:
        leading = x.ndim - 3
        # Flax's pooling takes one axis of a batch at most.
        return jax.lax.reduce_window(
            x,
            -jnp.inf,
            jax.lax.max,
            (*[1] * leading, 3, 3, 1),
            (*[1] * leading, 2, 2, 1),
            (*[(0, 0)] * leading, self.padding, self.padding, (0, 0)),
        )


class Network(nn.Module):
    """The layers of a table in turn, each with its features if they are wanted.

    Attributes:
      table: from the image upward.
      layers: names of the rows whose features are returned.
    """

    table: tuple[Layer, ...]
    layers: tuple[str, ...]

    @nn.compact
    def __call__(self, x: Float[Array, "*batch h w 3"]) -> dict[str, Array]:
        """The features (..., h_l, w_l, c_l) of each layer, of an input as the weights expect it."""
        features: dict[str, Array] = {}
        for layer in self.table:
            x = layer(x)
            if layer.name in self.layers:
                features[layer.name] = x
        return features


def as_input(image: Float[Array | np.ndarray, "*batch h w 3"]) -> Float[Array, "*batch h w 3"]:
    """A picture that has been checked, in float32 or wider.

    Args:
      image: RGB in [0, 1], (..., h, w, 3), of any float type.

    Raises:
      ValueError: not an image, or one of another range.
    """
    x = jnp.asarray(pixels.check_picture("image", image, batch=True))
    # Half precision has steps of up to 1/8 (float16) or 1 (bfloat16) in the range 0 to 255.
    return x.astype(jnp.float32) if x.dtype.itemsize < 4 else x


def normalize(image: Float[Array | np.ndarray, "*batch h w 3"]) -> Float[Array, "*batch h w 3"]:
    """RGB in [0, 1] to torchvision's input: (image - mean) / deviation, those of ImageNet.

    Args:
      image: (..., h, w, 3), of any float type.

    Returns:
      (..., h, w, 3), from -2.12 to 2.64.

    Raises:
      ValueError: not an image, or one of another range.
    """
    x = as_input(image)
    return (x - jnp.broadcast_to(_MEAN, x.shape)) / jnp.broadcast_to(_DEVIATION, x.shape)


def parameter_shapes(table: Sequence[Layer]) -> Shapes:
    """The shapes of the parameters of a table, in the order of its layers.

    Args:
      table: from the image upward.

    Returns:
      For each convolution "kernel" (h, w, in, out) and "bias" (out,).
    """
    return {
        name: {"kernel": shape, "bias": shape[-1:]}
        for layer in table
        for name, shape in layer.kernels.items()
    }


def up_to(table: Sequence[Layer], names: Sequence[str]) -> tuple[Layer, ...]:
    """The rows of a table up to the deepest of `names`, which it must have."""
    deepest = max(i for i, layer in enumerate(table) if layer.name in names)
    return tuple(table[: deepest + 1])


def smallest_side(table: Sequence[Layer]) -> int:
    """The shortest side, in pixels, of an image of which the last layer has a location at least.

    Args:
      table: from the image upward.
    """
    return next(side for side in itertools.count(1) if _count_locations(table, side) > 0)


def _count_locations(table: Sequence[Layer], side: int) -> int:
    return reduce(lambda length, layer: layer.count(length), table, side)


def check_layers(layers: Sequence[str]) -> None:
    """Refuses what is no list of layers, or an empty one.

    Raises:
      ValueError: the message has what came.
    """
    if isinstance(layers, str) or not layers:
        raise ValueError(f"`layers` must be a list of at least one layer, got {layers!r}")


def check_size(image: Array, layers: Sequence[str], side: int) -> None:
    """Refuses an image of which a layer has no location.

    Args:
      image: (..., h, w, 3).
      layers: for the error.
      side: the shortest that will do.

    Raises:
      ValueError: the message has that side.
    """
    height, width = image.shape[-3:-1]
    if min(height, width) < side:
        raise ValueError(
            f"an image of {width} x {height} pixels is too small for {', '.join(layers)}: both "
            f"sides must be at least {side} pixels"
        )


def needed_params(params: Params, needed: Sequence[str], layers: Sequence[str]) -> Params:
    """Some of the parameters.

    Args:
      params: by the names of convolutions.
      needed: names of convolutions.
      layers: what they are needed for.

    Raises:
      ValueError: one is missing; the message names it.
    """
    missing = [name for name in needed if name not in params]
    if missing:
        raise ValueError(f"`params` lacks {', '.join(missing)}, which {', '.join(layers)} needs")
    return {name: params[name] for name in needed}


def check_name(name: str, valid: Sequence[str], network: str) -> str:
    """The name of a layer, if the network has it.

    Args:
      name: the network's own.
      valid: all of them.
      network: for the error.

    Raises:
      ValueError: the message lists the valid names.
    """
    if name not in valid:
        raise ValueError(f"unknown layer {name!r}: {network} has {', '.join(valid)}")
    return name


def feature_fn(
    params: Params,
    table: Sequence[Layer],
    layers: Sequence[str],
    *,
    own_name: Callable[[str], str],
    prepare: Callable[[Any], Array],
) -> jax.tree_util.Partial:
    """The activations of a fixed network, as a function of the image alone.

    The result is a pytree whose leaves are the parameters, as that of `vgg.feature_fn`: two results
    for the same table and layers share one compiled program, whatever their parameters.

    Args:
      params: of the table; those above the deepest of `layers` are left out.
      table: from the image upward.
      layers: one name at least.
      own_name: from a name in `layers` to that in the table; raises ValueError for an unknown one.
      prepare: a function of a module, from an image to the input that the weights expect.

    Returns:
      From an image, RGB in [0, 1], (..., h, w, 3), to `{layer: (..., h_l, w_l, c_l)}`.

    Raises:
      ValueError: an unknown layer, or parameters that lack one; when called, an image too small.
      RuntimeError: JAX has no device; one line that says what to do.
    """
    check_layers(layers)
    names = tuple((name, own_name(name)) for name in layers)
    own_names = tuple(dict.fromkeys(own for _, own in names))
    network = Network(up_to(table, own_names), own_names)
    needed = needed_params(params, list(parameter_shapes(network.table)), own_names)
    backend.start()
    # Moved to the device once: arrays of NumPy would be copied there at every call.
    parameters = jax.tree.map(jnp.asarray, needed)
    return jax.tree_util.Partial(_Extractor(network, names, prepare), parameters)


@dataclass(frozen=True)
class _Extractor:
    """From parameters and an image to features: the static part of `feature_fn`.

    JAX finds a compiled program by the hash of the function: of a frozen dataclass that of its
    fields, so that equal networks share one program.
    """

    network: Network
    names: tuple[tuple[str, str], ...]
    """Each layer as it was asked for, with its own name."""
    prepare: Callable[[Any], Array]

    def __call__(self, params: Params, image: Array | np.ndarray) -> dict[str, Array]:
        x = self.prepare(image)
        asked = [name for name, _ in self.names]
        check_size(x, asked, smallest_side(self.network.table))
        features: Any = self.network.apply({"params": params}, x)
        return {name: features[own_name] for name, own_name in self.names}
