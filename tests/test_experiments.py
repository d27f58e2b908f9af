"""The scripts that a newcomer runs first."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "experiments"))

FILES = {"stylized.png", "overview.png", "losses.png", "run.h5"}


@pytest.mark.slow
def test_demo_writes_its_files_and_overwrites_them(tmp_path):
    import demo

    tiny = demo.Demo(output_dir=tmp_path, size=64, steps=2, weights="random")
    assert demo.main(tiny) == 0
    first = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert set(first) == FILES
    assert demo.main(tiny) == 0
    second = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert set(second) == FILES
    assert all(second[name] > first[name] for name in FILES)


@pytest.mark.slow
def test_demo_goes_on_with_random_weights_after_a_loud_warning(tmp_path, monkeypatch, capsys):
    import demo

    from nst_jax import runlog, weights

    def not_found(source, *, arch):
        if source != "random":
            raise weights.WeightsNotFound("no weights for vgg19; tried everything")
        return weights.random_params(arch)

    monkeypatch.setattr("nst_jax.weights.load_params", not_found)
    assert demo.main(demo.Demo(output_dir=tmp_path, size=64, steps=1)) == 0
    err = capsys.readouterr().err
    assert "tried everything" in err
    assert "RANDOM weights" in err
    assert runlog.load(tmp_path / "run.h5").attributes["weights_name"] == "random"


@pytest.mark.slow
def test_demo_refuses_a_named_file_that_is_missing(tmp_path):
    import demo

    with pytest.raises(FileNotFoundError, match=r"nowhere\.h5"):
        demo.main(demo.Demo(output_dir=tmp_path, weights="nowhere.h5"))


def test_painting_is_the_same_every_time():
    import paint

    first, second = (np.asarray(paint.paint(size=(160, 130))) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    # A painting, not a flat color: strong contrast in every channel.
    assert (first.reshape(-1, 3).std(axis=0) > 25).all()


def test_bundled_painting_is_small_and_lossless():
    path = Path(__file__).resolve().parents[1] / "nst_jax" / "data" / "painting.png"
    assert path.stat().st_size < 400_000
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) >= 400
