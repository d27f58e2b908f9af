"""The study: its statistics, its measures and its pages."""

import itertools
import sys
from dataclasses import replace
from pathlib import Path

import logs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "experiments"))

import features
import losses
import study
from measuring import measures, paired, samples, yardstick
from pages import writing

from nst_jax import runlog
from nst_jax.runlog.writing import RunLog

# Statistics


def test_the_rate_of_a_pair_is_chosen_on_the_others():
    # The last pair alone prefers the second setting, by far: it may not choose for itself.
    values = np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [9.0, 0.1]])
    assert list(paired.choose_leaving_one_out(values)) == [0, 0, 0, 0]
    # The first pair alone prefers the first setting: only it is given what the others prefer.
    values = np.array([[1.0, 5.0], [4.0, 2.0], [4.0, 2.0]])
    assert list(paired.choose_leaving_one_out(values)) == [1, 0, 0]


def test_a_setting_that_never_ends_is_not_chosen():
    values = np.array([[np.inf, 3.0], [np.inf, 3.0], [1.0, 3.0]])
    assert list(paired.choose_leaving_one_out(values)) == [1, 1, 1]


def test_nine_pairs_that_agree_are_significant_after_ten_comparisons():
    names = "abcde"
    values = {name: np.linspace(1, 2, 9) * (1 + i) for i, name in enumerate(names)}
    compared = paired.compare(values)
    assert list(compared) == list(itertools.combinations(names, 2))
    for each in compared.values():
        assert each.wins == 9
        assert each.effect == -1
        assert each.p == pytest.approx(2 / 2**9)
        assert each.adjusted == pytest.approx(10 * 2 / 2**9)
        assert each.adjusted < 0.05
    assert compared["a", "b"].ratio.median == pytest.approx(1 / 2)


def test_holm_by_hand():
    # Sorted .01 .02 .03 .5: times 4, 3, 2, 1, then never smaller than the one before.
    assert paired.holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_adjusted_p_values_keep_their_order_and_are_no_smaller(p):
    adjusted = paired.holm(p)
    assert all(a >= b for a, b in zip(adjusted, p, strict=True))
    assert max(adjusted) <= 1
    order = np.argsort(p, kind="stable")
    assert np.all(np.diff(np.array(adjusted)[order]) >= 0)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=3, max_size=12))
def test_the_median_lies_in_its_interval(values):
    interval = paired.median_of(np.array(values))
    assert interval.low <= interval.median <= interval.high
    # A mean of equal values may be one rounding off them.
    assert np.nextafter(min(values), -np.inf) <= interval.low
    assert interval.high <= np.nextafter(max(values), np.inf)


def test_the_interval_narrows_with_more_pairs(rng):
    few = paired.median_of(rng.normal(size=9))
    many = paired.median_of(rng.normal(size=900))
    assert many.high - many.low < 0.5 * (few.high - few.low)


def test_ties_and_zeros_are_tested_exactly():
    # Differences 0, 1, 1, 2: of all eight signs of the three, one is as extreme on each side.
    values = {"a": np.exp([0.0, 1, 1, 2]), "b": np.ones(4)}
    compared = paired.compare(values)["a", "b"]
    assert compared.p == pytest.approx(2 / 2**3)
    assert compared.effect == 1
    assert paired.rank_biserial(np.zeros(3)) == 0


def test_what_is_not_finite_is_not_compared():
    with pytest.raises(ValueError, match="sgd has no finite value"):
        paired.compare({"adam": np.ones(3), "sgd": np.array([1, np.inf, 1])})


def test_rank_biserial_is_odd_and_bounded():
    differences = np.array([1.0, -2.0, 3.0, 4.0])
    # Ranks 1 to 4: (1 + 3 + 4 - 2) / 10.
    assert paired.rank_biserial(differences) == pytest.approx(0.6)
    assert paired.rank_biserial(-differences) == pytest.approx(-0.6)


# Measures


