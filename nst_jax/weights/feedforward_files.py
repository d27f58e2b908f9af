"""Files of networks that paint in one pass: ours, and those that Engstrom has published.

A file of ours is HDF5 with a dataset a parameter, and says in attributes what the network is. A
file of the same names without them is taken for one of Engstrom's.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nst_jax.choices import FeedforwardForm, check_choice
from nst_jax.weights.containers import Tensor, opened
from nst_jax.weights.formats import Params, read_array, write_file
from nst_jax.weights.names import check_type

if TYPE_CHECKING:  # who only looks for files does without JAX and Flax
    from nst_jax.feedforward import Architecture

_INPUT = "RGB, 0 to 1"
_PUBLISHED: dict[str, str] = {
    "form": "lengstrom",
    "licence": "(c) 2016 Logan Engstrom: free for research with attribution, commercial on request",
}


class Feedforward(NamedTuple):
    """A network that paints in one pass, as a file has it.

    Attributes:
      params: `{layer: {"kernel", ...}}` in float32, see `feedforward.parameter_shapes`.
      form: see `feedforward.FORMS`.
      attributes: what the file says of the network, as texts: of ours "style", "style_sha256",
        "objective", "settings" (JSON), "licence", and more.
    """

    params: Params
    form: FeedforwardForm
    attributes: Mapping[str, str] = MappingProxyType({})

    @property
    def architecture(self) -> "Architecture":
        """Of the network.

        Raises:
          ValueError: the parameters are of no network.
        """
        from nst_jax import feedforward

        shapes = {x: {y: np.shape(z) for y, z in own.items()} for x, own in self.params.items()}
        return feedforward.architecture_of(shapes, self.form)


def save_feedforward(path: str | os.PathLike[str], network: Feedforward) -> None:
    """Writes a network as HDF5, whole or not at all.

    Args:
      path: the file; replaced if it exists.
      network: its attributes become those of the root.

    Raises:
      ValueError: the parameters are of no network.
      OSError: the file cannot be written.
    """
    own = {"form": network.architecture.form, "convention": _INPUT}
    attributes = {**network.attributes, **own}
    write_file(Path(path), network.params, attributes=attributes)


def load_feedforward(path: str | os.PathLike[str]) -> Feedforward:
    """Reads and checks a network that paints in one pass.

    Args:
      path: of `save_feedforward`, or in its layout with Engstrom's parameters: `conv1/kernel`,
        `conv1/scale`, `conv1/shift`, ..., in any float type.

    Raises:
      ValueError: it is another file, or lacks a parameter, or one has another shape, type or a
        number that is not finite; one line.
      OSError: the file is missing, truncated or damaged.
    """
    from nst_jax import feedforward

    with opened(Path(path)) as contents:
        attributes = contents.attributes if "form" in contents.attributes else _PUBLISHED
        named = _by_layer(contents.tensors)
        try:
            form: Any = attributes["form"]
            check_choice("form", form, FeedforwardForm)
            shapes = {x: {y: z.shape for y, z in own.items()} for x, own in named.items()}
            feedforward.architecture_of(shapes, form)
        except ValueError as error:
            raise ValueError(f"{path} is no network that paints in one pass: {error}") from None
        params: Params = {
            layer: {name: _read(each, f"{path}: {layer} {name}") for name, each in own.items()}
            for layer, own in named.items()
        }
    return Feedforward(params, form, dict(attributes))


def _by_layer(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        layer, _, parameter = name.rpartition("/")
        found.setdefault(layer, {})[parameter] = tensor
    return found


def _read(tensor: Tensor, what: str) -> np.ndarray:
    check_type(tensor, what)
    return read_array(tensor, what)
