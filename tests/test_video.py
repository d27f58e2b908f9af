"""Clips: frames from a folder, flows from files, one log, the same bytes after a kill."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from nst_jax import config, image, runlog, runs
from nst_jax.command import cli
from nst_jax.runs import programs, video

SHAPE, COUNT, STEPS = (24, 28), 4, 3


def scene(x, y):
    waves = [np.sin(0.4 * x + k) * np.cos(0.3 * y - k) for k in range(3)]
    return np.uint8(127.5 + 120 * np.stack(waves, -1))


def flow_of(x, y):
    return np.broadcast_to(np.float32([x, y]), (*SHAPE, 2))


@pytest.fixture
def clip(stylize, tmp_path):
    """Settings: a scene that goes two pixels to the right from frame to frame, with its flow."""
    frames, flows = tmp_path / "frames", tmp_path / "flows"
    frames.mkdir()
    flows.mkdir()
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32)
    for i in range(COUNT):
        # The last one has a digit more.
        Image.fromarray(scene(x - 2 * i, y)).save(frames / f"f_{i + 7}.png")
    for i in range(7, 6 + COUNT):
        image.save_flow(flows / f"forward_{i}_to_{i + 1}.flo", flow_of(2, 0))
        image.save_flow(flows / f"backward_{i + 1}_{i}.npz", flow_of(-2, 0))
    shared = ("style", "size", "weights", "content_layers", "style_layers", "seed")
    return config.VideoConfig(
        content=frames,
        output=tmp_path / "painted",
        flow=flows,
        steps=STEPS,
        **{name: getattr(stylize, name) for name in shared},
    )


def paint(settings, said=None):
    say = (lambda line: None) if said is None else said.append
    return runs.video_files(settings, say=say, progress=False)


def pictures(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_clip_is_one_program_one_log_and_a_picture_a_frame(clip, count_compilations):
    with count_compilations("step_variants") as compiled:
        outcome = paint(clip)
    assert outcome.exit_code == 0
    assert len(compiled) <= 1
    assert sorted(pictures(clip.output)) == ["f_10.png", "f_7.png", "f_8.png", "f_9.png"]
    record = runlog.load(clip.output.with_name("painted.h5"))
    assert record.status == "finished"
    np.testing.assert_array_equal(record.rows.step, np.arange(COUNT * STEPS))
    np.testing.assert_array_equal(
        record.picture_of(0), np.asarray(Image.open(clip.output / "f_10.png"))
    )
    temporal = record.rows.losses["temporal"][:, 0].reshape(COUNT, STEPS)
    # The first frame has none before it; each other starts from what is told of it.
    np.testing.assert_array_equal(temporal[0], 0)
    np.testing.assert_allclose(temporal[:, 0], 0, atol=1e-12)
    assert (temporal[1:, 1:] > 0).all()


def test_a_scene_at_rest_starts_from_the_last_result_and_is_held(clip):
    for path in clip.content.iterdir():
        path.write_bytes((clip.content / "f_7.png").read_bytes())
    for path in clip.flow.iterdir():
        image.save_flow(path, flow_of(0, 0))

    def change(weight):
        place = clip.output.with_name(f"w{weight}")
        paint(replace(clip, temporal_weight=weight, output=place, steps=60))
        one, other = (np.int16(Image.open(place / f"f_{i}.png")) for i in (7, 8))
        return np.abs(one - other).mean()

    assert change(1e3) < change(0.0) / 3


def test_every_frame_has_its_own_rows_with_stages(clip):
    staged = replace(clip, size=28, stages=("20:2", "28:3", "28:1"))
    record = paint(staged).record
    assert len(record.rows.step) == 6 + (COUNT - 1)
    assert np.isfinite(record.rows.total).all()


class Killed(BaseException):
    pass


@pytest.mark.parametrize("place", ["before it is saved", "after it is saved", "within its steps"])
def test_a_kill_at_a_frame_costs_no_byte(clip, monkeypatch, place):
    paint(clip)
    expected = pictures(clip.output)
    again = replace(clip, output=clip.output.with_name("again"))
    path = again.output.with_name("again.h5")
    save, log_chunk, calls = video._save, programs._log_chunk, []

    def killed_save(*args):
        calls.append(args)
        if place == "after it is saved":
            save(*args)
        if len(calls) == 2 and place != "within its steps":
            raise Killed
        if place != "after it is saved":
            save(*args)

    def killed_log(*args):
        log_chunk(*args)
        if len(calls) == 2 and place == "within its steps":
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(video, "_save", killed_save)
        patch.setattr(programs, "_log_chunk", killed_log)
        with pytest.raises(Killed):
            paint(again)
    there = 1 if place == "before it is saved" else 2
    assert len(pictures(again.output)) == there
    outcome = runs.resume(path, say=lambda line: None, progress=False)
    assert outcome.exit_code == 0
    assert pictures(again.output) == expected
    whole = runlog.load(clip.output.with_name("painted.h5"))
    np.testing.assert_array_equal(outcome.record.rows.total, whole.rows.total)
    assert runs.resume(path, say=lambda line: None, progress=False).exit_code == 0


@pytest.fixture
def styled(clip, tmp_path):
    """The clip in a second style as well, of another size."""
    y, x = np.mgrid[:26, :22].astype(np.float32)
    Image.fromarray(scene(2 * x + y, x)).save(tmp_path / "other.png")
    return replace(clip, more_styles=(tmp_path / "other.png",))


def widths_of(record):
    """Lanes of each program of a frame."""
    return [plan["width"] for plan in json.loads(record.attributes["plans_json"])]


def test_several_styles_are_lanes_of_one_program(styled, count_compilations):
    with count_compilations("step_variants") as compiled:
        record = paint(styled).record
    assert len(compiled) <= 1
    assert len(record.variants) == 2
    assert widths_of(record) == [2]
    for i, style in enumerate(styled.styles):
        alone = replace(
            styled, style=style, more_styles=(), output=styled.output.with_name(f"only{i}")
        )
        expected = paint(alone).record.rows
        assert sorted(pictures(styled.output / style.stem)) == sorted(pictures(alone.output))
        np.testing.assert_allclose(record.rows.total[:, i], expected.total[:, 0], rtol=2e-3)
        temporal = record.rows.losses["temporal"][:, i]
        assert (temporal.reshape(COUNT, STEPS)[1:, 1:] > 0).all()
    first = record.rows.total[:STEPS]
    assert np.abs(first[:, 0] / first[:, 1] - 1).min() > 0.04


def test_a_kill_among_several_styles_costs_no_byte(styled, monkeypatch):
    def every(output):
        return [pictures(output / style.stem) for style in styled.styles]

    paint(styled)
    again = replace(styled, output=styled.output.with_name("again"))
    save, calls = image.save, []

    def killed(path, *args, **kwargs):
        calls.append(path)
        if len(calls) == 4:
            raise Killed
        save(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(image, "save", killed)
        with pytest.raises(Killed):
            paint(again)
    assert [len(own) for own in every(again.output)] == [2, 1]
    path = again.output.with_name("again.h5")
    assert runs.resume(path, say=lambda line: None, progress=False).exit_code == 0
    assert every(again.output) == every(styled.output)


def test_styles_that_do_not_fit_together_are_painted_by_programs_of_their_own(styled):
    together = paint(styled).record.rows.total
    apart = replace(styled, strips=8, output=styled.output.with_name("apart"))
    record = paint(apart).record
    assert widths_of(record) == [1, 1]
    np.testing.assert_allclose(record.rows.total, together, rtol=2e-3)
    assert all(len(pictures(apart.output / style.stem)) == COUNT for style in apart.styles)


def test_two_styles_of_one_name_are_refused(styled, tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "other.jpg").write_bytes((tmp_path / "other.png").read_bytes())
    styles = (*styled.more_styles, tmp_path / "more" / "other.jpg")
    with pytest.raises(ValueError, match="would both be painted into other: rename one"):
        paint(replace(styled, more_styles=styles))


def test_a_frame_that_has_changed_is_refused_on_the_way(clip, monkeypatch):
    def killed(*args):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(video, "_save", killed)
        with pytest.raises(Killed):
            paint(clip)
    Image.new("RGB", SHAPE[::-1]).save(clip.content / "f_9.png")
    with pytest.raises(ValueError, match="its clip has changed"):
        runs.resume(clip.output.with_name("painted.h5"), say=lambda line: None, progress=False)


def test_without_flow_frames_start_from_the_last_result_and_a_line_says_so(clip, monkeypatch):
    monkeypatch.setattr(image, "opencv_version", lambda: None)
    said = []
    record = paint(replace(clip, flow=None), said).record
    (line,) = [line for line in said if line.startswith("flow:")]
    assert "without the temporal term" in line
    np.testing.assert_array_equal(record.rows.losses["temporal"], 0)


def test_older_frames_tell_what_the_last_one_does_not(clip):
    for i in range(7, 5 + COUNT):
        image.save_flow(clip.flow / f"flow_{i}_to_{i + 2}.flo", flow_of(4, 0))
        image.save_flow(clip.flow / f"flow_{i + 2}_to_{i}.flo", flow_of(-4, 0))
    short = paint(clip).record.rows.total
    far = paint(replace(clip, ranges=(1, 2), output=clip.output.with_name("far"))).record
    np.testing.assert_array_equal(far.rows.total[: 2 * STEPS], short[: 2 * STEPS])
    # What comes from beyond the last frame comes from beyond the one before it.
    np.testing.assert_array_equal(far.rows.total, short)


def broken(clip, name):
    """Settings with one thing wrong."""
    frame, flow = clip.content / "f_8.png", clip.flow / "forward_8_to_9.flo"
    if name == "missing":
        frame.unlink()
    if name == "odd-sized":
        Image.new("RGB", (30, 24)).save(frame)
    if name == "damaged":
        frame.write_bytes(frame.read_bytes()[:90])
    if name == "no frame":
        (clip.content / "notes.txt").write_text("none")
    if name == "empty":
        return replace(clip, content=clip.flow.parent / "nowhere")
    if name == "flow is missing":
        flow.unlink()
    if name == "flow is damaged":
        flow.write_bytes(flow.read_bytes()[:-1])
    if name == "flow of another size":
        image.save_flow(flow, np.zeros((12, 14, 2), np.float32))
    if name == "flow twice":
        image.save_flow(flow.with_suffix(".npz"), flow_of(2, 0))
    if name == "something else":
        clip.output.mkdir()
        (clip.output / "letter.txt").write_text("mine")
    if name == "ranges":
        return replace(clip, ranges=(1, COUNT))
    if name == "ranges of nothing":
        return replace(clip, flow="none", ranges=(1, 2))
    if name == "own term":
        spec = config.TermSpec("total_variation")
        return replace(clip, terms={**config.terms_of(replace(clip)), "temporal": spec})
    return clip


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("missing", "the frame 8 is missing, between 7 and 9"),
        ("odd-sized", "f_8.png has 30 x 24 pixels, and f_7.png 28 x 24"),
        ("damaged", "f_8.png"),
        ("no frame", "notes.txt"),
        ("empty", "nowhere must be a folder of frames, or a film: no such file"),
        ("flow is missing", "no flow from frame 8 to 9: expected a file as flow_0008_to_0009.flo"),
        ("flow is damaged", "forward_8_to_9.flo is no flow, or a damaged one"),
        ("flow of another size", "is of 14 x 12 pixels, and the frames have 28 x 24"),
        ("flow twice", "are one flow: take one of them out"),
        ("something else", "is for the frames alone, and holds letter.txt"),
        ("ranges", "less than the 4 frames, got 1, 4"),
        ("ranges of nothing", "--flow none has none: leave one of them out"),
        ("own term", "the term 'temporal' is the video's own"),
    ],
)
def test_what_is_wrong_is_one_line_before_the_work(clip, name, line):
    with pytest.raises((ValueError, OSError), match=line) as error_info:
        paint(broken(clip, name))
    assert "\n" not in str(error_info.value)
    assert not clip.output.exists() or name == "something else"


def test_what_is_there_is_begun_anew_only_by_force(clip):
    paint(clip)
    with pytest.raises(FileExistsError, match=r"nst-jax resume .* goes on with its run"):
        paint(clip)
    expected = pictures(clip.output)
    paint(replace(clip, force=True))
    assert pictures(clip.output) == expected


def test_the_command_paints_and_refuses_what_a_clip_has_not(clip, capsys):
    words = ["video", str(clip.content), str(clip.style), "--output", str(clip.output)]
    words += ["--flow", str(clip.flow), "--weights", "random", "--steps", "1", "--size", "full"]
    layers = ["--content-layers", "relu2_1", "--style-layers", "relu1_1", "relu2_1"]
    assert cli.main([*words, *layers]) == 0
    log = str(clip.output.with_name("painted.h5"))
    assert f"wrote {log}" in capsys.readouterr().out
    assert cli.main(["report", log, "--output", str(clip.output.with_name("page.html"))]) == 0
    assert cli.main(["rerun", log]) == 1
    assert "which rerun does not repeat" in capsys.readouterr().err
    assert cli.main(["resume", log, "--steps", "99"]) == 1
    assert "leave --steps out" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main([*words, "--tolerance", "0.1"])


@pytest.mark.parametrize("ending", [".flo", ".npz"])
def test_a_flow_comes_back_as_it_was_written(tmp_path, rng, ending):
    flow = rng.normal(size=(*SHAPE, 2)).astype(np.float32)
    flow[3, 4] = np.nan
    image.save_flow(tmp_path / f"f{ending}", flow)
    np.testing.assert_array_equal(image.load_flow(tmp_path / f"f{ending}"), flow)


def test_a_flow_that_begins_otherwise_or_is_too_large_is_refused(tmp_path):
    path = tmp_path / "f.flo"
    for head in (b"PNG!", b"PIEH" + np.array([2**30, 2**30], "<i4").tobytes()):
        path.write_bytes(head + bytes(64))
        with pytest.raises(ValueError, match="is no flow, or a damaged one"):
            image.load_flow(path)
    np.savez(path.with_suffix(".npz"), other=np.zeros(3))
    with pytest.raises(ValueError, match=r"expected a \.flo, or an \.npz with the array `flow`"):
        image.load_flow(path.with_suffix(".npz"))


def test_computed_flow_is_that_of_the_scene():
    pytest.importorskip("cv2")
    y, x = np.mgrid[:64, :96].astype(np.float32)
    pictures = [image.from_uint8(scene(x - shift, y)) for shift in (0, 2)]
    found = image.compute_flow(*pictures)
    np.testing.assert_allclose(np.median(found, axis=(0, 1)), [2, 0], atol=0.1)


@pytest.mark.parametrize("count", [1, 2])
def test_a_film_is_painted_into_a_film_of_as_many_frames_for_each_style(styled, tmp_path, count):
    pytest.importorskip("cv2")
    film = tmp_path / "clip.mp4"
    image.write_film(film, sorted(styled.content.iterdir())[1:], rate=12.0)
    chosen = replace(styled, content=film, output=tmp_path / "painted.mp4", flow=None, steps=1)
    outcome = paint(replace(chosen, more_styles=chosen.more_styles[: count - 1]))
    assert outcome.exit_code == 0
    stems = ["painted"] if count == 1 else [f"painted.{x.stem}" for x in styled.styles]
    for stem in stems:
        assert image.unpack_film(tmp_path / f"{stem}.mp4", tmp_path / f"seen.{stem}") == 12
        assert len(pictures(tmp_path / f"seen.{stem}")) == 3
        assert len(pictures(tmp_path / f"{stem}.frames")) == 3
    assert {path.name for path in tmp_path.iterdir() if path.name.startswith(".")} == set()


def test_what_is_no_film_is_refused_in_one_line(clip, tmp_path):
    pytest.importorskip("cv2")
    film = tmp_path / "torn.mp4"
    film.write_bytes(b"none")
    with pytest.raises(ValueError, match=r"torn\.mp4 is no film, or a damaged one"):
        paint(replace(clip, content=film))
    with pytest.raises(ValueError, match="is one picture: nst-jax stylize paints it"):
        paint(replace(clip, content=sorted(clip.content.iterdir())[0]))
    with pytest.raises(ValueError, match="--rate is of a film that is written"):
        paint(replace(clip, rate=12.0))
    with pytest.raises(ValueError, match=r"films are written as \.mp4"):
        paint(replace(clip, output=tmp_path / "painted.webm"))