def some_runs(relative):
    """Runs with these totals; axes (pair, rate, seed, evaluation)."""
    total = np.asarray(relative, np.float64)
    pictures = tuple(np.zeros((total.shape[1], 4, 4, 3), np.uint8) for _ in total)
    rates = tuple(0.01 * 3**i for i in range(total.shape[1]))
    diverged = total[..., -1] > total[..., 0]
    return measures.Runs("adam", rates, 7 * total, total, total, diverged, pictures)


def test_measures_of_a_known_curve():
    runs = some_runs([[[[1, 0.1, 0.01], [1, 0.1, 0.1], [1, 1, 0.5]]]])
    assert measures.after(runs, 2) == pytest.approx(0.1)
    # Areas by trapezoids: -1, -0.75 and -0.075.
    assert measures.area(runs) == pytest.approx(-0.75, abs=1e-3)
    assert measures.evaluations_to(runs, 0.1) == 1
    assert measures.evaluations_to(runs, 0.01) == np.inf
    assert runs.budget == 2


@pytest.fixture
def log(tmp_path):
    """A log of two styles, two rates and two seeds, whose totals tell their variant and step."""
    variants = [
        runlog.Variant(
            f"{style} {rate} {seed}", optimizer, rate, logs.WEIGHTS, style, "content", seed
        )
        for style, (optimizer, rates) in itertools.product(
            ("s", "t"), (("adam", (0.1, 0.01)), ("lbfgs", (0.0,)))
        )
        for rate, seed in itertools.product(rates, (0, 1))
    ]
    count, steps = len(variants), 4
    shape = (steps, count)
    totals = np.arange(count) * 100 + 50 - np.arange(steps)[:, None]
    ones = np.ones(shape, np.float32)
    picture = np.zeros((4, 4, 3), np.uint8)
    evaluations = np.ones(shape, np.int32)
    lbfgs = [i for i, variant in enumerate(variants) if variant.optimizer == "lbfgs"]
    evaluations[:, lbfgs] = np.array([1, 2, 3, 1])[:, None]
    with RunLog.create(
        tmp_path / "log.h5",
        attributes={"plans_json": "[]"},
        config={"content": "pictures/content_a_cat.png", "steps": steps},
        variants=variants,
        parts=logs.parts("block1_conv1"),
        contents={"": picture},
        styles={"s": picture, "t": picture},
        num_steps=steps,
        num_snapshots=steps,
        chunk_length=steps,
    ) as log:
        log.append(
            logs.rows(
                step=np.arange(steps, dtype=np.int32),
                wall_time=np.ones(shape),
                evaluations=evaluations,
                total=totals.astype(np.float32),
                **dict.fromkeys((*logs.WEIGHTS, "grad_norm", "update_norm"), ones),
                per_layer=np.ones((*shape, 1), np.float32),
            )
        )
        for i in range(steps):
            log.append_snapshot(i, i + 1, np.zeros((count, 4, 4, 3), np.uint8))
        final = {term: np.arange(count) * 100 + 10.0 for term in logs.LOSSES}
        variants = [replace(variant, status="finished") for variant in variants]
        log.finish_variants(variants, final=final, images=np.zeros((count, 4, 4, 3), np.uint8))
        log.finish("finished")
    return runlog.load(tmp_path / "log.h5")


def test_runs_are_ordered_by_pair_rate_and_seed(log, monkeypatch):
    monkeypatch.setattr(
        measures,
        "_losses_of_pictures",
        lambda record, weights: (
            lambda column: dict.fromkeys(
                ("total", "content", "style"), np.array([8.0, 4.0, 2.0, 1.0])
            )
        ),
    )
    runs = measures.runs_of([log])
    adam = runs["adam"]
    assert adam.rates == (0.01, 0.1)
    assert adam.total.shape == (2, 2, 2, 5)
    # Columns: style s has rate 0.1 in 0 and 1, rate 0.01 in 2 and 3; style t begins at 6.
    np.testing.assert_array_equal(adam.total[0, 0, 1], [350, 349, 348, 347, 310])
    np.testing.assert_array_equal(adam.total[1, 1, 0], [650, 649, 648, 647, 610])
    # Steps of L-BFGS took 1, 2, 3 and 1 evaluations: 2 of them pay for one step, 3 for two.
    np.testing.assert_array_equal(runs["lbfgs"].total[0, 0, 0], [450, 8, 8, 4, 4])
    assert measures.names_of_pairs([log]) == [("a cat", "s"), ("a cat", "t")]


