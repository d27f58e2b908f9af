"""Sweeps from files to a log: lanes, batches, styles, devices, resume."""

import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import jax
import logs
import numpy as np
import pytest
from PIL import Image

from nst_jax import config, optimizers, runlog, runs
from nst_jax.command import cli
from nst_jax.runlog import checkpoint, merging, writing
from nst_jax.runs import grid, hosts
from nst_jax.system import memory


def quiet(line: str) -> None:
    del line


def run(settings: config.SweepConfig) -> runlog.RunRecord:
    outcome = runs.sweep_files(settings, say=quiet, progress=False)
    assert outcome.exit_code == 0
    return outcome.record


def assert_close(actual, expected):
    """The design's tolerances: 1e-5 over five steps."""
    np.testing.assert_allclose(actual.rows.total[:5], expected.rows.total[:5], rtol=1e-5)


@pytest.mark.slow
def test_every_variant_is_logged(sweep):
    record = run(sweep)
    assert [v.label for v in record.variants] == [
        "adam 0.02", "adam 0.1", "adagrad 0.02", "adagrad 0.1",
    ]  # fmt: skip
    assert {variant.status for variant in record.variants} <= {"finished", "diverged"}
    assert record.status == "finished"
    assert record.rows.total.shape == (6, 4)
    assert np.isfinite(record.rows.total).all()
    assert list(record.steps_done) == [6, 6, 6, 6]
    assert len({images.tobytes() for images in record.images}) == 4


@pytest.mark.slow
def test_a_lane_equals_its_single_run(sweep):
    record = run(sweep)
    for i, variant in enumerate(record.variants):
        single = config.StylizeConfig(
            content=sweep.content,
            style=sweep.styles[0],
            output=sweep.log.with_name("single.png"),
            log=sweep.log.with_name("single.h5"),
            steps=sweep.steps,
            optimizer=variant.optimizer,
            learning_rate=variant.learning_rate,
            init="noise",
            tv_weight=0.0,
            weights="random",
            force=True,
            content_layers=sweep.content_layers,
            style_layers=sweep.style_layers,
        )
        alone = runs.stylize_files(single, say=quiet, progress=False).record
        np.testing.assert_allclose(
            record.rows.total[:5, i], alone.rows.total[:5, 0], rtol=1e-5, err_msg=variant.label
        )


@pytest.mark.slow
def test_each_optimizer_takes_the_constants_that_it_has(sweep):
    """`epsilon` is of both, `beta_1` of Adam and `initial` of Adagrad."""
    constants = ("epsilon=0.1", "beta_1=0.5", "initial=0.2")
    prepared = runs.prepare(replace(sweep, constants=constants), say=quiet)
    found = {variant.optimizer: prepared.method.optimizer(variant) for variant in prepared.variants}
    assert found == {
        "adam": optimizers.named("adam", constants={"epsilon": 0.1, "beta_1": 0.5}),
        "adagrad": optimizers.named("adagrad", constants={"epsilon": 0.1, "initial": 0.2}),
    }


def test_batches_are_padded_and_leave_no_trace(sweep):
    whole = run(replace(sweep, learning_rates=("0.02", "0.05", "0.1")))
    batched = run(replace(sweep, learning_rates=("0.02", "0.05", "0.1"), batch=2))
    assert batched.attributes["variants_per_program"] == 2
    assert batched.rows.total.shape == whole.rows.total.shape == (6, 6)
    assert_close(batched, whole)


def test_two_grids_compile_one_program_an_optimizer(sweep, count_compilations):
    run(sweep)
    with count_compilations("step_variants") as compiled:
        run(replace(sweep, learning_rates=("0.03", "0.07"), style_weights=(0.5,)))
    assert not compiled


@pytest.mark.slow
def test_styles_share_a_program_and_keep_their_targets(sweep, count_compilations):
    both = (sweep.styles[0], sweep.content.with_name("t.png"))
    one = run(sweep)
    with count_compilations("step_variants") as compiled:
        two = run(replace(sweep, styles=both))
    assert not compiled
    assert len(two.variants) == 8
    assert list(two.styles) == [str(path) for path in both]
    np.testing.assert_array_equal(two.rows.total[:, :4], one.rows.total)
    assert not np.allclose(two.rows.total[0, 4:], one.rows.total[0], rtol=1e-3)


