"""Pictures in another unit, or with other axes: each function that takes a picture says so."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from nst_jax import image, objective, pixels, solve, vgg

SMOOTH = np.linspace(0, 1, 6 * 8 * 3, dtype=np.float32).reshape(6, 8, 3)
MEAN, DEVIATION = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


def refused(picture, **options):
    """The one line with which a picture is refused."""
    with pytest.raises(ValueError, match="`photo` must") as caught:
        pixels.check_picture("photo", picture, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


# What is no picture


@pytest.mark.parametrize(
    ("picture", "found", "cure"),
    [
        (SMOOTH * 255, "got 0 to 255", "divide by 255"),
        (SMOOTH * 65535, "got 0 to 6.554e+04", "divide by 65535"),
        (SMOOTH * 2 - 1, "got -1 to 1", "(photo + 1) / 2"),
        ((SMOOTH - MEAN) / DEVIATION, "got -2.118 to 2.64", "photo * deviation + mean"),
        (SMOOTH * 255 - 255 * MEAN, "got -123.7", "divide by 255"),
        (np.where(SMOOTH > 0, SMOOTH, np.nan), "1 NaN among its 144", "finite"),
        (np.where(SMOOTH < 0.5, SMOOTH, -np.inf), "got -inf to", "not finite"),
        ((SMOOTH * 255).astype(np.uint8), "got uint8", "image.from_uint8(photo)"),
        ((SMOOTH * 255).astype(np.int64), "got int64", "divide by 255"),
        ((SMOOTH * 65535).astype(np.uint16), "got uint16", "divide by 65535"),
        (SMOOTH > 0.5, "got bool", "photo.astype(np.float32)"),
        (SMOOTH.astype(complex), "got complex128", "floats"),
    ],
)
def test_another_unit_is_named_with_its_cure(picture, found, cure):
    for each in (picture, jnp.asarray(picture)) if picture.dtype.itemsize < 8 else (picture,):
        message = refused(each)
        assert found in message
        assert cure in message


@pytest.mark.parametrize(
    ("shape", "options", "found"),
    [
        ((3, 6, 8), {}, "channels first"),
        ((1, 6, 8), {}, "channels first and gray"),
        ((6, 8), {}, "gray"),
        ((6, 8, 1), {}, "gray"),
        ((6, 8, 4), {}, "RGB with alpha"),
        ((2, 6, 8, 3), {}, "a batch"),
        ((2, 3, 6, 8), {}, "a batch and channels first"),
        ((2, 3, 6, 8), {"batch": True}, "channels first"),
        ((2, 6, 8, 1), {"batch": True}, "gray"),
    ],
)
def test_other_axes_are_named_with_their_cure(shape, options, found):
    """The expression in the message makes a picture of the array."""
    photo = np.full(shape, 0.5, np.float32)
    message = refused(photo, **options)
    assert f"got the shape {shape}, {found}: give " in message
    cured = eval(message.rpartition("give ")[2], {"np": np, "photo": photo})
    pixels.check_picture("photo", cured, **options)
    assert cured.shape[-3:] == (6, 8, 3)


@pytest.mark.parametrize("shape", [(), (3,), (6, 8, 2), (0, 8, 3), (2, 2, 2, 6, 8)])
def test_axes_of_no_picture_are_named(shape):
    assert f"(height, width, 3), got the shape {shape}" in refused(np.zeros(shape, np.float32))


class NoArray:
    """A tensor on another device."""

    def __array__(self, dtype=None, copy=None):
        raise TypeError("it is on a GPU\nsee the manual")


@pytest.mark.parametrize(
    ("photo", "line"),
    [
        ("photo.png", "got a path: give image.load(photo)"),
        (Path("photo.png"), "got a path: give image.load(photo)"),
        (None, "got NoneType"),
        ([[1.0], [2.0, 3.0]], "got list: "),
        (NoArray(), "got NoArray: it is on a GPU"),
        (Image.new("RGB", (8, 6)), "give image.from_uint8(photo)"),
        (Image.new("L", (8, 6)), "give np.repeat(np.asarray(photo)[..., None], 3, axis=-1)"),
        (np.zeros((6, 8, 3), [("red", np.float32)]), "must be of floats"),
    ],
)
def test_what_is_no_array_of_numbers_is_named(photo, line):
    assert line in refused(photo)


def test_masked_values_are_no_picture():
    photo = np.ma.masked_greater(SMOOTH, 0.5)
    with pytest.raises(ValueError, match=r"`photo` has masked values: give photo.filled\(0\)"):
        pixels.check_picture("photo", photo)
    pixels.check_picture("photo", photo.filled(0))


@pytest.mark.usefixtures("unchecked")
def test_a_cure_for_a_picture_of_pillow_works():
    """The message gives it."""
    photo = Image.fromarray(image.to_uint8(SMOOTH))
    np.testing.assert_allclose(image.from_uint8(photo), SMOOTH, atol=1 / 500)


@pytest.mark.usefixtures("unchecked")
def test_levels_are_made_of_floats_only():
    for values in (SMOOTH.astype(complex), SMOOTH > 0.5, [[None]]):
        with pytest.raises(ValueError, match="`image` must be of floats"):
            image.to_uint8(values)


# What is one


def test_half_precision_is_lost_once():
    """Levels less their mean, computed in it, would be off by half a level."""
    photo = jnp.asarray(SMOOTH, jnp.bfloat16)
    np.testing.assert_array_equal(vgg.preprocess(photo), vgg.preprocess(photo.astype(jnp.float32)))


@pytest.mark.usefixtures("unchecked")
def test_lists_are_a_picture_for_every_function():
    for function in FUNCTIONS.values():
        function(SMOOTH.tolist())


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, jnp.bfloat16])
def test_a_picture_of_any_floats_is_one(dtype):
    pixels.check_picture("photo", SMOOTH.astype(dtype))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-0.75, 1.75), (0.2, 0.2)])
def test_a_picture_may_leave_its_range_by_some(low, high):
    """L-BFGS does."""
    pixels.check_picture("photo", low + SMOOTH * (high - low))


def test_levels_are_a_picture_where_they_do_as_well():
    levels = image.to_uint8(SMOOTH)
    pixels.check_picture("photo", levels, levels=True)
    assert "channels first" in refused(levels.transpose(2, 0, 1), levels=True)


def test_a_batch_is_one_where_it_does_as_well():
    pixels.check_picture("photo", np.stack([SMOOTH] * 2), batch=True)


def test_within_a_transformation_only_axes_are_known():
    def checked(picture, **options):
        pixels.check_picture("photo", picture, **options)
        return picture

    jax.eval_shape(checked, SMOOTH * 255)
    jax.vmap(checked)(jnp.stack([SMOOTH * 255]))
    with pytest.raises(ValueError, match="channels first"):
        jax.eval_shape(checked, SMOOTH.transpose(2, 0, 1))


# Every function that takes one


def compute_targets(content, style):
    return objective.compute_targets(
        lambda picture: {"itself": picture},
        content,
        style,
        content_layers=["itself"],
        style_layers=["itself"],
    )


def run(start, solver=solve.stylize, **options):
    targets = compute_targets(SMOOTH, SMOOTH)
    loss = objective.make_objective(lambda picture: {"itself": picture}, targets)
    return solver(loss, start, objective.make_weights(targets), num_steps=1, **options)


FUNCTIONS = {
    "compute_targets, content": lambda picture: compute_targets(picture, SMOOTH),
    "compute_targets, style": lambda picture: compute_targets(SMOOTH, picture),
    "stylize": run,
    "sweep": lambda picture: run(picture, solve.sweep, learning_rates=[0.02]),
    "features": vgg.preprocess,
    "resize": lambda picture: image.resize(picture, 4, 4),
    "initial image, content": lambda picture: image.initial_image("noise", picture, SMOOTH),
    "initial image, style": lambda picture: image.initial_image("noise", SMOOTH, picture),
    "initial image, start": lambda picture: image.initial_image(picture, SMOOTH, SMOOTH),
}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (SMOOTH * 255, "divide by 255"),
        (SMOOTH * 2 - 1, "/ 2"),
        (np.where(SMOOTH < 1, SMOOTH, np.nan), "1 NaN"),
        (image.to_uint8(SMOOTH), "from_uint8"),
        (SMOOTH.transpose(2, 0, 1), "channels first"),
        (SMOOTH[..., 0], "gray"),
    ],
)
def test_every_function_refuses_it(name, picture, message):
    with pytest.raises(ValueError, match=message):
        FUNCTIONS[name](picture)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in ("sweep", "features")])
def test_every_function_of_one_picture_refuses_a_batch(name):
    with pytest.raises(ValueError, match=r"a batch: give \w+\[0\]"):
        FUNCTIONS[name](SMOOTH[None])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (SMOOTH * 255, "divide by 255"),
        (SMOOTH[None], "a batch"),
        (SMOOTH.transpose(2, 0, 1), "channels first"),
        (image.to_uint8(SMOOTH)[None], "a batch"),
    ],
)
def test_such_a_picture_is_not_saved(picture, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        image.save(tmp_path / "white.png", picture)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("unchecked")
def test_levels_are_made_of_what_goes_to_1_and_pictures_of_levels():
    with pytest.raises(ValueError, match="divide by 255"):
        image.to_uint8(SMOOTH * 255)
    with pytest.raises(ValueError, match="got float32"):
        image.from_uint8(SMOOTH)


@pytest.mark.usefixtures("unchecked")
def test_jax_arrays_are_saved_and_started_from(tmp_path):
    image.save(tmp_path / "smooth.png", jnp.asarray(SMOOTH))
    np.testing.assert_allclose(image.load(tmp_path / "smooth.png"), SMOOTH, atol=0.002)
    start = image.initial_image(jnp.asarray(SMOOTH), jnp.asarray(SMOOTH), jnp.asarray(SMOOTH))
    np.testing.assert_array_equal(start, SMOOTH)
