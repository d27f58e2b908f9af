"""Pictures and rates at the ends of their ranges: finite where the mathematics is."""

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nst_jax import driver, objective, optimizers, solve, vgg
from nst_jax.choices import CONTENT_LAYERS, STYLE_LAYERS

LAYERS = {"content_layers": CONTENT_LAYERS, "style_layers": STYLE_LAYERS}


def extreme_pictures(height: int, width: int) -> dict[str, np.ndarray]:
    """RGB in [0, 1]: flat, of one color, and as rough as a picture can be."""
    rng = np.random.default_rng(0)
    flat = np.ones((height, width, 3), np.float32)
    return {
        "black": 0 * flat,
        "red": flat * np.array([1, 0, 0], np.float32),
        "saturated": rng.integers(0, 2, flat.shape).astype(np.float32),
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "size", "convention"),
    [
        ("float32", (24, 32), "report"),
        ("float32", (24, 32), "gatys"),
        ("float32", (16, 160), "report"),
        # The smallest range, and of the conventions the one with the largest values.
        ("bfloat16", (24, 32), "gatys"),
    ],
)
def test_losses_and_gradients_of_extreme_pictures_are_finite(
    size, precision, convention, vgg_params
):
    layers = (*CONTENT_LAYERS, *STYLE_LAYERS)
    feature_fn = vgg.feature_fn(vgg_params, layers, precision=precision)
    compute = jax.jit(objective.compute_targets, static_argnames=(*LAYERS, "convention"))
    evaluate = jax.jit(lambda loss, *args: jax.value_and_grad(loss, has_aux=True)(*args))
    pictures = extreme_pictures(*size)
    for content, style in itertools.product(pictures, repeat=2):
        targets = compute(
            feature_fn, pictures[content], pictures[style], convention=convention, **LAYERS
        )
        loss = objective.make_objective(feature_fn, targets)
        weights = objective.make_weights(targets)
        for image in pictures:
            (_, terms), gradient = evaluate(loss, jnp.asarray(pictures[image]), weights)
            for leaf in jax.tree.leaves((terms, gradient)):
                assert jnp.isfinite(leaf).all(), (content, style, image)
            if image == content:
                assert terms.terms["content"] == 0
            if image == style:
                scale = objective.relative_weights(targets, weights).parts["style"]
                assert float(terms.parts["style"] @ scale) < 1e-9


def run(toy, weights, images, rates, optimizer):
    """Six steps of one program; the final pictures and the history."""
    hyper = jax.tree.map(
        lambda *x: jnp.stack([jnp.asarray(each, jnp.float32) for each in x]),
        *(driver.Hyperparameters(np.float32(rate), weights) for rate in rates),
    )
    state = driver.init_state(images, optimizer, hyper)
    chunks = driver.run_chunks(
        toy, hyper, state, optimizer=optimizer, num_steps=6, chunk_length=6, driver="python"
    )
    chunk = list(chunks)[-1]
    return driver.pictures(chunk.state), chunk


@pytest.mark.parametrize("name", ["adam", "rmsprop", "adagrad", "sgd"])
def test_absurd_rates_spoil_no_neighbor(toy_objective, name):
    toy, weights, image = toy_objective
    optimizer = optimizers.named(name)
    images = jnp.stack([image] * 4)
    tame, _ = run(toy, weights, images, [0.02] * 4, optimizer)
    wild, chunk = run(toy, weights, images, [1e30, 0.02, 3e38, 1e-38], optimizer)
    np.testing.assert_array_equal(wild[1], tame[1])
    assert np.isfinite(wild).all()
    assert int(chunk.state.diverged_step[1]) == -1


def test_targets_with_nan_end_their_variant_with_the_first_step(toy_fn, pictures):
    content, style = pictures
    targets = objective.compute_targets(
        toy_fn, content, style, content_layers=("deep",), style_layers=("shallow",)
    )
    spoiled = targets.content["deep"].at[3, 4, 1].set(jnp.nan)
    targets = replace(targets, content={"deep": spoiled})
    loss = objective.make_objective(toy_fn, targets)
    start = jnp.full_like(content, 0.5)
    result = solve.stylize(loss, start, objective.make_weights(targets), num_steps=5)
    assert int(result.state.diverged_step[0]) == 0
    np.testing.assert_array_equal(result.image, start)
