"""One process a file."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from nst_jax.command import cli
from nst_jax.system import locks

HOLDER = """
import sys
from pathlib import Path
from nst_jax.system import locks
with locks.held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""

# Whoever holds the lock makes a file that must not be there, and takes it away again.
RIVAL = """
import sys
from pathlib import Path
from nst_jax.system import locks
log, mark, turns = Path(sys.argv[1]), Path(sys.argv[2]), 0
while turns < 200:
    try:
        with locks.held(log):
            mark.touch(exist_ok=False)
            mark.unlink()
            turns += 1
    except BlockingIOError:
        pass
"""


@pytest.fixture
def log(tmp_path):
    return tmp_path / "run.h5"


@pytest.fixture
def holder(log):
    """Another process that holds the lock until it is ended."""
    command = [sys.executable, "-c", HOLDER, str(log)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_is_refused_with_the_first_one_s_process_id(log, holder):
    with pytest.raises(BlockingIOError, match=f"process {holder.pid} on "), locks.held(log):
        pass


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_an_ended_process_leaves_behind_locks_nothing(log, holder, number):
    holder.send_signal(number)
    holder.wait()
    assert list(log.parent.iterdir())
    with locks.held(log):
        pass
    assert not list(log.parent.iterdir())


def test_the_lock_is_released_after_an_exception(log):
    with pytest.raises(ZeroDivisionError), locks.held(log):
        raise ZeroDivisionError
    with locks.held(log):
        pass


def test_two_logs_in_one_folder_do_not_lock_each_other(log):
    with locks.held(log), locks.held(log.with_name("other.h5")):
        assert len(os.listdir(log.parent)) == 2


@pytest.mark.slow
def test_rivals_hold_it_one_at_a_time(log, tmp_path):
    command = [sys.executable, "-c", RIVAL, str(log), str(tmp_path / "mark")]
    rivals = [subprocess.Popen(command) for _ in range(4)]
    assert [rival.wait(timeout=120) for rival in rivals] == [0] * 4


def test_who_waits_comes_next(log, holder):
    turns = []

    def wait():
        with locks.held(log, wait=True):
            turns.append("waited")

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join(0.2)
    assert turns == []
    holder.kill()
    thread.join(30)
    assert turns == ["waited"]


@pytest.mark.parametrize("command", ["resume", "rerun", "sweep"])
def test_commands_refuse_a_log_in_use_and_leave_it_alone(command, sweep, capsys):
    from nst_jax import runs

    runs.sweep_files(sweep, say=lambda line: None, progress=False)
    before = sweep.log.read_bytes()
    other = sweep.log.with_name("other.h5")
    options = {
        "resume": ["resume", str(sweep.log)],
        "rerun": ["rerun", str(other), "--new-log", str(sweep.log), "--force"],
        "sweep": ["sweep", str(sweep.content), str(sweep.styles[0]), "--log", str(sweep.log),
                  "--weights", "random", "--force"],
    }  # fmt: skip
    other.write_bytes(before)
    with locks.held(sweep.log):
        assert cli.main(options[command]) == 1
        assert cli.main(["show", str(sweep.log)]) == 0
    assert f"is being written by process {os.getpid()}" in capsys.readouterr().err
    assert sweep.log.read_bytes() == before
