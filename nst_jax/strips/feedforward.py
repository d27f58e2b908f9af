"""A network that paints in one pass, in strips: for pictures whose layers no device holds whole.

Layer after layer goes strip by strip from main memory to main memory. A normalization needs the
mean of the whole picture, so it is done when the last strip of its convolution is there, and its
variance is summed up in another round. Nothing is computed twice, but for the rows at the seams.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from nst_jax import feedforward
from nst_jax.choices import Precision, check_choice
from nst_jax.compiler import Program
from nst_jax.feedforward import FORMS, OURS, Architecture, Form, Layer
from nst_jax.networks import Params
from nst_jax.strips.division import ROWS


class _Strip(NamedTuple):
    """Rows of a layer's output: from `start` on, of which the first ones have been before."""

    start: int
    seen: int


def paint(
    params: Params,
    image: Float[Array | np.ndarray, "h w 3"],
    architecture: Architecture = OURS,
    *,
    rows: int = ROWS,
    precision: Precision = "float32",
) -> Float[np.ndarray, "h w 3"]:
    """`feedforward.paint` of one picture, in strips; the same but for rounding.

    Main memory takes `host_bytes`, the device no more than strips. It cannot be mapped,
    differentiated or compiled.

    Args:
      params: as of `feedforward.paint`, and so are the others.
      image: RGB in [0, 1], (h, w, 3).
      architecture: of the network.
      rows: of a strip of each layer's output, even.
      precision: of the convolutions.

    Raises:
      ValueError: as of `feedforward.paint`; or the rows are not even.
    """
    check_choice("precision", precision, Precision)
    check_rows(rows)
    form = FORMS[architecture.form]
    x = np.asarray(feedforward.filled_up(image)) * np.float32(form.white)
    before = None
    for layer, added_next, added_later in _layers(architecture):
        own = jax.tree.map(jnp.asarray, dict(params[layer.name]))
        y, means = _convolved(x, own["kernel"], layer, form, precision, rows)
        normalization = _normalization(y, own, means, layer, form, rows)
        # What is added is not rounded, as it would not be if all were computed at once.
        kept = np.empty(y.shape, np.float32) if added_later else y
        _finish(y, kept, normalization, before, layer, rows)
        before, x = x if added_next else None, kept
    height, width = np.shape(image)[:2]
    return x[:height, :width]


def check_rows(rows: int) -> None:
    """Refuses a number of rows of which a network has no strips.

    Args:
      rows: of a strip.

    Raises:
      ValueError: it is odd, or less than 2; one line.
    """
    if rows < 2 or rows % 2:
        raise ValueError(f"strips of a network have an even number of rows, got {rows}")


def host_bytes(
    shape: tuple[int, ...], architecture: Architecture = OURS, *, precision: Precision = "float32"
) -> int:
    """Main memory that `paint` takes: for the picture, and the input and output of a layer.

    Args:
      shape: (h, w, 3) of the picture.
      architecture: of the network.
      precision: of the convolutions.
    """
    height, width, _ = shape
    picture = 4 * height * width * 3
    maps = [picture]
    for layer, _, added_later in _layers(architecture):
        height, width = _output_size(layer, height, width)
        values = height * width * layer.channels
        maps.append(values * (4 if added_later else _dtype(layer, precision).itemsize))
    return picture + max(one + next_one for one, next_one in pairwise(maps))


def _layers(architecture: Architecture) -> Iterator[tuple[Layer, bool, bool]]:
    """Each layer, and whether the next one adds its input, and the one after that its output."""
    found = feedforward.layers(architecture)
    adds = [*(layer.then == "add" for layer in found), False, False]
    for i, layer in enumerate(found):
        yield layer, adds[i + 1], adds[i + 2]


def _output_size(layer: Layer, height: int, width: int) -> tuple[int, int]:
    factor = 2 if layer.enlarges else 1
    return factor * height // layer.step, factor * width // layer.step


def _dtype(layer: Layer, precision: Precision) -> np.dtype:
    """Of what a convolution gives; sums of residual blocks, and what has no next one, are exact."""
    rounded = precision == "bfloat16" and layer.then == "relu"
    return np.dtype(jnp.bfloat16 if rounded else np.float32)


def _strips(height: int, rows: int) -> Iterator[_Strip]:
    """All of the same number of rows, so that one program does: the last one begins earlier."""
    rows = min(rows, height)
    for start in range(0, height, rows):
        yield _Strip(min(start, height - rows), max(0, start - (height - rows)))


