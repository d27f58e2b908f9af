"""A run repeated from its log."""

import shutil
from dataclasses import replace

import h5py
import logs
import numpy as np
import pytest
from PIL import Image

from nst_jax import compiler, driver, runlog, runs, vgg
from nst_jax import image as images
from nst_jax.command import cli
from nst_jax.runlog import comparison, writing


def quiet(line: str) -> None:
    del line


def test_a_single_run_shows_its_picture_as_it_grows(stylize):
    seen = []

    def show(chunk):
        seen.append((int(chunk.state.step[0]), driver.pictures(chunk.state)[0]))

    record = runs.stylize_files(stylize, say=quiet, progress=False, on_chunk=show).record
    assert seen[-1][0] == stylize.steps
    np.testing.assert_array_equal(images.to_uint8(seen[-1][1]), record.images[0])


def test_a_sweep_repeated_from_its_log_gives_the_same_bytes(sweep, capsys):
    first = runs.sweep_files(sweep, say=quiet, progress=False).record
    again = sweep.log.with_name("again.h5")
    assert cli.main(["rerun", str(sweep.log), "--new-log", str(again)]) == 0
    assert "the same bytes" in capsys.readouterr().out
    record = runlog.load(again)
    np.testing.assert_array_equal(record.images, first.images)
    np.testing.assert_array_equal(record.rows.total, first.rows.total)


def test_a_single_run_is_repeated_and_its_files_are_left_alone(stylize):
    runs.stylize_files(stylize, say=quiet, progress=False)
    before = {path: path.read_bytes() for path in stylize.output.parent.iterdir()}
    outcome = runs.rerun(stylize.log, say=quiet, progress=False)
    assert outcome.exit_code == 0
    assert {path: path.read_bytes() for path in stylize.output.parent.iterdir()} == before


def test_a_run_is_repeated_with_its_constants(stylize):
    own = replace(stylize, constants=("beta_1=0.5", "epsilon=0.1"))
    record = runs.stylize_files(own, say=quiet, progress=False).record
    assert record.config["constants"] == ["beta_1=0.5", "epsilon=0.1"]
    assert runs.rerun(own.log, say=quiet, progress=False).exit_code == 0
    common = replace(stylize, log=own.log.with_name("common.h5"), force=True)
    other = runs.stylize_files(common, say=quiet, progress=False).record
    assert not np.array_equal(other.images, record.images)


def test_what_differs_is_said(stylize, capsys):
    runs.stylize_files(stylize, say=quiet, progress=False)
    with h5py.File(stylize.log, "r+") as file:
        file["losses/total"][4] *= 1.5
        file.attrs["threads"] = 99
    assert cli.main(["rerun", str(stylize.log)]) == 1
    out = capsys.readouterr().out
    assert "threads was 99" in out
    assert "total differs from step 4 on" in out
    assert "other bytes" in out


def test_fast_is_what_it_has_come_to_in_the_log(stylize, capsys):
    """Another device would take another precision: the log tells which it was."""
    stylize = replace(stylize, precision="fast")
    runs.stylize_files(stylize, say=quiet, progress=False)
    record = runlog.load(stylize.log)
    precision = vgg.resolve_precision("fast")
    assert record.config["precision"] == "fast"
    assert record.attributes["precision"] == precision
    assert record.attributes["convolutions"] == vgg.fastest_convolutions(precision)
    assert record.attributes["onednn"] == compiler.has_onednn()
    assert cli.main(["rerun", str(stylize.log)]) == 0
    assert "the same bytes" in capsys.readouterr().out


def test_the_form_of_the_convolutions_is_that_of_the_log(stylize, monkeypatch):
    runs.stylize_files(replace(stylize, precision="bfloat16"), say=quiet, progress=False)
    with h5py.File(stylize.log, "r+") as file:
        file.attrs["convolutions"] = "plain"
    # Where it was "plain", it is again, even if something faster could be had.
    monkeypatch.setattr(vgg, "fastest_form", lambda setting: 1 / 0)
    again = stylize.log.with_name("again.h5")
    runs.rerun(stylize.log, new_log=again, say=quiet, answer=quiet, progress=False)
    assert runlog.load(again).attributes["convolutions"] == "plain"


def test_onednn_that_is_not_to_be_had_is_refused_in_a_line(stylize, capsys, monkeypatch):
    runs.stylize_files(stylize, say=quiet, progress=False)
    with h5py.File(stylize.log, "r+") as file:
        file.attrs["precision"], file.attrs["convolutions"] = "bfloat16", "onednn"
    monkeypatch.setattr(compiler, "obstacle_to_bfloat16", lambda: "this processor is old")
    assert cli.main(["rerun", str(stylize.log)]) == 1
    error = capsys.readouterr().err
    assert "run.h5 cannot be used: its convolutions went by oneDNN in bfloat16" in error
    assert "this processor is old: go on where it was made" in error
    with h5py.File(stylize.log, "r+") as file:
        file.attrs["convolutions"] = "cudnn"
    assert cli.main(["rerun", str(stylize.log)]) == 1
    assert "must be one of plain, winograd, onednn, got 'cudnn'" in capsys.readouterr().err


