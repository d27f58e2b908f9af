"""The run log: what is written is read back, whenever the writer stops."""

import dataclasses
import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import logs
import numpy as np
import pytest

from nst_jax import runlog
from nst_jax.command import cli
from nst_jax.runlog import layout, reading, series, writing

CHUNK = 4
SERIES = [*series.series(logs.parts("one", "two"))]
ATTRIBUTES = {"seed": 3, "git_dirty": True, "compile_seconds": 1.5, "command": "nst-jax stylize"}
CONFIG = {"steps": 10, "content": "a.jpg", "tolerance": None, "style_layers": ["one", "two"]}


def make_variant(i):
    return runlog.Variant(
        label=f"Adam, η = 0.0{i}",
        optimizer="adam",
        learning_rate=0.01 * i,
        weights=logs.WEIGHTS | {"total_variation": 30.0 + i},
        style=f"style{i}.png",
        init="content",
        seed=i,
    )


def make_rows(first, count, variants=1, layers=2):
    """Rows in which no two values of a series are equal."""
    step = np.arange(first, first + count, dtype=np.int32)

    def values(offset, *shape, dtype=np.float32):
        place = np.arange(np.prod(shape, dtype=int)).reshape(shape)
        return (step.reshape(-1, *[1] * len(shape)) * 100 + place + offset).astype(dtype)

    return logs.rows(
        step=step,
        wall_time=values(0.8, variants, dtype=np.float64),
        evaluations=values(1, variants, dtype=np.int32),
        total=values(0.1, variants),
        content=values(0.2, variants),
        style=values(0.3, variants),
        total_variation=values(0.4, variants),
        per_layer=values(0.5, variants, layers),
        grad_norm=values(0.6, variants),
        update_norm=values(0.7, variants),
    )


def make_pictures(*shape):
    return (np.arange(np.prod(shape)) % 251).astype(np.uint8).reshape(shape)


def create(path, variants=1, layers=2, **options):
    return writing.RunLog.create(
        path,
        **{
            "attributes": ATTRIBUTES,
            "config": CONFIG,
            "variants": [make_variant(i) for i in range(variants)],
            "parts": logs.parts(*[f"layer{i}" for i in range(layers)]),
            "contents": {"": make_pictures(4, 6, 3)},
            "styles": {"style0.png": make_pictures(5, 2, 3)},
            "num_steps": 10,
            "num_snapshots": 2,
            "chunk_length": CHUNK,
            **options,
        },
    )


def finish(log, status="finished", variants=1, **changes):
    ended = [dataclasses.replace(make_variant(i), status=status) for i in range(variants)]
    ended[-1] = dataclasses.replace(ended[-1], **changes)
    final = {term: np.arange(variants) + np.float32(i) for i, term in enumerate(logs.LOSSES)}
    log.finish_variants(ended, final=final, images=make_pictures(variants, 4, 6, 3))
    log.finish(status)
    return ended, final


def assert_rows_equal(rows, expected):
    found, wanted = rows.by_path(), expected.by_path()
    assert found.keys() == wanted.keys()
    for path, values in wanted.items():
        np.testing.assert_array_equal(found[path], values, err_msg=path)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.h5"


@pytest.fixture
def finished(path):
    """A complete log of six rows and one snapshot."""
    with create(path) as log:
        log.append(make_rows(0, CHUNK))
        log.append(make_rows(CHUNK, 2))
        log.append_snapshot(0, 4, make_pictures(1, 4, 6, 3))
        finish(log)
    return path


# What is written is read back.


@pytest.mark.parametrize(
    ("variants", "layers"), [(1, 2), (3, 5), (2, 0)], ids=["single", "sweep", "no style layers"]
)
def test_rows_round_trip(path, variants, layers):
    with create(path, variants, layers) as log:
        log.append(make_rows(0, CHUNK, variants, layers))
        log.append(make_rows(CHUNK, CHUNK, variants, layers))
    assert_rows_equal(runlog.load(path).rows, make_rows(0, 2 * CHUNK, variants, layers))