def _convolved(
    x: np.ndarray, kernel: Array, layer: Layer, form: Form, precision: Precision, rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """The output of a layer's convolution, and the means of its channels."""
    height, width = _output_size(layer, *x.shape[:2])
    count = min(rows, height)
    y = np.empty((height, width, layer.channels), _dtype(layer, precision))
    sums = np.zeros(layer.channels)
    static: Any = {"layer": layer, "form": form, "precision": precision}
    for strip in _strips(height, rows):
        there = _input_rows(x, strip.start, count, layer, form)
        part, of_part = _CONVOLVE(there, kernel, strip.seen, **static)
        y[strip.start : strip.start + count] = part
        sums += np.asarray(of_part, np.float64)
    return y, sums / (height * width)


def _input_rows(x: np.ndarray, start: int, count: int, layer: Layer, form: Form) -> np.ndarray:
    """The rows that a convolution sees for some rows of its output, with what lies beyond."""
    is_repeated = layer.enlarges and not layer.transposed
    height = x.shape[0] * (2 if is_repeated else 1)
    first, length = feedforward.rows_seen(layer, form, start, count)
    places = np.arange(first, first + length)
    inside = np.abs(places)
    inside = np.where(inside < height, inside, 2 * (height - 1) - inside)
    seen = x[inside // 2 if is_repeated else inside]
    if not form.mirrors:
        seen[inside != places] = 0
    return seen


def _normalization(
    y: np.ndarray,
    own: dict[str, Array],
    means: np.ndarray,
    layer: Layer,
    form: Form,
    rows: int,
) -> tuple[Array, Array, Array]:
    """By channel what is taken off, the factor, and what is added after that."""
    if not layer.normalizes:
        return jnp.zeros_like(own["bias"]), jnp.ones_like(own["bias"]), own["bias"]
    middle, sums = jnp.asarray(means, jnp.float32), np.zeros(layer.channels)
    count = min(rows, y.shape[0])
    for strip in _strips(y.shape[0], rows):
        part = y[strip.start : strip.start + count]
        sums += np.asarray(_SQUARES(part, middle, strip.seen), np.float64)
    deviations = np.sqrt(sums / (y.shape[0] * y.shape[1]) + form.epsilon)
    return middle, own["scale"] / jnp.asarray(deviations, jnp.float32), own["shift"]


def _finish(
    y: np.ndarray,
    kept: np.ndarray,
    normalization: tuple[Array, Array, Array],
    before: np.ndarray | None,
    layer: Layer,
    rows: int,
) -> None:
    """Writes the output of a layer: normalized, and so on; maybe in the place of what it was."""
    count = min(rows, y.shape[0])
    for strip in _strips(y.shape[0], rows):
        # Rows that have been before may be overwritten already.
        own = slice(strip.start + strip.seen, strip.start + count)
        added = None if before is None else before[own]
        kept[own] = _FINISHED(y[own], *normalization, added, layer=layer, dtype=kept.dtype)


def _convolve(
    x: Array, kernel: Array, seen: Array, layer: Layer, form: Form, precision: Precision
) -> tuple[Array, Array]:
    y = feedforward.convolve(x, kernel, layer, form, precision, is_strip=True)
    return y, jnp.sum(_unseen(y.astype(jnp.float32), seen), axis=(0, 1))


def _squares(y: Array, means: Array, seen: Array) -> Array:
    squares = jnp.square(y.astype(jnp.float32) - means[None, None])
    return jnp.sum(_unseen(squares, seen), axis=(0, 1))


def _finished(
    y: Array,
    means: Array,
    factors: Array,
    shifts: Array,
    added: Array | None,
    layer: Layer,
    dtype: np.dtype,
) -> Array:
    means, factors, shifts = (each[None, None] for each in (means, factors, shifts))
    y = (y.astype(jnp.float32) - means) * factors + shifts
    y = y if added is None else y + added
    last = {"relu": jax.nn.relu, "add": lambda y: y, "nothing": feedforward.as_levels}
    return last[layer.then](y).astype(dtype)


def _unseen(x: Array, seen: Array) -> Array:
    """Nothing in the place of rows that have been counted."""
    return jnp.where(jnp.arange(x.shape[0])[:, None, None] >= seen, x, 0)


_CONVOLVE = Program(_convolve, static_argnames=("layer", "form", "precision"))
_SQUARES = Program(_squares)
_FINISHED = Program(_finished, static_argnames=("layer", "dtype"))
