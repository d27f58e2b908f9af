"""A run on several devices: its lanes, and where there are fewer of these, the rows of its images.

Placement is all that it takes. XLA's partitioner computes each row where it lies, and exchanges the
few rows that a convolution sees of its neighbor (a halo); sums over all rows are one exchange more.
No part of the network is ever gathered.

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
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jax.tree_util import Partial
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from nst_jax.terms import Losses, Objective, Weights

# Rows of the image that a device has at least: two of the deepest layer, of which one alone is
# concatenated wrongly (jax issue 39301).
_LEAST_ROWS = 32
_LANES, _ROWS = "v", "rows"

Tree = TypeVar("Tree")


def row_devices(height: int, devices: int) -> int:
    """Over how many devices the rows of one image are spread, of those that there are.

    Args:
      height: of the image in pixels.
      devices: that lanes leave over for each of them.
    """
    return max(1, min(devices, height // _LEAST_ROWS))


def mesh_of(lanes: int, rows: int, devices: Sequence[jax.Device]) -> Mesh:
    """A mesh of `lanes` x `rows` of the devices, the first ones."""
    return jax.make_mesh(
        (lanes, rows),
        (_LANES, _ROWS),
        # Where an axis is explicit, the product of a Gram matrix has no sharding of its own.
        axis_types=(AxisType.Auto,) * 2,
        devices=devices[: lanes * rows],
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
        return jax.device_put(x, NamedSharding(mesh, PartitionSpec(*axes)))

    return jax.tree.map(placed, tree)


def _filled(x: Array, height: int) -> Array:
    missing = height - x.shape[-3]
    pads = [(0, 0)] * (x.ndim - 3) + [(0, missing), (0, 0), (0, 0)]
    return jnp.pad(x, pads) if missing else x


def everywhere(tree: Tree, mesh: Mesh) -> Tree:
    """Arrays of which each device has a copy."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def like(
    images: Float[np.ndarray, "v h w 3"], placed: Float[Array, "v h2 w 3"]
) -> Float[Array | np.ndarray, "v h2 w 3"]:
    """Images where those of a state are, filled up as these are; on one device as they come."""
    if len(placed.devices()) == 1:
        return images
    return jax.device_put(_filled(jnp.asarray(images), placed.shape[-3]), placed.sharding)


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
