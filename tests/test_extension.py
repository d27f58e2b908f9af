"""More steps than a run was started with: the bytes of a run that had them from the start."""

from dataclasses import replace
from pathlib import Path

import logs
import numpy as np
import pytest

from nst_jax import config, runlog, runs
from nst_jax.command import cli
from nst_jax.runlog import checkpoint
from nst_jax.runs import extension

OLD, NEW = 5, 8


@pytest.fixture
def sweep(sweep, quick_to_compile):
    """Two programs of two lanes, whose optimizers keep different states."""
    return replace(sweep, steps=OLD, force=False, keep_state=True)


@pytest.fixture
def single(sweep) -> config.StylizeConfig:
    """One variant as a run of its own."""
    names = ("content", "weights", "steps", "content_layers", "style_layers", "keep_state")
    return config.StylizeConfig(
        style=sweep.styles[0],
        output=sweep.log.with_name("out.png"),
        log=sweep.log.with_name("run.h5"),
        init="noise",
        **{name: getattr(sweep, name) for name in names},
    )


def quiet(line: str) -> None:
    del line


def run(settings: config.Config) -> runlog.RunRecord:
    function = runs.sweep_files if isinstance(settings, config.SweepConfig) else runs.stylize_files
    return function(settings, say=quiet, progress=False).record


def elsewhere(settings: config.Config) -> config.Config:
    """The same run, of the new number of steps from the start."""
    folder = settings.log.parent / "whole"
    folder.mkdir()
    changes = {"steps": NEW, "log": folder / "whole.h5", "keep_state": False}
    if isinstance(settings, config.StylizeConfig):
        changes["output"] = folder / "whole.png"
    return replace(settings, **changes)


def extend(log: Path, steps: int = NEW, **options) -> tuple[runlog.RunRecord, list[str]]:
    """The new log, and what was said."""
    said: list[str] = []
    outcome = runs.resume(log, steps=steps, say=said.append, progress=False, **options)
    return outcome.record, said


def assert_same_bytes(actual: runlog.RunRecord, expected: runlog.RunRecord):
    assert actual.status == expected.status
    assert actual.capacity == expected.capacity
    assert actual.variants == expected.variants
    np.testing.assert_array_equal(actual.images, expected.images)
    np.testing.assert_array_equal(actual.snapshots, expected.snapshots)
    np.testing.assert_array_equal(actual.snapshot_steps, expected.snapshot_steps)
    np.testing.assert_array_equal(actual.rows.step, expected.rows.step)
    logs.assert_same_rows(actual.rows, expected.rows)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def first_steps(monkeypatch):
    """The steps at which the chunks of a run begin."""
    begun: list[int] = []
    monkeypatch.setattr(
        "nst_jax.runs.progress.ProgressBar.show",
        lambda self, plan, chunk: begun.append(int(chunk.state.step.max()) - len(chunk.seconds)),
    )
    return begun


# Finished runs


@pytest.mark.parametrize("optimizer", ["adam", pytest.param("lbfgs", marks=pytest.mark.slow)])
def test_a_single_run_goes_on_from_its_state(single, optimizer, first_steps):
    single = replace(single, optimizer=optimizer, snapshot_every=2)
    run(single)
    before = contents(single.log.parent)
    first_steps.clear()
    record, said = extend(single.log)
    assert min(first_steps) == OLD
    assert not any("again" in line for line in said)
    whole = elsewhere(single)
    assert_same_bytes(record, run(whole))
    output = single.output.with_name(f"out-{NEW}.png")
    assert output.read_bytes() == whole.output.read_bytes()
    assert contents(single.log.parent).items() >= before.items()
    assert record.path.name == f"run-{NEW}.h5"
    assert record.attributes["parent"] == "run.h5"
    assert len(record.attributes["parent_sha256"]) == 64


@pytest.mark.slow
@pytest.mark.parametrize("optimizers", [("adam", "adagrad"), ("lbfgs",)])
def test_every_program_of_a_sweep_goes_on_from_its_state(sweep, optimizers, first_steps):
    sweep = replace(sweep, optimizers=optimizers)
    run(sweep)
    first_steps.clear()
    record, _ = extend(sweep.log)
    assert set(first_steps) == {OLD}
    assert_same_bytes(record, run(elsewhere(sweep)))
    # The state of the longer run is there as well.
    again, said = extend(record.path, NEW + 1)
    assert again.path.name == f"sweep-{NEW + 1}.h5"
    assert not any("again" in line for line in said)


def test_without_a_state_the_steps_are_run_again_to_the_same_bytes(single):
    run(replace(single, keep_state=False))
    assert not checkpoint.path_of(single.log).exists()
    record, said = extend(single.log)
    assert sum("kept no state (--keep-state does)" in line for line in said) == 1
    assert_same_bytes(record, run(elsewhere(single)))


def test_names_count_on():
    assert extension.beside(Path("a/run.h5"), 250, 500) == Path("a/run-500.h5")
    assert extension.beside(Path("a/run-500.h5"), 500, 1000) == Path("a/run-1000.h5")
    assert extension._within(Path("."), 250, 500) == Path("500")
    assert extension._within(Path("figures/500"), 500, 1000) == Path("figures/1000")


