"""Both drivers against a loop written by hand, and what happens to a variant that diverges."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nst_jax import driver, objective, optimizers, solve, terms, vgg
from nst_jax.terms import Losses, Weights

DRIVERS = ["python", "scan"]
FIRST_ORDER = ["adam", "rmsprop", "adagrad", "sgd"]
RATES = {"adam": 0.02, "rmsprop": 0.02, "adagrad": 1.0, "sgd": 3.0, "lbfgs": 1.0}
PROGRAMS = {"python": "step_variants", "scan": "_scan_steps"}


def hyperparameters(weights, rates):
    """One variant a learning rate; `weights` for all, or a list with those of each."""
    each = weights if isinstance(weights, list) else [weights] * len(rates)
    stacked = jax.tree.map(lambda *x: jnp.stack([jnp.asarray(y) for y in x]), *each)
    return driver.Hyperparameters(jnp.asarray(rates, jnp.float32), stacked)


# Most tests run three variants in chunks of three steps: they share a few compiled programs.
def run(toy, weights, image, rates, *, optimizer="adam", num_steps=6, chunk_length=3, **options):
    """The chunks of a run from one image with one variant a rate."""
    optimizer = optimizers.as_optimizer(optimizer)
    hyper = hyperparameters(weights, rates)
    images = jnp.broadcast_to(image, (len(rates), *image.shape))
    state = driver.init_state(images, optimizer, hyper)
    chunks = driver.run_chunks(
        toy,
        hyper,
        state,
        optimizer=optimizer,
        num_steps=num_steps,
        chunk_length=chunk_length,
        **options,
    )
    # A state is donated to the next chunk: keep a copy.
    return [chunk._replace(state=jax.device_get(chunk.state)) for chunk in chunks]


def rates_of(name):
    """Three rates that descend."""
    return [RATES[name], RATES[name] / 2, RATES[name] / 4]


def history_of(chunks):
    return driver.concatenate([chunk.history for chunk in chunks])


def totals_of(chunks):
    return history_of(chunks).terms.total


def assert_same_bytes(actual, expected):
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


def terms_of(total):
    """Loss terms of an objective that has but a total."""
    zero = jnp.zeros(())
    return Losses(total, {"content": zero, "style": zero}, {"style": jnp.zeros(1)})


WEIGHTS = Weights(
    {"content": np.float32(1), "style": np.float32(1)}, {"style": np.ones(1, np.float32)}
)


@jax.tree_util.Partial
def bright(image, weights):
    """Smallest where all pixels are 1.5: outside of the pictures."""
    total = weights.terms["content"] * jnp.sum(jnp.square(image - 1.5))
    return total, terms_of(total)


@jax.tree_util.Partial
def falls_off(image, weights):
    """A constant slope toward black, and no loss at all once the picture is darker than 0.3."""
    total = weights.terms["content"] * jnp.sum(image)
    total = jnp.where(jnp.mean(image) < 0.3, jnp.nan, total)
    return total, terms_of(total)


@jax.tree_util.Partial
def flat(image, weights):
    """The same loss everywhere."""
    total = 7 * weights.terms["content"] + 0 * jnp.sum(image)
    return total, terms_of(total)


def breaks_at_step_three(rate):
    """Gradient descent that gives NaN in its fourth update if the rate is above 0.5."""

    def update(updates, count, params=None):
        del params
        broken = (count == 3) & (rate > 0.5)
        return jax.tree.map(lambda g: jnp.where(broken, jnp.nan, -1e-3 * g), updates), count + 1

    return optax.GradientTransformation(lambda params: jnp.zeros((), jnp.int32), update)


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_a_row_is_of_the_image_before_its_update(toy_objective, name):
    toy, weights, image = toy_objective
    result = solve.stylize(
        toy, image, weights, optimizer=name, learning_rate=RATES[name], num_steps=6
    )
    optimizer = optimizers.named(name).transformation(RATES[name])
    opt_state = optimizer.init(image)

    @jax.jit
    def step_by_hand(image, opt_state):
        (total, terms), grad = jax.value_and_grad(toy, has_aux=True)(image, weights)
        updates, opt_state = optimizer.update(grad, opt_state, image)
        moved = jnp.clip(optax.apply_updates(image, updates), 0, 1)
        norms = jnp.linalg.norm(grad.ravel()), jnp.linalg.norm((moved - image).ravel())
        return total, terms, norms, moved, opt_state

    for i in range(6):
        total, terms, norms, image, opt_state = step_by_hand(image, opt_state)
        row = jax.tree.map(lambda x, i=i: x[i], result.history)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), row.terms, terms)
        np.testing.assert_allclose(row.terms.total, total, rtol=1e-5)
        np.testing.assert_allclose((row.grad_norm, row.update_norm), norms, rtol=1e-4)
        assert row.evaluations == 1
    np.testing.assert_allclose(result.image, image, atol=1e-5)


# With the most state and with none.
@pytest.mark.parametrize("name", ["adam", pytest.param("sgd", marks=pytest.mark.slow)])
def test_both_drivers_give_the_same_losses(toy_objective, name):
    toy, weights, image = toy_objective
    of_python, of_scan = (
        totals_of(run(toy, weights, image, rates_of(name), optimizer=name, driver=which))
        for which in DRIVERS
    )
    np.testing.assert_allclose(of_scan[:5], of_python[:5], rtol=1e-5)


@pytest.mark.slow
def test_both_drivers_give_the_same_losses_of_a_network(vgg_params, pictures):
    layers = {"content_layers": ("relu2_1",), "style_layers": ("relu1_1", "relu2_1")}
    fn = vgg.feature_fn(vgg_params, ["relu1_1", "relu2_1"])
    targets = objective.compute_targets(fn, *pictures, **layers)
    network, weights = objective.make_objective(fn, targets), objective.make_weights(targets)
    start = pictures[0] * 0.5
    of_python, of_scan = (
        totals_of(run(network, weights, start, [0.02], num_steps=20, driver=which))
        for which in DRIVERS
    )
    np.testing.assert_allclose(of_scan[:5], of_python[:5], rtol=1e-5)
    np.testing.assert_allclose(of_scan, of_python, rtol=4e-4)


@pytest.mark.parametrize("which", DRIVERS)
def test_a_second_run_gives_the_same_bytes(toy_objective, which):
    toy, weights, image = toy_objective
    first, second = (run(toy, weights, image, rates_of("adam"), driver=which) for _ in range(2))
    assert_same_bytes(history_of(second), history_of(first))
    assert_same_bytes(second[-1].state, first[-1].state)


@pytest.mark.parametrize("which", DRIVERS)
@pytest.mark.parametrize("chunk_length", [2, 10])
def test_the_length_of_chunks_changes_nothing(rng, which, chunk_length):
    """Seven steps: the last scanned chunk is longer than what is left of the run."""
    image = jnp.asarray(rng.uniform(size=(4, 4, 3)), jnp.float32)
    options = {"num_steps": 7, "driver": which}
    whole = run(bright, WEIGHTS, image, rates_of("adam"), chunk_length=3, **options)
    chunks = run(bright, WEIGHTS, image, rates_of("adam"), chunk_length=chunk_length, **options)
    lengths = [len(chunk.history.grad_norm) for chunk in chunks]
    assert lengths == [min(chunk_length, 7 - i) for i in range(0, 7, chunk_length)]
    assert [len(chunk.seconds) for chunk in chunks] == lengths
    np.testing.assert_allclose(totals_of(chunks), totals_of(whole), rtol=1e-5)
    np.testing.assert_allclose(chunks[-1].state.image, whole[-1].state.image, atol=1e-5)
    np.testing.assert_array_equal(chunks[-1].state.step, [7, 7, 7])


def test_a_scanned_run_that_goes_on_inside_a_chunk_compiles_nothing(
    toy_objective, count_compilations
):
    toy, weights, image = toy_objective
    whole = run(toy, weights, image, rates_of("adam"), num_steps=6, driver="scan")
    first = run(toy, weights, image, rates_of("adam"), num_steps=4, driver="scan")
    with count_compilations("_scan_steps") as compiled:
        rest = driver.run_chunks(
            toy,
            hyperparameters(weights, rates_of("adam")),
            jax.device_put(first[-1].state),
            optimizer=optimizers.named("adam"),
            num_steps=6,
            chunk_length=3,
            driver="scan",
        )
        rest = [chunk._replace(state=jax.device_get(chunk.state)) for chunk in rest]
    assert not compiled
    assert [len(chunk.seconds) for chunk in rest] == [2]
    assert_same_bytes(history_of(first + rest), history_of(whole))


@pytest.mark.parametrize("which", DRIVERS)
def test_seconds_count_up_over_the_whole_run(toy_objective, which):
    toy, weights, image = toy_objective
    chunks = run(toy, weights, image, rates_of("adam"), num_steps=7, driver=which)
    seconds = np.concatenate([chunk.seconds for chunk in chunks])
    assert np.all(np.diff(seconds, prepend=0) > 0)


@pytest.mark.parametrize("which", DRIVERS)
@pytest.mark.parametrize("name", ["adam", pytest.param("lbfgs", marks=pytest.mark.slow)])
def test_a_run_that_is_resumed_gives_the_same_bytes(toy_objective, name, which):
    toy, weights, image = toy_objective
    options = {"optimizer": name, "driver": which}
    whole = run(toy, weights, image, rates_of(name), num_steps=6, **options)
    first = run(toy, weights, image, rates_of(name), num_steps=3, **options)
    rest = driver.run_chunks(
        toy,
        hyperparameters(weights, rates_of(name)),
        jax.device_put(first[-1].state),
        optimizer=optimizers.named(name),
        num_steps=6,
        chunk_length=3,
        driver=which,
    )
    rest = [chunk._replace(state=jax.device_get(chunk.state)) for chunk in rest]
    assert_same_bytes(history_of(first + rest), history_of(whole))
    assert_same_bytes(rest[-1].state, whole[-1].state)


@pytest.mark.parametrize("name", [*FIRST_ORDER, pytest.param("lbfgs", marks=pytest.mark.slow)])
def test_losses_fall(toy_objective, name):
    toy, weights, image = toy_objective
    totals = totals_of(run(toy, weights, image, rates_of(name), optimizer=name, num_steps=30))
    assert totals.shape == (30, 3)
    assert np.all(totals[-1] < 0.9 * totals[0])
    assert totals[-1, 0] < 0.6 * totals[0, 0]


@pytest.mark.parametrize("which", DRIVERS)
@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_pixels_are_clipped_after_each_step(name, which):
    image = jnp.full((4, 4, 3), 0.9)
    chunks = run(bright, WEIGHTS, image, [10.0], optimizer=name, chunk_length=1, driver=which)
    for chunk in chunks:
        np.testing.assert_array_equal(chunk.state.image, np.ones((1, 4, 4, 3)))
    # 48 pixels moved by 0.1, then none: norms are of what the image did.
    norms = history_of(chunks).update_norm[:, 0]
    np.testing.assert_allclose(norms, [0.1 * np.sqrt(48), 0, 0, 0, 0, 0], rtol=1e-5)


@pytest.mark.parametrize("which", DRIVERS)
@pytest.mark.slow
def test_lbfgs_is_clipped_at_the_end_only(which):
    result = solve.stylize(
        bright, jnp.full((4, 4, 3), 0.9), WEIGHTS, optimizer="lbfgs", num_steps=3, driver=which
    )
    np.testing.assert_allclose(result.state.image, np.full((1, 4, 4, 3), 1.5), rtol=1e-4)
    np.testing.assert_array_equal(result.image, np.ones((4, 4, 3)))


@pytest.mark.parametrize("which", DRIVERS)
@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("adam", "rate"),
        ("adam", "weight"),
        pytest.param("lbfgs", "weight", marks=pytest.mark.slow),
    ],
)
def test_a_bad_rate_or_weight_is_not_noticed_by_the_neighbors(toy_objective, name, bad, which):
    toy, weights, image = toy_objective
    rates, each_weights = rates_of(name), [weights] * 3
    options = {"optimizer": name, "driver": which}
    healthy = run(toy, each_weights, image, rates, **options)
    if bad == "rate":
        rates[1] = float("nan")
    else:
        each_weights[1] = weights.with_terms(style=np.float32(np.inf))
    sick = run(toy, each_weights, image, rates, **options)
    np.testing.assert_array_equal(sick[-1].state.diverged_step, [-1, 0, -1])
    np.testing.assert_array_equal(sick[-1].state.image[1], image)
    for lane in (0, 2):
        pick = partial(jax.tree.map, lambda x, lane=lane: x[:, lane])
        assert_same_bytes(pick(history_of(sick)), pick(history_of(healthy)))
        pick = partial(jax.tree.map, lambda x, lane=lane: x[lane])
        assert_same_bytes(pick(sick[-1].state), pick(healthy[-1].state))


@pytest.mark.parametrize("which", DRIVERS)
def test_an_update_that_is_nan_freezes_the_image_before_it(rng, which):
    image = jnp.asarray(rng.uniform(size=(4, 4, 3)), jnp.float32)
    options = {"optimizer": breaks_at_step_three, "driver": which}
    sound = run(bright, WEIGHTS, image, [0.1, 0.1], num_steps=3, **options)
    chunks = run(bright, WEIGHTS, image, [0.1, 0.9], num_steps=8, **options)
    state, history = chunks[-1].state, history_of(chunks)
    np.testing.assert_array_equal(state.diverged_step, [-1, 3])
    np.testing.assert_array_equal(state.step, [8, 4])
    np.testing.assert_array_equal(state.image[1], sound[-1].state.image[1])
    assert np.all(np.isfinite(history.terms.total[:, 0]))
    assert np.all(np.isfinite(history.terms.total[:4, 1]))
    for series in (*jax.tree.leaves(history.terms), history.grad_norm, history.update_norm):
        assert np.all(np.isnan(series[4:, 1]))
    np.testing.assert_array_equal(history.evaluations, [[1, 1]] * 4 + [[1, 0]] * 4)


@pytest.mark.parametrize("which", DRIVERS)
def test_a_loss_that_is_nan_restores_the_last_image_with_a_loss(which):
    """From 0.42 by 0.05 a step: 0.42, 0.37, 0.32 have a loss, 0.27 has none."""
    start = jnp.full((4, 4, 3), 0.42)
    chunks = run(falls_off, WEIGHTS, start, [0.05, 1e-3], optimizer="sgd", driver=which)
    state, totals = chunks[-1].state, totals_of(chunks)
    np.testing.assert_array_equal(state.diverged_step, [3, -1])
    np.testing.assert_allclose(state.image[0], np.full((4, 4, 3), 0.32), rtol=1e-5)
    np.testing.assert_allclose(totals[:3, 0], 48 * np.array([0.42, 0.37, 0.32]), rtol=1e-5)
    assert np.all(np.isnan(totals[3:, 0]))
    np.testing.assert_array_equal(driver.pictures(state), state.image)


@pytest.mark.parametrize("which", DRIVERS)
def test_a_run_ends_when_every_variant_has_diverged(which):
    chunks = run(
        bright,
        WEIGHTS,
        jnp.full((4, 4, 3), 0.5),
        [0.9, 0.8],
        optimizer=breaks_at_step_three,
        num_steps=50,
        driver=which,
    )
    # Three steps, the one in which the last variant diverges, and no row after it.
    assert [len(chunk.history.grad_norm) for chunk in chunks] == [3, 1]


def test_stylize_returns_the_last_good_image():
    start = jnp.full((4, 4, 3), 0.42)
    result = solve.stylize(
        falls_off, start, WEIGHTS, optimizer="sgd", learning_rate=0.05, num_steps=9
    )
    assert result.state.diverged_step == 3
    np.testing.assert_allclose(result.image, np.full((4, 4, 3), 0.32), rtol=1e-5)


@pytest.mark.parametrize("which", DRIVERS)
@pytest.mark.parametrize("name", ["adam", pytest.param("lbfgs", marks=pytest.mark.slow)])
def test_a_variant_runs_as_it_does_alone(toy_objective, name, which):
    toy, weights, image = toy_objective
    heavy = weights.with_terms(style=np.float32(50))
    options = {"optimizer": name, "driver": which}
    variants = list(zip([weights, weights, heavy], rates_of(name), strict=True))
    each_weights, rates = (list(x) for x in zip(*variants, strict=True))
    together = totals_of(run(toy, each_weights, image, rates, **options))
    for lane, (weight, rate) in enumerate(variants):
        alone = totals_of(run(toy, weight, image, [rate], **options))
        np.testing.assert_allclose(together[:5, lane], alone[:5, 0], rtol=1e-5)


def test_stylize_is_a_run_with_one_variant(toy_objective):
    toy, weights, image = toy_objective
    result = solve.stylize(toy, image, weights, learning_rate=0.05, num_steps=5)
    chunks = run(toy, weights, image, [0.05], num_steps=5)
    np.testing.assert_array_equal(result.image, chunks[-1].state.image[0])
    assert_same_bytes(result.history, jax.tree.map(lambda x: x[:, 0], history_of(chunks)))


def test_stylize_shows_each_chunk(toy_objective):
    toy, weights, image = toy_objective
    seen = []
    result = solve.stylize(
        toy,
        image,
        weights,
        learning_rate=0.05,
        num_steps=25,
        tolerance=0.0,
        on_chunk=lambda chunk: seen.append((chunk.history, driver.pictures(chunk.state)[0])),
    )
    assert len(seen) > 1
    np.testing.assert_array_equal(seen[-1][1], result.image)
    assert_same_bytes(
        result.history,
        jax.tree.map(lambda x: x[:, 0], driver.concatenate([history for history, _ in seen])),
    )


def test_stylize_takes_any_optax_transformation():
    result = solve.stylize(
        bright,
        jnp.full((4, 4, 3), 0.5),
        WEIGHTS,
        optimizer=optax.sign_sgd,
        learning_rate=0.01,
        num_steps=10,
    )
    np.testing.assert_allclose(result.image, np.full((4, 4, 3), 0.6), rtol=1e-5)


def test_losses_of_are_those_of_the_given_images(toy_objective):
    toy, weights, image = toy_objective
    hyper = hyperparameters([weights, weights.with_terms(style=np.float32(3))], [0.1, 0.1])
    images = jnp.stack([image, image / 2])
    terms = driver.losses_of(toy, hyper, np.asarray(images))
    for i, style in enumerate((20, 3)):
        _, expected = toy(images[i], weights.with_terms(style=np.float32(style)))
        actual = jax.tree.map(lambda x, i=i: x[i], terms)
        # The content term of the content image is zero but for rounding.
        close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-12)
        jax.tree.map(close, actual, expected)


@pytest.mark.parametrize("name", ["adam", "rmsprop", "lbfgs"])
def test_the_last_losses_are_those_of_the_images_and_compile_nothing(
    toy_objective, name, count_compilations
):
    toy, weights, image = toy_objective
    hyper = hyperparameters([weights, weights.with_terms(style=np.float32(3))], [0.1, 0.1])
    images = jnp.stack([image, image / 2])
    options = {"optimizer": optimizers.named(name), "driver": "python"}
    state = driver.init_state(images, options["optimizer"], hyper)
    chunks = driver.run_chunks(toy, hyper, state, num_steps=2, chunk_length=2, **options)
    (state,) = (chunk.state for chunk in chunks)
    # Neither the steps that are done nor a divergence leave the terms out.
    state = state._replace(diverged_step=jnp.array([-1, 1], jnp.int32))
    expected = driver.losses_of(toy, hyper, images)
    with count_compilations("step_variants") as steps, count_compilations("evaluate") as others:
        found = driver.losses_at_end(toy, hyper, state, np.asarray(images), **options)
    assert not (*steps, *others)
    # The content term of the content image is zero but for rounding.
    close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-12)
    jax.tree.map(close, found, expected)


def test_the_init_image_survives_a_run(toy_objective):
    """The state is donated: its buffers must be its own."""
    toy, weights, image = toy_objective
    before = np.array(image)
    solve.stylize(toy, image, weights, num_steps=2)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("chunk_length", [5, 7, 20, 50])
def test_a_flat_objective_ends_the_run_after_twenty_steps(chunk_length):
    chunks = run(
        flat,
        WEIGHTS,
        jnp.full((2, 2, 3), 0.5),
        [0.1],
        num_steps=100,
        chunk_length=chunk_length,
        tolerance=0.0,
    )
    assert len(history_of(chunks).grad_norm) == -(-20 // chunk_length) * chunk_length


def test_convergence_of_a_resumed_run_counts_the_steps_before():
    start = jnp.full((2, 2, 3), 0.5)
    past = np.full((15, 1), 7.0, np.float32)
    chunks = run(flat, WEIGHTS, start, [0.1], num_steps=100, tolerance=0.0, totals=past)
    assert len(chunks) == 2


def test_without_tolerance_a_flat_objective_runs_all_steps():
    result = solve.stylize(flat, jnp.full((2, 2, 3), 0.5), WEIGHTS, num_steps=60)
    assert len(result.history.grad_norm) == 60


@pytest.mark.parametrize(
    ("totals", "converged"),
    [
        (np.ones((19, 1)), False),
        (np.ones((20, 1)), True),
        (np.repeat([[1.0], [0.98]], 10, axis=0), False),
        (np.repeat([[1.0], [0.995]], 10, axis=0), True),
        (np.repeat([[1.0], [2.0]], 10, axis=0), True),
        (np.repeat([[9.0], [1.0], [0.995]], 10, axis=0), True),
        (np.repeat([[1.0, 1.0], [1.0, 0.5]], 10, axis=0), False),
        (np.repeat([[1.0, np.nan], [1.0, np.nan]], 10, axis=0), True),
    ],
    ids=[
        "19 steps",
        "20 steps",
        "fell by 2 %",
        "fell by half a percent",
        "rose",
        "fell long ago",
        "one variant falls",
        "one variant diverged",
    ],
)
def test_convergence_compares_the_means_of_ten_steps(totals, converged):
    assert driver.has_converged(totals, 0.01) == converged


@pytest.mark.parametrize("snapshot_every", [1, 7, 10, 49, 60, 1000])
def test_a_chunk_divides_the_period_of_snapshots(toy_objective, snapshot_every):
    length = chunk_length_of(toy_objective, num_steps=1000, snapshot_every=snapshot_every)
    assert snapshot_every % length == 0
    assert 1 <= length <= driver.MAX_CHUNK_LENGTH
    larger = range(length + 1, driver.MAX_CHUNK_LENGTH + 1)
    assert not any(snapshot_every % n == 0 for n in larger)


@pytest.mark.parametrize("num_steps", [1, 49, 50, 51, 250, 999])
def test_chunks_are_even(toy_objective, num_steps):
    length = chunk_length_of(toy_objective, num_steps=num_steps)
    count = -(-num_steps // length)
    assert length <= driver.MAX_CHUNK_LENGTH
    assert count * length - num_steps < count


def chunk_length_of(toy_objective, **options):
    toy, weights, image = toy_objective
    optimizer = optimizers.named("adam")
    hyper = hyperparameters(weights, [0.1])
    state = driver.init_state(image[None], optimizer, hyper)
    return driver.default_chunk_length(toy, hyper, state, optimizer=optimizer, **options)


def test_expensive_steps_make_short_chunks(vgg_params):
    """A step at 256 pixels is 1.2e11 operations, half a second of a CPU."""
    fn = vgg.feature_fn(vgg_params, ["relu5_2"])
    side = 256

    @jax.tree_util.Partial
    def network(image, weights):
        total = weights.terms["content"] * jnp.sum(fn(image)["relu5_2"])
        return total, terms_of(total)

    optimizer = optimizers.named("sgd")
    hyper = hyperparameters(WEIGHTS, [0.1])
    state = driver.init_state(jnp.zeros((1, side, side, 3)), optimizer, hyper)
    one, many = (
        driver.default_chunk_length(
            network, hyper, state, optimizer=optimizer, num_steps=1000, lanes=lanes
        )
        for lanes in (1, 100)
    )
    assert many == 1 < one <= 10


@pytest.mark.parametrize("which", DRIVERS)
def test_new_learning_rates_and_weights_compile_nothing(toy_objective, which, count_compilations):
    toy, weights, image = toy_objective
    with count_compilations(PROGRAMS[which]) as compiled:
        for i, rates in enumerate(([0.01, 0.5, 1.0], [0.02, 3.0, 9.0], [1e-4, 0.1, 7.0])):
            other = weights.with_terms(style=np.float32(i), total_variation=np.float32(i / 10))
            run(toy, other, image, rates, driver=which)
    # None if another test has compiled the program already.
    assert len(compiled) <= 1


@pytest.mark.parametrize(
    ("name", "which", "program"),
    [
        ("rmsprop", "python", "step_variants"),
        ("rmsprop", "scan", "_scan_steps"),
        ("lbfgs", "python", "evaluate"),
    ],
)
@pytest.mark.slow
def test_a_program_compiled_ahead_is_found(name, which, program, count_compilations):
    # A size of its own: the program of another test would be found.
    image = jnp.full((3, 5, 3), 0.5)
    hyper = hyperparameters(WEIGHTS, [0.1])
    optimizer = optimizers.named(name)
    state = driver.init_state(image[None], optimizer, hyper)
    options = {"optimizer": optimizer, "chunk_length": 4, "driver": which}
    with count_compilations(program) as compiled:
        ahead = driver.compile_ahead(bright, hyper, state, **options)
        assert len(compiled) == 1
        list(driver.run_chunks(bright, hyper, state, num_steps=4, **options))
    assert len(compiled) == 1
    assert ahead.seconds > 0
    assert ahead.bytes > 0


CALLS = []


@jax.tree_util.Partial
def valley(image, weights):
    """Rosenbrock's, whose line searches take several tries; notes each evaluation in CALLS."""
    jax.debug.callback(CALLS.append, image)
    x = image.ravel()
    total = jnp.sum(100 * jnp.square(x[1:] - x[:-1] ** 2) + jnp.square(1 - x[:-1]))
    return weights.terms["content"] * total, terms_of(weights.terms["content"] * total)


