"""Files from strangers: a clear refusal, and never a crash, a hang, gigabytes or another file.

The files and the cage are `hostile.py`'s.
"""

import dataclasses
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import hostile
import logs
import numpy as np
import pytest
import readers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from nst_jax import config, report, runlog, runs
from nst_jax.command import cli, inspection
from nst_jax.report import plotting
from nst_jax.runlog import checkpoint, reading
from nst_jax.runs import resumption
from nst_jax.system import console, sandbox

SCRIPT = Path(hostile.__file__)
# Escape sequences, markup, formulas, and names of files elsewhere.
STRINGS = [
    "<script>alert(1)</script>",
    "\x1b]0;title\x07\x1b[31m",
    "two\nlines",
    r"$\frac{1$ 100 % ${x}$",
    "‮reversed",
    "x" * 5000,
    "../../etc/passwd",
]


def in_cage(*arguments, folder):
    """Runs `hostile.py` in a process of its own; what it prints."""
    done = subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments), folder],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(SCRIPT.parents[1])])},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


# Crafted files.


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory):
    """The outcome of every crafted file."""
    return in_cage("table", folder=tmp_path_factory.mktemp("table"))


@pytest.mark.slow
@pytest.mark.parametrize("name", hostile.TABLE)
def test_crafted_file_is_refused_in_one_line(outcomes, name):
    if outcomes[name] == "skipped":
        pytest.skip("the package that makes it is not installed")
    assert re.search(hostile.TABLE[name][2], outcomes[name]), outcomes[name]


# Damaged files.


@pytest.fixture(scope="session")
def counts(times, tmp_path_factory):
    """How the damaged files of each kind came out."""
    return in_cage("fuzz", times(30, 3000), folder=tmp_path_factory.mktemp("fuzz"))


@pytest.mark.torture
@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in hostile.KINDS if kind != "guarded"])
def test_damaged_file_is_read_or_refused(counts, kind):
    if counts[kind] == "skipped":
        pytest.skip("the package that makes it is not installed")
    print(kind, counts[kind])
    assert isinstance(counts[kind], dict), counts[kind]
    assert counts[kind]["refused"] > 0
    assert counts[kind].keys() <= {"read", "refused", "died"}


# Whatever a log says, the commands show it or refuse it.


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "run.h5"
    hostile.write_log(path)
    return path


def change(path, **strings):
    """Another text for datasets and attributes of a log."""
    with h5py.File(path, "r+") as file:
        for name, text in strings.items():
            where = name.replace("__", "/")
            if where in file:
                shape = file[where].shape
                del file[where]
                values = np.full(shape, text.encode(), object)
                file.create_dataset(where, data=values, dtype=h5py.string_dtype())
            else:
                file.attrs[where] = text


@pytest.mark.parametrize("text", STRINGS)
def test_strings_of_a_log_stay_text(log, capsys, text):
    """In the terminal, in the figures, on the page."""
    with h5py.File(log, "r+") as file:
        settings = json.loads(file.attrs["config_json"]) | {"content": text, text: [text]}
        file.attrs["config_json"] = json.dumps(settings)
        file["images/style"].attrs["name"] = text
        names = [name for name in file.attrs if isinstance(file.attrs[name], str)]
    kept = {"schema", "status", "config_json"}
    change(log, **{name: text for name in names if name not in kept})
    change(log, **{f"variants__{name}": text for name in ("label", "optimizer", "style", "init")})
    change(log, layers__style=text)
    assert cli.main(["show", str(log)]) == 0
    assert cli.main(["plot", str(log), "--figures", str(log.parent)]) == 0
    assert cli.main(["report", str(log), "--output", str(log.with_suffix(".html"))]) == 0
    assert all(letter.isprintable() or letter == "\n" for letter in capsys.readouterr().out)
    assert "<script>alert" not in log.with_suffix(".html").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "\x1b[31mred"])
def test_names_of_files_stay_text(tmp_path, capsys, text):
    path = tmp_path / text.replace("/", "_") / "run.h5"
    path.parent.mkdir()
    hostile.write_log(path)
    page = path.with_suffix(".html")
    assert cli.main(["report", str(path), "--output", str(page)]) == 0
    assert cli.main(["show", str(path)]) == 0
    assert cli.main(["show", str(path.with_suffix(".none"))]) == 1
    printed = "".join(capsys.readouterr())
    assert "\x1b" not in printed
    assert text not in page.read_text(encoding="utf-8")


