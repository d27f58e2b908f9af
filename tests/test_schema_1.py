"""Logs of version 1: every command reads them, `rerun` repeats their runs, `resume` goes on."""

import shutil
from pathlib import Path

import h5py
import logs
import numpy as np
import pytest

from nst_jax import report, runlog, runs
from nst_jax.command import cli
from nst_jax.report import plotting
from nst_jax.runlog import checkpoint

LOGS = Path(__file__).parent / "golden" / "v1"
NAMES = ["single", "sweep", "interrupted"]


def quiet(line):
    """Says nothing."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Logs and pictures, as they were left; the logs name the pictures from here."""
    shutil.copytree(LOGS, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_they_are_read_as_if_they_were_of_today(name):
    path = LOGS / f"{name}.h5"
    record = runlog.load(path)
    assert record.terms == ("content", "style", "total_variation")
    assert record.parts["style"] == ("block1_conv1", "block2_conv1")
    with h5py.File(path) as file:
        old = {
            "content": file["variants/content_weight"][:],
            "style": file["variants/style_weight"][:],
            "total_variation": file["variants/tv_weight"][:],
        }
        per_layer = file["losses/style_per_layer"][: len(record.rows.step)]
    np.testing.assert_array_equal(record.rows.parts["style"], per_layer)
    for i, variant in enumerate(record.variants):
        assert variant.weights == {term: values[i] for term, values in old.items()}
        total = sum(variant.weights[x] * record.rows.losses[x][:, i] for x in record.terms)
        np.testing.assert_allclose(record.rows.total[:, i], total, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_shows_them(name, tmp_path, capsys):
    log = LOGS / f"{name}.h5"
    assert cli.main(["show", str(log)]) == 0
    assert "block1_conv1, block2_conv1" in capsys.readouterr().out
    assert "Loss by layer" in report.render(runlog.load(log))
    plotting.loss_curves(runlog.load(log)).draw_without_rendering()
    assert cli.main(["plot", str(log), "--figures", str(tmp_path)]) == 0


def test_a_run_is_repeated_and_compared(folder):
    """In the same numbers, as far as another machine or version computes the same."""
    answers = []
    new = folder / "again.h5"
    outcome = runs.rerun(
        folder / "single.h5", new_log=new, say=quiet, answer=answers.append, progress=False
    )
    assert answers[-1].endswith(("the same bytes", "other bytes"))
    old, again = runlog.load(folder / "single.h5"), outcome.record
    assert again.attributes["schema_version"] == runlog.SCHEMA_VERSION
    np.testing.assert_allclose(again.rows.total, old.rows.total, rtol=1e-3)
    np.testing.assert_allclose(again.rows.parts["style"], old.rows.parts["style"], rtol=1e-3)


def test_an_interrupted_run_goes_on_in_a_log_of_today(folder):
    path = folder / "interrupted.h5"
    old = runlog.load(path)
    done = len(old.rows.step)
    outcome = runs.resume(path, say=quiet, progress=False)
    record = outcome.record
    assert outcome.exit_code == 0
    assert record.attributes["schema_version"] == runlog.SCHEMA_VERSION
    assert len(record.rows.step) == old.capacity > done
    logs.assert_same_rows(old.rows, record.rows, slice(done))
    np.testing.assert_array_equal(record.snapshots[: len(old.snapshots)], old.snapshots)
    assert (folder / "out.png").exists()
    assert not checkpoint.path_of(path).exists()
    # The rest is what a run would have given that went through.
    whole = runs.rerun(path, say=quiet, answer=quiet, progress=False).record
    np.testing.assert_allclose(record.rows.total, whole.rows.total, rtol=5e-2)


def test_a_log_that_cannot_be_rewritten_stays_as_it_was(folder, monkeypatch):
    path = folder / "interrupted.h5"
    before = path.read_bytes()

    def full(*arguments, **options):
        raise OSError("no space left")

    monkeypatch.setattr("nst_jax.runlog.writing.RunLog.take_over", full)
    with pytest.raises(OSError, match="no space left"):
        runs.resume(path, say=quiet, progress=False)
    assert path.read_bytes() == before
    assert checkpoint.path_of(path).exists()
    assert runlog.load(path).status == "interrupted"


def test_a_finished_run_is_given_more_steps(folder):
    outcome = runs.resume(folder / "single.h5", steps=8, say=quiet, progress=False)
    assert len(outcome.record.rows.step) == 8
    assert outcome.record.path.name == "single-8.h5"
    assert runlog.load(folder / "single.h5").attributes["schema_version"] == 1
