"""Statistics of features and pixels: closed forms, identities, sums of parts, derivatives."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.stats
from jax.test_util import check_grads

from nst_jax import losses

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "experiments"))


def features_of(seed, height=5, width=4, channels=3):
    """Features as a network has them: correlated, and none below 0."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(height, width, channels)) @ rng.normal(size=(channels, channels))
    return np.maximum(mixed + 0.5, 0)


def gram(features, style):
    return losses.style_loss(features, losses.gram_matrix(style))


def covariance(features, style):
    return losses.covariance_distance(*map(losses.covariance_sums, (features, style)))


def moments(features, style):
    return losses.moment_distance(*moment_sums_and_target(features, style))


def moment_sums_and_target(features, style, **options):
    target = losses.moment_target(style, **options)
    return losses.power_sums(features, center=target.center, scale=target.scale), target


def wasserstein(features, style):
    sums, target = map(losses.covariance_sums, (features, style))
    return losses.wasserstein_distance(sums, losses.normal(target), epsilon=1e-9)


def shifted_gram(features, style):
    return of_matrices(losses.shifted_gram(x, shift=(1, 2)) for x in (features, style))


def cross_layer_gram(features, style):
    return of_matrices(
        losses.cross_layer_gram(x, jnp.square(x[:4:2, ::2])) for x in (features, style)
    )


def of_matrices(matrices):
    first, second = matrices
    return jnp.mean(jnp.square(first - second))


def laplacian(image, target):
    return losses.laplacian_loss(image, target)


def of_one(variation):
    return lambda image, target: variation(image)


FEATURES = [gram, covariance, moments, wasserstein, shifted_gram, cross_layer_gram, laplacian]
VARIATIONS = [
    losses.total_variation,
    losses.squared_variation,
    losses.power_variation,
    losses.nine_point_variation,
]
STATISTICS = {each.__name__: each for each in FEATURES}
STATISTICS |= {each.__name__: of_one(each) for each in VARIATIONS}
WITH_TARGET = [each.__name__ for each in FEATURES]

# Sums over locations, as functions of features or pixels and of the weights of the locations.
SUMS = {
    "gram": losses.gram_sums,
    "covariance": losses.covariance_sums,
    "moments": lambda x, where: losses.power_sums(
        x, where, center=jnp.asarray([0.1, 0.2, 0.3]), scale=jnp.asarray(0.5)
    ),
    "shifted_gram": lambda x, where: losses.shifted_sums(x, where, shift=(1, 2)),
    "cross_layer_gram": lambda x, where: losses.cross_layer_sums(x, x[::2, ::2] + 1, where),
    "laplacian": lambda x, where: losses.laplacian_loss(x, 0.5 * x, where),
}


# Each of them


@pytest.mark.parametrize("name", WITH_TARGET)
def test_a_picture_has_the_statistics_of_itself(name):
    with jax.enable_x64(True):
        features, other = (jnp.asarray(features_of(seed)) for seed in (0, 1))
        assert abs(STATISTICS[name](features, features)) < 1e-8
        assert STATISTICS[name](features, other) > 1e-2


@pytest.mark.parametrize("name", STATISTICS)
def test_first_and_second_derivatives(name):
    with jax.enable_x64(True):
        features, style = (jnp.asarray(features_of(seed)) for seed in (0, 1))
        # Values of 0 occur twice beside each other: there |x| has no derivative.
        features = features + 0.1 * np.random.default_rng(2).normal(size=features.shape)
        loss = jax.jit(lambda x: STATISTICS[name](x, style))
        check_grads(loss, (features,), order=2, modes=["rev"], rtol=1e-4)


@pytest.mark.parametrize("name", STATISTICS)
def test_gradients_are_finite(name):
    """Of flat and rank-deficient pictures, also far from 0, and beside a flat style."""
    features, style = (jnp.asarray(features_of(x, channels=6), jnp.float32) for x in (0, 1))
    gradient = jax.jit(jax.value_and_grad(STATISTICS[name]))
    flat = jnp.full_like(features, 0.3)
    rank_deficient = jnp.broadcast_to(features[:1], features.shape)
    pictures = {"flat": flat, "far": 1000 * flat, "rank-deficient": rank_deficient}
    for kind, picture in pictures.items():
        for target in (style, flat):
            assert all(np.isfinite(x).all() for x in gradient(picture, target)), kind


@pytest.mark.parametrize("name", STATISTICS)
def test_features_in_bfloat16_have_sums_in_float32(name):
    features, style = (jnp.asarray(features_of(x, channels=6), jnp.float32) for x in (0, 1))
    loss = STATISTICS[name]
    value, gradient = jax.jit(jax.value_and_grad(loss))(features.astype(jnp.bfloat16), style)
    assert value.dtype == jnp.float32
    assert gradient.dtype == jnp.bfloat16
    assert np.isfinite(np.asarray(gradient, np.float32)).all()
    np.testing.assert_allclose(value, loss(features, style), rtol=0.05)


