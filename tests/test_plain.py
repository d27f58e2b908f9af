"""Plain values, as JSON has them, read as typed ones."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from nst_jax.system import plain


@dataclass(frozen=True)
class Point:
    """As settings and plans are."""

    name: str
    place: tuple[float, ...]
    kind: Literal["round", "square"] = "round"
    size: int | Literal["full"] | None = None


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (1, float, 1.0),
        ("a", Path, Path("a")),
        (None, int | None, None),
        ("full", int | Literal["full"], "full"),
        ([1, 2.5], tuple[float, ...], (1.0, 2.5)),
        ({"name": "a", "place": []}, Point, Point("a", ())),
        (
            {"name": "a", "place": [1], "kind": "square", "size": 3},
            Point,
            Point("a", (1.0,), "square", 3),
        ),
    ],
)
def test_a_value_of_its_type_is_read(value, kind, expected):
    found = plain.read(value, kind)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        (True, int, "expected an int, found True"),
        (1.0, int, "expected an int, found 1.0"),
        ("1", float, "expected a float, found '1'"),
        (float("nan"), float, "expected a float, found nan"),
        (10**400, float, "expected a float, found 1000"),
        ("a\0b", Path, "expected a Path, found 'a"),
        ("a", tuple[str, ...], "expected a list, found 'a'"),
        ("half", int | Literal["full"], "expected an int or full, found 'half'"),
        ({"name": 1, "place": []}, Point, "name: expected a str, found 1"),
    ],
)
def test_another_value_is_refused_in_words(value, kind, words):
    with pytest.raises(TypeError, match=words):
        plain.read(value, kind)


@pytest.mark.parametrize("value", [{}, [], {"name": "a"}, {"name": "a", "place": [], "more": 1}])
def test_other_fields_are_another_error(value):
    with pytest.raises(plain.OtherFields, match="expected the fields name, place, kind, size"):
        plain.read(value, Point)
