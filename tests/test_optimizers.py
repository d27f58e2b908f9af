"""The update rules against their formulas, and against Keras's recorded trajectories."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nst_jax import optimizers

GOLDEN = Path(__file__).parent / "golden" / "updates.npz"
SCALES = ["1e-6", "1e-3", "1", "1e4"]
RULES = ["adam", "rmsprop", "adagrad", "sgd"]
FORMS = ["keras", "report"]
RATE = 0.02
EPS = 1e-7


@pytest.fixture(scope="module")
def keras():
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


def adam(form, gradients, *, beta_1=0.9, beta_2=0.999, epsilon=EPS):
    m = v = np.zeros(gradients.shape[1:])
    for t, g in enumerate(gradients, start=1):
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        c1, c2 = 1 - beta_1**t, 1 - beta_2**t
        if form == "keras":
            yield RATE * np.sqrt(c2) / c1 * m / (np.sqrt(v) + epsilon)
        else:
            yield RATE * (m / c1) / np.sqrt(v / c2 + epsilon)


def rmsprop(form, gradients, *, decay=0.9, epsilon=EPS):
    v = np.zeros(gradients.shape[1:])
    for g in gradients:
        v = decay * v + (1 - decay) * g**2
        yield RATE * g / (np.sqrt(v + epsilon) if form == "keras" else np.sqrt(v) + epsilon)


def adagrad(form, gradients, *, initial=None, epsilon=EPS):
    start = {"keras": 0.1, "report": 0.0}[form] if initial is None else initial
    total = np.full(gradients.shape[1:], start)
    for g in gradients:
        total = total + g**2
        yield RATE * g / (np.sqrt(total + epsilon) if form == "keras" else np.sqrt(total) + epsilon)


def sgd(form, gradients):
    del form
    for g in gradients:
        yield RATE * g


FORMULAS = {"adam": adam, "rmsprop": rmsprop, "adagrad": adagrad, "sgd": sgd}


@partial(jax.jit, static_argnums=0)
def advance(optimizer, x, state, gradient):
    """One update: what is added, and what comes of it."""
    updates, state = optimizer.transformation(RATE).update(gradient, state, x)
    return updates, optax.apply_updates(x, updates), state


def run(optimizer, start, gradients):
    """Each update, and the image after it."""
    x, state = jnp.asarray(start), optimizer.transformation(RATE).init(jnp.asarray(start))
    steps, images = [], []
    for gradient in gradients:
        step, x, state = advance(optimizer, x, state, jnp.asarray(gradient))
        steps.append(np.asarray(step))
        images.append(np.asarray(x))
    return np.stack(steps), np.stack(images)


def displacements(optimizer, gradients):
    """Where the updates lead from zero; summed in float64, so that none is rounded off."""
    steps, _ = run(optimizer, np.zeros(gradients.shape[1:], np.float32), gradients)
    return np.cumsum(steps, axis=0, dtype=np.float64)


def trajectory(optimizer, start, gradients):
    """An image after each of its updates, in float32."""
    return run(optimizer, start, gradients)[1]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rule", RULES)
def test_forty_updates_follow_the_formula(keras, rule, form, scale, relative_error):
    gradients = keras[f"gradients/{scale}"]
    actual = displacements(optimizers.named(rule, form=form), gradients)
    expected = -np.cumsum(list(FORMULAS[rule](form, gradients.astype(np.float64))), axis=0)
    # In single precision, as in Keras, 1 - 0.999^t of the first steps has five digits.
    assert relative_error(actual, expected) < (1e-5 if rule == "adam" else 2e-7)


OTHERS = [
    ("adam", {"beta_1": 0.5}),
    ("adam", {"beta_2": 0.9}),
    ("adam", {"epsilon": 0.1}),
    ("rmsprop", {"decay": 0.5}),
    ("rmsprop", {"epsilon": 0.1}),
    ("adagrad", {"initial": 2.0}),
    ("adagrad", {"epsilon": 0.1}),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("rule", "constants"), OTHERS)
def test_other_constants_are_those_of_the_formula(keras, rule, constants, form, relative_error):
    gradients = keras["gradients/1"]
    optimizer = optimizers.named(rule, form=form, constants=constants)
    assert optimizer is optimizers.named(rule, form=form, constants=constants)
    actual = displacements(optimizer, gradients)
    expected = FORMULAS[rule](form, gradients.astype(np.float64), **constants)
    assert relative_error(actual, -np.cumsum(list(expected), axis=0)) < 1e-5
    common = displacements(optimizers.named(rule, form=form), gradients)
    assert relative_error(common, actual) > 0.01


def test_the_memory_of_lbfgs_is_that_of_its_state():
    optimizer = optimizers.named("lbfgs", constants={"memory": 3.0})
    state = optimizer.transformation(0.0).init(jnp.zeros((2, 2, 3)))
    assert optax.tree.get(state, "diff_params_memory").shape == (3, 2, 2, 3)


@pytest.mark.parametrize(
    ("name", "constant", "value", "words"),
    [
        ("adam", "decay", 0.9, "no constant 'decay' here; there are of adam: beta_1, beta_2"),
        ("sgd", "epsilon", 0.1, "there are of sgd: none"),
        ("adam", "beta_1", 1.0, "beta_1 must be from 0 to below 1, got 1.0"),
        ("adam", "beta_2", 1 - 1e-9, "beta_2 must be from 0 to below 1"),
        ("rmsprop", "epsilon", 1e-60, "epsilon must be above 0, got 1e-60"),
        ("rmsprop", "decay", -0.1, "decay must be from 0"),
        ("adagrad", "initial", float("nan"), "initial must be 0 or more, got nan"),
        ("lbfgs", "memory", 2.5, "memory must be a whole number"),
    ],
)
def test_a_constant_that_is_none_or_out_of_range_is_refused(name, constant, value, words):
    with pytest.raises(ValueError, match=words) as caught:
        optimizers.named(name, constants={constant: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("rule", RULES)
def test_forty_updates_follow_keras(keras, rule, scale, relative_error):
    actual = trajectory(optimizers.named(rule), keras["x0"], keras[f"gradients/{scale}"])
    assert relative_error(actual, keras[f"{rule}/{scale}"]) < 1e-6


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rule", RULES)
def test_a_zero_gradient_moves_nothing(rule, form):
    """The report's forms divide by sqrt(0) + eps: 0, not NaN."""
    actual = displacements(optimizers.named(rule, form=form), np.zeros((3, 4), np.float32))
    np.testing.assert_array_equal(actual, np.zeros((3, 4)))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rule", RULES)
