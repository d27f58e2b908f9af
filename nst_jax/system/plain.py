"""Plain values, as JSON has them, read as the typed values that the program goes on with.

What is read may come from a stranger: nothing is converted that is not of its type already.
"""

import sys
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints


class OtherFields(TypeError):
    """The names of the fields are not those of the dataclass."""


def read(value: Any, kind: Any) -> Any:
    """A plain value as one of a type.

    Args:
      value: of JSON.
      kind: bool, int, float, str, Path, None, a Literal of texts or of whole numbers, a tuple of
        one type, a dict of texts to one type, a union, or a dataclass of these, whose fields may be
        absent if they have a default.

    Raises:
      OtherFields: a field is missing or unknown.
      TypeError: the value is of another type, not finite, or not among the choices; of a dataclass
        the message begins with the name of the field.
    """
    arguments = get_args(kind)
    if is_dataclass(kind):
        return _read_fields(value, kind)
    if get_origin(kind) is Literal:
        if type(value) in (str, int) and value in arguments:
            return value
    elif get_origin(kind) is tuple:
        if isinstance(value, list):
            return tuple(read(each, arguments[0]) for each in value)
    elif get_origin(kind) is dict:
        if isinstance(value, dict) and all(isinstance(name, str) for name in value):
            return {name: _read_named(name, each, arguments[1]) for name, each in value.items()}
    elif arguments:
        return _read_one_of(value, arguments)
    elif kind is float:
        if type(value) in (int, float) and abs(value) <= sys.float_info.max:
            return float(value)
    elif kind in (str, Path):
        # The system refuses a path with a NUL.
        if isinstance(value, str) and "\0" not in value:
            return kind(value)
    elif kind in (object, Any) or type(value) is kind:  # a bool is no int
        return value
    raise TypeError(f"expected {_in_words(kind)}, found {value!r:.200}")


def _read_fields(values: Any, kind: Any) -> Any:
    known = {field.name: field for field in fields(kind)}
    needed = {
        name
        for name, field in known.items()
        if field.default is MISSING and field.default_factory is MISSING
    }
    if not isinstance(values, dict) or not needed <= set(values) <= set(known):
        raise OtherFields(f"expected the fields {', '.join(known)}, found {values!r:.200}")
    types = get_type_hints(kind)
    return kind(**{name: _read_named(name, value, types[name]) for name, value in values.items()})


def _read_named(name: str, value: Any, kind: Any) -> Any:
    try:
        return read(value, kind)
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from None


def _read_one_of(value: Any, kinds: tuple[Any, ...]) -> Any:
    """A plain value as one of several types, None among them or not."""
    if value is None and type(None) in kinds:
        return None
    kinds = tuple(kind for kind in kinds if kind is not type(None))
    for kind in kinds:
        with suppress(TypeError):
            return read(value, kind)
    raise TypeError(f"expected {' or '.join(map(_in_words, kinds))}, found {value!r:.200}")


def _in_words(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(get_args(kind))
    if get_origin(kind) is tuple:
        return "a list"
    if get_origin(kind) is dict or is_dataclass(kind):
        return "a table"
    return f"an {kind.__name__}" if kind is int else f"a {kind.__name__}"
