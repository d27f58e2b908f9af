"""The check of every function that takes a picture as an array: its axes, its type, its range.

Other programs keep pictures from 0 to 255, from -1 to 1, less ImageNet's mean, or with channels
first. All of them are arrays of floats, and each would give a ruined picture without an error.
NumPy only: whoever has an array of JAX has imported JAX, and nobody else has to.
"""

import os
import sys
from typing import Any

import numpy as np

# Wider than [0, 1], because pictures are not clipped between the steps of L-BFGS and leave it by a
# little. Pictures of other conventions (from -1 to 1, or with deviation 1) go beyond these.
LOWEST, HIGHEST = -0.75, 1.75

_CHANNELS = (1, 3, 4)


def check_picture(name: str, picture: Any, *, batch: bool = False, levels: bool = False) -> Any:
    """Refuses an array that is no RGB picture in [0, 1], or thereabouts (`LOWEST` to `HIGHEST`).

    While JAX traces a function (`jit`, `grad`, `vmap`), an array has axes and a type but no values:
    the range is then not checked.

    Args:
      name: of the argument, for the error.
      picture: (height, width, 3), an array or what NumPy makes one of: lists, a tensor.
      batch: whether more axes may come before these.
      levels: whether uint8, from 0 to 255, and uint16, from 0 to 65535, are accepted as well.

    Returns:
      The picture as an array of NumPy, or of JAX as it was.

    Raises:
      ValueError: one line that says what came, and how to make a picture of it.
    """
    array = as_array(name, picture)
    # The cure is Python that works when it is pasted: a list cannot be indexed by axes or
    # transposed, and is made an array first.
    expression = name if array is picture else f"np.asarray({name})"
    _check_axes(name, array.shape, expression, batch=batch)
    if not (levels and array.dtype in (np.uint8, np.uint16)):
        check_values(name, array)
    return array


def as_array(name: str, values: Any) -> Any:
    """An array of NumPy, or of JAX as it was.

    An array of JAX is not made one of NumPy: that would copy it from its device, and fail for a
    traced one.

    Args:
      name: of the argument, for the error.
      values: anything that NumPy makes an array of: numbers, lists, a tensor.

    Raises:
      ValueError: one line that says what came in place of it.
    """
    if _is_of_jax(values):
        return values
    if isinstance(values, str | os.PathLike):
        raise ValueError(f"`{name}` must be an array, got a path: give image.load({name})")
    # NumPy would drop the mask, and show the numbers that it hides.
    if np.ma.is_masked(values):
        raise ValueError(f"`{name}` has masked values: give {name}.filled(0), or another number")
    try:
        array = np.asarray(values)
    # Of every class: the library that made the values raises it, such as PyTorch for a tensor that
    # is on a GPU or needs a gradient.
    except Exception as error:
        reason = str(error).partition("\n")[0]
        kind = type(values).__name__
        raise ValueError(f"`{name}` must be an array, got {kind}: {reason}") from error
    # What NumPy does not understand it wraps as a whole, without an error.
    if array.dtype == object and not array.ndim:
        raise ValueError(f"`{name}` must be an array, got {type(values).__name__}")
    return array


def check_values(name: str, values: Any) -> None:
    """Refuses values that are no floats, NaN, or far from [0, 1].

    Args:
      name: of the argument, for the error.
      values: an array of NumPy or JAX, of any shape; a traced one by its type alone.

    Raises:
      ValueError: one line that names the type or range found, and how to come to those expected.
    """
    _check_type(name, values.dtype)
    if not _is_traced(values):
        _check_range(name, np.asarray(values))


def _check_range(name: str, values: np.ndarray) -> None:
    if not values.size:
        return
    # A single NaN makes the minimum NaN, so that asking for it costs no pass of its own.
    low, high = float(values.min()), float(values.max())
    if np.isnan(low):
        count = int(np.isnan(values).sum())
        raise ValueError(f"`{name}` must be finite, got {count} NaN among its {values.size} values")
    if not (low >= LOWEST and high <= HIGHEST):
        raise ValueError(
            f"`{name}` must go from 0 to 1, got {low:.4g} to {high:.4g}: {_cure(name, low, high)}"
        )


