"""Real processes and real faults: kills, signals, full disks. What was done is kept, or said."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import logs
import numpy as np
import pytest
from PIL import Image

from nst_jax import config, runlog, runs
from nst_jax.runlog import checkpoint

# A run as a process: begun, or gone on with if there is a log. It checkpoints every chunk, says
# "logged N" when the rows of a chunk are in the log, and each stage before it begins.
PROCESS = """
import json, resource, signal, sys
from pathlib import Path
from nst_jax import config, driver, runs
from nst_jax.command import cli, main
from nst_jax.runs import inputs, programs, progress, results
from nst_jax.system import console

settings = config.from_json(json.loads(sys.argv[1]))
limit, limited_from = int(sys.argv[2]), sys.argv[3]
programs.CHECKPOINT_SECONDS = 0.0
driver.MAX_CHUNK_LENGTH = 2

def announce(module, name, word):
    function = getattr(module, name)
    def announced(*arguments, **options):
        print(word, flush=True)
        return function(*arguments, **options)
    setattr(module, name, announced)

announce(inputs, "load_network", "loading")
announce(driver, "compile_ahead", "compiling")
announce(programs.checkpoint, "save", "saving")
announce(results, "conclude", "concluding")

def limit_files():
    # From here on the disk takes no file that is larger, nor values beyond in one.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

def show(self, plan, chunk):
    print("logged", plan.start, int(chunk.state.step.max()), flush=True)
    if limited_from == "logged":
        limit_files()
progress.ProgressBar.show = show

if limited_from == "start":
    limit_files()

def go():
    if settings.log.exists():
        return runs.resume(settings.log).exit_code
    run = runs.sweep_files if isinstance(settings, config.SweepConfig) else runs.stylize_files
    return run(settings).exit_code