def test_the_picture_of_lbfgs_is_the_one_that_the_budget_pays_for(log, monkeypatch):
    monkeypatch.setattr(
        measures,
        "_losses_of_pictures",
        lambda record, weights: (
            lambda column: dict.fromkeys(
                ("total", "content", "style"), np.array([8.0, 4.0, 2.0, 1.0])
            )
        ),
    )
    numbered = np.arange(1, 5, dtype=np.uint8)[:, None, None, None, None]
    record = replace(log, snapshots=np.broadcast_to(numbered, log.snapshots.shape))
    # Four evaluations pay for the first two steps.
    assert np.all(measures.runs_of([record])["lbfgs"].pictures[0][0] == 2)


def test_a_run_that_ends_at_its_last_good_picture_has_not_ended_well(log):
    total = log.rows.total.copy()
    total[2, 0] = np.nan
    losses = {**log.rows.losses, "total": total}
    record = replace(log, rows=replace(log.rows, losses=losses))
    trace = measures._first_order_trace(record)(0)
    np.testing.assert_array_equal(np.isfinite(trace.terms["total"]), [1, 1, 0, 0, 0])


def test_half_decades_have_half_decades_for_neighbors():
    assert study.around(0.03) == (0.01, 0.03, 0.1)
    assert study.around(1e-8) == (3e-9, 1e-8, 3e-8)
    assert study.around(1.0) == (0.3, 1.0, 3.0)
    for text in study.LEARNING_RATES.values():
        rates = tuple(map(float, text.split(",")))
        assert len(rates) >= 7
        for below, rate, above in zip(rates, rates[1:], rates[2:], strict=False):
            assert study.around(rate) == (below, rate, above)


# Pages


@pytest.fixture
def small_study(tmp_path, rng, monkeypatch):
    """One content, two styles, three rates, on tiny pictures and an untrained network."""
    monkeypatch.setattr(samples, "CONTENTS", samples.CONTENTS[:1])
    monkeypatch.setattr(samples, "STYLES", samples.STYLES[:2])
    for name in (*samples.CONTENTS, *samples.STYLES):
        coarse = Image.fromarray(rng.integers(0, 255, (6, 6, 3), np.uint8))
        coarse.resize((40, 36), Image.Resampling.BICUBIC).save(tmp_path / name)
    middle = dict.fromkeys(("adam", "rmsprop", "adagrad"), "0.01,0.03,0.1")
    monkeypatch.setattr(study, "LEARNING_RATES", {**middle, "sgd": "1e-10,1e-9,1e-8"})
    return study.Study(
        output_dir=tmp_path / "out",
        pictures=tmp_path,
        size=32,
        evaluations=4,
        long_evaluations=5,
        seeds=(0,),
        weights="random",
    )


@pytest.mark.slow
def test_a_study_from_pictures_to_page(small_study, tmp_path, monkeypatch):
    record_of = study.record_of
    first = {"content_layers": ("relu1_1",), "style_layers": ("relu1_1",)}
    monkeypatch.setattr(
        study,
        "record_of",
        lambda config, **options: record_of(replace(config, **first), **options),
    )
    path = study.main(small_study)
    text = path.read_text()
    assert "After 4 gradient evaluations" in text
    assert "weights are random" in text
    for name in ("curves.png", "pairs.png", "rates.png", "pictures.jpg"):
        assert (path.parent / f"study_{name}").stat().st_size > 1000
    assert "nan" not in text
    # From the logs the same page again.
    logs = {each: each.stat().st_mtime_ns for each in path.parent.glob("*.h5")}
    assert study.main(small_study).read_text() == text
    assert {each: each.stat().st_mtime_ns for each in path.parent.glob("*.h5")} == logs

    page = tmp_path / "docs" / "study.md"
    writing.join([path], page, "# A title\n\nA preface.")
    joined = page.read_text()
    assert "](images/study/study_curves.png)" in joined
    assert (page.parent / "images" / "study" / "study_curves.png").exists()
    assert all(len(line) < 120 for line in joined.splitlines() if not line.startswith(("|", "!")))


