"""Settings chosen by eye, and the pictures that come along."""

from pathlib import Path

import pytest

from nst_jax import config, grid, image, presets, runs, samples, vgg


def run_of(**settings):
    files = {"content": samples.PORTRAIT, "style": samples.PAINTING, "output": Path("out.png")}
    return config.StylizeConfig(**files, **settings)


@pytest.mark.parametrize("weights", [None, "random", "vgg19.h5"])
def test_a_painterly_run_is_valid_and_keeps_what_it_was_asked_for(weights):
    asked = run_of(size=300, steps=50, weights=weights)
    painterly = presets.painterly(asked)
    runs.check_config(painterly)
    assert (painterly.size, painterly.steps, painterly.weights) == (300, 50, weights)
    assert painterly.style_size == 480
    assert painterly.layer_balance == "relative"
    assert (asked.border, painterly.border) == ("zeros", "reflect")


def test_random_weights_get_the_settings_of_a_preview():
    trained, preview = (presets.painterly(run_of(weights=name)) for name in (None, "random"))
    assert preview.style_weight > trained.style_weight
    assert preview.learning_rate < trained.learning_rate
    deepest = [vgg.smallest_side((*c.content_layers, *c.style_layers)) for c in (preview, trained)]
    assert deepest == [8, 16]


def test_a_coarse_run_is_the_same_at_half_the_size():
    run = run_of(size=300, style_size=480, steps=50, log=Path("run.h5"), figures=Path("figures"))
    coarse = presets.coarse(run, Path("coarse.png"))
    assert (coarse.size, coarse.style_size, coarse.steps) == (150, 240, 100)
    assert (coarse.output, coarse.log, coarse.figures) == (Path("coarse.png"), None, None)
    (variant,), (fine,) = grid.variants_of(coarse), grid.variants_of(run)
    assert variant.learning_rate == 2 * fine.learning_rate
    assert presets.coarse(run_of(), Path("coarse.png")).style_size is None


def test_the_samples_are_pictures():
    for path in (samples.PORTRAIT, samples.PAINTING):
        assert min(image.load(path).shape[:2]) > 400
