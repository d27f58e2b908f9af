"""Names for people: short, and never the same for what is not the same."""

import itertools

import pytest

from nst_jax.runlog import labels


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ((0.02, 1e-9, 1e30), ("0.02", "1e-09", "1e+30")),
        ((0.1234567,), ("0.123457",)),
        ((0.1234567, 0.1234568, 0.5), ("0.1234567", "0.1234568", "0.5")),
        ((3, 10_000_000), ("3", "10000000")),
    ],
)
def test_a_number_has_the_digits_that_tell_it_from_the_others(values, names):
    assert tuple(labels.of_numbers(values).values()) == names


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (("a/style.jpg", "b/night.jpg"), ("style.jpg", "night.jpg")),
        (("a/style.jpg", "b/style.jpg"), ("a/style.jpg", "b/style.jpg")),
        (("x/a/s.jpg", "y/a/s.jpg", "y/b/s.jpg"), ("x/a/s.jpg", "y/a/s.jpg", "b/s.jpg")),
        (("x/s.jpg", "s.jpg", "/s.jpg"), ("x/s.jpg", "s.jpg", "/s.jpg")),
        (("content", "pictures/content"), ("content", "pictures/content")),
        (("./x.png", "x.png"), ("./x.png", "x.png")),
        (("x/s.jpg", "xs.jpg"), ("s.jpg", "xs.jpg")),
    ],
)
def test_a_path_has_the_last_parts_that_tell_it_from_the_others(paths, names):
    assert labels.of_paths(paths) == dict(zip(paths, names, strict=True))


def test_equal_labels_get_their_numbers():
    assert labels.distinct(["a", "b", "a"]) == ["a #1", "b", "a #3"]


def test_labels_that_fit_stay_as_they_are():
    assert labels.brief(["adam 0.02", "adam 0.1"], 9) == ["adam 0.02", "adam 0.1"]


@pytest.mark.parametrize(
    ("texts", "most", "brief"),
    [
        # The longest stretch that is shared goes first; and no more than has to.
        (
            ("0.02 style weight 0.01 a/style.jpg", "0.1 style weight 0.01 b/style.jpg"),
            30,
            ["0.02 … a/style.jpg", "0.1 … b/style.jpg"],
        ),
        (
            ("0.02 style weight 0.01 a/style.jpg", "0.02 style weight 0.1 b/style.jpg"),
            10,
            ["0.01 a…", "0.1 b…"],
        ),
        (("lbfgs TV 3 from noise", "adam 0.02 TV 30 from noise"), 16, ["lbfgs TV 3", None]),
        (("picture_of_a_lady_01.jpg", "picture_of_a_lady_02.jpg"), 8, ["…01.jpg", "…02.jpg"]),
        (("a" * 30, "b" * 30), 7, ["aaa…aaa", "bbb…bbb"]),
        (("only one label here",), 9, ["only…here"]),
    ],
)
def test_what_all_share_is_left_out_and_the_middle_is_cut(texts, most, brief):
    shown = labels.brief(texts, most)
    assert [a for a, b in zip(shown, brief, strict=True) if b] == [b for b in brief if b]


def test_labels_of_a_grid_stay_distinct_however_short():
    grid = [
        f"adam {rate} style weight {weight} from noise {style}"
        for rate, weight, style in itertools.product(
            ("0.02", "0.1"), ("0.01", "0.1"), ("a/long_name_1.jpg", "a/long_name_2.jpg")
        )
    ]
    for most in range(8, 60):
        brief = labels.brief(grid, most)
        assert max(map(len, brief)) <= most
        assert len(set(brief)) == len(grid)


def test_the_ends_of_a_cut_text_are_kept():
    assert labels.cut("abcdefghij", 5) == "ab…ij"
    assert labels.cut("abcde", 5) == "abcde"
