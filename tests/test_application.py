"""`nst-jax apply`: pictures by a network into a folder, and what is refused before."""

import json
import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nst_jax import feedforward, image, runs, weights
from nst_jax.command import cli
from nst_jax.feedforward import Architecture
from nst_jax.runs import Application, application
from nst_jax.system import memory

TINY = Architecture(width=2, residuals=0)


def quiet(line):
    """Says nothing."""


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A file of a tiny network that has learned nothing."""
    rng = np.random.default_rng(0)
    params = {
        layer: {name: np.float32(rng.normal(size=shape) / 4) for name, shape in own.items()}
        for layer, own in feedforward.parameter_shapes(TINY).items()
    }
    path = tmp_path_factory.mktemp("networks") / "wave.h5"
    said = {"style": "wave.jpg", "licence": "research alone"}
    weights.save_feedforward(path, weights.Feedforward(params, "resize", said))
    return path


@pytest.fixture
def album(tmp_path):
    """Pictures of two shapes, one of them transparent, and files that are none."""
    folder = tmp_path / "album"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for name, (height, width) in {"10.png": (9, 12), "2.png": (9, 12), "c.jpg": (8, 13)}.items():
        Image.fromarray(rng.integers(0, 255, (height, width, 3), np.uint8)).save(folder / name)
    levels = rng.integers(0, 255, (9, 12, 4), np.uint8)
    Image.fromarray(levels).save(folder / "d.png")
    Image.new("RGB", (4, 9)).save(folder / "thin.png")
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_each_picture_is_painted_into_its_name_with_one_program_a_shape(
    network, album, tmp_path, capsys, count_compilations
):
    output = tmp_path / "out"
    with count_compilations("_painted") as compiled:
        arguments = ["apply", str(network), str(album), "--output", str(output)]
        assert cli.main(arguments) == 0
    assert len(compiled) == 2
    said = capsys.readouterr().out
    assert f"network: {network}: wave.jpg; research alone" in said
    assert "passed over" in said
    assert "thin.png is too small: 4 x 9 pixels" in said
    assert "d.png: it is transparent: laid on white; --alpha keep" in said
    assert re.search(rf"painted 4 of 4 pictures into {output}: \d+\.\d\d s a picture", said)
    assert {path.name for path in output.iterdir()} == {"10.png", "2.png", "c.png", "d.png"}

    found = weights.load_feedforward(network)
    for name in ("2", "c"):
        (path,) = album.glob(f"{name}.*")
        expected = np.clip(feedforward.paint(found.params, image.load(path), TINY), 0, 1)
        levels = np.abs(image.load(output / f"{name}.png") - expected) * 255
        assert levels.max() < 0.51
    assert json.loads(image.read_metadata(output / "2.png")["nst_jax.network"])["style"] == (
        "wave.jpg"
    )


def test_size_transparency_and_ending(network, album, tmp_path):
    settings = runs.Application(size=8, suffix=".tif", alpha="keep")
    pictures = [album / "d.png", album / "c.jpg"]
    assert runs.apply_files(network, pictures, tmp_path / "out", settings, say=quiet) == 0
    painted, alpha = image.load_with_alpha(tmp_path / "out" / "d.tif")
    assert painted.shape == (6, 8, 3)
    np.testing.assert_array_equal(alpha, image.load_with_alpha(album / "d.png", size=8)[1])
    assert image.load_with_alpha(tmp_path / "out" / "c.tif")[1] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "there is nothing to paint"),
        (["missing.png"], "cannot read missing.png"),
        (["album/thin.png"], "thin.png is too small: 4 x 9 pixels, and a network needs at least 5"),
        (["album", "--output", "out.png"], "--output out.png is one picture: give a folder"),
        (["album", "--output", "album"], "2.png is a picture to paint"),
        (["album", "--strips", "7"], "an even number of rows, got 7"),
        (["album", "--size", "3"], "the size must be at least 5, got 3"),
        (["album", "album/2.png"], "would both become out/2.png: rename one"),
        (["album", "--suffix", ".jpg", "--alpha", "keep"], "cannot be transparent"),
        (["album", "--output", "done"], "done/2.png exists; use --force"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_painted(
    network, album, tmp_path, monkeypatch, capsys, arguments, said
):
    monkeypatch.chdir(tmp_path)
    Path("done").mkdir()
    Path("done/2.png").write_text("kept")
    monkeypatch.setattr(application, "_run", None)
    output = [] if "--output" in arguments else ["--output", "out"]
    assert cli.main(["apply", str(network), *arguments, *output]) == 1
    captured = capsys.readouterr()
    assert re.search(f"error: .*{said}", captured.err)
    assert "network:" not in captured.out


@pytest.fixture
def little(monkeypatch):
    """A function that leaves so many bytes on the device, and in main memory."""

    def leave(device, host=2**30):
        monkeypatch.setattr(memory, "available_bytes", lambda: device)
        monkeypatch.setattr(memory, "available_host_bytes", lambda: host)

    return leave


@pytest.mark.parametrize(("strips", "host"), [("off", 2**30), ("auto", 1000), (4, 1000)])
def test_what_does_not_fit_is_refused_with_a_size_that_does(
    strips, host, network, album, tmp_path, little
):
    little(1000, host)
    settings = Application(strips=strips)
    with pytest.raises(MemoryError, match=r"^12 x 9 pixels take about .* GB .*: try --size \d$"):
        runs.apply_files(network, [album / "2.png"], tmp_path / "out", settings, say=quiet)


def test_what_does_not_fit_whole_is_painted_in_strips(network, album, tmp_path, little):
    picture, lines = album / "2.png", []
    runs.apply_files(network, [picture], tmp_path / "whole", say=quiet)
    little(1000)
    runs.apply_files(network, [picture], tmp_path / "auto", say=lines.append)
    assert "in strips of 128 rows, which take less memory" in lines
    four = Application(strips=4)
    runs.apply_files(network, [picture], tmp_path / "four", four, say=lines.append)
    assert "in strips of 4 rows, which take less memory" in lines
    whole, *others = (
        image.load(tmp_path / folder / "2.png") for folder in ("whole", "auto", "four")
    )
    for other in others:
        np.testing.assert_allclose(other, whole, atol=1.01 / 255)


def test_a_signal_ends_it_after_the_present_picture(network, album, tmp_path, monkeypatch):
    save = image.save

    def interrupted(*args, **kwargs):
        save(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(image, "save", interrupted)
    lines = []
    assert runs.apply_files(network, [album], tmp_path / "out", say=lines.append) == 130
    # In natural order: 2 comes before 10.
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["2.png"]
    assert "painted 1 of 4 pictures" in lines[-1]
