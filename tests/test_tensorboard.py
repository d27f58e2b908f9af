"""Event files say what the run log says."""

import io
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nst_jax import driver, runs
from nst_jax.runs import programs, tensorboard
from nst_jax.runs.grid import Share, variants_of

event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")


def events_of(folder: Path) -> list:
    """All events in order; a record is its length, a checksum, the event, a checksum."""
    events = []
    for path in sorted(folder.glob("events.*"), key=lambda path: path.stat().st_mtime_ns):
        file = io.BytesIO(path.read_bytes())
        while header := file.read(12):
            (length,) = struct.unpack("<Q", header[:8])
            events.append(event_pb2.Event.FromString(file.read(length)))
            file.read(4)
    return events


def scalars_of(folder: Path) -> dict[str, dict[int, float]]:
    """`{tag: {step: value}}`, without what a later start has superseded."""
    scalars: dict[str, dict[int, float]] = {}
    for event in events_of(folder):
        if event.session_log.status == event.session_log.START:
            for curve in scalars.values():
                for step in [x for x in curve if x >= event.step]:
                    del curve[step]
        for value in event.summary.value:
            if value.HasField("simple_value"):
                scalars.setdefault(value.tag, {})[event.step] = value.simple_value
    return scalars


def pictures_of(folder: Path) -> dict[int, np.ndarray]:
    return {
        event.step: np.asarray(Image.open(io.BytesIO(value.image.encoded_image_string)))
        for event in events_of(folder)
        for value in event.summary.value
        if value.HasField("image")
    }


@pytest.fixture
def board(sweep, tmp_path, quick_to_compile):
    return replace(sweep, tensorboard=tmp_path / "board")


def assert_same_as_log(record, folder):
    folders = sorted(folder.iterdir())
    assert len(folders) == len(record.variants)
    for i, of_variant in enumerate(folders):
        assert record.variants[i].optimizer in of_variant.name
        scalars = scalars_of(of_variant)
        for tag, rows in (
            ("loss/total", record.rows.total),
            ("loss/style", record.rows.losses["style"]),
            ("norm/gradient", record.rows.grad_norm),
        ):
            assert list(scalars[tag]) == list(range(record.steps_done[i]))
            np.testing.assert_array_equal(list(scalars[tag].values()), rows[:, i])
        last = pictures_of(of_variant)[int(record.steps_done[i])]
        np.testing.assert_array_equal(last, record.images[i])


def test_curves_and_pictures_are_those_of_the_log(board, capsys):
    outcome = runs.sweep_files(board)
    assert_same_as_log(outcome.record, board.tensorboard)
    assert f"tensorboard --logdir {board.tensorboard}" in capsys.readouterr().out


def test_a_resumed_run_goes_on_with_its_curves(board, monkeypatch):
    monkeypatch.setattr(driver, "MAX_CHUNK_LENGTH", 2)
    monkeypatch.setattr(programs, "CHECKPOINT_SECONDS", 0.0)
    append, count = programs.RunLog.append, iter(range(100))

    def failing(self, *arguments):
        append(self, *arguments)
        if next(count) == 1:
            raise OSError("the disk has gone")

    monkeypatch.setattr(programs.RunLog, "append", failing)
    with pytest.raises(OSError, match="the disk has gone"):
        runs.sweep_files(board)
    outcome = runs.resume(board.log)
    assert_same_as_log(outcome.record, board.tensorboard)


def test_variants_of_several_processes_have_folders_of_their_own(board):
    """Style pictures of one name, a variant a process."""
    folders = [board.content.with_name(name) for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        (folder / "s.png").write_bytes(board.styles[0].read_bytes())
    styles = tuple(folder / "s.png" for folder in folders)
    settings = replace(board, styles=styles, optimizers=("adam",), learning_rates=("0.02",))
    for number in range(2):
        runs.sweep_files(settings, share=Share(number, 2))
    assert len(list(board.tensorboard.iterdir())) == 2


def test_folders_are_named_by_what_differs(board):
    """However long the names of pictures are; a folder's name has 255 bytes."""
    variants = [
        replace(variant, label=f"adam 0.1 {'絵' * 80}_{i}.jpg")
        for i, variant in enumerate(variants_of(board))
    ]
    with tensorboard.TensorBoard(board.tensorboard, variants, 4, Share()) as writer:
        for i in range(len(variants)):
            writer._writer(board.tensorboard, i, 0)
    names = sorted(path.name for path in board.tensorboard.iterdir())
    assert [name[-6:] for name in names] == [f"_{i}.jpg" for i in range(len(variants))]


def test_without_the_package_a_run_is_refused_before_it_starts(board, monkeypatch):
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install 'nst_jax\\[tensorboard\\]'"):
        runs.sweep_files(board)
    assert not board.log.exists()


def test_too_many_variants_are_refused(board, monkeypatch):
    monkeypatch.setattr(tensorboard, "MAX_VARIANTS", 3)
    with pytest.raises(ValueError, match="at most 3 variants, got 4"):
        runs.sweep_files(board)


def test_a_folder_that_cannot_be_written_is_refused(board):
    with pytest.raises(OSError, match="cannot write into the folder"):
        runs.sweep_files(replace(board, tensorboard=board.content / "board"))