def test_last_chunk_may_be_shorter(path):
    with create(path) as log:
        log.append(make_rows(0, CHUNK))
        log.append(make_rows(CHUNK, 1))
    assert_rows_equal(runlog.load(path).rows, make_rows(0, CHUNK + 1))


def test_nan_and_infinity_of_a_diverged_variant_round_trip(path):
    rows = make_rows(0, CHUNK, variants=2)
    rows.total[2:, 1] = np.inf, np.nan
    with create(path, variants=2) as log:
        log.append(rows)
    np.testing.assert_array_equal(runlog.load(path).rows.total, rows.total)


@pytest.mark.parametrize("variants", [1, 3])
def test_end_of_a_run_round_trips(path, variants):
    with create(path, variants) as log:
        ended, final = finish(log, variants=variants, diverged_step=17)
    record = runlog.load(path)
    assert record.variants == tuple(ended)
    assert record.final.keys() == final.keys()
    for term, values in final.items():
        np.testing.assert_array_equal(record.final[term], values)
    np.testing.assert_array_equal(record.images, make_pictures(variants, 4, 6, 3))


def test_variants_are_read_as_plain_python_values(finished):
    (variant,) = runlog.load(finished).variants
    types = {field.name: field.type for field in dataclasses.fields(runlog.Variant)}
    assert {name: type(value) for name, value in vars(variant).items()} == types | {"weights": dict}
    assert {type(weight) for weight in variant.weights.values()} == {float}


def test_attributes_are_read_as_plain_python_values(finished):
    attributes = runlog.load(finished).attributes
    read = {name: attributes[name] for name in ATTRIBUTES}
    assert read == ATTRIBUTES
    assert [type(value) for value in read.values()] == [int, bool, float, str]


def test_settings_pictures_and_layer_names_round_trip(finished):
    record = runlog.load(str(finished))
    assert record.path == finished
    assert record.config == CONFIG
    assert record.parts == logs.parts("layer0", "layer1")
    assert record.terms == ("content", "style", "total_variation")
    np.testing.assert_array_equal(record.content, make_pictures(4, 6, 3))
    np.testing.assert_array_equal(record.styles["style0.png"], make_pictures(5, 2, 3))


def test_settings_longer_than_an_hdf5_attribute_round_trip(path):
    config = {"note": "x" * 200_000}
    create(path, config=config).close()
    assert runlog.load(path).config == config


def test_dtypes_are_those_of_the_schema(finished):
    rows = runlog.load(finished).rows
    dtypes = {"step": np.int32, "evaluations": np.int32, "wall_time": np.float64}
    for path, values in rows.by_path().items():
        assert values.dtype == dtypes.get(path, np.float32), path


def test_snapshots_round_trip(path):
    first, second = make_pictures(2, 4, 6, 3), make_pictures(2, 4, 6, 3)[::-1]
    with create(path, variants=2) as log:
        log.append_snapshot(0, 10, first)
        log.append_snapshot(1, 20, second)
    record = runlog.load(path)
    np.testing.assert_array_equal(record.snapshots, [first, second])
    np.testing.assert_array_equal(record.snapshot_steps, [10, 20])


def test_log_without_rows_or_snapshots_is_read(path):
    create(path, variants=2).close()
    record = runlog.load(path)
    assert record.rows.parts["style"].shape == (0, 2, 2)
    assert record.snapshots.shape == (0, 2, 4, 6, 3)
    assert record.images is None
    assert record.final is None
    with pytest.raises(ValueError, match=r"has no results yet: no variant has ended"):
        record.results()


def test_large_sweep_round_trips(path):
    rows = [make_rows(first, 10, variants=1000, layers=5) for first in range(0, 250, 10)]
    with create(path, variants=1000, layers=5, num_steps=250, chunk_length=10) as log:
        for chunk in rows:
            log.append(chunk)
    record = runlog.load(path)
    assert_rows_equal(record.rows, make_rows(0, 250, variants=1000, layers=5))


