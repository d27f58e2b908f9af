"""How terms are made: each once, and what their constructors refuse, in one line."""

import inspect
from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import numpy as np

from nst_jax.scalars import is_number
from nst_jax.terms.term import Term


def constructor(function: Callable[..., Term]) -> Callable[..., Term]:
    """A function that makes a term, made to give the same one for the same arguments.

    A program that has been compiled for a term is found again by the term itself. Lists are taken
    as tuples, and a default that is written out is the default.
    """
    cached, signature = cache(function), inspect.signature(function)

    @wraps(function)
    def make(*args: Any, **kwargs: Any) -> Term:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        named = {name: _hashable(value) for name, value in bound.kwargs.items()}
        return cached(*map(_hashable, bound.args), **named)

    return make


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list | tuple) else value


def check_layers(layers: Any, *, least: int = 0) -> None:
    """Refuses what is no tuple of different names, or has fewer than `least`.

    Raises:
      ValueError: one line that says so.
    """
    if not isinstance(layers, tuple) or not all(isinstance(name, str) for name in layers):
        raise ValueError(f"`layers` must be a tuple of names, got {layers!r}")
    if len(set(layers)) < max(len(layers), least):
        count = f"{least} or more " if least else ""
        raise ValueError(f"`layers` must be {count}different names, got {layers!r}")


def check_whole(name: str, value: Any, *, least: int, most: int) -> None:
    """Refuses what is no whole number from `least` to `most`.

    Raises:
      ValueError: one line that names the option.
    """
    if not is_whole(value) or not least <= value <= most:
        raise ValueError(
            f"`{name}` must be a whole number from {least} to {most}, got {value!r:.40}"
        )


def is_whole(value: Any) -> bool:
    """Whether a value is an integer; a bool is none."""
    return isinstance(value, int) and not isinstance(value, bool)


def check_positive(name: str, value: Any) -> None:
    """Refuses what is no finite number above 0 in float32.

    Raises:
      ValueError: one line that names the option.
    """
    if not _is_finite(value) or np.float32(value) <= 0:
        raise ValueError(f"`{name}` must be a finite number above 0, got {value!r}")


def check_numbers(name: str, values: Any, *, count: int) -> None:
    """Refuses what is no tuple of so many finite numbers, none negative and one positive.

    Raises:
      ValueError: one line that names the option.
    """
    is_tuple = isinstance(values, tuple) and len(values) == count
    if not is_tuple or not all(_is_finite(x) and x >= 0 for x in values) or not any(values):
        raise ValueError(
            f"`{name}` must be {count} finite numbers, none negative and not all 0, got {values!r}"
        )


def _is_finite(value: Any) -> bool:
    # Programs compute in float32, where 1e39 is infinite; an int may be too large for any float.
    return is_number(value) and abs(value) <= float(np.finfo(np.float32).max)
