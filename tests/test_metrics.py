"""Metrics against independent programs, closed forms and identities."""

import json
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nst_jax import alexnet, image, metrics, squeezenet, terms, weights

GOLDEN = json.loads((Path(__file__).parent / "golden/metrics.json").read_text())
HELD_OUT = Path(
    os.environ.get("NST_JAX_JUDGES") or Path(__file__).parents[2] / "shared" / "heldout"
)
needs_judges = pytest.mark.skipif(
    not (HELD_OUT / "alexnet_lpips.h5").exists(), reason="needs the trained judges"
)


@pytest.fixture(scope="module")
def pair():
    """The pictures of `golden/make_metrics.py`: smooth colors, and others with noise."""
    rng = np.random.RandomState(0)
    rows, columns = np.mgrid[0:40, 0:52] / 10
    waves = np.stack([np.sin(rows + columns), np.cos(columns), np.sin(2 * rows - columns)], axis=-1)
    first = (0.5 + 0.4 * waves).astype(np.float32)
    second = np.clip(first[::-1] + 0.1 * rng.standard_normal(first.shape), 0, 1)
    return tuple(np.round(x * 255).astype(np.uint8) / np.float32(255) for x in (first, second))


@pytest.fixture(scope="module")
def random_judges():
    """Networks of small random weights: what they say means nothing, but is not constant."""
    rng = np.random.default_rng(0)

    def drawn(shapes):
        return {
            layer: {
                name: rng.normal(size=shape, scale=0.05).astype(np.float32)
                for name, shape in parameters.items()
            }
            for layer, parameters in shapes.items()
        }

    eyes = drawn(alexnet.parameter_shapes())
    linear = {x: rng.uniform(size=eyes[x]["bias"].shape).astype(np.float32) for x in alexnet.LAYERS}
    return metrics.Judges(
        alexnet.feature_fn(eyes),
        linear,
        squeezenet.feature_fn(drawn(squeezenet.parameter_shapes()), ("conv10",)),
    )


@pytest.mark.parametrize("name", ["ssim", "psnr", "patch_distance", "chroma_speckle"])
def test_a_metric_of_two_pictures_is_that_of_an_independent_program(name, pair):
    content, picture = pair
    assert float(getattr(metrics, name)(picture, content)) == pytest.approx(GOLDEN[name], rel=1e-4)


def test_the_border_is_that_of_an_independent_program(pair):
    found = metrics.border_saturation(pair[1])
    assert float(found) == pytest.approx(GOLDEN["border_saturation"], rel=1e-5)


def test_a_batch_is_each_picture_alone(pair):
    content, picture = pair
    batch = np.stack([picture, content])
    for metric in (metrics.ssim, metrics.psnr, metrics.chroma_speckle):
        alone = [float(metric(x, content)) for x in batch]
        np.testing.assert_allclose(metric(batch, content), alone, rtol=1e-5)


@pytest.mark.parametrize("metric", [metrics.ssim, metrics.psnr])
def test_fidelity_takes_any_batch_and_is_computed_in_float32(metric, pair):
    content, picture = (jnp.asarray(x, jnp.bfloat16) for x in pair)
    exact = metric(picture.astype(jnp.float32), content.astype(jnp.float32))
    batch = jnp.broadcast_to(picture, (2, 3, *picture.shape))
    np.testing.assert_allclose(metric(batch, content), np.full((2, 3), exact), rtol=1e-5)


def test_the_content_itself_keeps_everything(pair, random_judges):
    found = metrics.measure(pair[0], *pair, random_judges)
    assert found["psnr"] == np.inf
    assert [found[x] for x in ("ssim", "lpips", "class_agreement")] == pytest.approx([1, 0, 1])
    assert metrics.measure(*pair[::-1], pair[1], random_judges)["ssim"] < 0.9


def test_the_style_itself_has_no_distance(pair, random_judges):
    found = metrics.measure(*pair, pair[0], random_judges)
    assert found["patch_distance"] == 0
    assert found["chroma_speckle"] == pytest.approx(1)
    assert found["style_distance"] == pytest.approx(0, abs=2e-3)
    assert metrics.measure(*pair, pair[1], random_judges)["style_distance"] > 0.01