# The status.


@pytest.mark.parametrize("status", ["finished", "interrupted", "failed"])
def test_status_is_running_until_the_end(path, status):
    earlier = path.with_name("earlier.h5")
    with create(path) as log:
        log.append(make_rows(0, CHUNK))
        shutil.copy(path, earlier)
        finish(log, status)
    for log, expected in ((earlier, "running"), (path, status)):
        record = runlog.load(log)
        assert (record.status, record.variants[0].status) == (expected, expected)


def test_error_marks_the_run_failed_and_keeps_its_rows(path):
    with create(path) as log:
        log.append(make_rows(0, CHUNK))
        log.finish("failed")
    record = runlog.load(path)
    assert record.status == "failed"
    assert record.images is None
    assert_rows_equal(record.rows, make_rows(0, CHUNK))


def test_exception_inside_the_block_closes_the_file(path):
    log = create(path)

    def fail():
        with log:
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    with pytest.raises((KeyError, ValueError), match=r"identifier|open"):
        log.append(make_rows(0, CHUNK))


READER = """
import h5py, sys
with h5py.File(sys.argv[1]):
    print("open", flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="HDF5 says it in other words there")
def test_a_log_that_another_program_has_open_is_named_with_the_cure(path, capsys):
    create(path).close()
    before = path.read_bytes()
    command = [sys.executable, "-c", READER, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as reader:
        assert reader.stdout.readline() == "open\n"
        assert cli.main(["resume", str(path)]) == 1
        with pytest.raises(BlockingIOError, match="another program has it open"):
            writing.RunLog.reopen(path)
        reader.stdin.close()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: cannot write {path}: another program has it open, perhaps a")
    assert "locking=False" in line
    assert "Errno" not in line
    assert path.read_bytes() == before


def test_a_look_whether_a_log_can_be_written_changes_nothing(path):
    create(path).close()
    before = path.read_bytes()
    writing.check_writable(path)
    assert path.read_bytes() == before


def test_a_log_that_may_not_be_written_is_named(path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "unable to synchronously open file (...)")

    create(path).close()
    monkeypatch.setattr(h5py.h5f, "open", refuse)
    with pytest.raises(PermissionError, match=f"^cannot write {path}: Permission denied$"):
        writing.check_writable(path)


# The layout.


@pytest.mark.parametrize("name", SERIES)
def test_series_has_room_for_all_steps_from_the_start(path, name):
    create(path, variants=3).close()
    with h5py.File(path) as file:
        dataset = file[name]
        assert dataset.chunks is None
        assert len(dataset) == 10
        assert dataset.id.get_storage_size() == dataset.nbytes


def changed_places(before, after):
    """Where in a file bytes have changed, after making sure that it has not grown."""
    assert len(before) == len(after)
    return np.flatnonzero(np.frombuffer(before, np.uint8) != np.frombuffer(after, np.uint8))


def value_places(path):
    """Which bytes of a file are values of datasets."""
    is_value = np.zeros(path.stat().st_size, bool)

    def mark(_, item):
        if isinstance(item, h5py.Dataset) and item.id.get_offset() is not None:
            start = item.id.get_offset()
            is_value[start : start + item.id.get_storage_size()] = True

    with h5py.File(path) as file:
        file.visititems(mark)
    return is_value


def test_run_changes_values_and_nothing_else(path):
    with create(path, variants=2) as log:
        for write in (
            lambda: log.append(make_rows(0, CHUNK, 2)),
            lambda: log.append(make_rows(CHUNK, CHUNK, 2)),
            lambda: log.append_snapshot(0, 8, make_pictures(2, 4, 6, 3)),
        ):
            before = path.read_bytes()
            write()
            changed = changed_places(before, path.read_bytes())
            assert len(changed)
            assert value_places(path)[changed].all()


def test_end_changes_values_and_the_status_and_nothing_else(path):
    with create(path) as log:
        before = path.read_bytes()
        finish(log)
        after = path.read_bytes()
    changed = changed_places(before, after)
    changed = changed[~value_places(path)[changed]]
    # One short place, which one write changes.
    assert after[changed[0] :][:8] == b"finished"
    assert changed[-1] - changed[0] < 8


@pytest.mark.parametrize("name", SERIES)
def test_axes_have_their_scales(path, name):
    create(path, variants=3).close()
    with h5py.File(path) as file:
        dataset = file[name]
        scales = {"step": file["step"], "variant": file["variants/label"]}
        scales["part"] = file["parts/style"]
        if name == "step":
            assert dataset.is_scale
            return
        labels = ["step", "variant", "part"][: dataset.ndim]
        assert [dimension.keys() for dimension in dataset.dims] == [[label] for label in labels]
        for dimension, label in zip(dataset.dims, labels, strict=True):
            assert dimension[label] == scales[label]


@pytest.mark.parametrize("name", SERIES)
def test_series_has_a_unit(finished, name):
    with h5py.File(finished) as file:
        assert file[name].attrs["unit"]


# Creation.


def test_file_has_its_name_only_when_complete(path, monkeypatch):
    existed = []
    write_images = layout.write_images

    def spy(*arguments):
        write_images(*arguments)
        existed.append(path.exists())

    monkeypatch.setattr(layout, "write_images", spy)
    create(path).close()
    assert existed == [False]
    assert path.exists()


def test_failed_creation_keeps_the_old_file(finished):
    with pytest.raises(TypeError, match="JSON"):
        create(finished, config={"unserializable": object()})
    assert runlog.load(finished).status == "finished"
    assert os.listdir(finished.parent) == [finished.name]


def test_creation_replaces_an_old_log(finished):
    create(finished, variants=3).close()
    record = runlog.load(finished)
    assert len(record.variants) == 3
    assert not len(record.rows.step)


# What `load` refuses.


def write_text(path):
    path.write_text("step,total\n0,1.0\n")


def write_nothing(path):
    path.touch()


def write_other_hdf5(path):
    with h5py.File(path, "w") as file:
        file["weights"] = np.zeros(3)


def write_newer_version(path):
    create(path).close()
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = runlog.SCHEMA_VERSION + 1


def write_without_version(path):
    create(path).close()
    with h5py.File(path, "r+") as file:
        del file.attrs["schema_version"]


def write_truncated(path):
    create(path).close()
    os.truncate(path, path.stat().st_size // 2)


def write_unparsable_settings(path):
    create(path).close()
    with h5py.File(path, "r+") as file:
        file.attrs["config_json"] = "{"


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (write_text, "is not a run log"),
        (write_nothing, "is not a run log"),
        (write_other_hdf5, "not a run log of nst_jax"),
        (write_newer_version, "has version 3 .* update nst_jax"),
        (write_without_version, "damaged"),
        (write_truncated, "damaged"),
        (write_unparsable_settings, "damaged"),
    ],
)
def test_unusable_file_is_refused_in_one_line(path, write, reason):
    write(path)
    with pytest.raises(ValueError, match=reason) as caught:
        runlog.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["losses/style", "variants/seed", "images/content", "parts/style", "step"]
)
def test_missing_dataset_is_named(finished, name):
    with h5py.File(finished, "r+") as file:
        del file[name]
    with pytest.raises(ValueError, match=f"damaged.*{name.split('/')[-1]}") as caught:
        runlog.load(finished)
    assert str(finished) in str(caught.value)


def test_missing_file_is_refused_in_one_line(path):
    with pytest.raises(FileNotFoundError, match="no such file") as caught:
        runlog.load(path)
    assert str(path) in str(caught.value)


# What a killed writer leaves.


def test_rows_without_their_step_are_not_valid(finished):
    with h5py.File(finished, "r+") as file:
        file["losses/total"][CHUNK + 2] = 1.0
    assert_rows_equal(runlog.load(finished).rows, make_rows(0, CHUNK + 2))


def test_snapshot_without_its_step_is_not_valid(finished):
    with h5py.File(finished, "r+") as file:
        file["images/snapshots"][1] = 1
    record = runlog.load(finished)
    assert len(record.snapshots) == 1
    np.testing.assert_array_equal(record.snapshot_steps, [4])


# Arguments: the path, the seconds between two appends, how many there are. Acknowledges each.
WRITER = """
import sys, time
from pathlib import Path
import logs
import numpy as np
from nst_jax import runlog
from nst_jax.runlog import writing

