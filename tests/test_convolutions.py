"""Layers of a fixed network against Flax's own form of them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nst_jax import convolutions, vgg


@pytest.fixture
def problem(rng):
    x = jnp.asarray(rng.normal(size=(2, 6, 7, 5)), jnp.float32)
    kernel, bias = rng.normal(size=(3, 3, 5, 4)), rng.normal(size=4)
    return x, kernel.astype(np.float32), bias.astype(np.float32)


def ordinary(x, kernel, bias):
    y = jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), precision="highest"
    )
    return jax.nn.relu(y + jnp.broadcast_to(bias, y.shape))


LAYERS = {
    "direct": partial(convolutions.direct_layer, dtype=jnp.float32),
    "winograd": partial(convolutions.winograd_layer, keeps_ties=False),
    "flat": partial(convolutions.winograd_layer, keeps_ties=True),
}


@jax.jit
def rectify(x, layer):
    return convolutions.convolve_and_rectify(x, layer, jnp.float32)


@pytest.mark.parametrize("form", LAYERS)
def test_a_layer_and_its_gradient_are_the_ordinary_ones(form, problem, rng):
    x, kernel, bias = problem
    layer = LAYERS[form](kernel, bias)
    y, back = jax.vjp(lambda x: rectify(x, layer), x)
    expected, expected_back = jax.vjp(lambda x: ordinary(x, kernel, bias), x)
    np.testing.assert_allclose(y, expected, atol=2e-5)
    gradient = jnp.asarray(rng.normal(size=y.shape), jnp.float32)
    np.testing.assert_allclose(back(gradient)[0], expected_back(gradient)[0], atol=5e-5)


@pytest.mark.parametrize("size", [(1, 1), (3, 2)])
def test_few_columns_are_padded_and_cut_again(size, problem, rng):
    _, kernel, bias = problem
    x = jnp.asarray(rng.normal(size=(*size, 5)), jnp.float32)
    y = rectify(x, LAYERS["direct"](kernel, bias))
    np.testing.assert_allclose(y, ordinary(x[None], kernel, bias)[0], atol=2e-5)


@pytest.mark.parametrize("form", LAYERS)
def test_lanes_and_second_derivatives(form, problem):
    x, kernel, bias = problem
    layer = LAYERS[form](kernel, bias)
    lanes = jax.vmap(rectify, in_axes=(0, None))(x, layer)
    np.testing.assert_allclose(lanes, ordinary(x, kernel, bias), atol=2e-5)

    def curvature(rectify):
        energy = jax.grad(lambda x: jnp.sum(rectify(x) ** 3))
        return jax.jit(jax.grad(lambda x: jnp.sum(energy(x))))(x)

    expected = curvature(lambda x: ordinary(x, kernel, bias))
    actual = curvature(lambda x: rectify(x, layer))
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-2)


def test_bfloat16_multiplies_what_is_rounded_to_it(problem):
    x, kernel, bias = problem
    layer = convolutions.direct_layer(kernel, bias, jnp.bfloat16)
    low = x.astype(jnp.bfloat16)
    y, back = jax.vjp(lambda x: convolutions.convolve_and_rectify(x, layer, jnp.bfloat16), low)
    rounded = [each.astype(jnp.float32) for each in (low, layer.forward.kernel)]
    expected, expected_back = jax.vjp(lambda x: ordinary(x, rounded[1], bias), rounded[0])
    assert y.dtype == back(y)[0].dtype == jnp.bfloat16
    np.testing.assert_allclose(y.astype(jnp.float32), expected, rtol=0.02, atol=0.1)
    gradient = expected_back(y.astype(jnp.float32))[0]
    scale = float(jnp.abs(gradient).max())
    np.testing.assert_allclose(back(y)[0].astype(jnp.float32), gradient, atol=0.01 * scale)


@pytest.mark.parametrize("pool", ["max_pool", "average_pool"])
@pytest.mark.parametrize("size", [(4, 6), (5, 7), (2, 3)])
def test_pooling_is_that_of_the_network_ties_included(size, pool, rng):
    # Few values: most windows have a tie, whose gradient goes to the first.
    x = jnp.asarray(rng.integers(0, 3, size=(2, *size, 3)), jnp.float32)
    y, back = jax.vjp(getattr(convolutions, pool), x)
    expected, expected_back = jax.vjp(getattr(vgg, pool), x)
    np.testing.assert_array_equal(y, expected)
    gradient = jnp.asarray(rng.normal(size=y.shape), jnp.float32)
    np.testing.assert_array_equal(back(gradient)[0], expected_back(gradient)[0])