def test_bfloat16_that_is_slow_here_is_said(stylize, capsys, monkeypatch):
    monkeypatch.setattr(compiler, "obstacle_to_bfloat16", lambda: "this processor is old")
    runs.stylize_files(replace(stylize, precision="bfloat16"), say=quiet, progress=False)
    assert capsys.readouterr().err.count("slower than float32 here: this processor is old") == 1
    runs.stylize_files(replace(stylize, precision="fast"), say=quiet, progress=False)
    assert "slower" not in capsys.readouterr().err
    assert runlog.load(stylize.log).attributes["precision"] == "float32"


def test_a_changed_input_is_refused(stylize, sweep, capsys):
    shutil.copy(sweep.log.with_name("t.png"), start := sweep.log.with_name("start.png"))
    stylize = replace(stylize, init=str(start))
    runs.stylize_files(stylize, say=quiet, progress=False)
    for path in (stylize.content, start):
        before = path.read_bytes()
        Image.new("RGB", (28, 24), "red").save(path)
        assert cli.main(["rerun", str(stylize.log)]) == 1
        assert "has changed since it began" in capsys.readouterr().err
        path.write_bytes(before)


def test_the_log_itself_is_never_overwritten(sweep, capsys):
    runs.sweep_files(sweep, say=quiet, progress=False)
    arguments = ["rerun", str(sweep.log), "--new-log", str(sweep.log), "--force"]
    assert cli.main(arguments) == 1
    assert "is the log of the run itself" in capsys.readouterr().err


# Comparing


def record(path, *, steps: int = 5, status: str = "finished") -> runlog.RunRecord:
    """A log of two variants and three layers, without running anything."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (4, 6, 3), np.uint8)
    variants = [
        runlog.Variant(f"v{i}", "adam", 0.02, logs.WEIGHTS, "s", "content", i) for i in (0, 1)
    ]
    with writing.RunLog.create(
        path,
        attributes={},
        config={},
        variants=variants,
        parts=logs.parts("a", "b", "c"),
        content=picture,
        styles={"s": picture},
        num_steps=5,
        chunk_length=5,
    ) as log:
        values = rng.uniform(1, 2, (5, 2)).astype(np.float32)
        layers = rng.uniform(1, 2, (5, 2, 3)).astype(np.float32)
        ones = np.ones((5, 2), np.int32)
        rows = logs.rows_of_one(
            values[:steps],
            layers[:steps],
            step=np.arange(steps, dtype=np.int32),
            wall_time=rng.uniform(size=(steps, 2)),
            evaluations=ones[:steps],
        )
        log.append(rows)
        log.finish_variants(
            [replace(variant, status=status) for variant in variants],
            final={term: np.ones(2, np.float32) for term in logs.LOSSES},
            images=rng.integers(0, 255, (2, 4, 6, 3), np.uint8),
        )
        log.finish(status)
    return runlog.load(path)


def changed(path, where: str, place: tuple, value) -> runlog.RunRecord:
    """The same log with one value changed."""
    record(path)
    with h5py.File(path, "r+") as file:
        file[where][place] = value
    return runlog.load(path)


def test_equal_logs_do_not_differ(tmp_path):
    assert not comparison.differences(record(tmp_path / "a.h5"), record(tmp_path / "b.h5"))


@pytest.mark.parametrize(
    ("where", "place", "value", "words"),
    [
        ("losses/total", (2, 1), 0.5, "v1: total differs from step 2 on"),
        ("part_losses/style", (0, 0, 2), 0.5, "v0: style by parts differs from step 0 on"),
        ("grad_norm", (4, 0), np.nan, "v0: grad norm differs from step 4 on"),
        ("evaluations", (1, 1), 3, "v1: evaluations differs from step 1 on"),
        ("images/final", (1, 0, 0, 0), 255, "v1: the picture differs in"),
        ("final/style", (0,), 0.5, "v0: the saved picture's style differs"),
        ("variants/status", (1,), "diverged", "v1: it was finished, is diverged"),
    ],
)
def test_one_value_is_found_and_nothing_else(where, place, value, words, tmp_path):
    first = record(tmp_path / "a.h5")
    found = comparison.differences(first, changed(tmp_path / "b.h5", where, place, value))
    assert len(found) == 1
    assert words in found[0]


def test_variants_of_one_label_are_told_apart(tmp_path):
    first = record(tmp_path / "a.h5")
    other = changed(tmp_path / "b.h5", "losses/total", (2, 1), 0.5)
    same = tuple(replace(variant, label="same") for variant in first.variants)
    (line,) = comparison.differences(replace(first, variants=same), other)
    assert line.startswith("same #2: total")


def test_times_are_not_compared(tmp_path):
    first = record(tmp_path / "a.h5")
    assert not comparison.differences(first, changed(tmp_path / "b.h5", "wall_time", (0, 0), 9.0))


def test_of_an_interrupted_run_the_steps_that_are_there_are_compared(tmp_path):
    short = record(tmp_path / "a.h5", steps=3, status="interrupted")
    assert not comparison.differences(short, record(tmp_path / "b.h5"))
    late = changed(tmp_path / "c.h5", "losses/total", (4, 0), 0.5)
    assert not comparison.differences(short, late)
    early = changed(tmp_path / "d.h5", "losses/total", (2, 0), 0.5)
    assert len(comparison.differences(short, early)) == 1
