"""What an objective is made of: names, files, words, and what of them contradicts one another."""

from dataclasses import replace
from pathlib import Path

import pytest

from nst_jax import config, runs, terms
from nst_jax.command import cli
from nst_jax.config import TermSpec
from nst_jax.runs import grid
from nst_jax.runs.preparation import make_terms

OWN = """
layer_balance = "relative"

[terms.content]
kind = "content"
layers = ["relu4_2"]
weight = 0.5

[terms.style]
kind = "wasserstein"
layers = ["relu1_1", "relu2_1"]
layer_weights = [2, 1]

[terms.smooth]
kind = "squared_variation"
weight = 1e-4
"""


@pytest.fixture
def stylize(tmp_path):
    """Settings of a run with this file of terms, which may be changed."""
    path = tmp_path / "own.toml"
    path.write_text(OWN)
    return config.StylizeConfig(
        content=Path("c.png"), style=Path("s.png"), output=Path("o.png"), objective=str(path)
    )


@pytest.fixture
def sweep(stylize):
    return replace(grid.as_sweep(stylize), learning_rates=("0.1",))


def weights_of(settings):
    return [variant.weights for variant in grid.variants_of(config.resolved(settings))]


def test_a_file_says_terms_weights_and_balance(stylize):
    found = config.resolved(stylize)
    assert list(config.terms_of(found)) == ["content", "style", "smooth"]
    style = TermSpec("wasserstein", ("relu1_1", "relu2_1"), (2.0, 1.0))
    assert config.terms_of(found)["style"] == style
    assert config.layer_balance_of(found) == "relative"
    assert weights_of(stylize) == [{"content": 0.5, "style": 1.0, "smooth": 1e-4}]
    # Once read, the file is needed no more.
    Path(stylize.objective).unlink()
    assert config.from_json(config.to_json(found)) == found
    assert list(config.terms_of(config.resolved(found))) == ["content", "style", "smooth"]


@pytest.mark.parametrize("name", ["report", "gatys"])
def test_an_objective_by_name_is_printed_and_is_the_convention(name, capsys, stylize, tmp_path):
    assert cli.main(["objective", name]) == 0
    printed = tmp_path / "printed.toml"
    printed.write_text(capsys.readouterr().out)
    from_file = config.terms_of(config.resolved(replace(stylize, objective=str(printed))))
    by_name = config.terms_of(replace(stylize, objective=name))
    assert (
        from_file == by_name == config.terms_of(replace(stylize, objective=None, convention=name))
    )
    made = make_terms(replace(stylize, objective=name))
    assert made["content"] is terms.content(["block5_conv2"], convention=name)
    assert made["total_variation"] is terms.total_variation()


def test_what_is_typed_wins_over_the_file(stylize):
    typed = replace(
        stylize,
        content_layers=("relu3_1",),
        style_layer_weights=(1.0, 5.0),
        style_weight=3.0,
        layer_balance="equal",
        term_weights=("smooth=0",),
    )
    found = config.terms_of(config.resolved(typed))
    assert found["content"].layers == ("relu3_1",)
    assert found["style"].layer_weights == (1.0, 5.0)
    assert config.layer_balance_of(config.resolved(typed)) == "equal"
    assert weights_of(typed) == [{"content": 0.5, "style": 3.0, "smooth": 0.0}]


def test_a_term_without_layers_is_left_out(stylize):
    assert list(config.terms_of(config.resolved(replace(stylize, content_layers=())))) == [
        "style",
        "smooth",
    ]


def test_a_sweep_tries_weights_of_any_term(sweep):
    found = weights_of(replace(sweep, style_weights=(1.0, 2.0), term_weights=("smooth=0,1e-3",)))
    assert [(each["style"], each["smooth"]) for each in found] == [
        (1, 0),
        (1, 1e-3),
        (2, 0),
        (2, 1e-3),
    ]
    settings = replace(sweep, style_weights=(1.0, 2.0), term_weights=("smooth=0,1e-3",))
    labels = [variant.label for variant in grid.variants_of(config.resolved(settings))]
    assert labels[1] == "adam 0.1 style weight 1 smooth 0.001"


