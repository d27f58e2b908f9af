"""Motion between frames: moved pictures, where they can be relied on, and the term of pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nst_jax import motion, terms

SHAPE = (24, 32)
warp, reliability = jax.jit(motion.warp), jax.jit(motion.reliability)


def places():
    """Columns and rows of all pixels."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32)
    return columns, rows


def flow_of(x, y):
    """One motion of all pixels."""
    return jnp.broadcast_to(jnp.asarray([x, y], jnp.float32), (*SHAPE, 2))


def scene(columns, rows):
    """A smooth picture, known between its pixels."""
    waves = [np.sin(0.21 * columns + 0.1 * k) * np.cos(0.17 * rows - 0.3 * k) for k in range(3)]
    return np.stack(waves, axis=-1).astype(np.float32) / 2 + 0.5


def turned(angle, zoom):
    """The flow to a scene that is turned about its middle and grows."""
    columns, rows = places()
    x, y = columns - SHAPE[1] / 2, rows - SHAPE[0] / 2
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    return np.stack([cos * x - sin * y - x, sin * x + cos * y - y], -1).astype(np.float32)


def test_a_scene_that_turns_and_grows_is_told_where_it_comes_from():
    there, back = turned(0.02, 1.02), turned(-0.02, 1 / 1.02)
    columns, rows = places()
    moved = scene(columns + there[..., 0], rows + there[..., 1])
    found = np.asarray(warp(jnp.asarray(scene(columns, rows)), jnp.asarray(there)))
    x, y = columns + there[..., 0], rows + there[..., 1]
    inside = (x >= 0) & (x <= SHAPE[1] - 1) & (y >= 0) & (y <= SHAPE[0] - 1)
    counts = np.asarray(reliability(jnp.asarray(there), jnp.asarray(back)))
    np.testing.assert_array_equal(counts, inside)
    assert 0.8 < inside.mean() < 1
    # Where all four neighbors are in the picture.
    within = (x >= 1) & (x <= SHAPE[1] - 2) & (y >= 1) & (y <= SHAPE[0] - 2)
    error, unmoved = (np.abs(each - moved)[within].max() for each in (found, scene(columns, rows)))
    assert error < unmoved / 30


def test_between_pixels_a_picture_is_cubic_and_beyond_it_is_its_border():
    columns, rows = places()
    slope = jnp.asarray(np.stack([columns / 32, rows / 24, columns**2 / 1024], -1))
    found = np.asarray(warp(slope, flow_of(2.25, -1.5)))
    x, y = np.clip(columns + 2.25, 0, SHAPE[1] - 1), np.clip(rows - 1.5, 0, SHAPE[0] - 1)
    expected = np.stack([x / 32, y / 24, x**2 / 1024], -1)
    # Polynomials up to the second degree are exact, where all four neighbors are in the picture.
    np.testing.assert_allclose(found[3:, :-4], expected[3:, :-4], atol=1e-6)
    np.testing.assert_allclose(found[3:, -2:], expected[3:, -2:], atol=1e-6)


def test_moved_there_and_back_strokes_keep_their_grain(rng):
    """Half a pixel each way, where linear weights would leave 0.65 of it."""
    columns, rows = places()
    waves = np.sin(columns * np.pi / 2.5) * np.sin(rows * np.pi / 3)
    picture = moved = jnp.asarray(np.stack([waves] * 3, -1), jnp.float32) / 2 + 0.5
    for x in (0.5, -0.5):
        moved = warp(moved, flow_of(x, 0))
    inside = np.s_[4:-4, 4:-4]
    assert np.std(moved[inside]) > 0.8 * np.std(picture[inside])


def test_without_motion_nothing_changes_and_everything_counts(rng):
    picture = jnp.asarray(rng.uniform(size=(*SHAPE, 3)), jnp.float32)
    still = flow_of(0, 0)
    np.testing.assert_array_equal(warp(picture, still), picture)
    np.testing.assert_array_equal(reliability(still, still), 1)


def test_what_was_hidden_does_not_count():
    """A square of 8 pixels goes 5 to the right over a scene at rest."""
    before, after = (np.zeros(SHAPE, bool) for _ in range(2))
    before[8:16, 6:14] = after[8:16, 11:19] = True
    forward, backward = np.zeros((*SHAPE, 2), np.float32), np.zeros((*SHAPE, 2), np.float32)
    forward[before], backward[after] = (5, 0), (-5, 0)
    found = np.asarray(reliability(jnp.asarray(backward), jnp.asarray(forward)))
    near = np.abs(np.gradient(backward[..., 0])).sum(axis=0) > 0
    np.testing.assert_array_equal(found == 0, (before & ~after) | near)