def test_printable_keeps_text_and_lines():
    assert console.printable("café 絵\nη = 0.1 × 2") == "café 絵\nη = 0.1 × 2"
    assert console.printable("\x1b[31m\r\x00\x9b\udcff") == r"\x1b[31m\r\x00\x9b\udcff"


NUMBERS = (0.0, -1.0, 1e-45, 3e38, np.inf, -np.inf, np.nan)


@pytest.mark.torture
def test_numbers_of_a_log_are_shown_or_refused(tmp_path, times):
    """Whatever the losses, steps and seconds are, there is a page, a table and a figure."""
    path, number = tmp_path / "run.h5", st.sampled_from(NUMBERS)
    hostile.write_log(path)
    data = path.read_bytes()
    series = ["wall_time", "evaluations", "grad_norm", "part_losses/style", "step"]
    series += [f"{folder}/{term}" for folder in ("losses", "final") for term in logs.LOSSES]

    @settings(
        max_examples=times(15, 1500),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.dictionaries(st.sampled_from(series), st.lists(number, min_size=1, max_size=4)))
    def check(changes):
        path.write_bytes(data)
        with h5py.File(path, "r+") as file:
            for name, values in changes.items():
                kind = file[name].dtype
                if kind.kind == "i":
                    values = np.nan_to_num(values, posinf=2**31 - 1, neginf=-(2**31))
                    values = np.clip(values, -(2**31), 2**31 - 1)
                file[name][...] = np.resize(np.asarray(values), file[name].shape).astype(kind)
        record = reading._load(path)
        assert report.render(record)
        if len(record.rows.step):
            plotting.loss_curves(record).draw_without_rendering()

    check()


@pytest.mark.parametrize(
    "name", ["variants/learning_rate", "weights/content", "weights/total_variation"]
)
@pytest.mark.parametrize("value", [1e300, -1e300, 5e-324, 0.0])
def test_extreme_settings_of_a_log_are_shown(log, name, value):
    with h5py.File(log, "r+") as file:
        file[name][0] = value
    record = reading._load(log)
    assert report.render(record)
    assert inspection.show(log)
    plotting.loss_curves(record).draw_without_rendering()


# Settings in a log.

PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=10),
    st.just("a\0b"),
)
VALUES = PLAIN | st.lists(PLAIN, max_size=3) | st.dictionaries(st.text(max_size=3), PLAIN)
SWEEP = config.to_json(
    config.SweepConfig(content=Path("c.png"), styles=(Path("s.png"),), log=Path("l.h5"))
)


@pytest.mark.torture
def test_settings_of_another_type_are_refused(times):
    """What is left has the types of the command line, comes back, and can be checked."""

    @settings(max_examples=times(300, 30_000), deadline=None, database=None)
    @given(st.sampled_from([hostile.SETTINGS, SWEEP]), st.data())
    def check(plain, data):
        name = data.draw(st.sampled_from([*plain, "unknown"]))
        changed = plain | {name: data.draw(VALUES)}
        found, message = attempt(config.from_json, changed)
        assert "\n" not in message
        if message:
            return
        again = config.to_json(found)
        assert config.from_json(again) == found
        for value in again.values():
            assert not isinstance(value, float) or math.isfinite(value)
        _, message = attempt(runs.check_config, found)
        assert "\n" not in message

    check()


def attempt(function, argument):
    """What a function returns, and the text of the ValueError that it raises."""
    try:
        return function(argument), ""
    except ValueError as error:
        return None, str(error)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", "512"),
        ("size", True),
        ("size", 512.0),
        ("size", "whole"),
        ("size", None),
        ("style_size", ["full"]),
        ("enlarge", 1),
        ("tv_weight", math.nan),
        ("tv_weight", math.inf),
        ("tv_weight", "30"),
        ("optimizer", "exploder"),
        ("optimizer", ["adam"]),
        ("style_layers", "block1_conv1"),
        ("style_layers", [1]),
        ("terms", ["style"]),
        ("terms", {"style": "gram"}),
        ("terms", {"style": {"layers": []}}),
        ("terms", {"style": {"kind": "gram", "weight": "1"}}),
        ("terms", {"style": {"kind": "gram", "options": [1]}}),
        ("content", 3),
        ("content", ["c.png"]),
        ("content", "c\0.png"),
        ("command", ["stylize"]),
        ("unknown", 1),
    ],
)
def test_wrong_setting_is_named(name, value):
    with pytest.raises(ValueError, match=f"the setting {name}|another version"):
        config.from_json(hostile.SETTINGS | {name: value})


def test_whole_number_is_a_float_and_none_is_no_size():
    settings = hostile.SETTINGS | {"tv_weight": 30, "style_size": None}
    assert config.from_json(settings).tv_weight == 30


