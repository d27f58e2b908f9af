"""Coarse to fine: sizes one after another, in one run and one log."""

import operator
import signal
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nst_jax import (
    config,
    driver,
    image,
    objective,
    optimizers,
    report,
    runlog,
    runs,
    solve,
    stages,
)
from nst_jax.command import cli
from nst_jax.runlog import checkpoint
from nst_jax.runs import programs
from nst_jax.steps import Hyperparameters, init_state, single


def quiet(line):
    del line


@pytest.fixture
def staged(stylize):
    """Three stages from a given start, in the style's own colors."""
    return replace(
        stylize,
        size=28,
        stages=("16:3,rate=2", "22:2,style_scale=1.5", "28:3,total_variation=0.5"),
        tv_weight=30.0,
        init="content",
    )


def run(settings):
    return runs.stylize_files(settings, say=quiet, progress=False).record


# Settings


def spec(**settings):
    files = {"content": Path("c.png"), "style": Path("s.png"), "output": Path("o.png")}
    return config.resolved(config.StylizeConfig(**files, **settings))


def test_stages_are_sizes_with_steps_and_factors():
    found = config.stages_of(spec(size=256, stages=("128:300,rate=2,style=0.5", "256:100")))
    assert [(x.size, x.steps, x.rate) for x in found] == [(128, 300, 2.0), (256, 100, 1.0)]
    assert found[0].weights == {"style": 0.5}
    assert spec(size=256, stages=("128:300", "256:100")).steps == 400


def test_the_size_is_that_of_the_last_stage_and_scales_the_others():
    found = config.stages_of(spec(size=512, stages=("128:300", "256:100")))
    assert [x.size for x in found] == [256, 512]


def test_automatic_stages_begin_at_128_with_twice_the_steps():
    found = config.stages_of(spec(size=512, steps=100, stages=("auto",)))
    assert [x.size for x in found] == [128, 181, 256, 362, 512]
    assert [x.steps for x in found] == [200, 100, 100, 100, 100]
    assert [x.size for x in config.stages_of(spec(size=100, stages=("auto",)))] == [100]


def test_more_steps_go_to_the_last_stage():
    settings = replace(spec(size=256, stages=("128:300", "256:100")), steps=700)
    assert [x.steps for x in config.stages_of(settings)] == [300, 400]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"stages": ("128",)}, "expected SIZE:STEPS"),
        ({"stages": ("128:10", "auto")}, "expected SIZE:STEPS"),
        ({"stages": ("128:10,rate=fast",)}, "expected SIZE:STEPS"),
        ({"stages": ("128:10,rate=-1",)}, "expected SIZE:STEPS"),
        ({"stages": ("128:10,rate=0",)}, "must be above 0"),
        ({"stages": ("0:10",)}, "must be above 0"),
        ({"stages": ("128:10",), "size": "full"}, "give --size, not full"),
        ({"stages": ("128:10",), "style_size": "full"}, "--style-size full has no part"),
        ({"stages": ("128:10",), "tolerance": 0.1}, "leave it or --stages out"),
        ({"stages": ("64:10",) * 65}, "expected 64 at most"),
        ({"stages": ("64:10", "32:10")}, "at least that before it, got 64, 32"),
        ({"stages": ("64:10,style_scale=65",)}, "must come to 1/64 to 64"),
    ],
)
def test_stages_that_are_none_or_contradict_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        config.stages_of(spec(**settings))


def test_a_weight_of_a_term_that_is_not_there_is_refused(staged):
    with pytest.raises(ValueError, match="--stages has a weight of strokes: the terms are content"):
        run(replace(staged, stages=("16:3,strokes=2", "28:3")))


def test_typed_stages_bring_their_size_and_no_other_steps():
    files = ["stylize", "c.png", "s.png", "--output", "o.png", "--stages", "64:9", "128:5"]
    assert cli._parse(files).size == 128
    assert cli._parse([*files, "--size", "300"]).size == 300
    with pytest.raises(ValueError, match="--steps and --stages both say"):
        cli._parse([*files, "--steps", "5"])
    assert cli._parse([*files[:5], "--stages", "auto", "--steps", "5"]).steps == 5


# States


@pytest.mark.parametrize("name", ["adam", "lbfgs"])
def test_a_state_grows_with_its_image_and_counts_on(name, rng):
    optimizer = optimizers.named(name)
    hyper = single(Hyperparameters(0.1, {}))
    images = rng.uniform(size=(1, 8, 10, 3)).astype(np.float32)
    old = init_state(images, optimizer, hyper)._replace(step=jnp.array([7]))
    grown = stages.grow(old, (16, 20, 3), hyper, optimizer=optimizer)
    assert int(grown.step[0]) == 7
    assert grown.image.shape == grown.last_good.shape == (1, 16, 20, 3)
    assert 0 <= grown.image.min() <= grown.image.max() <= 1