path, pause, count = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
assert "jax" not in sys.modules
picture = np.zeros((4, 6, 3), np.uint8)
variants = [
    runlog.Variant(f"variant {i}", "adam", 0.02, logs.WEIGHTS, "s", "content", i) for i in (0, 1)
]
with writing.RunLog.create(
    path, attributes={}, config={}, variants=variants, parts=logs.parts("one", "two", "three"),
    contents={"": picture}, styles={"s": picture}, chunk_length=4, num_steps=4 * count,
) as log:
    for first in range(0, 4 * count, 4):
        step = np.arange(first, first + 4, dtype=np.int32)
        value = step[:, None] + np.array([1, 2])
        layers = value[:, :, None] + np.zeros(3)
        log.append(
            logs.rows_of_one(value, layers, step=step, wall_time=value, evaluations=value)
        )
        print(first + 4, flush=True)
        time.sleep(pause)
    sys.stdin.read()
"""


def start_writer(path, *, pause=0.0, count):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(pause), str(count)],
        cwd=Path(__file__).parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def assert_written_values(rows):
    step = np.arange(len(rows.step))
    np.testing.assert_array_equal(rows.step, step)
    value = step[:, None] + np.array([1, 2])
    for name, found in rows.by_path().items():
        if name != "step":
            each = found if found.ndim == 2 else found[:, :, 1]
            np.testing.assert_array_equal(each, value, err_msg=name)


def test_running_log_is_read_by_another_process(path):
    with start_writer(path, count=3) as writer:
        acknowledged = [int(writer.stdout.readline()) for _ in range(3)]
        record = runlog.load(path)
        assert writer.poll() is None
        writer.stdin.close()
    assert acknowledged == [4, 8, 12]
    assert record.status == "running"
    assert len(record.rows.step) == 12
    assert_written_values(record.rows)


def test_running_log_is_read_at_any_moment(path):
    with start_writer(path, pause=0.01, count=100) as writer:
        writer.stdout.readline()
        # In this process, without the trial in another: as often as can be.
        lengths = [len(reading._load(path).rows.step)]
        while lengths[-1] < 4 * 100:
            rows = reading._load(path).rows
            assert_written_values(rows)
            lengths.append(len(rows.step))
        writer.stdin.close()
    assert lengths == sorted(lengths)


def kill_and_check(path, generator):
    """Kills a writer at a random moment; returns the number of rows that it acknowledged."""
    with start_writer(path, count=10**4) as writer:
        acknowledged = int(writer.stdout.readline())
        time.sleep(generator.uniform(0, 0.1))
        writer.kill()
        # A line that the kill cut short is not an acknowledgement.
        lines = writer.stdout.read().splitlines(keepends=True)
    assert writer.returncode == -signal.SIGKILL
    acknowledged = max([acknowledged, *(int(line) for line in lines if line.endswith("\n"))])
    rows = runlog.load(path).rows
    assert len(rows.step) >= acknowledged
    assert_written_values(rows)
    return acknowledged


@pytest.mark.slow
@pytest.mark.torture
def test_acknowledged_rows_survive_a_kill(path, times):
    generator = random.Random(0)
    acknowledged = {kill_and_check(path, generator) for _ in range(times(8, 1000))}
    assert len(acknowledged) > 2