def test_a_pixel_without_gradient_leaves_its_neighbors_alone(keras, rule, form):
    gradients = keras["gradients/1"]
    assert np.all(gradients[:, 5] == 0)
    actual = displacements(optimizers.named(rule, form=form), gradients)
    np.testing.assert_array_equal(actual[:, 5], np.zeros(40))
    assert np.all(np.isfinite(actual))


@pytest.mark.parametrize("rule", ["adam", "rmsprop", "adagrad"])
def test_forms_differ_at_small_gradients(keras, rule, relative_error):
    gradients = keras["gradients/1e-6"]
    printed, run = (displacements(optimizers.named(rule, form=form), gradients) for form in FORMS)
    assert relative_error(printed, run) > 0.1


@pytest.mark.parametrize("rule", ["adam", "rmsprop", "adagrad"])
def test_forms_agree_at_the_gradients_of_the_report(keras, rule, relative_error):
    gradients = keras["gradients/1e4"]
    gradients = np.where(gradients < 0, -1, 1) * np.maximum(np.abs(gradients), 1e3)
    printed, run = (
        trajectory(optimizers.named(rule, form=form), keras["x0"], gradients) for form in FORMS
    )
    assert relative_error(printed, run) < 1e-6


@pytest.mark.parametrize("rule", RULES)
def test_the_form_of_keras_is_the_default(keras, rule):
    gradients = keras["gradients/1e-3"][:3]
    default = displacements(optimizers.as_optimizer(getattr(optimizers, rule)), gradients)
    named = displacements(optimizers.named(rule, form="keras"), gradients)
    np.testing.assert_array_equal(default, named)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rule", RULES)
