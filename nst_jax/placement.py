"""A run on several devices: its lanes, and where there are fewer of these, the rows of its images.

Placement is all that it takes. XLA's partitioner computes each row where it lies, and exchanges the
few rows that a convolution sees of its neighbor (a halo); sums over all rows are one exchange more.
No part of the network is ever gathered. The devices may be those of several processes: each then
has the same values, and places its own part of them.

References:
  Xu et al., "GSPMD: General and Scalable Parallelization for ML Computation Graphs", 2021,
  section 4.4.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, Sharding
from jax.tree_util import Partial
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from nst_jax.terms import Losses, Objective, Weights

# Two of the deepest layer, of which one alone is concatenated wrongly (jax issue 39301).
LEAST_ROWS = 32
"""Rows of the image that a device has at least."""
_COPIES, _LANES, _ROWS = "copies", "v", "rows"

Tree = TypeVar("Tree")


def row_devices(height: int, devices: int, *, evenly: bool = False) -> int:
    """Over how many devices the rows of one image are spread, of those that there are.

    Args:
      height: of the image in pixels.
      devices: that lanes leave over for each of them.
      evenly: none is left out, because a program of several processes is one of all their devices:
        the number divides theirs, and each part of the rows is computed as often as it is less.
    """
    most = max(1, min(devices, height // LEAST_ROWS))
    return max(n for n in range(1, most + 1) if devices % n == 0) if evenly else most


def mesh_of(lanes: int, rows: int, devices: Sequence[jax.Device]) -> Mesh:
    """A mesh of all these devices; what `lanes` x `rows` of them compute, the others compute too.

    Args:
      lanes: over how many devices the lanes are spread.
      rows: over how many the rows of each image are.
      devices: a multiple of these.
    """
    return jax.make_mesh(
        # Neighbors of rows are near one another, copies far apart.
        (len(devices) // (lanes * rows), lanes, rows),
        (_COPIES, _LANES, _ROWS),
        # Where an axis is explicit, the product of a Gram matrix has no sharding of its own.
        axis_types=(AxisType.Auto,) * 3,
        devices=devices,
    )


def spread(tree: Tree, mesh: Mesh, shape: tuple[int, ...]) -> Tree:
    """Arrays with a leading axis of lanes, on the devices.

    Args:
      tree: a state, say; of what ends with the axes of an image the rows are spread as well,
        filled up with zeros to as many on each device.
      mesh: of `mesh_of`.
      shape: (h, w, 3) of an image.
    """

    def placed(x: ArrayLike) -> Array:
        axes: list[str | None] = [_LANES]
        if np.shape(x)[-3:] == shape:
            axes += [None] * (np.ndim(x) - 4) + [_ROWS]
            x = _filled(jnp.asarray(x), -(-shape[0] // mesh.shape[_ROWS]) * mesh.shape[_ROWS])
        return _put(x, NamedSharding(mesh, PartitionSpec(*axes)))

    return jax.tree.map(placed, tree)


def _put(x: ArrayLike, sharding: Sharding) -> Array:
    if sharding.is_fully_addressable:
        return jax.device_put(x, sharding)
    # `device_put` would send everything to all processes, to see that they have the same.
    values = np.asarray(x)
    return jax.make_array_from_callback(values.shape, sharding, lambda place: values[place])


def _filled(x: Array, height: int) -> Array:
    missing = height - x.shape[-3]
    pads = [(0, 0)] * (x.ndim - 3) + [(0, missing), (0, 0), (0, 0)]
    return jnp.pad(x, pads) if missing else x


def everywhere(tree: Tree, mesh: Mesh) -> Tree:
    """Arrays of which each device has a copy."""
    sharding = NamedSharding(mesh, PartitionSpec())
    return jax.tree.map(lambda x: _put(x, sharding), tree)


def like(
    images: Float[np.ndarray, "v h w 3"], placed: Float[Array, "v h2 w 3"]
) -> Float[Array | np.ndarray, "v h2 w 3"]:
    """Images where those of a state are, filled up as these are; on one device as they come."""
    if len(placed.devices()) == 1:
        return images
    return _put(_filled(jnp.asarray(images), placed.shape[-3]), placed.sharding)


def readable(tree: Tree) -> Tree:
    """Arrays that this process can read.

    What lies on devices of several processes is sent to each of these: all have to ask.

    Args:
      tree: of arrays.
    """

    def found(x: ArrayLike) -> ArrayLike:
        if not isinstance(x, jax.Array) or x.is_fully_addressable:
            return x
        # Where jit is disabled, as around a line search, nothing would be sent.
        with jax.disable_jit(False):
            return multihost_utils.process_allgather(x, tiled=True)

    return jax.tree.map(found, tree)


def without_filling(tree: Tree, shape: tuple[int, ...]) -> Tree:
    """Arrays of `spread` without the rows that were filled up; others as they are.

    Args:
      tree: of arrays.
      shape: (h, w, 3) of an image.
    """

    def cut(x: Array) -> Array:
        is_filled = np.ndim(x) >= 4 and x.shape[-2:] == shape[1:] and x.shape[-3] > shape[0]
        return x[..., : shape[0], :, :] if is_filled else x

    return jax.tree.map(cut, tree)


@dataclass(frozen=True)
class _OfRows:
    """An objective of the first rows of an image: the others have the gradient 0."""

    height: int

    def __call__(
        self, objective: Objective, image: Array, weights: Weights
    ) -> tuple[Array, Losses]:
        return objective(image[: self.height], weights)


def of_rows(objective: Objective, height: int) -> Partial:
    """The objective for images that `spread` has filled up.

    Args:
      objective: of images of the height `height`.
      height: in pixels.
    """
    return Partial(_OfRows(height), objective)
