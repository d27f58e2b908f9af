"""The loss terms against their formulas written out as loops over indices."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from nst_jax import losses

SHAPES = [(3, 4, 2), (1, 5, 3), (4, 1, 1)]
CONVENTIONS = ["report", "gatys"]
GRAM_OF = {"report": "locations", "gatys": "none"}


def draw(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def gram_by_loop(features, normalize):
    height, width, channels = features.shape
    locations = features.astype(np.float64).reshape(height * width, channels)
    gram = np.zeros((channels, channels))
    for i, j, k in itertools.product(range(channels), range(channels), range(height * width)):
        gram[i, j] += locations[k, i] * locations[k, j]
    return gram / (height * width) if normalize == "locations" else gram


def content_by_loop(features, target, convention):
    total = 0.0
    for index in np.ndindex(features.shape):
        total += (float(features[index]) - float(target[index])) ** 2
    return total / features.size if convention == "report" else total / 2


def style_by_loop(features, style_features, convention):
    gram = gram_by_loop(features, GRAM_OF[convention])
    target = gram_by_loop(style_features, GRAM_OF[convention])
    height, width, channels = features.shape
    total = 0.0
    for i, j in itertools.product(range(channels), range(channels)):
        total += (gram[i, j] - target[i, j]) ** 2
    if convention == "report":
        return total / channels**2
    return total / (4 * channels**2 * (height * width) ** 2)


def total_variation_by_loop(image):
    height, width, channels = image.shape
    total = 0.0
    for i, j, c in itertools.product(range(height), range(width), range(channels)):
        if i + 1 < height:
            total += abs(float(image[i + 1, j, c]) - float(image[i, j, c]))
        if j + 1 < width:
            total += abs(float(image[i, j + 1, c]) - float(image[i, j, c]))
    return total


def losses_of(features, target, image):
    """Every loss in every convention, by name, for arrays with any leading axes."""
    return {
        **{f"gram {n}": losses.gram_matrix(features, normalize=n) for n in GRAM_OF.values()},
        **{
            f"content {c}": losses.content_loss(features, target, convention=c) for c in CONVENTIONS
        },
        **{
            f"style {c}": losses.style_loss(
                features, losses.gram_matrix(target, normalize=GRAM_OF[c]), convention=c
            )
            for c in CONVENTIONS
        },
        "total variation": losses.total_variation(image),
    }


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("normalize", ["locations", "none"])
def test_gram_matrix_is_its_formula(rng, shape, normalize):
    features = draw(rng, *shape)
    actual = losses.gram_matrix(features, normalize=normalize)
    np.testing.assert_allclose(actual, gram_by_loop(features, normalize), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_content_loss_is_its_formula(rng, shape, convention):
    features, target = draw(rng, *shape), draw(rng, *shape)
    actual = losses.content_loss(features, target, convention=convention)
    np.testing.assert_allclose(actual, content_by_loop(features, target, convention), rtol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_style_loss_is_its_formula(rng, shape, convention):
    features, style = draw(rng, *shape), draw(rng, *shape)
    gram = losses.gram_matrix(style, normalize=GRAM_OF[convention])
    actual = losses.style_loss(features, gram, convention=convention)
    np.testing.assert_allclose(actual, style_by_loop(features, style, convention), rtol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_total_variation_is_its_formula(rng, shape):
    image = draw(rng, *shape)
    actual = losses.total_variation(image)
    np.testing.assert_allclose(actual, total_variation_by_loop(image), rtol=1e-5)


def test_report_is_the_default_convention(rng):
    features, target = draw(rng, 3, 4, 2), draw(rng, 3, 4, 2)
    gram = losses.gram_matrix(target)
    assert losses.content_loss(features, target) == losses.content_loss(
        features, target, convention="report"
    )
    assert losses.style_loss(features, gram) == losses.style_loss(
        features, gram, convention="report"
    )
    np.testing.assert_array_equal(gram, losses.gram_matrix(target, normalize="locations"))


@pytest.mark.parametrize("shape", SHAPES)
def test_gatys_style_is_a_quarter_of_the_reports(rng, shape):
    features, style = draw(rng, *shape), draw(rng, *shape)
    gatys = losses.style_loss(
        features, losses.gram_matrix(style, normalize="none"), convention="gatys"
    )
    report = losses.style_loss(features, losses.gram_matrix(style), convention="report")
    np.testing.assert_allclose(gatys, report / 4, rtol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_gatys_content_is_half_of_n_m_times_the_reports(rng, shape):
    features, target = draw(rng, *shape), draw(rng, *shape)
    gatys = losses.content_loss(features, target, convention="gatys")
    report = losses.content_loss(features, target, convention="report")
    np.testing.assert_allclose(gatys, np.prod(shape) / 2 * report, rtol=1e-5)


def test_gram_matrix_is_symmetric(rng):
    gram = np.asarray(losses.gram_matrix(draw(rng, 5, 6, 8)))
    np.testing.assert_allclose(gram, gram.T, rtol=1e-6)


def test_gram_matrix_is_positive_semidefinite(rng):
    # Fewer locations than channels: most eigenvalues are zero, and rounding could show.
    eigenvalues = np.linalg.eigvalsh(np.float64(losses.gram_matrix(draw(rng, 2, 2, 12))))
    assert eigenvalues.min() > -1e-6 * eigenvalues.max()


def test_gram_matrix_ignores_where_pixels_are(rng):
    features = draw(rng, 5, 6, 4)
    shuffled = rng.permutation(features.reshape(30, 4)).reshape(6, 5, 4)
    np.testing.assert_allclose(
        losses.gram_matrix(features), losses.gram_matrix(shuffled), rtol=1e-5, atol=1e-6
    )


def test_gram_matrix_over_locations_is_the_sum_divided_by_their_number(rng):
    features = draw(rng, 5, 6, 4)
    np.testing.assert_allclose(
        losses.gram_matrix(features, normalize="locations"),
        losses.gram_matrix(features, normalize="none") / 30,
        rtol=1e-6,
    )


def test_gram_matrix_has_the_features_own_number_of_channels(rng):
    """Known defect elsewhere: a Gram scale with the number of channels fixed at 3."""
    twice = np.repeat(draw(rng, 3, 4, 5), 2, axis=-1)
    gram = losses.gram_matrix(twice)
    assert gram.shape == (10, 10)
    np.testing.assert_allclose(
        losses.style_loss(twice, jnp.zeros_like(gram)), np.mean(np.square(gram)), rtol=1e-5
    )


def test_losses_vanish_at_their_target(rng):
    features = draw(rng, 3, 4, 2)
    for convention in CONVENTIONS:
        gram = losses.gram_matrix(features, normalize=GRAM_OF[convention])
        assert losses.content_loss(features, features, convention=convention) == 0
        # The Gram matrix inside another program may differ in its last bits.
        assert losses.style_loss(features, gram, convention=convention) < 1e-12


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("bfloat16", 1.0), ("float16", 200.0)],
    ids=["bfloat16 stalls at 256", "float16 overflows at 65504"],
)
def test_gram_matrix_of_half_precision_is_summed_in_float32(dtype, value):
    gram = losses.gram_matrix(jnp.full((64, 64, 2), value, dtype), normalize="none")
    assert gram.dtype == jnp.float32
    np.testing.assert_array_equal(gram, np.full((2, 2), 4096 * value**2, np.float32))


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("bfloat16", 1.0), ("float16", 300.0)],
    ids=["bfloat16 stalls at 256", "float16 overflows at 65504"],
)
@pytest.mark.parametrize(("convention", "factor"), [("report", 1), ("gatys", 2048)])
def test_content_loss_of_half_precision_is_summed_in_float32(dtype, value, convention, factor):
    features, target = jnp.full((64, 64, 1), value, dtype), jnp.zeros((64, 64, 1), dtype)
    loss = losses.content_loss(features, target, convention=convention)
    assert loss.dtype == jnp.float32
    assert loss == factor * value**2


def test_total_variation_of_half_precision_is_summed_in_float32():
    stripes = jnp.zeros((64, 64, 1), jnp.bfloat16).at[::2].set(1)
    assert losses.total_variation(stripes) == 63 * 64


def test_float64_stays_float64(rng):
    with jax.enable_x64(True):
        features = jnp.asarray(rng.normal(size=(3, 4, 2)))
        results = losses_of(features, features + 1, features)
        assert {x.dtype for x in results.values()} == {jnp.dtype("float64")}


def test_total_variation_of_a_flat_image_is_zero():
    assert losses.total_variation(jnp.full((4, 5, 3), 0.7)) == 0


def test_total_variation_of_a_flat_image_has_zero_gradient():
    """Known defect elsewhere: the root of a sum of squares has no finite gradient there."""
    gradient = jax.grad(losses.total_variation)(jnp.full((4, 5, 3), 0.7))
    np.testing.assert_array_equal(gradient, np.zeros((4, 5, 3)))


@pytest.mark.parametrize("batch", [(), (1,), (2, 3)])
def test_total_variation_does_not_difference_channels(rng, batch):
    """Known defect elsewhere: an image in NHWC differenced along its axes 2 and 3."""
    varies_across_channels = np.broadcast_to(draw(rng, 3), (*batch, 4, 5, 3))
    np.testing.assert_array_equal(losses.total_variation(varies_across_channels), np.zeros(batch))


def test_total_variation_differences_both_height_and_width():
    down = jnp.zeros((4, 6, 1)).at[2:].set(1)
    across = jnp.zeros((4, 6, 1)).at[:, 3:].set(1)
    assert losses.total_variation(down) == 6
    assert losses.total_variation(across) == 4


def test_total_variation_does_not_wrap_around_the_edges():
    ramp = jnp.broadcast_to(jnp.arange(5.0)[:, None, None], (5, 3, 1))
    assert losses.total_variation(ramp) == 3 * 4


@pytest.mark.parametrize("batch", [(1,), (3,), (2, 3)])
def test_losses_keep_leading_axes_apart(rng, batch):
    features, target, image = (
        draw(rng, *batch, 4, 5, 3),
        draw(rng, *batch, 4, 5, 3),
        draw(rng, *batch, 6, 7, 3),
    )
    together = losses_of(features, target, image)
    for index in np.ndindex(batch):
        alone = losses_of(features[index], target[index], image[index])
        for name, value in alone.items():
            assert together[name].shape == (*batch, *value.shape)
            np.testing.assert_allclose(
                together[name][index], value, rtol=1e-5, atol=1e-6, err_msg=name
            )


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_one_target_serves_a_batch(rng, convention):
    features, target = draw(rng, 2, 3, 4, 2), draw(rng, 1, 3, 4, 2)
    gram = losses.gram_matrix(target, normalize=GRAM_OF[convention])
    content = losses.content_loss(features, target, convention=convention)
    style = losses.style_loss(features, gram, convention=convention)
    for i in range(2):
        np.testing.assert_allclose(
            content[i], content_by_loop(features[i], target[0], convention), rtol=1e-5
        )
        np.testing.assert_allclose(
            style[i], style_by_loop(features[i], target[0], convention), rtol=1e-5
        )


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_content_loss_is_twice_differentiable(rng, convention):
    with jax.enable_x64(True):
        features, target = jnp.asarray(rng.normal(size=(2, 2, 3, 4, 2)))

        def loss(features, target):
            return losses.content_loss(features, target, convention=convention)

        check_grads(loss, (features, target), order=2, modes=["rev"], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_style_loss_is_twice_differentiable(rng, convention):
    with jax.enable_x64(True):
        features, style = jnp.asarray(rng.normal(size=(2, 3, 4, 2)))

        def loss(features, style):
            gram = losses.gram_matrix(style, normalize=GRAM_OF[convention])
            return losses.style_loss(features, gram, convention=convention)

        check_grads(loss, (features, style), order=2, modes=["rev"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("normalize", ["locations", "none"])
def test_gram_matrix_is_twice_differentiable(rng, normalize):
    with jax.enable_x64(True):
        features = jnp.asarray(rng.normal(size=(3, 4, 2)))

        def gram(features):
            return losses.gram_matrix(features, normalize=normalize)

        check_grads(gram, (features,), order=2, modes=["rev"], rtol=1e-6, atol=1e-6)


def test_total_variation_has_the_numerical_gradient(rng):
    with jax.enable_x64(True):
        # Neighbors far enough apart that no step of the difference quotient crosses a kink.
        image = jnp.asarray(rng.permutation(60).reshape(4, 5, 3) / 60)
        check_grads(losses.total_variation, (image,), order=1, rtol=1e-6, atol=1e-6, eps=1e-4)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_gradient_of_content_loss_is_its_formula(rng, convention):
    features, target = draw(rng, 3, 4, 2), draw(rng, 3, 4, 2)
    gradient = jax.grad(losses.content_loss)(features, target, convention=convention)
    factor = {"report": 2 / features.size, "gatys": 1}[convention]
    np.testing.assert_allclose(gradient, factor * (features - target), rtol=1e-5, atol=1e-6)


def test_gradient_of_gatys_style_loss_is_that_of_the_paper(rng):
    """Gatys et al. 2016, equation 6, for positive features: F (G - A) / (N^2 M^2)."""
    features, style = np.abs(draw(rng, 3, 4, 2)), np.abs(draw(rng, 3, 4, 2))
    gram, target = gram_by_loop(features, "none"), gram_by_loop(style, "none")
    gradient = jax.grad(losses.style_loss)(
        features, jnp.asarray(target, jnp.float32), convention="gatys"
    )
    expected = features.reshape(12, 2) @ (gram - target) / (2**2 * 12**2)
    np.testing.assert_allclose(gradient, expected.reshape(3, 4, 2), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_losses_of_a_large_layer_compile(convention):
    """4 N^2 M^2 = 1.1e15 here: more than an int32 holds."""
    features = jax.ShapeDtypeStruct((512, 512, 64), jnp.float32)
    gram = jax.ShapeDtypeStruct((64, 64), jnp.float32)
    lowered = losses.style_loss.lower(features, gram, convention=convention)
    assert lowered.out_info.shape == ()
    assert losses.content_loss.lower(features, features, convention=convention)


def test_gatys_style_loss_of_large_sums_is_finite():
    """Sums of 4e19 have squares that no float32 holds; their mean over M does."""
    features = jnp.full((64, 64, 1), 1e8)
    loss = losses.style_loss(features, jnp.zeros((1, 1)), convention="gatys")
    np.testing.assert_allclose(loss, 1e32 / 4, rtol=1e-5)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "valid"),
    [
        (lambda x: losses.gram_matrix(x, normalize="channels"), "locations, none"),
        (lambda x: losses.content_loss(x, x, convention="johnson"), "report, gatys"),
        (lambda x: losses.style_loss(x, x[0], convention="johnson"), "report, gatys"),
    ],
    ids=["gram_matrix", "content_loss", "style_loss"],
)
def test_an_unknown_option_lists_the_valid_ones(call, valid):
    with pytest.raises(ValueError, match=valid):
        call(jnp.ones((2, 2, 2)))


@pytest.mark.parametrize(
    "loss", [losses.gram_matrix, losses.content_loss, losses.style_loss, losses.total_variation]
)
def test_losses_are_jitted(loss):
    assert hasattr(loss, "lower")


@pytest.mark.parametrize("shape", [(16, 18, 8), (2, 9, 7, 8), (3, 4, 8)])
def test_gram_matrix_of_bfloat16_and_its_gradient(shape, rng):
    """Summed in pieces on a CPU: with a rest, with batches, with fewer locations than pieces."""
    low = jnp.asarray(rng.uniform(size=shape), jnp.bfloat16)
    features = low.astype(jnp.float32)
    gram, exact = losses.gram_matrix(low), losses.gram_matrix(features)
    assert gram.dtype == jnp.float32
    np.testing.assert_allclose(gram, exact, atol=4e-3 * float(exact.max()))
    target = 0.5 * exact
    gradient = jax.grad(lambda x: losses.style_loss(x, target).sum())
    expected = gradient(features)
    np.testing.assert_allclose(
        gradient(low).astype(jnp.float32), expected, atol=0.02 * float(jnp.abs(expected).max())
    )


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("shape", [(5, 5, 3), (4, 5, 2), (1, 5, 3), (2, 4, 6, 3)])
def test_features_of_another_size_have_no_content_loss(shape):
    """Not even those that NumPy would stretch to the size of the target."""
    target = jnp.ones((4, 5, 3))
    with pytest.raises(ValueError, match="as large as the content image"):
        losses.content_loss(jnp.zeros(shape), target)
