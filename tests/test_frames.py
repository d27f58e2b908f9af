"""The snapshots of a log as files."""

import dataclasses

import logs
import numpy as np
import pytest
from PIL import Image

from nst_jax import runlog
from nst_jax.command import cli
from nst_jax.runlog import writing

STEPS = (5, 10, 15)


@pytest.fixture
def make_log(tmp_path):
    """`make_log(variants, steps=15)`: a log of so many variants; the last has run `steps` alone."""

    def make_log(variants, steps=15, snapshots=STEPS, status="interrupted", config=()):
        settings = ("adam", 0.02, logs.WEIGHTS, "s.png", "content")
        series = np.ones((15, variants))
        series[steps:, -1] = 0
        rng = np.random.default_rng(0)
        pictures = rng.integers(0, 256, (3, variants, 8, 12, 3), dtype=np.uint8)
        path = tmp_path / "run.h5"
        with writing.RunLog.create(
            path,
            attributes={},
            config={"steps": 15, **dict(config)},
            variants=[runlog.Variant(f"v{i}", *settings, i) for i in range(variants)],
            parts=logs.parts("one"),
            contents={"": pictures[0, 0]},
            styles={"s.png": pictures[0, 0]},
            num_steps=15,
            num_snapshots=3,
            chunk_length=5,
        ) as log:
            terms = dict.fromkeys(
                (*logs.LOSSES, "grad_norm", "update_norm"), series.astype(np.float32)
            )
            log.append(
                logs.rows(
                    step=np.arange(15, dtype=np.int32),
                    wall_time=series,
                    evaluations=series.astype(np.int32),
                    per_layer=series[:, :, None].astype(np.float32),
                    **terms,
                )
            )
            for number, step in enumerate(snapshots):
                log.append_snapshot(number, step, pictures[number])
            log.finish(status)
        return path, pictures

    return make_log


@pytest.mark.parametrize("variants", [1, 3])
def test_frames_are_the_snapshots_and_their_names_sort(variants, make_log, tmp_path, capsys):
    log, pictures = make_log(variants)
    folder = tmp_path / "frames"
    assert cli.main(["frames", str(log), str(folder)]) == 0
    assert f"wrote {3 * variants} picture(s)" in capsys.readouterr().out
    names = sorted(path.name for path in folder.glob("*.png"))
    assert names == [
        f"variant-{i + 1}-step-{step:02}.png" for i in range(variants) for step in STEPS
    ]
    for place, name in enumerate(names):
        shown = np.asarray(Image.open(folder / name))
        np.testing.assert_array_equal(shown, pictures[place % 3, place // 3])
    animations = sorted(folder.glob("*.webp"))
    assert [path.name for path in animations] == [f"variant-{i + 1}.webp" for i in range(variants)]
    for path in animations:
        with Image.open(path) as animation:
            assert (animation.n_frames, animation.size) == (3, (12, 8))
    assert len(list(folder.iterdir())) == 4 * variants


def test_what_a_variant_has_not_reached_is_left_out(make_log, tmp_path):
    """In the log it is black."""
    log, _ = make_log(2, steps=7)
    assert cli.main(["frames", str(log), str(tmp_path / "frames")]) == 0
    names = sorted(path.name for path in (tmp_path / "frames").glob("variant-2*"))
    assert names == ["variant-2-step-05.png", "variant-2.webp"]


def test_files_are_overwritten_only_by_force(make_log, tmp_path, capsys):
    log, _ = make_log(1)
    command = ["frames", str(log), str(tmp_path / "frames")]
    assert cli.main(command) == 0
    assert cli.main(command) == 1
    assert "--force" in capsys.readouterr().err
    assert cli.main([*command, "--force"]) == 0


@pytest.mark.parametrize(
    ("config", "status", "words"),
    [
        ({}, "finished", "--snapshot-every 10"),
        ({"snapshot_every": 5}, "running", "wait for the first"),
    ],
)
def test_a_log_without_snapshots_is_refused_in_one_line(
    config, status, words, make_log, tmp_path, capsys
):
    log, _ = make_log(1, snapshots=(), status=status, config=config)
    assert cli.main(["frames", str(log), str(tmp_path / "frames")]) == 1
    message = capsys.readouterr().err
    assert "holds no snapshot" in message
    assert words in message
    assert message.count("\n") == 1
    assert not (tmp_path / "frames").exists()


def test_snapshots_of_a_variant_end_where_it_diverged(make_log):
    log, pictures = make_log(2)
    record = runlog.load(log)
    record.rows.evaluations[8:, 1] = 0
    steps, found = record.snapshots_of(1)
    assert steps.tolist() == [5]
    np.testing.assert_array_equal(found, pictures[:1, 1])
    assert record.snapshots_of(0)[0].tolist() == list(STEPS)


def test_who_finished_above_a_start_began_at_the_minimum(make_log):
    record = runlog.load(make_log(3)[0])
    finished = [dataclasses.replace(variant, status="finished") for variant in record.variants]
    finished[2] = dataclasses.replace(finished[2], status="diverged")
    final = {"total": np.array([0.5, 2, 2], np.float32)}
    record = dataclasses.replace(record, variants=tuple(finished), final=final)
    assert record.began_at_minimum.tolist() == [False, True, False]


def test_who_had_no_gradient_to_follow_began_at_the_minimum(make_log):
    """The content, without any style: it ends as it began."""
    record = runlog.load(make_log(2)[0])
    finished = [dataclasses.replace(variant, status="finished") for variant in record.variants]
    record.rows.grad_norm[0] = [0, 1]
    final = {"total": record.rows.total[0].copy()}
    record = dataclasses.replace(record, variants=tuple(finished), final=final)
    assert record.began_at_minimum.tolist() == [True, False]