@pytest.mark.parametrize("name", SUMS)
def test_sums_of_parts_add_up(name, rng):
    """Also of parts that share locations."""
    with jax.enable_x64(True):
        features = jnp.asarray(features_of(0, 6, 8))
        part = jnp.asarray(rng.uniform(size=(6, 8)))
        whole, first, second = (SUMS[name](features, where) for where in (None, part, 1 - part))
        jax.tree.map(np.testing.assert_allclose, whole, jax.tree.map(jnp.add, first, second))


@pytest.mark.parametrize("name", ["gram", "covariance", "moments"])
def test_weights_choose_locations(name):
    features = jnp.asarray(features_of(0), jnp.float32)
    upper = jnp.zeros(features.shape[:2]).at[:2].set(1)
    chosen, alone = SUMS[name](features, upper), SUMS[name](features[:2], None)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5), chosen, alone)


# Covariance


def test_mean_and_covariance_are_those_of_numpy():
    with jax.enable_x64(True):
        features = features_of(0)
        sums = losses.covariance_sums(jnp.asarray(features))
        mean, covariance = losses.mean_and_covariance(sums)
        flat = features.reshape(-1, 3)
        np.testing.assert_allclose(mean, flat.mean(axis=0))
        np.testing.assert_allclose(covariance, np.cov(flat.T, bias=True))


# Moments


def test_moments_are_those_of_scipy():
    with jax.enable_x64(True):
        features, style = features_of(0), features_of(1)
        sums, target = moment_sums_and_target(jnp.asarray(features), jnp.asarray(style))
        flat = features.reshape(-1, 3)
        found = losses.channel_moments(sums, epsilon=0.0)
        center, scale = style.mean(axis=(0, 1)), np.sqrt(style.var(axis=(0, 1)).mean())
        expected = [
            (flat.mean(axis=0) - center) / scale,
            flat.std(axis=0) / scale,
            scipy.stats.skew(flat),
            scipy.stats.kurtosis(flat, fisher=False),
        ]
        np.testing.assert_allclose(found, expected, rtol=1e-10)
        np.testing.assert_allclose(target.moments[0], 0, atol=1e-12)


def test_the_distance_of_moments_knows_no_scale_and_weighs_each():
    with jax.enable_x64(True):
        features, style = (jnp.asarray(features_of(seed)) for seed in (0, 1))
        distance = moments(features, style)
        np.testing.assert_allclose(moments(1000 * features, 1000 * style), distance)
        both = moment_sums_and_target(features, style)
        each = [losses.moment_distance(*both, weights=weights) for weights in np.eye(4).tolist()]
        np.testing.assert_allclose(np.dot(each, [1, 1, 0.1, 0.001]), distance)


def test_moments_of_features_far_from_0_keep_their_digits():
    """Shifted by the style's mean; as they are, float32 would leave nothing of them."""
    features, style = (features_of(seed) + 1000 for seed in (0, 1))
    single = moments(*(jnp.asarray(x, jnp.float32) for x in (features, style)))
    with jax.enable_x64(True):
        double = moments(*(jnp.asarray(x) for x in (features, style)))
    np.testing.assert_allclose(single, double, rtol=1e-3)


# Wasserstein


def test_wasserstein_is_the_formula_with_the_roots_of_scipy():
    with jax.enable_x64(True):
        first, second = features_of(0), features_of(1)
        (m, c), (n, d) = (
            (x.reshape(-1, 3).mean(axis=0), np.cov(x.reshape(-1, 3).T, bias=True))
            for x in (first, second)
        )
        expected = np.sum((m - n) ** 2) + np.trace(c + d - 2 * scipy.linalg.sqrtm(c @ d).real)
        found = wasserstein(jnp.asarray(first), jnp.asarray(second))
        np.testing.assert_allclose(found, expected / 3, rtol=1e-6)


def test_the_yardstick_of_the_experiment_is_the_same_distance():
    """NumPy's in float64, to which `docs/losses.md` compares float32."""
    import statistics_of_style

    first, second = features_of(0, 6, 6), features_of(1, 6, 6)
    with jax.enable_x64(True):
        sums, target = (losses.covariance_sums(jnp.asarray(x)) for x in (first, second))
        found = losses.wasserstein_distance(sums, losses.normal(target))
    expected = statistics_of_style.wasserstein_in_float64(first, second)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_the_experiment_writes_its_page():
    from pages import statistics_of_style as page

    costs = [page.Cost("gram", "shallow", 0.05), page.Cost("laplacian", "image", 0.002)]
    facts = page.Facts(costs, {"shallow": 2e-5}, 0.5, ["shallow"], 8, 6, 3, "a CPU", "today", "1.0")
    written = page.section(facts)
    for line in ("(500 ms)", "| `gram` | 5 % |", "| `laplacian` | 0.2 % |", "| shallow | 2e-05 |"):
        assert line in written


