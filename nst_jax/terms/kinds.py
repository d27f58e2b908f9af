"""Terms by the names of their kinds: for settings, which are words and numbers."""

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nst_jax.terms import features, pairs, pixels
from nst_jax.terms.term import Term

KINDS: dict[str, Callable[..., Term]] = {
    each.__name__: each
    for each in (
        features.content,
        features.gram,
        features.covariance,
        features.moments,
        features.wasserstein,
        pairs.shifted_gram,
        pairs.cross_layer_gram,
        pairs.adjacent_gram,
        pixels.laplacian,
        pixels.pixel_content,
        pixels.total_variation,
        pixels.squared_variation,
        pixels.power_variation,
        pixels.nine_point_variation,
    )
}
"""The constructor of each kind of term."""


def named(
    kind: str,
    *,
    layers: Sequence[str] = (),
    reference: str | None = None,
    region: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Term:
    """A term by the name of its kind.

    Args:
      kind: a name in `KINDS`, or "package.module:function" of a function of your own that returns
        a `Term`; what is given of the arguments below it gets as keywords.
      layers: of the network; none for a term of pixels.
      reference: name of the picture that it is compared with; None: that of the kind.
      region: name of the picture whose region of the image counts; None: all of the image.
      options: further arguments of the constructor, as TOML and JSON have them: numbers, words,
        and lists.

    Raises:
      ValueError: one line: there is no such kind, it cannot be imported or gives no `Term`, or it
        does not take what is given.
    """
    if isinstance(layers, str):
        raise ValueError(f"`layers` must be a list of layers, got {layers!r}: give [{layers!r}]")
    constructor = KINDS[kind] if kind in KINDS else _imported(kind)
    known = _parameters(kind, constructor)
    given = {"layers": tuple(layers), "reference": reference, "region": region}
    arguments = {name: value for name, value in given.items() if value not in (None, ())}
    for name in given:
        _check_given(kind, name, known, name in arguments)
    options = dict(options or {})
    _check_options(kind, options, known, given)
    arguments |= {name: _plain(kind, name, value) for name, value in options.items()}
    term = _called(kind, constructor, arguments)
    if not isinstance(term, Term):
        raise ValueError(f"{kind} must return a nst_jax.terms.Term, got {_line(term)}")
    return term


def takes_region(kind: str) -> bool:
    """Whether a term of a kind can be asked for a region of the image.

    Args:
      kind: as of `named`.

    Raises:
      ValueError: as `named`.
    """
    known = _parameters(kind, KINDS[kind] if kind in KINDS else _imported(kind))
    return "region" in known or _takes_all(known)


def _imported(kind: str) -> Callable[..., Any]:
    """The function of "package.module:function"."""
    module, colon, name = kind.partition(":")
    if not colon:
        raise ValueError(_unknown(kind))
    try:
        found = getattr(importlib.import_module(module), name)
    # A module of others may fail in any way while it is imported.
    except Exception as error:
        raise ValueError(f"cannot import the term {kind!r}: {_line(error)}") from error
    if not callable(found):
        raise ValueError(f"{kind} must be a function that returns a Term, got {_line(found)}")
    return found


def _unknown(kind: str) -> str:
    near = difflib.get_close_matches(kind, KINDS, n=2)
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    return (
        f"there is no kind of term {kind!r}: {meant}give {', '.join(KINDS)}, or "
        "package.module:function"
    )


def _parameters(kind: str, constructor: Callable) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(constructor).parameters
    except (TypeError, ValueError) as error:
        raise ValueError(f"cannot tell what {kind} takes: {_line(error)}") from error


def _called(kind: str, constructor: Callable, arguments: Mapping[str, Any]) -> Any:
    if kind in KINDS:
        return constructor(**arguments)
    try:
        return constructor(**arguments)
    # A function of others may fail in any way.
    except Exception as error:
        raise ValueError(f"{kind} failed: {_line(error)}") from error


def _takes_all(known: Mapping[str, inspect.Parameter]) -> bool:
    return any(each.kind is each.VAR_KEYWORD for each in known.values())


def _check_given(
    kind: str, name: str, known: Mapping[str, inspect.Parameter], is_given: bool
) -> None:
    """Refuses layers, a reference or a region that a kind has not, and layers that are missing."""
    if is_given and name not in known and not _takes_all(known):
        raise ValueError(f"a term of the kind {kind} has no {name}: leave it out")
    is_needed = name in known and known[name].default is inspect.Parameter.empty
    if is_needed and not is_given:
        raise ValueError(f"a term of the kind {kind} needs {name}, got none")


def _check_options(
    kind: str,
    options: Mapping[str, Any],
    known: Mapping[str, inspect.Parameter],
    others: Mapping[str, Any],
) -> None:
    """Refuses options that a kind has not, and those missing that it needs."""
    ours = [name for name, each in known.items() if name not in others and _is_option(each)]
    for name in options:
        if name in others or (name not in ours and not _takes_all(known)):
            those = f"it has {', '.join(ours)}" if ours else "it has none"
            raise ValueError(f"a term of the kind {kind} has no option {name!r}: {those}")
    for name in ours:
        if known[name].default is inspect.Parameter.empty and name not in options:
            raise ValueError(f"a term of the kind {kind} needs the option {name!r}")


def _is_option(parameter: inspect.Parameter) -> bool:
    return parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)


def _plain(kind: str, name: str, value: Any) -> Any:
    """A value of TOML or JSON that a cached function takes: lists as tuples."""
    if isinstance(value, (list, tuple)):
        return tuple(_plain(kind, name, each) for each in value)
    if not isinstance(value, (str, int, float)):
        raise ValueError(
            f"the option {name!r} of {kind} must be a number, a word or a list, got {value!r}"
        )
    return value


def _line(value: object) -> str:
    """What it says, in one line that is not too long."""
    text = f"{type(value).__name__}: {value}" if isinstance(value, Exception) else repr(value)
    return " ".join(text.split())[:200]
