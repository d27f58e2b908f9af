"""The grid of a sweep."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest

from nst_jax import config
from nst_jax.runs import checks, grid


def sweep(**settings) -> config.SweepConfig:
    files = {"content": Path("c.png"), "styles": (Path("s.png"),), "log": Path("run.h5")}
    return config.SweepConfig(**files | settings)


def test_variants_are_every_combination():
    variants = grid.variants_of(
        sweep(
            styles=(Path("a.png"), Path("b.png")),
            optimizers=("adam", "rmsprop"),
            learning_rates=("0.1", "0.2"),
            style_weights=(1.0, 2.0),
            seeds=(0, 1, 2),
        )
    )
    assert len(variants) == 2 * 2 * 2 * 2 * 3
    assert len({variant.label for variant in variants}) == len(variants)


def test_variants_of_one_program_are_neighbors():
    variants = grid.variants_of(
        sweep(styles=(Path("a.png"), Path("b.png")), optimizers=("adam", "sgd"), seeds=(0, 1))
    )
    programs = [(variant.style, variant.optimizer) for variant in variants]
    changes = sum(a != b for a, b in itertools.pairwise(programs))
    assert changes == len(set(programs)) - 1


def test_a_single_run_is_a_sweep_of_one():
    single = config.StylizeConfig(
        content=Path("c.png"), style=Path("s.png"), output=Path("o.png"), learning_rate=1 / 3
    )
    (variant,) = grid.variants_of(single)
    assert variant.optimizer == "adam"
    assert variant.learning_rate == 1 / 3
    assert variant.weights == {"content": 1e4, "style": 1e-2, "total_variation": 30}


def test_a_sweep_around_a_single_run_keeps_its_settings():
    single = config.StylizeConfig(
        content=Path("c.png"),
        style=Path("s.png"),
        output=Path("o.png"),
        force=True,
        size=99,
        steps=7,
        pooling="average",
        content_layers=("relu1_1",),
        style_weight=3.0,
        optimizer="rmsprop",
        init="noise",
        seed=4,
    )
    one = grid.as_sweep(single)
    assert grid.variants_of(one) == grid.variants_of(single)
    for field in dataclasses.fields(config.RunConfig):
        assert getattr(one, field.name) == getattr(single, field.name), field.name
    assert one.force
    wider = dataclasses.replace(one, log=Path("run.h5"), learning_rates=("0.1, 0.2",))
    assert [variant.learning_rate for variant in grid.variants_of(wider)] == [0.1, 0.2]


def test_default_weights_are_the_conventions():
    (variant,) = grid.variants_of(
        sweep(convention="gatys", optimizers=("adam",), learning_rates=("1",))
    )
    assert variant.weights == {"content": 1, "style": 1e3, "total_variation": 30}


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("0.1",), {"adam": (0.1,), "sgd": (0.1,)}),
        (("0.1", "sgd:1e-9"), {"adam": (0.1,), "sgd": (1e-9,)}),
        (("adam:0.1,0.2", "sgd:1e-9", "adam:0.3"), {"adam": (0.1, 0.2, 0.3), "sgd": (1e-9,)}),
        (("0.1", "0.1"), {"adam": (0.1,), "sgd": (0.1,)}),
    ],
)
def test_rates_are_common_or_an_optimizers_own(texts, expected):
    assert grid.parse_learning_rates(texts, ("adam", "sgd")) == expected


def test_lbfgs_needs_no_rate():
    assert len(grid.parse_learning_rates((), ("lbfgs",))["lbfgs"]) == 1


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (("fast",), "must be numbers"),
        (("adam:fast",), "must be numbers"),
        (("adamw:0.1",), "must be one of adam"),
        (("rmsprop:0.1",), "is not run"),
        (("sgd:0.1",), "no learning rate for adam"),
    ],
)
def test_wrong_rates_are_refused(texts, words):
    with pytest.raises(ValueError, match=words):
        grid.parse_learning_rates(texts, ("adam", "sgd"))


def test_labels_name_what_differs_and_nothing_else():
    variants = grid.variants_of(
        sweep(optimizers=("adam", "lbfgs"), learning_rates=("0.1",), seeds=(3, 4))
    )
    labels = [variant.label for variant in variants]
    assert labels == ["adam 0.1 seed 3", "adam 0.1 seed 4", "lbfgs seed 3", "lbfgs seed 4"]


STYLES = (Path("a/style.jpg"), Path("b/style.jpg"))


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"styles": STYLES}, ["adam 0.1 a/style.jpg", "adam 0.1 b/style.jpg"]),
        (
            {"styles": (*STYLES, Path("b/x.jpg"))},
            ["adam 0.1 a/style.jpg", "adam 0.1 b/style.jpg", "adam 0.1 x.jpg"],
        ),
        ({"inits": ("a/x.png", "b/x.png")}, ["adam 0.1 from a/x.png", "adam 0.1 from b/x.png"]),
        ({"inits": ("noise", "a/noise")}, ["adam 0.1 from noise", "adam 0.1 from a/noise"]),
        ({"learning_rates": ("0.1234567", "0.1234568")}, ["adam 0.1234567", "adam 0.1234568"]),
        (
            {"style_weights": (1.0000001, 1.0000002)},
            ["adam 0.1 style weight 1.0000001", "adam 0.1 style weight 1.0000002"],
        ),
        ({"seeds": (3, 3)}, ["adam 0.1 #1", "adam 0.1 #2"]),
    ],
)
def test_labels_are_distinct(settings, names):
    settings = {"optimizers": ("adam",), "learning_rates": ("0.1",)} | settings
    assert [variant.label for variant in grid.variants_of(sweep(**settings))] == names


def test_labels_that_were_distinct_are_those_of_older_logs():
    """Rates of two optimizers that only more digits would tell apart."""
    variants = grid.variants_of(
        sweep(
            styles=(Path("a/one.jpg"), Path("b/two.jpg")),
            optimizers=("adam", "rmsprop"),
            learning_rates=("adam:0.1234567", "rmsprop:0.1234568"),
            style_weights=(0.01, 1e-9),
        )
    )
    assert [variant.label for variant in variants] == [
        f"{optimizer} 0.123457 style weight {weight} {style}"
        for style in ("one.jpg", "two.jpg")
        for optimizer in ("adam", "rmsprop")
        for weight in ("0.01", "1e-09")
    ]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"learning_rates": ("nan",)}, "learning rate"),
        ({"learning_rates": ("-1",)}, "learning rate"),
        ({"style_weights": (-1.0,)}, "style weight"),
        ({"seeds": (-1,)}, "seed"),
        ({"seeds": ()}, "no variants"),
    ],
)
def test_variants_that_cannot_work_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        checks.check_config(sweep(**settings))


@pytest.mark.parametrize(
    "settings",
    [
        sweep(styles=(Path("a.png"), Path("b.png")), style_weights=(1.0, 2.0)),
        config.StylizeConfig(content=Path("c"), style=Path("s"), output=Path("o"), tolerance=0.1),
    ],
)
def test_settings_survive_the_log(settings):
    import json

    logged = json.loads(json.dumps(config.to_json(settings)))
    assert config.from_json(logged) == settings


def test_settings_of_another_version_are_refused():
    with pytest.raises(ValueError, match="another version"):
        config.from_json(config.to_json(sweep()) | {"novelty": 1})


def test_rates_keep_their_value_through_text():
    rates = (0.1, 1 / 3, 1e-10, np.pi)
    texts = tuple(repr(rate) for rate in rates)
    assert grid.parse_learning_rates(texts, ("adam",))["adam"] == rates
