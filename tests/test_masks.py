"""Masks at layers, and terms of regions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nst_jax import losses, masks, terms, vgg

LAYERS = ("block1_conv1", "block2_conv1", "block3_conv1")


@pytest.fixture(scope="module")
def features(vgg_params):
    return vgg.feature_fn(vgg_params, LAYERS)


def left_half(height, width, at=None):
    at = width // 2 if at is None else at
    return np.zeros((height, width), np.float32) + (np.arange(width) < at)[None]


def textures(rng, height=48, width=64):
    """Two pictures without anything in common but their size."""
    stripes = np.broadcast_to((np.arange(width) // 2 % 2)[None, :, None], (height, width, 3))
    noise = rng.uniform(size=(height, width, 3))
    return np.float32(0.8 * stripes + 0.1), np.float32(noise)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("erosion", [0.0, 0.25, 0.5, 1.0])
def test_a_mask_has_the_locations_of_its_layer(features, layer, erosion):
    shape = jax.eval_shape(features, jax.ShapeDtypeStruct((37, 50, 3), np.float32))[layer].shape
    weights = masks.at_layer(jnp.ones((37, 50)), layer, erosion=erosion)
    np.testing.assert_array_equal(weights, np.ones(shape[:2]))


def test_without_erosion_it_is_the_mean_of_the_pixels_below():
    mask = jnp.asarray(left_half(8, 8, at=3))
    np.testing.assert_allclose(masks.at_layer(mask, "relu2_1", erosion=0.0), [[1, 0.5, 0, 0]] * 4)


def test_wholly_eroded_a_location_sees_nothing_else(features):
    """The pixels on which a chosen location depends lie in the region, all of them."""
    mask = left_half(48, 64)
    chosen = np.asarray(masks.at_layer(jnp.asarray(mask), "block3_conv1", erosion=1.0))
    assert 0 < chosen.sum() < chosen.size / 2
    picture = jnp.asarray(textures(np.random.default_rng(0))[1])

    def of_chosen(image):
        return jnp.sum(features(image)["block3_conv1"] * chosen[..., None])

    seen = np.abs(jax.jit(jax.grad(of_chosen))(picture)).sum(axis=-1)
    assert seen[mask == 1].max() > 0
    assert seen[mask == 0].max() == 0


def test_the_style_of_a_region_is_not_that_of_its_neighbor(features, rng):
    """By the pixels below it leaks; eroded it is that of a picture without the neighbor."""
    whole, other = textures(rng)
    mask = left_half(*whole.shape[:2])
    both = np.where(mask[..., None] == 1, whole, other)
    compute = jax.jit(lambda features, image: features(image))
    alone, beside = (compute(features, jnp.asarray(x))["block3_conv1"] for x in (whole, both))

    def error(erosion):
        where = masks.at_layer(jnp.asarray(mask), "block3_conv1", erosion=erosion)
        wanted, found = (losses.gram_sums(x, where).products for x in (alone, beside))
        return float(jnp.linalg.norm(found - wanted) / jnp.linalg.norm(wanted))

    assert error(0.5) < 0.02 < 0.05 < error(0.0)


def test_a_small_region_is_eroded_less_and_says_so():
    large = masks.region(left_half(64, 64, at=28), ("block1_conv1", "block4_conv1"))
    assert large.erosion == {"block1_conv1": 0.5, "block4_conv1": 0.25}
    assert set(large.where) == {"image", "block1_conv1", "block4_conv1"}
    assert min(float(weights.sum()) for weights in large.where.values()) >= masks.LEAST


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (left_half(64, 64, at=8), "the region is too small for block4_conv1: 8 of its locations"),
        (np.ones((4, 4, 3)), "a mask must have two axes and values from 0 to 1, got"),
        (np.full((32, 32), 255), "a mask must have two axes and values from 0 to 1, got"),
    ],
)
def test_masks_that_cannot_be_are_refused(mask, words):
    with pytest.raises(ValueError, match=words):
        masks.region(np.asarray(mask, np.float32), ("block4_conv1",))


@pytest.mark.parametrize("make", [terms.gram, terms.moments, terms.wasserstein])
def test_a_term_of_a_region_leaves_the_rest_alone(features, rng, make):
    """And two regions take two styles, by one program whatever the masks are."""
    first, second = textures(rng)
    layers = LAYERS[:2]
    mask = left_half(*first.shape[:2])

    def objective(mask):
        regions = {
            "left": masks.region(mask, layers).where,
            "right": masks.region(1 - mask, layers).where,
        }
        pictures = {"stripes": terms.view(features, first), "noise": terms.view(features, second)}
        pictures |= {name: terms.view(features, second, where) for name, where in regions.items()}
        named = {
            "left": make(layers, reference="stripes", region="left"),
            "right": make(layers, reference="noise", region="right"),
        }
        return terms.compose(features, named, pictures)

    gradient = jax.jit(lambda loss, image, weights: jax.grad(loss, has_aux=True)(image, weights)[0])
    opened = objective(mask)
    weights = terms.weigh(opened, {"left": 1.0, "right": 0.0})
    found = np.abs(gradient(opened, jnp.asarray(second), weights)).sum(axis=-1)
    assert found[mask == 1].max() > 0
    # Half of what a location sees lies inside: what it sees beyond counts little.
    assert found[:, 36:].max() < 1e-6 * found.max()
    gradient(objective(left_half(*first.shape[:2], at=24)), jnp.asarray(second), weights)
    assert gradient._cache_size() == 1
