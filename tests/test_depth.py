"""Results of 16 bits a color, and results in the color profile of their content."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from test_image import BLUE, GREEN, RED, icc_profile

from nst_jax import runlog, runs
from nst_jax.runs import inputs
from nst_jax.runs.checks import check_outputs


def quiet(line: object) -> None:
    del line


@pytest.fixture
def deep(stylize, quick_to_compile):
    pytest.importorskip("pyvips")
    return replace(stylize, depth=16, steps=3)


def paint(config, **options) -> runlog.RunRecord:
    return runs.stylize_files(config, say=quiet, progress=False, **options).record


def levels_of(path) -> np.ndarray:
    import pyvips

    return pyvips.Image.new_from_file(str(path)).numpy()


def test_a_result_of_16_bits_is_that_of_the_log_and_rounds_to_the_one_of_8(deep):
    record = paint(deep)
    found = levels_of(deep.output)
    np.testing.assert_array_equal(found, record.picture_of(0, depth=16))
    np.testing.assert_allclose(found / 257, record.picture_of(0), atol=0.51)
    assert np.any(found % 257)


@pytest.mark.parametrize("changes", [{"gray": True}, {"colors": "content"}])
def test_16_bits_have_the_colors_of_the_result(changes, deep):
    record = paint(replace(deep, **changes))
    # The content's colors are put back before the one rounding, and after the other.
    fine = record.picture_of(0, depth=16)
    np.testing.assert_allclose(fine / 257, record.picture_of(0), atol=2)
    assert "gray" not in changes or not np.ptp(fine, axis=-1).any()


def test_a_killed_run_of_16_bits_is_resumed_to_the_same_bytes(deep, tmp_path):
    whole = replace(deep, output=tmp_path / "whole.png", log=tmp_path / "whole.h5", figures=None)
    paint(whole)

    def kill(chunk):
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        paint(deep, on_chunk=kill)
    assert runs.resume(deep.log, say=quiet, progress=False).exit_code == 0
    np.testing.assert_array_equal(levels_of(deep.output), levels_of(whole.output))
    assert runs.rerun(deep.log, say=quiet, answer=quiet, progress=False).exit_code == 0


def test_a_run_that_is_stopped_in_an_early_stage_has_16_bits_of_the_last_size(deep):
    def stop(chunk):
        os.kill(os.getpid(), signal.SIGTERM)

    staged = replace(deep, stages=("16:2", "28:2"), size=28, steps=4)
    record = paint(staged, on_chunk=stop)
    assert record.status == "interrupted"
    assert int(record.steps_done[0]) <= 2
    assert levels_of(deep.output).shape == record.content.shape
    # Those of 8 bits are rounded before they are enlarged as well.
    np.testing.assert_allclose(levels_of(deep.output) / 257, record.picture_of(0), atol=2)


def test_a_log_of_8_bits_says_that_it_has_no_more(stylize, quick_to_compile):
    record = paint(replace(stylize, steps=1))
    assert record.fine is None
    with pytest.raises(ValueError, match="run it again with --depth 16"):
        record.picture_of(0, depth=16)


def test_16_bits_in_a_jpeg_are_refused_before_the_work(stylize):
    config = replace(stylize, depth=16, output=stylize.output.with_suffix(".jpg"), force=True)
    with pytest.raises(ValueError, match="cannot have 16 bits"):
        check_outputs(config)


def test_the_profile_of_the_content_is_kept_if_asked(stylize, quick_to_compile):
    swapped = icc_profile(2.2, (BLUE, GREEN, RED))
    with Image.open(stylize.content) as picture:
        content = picture.convert("RGB")
    content.save(stylize.content, icc_profile=swapped)
    record = paint(replace(stylize, icc="keep", steps=1))
    with Image.open(stylize.output) as picture:
        assert picture.info["icc_profile"] == swapped
        # What sRGB calls red is blue there.
        found = np.asarray(picture)[..., ::-1]
    # The two have other curves near black.
    np.testing.assert_allclose(found, record.picture_of(0), atol=10)


def test_a_content_without_a_profile_has_none_to_keep(stylize):
    said = []
    assert inputs.load_profiles([stylize.content], said.append) == {}
    assert said == [
        f"note: {stylize.content}: it has no color profile of RGB to keep: its result is in sRGB"
    ]
