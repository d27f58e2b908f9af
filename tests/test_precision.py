"""bfloat16: what it may change in a picture, and what it may not do to a loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import uniform_filter
from test_golden import real_params

from nst_jax import driver, losses, objective, stylize, vgg
from nst_jax.choices import CONTENT_LAYERS, STYLE_LAYERS
from nst_jax.compiler import Program
from nst_jax.steps import Hyperparameters, single

compute = Program(
    objective.compute_targets, static_argnames=("content_layers", "style_layers", "convention")
)


def make(params, content, style, precision):
    """The objective in the form that commands take on this device, and its weights."""
    feature_fn = vgg.feature_fn(
        params,
        (*STYLE_LAYERS, *CONTENT_LAYERS),
        precision=precision,
        convolutions=vgg.fastest_convolutions(precision),
    )
    targets = compute(
        feature_fn, content, style, content_layers=CONTENT_LAYERS, style_layers=STYLE_LAYERS
    )
    return objective.make_objective(feature_fn, targets), objective.make_weights(
        targets, total_variation=0.0
    )


evaluate = Program(
    lambda loss, image, weights: jax.value_and_grad(loss, has_aux=True)(image, weights)
)


def structural_similarity(one, other):
    """The mean SSIM of two pictures in [0, 1] over windows of 7 x 7.

    Source: Wang et al. (2004), "Image quality assessment", equation 13.
    """

    def mean(x):
        return uniform_filter(x, (7, 7, 0))

    a, b = np.asarray(one, np.float64), np.asarray(other, np.float64)
    variances = mean(a * a) - mean(a) ** 2, mean(b * b) - mean(b) ** 2
    covariance = mean(a * b) - mean(a) * mean(b)
    likeness = (2 * mean(a) * mean(b) + 0.01**2) * (2 * covariance + 0.03**2)
    return np.mean(
        likeness / ((mean(a) ** 2 + mean(b) ** 2 + 0.01**2) * (sum(variances) + 0.03**2))
    )


def smooth_picture(rng, height, width):
    coarse = rng.uniform(size=(height // 8, width // 8, 3))
    return np.clip(np.kron(coarse, np.ones((8, 8, 1))), 0, 1).astype(np.float32)


def test_similarity_by_known_cases(rng):
    picture = smooth_picture(rng, 32, 40)
    assert structural_similarity(picture, picture) == pytest.approx(1)
    assert structural_similarity(picture, 1 - picture) < 0.2


@pytest.mark.slow
def test_pictures_in_bfloat16_are_those_in_float32(rng):
    params = real_params()
    content, style = smooth_picture(rng, 32, 32), smooth_picture(rng, 32, 32) ** 2
    results = [
        stylize(*_at(make(params, content, style, precision), content), num_steps=16).image
        for precision in ("float32", "bfloat16")
    ]
    assert structural_similarity(*results) > 0.98
    assert structural_similarity(results[0], content) < 0.9, "something has happened"


def test_the_gradient_in_bfloat16_has_the_direction_of_that_in_float32(rng):
    params = real_params()
    content, style = smooth_picture(rng, 32, 32), smooth_picture(rng, 32, 32) ** 2
    image = np.clip(content + 0.2 * rng.normal(size=content.shape), 0, 1).astype(np.float32)
    (exact, expected), (rough, gradient) = (
        (float(total), np.ravel(np.asarray(gradient, np.float64)))
        for loss, weights in (make(params, content, style, x) for x in ("float32", "bfloat16"))
        for (total, _), gradient in [evaluate(loss, image, weights)]
    )
    assert rough == pytest.approx(exact, rel=5e-3)
    norms = np.linalg.norm(gradient), np.linalg.norm(expected)
    assert gradient @ expected > 0.99 * norms[0] * norms[1]
    assert norms[0] == pytest.approx(norms[1], rel=0.01)


def _at(made, content):
    loss, weights = made
    return loss, content, weights


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_saturated_picture_overflows_nowhere(precision, vgg_params):
    # Black and white in large blocks: the largest activations that a picture can have.
    blocks = np.kron(np.indices((4, 4)).sum(axis=0) % 2, np.ones((8, 8)))
    picture = np.repeat(blocks[..., None], 3, axis=-1).astype(np.float32)
    loss, weights = make(vgg_params, np.zeros_like(picture), picture, precision)
    (total, terms), gradient = evaluate(loss, jnp.asarray(picture[::-1]), weights)
    assert np.isfinite(total)
    assert all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(terms))
    assert np.isfinite(np.asarray(gradient)).all()
    # Other programs sum these products in float16, which ends at 65504.
    feature_fn = vgg.feature_fn(vgg_params, STYLE_LAYERS, precision=precision)
    grams = [losses.gram_matrix(x, normalize="none") for x in feature_fn(picture).values()]
    assert max(float(gram.max()) for gram in grams) > 65504


def test_nothing_is_compiled_after_the_first_chunk(toy_objective, count_compilations):
    from nst_jax import optimizers

    loss, weights, content = toy_objective
    optimizer = optimizers.named("adam")
    hyper = single(Hyperparameters(np.float32(0.01), weights))
    for kind in ("python", "scan"):
        state = driver.init_state(np.asarray(content)[None], optimizer, hyper)
        chunks = driver.run_chunks(
            loss, hyper, state, optimizer=optimizer, num_steps=11, chunk_length=4, driver=kind
        )
        next(chunks)
        with count_compilations() as compiled:
            assert len(list(chunks)) == 2
        assert not compiled