cli.main = lambda: console.exit_code_of(go)
main.main()
"""


def start(settings: config.Config, *, limit: int = 0, limited_from="") -> subprocess.Popen:
    arguments = [json.dumps(config.to_json(settings)), str(limit), limited_from]
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )


def quiet(line: str) -> None:
    del line


@pytest.fixture
def sweep(quick_to_start):
    """What a process compiles is not what is tested here."""
    return quick_to_start


@pytest.fixture
def adam(sweep):
    """One program, which is enough where nothing happens between two."""
    return replace(sweep, optimizers=("adam",))


@pytest.fixture
def single(sweep) -> config.StylizeConfig:
    """One variant of `sweep` as a run of its own."""
    names = ("content", "weights", "steps", "content_layers", "style_layers", "force")
    return config.StylizeConfig(
        style=sweep.styles[0],
        output=sweep.log.with_name("out.png"),
        log=sweep.log,
        init="noise",
        **{name: getattr(sweep, name) for name in names},
    )


def whole(settings: config.Config, monkeypatch) -> runlog.RunRecord:
    """The same run without any fault."""
    monkeypatch.setattr("nst_jax.driver.MAX_CHUNK_LENGTH", 2)
    changes = {"log": settings.log.with_name("whole.h5")}
    if isinstance(settings, config.StylizeConfig):
        outcome = runs.stylize_files(
            replace(settings, output=settings.log.with_name("whole.png"), **changes),
            say=quiet,
            progress=False,
        )
    else:
        outcome = runs.sweep_files(replace(settings, **changes), say=quiet, progress=False)
    assert outcome.exit_code == 0
    return outcome.record


def assert_rows_of(record: runlog.RunRecord, expected: runlog.RunRecord, done: np.ndarray):
    """What was acknowledged is there, and nothing that is there is wrong."""
    assert (record.steps_done >= done).all()
    for i, steps in enumerate(record.steps_done):
        logs.assert_same_rows(record.rows, expected.rows, (slice(steps), i))


# Kills


class Life:
    """One process of a run: killed after some time, or left alone to the end."""

    def __init__(self, settings: config.Config, seconds: float):
        self.acknowledged: dict[int, int] = {}
        self._process = start(settings)
        timer = threading.Timer(seconds, self._process.kill)
        timer.start()
        for line in self._process.stdout:
            # A line that the kill cut short is not an acknowledgement.
            if line.startswith("logged") and line.endswith("\n"):
                first, steps = map(int, line.split()[1:])
                self.acknowledged[first] = steps
        self.error = self._process.stderr.read()
        self.code = self._process.wait()
        timer.cancel()
        self._process.stdout.close()
        self._process.stderr.close()


def live_through(settings, expected, generator, kills: int) -> int:
    """Kills a run at random moments and goes on with it, over and over; returns the kills."""
    killed, longest = 0, 4.0
    while killed < kills:
        began = time.monotonic()
        life = Life(settings, generator.uniform(0, longest))
        if life.code == -signal.SIGKILL:
            killed += 1
        else:
            assert life.code == 0, life.error
            # Kills are spread over the whole of a life, however long one lasts here.
            longest = time.monotonic() - began
        if not settings.log.exists():
            continue
        record = runlog.load(settings.log)
        done = np.zeros(len(record.variants), int)
        for first, steps in life.acknowledged.items():
            width = next(p["width"] for p in plans(record) if p["start"] == first)
            done[first : first + width] = steps
        assert_rows_of(record, expected, done)
        if record.status == "finished":
            np.testing.assert_array_equal(record.images, expected.images)
            settings.log.unlink()
    if settings.log.exists():
        runs.resume(settings.log, say=quiet, progress=False)
        record = runlog.load(settings.log)
        np.testing.assert_array_equal(record.images, expected.images)
        np.testing.assert_array_equal(record.rows.total, expected.rows.total)
        assert not checkpoint.path_of(settings.log).exists()
    return killed


def plans(record: runlog.RunRecord) -> list[dict]:
    return json.loads(record.attributes["plans_json"])


@pytest.mark.slow
@pytest.mark.torture
@pytest.mark.parametrize("kind", ["sweep", "single"])
def test_killed_at_any_moment_a_run_keeps_its_rows_and_ends_with_the_same_bytes(
    kind, sweep, single, monkeypatch, times
):
    settings = replace(sweep if kind == "sweep" else single, steps=40)
    expected = whole(settings, monkeypatch)
    kills = times(2, 50)
    assert live_through(settings, expected, random.Random(0), kills) == kills


# Signals


def signaled_in(stage: str, number: int, settings: config.Config) -> tuple[int, str]:
    """Exit code and error output of a run that gets a signal as soon as a stage begins."""
    process = start(settings)
    watchdog = threading.Timer(120, process.kill)
    watchdog.start()
    for line in process.stdout:
        if line.startswith(stage):
            break
    process.send_signal(number)
    _, err = process.communicate()
    watchdog.cancel()
    return process.returncode, err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "number"),
    [
        ("loading", signal.SIGINT),
        ("compiling", signal.SIGTERM),
        ("logged", signal.SIGINT),
        ("saving", signal.SIGTERM),
    ],
)
def test_a_signal_is_answered_in_every_stage(stage, number, adam):
    """Both signals have one handler: each stage is tried with one of them."""
    settings = replace(adam, steps=2000)
    code, err = signaled_in(stage, number, settings)
    assert code == 128 + number, err
    assert "Traceback" not in err
    if not settings.log.exists():
        assert stage not in ("logged", "saving")
        assert not list(settings.log.parent.glob("sweep*"))
        return
    record = runlog.load(settings.log)
    assert record.status == "interrupted"
    assert record.steps_done.max() > 0 or stage == "compiling"


@pytest.mark.slow
def test_a_signal_while_the_results_are_written_lets_them_be_written(single):
    code, err = signaled_in("concluding", signal.SIGTERM, single)
    assert code in (0, 143), err
    record = runlog.load(single.log)
    assert record.status == "finished"
    with Image.open(single.output) as picture:
        np.testing.assert_array_equal(np.asarray(picture), record.images[0])


# Disks


def assert_one_line(err: str, *words: str):
    """No traceback, and the last line is the reason."""
    lines = [line for line in err.splitlines() if line]
    assert len(lines) == 1, err
    for word in ("error: ", *words):
        assert word in lines[0]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, *, left: int = 0) -> None:
    """Leaves so many bytes."""
    with (folder / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    size = (folder / "filler").stat().st_size
    os.truncate(folder / "filler", max(size - left, 0))


@pytest.mark.slow
def test_a_log_too_large_for_the_disk_is_refused_before_the_work(small_disk, adam):
    settings = replace(adam, log=small_disk / "sweep.h5", steps=20_000)
    process = start(settings)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert_one_line(err, "it takes up to", "MB free", "fewer steps")
    assert "compiling" not in out
    assert not list(small_disk.iterdir())


@pytest.mark.slow
def test_a_disk_that_fills_up_ends_the_run_in_one_line_and_keeps_the_log(small_disk, adam):
    settings = replace(adam, log=small_disk / "sweep.h5", steps=400)
    process = start(settings)
    for line in process.stdout:
        if line.startswith("logged"):
            break
    fill(small_disk)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1, out
    assert_one_line(err, os.strerror(errno.ENOSPC))
    record = runlog.load(settings.log)
    assert record.status == "failed"
    assert record.steps_done.max() > 0
    assert np.isfinite(record.rows.total[: record.steps_done[0], 0]).all()
    # The checkpoint of the chunk before is whole: with room again the run goes on.
    (small_disk / "filler").unlink()
    short = runs.resume(settings.log, say=quiet, progress=False)
    assert short.record.status == "finished"


@pytest.mark.slow
def test_the_picture_is_whole_or_absent_on_a_full_disk(small_disk, single):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (96, 128, 3), np.uint8)).save(single.content)
    settings = replace(single, output=small_disk / "out.png")
    fill(small_disk, left=8192)
    before = sorted(small_disk.iterdir())
    process = start(settings)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert_one_line(err, os.strerror(errno.ENOSPC))
    assert sorted(small_disk.iterdir()) == before
    assert runlog.load(settings.log).status == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1, 20_000])
def test_a_disk_that_refuses_values_in_place_ends_the_run_in_one_line(limit, adam):
    """As file systems that copy on write do, or network ones that go away."""
    process = start(replace(adam, steps=2000), limit=limit, limited_from="logged")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1, out
    assert_one_line(err, os.strerror(errno.EFBIG))
    record = runlog.load(adam.log)
    assert record.steps_done.max() >= 2
    assert np.isfinite(record.rows.total[:2, 0]).all()


@pytest.mark.slow
def test_a_quota_is_noticed_before_the_work(adam):
    process = start(adam, limit=20_000, limited_from="start")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert_one_line(err, "a quota leaves less")
    assert "logged" not in out
    assert not list(adam.log.parent.glob("*sweep*"))