# Interrupted runs


class Killed(Exception):
    """Instead of a SIGKILL."""


def killed_in_chunk(number: int, monkeypatch, function, *arguments, **options):
    """Runs something that dies when it shows its chunk of that number, counted from 1."""
    shown = []

    def show(self, plan, chunk):
        shown.append(chunk)
        if len(shown) == number:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("nst_jax.runs.progress.ProgressBar.show", show)
        with pytest.raises(Killed):
            function(*arguments, **options)


@pytest.fixture
def small_chunks(monkeypatch):
    """Two steps a chunk, and a checkpoint after each."""
    monkeypatch.setattr("nst_jax.driver.MAX_CHUNK_LENGTH", 2)
    monkeypatch.setattr("nst_jax.runs.programs.CHECKPOINT_SECONDS", 0.0)


@pytest.mark.slow
def test_a_killed_sweep_gets_more_steps(sweep, small_chunks, first_steps, monkeypatch):
    """In its second program, whose second chunk is not in a checkpoint yet."""
    killed_in_chunk(5, monkeypatch, run, sweep)
    first_steps.clear()
    record, said = extend(sweep.log)
    # The first program kept its state, the second goes on from its checkpoint.
    assert sorted(first_steps) == [2, 4, 5, 6, 6]
    assert not any("again" in line for line in said)
    assert_same_bytes(record, run(elsewhere(sweep)))


@pytest.mark.slow
def test_fewer_steps_than_an_interrupted_run_was_to_have(single, small_chunks, monkeypatch):
    single = replace(single, steps=50)
    killed_in_chunk(2, monkeypatch, run, single)
    record, _ = extend(single.log)
    assert_same_bytes(record, run(elsewhere(single)))


@pytest.mark.slow
def test_a_run_that_is_killed_while_it_gets_more_steps_is_resumed(
    single, small_chunks, monkeypatch
):
    run(single)
    before = contents(single.log.parent)
    killed_in_chunk(1, monkeypatch, extend, single.log)
    assert contents(single.log.parent).items() >= before.items()
    new = single.log.with_name(f"run-{NEW}.h5")
    outcome = runs.resume(new, say=quiet, progress=False)
    assert_same_bytes(outcome.record, run(elsewhere(single)))


# What is refused, in one line


def test_what_cannot_be_is_refused(single, capsys):
    run(single)
    log = str(single.log)
    assert cli.main(["resume", log, "--steps", "3"]) == 1
    assert "it has done 5 steps: expected as many or more, got 3" in capsys.readouterr().err
    assert cli.main(["resume", log]) == 0
    assert "there is nothing to resume; --steps adds" in capsys.readouterr().out
    taken = single.output.with_name(f"out-{NEW}.png")
    taken.write_text("mine")
    assert cli.main(["resume", log, "--steps", str(NEW)]) == 1
    assert f"out-{NEW}.png exists; use --force" in capsys.readouterr().err
    assert taken.read_text() == "mine"
    assert not single.log.with_name(f"run-{NEW}.h5").exists()


@pytest.mark.slow
def test_the_state_of_another_run_is_refused(single):
    run(single)
    other = replace(single, seed=1, log=single.log.with_name("other.h5"), force=True)
    run(other)
    checkpoint.path_of(other.log).replace(checkpoint.path_of(single.log))
    with pytest.raises(ValueError, match="is the checkpoint of another run; remove it"):
        extend(single.log)


def test_a_new_run_takes_no_state_of_an_old_one(sweep):
    states = [checkpoint.path_of(sweep.log, number) for number in (0, 1, 12)]
    similar = sweep.log.with_name("sweep.h5.checkpoint.mine.npz")
    for path in (*states, similar):
        path.write_text("old")
    checkpoint.remove(sweep.log)
    assert not any(path.exists() for path in states)
    assert similar.exists()


def test_a_state_is_kept_beside_a_log_alone(single):
    with pytest.raises(ValueError, match="give --log with --keep-state"):
        runs.check_config(replace(single, log=None))


# Runs that ended by their tolerance


def test_a_run_that_converged_gets_no_more_steps(single, capsys):
    single = replace(single, steps=60, tolerance=10.0)
    assert len(run(single).rows.step) == 20
    assert cli.main(["resume", str(single.log), "--steps", "90"]) == 1
    error = capsys.readouterr().err
    assert "it ended after 20 of 60 steps, because it converged" in error


@pytest.mark.slow
@pytest.mark.parametrize("steps", [12, 20])
def test_where_convergence_is_looked_for_is_that_of_the_longer_run(single, steps):
    """Of twelve steps a chunk has six: after twelve the longer run has not looked."""
    single = replace(single, steps=steps, tolerance=10.0)
    run(single)
    record, said = extend(single.log, 30)
    assert any("again" in line for line in said) == (steps == 12)
    whole = replace(elsewhere(single), steps=30)
    assert_same_bytes(record, run(whole))
    assert len(record.rows.step) == 20