def test_the_total_of_the_style_is_the_mean_of_the_layers(pair, random_judges):
    found = metrics.measure(*pair, pair[1], random_judges)
    layers = [found[f"style_distance_{x}"] for x in alexnet.LAYERS]
    assert found["style_distance"] == pytest.approx(np.mean(layers), rel=1e-5)


def test_the_style_distance_of_normal_channels_is_its_closed_form(rng):
    """Of one channel W^2 = (m - m')^2 + (s - s')^2; in parts of m'^2 + s'^2."""
    values = rng.normal(size=(40, 40, 1))
    values = ((values - values.mean()) / values.std()).astype(np.float32)
    features, style = {"layer": 3 * values + 1}, {"layer": 2 * values + 4}
    found = metrics.style_distances(features, style)
    assert float(found["layer"]) == pytest.approx((9 + 1) / (16 + 4), rel=1e-3)
    scaled = [{"layer": 50 * x["layer"]} for x in (features, style)]
    assert float(metrics.style_distances(*scaled)["layer"]) == pytest.approx(0.5, rel=1e-3)


def test_lpips_is_its_formula_and_does_not_see_the_scale_of_features(rng):
    features, content = (
        {x: rng.uniform(size=(5, 4, n)).astype(np.float32) for x, n in (("a", 3), ("b", 6))}
        for _ in range(2)
    )
    linear = {"a": np.float32([1, 0, 2]), "b": np.ones(6, np.float32)}

    def unit(x):
        return x / np.linalg.norm(x, axis=-1, keepdims=True)

    expected = sum(
        np.mean(((unit(features[x]) - unit(content[x])) ** 2) @ linear[x]) for x in linear
    )
    assert float(metrics.lpips(features, content, linear)) == pytest.approx(expected, rel=1e-5)
    brighter = {x: 7 * each for x, each in features.items()}
    assert float(metrics.lpips(brighter, content, linear)) == pytest.approx(expected, rel=1e-5)


def test_patches_that_differ_by_a_constant_are_as_far_apart(pair):
    style = 0.5 * pair[0]
    assert float(metrics.patch_distance(style + 0.3, style)) == pytest.approx(0.3, rel=0.1)


def test_patches_do_not_see_where_they_are(pair):
    tiles = np.tile(pair[0][:20, :26], (2, 2, 1))
    moved = np.roll(tiles, (20, 26), axis=(0, 1))
    assert float(metrics.patch_distance(moved, tiles)) == 0
    larger = np.tile(pair[0][:20, :26], (3, 3, 1))
    assert float(metrics.patch_distance(larger, tiles)) < 0.03
    assert float(metrics.patch_distance(larger, tiles, most=100)) < 0.1


def test_noise_of_color_is_speckle_and_noise_of_light_is_not(pair, rng):
    content = pair[0] * 0.5 + 0.25
    noise = 0.05 * rng.normal(size=content.shape).astype(np.float32)
    gray = np.broadcast_to(noise[..., :1], noise.shape)
    light, color, strong = (
        float(metrics.chroma_speckle(content + x, content)) for x in (gray, noise, 2 * noise)
    )
    assert light == pytest.approx(1, abs=0.05)
    assert color > 100
    assert strong == pytest.approx(4 * color, rel=0.05)


def test_of_a_gray_style_the_speckle_is_infinite_and_of_two_it_is_nothing(pair):
    gray = np.repeat(pair[0][..., :1], 3, axis=-1) * 0 + np.float32(0.5)
    assert float(metrics.chroma_speckle(pair[0], gray)) == np.inf
    assert np.isnan(metrics.chroma_speckle(gray, gray))


def test_a_saturated_border_stands_out():
    picture = np.full((30, 40, 3), [0.5, 0.4, 0.4], np.float32)
    assert float(metrics.border_saturation(picture)) == pytest.approx(1)
    picture[:2], picture[-2:] = [1, 0.2, 0.2], [1, 0.2, 0.2]
    picture[:, :2], picture[:, -2:] = [1, 0.2, 0.2], [1, 0.2, 0.2]
    assert float(metrics.border_saturation(picture)) == pytest.approx(4)


