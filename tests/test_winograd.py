"""Winograd's convolution against the ordinary one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nst_jax import winograd

# One program, not a dozen for each shape.
convolve = jax.jit(lambda x, kernel: kernel.convolve(x))
ALGORITHMS = {"F2": winograd.F2, "F4": winograd.F4}


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


@pytest.fixture(params=ALGORITHMS)
def algorithm(request):
    return ALGORITHMS[request.param]


@pytest.mark.parametrize("size", [(8, 8), (7, 10), (9, 5), (1, 1), (2, 3), (1, 12)])
def test_it_is_the_ordinary_convolution(size, algorithm, problem):
    x, kernel = problem(*size)
    transformed = winograd.transform(kernel, algorithm)
    expected = ordinary(x, kernel)
    np.testing.assert_allclose(convolve(x, transformed), expected, atol=5e-5)
    # Without a batch, and with two axes of it.
    np.testing.assert_allclose(convolve(x[0], transformed), expected[0], atol=5e-5)
    np.testing.assert_allclose(convolve(x[None], transformed)[0], expected, atol=5e-5)


def test_it_is_as_exact_as_the_ordinary_one(problem, algorithm):
    x, kernel = problem(12, 10, channels=(256, 64))
    padded = np.pad(np.asarray(x, np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    exact = sum(
        padded[:, i : i + 12, j : j + 10] @ np.asarray(kernel[i, j], np.float64)
        for i in range(3)
        for j in range(3)
    )
    results = convolve(x, winograd.transform(kernel, algorithm)), ordinary(x, kernel)
    errors = [np.abs(np.asarray(each) - exact).max() / np.abs(exact).max() for each in results]
    assert errors[0] < 3e-6
    assert errors[0] < 10 * errors[1]


def test_pooling_windows_of_a_flat_region_are_tied_to_the_last_bit(problem):
    x, kernel = problem(12, 12, channels=(64, 8), batch=1)
    x = x.at[:, 2:8, 4:10].set(x[:, :1, :1])
    y = np.asarray(convolve(x, winograd.transform(kernel, winograd.F2)))[0]
    for row, column in ((4, 6), (6, 6)):
        window = y[row : row + 2, column : column + 2].reshape(4, -1)
        flat = np.asarray(x)[0, row - 1 : row + 3, column - 1 : column + 3].reshape(16, -1)
        tied = (flat == flat[0]).all()
        assert (window == window[0]).all() == tied