def test_an_absurd_rate_is_marked_and_its_neighbor_keeps_its_bytes(sweep):
    calm = run(replace(sweep, optimizers=("adam",), learning_rates=("0.02", "0.1")))
    wild = run(replace(sweep, optimizers=("adam",), learning_rates=("0.02", "1e30")))
    variant = wild.variants[1]
    assert variant.status == "diverged"
    assert variant.diverged_step >= 1
    np.testing.assert_array_equal(wild.rows.total[:, 0], calm.rows.total[:, 0])
    np.testing.assert_array_equal(wild.images[0], calm.images[0])


def test_who_begins_at_the_minimum_has_not_diverged(sweep, quick_to_compile):
    """One picture for content and style: any rate ends above it."""
    said = []
    same = replace(
        sweep,
        styles=(sweep.content,),
        inits=("content",),
        optimizers=("adam",),
        tv_weights=(0.0, 1e-6),
        learning_rates=("0.1",),
    )
    outcome = runs.sweep_files(same, say=said.append, progress=False)
    assert [variant.status for variant in outcome.record.variants] == ["finished"] * 2
    assert outcome.record.began_at_minimum.all()
    assert any("2 of them began at the minimum" in line for line in said)
    # Where smoothing is all that is asked for, it can be gained.
    smooth = replace(same, tv_weights=(1e6,))
    outcome = runs.sweep_files(smooth, say=said.append, progress=False)
    assert not outcome.record.began_at_minimum.any()


def test_a_new_sweep_does_not_take_an_old_checkpoint(sweep):
    fresh = run(sweep)
    checkpoint.save(checkpoint.path_of(sweep.log), {"x": np.zeros(3)}, program=0)
    again = run(sweep)
    np.testing.assert_array_equal(again.rows.total, fresh.rows.total)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--learning-rates", "fast"], "must be numbers"),
        (["--batch", "0"], "batch must be at least 1"),
        (["--log", "sweep.txt"], ".h5"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(options, words, sweep, capsys):
    log = [] if "--log" in options else ["--log", str(sweep.log)]
    pictures = [str(sweep.content), str(sweep.styles[0])]
    assert cli.main(["sweep", *pictures, *log, "--weights", "random", *options]) == 1
    err = capsys.readouterr().err.strip()
    assert words in err
    assert "\n" not in err


def test_a_sweep_writes_its_page_and_so_does_its_log(sweep):
    page = sweep.log.with_suffix(".html")
    run(replace(sweep, optimizers=("adam",), report=page))
    assert "adam 0.1" in page.read_text()
    again = sweep.log.with_name("again.html")
    assert cli.main(["report", str(sweep.log), "--output", str(again)]) == 0
    assert again.read_text() == page.read_text()


# Resume


class Killed(Exception):
    """Instead of a SIGKILL, which `test_a_signal...` sends."""


def kill_after(chunks: int):
    shown = []

    def kill(self, plan, chunk):
        shown.append(chunk)
        if len(shown) > chunks:
            raise Killed

    return kill


def assert_same_bytes(actual: runlog.RunRecord, expected: runlog.RunRecord):
    np.testing.assert_array_equal(actual.images, expected.images)
    logs.assert_same_rows(actual.rows, expected.rows)
    assert [v.status for v in actual.variants] == [v.status for v in expected.variants]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizers", "kills"), [(("adam", "rmsprop"), (1, 4)), (("lbfgs",), (1, 2))]
)
def test_killed_and_resumed_a_sweep_ends_with_the_same_bytes(optimizers, kills, sweep, monkeypatch):
    monkeypatch.setattr("nst_jax.driver.MAX_CHUNK_LENGTH", 2)
    monkeypatch.setattr("nst_jax.runs.programs.CHECKPOINT_SECONDS", 0.0)
    settings = replace(sweep, optimizers=optimizers, learning_rates=("0.02", "0.1"))
    whole = run(replace(settings, log=sweep.log.with_name("whole.h5")))

    for chunks in kills:
        with monkeypatch.context() as patch:
            patch.setattr("nst_jax.runs.progress.ProgressBar.show", kill_after(chunks))
            with pytest.raises(Killed):
                run(settings)
        assert runlog.load(settings.log).status == "failed"
        outcome = runs.resume(settings.log, say=quiet, progress=False)
        assert outcome.exit_code == 0
        assert_same_bytes(outcome.record, whole)
        assert not checkpoint.path_of(settings.log).exists()