@pytest.mark.parametrize("size", [96, "full"])
def test_a_size_is_a_number_or_full(size):
    settings = hostile.SETTINGS | {"size": size, "style_size": size}
    assert config.from_json(settings).style_size == size
    with pytest.raises(ValueError, match="the setting size: expected an int or full, found 'half'"):
        config.from_json(settings | {"size": "half"})


def test_endless_product_of_settings_is_refused():
    seeds = list(range(1000))
    settings = SWEEP | {"seeds": seeds, "tv_weights": [0.0] * 1000, "inits": ["content"] * 1000}
    with pytest.raises(ValueError, match="at most 100,000 variants, got 9,000,000,000"):
        runs.check_config(config.from_json(settings))


# Going on with the run of a log.


@pytest.fixture(scope="session")
def stopped(tmp_path_factory):
    """The log of a run stopped before its end, beside its pictures."""
    folder, rng = tmp_path_factory.mktemp("run"), np.random.default_rng(0)
    for name in ("c.png", "s.png"):
        Image.fromarray(rng.integers(0, 255, (16, 20, 3), np.uint8)).save(folder / name)
    command = config.SweepConfig(
        content=folder / "c.png",
        styles=(folder / "s.png",),
        log=folder / "run.h5",
        report=folder / "page.html",
        steps=2,
        optimizers=("adam",),
        learning_rates=("0.02",),
        weights="random",
        content_layers=("block1_conv1",),
        style_layers=("block1_conv1",),
    )
    runs.sweep_files(command, say=lambda line: None, progress=False)
    with h5py.File(command.log, "r+") as file:
        file["variants/status"][0] = "interrupted"
        file.attrs.modify("status", np.array("interrupted", h5py.string_dtype(length=16)))
    return command.log


@pytest.fixture
def interrupted(stopped, tmp_path, monkeypatch):
    """A copy of that log, read without a trial: HDF5 has written it."""
    monkeypatch.setattr(sandbox, "try_first", lambda path, read: None)
    return Path(shutil.copy(stopped, tmp_path))


def edit_json(path, name, edit):
    with h5py.File(path, "r+") as file:
        value = json.loads(file.attrs[name])
        edit(value)
        file.attrs[name] = json.dumps(value)


def _settings(**changes):
    return lambda path: edit_json(path, "config_json", lambda value: value.update(changes))


def _plans(**changes):
    return lambda path: edit_json(path, "plans_json", lambda value: value[0].update(changes))


def _attribute(name, value):
    def make(path):
        with h5py.File(path, "r+") as file:
            if value is None:
                del file.attrs[name]
            else:
                file.attrs[name] = value

    return make


