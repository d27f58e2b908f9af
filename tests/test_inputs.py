"""What a run reads of its pictures, and what the result keeps of it: transparency, gray."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from nst_jax import runs
from nst_jax.runs import grid


def quiet(line: str) -> None:
    del line


def load(config) -> tuple[runs.Pictures, list[str]]:
    """The pictures of a run, and what is said of them."""
    said = []
    (pictures,) = runs.load_pictures(config, grid.variants_of(config), say=said.append).values()
    return pictures, said


def cut_out(path) -> np.ndarray:
    """Makes a picture transparent but for its middle; its alpha, with a soft left edge."""
    with Image.open(path) as picture:
        opaque = picture.convert("RGB")
    alpha = np.zeros(opaque.size[::-1], np.uint8)
    alpha[4:-4, 6:-4] = 255
    alpha[4:-4, 5] = 128
    opaque.putalpha(Image.fromarray(alpha))
    opaque.save(path)
    return alpha


def alpha_of(path) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.mode == "RGBA"
        return np.asarray(picture.getchannel("A"))


def make_gray(*paths) -> None:
    for path in paths:
        with Image.open(path) as picture:
            gray = picture.convert("L")
        gray.save(path)


# Transparency


def test_the_result_is_as_transparent_as_the_content_if_asked(stylize, quick_to_compile):
    alpha = cut_out(stylize.content)
    config = replace(stylize, alpha="keep", steps=1)
    record = runs.stylize_files(config, say=quiet, progress=False).record
    np.testing.assert_array_equal(alpha_of(config.output), alpha)
    with Image.open(config.output) as picture:
        colors = np.asarray(picture.convert("RGB"))
    seen = alpha == 255
    np.testing.assert_array_equal(colors[seen], record.images[0][seen])


def test_the_alpha_is_resized_with_the_content(stylize):
    cut_out(stylize.content)
    pictures, _ = load(replace(stylize, alpha="keep", size=14))
    assert pictures.alpha.shape == pictures.content.shape[:2] == (12, 14)
    assert pictures.alpha[6, 7] == 255
    assert pictures.alpha[0, 0] == 0


def test_a_killed_run_is_resumed_with_its_transparency(stylize, quick_to_compile):
    alpha = cut_out(stylize.content)

    def kill(chunk):
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        runs.stylize_files(replace(stylize, alpha="keep"), say=quiet, progress=False, on_chunk=kill)
    assert runs.resume(stylize.log, say=quiet, progress=False).exit_code == 0
    np.testing.assert_array_equal(alpha_of(stylize.output), alpha)


def test_what_is_transparent_is_not_painted(stylize, quick_to_compile):
    with Image.open(stylize.content) as picture:
        opaque = picture.convert("RGB")
    # Beyond what the opaque left half sees of it.
    right = np.s_[:, 22:]
    alpha = np.full((24, 28), 255, np.uint8)
    alpha[:, 14:] = 0
    opaque.putalpha(Image.fromarray(alpha))
    opaque.save(stylize.content)
    config = replace(stylize, steps=1, init="content", init_noise=0.0, tv_weight=1.0)

    def painted(alpha):
        return runs.stylize_files(replace(config, alpha=alpha), say=quiet, progress=False).record

    record = painted("keep")
    assert np.all(record.images[0][right] == 255)
    assert np.any(painted("white").images[0][right] != 255)
    np.testing.assert_array_equal(record.masks["opaque"], alpha)


def test_by_default_transparency_is_laid_on_white_and_it_is_said_what_would_keep_it(stylize):
    cut_out(stylize.content)
    pictures, said = load(stylize)
    assert pictures.alpha is None
    np.testing.assert_array_equal(pictures.content[0, 0], 1)
    assert said == [
        f"note: {stylize.content}: it is transparent: laid on white; "
        "--alpha keep makes the result transparent too"
    ]


def test_a_sweep_which_writes_no_picture_is_offered_nothing(sweep):
    cut_out(sweep.content)
    _, said = load(sweep)
    assert said == [f"note: {sweep.content}: it is transparent: laid on white"]


def test_a_transparent_style_is_laid_on_white_whatever_the_content_is(stylize):
    cut_out(stylize.style)
    _, said = load(stylize)
    assert said == [f"note: {stylize.style}: it is transparent: laid on white"]


def test_an_opaque_content_has_no_transparency_to_keep(stylize):
    pictures, said = load(replace(stylize, alpha="keep"))
    assert pictures.alpha is None
    assert said == [f"note: {stylize.content}: it is opaque: --alpha keep changes nothing"]


# Gray


def is_gray(pictures) -> bool:
    return bool(np.all(pictures == pictures[..., :1]))


def test_a_gray_run_ends_in_gray_pictures(sweep, quick_to_compile):
    settings = replace(
        sweep,
        gray=True,
        steps=3,
        optimizers=("adam",),
        learning_rates=("0.02",),
        inits=("noise", "content", "style"),
        init_noise=0.1,
    )
    record = runs.sweep_files(settings, say=quiet, progress=False).record
    assert is_gray(record.images)
    assert is_gray(record.content)
    assert all(map(is_gray, record.styles.values()))
    assert record.images.std(axis=(1, 2, 3)).min() > 1


def test_a_gray_run_starts_from_gray(stylize):
    start = stylize.content.with_name("t.png")
    for init in ("content", "noise", "style", "blend", str(start)):
        config = replace(stylize, gray=True, init=init)
        (variant,) = grid.variants_of(config)
        pictures, _ = load(config)
        problem = runs.Problem({}, {}, {}, pictures, noise=0.2, gray=True)
        assert is_gray(problem.start(variant))


@pytest.mark.parametrize("command", ["stylize", "sweep"])
def test_gray_pictures_are_offered_a_gray_result(command, request):
    config = request.getfixturevalue(command)
    note = "note: content and style are gray, the result may not be: --gray keeps it gray"
    style = config.style if command == "stylize" else config.styles[0]
    make_gray(config.content)
    assert load(config)[1] == []
    make_gray(style)
    assert load(config)[1] == [note]
    assert load(replace(config, gray=True))[1] == []


def test_a_share_without_variants_needs_no_pictures_of_others(stylize):
    start = stylize.content.with_name("start.png")
    sweep = replace(grid.as_sweep(stylize), inits=(str(start),))
    assert runs.sources_of(sweep).paths == (stylize.content, stylize.style, start)
    assert runs.sources_of(sweep, ()).paths == (stylize.content,)
