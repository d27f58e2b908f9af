"""Runs with further pictures, blends and regions: what reaches the log, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from nst_jax import config, masks, report, runs, terms, vgg
from nst_jax.config import TermSpec

LAYERS = ("relu1_1", "relu2_1")
STYLE = TermSpec("gram", LAYERS, weight=1e-2)
CONTENT = TermSpec("content", ("relu2_1",))


def quiet(line):
    """Says nothing."""


def run(settings):
    return runs.stylize_files(settings, say=quiet, progress=False).record


@pytest.fixture
def folder(tmp_path, rng, monkeypatch):
    """Pictures, the mask of the left half in black and white, and both halves as an index."""
    for name, shape in (("content", (24, 32)), ("style", (28, 20)), ("night", (20, 20))):
        picture = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    left = np.zeros((24, 32), np.uint8)
    left[:, :16] = 1
    Image.fromarray(255 * left).save(tmp_path / "left.png")
    halves = Image.fromarray(left, mode="P")
    halves.putpalette([0, 0, 0, 200, 10, 10] + [0] * 762)
    halves.save(tmp_path / "halves.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def settings(folder, quick_to_compile):
    """A run of two styles in two regions."""
    return config.StylizeConfig(
        content=folder / "content.png",
        style=folder / "style.png",
        output=folder / "out.png",
        log=folder / "run.h5",
        force=True,
        weights="random",
        steps=3,
        terms={
            "content": CONTENT,
            "day": replace(STYLE, region="left"),
            "night": replace(STYLE, reference="night", region="right"),
        },
        picture=("night=night.png",),
        mask=("left=halves.png#1", "right=halves.png#0"),
    )


def test_pictures_and_masks_are_in_the_log_and_the_run_is_repeated(settings):
    record = run(settings)
    assert record.terms == ("content", "day", "night")
    assert record.masks.keys() == {"left", "right"}
    assert (record.masks["left"][:, :16] == 255).all()
    assert (record.masks["left"] + record.masks["right"] == 255).all()
    np.testing.assert_array_equal(record.references["night"], np.asarray(Image.open("night.png")))
    assert record.part_weights["night"].tolist() == [[0.5, 0.5]]
    page = report.render(record)
    assert "gram of relu1_1, relu2_1; reference night; region right" in page
    for caption in ("picture: night", "region: left", "region: right"):
        assert caption in page
    answers = []
    assert runs.rerun(settings.log, say=quiet, answer=answers.append, progress=False).exit_code == 0
    assert answers[-1].endswith("the same bytes")
    with Image.open("night.png") as picture:
        picture.rotate(90).save("night.png")
    with pytest.raises(ValueError, match="its picture has changed since it began"):
        runs.rerun(settings.log, say=quiet, answer=quiet, progress=False)


def test_a_mask_in_black_and_white_is_that_of_the_index(settings):
    by_index = run(settings)
    other = replace(settings, mask=("left=left.png", "right=halves.png#0"))
    np.testing.assert_array_equal(run(other).rows.total, by_index.rows.total)


@pytest.mark.parametrize("border", ["edge", "reflect"])
def test_the_terms_of_a_run_are_those_of_the_library(settings, border):
    """Regions and pictures reach the terms as they would from Python, a border beyond them too."""
    prepared = runs.prepare(replace(settings, border=border), say=quiet)
    feature_fn, read = prepared.network.feature_fn, prepared.problem.pictures
    names = tuple(vgg.canonical_name(layer, "vgg19") for layer in LAYERS)
    pictures = {
        "content": terms.view(feature_fn, read.content),
        "style": terms.view(feature_fn, read.styles[str(settings.style)]),
        "night": terms.view(feature_fn, read.references["night"]),
    }
    for name, mask in read.masks["content"].items():
        where = masks.region(mask, names, border=border).where
        pictures[name] = pictures["content"]._replace(where=where)
    named = {
        "content": terms.content(names[1:]),
        "day": terms.gram(names, region="left"),
        "night": terms.gram(names, reference="night", region="right"),
    }
    opened = terms.compose(feature_fn, named, pictures)
    weights = prepared.problem.weights(prepared.variants[0])
    total, found = opened(read.content, weights)
    (objective,) = prepared.problem.objectives.values()
    expected, losses = objective(read.content, weights)
    np.testing.assert_allclose(total, expected, rtol=1e-5)
    for name in ("day", "night"):
        np.testing.assert_allclose(found.parts[name], losses.parts[name], rtol=1e-5)


def test_a_blend_is_the_weighted_mean_of_both_statistics(settings):
    both = replace(
        settings, terms={"content": CONTENT, "style": STYLE}, mask=(), blend=("style=3", "night=1")
    )
    targets = terms.targets_of(runs.prepare(both, say=quiet).problem.objectives[str(both.style)])
    apart = {
        reference: terms.targets_of(
            runs.prepare(
                replace(
                    both,
                    blend=(),
                    terms={"content": CONTENT, "style": replace(STYLE, reference=reference)},
                    picture=("night=night.png",) if reference == "night" else (),
                ),
                say=quiet,
            ).problem.objectives[str(both.style)]
        )
        for reference in ("style", "night")
    }
    for layer, found in targets["style"].values.items():
        day, night = (apart[x]["style"].values[layer] for x in ("style", "night"))
        np.testing.assert_allclose(found, 0.75 * day + 0.25 * night, rtol=1e-4, atol=1e-3)


def test_other_weights_masks_and_pictures_compile_nothing(settings, count_compilations):
    run(settings)
    Image.fromarray(np.uint8(255 * (np.arange(24) < 12))[:, None].repeat(32, 1)).save("upper.png")
    with count_compilations("step_variants") as compiled:
        run(
            replace(
                settings,
                mask=("left=upper.png", "right=left.png"),
                picture=("night=style.png",),
                term_weights=("night=5",),
            )
        )
    assert not compiled


def test_a_style_scale_is_a_factor_of_its_size(settings):
    pictures = runs.prepare(replace(settings, size=28, style_scale=0.5), say=quiet).problem.pictures
    assert pictures.content.shape == (21, 28, 3)
    assert pictures.styles[str(settings.style)].shape[:2] == (14, 10)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mask": ("left=black.png", "right=left.png")}, "the region is empty"),
        ({"mask": ("left=left.png#1", "right=left.png")}, "not indexed .* white inside"),
        ({"mask": ("left=halves.png#9", "right=left.png")}, "no pixel has the index 9"),
        ({"mask": ("left=night.png", "right=left.png")}, "has colors: a mask is white inside"),
        ({"mask": ("left=none.png", "right=left.png")}, "none.png: no such file"),
        ({"mask": ("left=dot.png", "right=left.png")}, "region left of the content: .* too small"),
        ({"picture": ("night=none.png",)}, "none.png: no such file"),
        ({"output": "night.png"}, "night.png is an input"),
        ({"mask": ("left=left.png",)}, "--mask right=PATH"),
        ({"style_mask": ("right=left.png",)}, "no term reads --style-mask right"),
    ],
)
def test_what_cannot_guide_is_refused_in_one_line(settings, folder, changes, words):
    Image.fromarray(np.zeros((24, 32), np.uint8)).save("black.png")
    dot = np.zeros((24, 32), np.uint8)
    dot[:3, :3] = 255
    Image.fromarray(dot).save("dot.png")
    changes = {name: folder / x if name == "output" else x for name, x in changes.items()}
    with pytest.raises((ValueError, OSError), match=words) as caught:
        run(replace(settings, **changes))
    assert "\n" not in str(caught.value)
    assert not settings.log.exists()


def test_masks_of_both_pictures_go_together(settings):
    Image.fromarray(np.uint8(255 * (np.arange(28) < 20))[:, None].repeat(20, 1)).save("sky.png")
    guided = replace(
        settings,
        terms={"content": CONTENT, "day": replace(STYLE, region="left")},
        picture=(),
        mask=("left=left.png",),
        style_mask=("left=sky.png",),
    )
    apart = [
        runs.prepare(each, say=quiet).problem.objectives[str(settings.style)]
        for each in (guided, replace(guided, style_mask=()))
    ]
    masked, whole = (terms.targets_of(each)["day"].values["block1_conv1"] for each in apart)
    assert np.abs(masked / whole - 1).max() > 1e-3
