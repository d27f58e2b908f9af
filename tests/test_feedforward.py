"""Networks that paint in one pass: their layers, sizes and files."""

import os
from pathlib import Path

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nst_jax import feedforward, image, strips, weights
from nst_jax.feedforward import FORMS, Architecture
from nst_jax.image import samples

PUBLISHED = "NST_JAX_FEEDFORWARD"
"""The variable that names a file of Engstrom's, which is not of this repository."""


# Operation by operation it would take ten times as long.
paint = jax.jit(feedforward.paint, static_argnames=("architecture", "precision"))


def small(form):
    return Architecture(form, width=2, residuals=1)


def drawn(architecture, seed=0):
    """Parameters without a zero or a one among them."""
    rng = np.random.default_rng(seed)
    return {
        layer: {
            name: np.float32(rng.normal(size=shape) / np.sqrt(np.prod(shape[:-1])))
            for name, shape in own.items()
        }
        for layer, own in feedforward.parameter_shapes(architecture).items()
    }


@pytest.fixture
def picture(rng):
    """Of odd sides: two rows and three columns are filled up."""
    return rng.uniform(size=(10, 9, 3)).astype(np.float32)


# The same in NumPy and float64, written down from the papers.


def convolved(x, kernel, step):
    """Of an input that is padded already."""
    side = len(kernel)
    rows = [x[i : len(x) - side + 1 + i : step] for i in range(side)]
    return sum(
        rows[i][:, j : x.shape[1] - side + 1 + j : step] @ kernel[i, j]
        for i in range(side)
        for j in range(side)
    )