def _is_of_jax(values: Any) -> bool:
    """Whether it is an array of JAX."""
    # If JAX has not been imported by now, nobody can hold an array of it. Importing it to ask would
    # take a second.
    jax = sys.modules.get("jax")
    return jax is not None and isinstance(values, jax.Array)


def _is_traced(values: Any) -> bool:
    """Whether it stands for an array in a function that JAX traces, and has no values yet."""
    return _is_of_jax(values) and isinstance(values, sys.modules["jax"].core.Tracer)


def _check_axes(name: str, shape: tuple[int, ...], expression: str, *, batch: bool) -> None:
    """Refuses a shape other than (height, width, 3); a known one of others with its cure.

    Args:
      expression: Python that gives the array, for the cure.
    """
    is_picture = len(shape) == 3 or (batch and len(shape) > 3)
    if is_picture and shape[-1] == 3 and 0 not in shape:
        return
    found, cure = _other_axes(expression, shape, batch=batch)
    raise ValueError(
        f"`{name}` must have the axes (height, width, 3), got the shape {tuple(shape)}"
        + (f", {' and '.join(found)}: give {cure}" if found else "")
    )


def _other_axes(cure: str, shape: tuple[int, ...], *, batch: bool) -> tuple[list[str], str]:
    """What such axes are in words, and the expression that makes a picture of them.

    Args:
      cure: the expression that gives the array.
      shape: of the array, not that of a picture.
    """
    found = []
    if len(shape) == 4 and not batch:
        found, cure, shape = ["a batch"], f"{cure}[0]", shape[1:]
    if len(shape) >= 3 and shape[-3] in _CHANNELS and shape[-1] not in _CHANNELS:
        found.append("channels first")
        cure = f"{cure}.transpose(1, 2, 0)" if len(shape) == 3 else f"np.moveaxis({cure}, -3, -1)"
        shape = (*shape[:-3], *shape[-2:], shape[-3])
    if len(shape) == 2:
        cure, shape = f"{cure}[..., None]", (*shape, 1)
    if shape[-1:] == (1,):
        found.append("gray")
        cure = f"np.repeat({cure}, 3, axis=-1)"
    if shape[-1:] == (4,):
        found.append("RGB with alpha")
        cure = f"{cure}[..., :3]"
    return found, cure


def _check_type(name: str, dtype: Any) -> None:
    # By name and not by NumPy's kind: bfloat16 and other small floats of JAX are of kind V (void),
    # as are its integers of 4 bits, and records.
    if "float" in dtype.name:
        return
    cures = {
        "uint8": f": give image.from_uint8({name})",
        "uint16": ": divide by 65535",
        "bool": f": give {name}.astype(np.float32)",
    }
    cure = cures.get(str(dtype), ": divide by 255" if dtype.kind in "iu" else "")
    raise ValueError(f"`{name}` must be of floats from 0 to 1, got {dtype}{cure}")


def _cure(name: str, low: float, high: float) -> str:
    """How to come to [0, 1] from the convention that has this range."""
    if not (np.isfinite(low) and np.isfinite(high)):
        return "it is not finite"
    if max(-low, high) > 3:
        if low < -20:
            return "levels less their mean, give back the mean and divide by 255"
        return f"divide by {255 if high < 300 else 65535}"
    # Up to 1.1, because filters that resize go beyond the range of a picture by a little.
    if low >= -1.1 and high <= 1.1:
        return f"if it goes from -1 to 1, give ({name} + 1) / 2"
    return (
        f"if it is normalized, give {name} * deviation + mean, of ImageNet "
        "[0.229, 0.224, 0.225] and [0.485, 0.456, 0.406]; else clip it"
    )