@pytest.mark.parametrize("form", ["keras", "report"])
@pytest.mark.parametrize("name", ["adam", "rmsprop", "adagrad", "sgd"])
def test_a_warm_optimizer_takes_its_moments_along(name, form, rng):
    optimizer = optimizers.named(name, form=form)
    old = optimizer.transformation(0.1).init(jnp.zeros((8, 10, 3)))
    moved = jax.tree.map(
        lambda x: x + 7 if x.ndim == 0 else jnp.asarray(rng.uniform(size=x.shape)) ** 8, old
    )
    fresh = optimizer.transformation(0.1).init(jnp.zeros((11, 14, 3)))
    grown = optimizers.warm(fresh, moved)
    for like, before, after in zip(*map(jax.tree.leaves, (fresh, moved, grown)), strict=True):
        assert after.shape == like.shape
        assert after.min() >= 0
        np.testing.assert_allclose(after.mean(), before.mean(), rtol=0.1)
    same = optimizers.warm(old, moved)
    assert all(map(operator.is_, jax.tree.leaves(same), jax.tree.leaves(moved)))


def test_a_wave_keeps_its_form_and_the_same_size_is_left_alone():
    def wave(pixels):
        across = 8 * np.pi * (jnp.arange(pixels) + 0.5) / pixels
        return (0.5 + 0.3 * jnp.sin(across))[None, :, None, None] * jnp.ones((1, 1, 9, 3))

    enlarged = stages.resize(wave(48), (68, 9, 3))
    np.testing.assert_allclose(enlarged[:, 10:-10], wave(68)[:, 10:-10], atol=2e-3)
    same = wave(48)
    assert stages.resize(same, same.shape[1:]) is same


def test_enlarging_leaves_grain_alike_on_old_pixels_and_between_them():
    impulses = 0.5 + 0.4 * jnp.eye(48)[:, :, None, None] * jnp.ones((1, 1, 1, 3))
    weights = (stages.resize(impulses, (68, 1, 3))[:, 10:-10, 0, 0] - 0.5) / 0.4
    # Of independent pixels with the variance 1.
    variances = np.sum(np.square(weights), axis=0)
    assert np.max(variances) / np.min(variances) < 1.2


def test_a_schedule_counts_the_steps_of_all_stages():
    made = optimizers.scheduled("adam", lambda step: 0.1 / (1 + step), num_steps=4)
    small, large = jnp.full((2, 2, 3), 0.5), jnp.full((4, 4, 3), 0.5)
    transformation = made.transformation(jnp.float32(1))
    state = transformation.init(small)
    for _ in range(2):
        _, state = transformation.update(small, state, small)
    grown = made.resize(transformation.init(large), state)
    updates, _ = transformation.update(large, grown, large)
    # The third rate; Adam itself begins anew, with a step as long as the rate.
    np.testing.assert_allclose(updates, -0.1 / 3, rtol=1e-4)


# Runs


def test_a_run_of_stages_is_one_log(staged):
    record = run(staged)
    assert record.stages == ((14, 16, 3), (19, 22, 5), (24, 28, 8))
    assert list(record.rows.step) == list(range(8))
    assert record.images.shape == (1, 24, 28, 3)
    assert record.status == "finished"
    assert np.all(np.diff(record.rows.wall_time[:, 0]) >= 0)
    (style,) = record.styles.values()
    assert max(style.shape) == 26


def test_one_stage_is_a_run_without_stages(stylize):
    plain = run(replace(stylize, size=28))
    one = run(replace(stylize, size=28, stages=(f"28:{stylize.steps}",)))
    assert not one.stages
    np.testing.assert_array_equal(one.rows.total, plain.rows.total)
    np.testing.assert_array_equal(one.images, plain.images)