def run_through_valley(which):
    """The history, and where the objective was evaluated for it."""
    CALLS.clear()
    chunks = run(valley, WEIGHTS, jnp.zeros((2, 2, 3)), [1.0], optimizer="lbfgs", driver=which)
    jax.effects_barrier()
    return history_of(chunks), [np.asarray(point) for point in CALLS]


@pytest.mark.parametrize("which", ["python", pytest.param("scan", marks=pytest.mark.slow)])
def test_evaluations_of_lbfgs_are_those_that_were_made(which):
    history, points = run_through_valley(which)
    assert history.evaluations.sum() == len(points)
    # Some step needed more than its first try.
    assert history.evaluations.max() > 2


def test_lbfgs_driven_from_python_evaluates_no_point_twice():
    _, points = run_through_valley("python")
    assert len({point.tobytes() for point in points}) == len(points)


@pytest.mark.slow
def test_both_drivers_of_lbfgs_agree(toy_objective):
    toy, weights, image = toy_objective
    of_python, of_scan = (
        history_of(
            run(toy, weights, image, rates_of("lbfgs"), optimizer="lbfgs", driver=which)
        ).terms.total
        for which in DRIVERS
    )
    np.testing.assert_allclose(of_scan, of_python, rtol=1e-4)
    np.testing.assert_allclose(of_scan[:3], of_python[:3], rtol=1e-5)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"num_steps": 0}, "number of steps must be at least 1"),
        ({"num_steps": -5}, "number of steps"),
        ({"num_steps": 2.5}, "number of steps"),
        ({"num_steps": driver.MAX_STEPS + 1}, "number of steps"),
        ({"learning_rate": 0.0}, "learning rate must be positive"),
        ({"learning_rate": -0.1}, "learning rate must be positive"),
        ({"learning_rate": float("nan")}, "learning rate must be positive"),
        ({"learning_rate": float("inf")}, "learning rate must be positive"),
        ({"learning_rate": 1e60}, "learning rate must be positive"),
        ({"learning_rate": 1e-60}, "learning rate must be positive"),
        ({"tolerance": -1e-3}, "tolerance must be"),
        ({"tolerance": float("nan")}, "tolerance must be"),
        ({"optimizer": "adamw"}, "adam, rmsprop, adagrad, sgd, lbfgs"),
        ({"driver": "loop"}, "python, scan"),
    ],
    ids=lambda x: repr(x) if isinstance(x, dict) else "",
)
@pytest.mark.usefixtures("unchecked")
def test_stylize_refuses_a_setting_with_which_no_run_can_work(toy_objective, setting, message):
    toy, weights, image = toy_objective
    with pytest.raises(ValueError, match=message):
        solve.stylize(toy, image, weights, **setting)