def of_zeros(x, kernel, step):
    """TensorFlow's "SAME": of an odd number of zeros the last one is behind."""
    pads = []
    for length in x.shape[:2]:
        count = max((-(-length // step) - 1) * step + len(kernel) - length, 0)
        pads.append((count // 2, count - count // 2))
    return convolved(np.pad(x, (*pads, (0, 0))), kernel, step)


def of_mirror(x, kernel, step):
    margin = len(kernel) // 2
    pads = ((margin, margin), (margin, margin), (0, 0))
    return convolved(np.pad(x, pads, mode="reflect"), kernel, step)


def transposed(x, kernel):
    """The transpose of `of_zeros` with step 2, whose one zero is behind."""
    height, width, _ = x.shape
    found = np.zeros((2 * height + 1, 2 * width + 1, kernel.shape[2]))
    for i in range(3):
        for j in range(3):
            found[i : i + 2 * height : 2, j : j + 2 * width : 2] += x @ kernel[i, j].T
    return found[:-1, :-1]


def normalized(x, own, epsilon):
    mean, variance = x.mean((0, 1)), x.var((0, 1))
    return own["scale"] * (x - mean) / np.sqrt(variance + epsilon) + own["shift"]


def painted(params, x, form):
    """What a network with one residual block gives."""
    height, width, _ = x.shape
    x = np.pad(x.astype(np.float64), ((0, -height % 4), (0, -width % 4), (0, 0)), mode="reflect")
    is_ours = form == "resize"
    convolve = of_mirror if is_ours else of_zeros
    epsilon = 1e-5 if is_ours else 1e-3

    def layer(name, x, step=1):
        return normalized(convolve(x, params[name]["kernel"], step), params[name], epsilon)

    def enlarged(name, x):
        if is_ours:
            return layer(name, x.repeat(2, 0).repeat(2, 1))
        return normalized(transposed(x, params[name]["kernel"]), params[name], epsilon)

    x = np.maximum(layer("conv1", x if is_ours else 255 * x), 0)
    x = np.maximum(layer("conv2", x, 2), 0)
    x = np.maximum(layer("conv3", x, 2), 0)
    x = x + layer("res1_2", np.maximum(layer("res1_1", x), 0))
    x = np.maximum(enlarged("up1", x), 0)
    x = np.maximum(enlarged("up2", x), 0)
    if is_ours:
        x = convolve(x, params["out"]["kernel"], 1) + params["out"]["bias"]
    else:
        x = layer("out", x)
    return ((150 * np.tanh(x) + 127.5) / 255)[:height, :width]


@pytest.mark.parametrize("form", FORMS)
def test_a_network_computes_what_the_papers_say(form, picture):
    params = drawn(small(form))
    found = paint(params, picture, small(form))
    assert found.shape == picture.shape
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, painted(params, picture, form), atol=2e-5)


@pytest.mark.parametrize("form", FORMS)
def test_a_batch_is_its_pictures(form, rng):
    params = drawn(small(form))
    batch = rng.uniform(size=(2, 1, 8, 12, 3)).astype(np.float32)
    alone = paint(params, batch[1, 0], small(form))
    found = paint(params, batch, small(form))
    np.testing.assert_allclose(found[1, 0], alone, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("precision", "tolerance"), [("float32", 2e-5), ("bfloat16", 0.05)], ids=str
)
def test_in_strips_a_picture_is_the_same(form, precision, tolerance, rng):
    """Of 36 rows, in strips of 8, at a quarter of 9 in two: with an overlap."""
    architecture = small(form)
    x = rng.uniform(size=(35, 14, 3)).astype(np.float32)
    whole = paint(drawn(architecture), x, architecture, precision=precision)
    found = strips.paint(drawn(architecture), x, architecture, rows=8, precision=precision)
    assert found.shape == x.shape
    np.testing.assert_allclose(found, whole, atol=tolerance)
    # Each strip of its own would be another picture: they share means and variances.
    alone = paint(drawn(architecture), x[:8], architecture, precision=precision)
    assert np.abs(alone - whole[:8]).max() > 4 * tolerance


def test_strips_have_an_even_number_of_rows_and_a_picture_is_no_smaller_than_whole(picture):
    with pytest.raises(ValueError, match="7 x 4 pixels is too small"):
        strips.paint(drawn(small("resize")), np.zeros((4, 7, 3), np.float32), small("resize"))
    with pytest.raises(ValueError, match="an even number of rows, got 7"):
        strips.paint(drawn(small("resize")), picture, small("resize"), rows=7)


@pytest.mark.parametrize(("height", "width"), [(5, 5), (6, 23), (31, 7)])
def test_any_size_from_the_smallest_one_up(height, width, rng):
    x = rng.uniform(size=(height, width, 3)).astype(np.float32)
    assert paint(drawn(small("resize")), x, small("resize")).shape == x.shape


def test_smaller_pictures_are_refused():
    with pytest.raises(
        ValueError, match="7 x 4 pixels is too small: both sides must be at least 5"
    ):
        feedforward.paint(drawn(small("resize")), np.zeros((4, 7, 3), np.float32), small("resize"))


def test_a_picture_of_another_contrast_is_painted_alike(picture):
    """Of every first layer the mean and the contrast are taken out, also at the border."""
    params = drawn(small("resize"))
    first = paint(params, picture, small("resize"))
    pale = paint(params, 0.3 + 0.5 * picture, small("resize"))
    np.testing.assert_allclose(pale, first, atol=2e-3)


@pytest.mark.parametrize("form", FORMS)
def test_the_gradient_of_a_flat_picture_is_finite(form):
    def loss(params, x):
        return jnp.sum(jnp.square(feedforward.paint(params, x, small(form))))

    flat = jnp.full((5, 5, 3), 0.5)
    for found in jax.jit(jax.grad(loss, (0, 1)))(drawn(small(form)), flat):
        assert all(np.isfinite(each).all() for each in jax.tree.leaves(found))


def test_networks_of_one_architecture_share_a_program(picture, count_compilations):
    fns = [feedforward.paint_fn(drawn(small("resize"), seed), small("resize")) for seed in (0, 1)]
    run = jax.jit(lambda fn, x: fn(x))
    with count_compilations("<lambda>") as compiled:
        one, other = (run(fn, picture) for fn in fns)
    assert len(compiled) == 1
    assert not np.allclose(one, other)


def test_bfloat16_is_near(picture):
    params = drawn(small("resize"))
    near = paint(params, picture, small("resize"), precision="bfloat16")
    exact = paint(params, picture, small("resize"))
    assert near.dtype == jnp.float32
    assert 0 < np.abs(near - exact).max() < 0.1


@pytest.mark.parametrize("form", FORMS)
def test_parameters_to_begin_with_are_of_the_architecture(form):
    params = feedforward.init_params(3, small(form))
    assert feedforward.architecture_of(jax.tree.map(np.shape, params), form) == small(form)
    assert params["conv2"]["scale"].tolist() == [1.0] * 4
    # Of an enlargement, whatever the order of its axes: 9 x 8 inputs.
    assert 0.5 < np.std(params["up1"]["kernel"]) * np.sqrt(9 * 8) < 1.5


def test_ours_is_as_large_as_the_published_one():
    """1,677,638 numbers, less the normalization of the last layer, with its bias."""
    for form, count in (("lengstrom", 1_677_638), ("resize", 1_677_638 - 3)):
        shapes = feedforward.parameter_shapes(Architecture(form))
        assert sum(np.prod(x) for own in shapes.values() for x in own.values()) == count


def test_impossible_architectures_are_refused(unchecked):
    with pytest.raises(ValueError, match="`form` must be one of resize, lengstrom, got 'other'"):
        Architecture("other")
    with pytest.raises(ValueError, match="got 0 and 5"):
        Architecture(width=0)
    params = drawn(small("resize"))
    with pytest.raises(ValueError, match=r"conv1/kernel: expected the shape .* 32\), got .* 2\)"):
        feedforward.paint_fn(params)
    del params["out"]["bias"]
    with pytest.raises(ValueError, match=r"out/bias: expected the shape \(3,\), got nothing"):
        feedforward.paint_fn(params, small("resize"))


# Files


@pytest.fixture
def saved(tmp_path):
    """A file of a small network."""
    path = tmp_path / "wave.h5"
    said = {"style": "wave.jpg", "licence": "of its photographs"}
    weights.save_feedforward(path, weights.Feedforward(drawn(small("resize")), "resize", said))
    return path


def test_a_file_gives_back_the_network_and_what_it_says(saved):
    found = weights.load_feedforward(saved)
    jax.tree.map(np.testing.assert_array_equal, found.params, drawn(small("resize")))
    assert found.architecture == small("resize")
    assert found.attributes["style"] == "wave.jpg"
    assert found.attributes["convention"] == "RGB, 0 to 1"


def test_a_file_without_attributes_is_taken_for_a_published_one(tmp_path):
    params = drawn(small("lengstrom"))
    with h5py.File(tmp_path / "published.h5", "w") as file:
        for layer, own in params.items():
            for name, value in own.items():
                file[f"{layer}/{name}"] = value.astype(np.float16)
    found = weights.load_feedforward(tmp_path / "published.h5")
    assert found.form == "lengstrom"
    assert "Logan Engstrom" in found.attributes["licence"]
    assert found.params["up1"]["kernel"].dtype == np.float32
    np.testing.assert_allclose(found.params["out"]["scale"], params["out"]["scale"], rtol=1e-3)


def put(name, value):
    def change(file):
        del file[name]
        file[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda file: file.pop("up1"), r"up1/kernel: expected the shape \(3, 3, 8, 4\), got noth"),
        (lambda file: file.create_dataset("x", data=[1.0]), "/x: expected nothing, got the"),
        (
            put("conv2/scale", [1.0]),
            r"conv2/scale: expected the shape \(4,\), got the",
        ),
        (put("out/bias", [0.0, np.nan, 0.0]), "out bias: expected finite numbers, found 1"),
        (put("out/bias", [0, 1, 2]), "out bias: expected float16 or .*, found int"),
        (
            lambda file: file.attrs.update(form="other"),
            "must be one of .*, got 'other'",
        ),
        (lambda file: file.attrs.update(form="lengstrom"), "up1/kernel: expected the shape"),
    ],
)
def test_files_of_another_kind_are_refused_in_a_line(saved, change, said):
    with h5py.File(saved, "a") as file:
        change(file)
    with pytest.raises(ValueError, match=rf"^{saved}.*{said}") as error:
        weights.load_feedforward(saved)
    assert "\n" not in str(error.value)


def test_weights_of_a_vgg_are_refused(weight_file):
    with pytest.raises(ValueError, match="is no network that paints in one pass: conv1/kernel"):
        weights.load_feedforward(weight_file)
    with pytest.raises(FileNotFoundError, match="no such file"):
        weights.load_feedforward(Path("nowhere.h5"))


@pytest.mark.skipif(PUBLISHED not in os.environ, reason=f"{PUBLISHED} names no published network")
def test_a_published_network_paints():
    network = weights.load_feedforward(Path(os.environ[PUBLISHED]))
    fn = feedforward.paint_fn(network.params, network.architecture)
    photo = image.load(samples.PORTRAIT, size=96)
    found = np.clip(jax.jit(lambda fn, x: fn(x))(fn, photo), 0, 1)
    # A painting of the photograph: its light and shade are there, other colors and strokes as well.
    luma = [x.mean(-1).ravel() for x in (photo, found)]
    assert 0.5 < np.corrcoef(*luma)[0, 1] < 0.99
    assert np.abs(found - photo).mean() > 0.05