def test_words_of_a_mask_or_picture_are_names_and_paths(stylize):
    """A path may hold what separates: only the first `=` ends the name."""
    from nst_jax.runs import inputs

    assert inputs.named_paths("--mask", ["sky=a=b:c#1.png"]) == {"sky": Path("a=b:c#1.png")}
    assert inputs.file_of(Path("regions.png#3")) == (Path("regions.png"), 3)
    assert inputs.blend_of(["style=0.7", "night=0.3"], ["night"]) == {"style": 0.7, "night": 0.3}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"convention": "gatys"}, "--convention gatys and --objective .* contradict"),
        ({"tv_weight": 1.0}, "--tv-weight is of the term 'total_variation', which .* has not"),
        ({"term_weights": ("colors=1",)}, "expected TERM=NUMBER of the terms content, style"),
        ({"term_weights": ("style=x",)}, "'x' is no number"),
        ({"term_weights": ("style=1,2",)}, "stylize takes one weight"),
        ({"style_weight": 1.0, "term_weights": ("style=2",)}, "say the same"),
        ({"term_weights": ("style=-1",)}, "style weight must be finite and not negative"),
        ({"term_weights": ("style=0", "content=0", "smooth=0")}, "are all zero"),
        ({"style_layers": ("relu1_1",)}, "'style' has weights of its own layers"),
        ({"style_layer_weights": (1.0, -1.0)}, "not all 0, got 1.0, -1.0"),
        ({"style_layer_weights": (0.0, 0.0)}, "not all 0, got 0.0, 0.0"),
        ({"term": ("no_such_module:smooth",)}, "has a term 'smooth' already"),
        ({"term": ("no_such_module:colors",)}, "cannot import the term"),
        ({"picture": ("night=n.png",)}, "no term reads --picture night"),
        ({"picture": ("sky=n.png",), "mask": ("sky=m.png",)}, "of a picture and of a region"),
        ({"picture": ("=n.png",)}, "expected NAME=PATH"),
        ({"picture": ("style=n.png",)}, "none of content, style, opaque"),
        ({"mask": ("opaque=n.png",)}, "none of content, style, opaque"),
        ({"mask": ("sky=m.png",)}, "no term reads --mask sky"),
        ({"blend": ("style=1", "night=1")}, "expected NAME=WEIGHT of style"),
        ({"blend": ("style=0",)}, "expected a weight above 0"),
        ({"style_scale": float("nan")}, "style scale must be from 1/64 to 64, got nan"),
        ({"blend": ("style=1", "style=2")}, "style is given twice"),
        ({"blend": ("style=1e-50",)}, "expected a weight above 0"),
        ({"style_scale": 2.0, "style_size": "full"}, "--style-scale is a factor"),
        ({"constants": ("beta_1",)}, "--constants beta_1: expected NAME=NUMBER"),
        ({"constants": ("beta_1=0.5", "beta_1=0.5")}, "beta_1 is given twice"),
        ({"constants": ("decay=0.5",)}, "--constants decay=0.5: there is no constant 'decay'"),
        ({"constants": ("beta_1=2",)}, "beta_1 must be from 0 to below 1, got 2.0"),
    ],
)
def test_settings_that_contradict_the_objective_are_refused(stylize, settings, words):
    with pytest.raises(ValueError, match=words) as caught:
        runs.check_config(config.resolved(replace(stylize, **settings)))
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[terms", "is no TOML"),
        ("", "expected the fields"),
        ("[terms]", "from 1 to 64 terms"),
        ("[terms.a]\nweight = 1", "expected the fields kind"),
        ("[terms.a]\nkind = 'gram'\nlayer = ['relu1_1']", "expected the fields kind"),
        ("[terms.a]\nkind = 'grm'\nlayers = ['relu1_1']", "'a': there is no kind of term 'grm'"),
        ("[terms.a]\nkind = 'gram'\nlayers = ['relu9_1']", "'a': .*relu9_1"),
        ("[terms.a]\nkind = 'gram'\nlayers = ['relu1_1']\nreference = 'x'", "--picture x=PATH"),
        (
            "[terms.a]\nkind = 'gram'\nlayers = ['relu1_1']\nregion = 'sky'",
            "names the region 'sky', .* --mask sky=PATH",
        ),
        ("[terms.a]\nkind = 'os:getcwd'", "os:getcwd are functions .* add --own-terms"),
        (
            "[terms.a]\nkind = 'content'\nlayers = ['relu1_1']\nreference = 'style'",
            "its reference must be 'content', got 'style'",
        ),
        (
            "[terms.a]\nkind = 'wasserstein'\nlayers = ['relu1_1']\noptions = {steps = 1e9}",
            "`steps` must be a whole number from 1 to 200",
        ),
        (
            "[terms.a]\nkind = 'gram'\nlayers = ['relu1_1']\nreference = 'a\\nb'",
            "is no TOML|no name",
        ),
        ("n = " + "9" * 5000, "is no TOML"),
        ("n = " + "[" * 5000, "is no TOML"),
        ("[terms.A-b]\nkind = 'total_variation'", "small letters"),
        ("[terms.total]\nkind = 'total_variation'", "not 'total'"),
        ("[terms.a]\nkind = 'total_variation'", "nothing to match"),
        ("balance = 1\n[terms.a]\nkind = 'gram'", "expected the fields terms"),
        (
            "[terms.a]\nkind = 'gram'\nlayers = ['relu1_1']\noptions = {convention = 'x'}",
            "must be one of report, gatys",
        ),
    ],
)
def test_files_that_are_no_objective_are_refused_in_one_line(stylize, tmp_path, text, words):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=words) as caught:
        runs.check_config(config.resolved(replace(stylize, objective=str(path))))
    assert "\n" not in str(caught.value)


def test_an_objective_that_does_not_exist_lists_the_names(capsys):
    assert cli.main(["objective", "reprot"]) == 1
    assert "must be gatys, report or a file" in capsys.readouterr().err