def test_any_grid_of_learning_rates_compiles_once(rule, form, count_compilations):
    make = optimizers.named(rule, form=form).transformation

    def two_updates(rate, x):
        optimizer = make(rate)
        state = optimizer.init(x)
        for _ in range(2):
            updates, state = optimizer.update(x, state, x)
        return updates

    updates = jax.jit(jax.vmap(two_updates, in_axes=(0, None)))
    x = jnp.arange(1.0, 5.0)
    with count_compilations("two_updates") as compiled:
        first = updates(jnp.array([0.01, 0.02, 0.04]), x)
        updates(jnp.array([0.3, 0.2, 0.1]), x)
    assert len(compiled) == 1
    np.testing.assert_allclose(first[1], 2 * first[0], rtol=1e-5)
    np.testing.assert_allclose(first[2], 4 * first[0], rtol=1e-5)


def rosenbrock(x):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def test_lbfgs_finds_the_minimum_of_rosenbrocks_valley():
    optimizer = optimizers.named("lbfgs").transformation(jnp.zeros(()))

    @jax.jit
    def advance(x, state):
        value, grad = jax.value_and_grad(rosenbrock)(x)
        updates, state = optimizer.update(
            grad, state, x, value=value, grad=grad, value_fn=rosenbrock
        )
        return optax.apply_updates(x, updates), state

    x = jnp.array([-1.2, 1.0, 0.5])
    state = optimizer.init(x)
    for _ in range(60):
        x, state = advance(x, state)
    np.testing.assert_allclose(x, np.ones(3), atol=1e-3)


def test_lbfgs_alone_searches_and_has_no_rate():
    rows = {name: optimizers.named(name) for name in [*RULES, "lbfgs"]}
    assert [name for name, row in rows.items() if row.line_search] == ["lbfgs"]
    assert [name for name, row in rows.items() if not row.has_rate] == ["lbfgs"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", [*RULES, "lbfgs"])
def test_an_optimizer_is_equal_to_itself_asked_for_again(name, form):
    """It is a static argument of compiled programs: another one would compile again."""
    one, other = (optimizers.named(name, form=form) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)


@pytest.mark.parametrize("name", ["adam", "lbfgs"])
def test_after_a_resize_the_state_is_that_of_a_new_start(name):
    optimizer = optimizers.named(name)
    old, fresh = (
        optimizer.transformation(RATE).init(jnp.full((side, side, 3), 0.5)) for side in (2, 4)
    )
    assert optimizer.resize(fresh, old) is fresh


def test_what_a_caller_gives_becomes_an_optimizer():
    made = optimizers.Optimizer(optax.adam)
    assert optimizers.as_optimizer("adam") == optimizers.named("adam")
    assert optimizers.as_optimizer(optax.adam) == made
    assert optimizers.as_optimizer(made) is made


def test_the_same_schedule_makes_equal_optimizers():
    cosine = optax.cosine_decay_schedule(0.05, decay_steps=8)
    one, other = (optimizers.scheduled("adam", cosine, num_steps=3) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one != optimizers.named("adam")


def test_a_line_search_that_does_not_count_its_steps_is_refused():
    with pytest.raises(ValueError, match="num_linesearch_steps"):
        optimizers.as_optimizer(optimizers.Optimizer(optax.adam, line_search=True))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("arguments", "valid"),
    [
        (("adamw", "keras"), "adam, rmsprop, adagrad, sgd, lbfgs"),
        (("Adam", "keras"), "adam, rmsprop, adagrad, sgd, lbfgs"),
        (("adam", "torch"), "keras, report"),
        (("lbfgs", "torch"), "keras, report"),
    ],
)
def test_an_unknown_name_or_form_lists_the_valid_ones(arguments, valid):
    name, form = arguments
    with pytest.raises(ValueError, match=valid):
        optimizers.named(name, form=form)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("rule", RULES)
def test_each_optimizer_refuses_an_unknown_form(rule):
    with pytest.raises(ValueError, match="keras, report"):
        getattr(optimizers, rule)(RATE, form="torch")