REFUSED = {
    "page elsewhere": (_settings(report="victim.txt"), "ending must be one of .html"),
    "page over the content": (_settings(report="c.html", content="c.html"), "an input"),
    "size": (_settings(size=16), "20 x 16 pixels, its settings say 16"),
    "enlarged": (_settings(size=10**6, enlarge=True), "20 x 16 pixels, its settings say 1000000"),
    "steps": (_settings(steps=10**9), "room for 2 steps, not for 1000000000"),
    "variants": (_settings(seeds=[0, 1]), "it has 1 variants, its settings 2"),
    "type": (_settings(steps="2"), "the setting steps"),
    "setting": (_settings(snapshot_every=-1), "snapshot period must be at least 0"),
    "width": (_plans(width=10**9), "does not fit 1 variants of 2 steps"),
    "chunk": (_plans(chunk_length=10**12), "does not fit"),
    "devices": (_plans(devices=0), "does not fit"),
    "column": (_plans(start=-1), "does not fit"),
    "driver": (_plans(driver="os"), "no plan of a program"),
    "number": (_plans(width="1"), "no plan of a program"),
    "surplus": (_plans(more=1), "another version"),
    "no plans": (_attribute("plans_json", "[]"), "for 0 variants, not for 1"),
    "plans": (_attribute("plans_json", "[3]"), "another version"),
    "missing plans": (_attribute("plans_json", None), "plans_json is missing"),
    "missing hash": (_attribute("content_sha256", None), "content_sha256 is missing"),
    "missing seconds": (_attribute("compile_seconds", None), "compile_seconds is missing"),
    "versions": (_attribute("versions_json", "[]"), "versions_json"),
    "strips": (_attribute("strip_rows", "8"), "expected a number from 0 up"),
    "share": (_attribute("share", 5), "its share is 5 of 1"),
    "shares": (_attribute("shares", 0), "its share is 0 of 0"),
    "hash": (_attribute("content_sha256", "0"), "its content has changed"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_log_that_cannot_be_resumed_is_refused_in_one_line(interrupted, monkeypatch, name):
    monkeypatch.chdir(interrupted.parent)
    victim = Path("victim.txt")
    victim.write_text("mine")
    make, message = REFUSED[name]
    make(interrupted)
    with pytest.raises(ValueError, match=message) as caught:
        runs.resume(interrupted, say=lambda line: None, progress=False)
    assert str(interrupted) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert victim.read_text() == "mine"


@pytest.mark.slow
def test_intact_log_is_resumed(interrupted):
    assert runs.resume(interrupted, say=lambda line: None, progress=False).exit_code == 0


@pytest.mark.slow
@pytest.mark.parametrize("step", [-1, 3, 2**31 - 1])
def test_checkpoint_of_an_impossible_step_is_refused(interrupted, monkeypatch, step):
    real = checkpoint.load

    def load(path, like):
        return real(path, like)._replace(step=np.full(like.step.shape, step, np.int32))

    def save(path, like):
        checkpoint.save(path, like, program=0)
        return load(path, like)

    monkeypatch.setattr(checkpoint, "program_of", lambda path: 0)
    monkeypatch.setattr(checkpoint, "load", save)
    with pytest.raises(ValueError, match="another run"):
        runs.resume(interrupted, say=lambda line: None, progress=False)


# The process in which a file is tried.


@pytest.mark.parametrize(
    ("read", "kind", "message"),
    [
        (readers.crash, ValueError, "crashes or does not end"),
        pytest.param(readers.hang, ValueError, "crashes or does not end", marks=pytest.mark.slow),
        (readers.refuse, ValueError, "no$"),
        (readers.miss, OSError, "Permission denied"),
        (readers.fill, ValueError, "more memory than it should"),
    ],
)
def test_trial_survives_what_reading_does(tmp_path, monkeypatch, read, kind, message):
    monkeypatch.setattr(sandbox, "_CPU_SECONDS", 3)
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(kind, match=message):
        sandbox.try_first(path, read)


def test_file_is_tried_again_only_when_it_has_changed(log, monkeypatch):
    tried = []
    real = sandbox._run
    monkeypatch.setattr(sandbox, "_run", lambda *each: tried.append(each) or real(*each))
    runlog.load(log)
    assert not tried  # written by this process
    os.utime(log, ns=(1, 1))
    runlog.load(log)
    runlog.load(log)
    assert len(tried) == 1


def test_trial_takes_no_module_from_the_current_folder(log, monkeypatch, tmp_path):
    (tmp_path / "h5py.py").write_text("raise SystemExit('the wrong module')")
    monkeypatch.chdir(tmp_path)
    os.utime(log, ns=(1, 1))
    assert runlog.load(log).status == "finished"


def test_show_refuses_a_log_that_hdf5_hangs_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sandbox, "_CPU_SECONDS", 2)
    path = tmp_path / "run.h5"
    hostile.TABLE["guarded_heap_without_end"][1](path)
    assert cli.main(["show", str(path)]) == 1
    assert "damaged" in capsys.readouterr().err


def test_resumption_needs_no_more_than_a_record(interrupted):
    record = runlog.load(interrupted)
    assert resumption.read(record).config.steps == 2
    with pytest.raises(ValueError, match="settings"):
        resumption.read(dataclasses.replace(record, config={}))


@pytest.mark.parametrize("shape", [(1, 70_000, 3), (10_000, 1, 3), (1, 1, 3)])
def test_thin_pictures_of_a_log_are_shown(log, shape):
    record = runlog.load(log)
    picture = np.zeros(shape, np.uint8)
    pictures = np.stack([picture, picture])
    shown = {"contents": {"": picture}, "images": pictures, "snapshots": pictures[None]}
    record = dataclasses.replace(record, **shown)
    assert "data:image/jpeg" in report.render(record)
    assert plotting.overview(record)


def test_log_without_what_only_a_resumption_needs_is_shown(log):
    with h5py.File(log, "r+") as file:
        for name in ("compile_seconds", "chunk_length", "command", "versions_json"):
            del file.attrs[name]
    assert "compiled in nan s" in inspection.show(log)
    assert report.render(runlog.load(log))


def test_table_of_a_log_has_one_line_a_variant(log):
    change(log, variants__label="two\nlines")
    lines = inspection.show(log).splitlines()
    assert sum("two lines" in line for line in lines) == 2
