"""One picture over several processes: the same decisions, one that writes, and what is lost."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from nst_jax import config, placement, runlog, runs
from nst_jax.runlog import checkpoint
from nst_jax.system import cluster
from nst_jax.system.cluster import Team
from nst_jax.system.interrupts import Stopped, StopRequest

# Each may get a signal when the rows of its first chunk are in its log.
A_PROCESS = """
import os, sys
from nst_jax import config, driver
from nst_jax.command import execution
from nst_jax.command.commands import Resume
from nst_jax.runs import progress
from nst_jax.system.console import exit_code_of
from pathlib import Path
driver.MAX_CHUNK_LENGTH = 2
signals = [{signal}] * ({signal} > 0)
progress.ProgressBar.show = lambda self, plan, chunk: [
    os.kill(os.getpid(), signals.pop()) for _ in signals[:]
]
sys.exit(exit_code_of(lambda: execution.run({command})))
"""


def said_by_two(command, signals=(0, 0)):
    """Exit codes and lines of two processes that run a command together, as on two hosts."""
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    cluster_of_two = {
        "JAX_COORDINATOR_ADDRESS": f"localhost:{port}",
        "JAX_NUM_PROCESSES": "2",
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", A_PROCESS.format(signal=int(number), command=command)],
            env=os.environ | cluster_of_two | {"JAX_PROCESS_ID": str(i)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i, number in enumerate(signals)
    ]
    said = [process.communicate(timeout=240)[0] for process in processes]
    # What the exchange of JAX says when it begins.
    lines = [[x for x in text.splitlines() if x and not x.startswith("[Gloo]")] for text in said]
    return [process.returncode for process in processes], lines


def painting(settings):
    return f"config.from_json({config.to_json(settings)!r})"


@pytest.fixture
def high(stylize, weight_file):
    """A picture of rows for two devices, not of as many for each; one layer."""
    rng = np.random.default_rng(0)
    picture = stylize.content.with_name("high.png")
    Image.fromarray(rng.integers(0, 255, (71, 20, 3), np.uint8)).save(picture)
    return replace(
        stylize,
        content=picture,
        size=71,
        weights=str(weight_file),
        content_layers=("relu1_1",),
        style_layers=("relu1_1",),
        distributed=True,
    )


@pytest.fixture
def alone(high, quick_to_compile):
    """The log of the run by one process."""
    own = replace(high, log=high.log.with_name("alone.h5"), distributed=False)
    return lambda **changes: (
        runs.stylize_files(replace(own, **changes), say=lambda line: None, progress=False).record
    )


def assert_same(found, expected):
    assert found.status == "finished"
    np.testing.assert_allclose(found.rows.total, expected.rows.total, rtol=1e-5)
    np.testing.assert_allclose(found.final["total"], expected.final["total"], rtol=1e-4)
    assert np.abs(found.images.astype(int) - expected.images).max() <= 1


@pytest.mark.slow
def test_two_processes_paint_the_picture_of_one(high, alone):
    how = {"optimizer": "lbfgs", "steps": 2}
    codes, lines = said_by_two(painting(replace(high, keep_state=True, **how)))
    assert codes == [0, 0], lines
    assert not lines[1], "the first one speaks"
    assert any("rows spread over 2 devices in 2 processes" in line for line in lines[0])
    found, expected = runlog.load(high.log), alone(**how)
    assert found.attributes["processes"] == 2
    assert_same(found, expected)
    assert high.output.exists()
    with np.load(checkpoint.path_of(high.log)) as kept:
        heights = {kept[name].shape[-3] for name in kept if kept[name].ndim > 3}
    assert heights == {71}
    assert not [path for path in high.log.parent.iterdir() if "lock" in path.name]


@pytest.mark.slow
def test_a_signal_to_one_ends_both_and_two_or_one_go_on(high, alone):
    """In a first stage that has rows for one device: both compute it."""
    stages = {"stages": ("40:4", "71:4"), "steps": 8, "snapshot_every": 4}
    codes, lines = said_by_two(painting(replace(high, **stages)), signals=(0, signal.SIGTERM))
    assert codes == [143, 143], lines
    record = runlog.load(high.log)
    assert record.status == "interrupted"
    assert 0 < record.steps_done[0] < 4
    other = high.log.with_name("other.h5")
    shutil.copy(high.log, other)
    shutil.copy(checkpoint.path_of(high.log), checkpoint.path_of(other))
    codes, lines = said_by_two(f"Resume(Path({str(high.log)!r}), distributed=True)")
    assert codes == [0, 0], lines
    assert not lines[1]
    said = []
    assert runs.resume(other, say=said.append, progress=False).exit_code == 0
    assert any("processes was 2, is 1" in line for line in said)
    whole = alone(**stages)
    for path in (high.log, other):
        found = runlog.load(path)
        assert_same(found, whole)
        assert list(found.snapshot_steps) == [4, 8]


@pytest.mark.slow
def test_a_lost_process_ends_the_run_and_resume_goes_on(high, alone):
    codes, lines = said_by_two(painting(high), signals=(0, signal.SIGKILL))
    assert codes == [1, -signal.SIGKILL], lines
    assert lines[0][-1] == (
        "error: another process of this run is gone: "
        f"nst-jax resume {high.log} --distributed goes on"
    )
    assert runlog.load(high.log).status == "failed"
    assert runs.resume(high.log, say=lambda line: None, progress=False).exit_code == 0
    assert_same(runlog.load(high.log), alone())


# What all agree about


@pytest.fixture
def with_another(monkeypatch):
    """`with_another(*values)`: a process 1 beside this one, and what it gives at each exchange."""

    def begin(*values):
        given = iter(values)
        gathered = []

        def process_allgather(own):
            gathered.append(own.tolist())
            return np.stack([own, np.asarray(next(given), own.dtype)])

        monkeypatch.setattr(cluster.multihost_utils, "process_allgather", process_allgather)
        return Team(0, 2), gathered

    return begin


def test_one_that_says_yes_is_enough(with_another):
    team, _ = with_another(1, 0, 0)
    assert [team.agree(says_yes) for says_yes in (False, False, True)] == [True, False, True]
    assert [Team().agree(says_yes) for says_yes in (False, True)] == [False, True]


def test_a_signal_counts_when_all_have_settled_it(with_another):
    own = StopRequest()
    team, _ = with_another(0, signal.SIGTERM)
    shared = team.shared(own)
    own.signal_number = signal.SIGINT
    assert shared.has_come
    assert not shared, "the other does not know"
    shared.settle()
    assert shared.exit_code == 130
    shared.settle()
    assert shared.exit_code == 143
    assert Team().shared(own) is own


def test_what_one_has_otherwise_is_named(with_another):
    team, _ = with_another(0, [1, 2])
    with (
        pytest.raises(ValueError, match="process 1 has another content than process 0") as error,
        team.together() as begin,
    ):
        begin({"content": "a", "style": "b"})
    assert "\n" not in str(error.value)


def test_all_end_where_one_cannot_begin(with_another):
    team, _ = with_another(1)
    with pytest.raises(ValueError, match="process 1 could not begin"), team.together() as begin:
        begin({})
    team, _ = with_another(143)
    with pytest.raises(Stopped), team.together() as begin:
        begin({})
    team, gathered = with_another(0)
    with pytest.raises(OSError, match="full"), team.together():
        raise OSError("full")
    assert gathered == [1], "the other is told"


def test_a_failure_of_ones_own_is_no_loss():
    with pytest.raises(ValueError, match=r"^own$"), cluster.loss_in_words("resume"):
        raise ValueError("own")


def test_what_cannot_be_spread_is_refused(high):
    with pytest.raises(ValueError, match="71 rows is too small for 1 devices in 2 processes"):
        runs.prepare(high, team=Team(0, 2), say=lambda line: None)
    with pytest.raises(ValueError, match=r"--strips .* --distributed"):
        runs.check_config(replace(high, strips=16))


@pytest.mark.parametrize(("height", "devices", "rows"), [(130, 6, 3), (512, 8, 8), (63, 4, 1)])
def test_all_devices_of_several_processes_take_part(height, devices, rows):
    assert placement.row_devices(height, devices, evenly=True) == rows
