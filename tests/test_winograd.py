"""Winograd's convolution against the ordinary one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nst_jax import winograd

# One program, not a dozen for each shape.
convolve = jax.jit(winograd.convolve)


def ordinary(x, kernel):
    """XLA's convolution of a batch."""
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), precision="highest"
    )


@pytest.fixture
def problem(rng):
    def of(height, width, channels=(6, 5), batch=2):
        x = rng.normal(size=(batch, height, width, channels[0]))
        kernel = rng.normal(size=(3, 3, *channels))
        return jnp.asarray(x, jnp.float32), kernel.astype(np.float32)

    return of


@pytest.mark.parametrize("size", [(8, 8), (7, 10), (9, 5), (1, 1), (2, 3), (1, 12)])
def test_it_is_the_ordinary_convolution(size, problem):
    x, kernel = problem(*size)
    kernels = winograd.transform(kernel)
    expected = ordinary(x, kernel)
    np.testing.assert_allclose(convolve(x, kernels), expected, atol=2e-5)
    # Without a batch, and with two axes of it.
    np.testing.assert_allclose(convolve(x[0], kernels), expected[0], atol=2e-5)
    np.testing.assert_allclose(convolve(x[None], kernels)[0], expected, atol=2e-5)


@pytest.mark.parametrize("size", [(8, 8), (7, 10), (1, 3)])
def test_its_gradient_is_that_of_the_ordinary_one(size, problem, rng):
    x, kernel = problem(*size)
    kernels = winograd.transform(kernel)
    y, back = jax.vjp(lambda x: convolve(x, kernels), x)
    expected_back = jax.vjp(lambda x: ordinary(x, kernel), x)[1]
    gradient = jnp.asarray(rng.normal(size=y.shape), jnp.float32)
    np.testing.assert_allclose(back(gradient)[0], expected_back(gradient)[0], atol=2e-5)


def test_lanes_and_second_derivatives(problem):
    x, kernel = problem(4, 6)
    kernels = winograd.transform(kernel)
    together = jax.vmap(convolve, in_axes=(0, None))(x, kernels)
    np.testing.assert_allclose(together, ordinary(x, kernel), atol=2e-5)

    def energy(x):
        return jnp.sum(convolve(x, kernels) ** 3)

    direction = jnp.ones_like(x)
    twice = jax.grad(lambda x: jnp.vdot(jax.grad(energy)(x), direction))(x)
    expected = jax.grad(
        lambda x: jnp.vdot(jax.grad(lambda x: jnp.sum(ordinary(x, kernel) ** 3))(x), direction)
    )(x)
    np.testing.assert_allclose(twice, expected, rtol=1e-3, atol=1e-2)


def test_it_is_as_exact_as_the_ordinary_one(problem):
    x, kernel = problem(12, 10, channels=(256, 64))
    padded = np.pad(np.asarray(x, np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    exact = sum(
        padded[:, i : i + 12, j : j + 10] @ np.asarray(kernel[i, j], np.float64)
        for i in range(3)
        for j in range(3)
    )
    results = convolve(x, winograd.transform(kernel)), ordinary(x, kernel)
    errors = [np.abs(np.asarray(each) - exact).max() / np.abs(exact).max() for each in results]
    assert errors[0] < 2e-6
    assert errors[0] < 10 * errors[1]
