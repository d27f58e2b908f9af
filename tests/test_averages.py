"""The average of images that a run ends with: its formula, its end, and going on."""

import signal
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nst_jax import averages, driver, image, optimizers, runlog, runs, solve
from nst_jax.steps import Hyperparameters, init_state


def quiet(line):
    del line


def run(settings, **options):
    return runs.stylize_files(settings, say=quiet, progress=False, **options).record


def by_the_formula(images, factor):
    total = np.zeros_like(images[0], np.float64)
    for each in images:
        total = factor * total + (1 - factor) * each
    return total / (1 - factor ** len(images))


def images_of(objective, content, weights, **settings):
    """The image after each step, and the result."""
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "MAX_CHUNK_LENGTH", 1)
        result = solve.stylize(
            objective,
            content,
            weights,
            on_chunk=lambda chunk: seen.append(np.asarray(chunk.state.image[0])),
            **settings,
        )
    return seen, result


@pytest.mark.parametrize("name", ["adam", "lbfgs"])
def test_the_result_is_the_average_of_all_images(toy_objective, name):
    objective, weights, content = toy_objective
    settings = {"optimizer": name, "num_steps": 4, "learning_rate": 0.05}
    images, result = images_of(objective, content, weights, average=0.7, **settings)
    assert len(images) == 4
    expected = np.clip(by_the_formula(images, 0.7), 0, 1)
    np.testing.assert_allclose(result.image, expected, atol=1e-6)
    assert not np.allclose(result.image, np.clip(images[-1], 0, 1), atol=1e-3)
    plain, _ = images_of(objective, content, weights, **settings)
    # The average is looked at; the optimizer goes its own way.
    np.testing.assert_allclose(images[-1], plain[-1], atol=1e-6)


def test_a_factor_of_0_leaves_the_last_image(toy_objective):
    objective, weights, content = toy_objective
    images, result = images_of(objective, content, weights, num_steps=3, average=0.0)
    np.testing.assert_array_equal(result.image, images[-1])


@pytest.mark.parametrize("factor", [1.0, -0.1, float("nan")])
def test_what_is_no_factor_is_refused(toy_objective, stylize, factor):
    objective, weights, content = toy_objective
    with pytest.raises(ValueError, match="factor from 0 up, below 1, got"):
        solve.stylize(objective, content, weights, average=factor)
    with pytest.raises(ValueError, match="factor from 0 up, below 1, got"):
        optimizers.as_optimizer(optimizers.named("sgd")._replace(average=factor))
    with pytest.raises(ValueError, match="factor from 0 up, below 1, got"):
        run(replace(stylize, average=factor))


def test_a_diverged_variant_ends_with_its_last_good_image(toy_objective):
    objective, weights, content = toy_objective

    def breaking(image, weights):
        total, terms = objective(image, weights)
        broken = jnp.where(jnp.abs(image - content).mean() > 0.03, jnp.nan, total)
        return broken, terms._replace(total=broken)

    settings = {"num_steps": 9, "learning_rate": 0.02}
    plain = solve.stylize(breaking, content, weights, **settings)
    result = solve.stylize(breaking, content, weights, average=0.9, **settings)
    assert int(plain.state.diverged_step[0]) > 0
    np.testing.assert_array_equal(result.image, plain.image)


def test_what_a_variant_without_average_has_is_as_before():
    images = np.zeros((2, 4, 4, 3), np.float32)
    state = init_state(images, optimizers.named("sgd"), Hyperparameters(np.ones(2), {}))
    assert state.average is None
    assert state.picture is state.image
    # Those that older checkpoints have, in their order.
    assert len(jax.tree.leaves(state)) == 4 + len(jax.tree.leaves(state.opt_state))


def test_the_weight_of_an_average_is_what_its_factor_leaves():
    average = averages.begin(jnp.zeros((1, 4, 4, 3)))
    one = averages.Average(average.image[0], average.weight[0])
    for _ in range(3):
        one = averages.update(one, jnp.ones((4, 4, 3)), 0.9)
    assert float(one.weight) == pytest.approx(1 - 0.9**3)
    np.testing.assert_allclose(one.image, 1, rtol=1e-6)


# Runs


@pytest.fixture
def averaged(stylize):
    return replace(stylize, average=0.8)


def test_the_log_has_the_losses_of_the_steps_and_the_average_at_its_end(averaged, monkeypatch):
    plain = run(replace(averaged, average=None))
    record = run(replace(averaged, snapshot_every=2))
    np.testing.assert_allclose(record.rows.total, plain.rows.total, rtol=1e-5)
    assert np.abs(record.images.astype(int) - plain.images).max() > 2
    np.testing.assert_array_equal(record.snapshots[-1], record.images)
    np.testing.assert_array_equal(image.to_uint8(image.load(averaged.output)), record.images[0])
    monkeypatch.setattr(driver, "MAX_CHUNK_LENGTH", 1)
    seen = []
    run(
        replace(averaged, average=None),
        on_chunk=lambda chunk: seen.append(driver.pictures(chunk.state)[0]),
    )
    expected = image.to_uint8(by_the_formula(seen, 0.8).astype(np.float32))
    assert np.abs(record.images[0].astype(int) - expected).max() <= 1
    assert record.final["total"][0] != plain.final["total"][0]


@pytest.mark.parametrize("last", [1, 3, 4, 6])
def test_interrupted_anywhere_it_ends_with_the_same_bytes(averaged, last, monkeypatch):
    """In a stage and at the seam, where the next stage begins with the average."""
    staged = replace(averaged, size=28, stages=("22:3", "28:4"), carry_state=True, init="content")
    whole = run(staged)
    monkeypatch.setattr(driver, "MAX_CHUNK_LENGTH", 1)

    def stop(chunk):
        if int(np.max(chunk.state.step)) == last:
            signal.raise_signal(signal.SIGTERM)

    log = staged.log.with_name("interrupted.h5")
    assert run(replace(staged, log=log), on_chunk=stop).status == "interrupted"
    assert runs.resume(log, say=quiet, progress=False).exit_code == 0
    record = runlog.load(log)
    np.testing.assert_array_equal(record.rows.total, whole.rows.total)
    np.testing.assert_array_equal(record.images, whole.images)


def test_more_steps_of_a_finished_run_and_its_repetition_have_the_same_bytes(averaged):
    run(replace(averaged, keep_state=True))
    assert runs.rerun(averaged.log, say=quiet, answer=quiet, progress=False).exit_code == 0
    assert runs.resume(averaged.log, steps=9, say=quiet, progress=False).exit_code == 0
    longer = runlog.load(averaged.log.with_name("run-9.h5"))
    np.testing.assert_array_equal(longer.images, run(replace(averaged, steps=9)).images)