def test_resume_refuses_a_changed_picture(sweep, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("nst_jax.runs.progress.ProgressBar.show", kill_after(0))
        with pytest.raises(Killed):
            run(sweep)
    Image.new("RGB", (28, 24), "red").save(sweep.content)
    with pytest.raises(ValueError, match="content has changed"):
        runs.resume(sweep.log, say=quiet, progress=False)


def test_resume_of_a_finished_run_says_so(sweep, capsys):
    run(sweep)
    assert cli.main(["resume", str(sweep.log)]) == 0
    assert "nothing to resume" in capsys.readouterr().out


@pytest.mark.slow
def test_a_signal_is_answered_and_resume_ends_with_the_same_bytes(sweep, weight_file, capfd):
    settings = replace(sweep, steps=200, weights=str(weight_file))
    log = str(sweep.log)
    command = [
        *(sys.executable, "-m", "nst_jax", "sweep", str(sweep.content), str(sweep.styles[0])),
        *("--log", log, "--steps", "200", "--optimizers", "adam", "adagrad", "--force"),
        *("--learning-rates", "0.02", "0.1", "--inits", "noise", "--tv-weights", "0"),
        *("--weights", str(weight_file), "--content-layers", "relu2_1"),
        *("--style-layers", "relu1_1", "relu2_1"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    while not (sweep.log.exists() and len(runlog.load(sweep.log).rows.step) > 1):
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"nst-jax resume {log}" in out
    assert runlog.load(sweep.log).status == "interrupted"
    assert cli.main(["resume", log]) == 0
    whole = run(replace(settings, log=sweep.log.with_name("whole.h5")))
    assert_same_bytes(runlog.load(sweep.log), whole)


# Devices

SHARDED = """
import sys
from pathlib import Path
from nst_jax import config, runs
settings = config.from_json({settings!r})
record = runs.sweep_files(settings, say=lambda line: None, progress=False).record
print(record.attributes["device_count"], record.attributes["plans_json"])
"""


@pytest.mark.slow
def test_eight_devices_give_the_result_of_one(quick_to_start):
    rates = tuple(str(0.01 * i) for i in range(1, 11))
    settings = replace(quick_to_start, optimizers=("adam",), learning_rates=rates)
    one = run(settings)
    eight = replace(settings, log=settings.log.with_name("eight.h5"))
    flags = "--xla_force_host_platform_device_count=8"
    done = subprocess.run(
        [sys.executable, "-c", SHARDED.format(settings=config.to_json(eight))],
        capture_output=True,
        text=True,
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("8 ")
    # Ten lanes on eight devices are padded to sixteen.
    assert '"devices": 8' in done.stdout
    assert '"width": 16' in done.stdout
    assert_close(runlog.load(eight.log), one)


# Hosts

# Some die when the rows of their first chunk are in the log.
ON_HOSTS = """
import os, signal, sys
from nst_jax import config, driver
from nst_jax.runs import hosts, progress
driver.MAX_CHUNK_LENGTH = 10
if {dies}:
    progress.ProgressBar.show = lambda self, plan, chunk: os.kill(os.getpid(), signal.SIGKILL)
sys.exit(hosts.sweep_files(config.from_json({settings!r}), progress=False, heartbeat_seconds=5))
"""


def start_processes(settings: config.SweepConfig, dying=()) -> list[subprocess.Popen]:
    """Two processes on this machine that take each other for hosts, in what Slurm would set."""
    count = 2
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    cluster = {
        "SLURM_JOB_ID": "1",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": str(count),
        "JAX_COORDINATOR_PORT": str(port),
        "JAX_PLATFORMS": "cpu",
    }
    return [
        subprocess.Popen(
            [
                *(sys.executable, "-c"),
                ON_HOSTS.format(settings=config.to_json(settings), dies=i in dying),
            ],
            env=os.environ | cluster | {"SLURM_PROCID": str(i), "SLURM_LOCALID": str(i)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in range(count)
    ]


@pytest.fixture
def shared_sweep(quick_to_start):
    """Two optimizers of three rates: of six variants three are for each of two processes."""
    return replace(
        quick_to_start,
        steps=40,
        learning_rates=("0.02", "0.05", "0.1"),
        snapshot_every=20,
        report=quick_to_start.log.with_suffix(".html"),
    )


@pytest.mark.slow
def test_two_processes_share_a_sweep(shared_sweep):
    one = run(replace(shared_sweep, log=shared_sweep.log.with_name("one.h5"), report=None))
    for process in start_processes(shared_sweep):
        out, _ = process.communicate(timeout=240)
        assert process.returncode == 0, out
    record = runlog.load(shared_sweep.log)
    assert record.attributes["processes"] == 2
    assert [v.label for v in record.variants] == [v.label for v in one.variants]
    assert record.config == config.to_json(shared_sweep)
    assert list(record.snapshot_steps) == [20, 40]
    np.testing.assert_array_equal(record.snapshots[-1], record.images)
    assert np.isfinite(record.final["total"]).all()
    assert_close(record, one)
    assert "adagrad 0.05" in shared_sweep.report.read_text()
    assert not list(shared_sweep.log.parent.glob("*-of-*")), "the parts are joined"


@pytest.mark.slow
def test_a_share_without_variants_of_a_style_and_one_that_diverges(shared_sweep):
    # One variant a process, of one style each; nothing finite comes of either.
    settings = replace(
        shared_sweep,
        styles=(*shared_sweep.styles, shared_sweep.content.with_name("t.png")),
        optimizers=("adam",),
        learning_rates=("0.02",),
        style_weights=(3e38,),
        steps=20,
        snapshot_every=0,
    )
    for process in start_processes(settings):
        out, _ = process.communicate(timeout=240)
        assert process.returncode == 0, out
    record = runlog.load(settings.log)
    assert list(record.styles) == [str(path) for path in settings.styles]
    assert [variant.status for variant in record.variants] == ["diverged"] * 2


def test_parts_of_other_pictures_are_not_joined(sweep):
    settings = replace(sweep, steps=2)
    halves = []
    for number in range(2):
        log = hosts.part_path(sweep.log, number, 2)
        share = grid.Share(number, 2)
        runs.sweep_files(replace(settings, log=log), share=share, say=quiet, progress=False)
        halves.append(runlog.load(log))
    merged = sweep.log.with_name("merged.h5")
    merging.merge(merged, halves, config=config.to_json(settings))
    whole = run(settings)
    assert_close(runlog.load(merged), whole)
    other = {**halves[1].attributes, "content_sha256": "another"}
    with pytest.raises(ValueError, match="different content"):
        merging.merge(merged, [halves[0], replace(halves[1], attributes=other)], config={})


def test_a_share_of_another_number_of_processes_is_not_left_behind(sweep):
    hosts.part_path(sweep.log, 0, 3).touch()
    with pytest.raises(ValueError, match="another number of processes than 2"):
        hosts._check_other_parts(replace(sweep, force=False), 2)
    hosts._check_other_parts(replace(sweep, force=False), 3)


def test_a_run_killed_between_its_last_variant_and_its_end_is_finished_by_resume(sweep):
    settings = replace(sweep, optimizers=("adam",), report=sweep.log.with_suffix(".html"))
    run(settings)
    with writing.RunLog.reopen(settings.log):
        pass
    settings.report.unlink()
    assert runlog.load(settings.log).status == "running"
    assert runs.resume(settings.log, say=quiet, progress=False).exit_code == 0
    assert runlog.load(settings.log).status == "finished"
    assert settings.report.exists()


@pytest.mark.slow
def test_a_killed_job_goes_on_and_the_share_of_a_killed_process_is_resumed_by_another(shared_sweep):
    settings = replace(shared_sweep, optimizers=("adam",))
    leader, follower = start_processes(settings, dying={0, 1})
    leader.communicate(timeout=240)
    assert leader.returncode == -signal.SIGKILL
    follower.kill()
    follower.communicate()
    first = runlog.load(hosts.part_path(settings.log, 0, 2))
    assert 0 < first.steps_done.max() < 40
    began = first.attributes["created_utc"]
    # Started again, the second dies once more.
    survivor, victim = start_processes(settings, dying={1})
    out, _ = survivor.communicate(timeout=240)
    assert survivor.returncode == 0, out
    victim.communicate()
    assert victim.returncode == -signal.SIGKILL
    assert "process 1 is gone: its share is resumed here" in out
    record = runlog.load(settings.log)
    assert record.attributes["created_utc"] == began, "gone on with, not started again"
    assert list(record.steps_done) == [40] * 3
    assert {variant.status for variant in record.variants} <= {"finished", "diverged"}


def test_shares_are_dealt_out_and_leave_nothing():
    variants = list(range(11))
    shares = [variants[grid.Share(i, 4).columns] for i in range(4)]
    assert sorted(itertools.chain(*shares)) == variants
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert variants[grid.Share().columns] == variants


def test_without_a_cluster_distributed_says_what_to_set(sweep, capsys):
    arguments = ["sweep", str(sweep.content), str(sweep.styles[0]), "--log", str(sweep.log)]
    command = [sys.executable, "-m", "nst_jax", *arguments, "--distributed", "--weights", "random"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES, JAX_PROCESS_ID" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_memory_bounds_the_batch(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    asked = []

    def bytes_of(lanes):
        asked.append(lanes)
        return 100 + 200 * lanes

    assert memory.most_that_fit(bytes_of, 4) == 4
    assert asked == [4], "what fits as a whole is not compiled for less"
    assert memory.most_that_fit(bytes_of, 20) == 4
    assert memory.most_that_fit(lambda lanes: 5000 * lanes, 3) == 1, "one is always tried"
    assert memory.most_that_fit(lambda lanes: 10**9, 1) == 1


def test_too_little_memory_ends_in_one_line_with_what_fits(sweep, monkeypatch):
    def full(*arguments, **options):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes\nat")
        yield

    monkeypatch.setattr("nst_jax.driver.run_chunks", full)
    with pytest.raises(MemoryError, match=r"try --size \d+ or --batch \d") as error:
        run(replace(sweep, optimizers=("adam",)))
    assert "\n" not in str(error.value)
    assert runlog.load(sweep.log).status == "failed"


def test_another_failure_of_the_device_is_not_taken_for_too_little_memory():
    with (
        pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"),
        memory.out_of_memory_in_words(10, (4, 4), 1),
    ):
        raise jax.errors.JaxRuntimeError("INTERNAL: broken")


def test_a_run_that_may_not_fit_says_so_and_goes_on(sweep, monkeypatch, capsys):
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    outcome = runs.sweep_files(replace(sweep, optimizers=("adam",)), progress=False)
    assert outcome.exit_code == 0
    err = capsys.readouterr().err
    assert "WARNING" in err
    assert "nst-jax plan" in err
    assert outcome.record.attributes["variants_per_program"] == 1


def test_checkpoint_round_trips_and_refuses_another_run(tmp_path):
    path = checkpoint.path_of(tmp_path / "run.h5")
    state = {"a": np.arange(3.0), "b": (np.int32(4),)}
    checkpoint.save(path, state, program=2)
    assert checkpoint.program_of(path) == 2
    loaded = checkpoint.load(path, state)
    np.testing.assert_array_equal(loaded["a"], state["a"])
    with pytest.raises(ValueError, match="another run"):
        checkpoint.load(path, {"a": np.zeros(4), "b": (np.int32(0),)})
    Path(path).write_bytes(Path(path).read_bytes()[:50])
    with pytest.raises(ValueError, match="damaged"):
        checkpoint.load(path, state)