def test_what_comes_from_beyond_the_picture_does_not_count():
    found = np.asarray(reliability(flow_of(-3, 2), flow_of(3, -2)))
    expected = np.zeros(SHAPE)
    expected[:-2, 3:] = 1
    np.testing.assert_array_equal(found, expected)


def test_a_flow_that_is_not_known_does_not_count():
    hole = flow_of(1, 0).at[5, 9, 1].set(jnp.nan)
    lost = np.argwhere(np.asarray(reliability(flow_of(-1, 0), hole))[:, 1:] == 0)
    # And what lies between it and a neighbor.
    np.testing.assert_array_equal(lost, [[4, 8], [4, 9], [5, 8], [5, 9]])
    assert np.asarray(reliability(hole, flow_of(-1, 0)))[5, 9] == 0
    assert np.isfinite(warp(jnp.ones((*SHAPE, 3)), hole)).all()


def test_a_point_that_was_hidden_has_its_older_color_again():
    pictures = [jnp.full((*SHAPE, 3), x, jnp.float32) for x in (0.2, 0.6)]
    hidden = flow_of(0, 0).at[4:9, 4:9].set(jnp.nan)
    gone = flow_of(0, 0).at[6, 6].set(jnp.nan)
    picture, count = motion.predict(pictures, [hidden, gone], [flow_of(0, 0)] * 2)
    older = np.zeros(SHAPE, bool)
    # One pixel more, where the slope of the motion is not known either.
    older[3:10, 4:9] = older[4:9, 3:10] = True
    lost = {(5, 6), (6, 5), (6, 6), (6, 7), (7, 6)}
    assert {tuple(x) for x in np.argwhere(np.asarray(count) == 0)} == lost
    expected = np.where(older, np.float32(0.6), np.float32(0.2))
    for place in lost:
        expected[place] = 0.2
    np.testing.assert_array_equal(picture[..., 0], expected)


def test_a_flow_at_another_size_leads_to_the_same_points():
    found = motion.resize(flow_of(4, -6), SHAPE[0] // 2, SHAPE[1] // 4)
    np.testing.assert_allclose(found, np.broadcast_to([1.0, -3.0], (12, 8, 2)), rtol=1e-6)


@pytest.fixture
def seen(rng):
    return {
        name: terms.View(jnp.asarray(rng.uniform(size=(16, 20, 3)), jnp.float32), {})
        for name in ("image", "previous")
    }


def loss_of(image, previous, where):
    term = terms.pixel_content(reference="previous", region="reliable")
    region = previous._replace(where={terms.IMAGE: where})
    return term.losses_of(term.init({"previous": previous, "reliable": region}), image)[0]


def test_the_temporal_loss_is_the_formula_of_the_paper(seen, rng):
    where = (rng.uniform(size=(16, 20)) < 0.3).astype(np.float32)
    squares = np.square(np.asarray(seen["image"].image) - np.asarray(seen["previous"].image))
    expected = (where[..., None] * squares).sum() / (16 * 20 * 3)
    found = loss_of(seen["image"], seen["previous"], jnp.asarray(where))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_it_is_nothing_for_a_scene_at_rest_and_where_nothing_counts(seen):
    one = jnp.ones((16, 20))
    assert loss_of(seen["image"], seen["image"], one) == 0
    assert loss_of(*seen.values(), 0 * one) == 0
    gradient = jax.grad(lambda x: loss_of(terms.View(x, {}), seen["previous"], 0 * one))
    np.testing.assert_array_equal(gradient(seen["image"].image), 0)


def test_without_a_region_every_pixel_counts(seen):
    term = terms.pixel_content(reference="previous")
    found = term.losses_of(term.init(seen), seen["image"])
    np.testing.assert_array_equal(found[0], loss_of(*seen.values(), jnp.ones((16, 20))))


def test_parts_of_a_picture_add_up(seen, rng):
    where = jnp.asarray(rng.uniform(size=(16, 20)), jnp.float32)
    term = terms.pixel_content(reference="previous")
    targets, image = term.init(seen), seen["image"]
    parts = [image._replace(where={terms.IMAGE: x}) for x in (where, 1 - where)]
    sums = jax.tree.map(jnp.add, *(term.measure(targets, part) for part in parts))
    np.testing.assert_allclose(term.loss(targets, sums), term.losses_of(targets, image), rtol=1e-5)
