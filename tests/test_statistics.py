"""Statistics of features beyond the Gram matrix: closed forms, identities, derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from jax.test_util import check_grads

from nst_jax import losses


def features_of(seed, height=5, width=4, channels=3):
    """Features as a network has them: correlated, and none below 0."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(height, width, channels)) @ rng.normal(size=(channels, channels))
    return np.maximum(mixed + 0.5, 0)


def between(name, features, style):
    """How far features are from those of a style by a statistic of that name."""
    if name == "wasserstein":
        target = losses.normal(losses.moment_sums(style))
        return losses.wasserstein_distance(losses.moment_sums(features), target, epsilon=1e-9)
    if name == "moments":
        return losses.moment_distance(losses.moment_sums(features), losses.moment_sums(style))
    if name == "shifted":
        grams = (losses.shifted_gram(x, shift=(1, 2)) for x in (features, style))
    else:
        grams = (losses.cross_layer_gram(x, jnp.square(x[:4:2, ::2])) for x in (features, style))
    first, second = grams
    return jnp.mean(jnp.square(first - second))


STATISTICS = ["wasserstein", "moments", "shifted", "cross_layer"]
VARIATIONS = [losses.squared_variation, losses.nine_point_variation]


@pytest.mark.parametrize("name", STATISTICS)
def test_a_picture_has_the_statistics_of_itself(name):
    with jax.enable_x64(True):
        features = jnp.asarray(features_of(0))
        assert abs(between(name, features, features)) < 1e-8
        assert between(name, features, jnp.asarray(features_of(1))) > 1e-2


@pytest.mark.parametrize("name", STATISTICS)
def test_first_and_second_derivatives(name):
    with jax.enable_x64(True):
        style = jnp.asarray(features_of(1))
        loss = jax.jit(lambda features: between(name, features, style))
        check_grads(loss, (jnp.asarray(features_of(0)),), order=2, modes=["rev"], rtol=1e-4)


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize("kind", ["flat", "rank-deficient", "bfloat16"])
def test_gradients_are_finite(name, kind):
    style = jnp.asarray(features_of(1, channels=6), jnp.float32)
    features = jnp.asarray(features_of(0, channels=6), jnp.float32)
    if kind == "flat":
        features = jnp.full_like(features, 0.3)
    elif kind == "rank-deficient":
        features = jnp.broadcast_to(features[:1], features.shape)
    else:
        features = features.astype(jnp.bfloat16)
    value, gradient = jax.value_and_grad(lambda x: between(name, x, style))(features)
    assert value.dtype == jnp.float32
    assert gradient.dtype == features.dtype
    assert np.isfinite(np.asarray(gradient, np.float32)).all()


# Moments


def test_mean_and_covariance_are_those_of_numpy():
    with jax.enable_x64(True):
        features = features_of(0)
        mean, covariance = losses.mean_and_covariance(losses.moment_sums(jnp.asarray(features)))
        flat = features.reshape(-1, 3)
        np.testing.assert_allclose(mean, flat.mean(axis=0))
        np.testing.assert_allclose(covariance, np.cov(flat.T, bias=True))


def test_sums_of_parts_add_up_and_weights_choose_locations():
    with jax.enable_x64(True):
        features = jnp.asarray(features_of(0))
        upper = jnp.zeros(features.shape[:2]).at[:2].set(1)
        whole, part, rest = (
            losses.moment_sums(features, where) for where in (None, upper, 1 - upper)
        )
        jax.tree.map(np.testing.assert_allclose, whole, jax.tree.map(jnp.add, part, rest))
        jax.tree.map(np.testing.assert_allclose, part, losses.moment_sums(features[:2]))


# Wasserstein


def test_wasserstein_is_the_formula_with_the_roots_of_scipy():
    with jax.enable_x64(True):
        first, second = features_of(0), features_of(1)
        (m, c), (n, d) = (
            (x.reshape(-1, 3).mean(axis=0), np.cov(x.reshape(-1, 3).T, bias=True))
            for x in (first, second)
        )
        expected = np.sum((m - n) ** 2) + np.trace(c + d - 2 * scipy.linalg.sqrtm(c @ d).real)
        found = between("wasserstein", jnp.asarray(first), jnp.asarray(second))
        np.testing.assert_allclose(found, expected / 3, rtol=1e-6)


def test_moving_features_costs_the_square_of_the_way():
    with jax.enable_x64(True):
        features = jnp.asarray(features_of(0))
        moved = between("wasserstein", features + 0.5, features)
        np.testing.assert_allclose(moved, 0.25, rtol=1e-6)