def test_moving_features_costs_the_square_of_the_way():
    with jax.enable_x64(True):
        features = jnp.asarray(features_of(0))
        moved = wasserstein(features + 0.5, features)
        np.testing.assert_allclose(moved, 0.25, rtol=1e-6)


def test_the_root_in_float32_is_that_of_float64():
    """With fewer locations than channels, as deep layers have."""
    first, second = features_of(0, 6, 6, 64), features_of(1, 6, 6, 64)

    def distance(dtype):
        sums, target = (losses.covariance_sums(jnp.asarray(x, dtype)) for x in (first, second))
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


def test_a_pair_counts_by_where_it_begins_and_by_both_regions(rng):
    features = jnp.asarray(features_of(0), jnp.float32)
    where, region = jnp.asarray(rng.uniform(size=(2, 5, 4)), jnp.float32)
    sums = losses.shifted_sums(features, where, region, shift=(1, 2))
    weight = where[:-1, :-2] * region[:-1, :-2] * region[1:, 2:]
    expected = np.einsum("hw,hwi,hwj->ij", weight, features[:-1, :-2], features[1:, 2:])
    np.testing.assert_allclose(sums.weight, weight.sum(), rtol=1e-6)
    np.testing.assert_allclose(sums.products, expected, rtol=1e-5)


def test_a_region_without_pairs_has_no_products():
    features = jnp.asarray(features_of(0), jnp.float32)
    row = jnp.zeros((5, 4)).at[2].set(1)

    def matrix(features):
        return losses.mean_of_pairs(losses.shifted_sums(features, region=row, shift=(1, 0)))

    np.testing.assert_array_equal(matrix(features), 0)
    np.testing.assert_array_equal(jax.jacobian(matrix)(features), 0)


@pytest.mark.parametrize(("size", "factor"), [((4, 4), 2), ((31, 9), 8), ((7, 9), 3)])
def test_a_coarser_layer_is_enlarged(size, factor, rng):
    fine = features_of(0, *size)
    small = [length // factor for length in size]
    coarse, region = rng.uniform(size=(*small, 2)), rng.uniform(size=small)
    where = rng.uniform(size=size)
    large = np.kron(coarse * region[..., None], np.ones((factor, factor, 1)))
    rows, columns = large.shape[:2]
    first = (fine * where[..., None])[:rows, :columns]
    weight = np.sum(where[:rows, :columns] * np.kron(region, np.ones((factor, factor))))
    arguments = [jnp.asarray(x, jnp.float32) for x in (fine, coarse, where, region)]
    sums = losses.cross_layer_sums(*arguments[:3], coarse_region=arguments[3])
    np.testing.assert_allclose(sums.weight, weight, rtol=1e-5)
    np.testing.assert_allclose(sums.products, np.einsum("hwi,hwj->ij", first, large), rtol=1e-5)


def test_a_shallower_layer_comes_first():
    with pytest.raises(ValueError, match="got 2 and 4 along an axis: name the shallower layer"):
        losses.cross_layer_gram(jnp.ones((2, 2, 3)), jnp.ones((4, 4, 3)))


# Smoothness and lines


@pytest.mark.parametrize("variation", VARIATIONS)
def test_variations_have_no_gradient_on_a_flat_image(variation):
    flat = jnp.full((4, 5, 3), 0.7)
    value, gradient = jax.value_and_grad(variation)(flat)
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


def test_squared_variation_by_hand():
    image = jnp.asarray([[0.0, 1.0], [3.0, 3.0]])[..., None]
    assert losses.squared_variation(image) == 1 + 0 + 9 + 4


@pytest.mark.parametrize("beta", [1.0, 2.0, 2.5])
def test_power_variation_by_hand(beta):
    """Of four pixels one has a neighbor below and one to the right: slopes 3 and 1."""
    image = jnp.asarray([[0.0, 1.0], [3.0, 3.0]])[..., None]
    found = losses.power_variation(image, beta=beta)
    np.testing.assert_allclose(found, 10 ** (beta / 2), rtol=1e-6)
    flat = jax.grad(lambda x: losses.power_variation(x, beta=beta))(jnp.ones((3, 3, 1)))
    np.testing.assert_array_equal(flat, 0)


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


def test_squares_are_averaged_before_lines_are_compared(rng):
    image, target = rng.uniform(size=(2, 14, 12, 3)).astype(np.float32)
    small = [x[:12].reshape(3, 4, 3, 4, 3).mean(axis=(1, 3)) for x in (image, target)]
    expected = losses.laplacian_loss(*map(jnp.asarray, small))
    found = losses.laplacian_loss(jnp.asarray(image), jnp.asarray(target), pool=4)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_an_image_of_two_squares_has_no_lines():
    image = jnp.zeros((12, 8, 3))
    with pytest.raises(ValueError, match="leave 3 x 3 cells or more of an image, got 4 for 12"):
        losses.laplacian_loss(image, image, pool=4)
