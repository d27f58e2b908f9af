"""Settings by name, and the pictures that come along."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nst_jax import config, image, presets, runs
from nst_jax.command import cli
from nst_jax.image import samples
from nst_jax.runs import grid

FILES = {"content": samples.PORTRAIT, "style": samples.PAINTING, "output": Path("out.png")}


def run_of(**settings):
    return config.StylizeConfig(**FILES, **settings)


def sweep_of(**settings):
    files = {"content": samples.PORTRAIT, "styles": (samples.PAINTING,), "log": Path("sweep.h5")}
    return config.SweepConfig(**files, **settings)


@pytest.mark.parametrize("run", [run_of, sweep_of])
@pytest.mark.parametrize("name", presets.names())
@pytest.mark.parametrize("weights", [None, "random", "vgg19.h5"])
def test_a_run_with_a_preset_is_valid_and_keeps_what_it_was_asked_for(name, weights, run):
    asked = run(size=300, average=0.9, weights=weights)
    given = {"size", "average", "weights"}
    chosen = replace(asked, **presets.settings(name, asked, given=given))
    runs.check_config(config.resolved(chosen))
    assert (chosen.size, chosen.average, chosen.weights) == (300, 0.9, weights)


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_says_where_its_settings_come_from(name, capsys):
    preset = presets.load(name)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", preset.date)
    assert cli.main(["presets"]) == 0
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith(f"{name} ")]
    for text in (preset.about, preset.source, preset.version, preset.date):
        assert text in line


def test_the_size_scales_the_stages_of_painterly():
    chosen = config.resolved(presets.apply("painterly", run_of(size=256)))
    assert [stage.size for stage in config.stages_of(chosen)] == [181, 256]


def test_the_report_s_preset_is_the_report_s_objective():
    single, sweep = (presets.apply("report", each()) for each in (run_of, sweep_of))
    assert (single.optimizer, single.learning_rate, single.steps) == ("adam", 0.02, 500)
    (variant,) = grid.variants_of(single)
    assert variant.weights == {"content": 1e4, "style": 1e-2, "total_variation": 0.0}
    rates = {(v.optimizer, v.learning_rate) for v in grid.variants_of(sweep)}
    assert {("adam", 0.02), ("rmsprop", 0.001), ("adagrad", 0.1)} < rates


def test_an_objective_replaces_the_terms_of_a_preset_and_leaves_its_network():
    chosen = parsed("stylize", "--preset", "painterly", "--objective", "gatys")
    assert (chosen.average, chosen.precision) == (0.95, "fast")
    assert chosen.objective == "gatys"
    (variant,) = grid.variants_of(chosen)
    assert variant.weights == {"content": 1.0, "style": 1e3, "total_variation": 30.0}


@pytest.mark.parametrize("weights", [None, "random"])
def test_a_sweep_with_a_preset_is_around_the_run_with_it(weights):
    single = presets.apply("painterly", run_of(weights=weights))
    sweep = presets.apply("painterly", sweep_of(weights=weights, optimizers=("adam",)))
    (variant,), (of_single,) = map(grid.variants_of, (sweep, single))
    assert (variant.weights, variant.learning_rate) == (of_single.weights, of_single.learning_rate)
    assert grid.as_sweep(single).content_layers == sweep.content_layers


def test_a_preset_that_does_not_exist_is_named():
    said = "the preset must be one of crowsonkb, .* painterly, .*, got 'photographic'"
    with pytest.raises(ValueError, match=said):
        presets.settings("photographic", run_of())


def test_random_weights_get_the_settings_of_a_preview():
    trained, preview = (presets.apply("painterly", run_of(weights=w)) for w in (None, "random"))
    assert (preview.terms, preview.style_weight) == ({}, 300.0)
    assert (trained.terms, trained.style_weight) == (presets.load("painterly").terms, None)


def run_rate():
    return presets.load("painterly").settings["learning_rate"]


def parsed(command: str, *options: str):
    """The settings of a command line, and what was said of them."""
    outputs = {"stylize": "--output", "sweep": "--log"}
    return cli._parse([command, "c.png", "s.png", outputs[command], "run.h5", *options])


def test_the_command_line_has_the_presets(capsys):
    command = ["--preset", "painterly", "--size", "300"]
    files = {"content": Path("c.png"), "style": Path("s.png"), "output": Path("run.h5")}
    run = config.StylizeConfig(**files, size=300)
    assert parsed("stylize", *command) == presets.apply("painterly", run)
    told = capsys.readouterr().out
    terms, _, options = told.removeprefix("preset painterly: ").partition("; ")
    assert terms == "its own terms content, style, smooth"
    # What is told is what could have been typed instead.
    typed = parsed("stylize", "--size", "300", *options.split())
    assert replace(typed, terms=presets.load("painterly").terms) == presets.apply("painterly", run)
    assert parsed("sweep", *command).learning_rates == (repr(run_rate()),)
    assert parsed("stylize") == config.StylizeConfig(**files)


@pytest.mark.parametrize(
    ("command", "options", "expected"),
    [
        ("stylize", ["--style-weight", "3"], {"style_weight": 3.0, "content_weight": None}),
        ("stylize", ["--style_weight=3"], {"style_weight": 3.0}),
        # The defaults, but asked for.
        ("stylize", ["--tv-weight", "30"], {"tv_weight": 30.0}),
        ("stylize", ["--pooling", "max"], {"pooling": "max", "layer_balance": "relative"}),
        ("stylize", ["--style-size", "64"], {"style_size": 64}),
        ("stylize", ["--content-layers"], {"content_layers": ()}),
        ("sweep", ["--style-weights", "3", "9"], {"style_weights": (3.0, 9.0)}),
        ("sweep", ["--weights", "random"], {"learning_rates": ("0.01",)}),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_what_the_user_sets_stays(first, command, options, expected):
    preset = ["--preset", "painterly"]
    chosen = parsed(command, *(preset + options if first else options + preset))
    assert {name: getattr(chosen, name) for name in expected} == expected


def test_the_terms_of_a_preset_are_told_by_their_names(capsys):
    chosen = parsed("stylize", "--preset", "crowsonkb", "--term-weights", "variation=1")
    told = capsys.readouterr().out
    assert told.startswith("preset crowsonkb: its own terms content, style, variation; --border")
    assert "--carry-state --average 0.99" in told
    (variant,) = grid.variants_of(chosen)
    assert variant.weights == {"content": 2.275e-8, "style": 1.0, "variation": 1.0}


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("keras-tutorial", ["--steps", "9"], "keras-tutorial has stages, .* leave --steps out"),
        ("crowsonkb", ["--size", "full"], "crowsonkb has stages, and --size full is for a run of"),
        ("crowsonkb", ["--tolerance", "0.1"], "--tolerance is for a run of one size: leave it out"),
        ("crowsonkb", ["--convention", "gatys"], "gatys and terms that are given one by one"),
        ("crowsonkb", ["--tv-weight", "1"], "of the term 'total_variation', which .* has not"),
        (
            "jcjohnson",
            ["--style-layers", "relu1_1"],
            "weights of its own layers: give",
        ),
    ],
)
def test_what_contradicts_a_preset_is_refused_in_one_line(name, options, words):
    with pytest.raises(ValueError, match=words) as caught:
        runs.check_config(config.resolved(parsed("stylize", "--preset", name, *options)))
    assert "\n" not in str(caught.value)


def test_the_size_is_the_last_stage_s_and_automatic_stages_begin_at_128():
    chosen = config.resolved(parsed("stylize", "--preset", "crowsonkb", "--size", "256"))
    assert [(x.size, x.steps) for x in config.stages_of(chosen)] == [
        (128, 1000),
        (181, 500),
        (256, 500),
    ]
    keras = config.resolved(parsed("stylize", "--preset", "keras-tutorial", "--size", "64"))
    assert {(x.size, x.steps) for x in config.stages_of(keras)} == {(64, 400)}
    auto = ["--stages", "auto", "--steps", "9"]
    chosen = config.resolved(parsed("stylize", "--preset", "keras-tutorial", *auto))
    assert chosen.steps == 9 * (2 + 1 + 1 + 1)


def test_typed_stages_bring_their_size_to_a_preset_that_has_one():
    chosen = parsed("stylize", "--preset", "keras-tutorial", "--stages", "64:9", "128:5")
    assert (chosen.size, chosen.stages) == (128, ("64:9", "128:5"))


def test_another_optimizer_has_its_own_constants():
    ours = parsed("stylize", "--preset", "crowsonkb")
    assert ours.constants == ("beta_1=0.9", "beta_2=0.99", "epsilon=1e-8")
    assert parsed("stylize", "--preset", "crowsonkb", "--optimizer", "rmsprop").constants == ()
    assert parsed("sweep", "--preset", "jcjohnson", "--optimizers", "adam").constants == ()
    assert not parsed("stylize", "--preset", "crowsonkb", "--optimizer", "lbfgs").carry_state
    assert not parsed("stylize", "--preset", "crowsonkb", "--stages").carry_state


def test_an_objective_replaces_the_terms_that_a_preset_has_of_its_own():
    chosen = parsed("stylize", "--preset", "crowsonkb", "--objective", "report")
    (variant,) = grid.variants_of(chosen)
    assert variant.weights == {"content": 1e4, "style": 1e-2, "total_variation": 30.0}
    assert (chosen.border, chosen.average) == ("edge", 0.99)


def test_a_preset_is_printed_as_a_file_that_an_objective_may_be_made_of(capsys, tmp_path):
    assert cli.main(["presets", "crowsonkb"]) == 0
    text = capsys.readouterr().out
    assert "never the one that it would make" in text
    own = tmp_path / "own.toml"
    own.write_text(text[text.index("[terms.content]") :])
    chosen = config.resolved(run_of(objective=str(own)))
    assert chosen.terms == presets.load("crowsonkb").terms


FAMOUS = sorted(
    name for name in presets.names() if presets.load(name).terms and not presets.load(name).preview
)


@pytest.mark.slow
@pytest.mark.usefixtures("quick_to_compile")
@pytest.mark.parametrize("name", FAMOUS)
def test_a_famous_preset_paints(name, stylize):
    own = replace(stylize, size=28, content_layers=None, style_layers=None)
    chosen = presets.apply(name, own)
    short = {"stages": ("28:2",)} if chosen.stages else {"steps": 2}
    record = runs.stylize_files(replace(chosen, size=28, **short), say=str, progress=False).record
    assert record.status == "finished"
    assert set(record.rows.losses) == {"total", *presets.load(name).terms}
    assert np.isfinite(record.rows.total).all()


def test_the_log_of_a_run_with_a_preset_needs_no_preset():
    chosen = parsed("stylize", "--preset", "painterly")
    assert type(chosen) is config.StylizeConfig
    assert config.from_json(config.to_json(chosen)) == chosen


def test_a_whole_picture_has_the_style_of_a_whole_file():
    asked = run_of(size="full", weights="random")
    painterly = replace(asked, **presets.settings("painterly", asked, given={"stages"}))
    assert (painterly.size, painterly.style_size, painterly.style_scale) == ("full", None, 1)
    runs.check_config(painterly)


def test_the_samples_are_pictures():
    for path in (samples.PORTRAIT, samples.PAINTING):
        assert min(image.load(path).shape[:2]) > 400


def test_the_samples_come_as_files_with_the_command_to_try_next(tmp_path, capsys):
    folder = tmp_path / "new folder"
    assert cli.main(["samples", str(folder)]) == 0
    wrote, told = capsys.readouterr().out.splitlines()
    assert wrote == f"wrote {folder}/portrait.jpg, {folder}/painting.jpg"
    for name, source in (("portrait.jpg", samples.PORTRAIT), ("painting.jpg", samples.PAINTING)):
        difference = image.load(folder / name) - image.load(source)
        assert np.abs(difference).mean() < 0.02
    command = told.partition(": nst-jax ")[2]
    assert cli._parse(shlex.split(command)).style == folder / "painting.jpg"


def test_samples_that_are_there_stay_unless_forced(tmp_path, capsys):
    (tmp_path / "painting.jpg").write_text("precious")
    assert cli.main(["samples", str(tmp_path)]) == 1
    assert "painting.jpg exists; use --force" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["painting.jpg"]
    assert cli.main(["samples", str(tmp_path), "--force"]) == 0
    assert image.load(tmp_path / "painting.jpg").ndim == 3