def test_each_stage_has_its_own_rate_weights_and_style(staged):
    record = run(staged)
    first = run(replace(staged, size=16, stages=(), steps=3, learning_rate=0.04))
    np.testing.assert_array_equal(record.rows.total[:3], first.rows.total)
    weights = record.variants[0].weights
    total = sum(
        weights[name] * (0.5 if name == "total_variation" else 1) * float(loss[-1, 0])
        for name, loss in record.rows.losses.items()
        if name != "total"
    )
    assert float(record.rows.total[-1, 0]) == pytest.approx(total, rel=1e-5)
    second = runs.prepare(config.resolved(staged), say=quiet).stages[1].problem
    (style,) = second.pictures.styles.values()
    # The file's 26 pixels bound the 33 that are asked for.
    assert max(style.shape) == 26
    plain = replace(staged, stages=("16:3", "22:2", "28:3"))
    second = runs.prepare(config.resolved(plain), say=quiet).stages[1].problem
    (style,) = second.pictures.styles.values()
    assert max(style.shape) == 22


def test_a_style_scaled_in_the_last_stage_is_that_of_the_log(staged):
    settings = replace(staged, stages=("16:3", "28:3,style_scale=0.5"), keep_state=True)
    record = run(settings)
    (style,) = record.styles.values()
    assert max(style.shape) == 14
    assert cli.main(["rerun", str(settings.log)]) == 0
    larger = replace(settings, stages=("12:3", "16:3,style_scale=1.5"), size=16)
    (style,) = run(larger).styles.values()
    assert max(style.shape) == 24
    assert cli.main(["rerun", str(settings.log)]) == 0


@pytest.mark.parametrize("last", [1, 3, 4, 5, 6])
def test_interrupted_anywhere_it_ends_with_the_same_bytes(staged, last, monkeypatch):
    """Also at the seams, where a state of the old size is there for the new one."""
    whole = run(staged)
    log = staged.log.with_name("interrupted.h5")
    monkeypatch.setattr(driver, "MAX_CHUNK_LENGTH", 1)

    def stop(chunk):
        if int(np.max(chunk.state.step)) == last:
            signal.raise_signal(signal.SIGTERM)

    settings = replace(staged, log=log)
    outcome = runs.stylize_files(settings, say=quiet, progress=False, on_chunk=stop)
    assert outcome.exit_code == 143
    assert outcome.record.images.shape == whole.images.shape
    assert runs.resume(log, say=quiet, progress=False).exit_code == 0
    record = runlog.load(log)
    np.testing.assert_array_equal(record.rows.total, whole.rows.total)
    np.testing.assert_array_equal(record.images, whole.images)


def test_a_carried_state_takes_the_first_step_of_a_stage_from_the_last_of_the_one_before(staged):
    settings = replace(staged, stages=("16:3", "28:1"))
    warm, cold = run(replace(settings, carry_state=True)), run(settings)
    np.testing.assert_array_equal(warm.rows.total, cold.rows.total)
    assert not np.array_equal(warm.images, cold.images)
    # A cold Adam moves each pixel by its whole rate at once.
    assert warm.rows.update_norm[-1] < 0.9 * cold.rows.update_norm[-1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"stages": ()}, "--carry-state takes the optimizer's state from stage to stage: give"),
        ({"optimizer": "lbfgs"}, "--carry-state has no use for lbfgs, whose curvature is that of"),
    ],
)
def test_a_state_that_cannot_be_carried_is_refused(staged, settings, words):
    with pytest.raises(ValueError, match=words):
        run(replace(staged, carry_state=True, **settings))


def test_a_sweep_of_stages_has_the_bytes_of_its_single_runs(sweep):
    staged = replace(sweep, size=28, stages=("16:3", "28:3"), optimizers=("adam",))
    record = runs.sweep_files(staged, say=quiet, progress=False).record
    assert record.stages == ((14, 16, 3), (24, 28, 6))
    said = report.render(record)
    assert "16 × 14 pixels up to step 3, 28 × 24 pixels up to step 6" in said
    assert cli.main(["rerun", str(staged.log)]) == 0
    single_run = replace(staged, learning_rates=("0.1",), log=sweep.log.with_name("one.h5"))
    one = runs.sweep_files(single_run, say=quiet, progress=False).record
    np.testing.assert_allclose(one.rows.total[:, 0], record.rows.total[:, 1], rtol=1e-4)


def test_more_steps_than_a_finished_run_of_stages(staged):
    run(replace(staged, keep_state=True))
    assert runs.resume(staged.log, steps=11, say=quiet, progress=False).exit_code == 0
    longer = runlog.load(staged.log.with_name("run-11.h5"))
    whole = run(replace(staged, stages=(*staged.stages[:2], "28:6,total_variation=0.5"), steps=11))
    np.testing.assert_array_equal(longer.images, whole.images)
    assert longer.stages[-1].stop == 11


def test_snapshots_of_all_stages_have_the_size_of_the_last(staged):
    record = run(replace(staged, snapshot_every=2))
    assert record.snapshots.shape == (4, 1, 24, 28, 3)
    assert list(record.snapshot_steps) == [2, 4, 6, 8]