def test_what_a_classifier_says_is_compared_at_the_class_of_the_content():
    content, other = jnp.array([0.0, 3, 1]), jnp.array([2.0, 1, 0])
    found = metrics.recognition(jnp.stack([content, other]), jnp.stack([content, content]))
    np.testing.assert_array_equal(found.agreement, [1, 0])
    softmax = np.exp(other) / np.exp(other).sum()
    assert float(found.probability[1]) == pytest.approx(softmax[1])


def test_without_a_judge_its_metrics_are_left_out(pair, random_judges):
    alone = metrics.measure(*pair, pair[0])
    assert set(alone) == {"ssim", "psnr", "patch_distance", "chroma_speckle", "border_saturation"}
    without_linear = random_judges._replace(linear=None, squeezenet=None)
    assert "style_distance" in without_linear.names
    assert not {"lpips", "class_agreement"} & set(without_linear.names)
    assert random_judges.names == tuple(metrics.METRICS)


def test_judges_are_arguments_of_one_program(pair, random_judges, count_compilations):
    metrics.measure(*pair, pair[1], random_judges)
    other = jax.tree.map(lambda x: np.asarray(x) * np.float32(0.9), random_judges)
    with count_compilations() as compiled:
        metrics.measure(*pair, pair[0], other)
    assert not compiled


def test_metrics_have_gradients(pair):
    content, picture = map(jnp.asarray, pair)

    def total(x):
        features, kept = ({"tanh": jnp.tanh(each)} for each in (x, content))
        near = metrics.lpips(features, kept, {"tanh": jnp.ones(3)}) + metrics.ssim(x, content)
        return near + metrics.patch_distance(x, content) + metrics.chroma_speckle(x, content)

    gradient = jax.grad(total)(picture)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        (((30, 60), (30, 60), (40, 40)), "image has 60 x 30 pixels: metrics need 31"),
        (((40, 60), (40, 60), (40, 20)), "painting has 20 x 40 pixels: metrics need 31"),
        (((40, 60), (40, 61), (40, 40)), "`content` must have the size of `image`, 60 x 40"),
    ],
)
def test_pictures_that_cannot_be_judged_are_refused(shapes, words, unchecked):
    pictures = [np.full((*shape, 3), 0.5, np.float32) for shape in shapes]
    with pytest.raises(ValueError, match=words):
        metrics.measure(*pictures)


def test_a_metric_that_was_optimized_is_no_judge():
    names = tuple(metrics.METRICS)
    assert metrics.optimized(names, arch="vgg19", kinds=["content", "gram"]) == {}
    by_kind = metrics.optimized(names, arch="vgg19", kinds=["wasserstein", "total_variation"])
    assert by_kind.keys() == {x for x in names if x.startswith("style")} | {"chroma_speckle"}
    by_network = metrics.optimized(names, arch="alexnet", kinds=["gram"])
    assert "lpips" in by_network
    assert "class_agreement" not in by_network


def test_every_statistic_that_a_metric_shares_is_a_kind_of_term():
    shared = {kind for metric in metrics.METRICS.values() for kind in metric.statistics}
    assert shared <= set(terms.KINDS)


def test_patches_larger_than_a_picture_are_refused(pair):
    with pytest.raises(ValueError, match="patches of 7 x 7 pixels need pictures as large"):
        metrics.patch_distance(pair[0], pair[1][:6])


def test_metrics_of_other_versions_come_last():
    assert metrics.in_order(["newer", "psnr", "ssim"]) == ["ssim", "psnr", "newer"]


@needs_judges
@pytest.mark.parametrize(("name", "published"), [("ex_p0.png", 0.722), ("ex_p1.png", 0.138)])
def test_lpips_is_the_published_number(name, published):
    found = weights.load_judges(HELD_OUT)
    judges = metrics.Judges(
        alexnet.feature_fn(found.alexnet),
        {f"conv{i}": found.lpips[f"lin{i}"] for i in range(1, 6)},
    )
    pictures = (image.load(HELD_OUT / x) for x in (name, "ex_ref.png", "ex_ref.png"))
    assert metrics.measure(*pictures, judges)["lpips"] == pytest.approx(published, abs=5e-4)