def test_the_root_in_float32_is_that_of_float64():
    """With fewer locations than channels, as deep layers have."""
    first, second = features_of(0, 6, 6, 64), features_of(1, 6, 6, 64)

    def distance(dtype):
        sums, target = (losses.moment_sums(jnp.asarray(x, dtype)) for x in (first, second))
        return losses.wasserstein_distance(sums, losses.normal(target))

    single = float(distance(jnp.float32))
    with jax.enable_x64(True):
        double = float(distance(jnp.float64))
    assert abs(single / double - 1) < 1e-3


# Shifted and cross-layer


def test_without_a_shift_and_with_itself_it_is_the_gram_matrix():
    with jax.enable_x64(True):
        features = jnp.asarray(features_of(0))
        gram = losses.gram_matrix(features)
        np.testing.assert_allclose(losses.shifted_gram(features, shift=(0, 0)), gram)
        np.testing.assert_allclose(losses.cross_layer_gram(features, features), gram)


def test_a_shift_sees_the_order_of_locations():
    stripes = jnp.zeros((6, 6, 2)).at[::2, :, 0].set(1).at[1::2, :, 1].set(1)
    gram = losses.shifted_gram(stripes, shift=(1, 0))
    # Of five pairs of rows three begin with the first feature, and none repeats it.
    np.testing.assert_allclose(gram, [[0, 3 / 5], [2 / 5, 0]], rtol=1e-6)


@pytest.mark.parametrize("shift", [(5, 0), (0, -1)])
def test_a_shift_out_of_the_picture_is_refused(shift):
    with pytest.raises(ValueError, match="less than the 5 x 4 locations of the layer"):
        losses.shifted_gram(jnp.asarray(features_of(0)), shift=shift)


def test_a_coarser_layer_is_enlarged():
    fine = jnp.asarray(features_of(0, 4, 4), jnp.float32)
    coarse = jnp.arange(4.0).reshape(2, 2, 1)
    expected = np.einsum("hwi,hwj->ij", fine, np.kron(coarse[..., 0], np.ones((2, 2)))[..., None])
    np.testing.assert_allclose(losses.cross_layer_gram(fine, coarse), expected / 16, rtol=1e-6)


# Smoothness and lines


@pytest.mark.parametrize("variation", VARIATIONS)
def test_variations_have_no_gradient_on_a_flat_image(variation):
    flat = jnp.full((4, 5, 3), 0.7)
    value, gradient = jax.value_and_grad(variation)(flat)
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("variation", VARIATIONS)
def test_variations_have_derivatives(variation, rng):
    with jax.enable_x64(True):
        check_grads(variation, (jnp.asarray(rng.normal(size=(4, 5, 2))),), order=2, modes=["rev"])


def test_squared_variation_by_hand():
    image = jnp.asarray([[0.0, 1.0], [3.0, 3.0]])[..., None]
    assert losses.squared_variation(image) == 1 + 0 + 9 + 4


def test_nine_points_by_hand():
    """Pairs: right 1, 0; down 9, 4; diagonals 9 and 4; all over four pixels."""
    image = jnp.asarray([[0.0, 1.0], [3.0, 3.0]])[..., None]
    padded = np.pad(np.asarray(image[..., 0]), 1, mode="edge")
    pairs = {
        (0, 1): 2 / 3,
        (1, 0): 2 / 3,
        (1, 1): 1 / 6,
        (1, -1): 1 / 6,
    }
    expected = sum(
        weight * (padded[1:3, 1:3] - padded[1 + i : 3 + i, 1 + j : 3 + j]) ** 2
        for (i, j), weight in pairs.items()
    ).mean()
    np.testing.assert_allclose(losses.nine_point_variation(image), expected, rtol=1e-6)


def test_an_even_slope_has_no_lines(rng):
    slope = jnp.broadcast_to(jnp.arange(6.0)[:, None, None], (6, 5, 3))
    np.testing.assert_array_equal(losses.laplacian(slope), 0)
    image = jnp.asarray(rng.uniform(size=(6, 5, 3)), jnp.float32)
    np.testing.assert_allclose(losses.laplacian_loss(image + slope, image), 0, atol=1e-8)


def test_a_point_is_a_line_of_its_own():
    point = jnp.zeros((5, 5, 1)).at[2, 2].set(1)
    assert losses.laplacian_loss(point, jnp.zeros((5, 5, 1))) == 16 + 4
    with jax.enable_x64(True):
        target = jnp.zeros((5, 5, 1))
        check_grads(lambda x: losses.laplacian_loss(x, target), (point,), order=2, modes=["rev"])
