"""The scripts that a newcomer runs first."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "experiments"))

FILES = {"stylized.png", "overview.png", "losses.png", "run.h5"}


@pytest.mark.slow
@pytest.mark.usefixtures("quick_to_compile")
def test_demo_writes_its_files_and_overwrites_them(tmp_path):
    import demo

    tiny = demo.Demo(output_dir=tmp_path, size=64, stages=("32:1", "64:1"), weights="random")
    assert demo.main(tiny) == 0
    first = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert set(first) == FILES
    assert demo.main(tiny) == 0
    second = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert set(second) == FILES
    assert all(second[name] > first[name] for name in FILES)


def test_demo_takes_pictures_of_your_own(tmp_path):
    import demo

    own = demo.Demo(content=tmp_path / "missing.png", output_dir=tmp_path / "out", weights="random")
    with pytest.raises(OSError, match=r"cannot read .*missing\.png"):
        demo.main(own)
    config = demo.config_of(demo.Demo(style=tmp_path / "style.png"), "random")
    assert config.style == tmp_path / "style.png"


@pytest.mark.slow
@pytest.mark.usefixtures("quick_to_compile")
def test_demo_goes_on_with_random_weights_after_a_loud_warning(tmp_path, monkeypatch, capsys):
    import demo

    from nst_jax import runlog, weights

    def not_found(arch, tried):
        raise weights.WeightsNotFound("no weights for vgg19; tried everything")

    monkeypatch.delenv("NST_JAX_WEIGHTS", raising=False)
    monkeypatch.setattr("nst_jax.weights.finding._places", lambda arch: [])
    monkeypatch.setattr("nst_jax.weights.download.fetch_after", not_found)
    assert demo.main(demo.Demo(output_dir=tmp_path, size=64, stages=("64:1",))) == 0
    err = capsys.readouterr().err
    assert "tried everything" in err
    assert "RANDOM weights" in err
    assert runlog.load(tmp_path / "run.h5").attributes["weights_name"] == "random"


@pytest.mark.slow
def test_demo_refuses_a_named_file_that_is_missing(tmp_path):
    import demo

    with pytest.raises(FileNotFoundError, match=r"nowhere\.h5"):
        demo.main(demo.Demo(output_dir=tmp_path, weights="nowhere.h5"))


@pytest.mark.slow
def test_painting_is_the_same_every_time(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    import paint

    # The finer brushes lay most of the strokes, in the same way.
    monkeypatch.setattr(paint, "BRUSHES", paint.BRUSHES[:1])
    first, second = (np.asarray(paint.paint(size=(160, 130))) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    # A painting, not a flat color: strong contrast in every channel.
    assert (first.reshape(-1, 3).std(axis=0) > 25).all()


def test_bundled_painting_is_small_and_lossless():
    path = ROOT / "nst_jax" / "data" / "painting.png"
    assert path.stat().st_size < 400_000
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) >= 400


@pytest.mark.slow
@pytest.mark.usefixtures("quick_to_compile")
def test_sweep_writes_log_page_and_figures_and_is_done(tmp_path):
    import sweep

    from nst_jax.runlog import writing

    settings = sweep.Sweep(
        output_dir=tmp_path,
        size=40,
        steps=2,
        optimizers=("adam",),
        learning_rates=("0.02", "0.1"),
        weights="random",
        allow_cpu=True,
    )
    assert sweep.main(settings) == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"sweep.h5", "sweep.html", "losses.png", "overview.png"}
    config = sweep.config_of(settings, accelerator=False)
    assert not sweep.can_resume(config)
    with writing.RunLog.reopen(config.log) as log:
        log.finish("interrupted")
    assert sweep.can_resume(config)


def test_the_sweep_has_every_rate_of_the_report():
    import sweep

    from nst_jax.runs import grid

    config = sweep.config_of(sweep.Sweep(), accelerator=True)
    assert (config.size, config.steps, config.tv_weights) == (512, 2500, (0.0,))
    rates = {(v.optimizer, v.learning_rate) for v in grid.variants_of(config)}
    report = {("adam", 0.02), ("adam", 0.1), ("adagrad", 0.02), ("adagrad", 0.1)}
    assert report | {("rmsprop", 0.02), ("rmsprop", 0.001)} <= rates


def test_the_sweep_refuses_the_cpu_of_a_gpu_box(monkeypatch, tmp_path):
    import sweep

    monkeypatch.setattr("nst_jax.system.hardware.has_nvidia_gpu", lambda: True)
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    with pytest.raises(ValueError, match="--allow-cpu"):
        sweep.main(sweep.Sweep(output_dir=tmp_path))
