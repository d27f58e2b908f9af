"""The terms of the famous presets against formulas written out from papers and descriptions.

Each formula is in NumPy, in the units and with the divisors of its own source; the presets say the
same in ours.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nst_jax import config, presets, runs, terms, vgg
from nst_jax.runs import grid, objectives

HEIGHT, WIDTH = 32, 48
COLORS = 3
LAYERS = {layer.name: layer for layer in vgg.architecture() if layer.kind == "conv"}


def toy_features(image):
    """Of each layer as many channels and locations as VGG's, of an image of 32 x 48 pixels."""
    found = {}
    for name, layer in LAYERS.items():
        size, channels = layer.stride, layer.channels
        means = image.reshape(HEIGHT // size, size, WIDTH // size, size, COLORS).mean((1, 3))
        mixed = np.random.default_rng(channels + size).normal(size=(COLORS, channels)) * 30
        found[name] = jnp.maximum(means @ jnp.asarray(mixed, jnp.float32) + 5, 0)
    return found


class Picture:
    """A picture in the words of the formulas: x its pixels, F(layer) features, G(layer) sums."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        # Of another brightness and contrast each, so that statistics differ.
        self.x = rng.uniform(size=(HEIGHT, WIDTH, COLORS)).astype(np.float32) ** (1 + 2 * seed)
        self._features = toy_features(jnp.asarray(self.x))

    def F(self, layer):
        return np.asarray(self._features[vgg.canonical_name(layer)], np.float64)

    def locations(self, layer):
        return self.F(layer).reshape(-1, self.F(layer).shape[-1])

    def G(self, layer):
        rows = self.locations(layer)
        return rows.T @ rows


def channels(layer):
    return LAYERS[vgg.canonical_name(layer)].channels


def locations(layer):
    stride = LAYERS[vgg.canonical_name(layer)].stride
    return HEIGHT // stride * (WIDTH // stride)


def mean_square(a, b):
    return np.mean((a - b) ** 2)


def slopes(x):
    return x[1:] - x[:-1], x[:, 1:] - x[:, :-1]


RELU_1 = [f"relu{block}_1" for block in range(1, 6)]
CONV_1 = [f"block{block}_conv1" for block in range(1, 6)]


def gram_over_all(x, s, layer):
    """Gram matrices over channels and locations, and the mean of the squares of differences."""
    count = channels(layer) * locations(layer)
    return mean_square(x.G(layer) / count, s.G(layer) / count)


def gram_over_locations(x, s, layer):
    return mean_square(x.G(layer) / locations(layer), s.G(layer) / locations(layer))


def jcjohnson(x, p, s):
    down, right = slopes(x.x.astype(np.float64) * 256)
    return {
        "content": 5 * mean_square(x.F("relu4_2"), p.F("relu4_2")),
        "style": 100 * sum(gram_over_all(x, s, layer) for layer in RELU_1),
        # The gradient of half the squares is what it adds.
        "variation": 1e-3 * (np.sum(down**2) + np.sum(right**2)) / 2,
    }


def neural_style_pt(x, p, s):
    down, right = slopes(x.x.astype(np.float64) * 256)
    variation = 1e-3 * (np.sum(np.abs(down)) + np.sum(np.abs(right)))
    return jcjohnson(x, p, s) | {"variation": variation}


def tensorflow_tutorial(x, p, s):
    down, right = slopes(x.x.astype(np.float64))
    return {
        "content": 1e4 * mean_square(x.F("block5_conv2"), p.F("block5_conv2")),
        "style": 1e-2 * np.mean([gram_over_locations(x, s, layer) for layer in CONV_1]),
        "total_variation": 30 * (np.sum(np.abs(down)) + np.sum(np.abs(right))),
    }


def keras_tutorial(x, p, s):
    down, right = slopes(x.x.astype(np.float64) * 255)
    of_layers = [
        np.sum((x.G(layer) - s.G(layer)) ** 2) / (4 * COLORS**2 * (HEIGHT * WIDTH) ** 2)
        for layer in CONV_1
    ]
    powers = (down[:, :-1] ** 2 + right[:-1] ** 2) ** 1.25
    return {
        "content": 2.5e-8 * np.sum((x.F("block5_conv2") - p.F("block5_conv2")) ** 2),
        "style": 1e-6 / len(CONV_1) * sum(of_layers),
        "variation": 1e-6 * np.sum(powers),
    }


def pytorch_tutorial(x, p, s):
    layers = ["conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1"]
    return {
        "content": mean_square(x.F("conv2_2"), p.F("conv2_2")),
        "style": 1e6 * sum(gram_over_all(x, s, layer) for layer in layers),
    }


def gatys_2016(x, p, s):
    """Equations 1 to 7, of features divided by their mean, so that it is 1."""
    means = dict(zip(RELU_1, [23.6, 103, 78.8, 213, 10.5], strict=True))

    def style_of(layer):
        difference = (x.G(layer) - s.G(layer)) / means[layer] ** 2
        return np.sum(difference**2) / (4 * channels(layer) ** 2 * locations(layer) ** 2)

    alpha, beta = 1, 1e3
    content = np.sum((x.F("relu4_2") / 142 - p.F("relu4_2") / 142) ** 2) / 2
    return {
        "content": alpha * content,
        "style": beta * sum(style_of(layer) / 5 for layer in RELU_1),
    }


def gatys_2016_code(x, p, s):
    weights = [1e3 / channels(layer) ** 2 for layer in RELU_1]
    of_layers = [gram_over_locations(x, s, layer) for layer in RELU_1]
    return {
        "content": mean_square(x.F("relu4_2"), p.F("relu4_2")),
        "style": np.dot(weights, of_layers),
    }


def of_normals(features, target, epsilon=1e-4):
    """The distance of two normal distributions by eigenvalues, a channel."""
    (mean, covariance), (mean_2, covariance_2) = (
        (rows.mean(axis=0), np.cov(rows.T, bias=True)) for rows in (features, target)
    )
    values, vectors = np.linalg.eigh(covariance_2)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    variance = np.trace(covariance_2) / len(mean)
    between = np.linalg.eigvalsh(root @ covariance @ root)
    common = np.sum(np.sqrt(np.maximum(between, 0) + epsilon * variance**2))
    traces = np.trace(covariance) + np.trace(covariance_2)
    return (np.sum((mean - mean_2) ** 2) + traces - 2 * common) / len(mean)


def crowsonkb(x, p, s):
    """With layers divided to a root mean square of 1, and our relative epsilon of the root."""
    scales = dict(zip(RELU_1, [48, 236, 317, 1033, 139], strict=True))
    weights = np.array([256, 64, 16, 4, 1]) / 341
    of_layers = [
        of_normals(x.locations(layer) / scale, s.locations(layer) / scale)
        for layer, scale in scales.items()
    ]
    return {
        "content": 0.015 * mean_square(x.F("relu4_2") / 812, p.F("relu4_2") / 812),
        "style": np.dot(weights, of_layers),
        "variation": 2 * nine_points(x.x.astype(np.float64)),
    }


def nine_points(x):
    """The stencil (1/6) [[1, 4, 1], [4, -20, 4], [1, 4, 1]] as sums of squares of pairs."""
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)), mode="edge")
    middle = padded[1:-1, 1:-1]
    pairs = {
        2 / 3: [padded[1:-1, 2:], padded[2:, 1:-1]],
        1 / 6: [padded[2:, 2:], padded[2:, :-2]],
    }
    return sum(weight * mean_square(middle, y) for weight, own in pairs.items() for y in own)


FORMULAS = {
    each.__name__.replace("_", "-"): each
    for each in (
        *(crowsonkb, jcjohnson, neural_style_pt, gatys_2016, gatys_2016_code),
        *(tensorflow_tutorial, keras_tutorial, pytorch_tutorial),
    )
}


def settings_of(name):
    files = {"content": Path("c.png"), "style": Path("s.png"), "output": Path("o.png")}
    return presets.apply(name, config.StylizeConfig(**files))


def of_preset(name, x, p, s):
    """Each term of a preset by its weight, and their sum, as a run has them."""
    chosen = settings_of(name)
    made, specs = runs.make_terms(chosen), config.terms_of(chosen)
    pictures = {"content": terms.view(toy_features, p.x), "style": terms.view(toy_features, s.x)}
    opened = terms.compose(jax.tree_util.Partial(toy_features), made, pictures)
    (variant,) = grid.variants_of(chosen)
    weights = terms.Weights(
        {name: np.float32(weight) for name, weight in variant.weights.items()},
        {name: objectives.part_weights(specs[name], term) for name, term in made.items()},
    )
    total, found = opened(jnp.asarray(x.x), weights)
    return total, {name: weights.terms[name] * found.terms[name] for name in made}


def test_every_famous_preset_has_its_formulas():
    with_terms = {name for name in presets.names() if presets.load(name).terms}
    assert set(FORMULAS) == with_terms - {"painterly"}


@pytest.mark.parametrize("name", FORMULAS)
def test_a_preset_s_losses_are_those_of_its_source(name):
    pictures = [Picture(seed) for seed in range(3)]
    expected = FORMULAS[name](*pictures)
    total, found = of_preset(name, *pictures)
    assert found.keys() == expected.keys()
    for term, value in expected.items():
        assert value > 0
        np.testing.assert_allclose(found[term], value, rtol=2e-3, err_msg=term)
    np.testing.assert_allclose(total, sum(expected.values()), rtol=2e-3)


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        # Adam does not know the scale of a gradient: its rate is a distance of levels.
        ("jcjohnson", 10 / 256),
        ("neural-style-pt", 10 / 256),
        ("tensorflow-tutorial", 0.02),
        ("crowsonkb", 0.02),
        # Descent: a level is a 255th, and so is the gradient by it.
        ("keras-tutorial", 100 / 255**2),
    ],
)
def test_rates_are_those_of_pixels_from_0_to_1(name, rate):
    np.testing.assert_allclose(settings_of(name).learning_rate, rate, rtol=2e-3)


def test_the_rate_of_the_keras_example_falls_by_4_percent_in_100_steps():
    chosen = config.resolved(settings_of("keras-tutorial"))
    factors = 0.96 ** (np.arange(4000) / 100)
    expected = factors.reshape(10, 400).mean(axis=1)
    found = [stage.rate for stage in config.stages_of(chosen)]
    np.testing.assert_allclose(found, expected, rtol=2e-3)