def test_a_state_of_no_stage_is_refused(staged):
    run(replace(staged, keep_state=True))
    assert image.load(staged.output).shape == (24, 28, 3)
    path = checkpoint.path_of(staged.log)
    with runlog.writing.RunLog.reopen(staged.log) as log:
        sink = programs.Sink(log, path, True, quiet, (24, 28, 3))
        run_of = runs.prepare(config.resolved(replace(staged, tv_weight=30.0)), say=quiet).planned()
        course = [
            programs.build(stage, run_of.method, run_of.plans[0], run_of.variants, number=0)
            for stage in run_of.stages[:2]
        ]
        with pytest.raises(checkpoint.OtherRun):
            programs._from_checkpoint(course, sink)


# The library


@pytest.fixture
def at(toy_fn, pictures):
    """(objective, weights, content) by the height of the content."""

    def made(height):
        shape = (height, height * 5 // 4, 3)
        content, style = (stages.resize(each[None], shape)[0] for each in pictures)
        targets = objective.compute_targets(
            toy_fn, content, style, content_layers=("deep",), style_layers=("shallow", "deep")
        )
        weights = objective.make_weights(targets, content=1.0, style=20.0, total_variation=1e-4)
        return objective.make_objective(toy_fn, targets), weights, content

    return made


def stage_of(objective, weights, content, num_steps=3, rate=1.0):
    return stages.Stage(objective, weights, content.shape, num_steps, rate)


def test_stages_in_the_library_are_runs_from_each_other_s_end(at):
    small, large = at(8), at(16)
    seen = []
    result = solve.stylize(
        large[0],
        large[2],
        large[1],
        num_steps=4,
        coarse=[stage_of(*small, rate=2.0)],
        on_chunk=lambda chunk: seen.append(chunk.state.image.shape),
    )
    first = solve.stylize(
        small[0],
        stages.resize(large[2][None], small[2].shape)[0],
        small[1],
        num_steps=3,
        learning_rate=0.04,
    )
    start = stages.resize(jnp.asarray(first.image)[None], large[2].shape)[0]
    last = solve.stylize(large[0], start, large[1], num_steps=4)
    np.testing.assert_array_equal(result.image, last.image)
    totals = np.concatenate([first.history.terms.total, last.history.terms.total])
    np.testing.assert_array_equal(result.history.terms.total, totals)
    assert int(result.state.step[0]) == 7
    assert list(dict.fromkeys(seen)) == [(1, 8, 10, 3), (1, 16, 20, 3)]


def test_a_warm_optimizer_goes_on_in_the_library(at):
    small, large = at(8), at(16)
    coarse = [stage_of(*small)]
    warm = optimizers.named("adam")._replace(resize=optimizers.warm)
    cold, carried = (
        solve.sweep(
            large[0],
            large[2],
            large[1],
            learning_rates=[0.02, 0.05],
            num_steps=2,
            coarse=coarse,
            average=0.5,
            optimizer=each,
        )
        for each in ("adam", warm)
    )
    np.testing.assert_array_equal(cold.history.terms.total[:4], carried.history.terms.total[:4])
    assert np.all(cold.history.terms.total[4:] != carried.history.terms.total[4:])


def test_a_variant_that_diverges_early_ends_with_a_picture_of_the_last_size(at):
    small, large = at(8), at(16)

    def broken(image, weights):
        total, terms = small[0](image, weights)
        return total * jnp.nan, terms._replace(total=total * jnp.nan)

    result = solve.stylize(
        large[0], large[2], large[1], coarse=[stage_of(broken, *small[1:])], num_steps=2
    )
    assert int(result.state.diverged_step[0]) == 0
    assert result.image.shape == large[2].shape


@pytest.mark.parametrize(
    ("changed", "options", "words"),
    [
        ({}, {"tolerance": 0.1}, "`tolerance` ends a run of one size: leave it or `coarse` out"),
        ({"shape": (8, 10)}, {}, r"must be \(height, width, 3\), got \(8, 10\)"),
        ({"num_steps": 0}, {}, "number of steps must be at least 1"),
        ({"rate": 0.0}, {}, "learning rate must be positive"),
    ],
)
def test_stages_with_which_no_run_can_work_are_refused(at, changed, options, words):
    small, large = at(8), at(16)
    coarse = [stage_of(*small)._replace(**changed)]
    with pytest.raises(ValueError, match=words):
        solve.stylize(large[0], large[2], large[1], coarse=coarse, **options)