@pytest.mark.parametrize(
    ("backend", "expected"), [("cpu", "python"), ("gpu", "scan"), ("tpu", "scan")]
)
def test_steps_are_called_from_python_on_a_cpu_and_scanned_elsewhere(
    backend, expected, monkeypatch
):
    monkeypatch.setattr("jax.default_backend", lambda: backend)
    assert driver.default_driver() == expected


@pytest.mark.parametrize("name", [*FIRST_ORDER, pytest.param("lbfgs", marks=pytest.mark.slow)])
def test_in_gray_an_image_stays_gray(toy_objective, name):
    toy, weights, image = toy_objective
    start = jnp.broadcast_to(image[..., :1], image.shape)
    chunks = run(terms.in_gray(toy), weights, start, rates_of(name), optimizer=name)
    end = driver.pictures(chunks[-1].state)
    np.testing.assert_allclose(end, np.broadcast_to(end[..., :1], end.shape), atol=1e-6)
    totals = totals_of(chunks)
    assert np.all(totals[-1] < totals[0])


def test_an_optimizer_of_ones_own_gets_what_it_needs(toy_objective):
    """The README promises any optax transformation: some need the loss beside the gradient."""
    toy, weights, image = toy_objective
    start = jnp.clip(image + 0.3, 0, 1)
    result = solve.stylize(toy, start, weights, optimizer=optax.polyak_sgd, num_steps=4)
    assert np.isfinite(result.history.terms.total).all()
    assert result.history.terms.total[-1] < result.history.terms.total[0]
