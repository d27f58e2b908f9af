"""Whose colors a result has."""

from dataclasses import replace

import numpy as np
import pytest

from nst_jax import image, runs
from nst_jax.command import cli

LUMA = np.array([0.299, 0.587, 0.114])


@pytest.fixture
def muted(rng):
    """Two pictures whose colors are far from the limits, of other means and covariances."""
    first, second = rng.normal(size=(2, 30, 20, 3))
    mixed = [first @ rng.normal(size=(3, 3)), second @ rng.normal(size=(3, 3))]
    return tuple(
        np.float32(0.5 + shift + 0.04 * x) for shift, x in zip((0, 0.1), mixed, strict=True)
    )


def moments(picture):
    colors = picture.reshape(-1, 3).astype(np.float64)
    return colors.mean(axis=0), np.cov(colors.T, bias=True)


def chroma(picture):
    """Differences of blue and red from the light."""
    return picture[..., [2, 0]] - (picture @ LUMA)[..., None]


def test_a_picture_with_its_own_colors_is_itself(muted):
    np.testing.assert_allclose(image.with_colors_of(muted[0], muted[0]), muted[0], atol=1e-6)


def test_the_light_is_of_the_one_and_the_color_of_the_other(muted):
    found = image.with_colors_of(*muted)
    np.testing.assert_allclose(found @ LUMA, muted[0] @ LUMA, atol=1e-6)
    np.testing.assert_allclose(chroma(found), chroma(muted[1]), atol=1e-6)
    batch = image.with_colors_of(np.stack(muted), muted[1])
    np.testing.assert_array_equal(batch[0], found)


def test_colors_that_do_not_exist_are_clipped(muted):
    white = np.ones_like(muted[0])
    found = image.with_colors_of(white, white * np.float32([1, 0, 0]))
    assert 0 <= found.min() <= found.max() <= 1


def test_matched_colors_have_the_mean_and_covariance_of_the_others(muted):
    found = moments(image.match_colors(*muted))
    for actual, expected in zip(found, moments(muted[1]), strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-4)


def test_matched_with_itself_a_picture_is_itself(muted):
    np.testing.assert_allclose(image.match_colors(muted[0], muted[0]), muted[0], atol=1e-5)


def test_a_scale_of_one_color_is_the_map_of_least_change(rng):
    """Colors that do not go together are scaled one by one, none is turned into another."""
    base = np.linspace(-1, 1, 8)
    grid = np.stack(np.meshgrid(base, base, base, indexing="ij"), axis=-1).reshape(8, 64, 3)
    first, second = 0.5 + 0.2 * grid, 0.4 + grid * [0.1, 0.3, 0.2]
    found = image.match_colors(first.astype(np.float32), second.astype(np.float32))
    np.testing.assert_allclose(found, second, atol=2e-3)


def test_of_a_flat_picture_the_colors_are_flat(muted):
    flat = np.full((5, 6, 3), 0.3, np.float32)
    found = image.match_colors(flat, muted[1])
    np.testing.assert_allclose(found, np.broadcast_to(moments(muted[1])[0], found.shape), atol=1e-5)
    assert np.isfinite(image.match_colors(muted[0], flat)).all()


def painted(settings):
    record = runs.stylize_files(settings, say=lambda line: None, progress=False).record
    return record, image.load(settings.output), image.load(settings.content)


def test_the_content_s_colors_are_put_back_after_the_run(stylize):
    plain, picture, _ = painted(replace(stylize, init="content"))
    record, colored, content = painted(replace(stylize, init="content", colors="content"))
    np.testing.assert_array_equal(record.rows.total, plain.rows.total)
    assert record.final["total"] == plain.final["total"]
    levels = image.to_uint8(image.with_colors_of(picture, content))
    np.testing.assert_array_equal(image.to_uint8(colored), levels)


def test_light_alone_is_searched_in_gray(stylize):
    gray, picture, _ = painted(replace(stylize, gray=True))
    record, colored, content = painted(replace(stylize, colors="luminance", snapshot_every=6))
    np.testing.assert_array_equal(record.rows.total, gray.rows.total)
    levels = image.to_uint8(image.with_colors_of(picture, content))
    np.testing.assert_array_equal(image.to_uint8(colored), levels)
    np.testing.assert_array_equal(record.snapshots[-1], record.images)


def test_the_style_gets_the_content_s_colors_before(stylize):
    record, _, content = painted(replace(stylize, colors="matched"))
    (style,) = record.styles.values()
    matched = image.match_colors(image.load(stylize.style), content)
    np.testing.assert_array_equal(style, image.to_uint8(matched))


def test_a_run_with_the_content_s_colors_is_repeated_to_the_byte(stylize):
    painted(replace(stylize, colors="luminance"))
    assert cli.main(["rerun", str(stylize.log)]) == 0


def test_gray_and_colors_contradict_each_other(stylize):
    with pytest.raises(ValueError, match="--colors content gives it colors: leave"):
        painted(replace(stylize, gray=True, colors="content"))