def test_a_study_names_the_pictures_that_it_lacks(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"content_coffee\.png"):
        study.main(study.Study(output_dir=tmp_path / "out", pictures=tmp_path))


@pytest.mark.slow
@pytest.mark.usefixtures("quick_to_compile")
def test_features_and_losses_write_their_sections(tmp_path, monkeypatch, shallow):
    record_of = losses.record_of
    monkeypatch.setattr(
        losses, "record_of", lambda config, **options: record_of(shallow(config), **options)
    )
    monkeypatch.setattr(features, "CONTENT_LAYERS", features.CONTENT_LAYERS[:2])
    monkeypatch.setattr(features, "STYLE_SETS", features.STYLE_SETS[:2])
    monkeypatch.setattr(losses, "RATIOS", (1, 100))
    monkeypatch.setattr(losses, "VARIATIONS", (0.0, 30.0, 3000.0))
    monkeypatch.setattr(losses, "LAYERS", losses.LAYERS[-2:])
    monkeypatch.setattr(losses, "STYLE_COUNTS", (1, 5))
    # Its deep layers have a test of their own.
    monkeypatch.setattr(yardstick, "STYLE_LAYERS", yardstick.STYLE_LAYERS[:2])
    monkeypatch.setattr(yardstick, "LAYER", "block2_conv2")
    common = {"size": 32, "steps": 2, "weights": "random"}
    path = features.main(features.Features(output_dir=tmp_path / "features", **common))
    assert "block2_conv2" in path.read_text()
    assert (path.parent / "features_reconstructions.jpg").exists()
    settings = losses.Losses(output_dir=tmp_path / "losses", vgg16_weights="random", **common)
    path = losses.main(settings)
    text = path.read_text()
    for group in ("content : style", "total variation", "pooling", "formulas"):
        assert f"| {group} |" in text
    assert "| network | vgg16 |" in text
    assert "nan" not in text


def test_the_choices_of_the_loss_change_one_thing_each():
    chosen = losses.choices_of(losses.Losses(), lambda layer: {"block5_conv2": 2.0}.get(layer, 4.0))
    base = losses.base_of(losses.Losses())
    logs = {}
    for choice in chosen:
        changed = {
            name
            for name, value in vars(choice.config).items()
            if value != getattr(base, name) and name != "log"
        }
        assert len(changed) <= 3
        if choice.config.log != base.log:
            assert changed
            assert logs.setdefault(choice.config.log, choice.label) == choice.label
    shared = [choice.label for choice in chosen if choice.config.log == base.log]
    assert {"report", "max", "block5_conv2"} <= set(shared)
    by_label = {choice.label: choice.config for choice in chosen}
    assert by_label["block3_conv2"].content_weights == (5e3,)


def test_the_yardstick_is_one_for_the_content_and_zero_for_the_style(vgg_params, rng):
    from nst_jax import image as images

    picture, style = (rng.integers(0, 255, (32, 36, 3), np.uint8) for _ in range(2))
    style = (style // 2).astype(np.uint8)
    measure = yardstick.make_yardstick(
        vgg_params, images.from_uint8(picture), images.from_uint8(style)
    )
    same = measure(picture)
    assert same.style == pytest.approx(1)
    assert same.content == pytest.approx(0, abs=1e-6)
    assert same.variation == pytest.approx(1)
    other = measure(style)
    assert other.style == pytest.approx(0, abs=1e-6)
    assert other.content > 0.01
