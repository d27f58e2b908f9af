"""Several contents in one run: folders, shapes, results, and going on with what was interrupted."""

import signal
from dataclasses import replace
from pathlib import Path

import h5py
import logs
import numpy as np
import pytest
from PIL import Image

from nst_jax import config, image, metrics, report, runlog, runs
from nst_jax.command import cli
from nst_jax.runlog import merging
from nst_jax.runs.grid import Share, variants_of

SHAPES = {"a.png": (40, 36), "b.png": (34, 44), "d.png": (40, 36)}


def quiet(line):
    """Says nothing."""


@pytest.fixture
def folder(tmp_path):
    """Three pictures of two shapes, and two files that are none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for name, (height, width) in SHAPES.items():
        coarse = Image.fromarray(rng.integers(0, 255, (4, 4, 3), np.uint8))
        coarse.resize((width, height), Image.Resampling.BICUBIC).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    (folder / "torn.png").write_bytes((folder / "a.png").read_bytes()[:200])
    (folder / ".hidden").write_text("")
    (folder / "more").mkdir()
    return folder


@pytest.fixture
def many(sweep, folder):
    """Settings: three contents and two styles, one program each."""
    styles = (sweep.styles[0], sweep.content.with_name("t.png"))
    return replace(
        sweep,
        content=folder,
        styles=styles,
        optimizers=("adam",),
        learning_rates=("0.1",),
        steps=4,
        snapshot_every=2,
    )


@pytest.fixture
def album(stylize, folder, tmp_path):
    """Settings of `stylize` for the same folder."""
    return replace(stylize, content=folder, output=tmp_path / "painted", log=None, steps=4)


def run(settings, **options):
    outcome = runs.sweep_files(settings, say=quiet, progress=False, **options)
    assert outcome.exit_code == 0
    return outcome.record


def paint(settings, **options):
    return runs.stylize_files(settings, say=quiet, progress=False, **options)


def assert_column_is(record, i, alone, j):
    """A variant of a log has the bytes of one of another log."""
    np.testing.assert_array_equal(record.picture_of(i), alone.picture_of(j))
    np.testing.assert_array_equal(record.rows.total[:, i], alone.rows.total[:, j])
    for one, other in zip(record.snapshots_of(i), alone.snapshots_of(j), strict=True):
        np.testing.assert_array_equal(one, other)


def test_each_content_has_the_bytes_of_its_own_sweep_and_each_shape_one_program(
    many, folder, count_compilations
):
    with count_compilations("step_variants") as compiled:
        record = run(many)
    assert len(compiled) <= len(set(SHAPES.values()))
    assert [v.label for v in record.variants] == [
        f"adam 0.1 of {content} {style}" for content in SHAPES for style in ("s.png", "t.png")
    ]
    assert {name: x.shape[:2] for name, x in record.contents.items()} == {
        str(folder / name): shape for name, shape in SHAPES.items()
    }
    assert record.images.shape[1:] == (40, 44, 3)
    for number, name in enumerate(SHAPES):
        alone = run(replace(many, content=folder / name))
        for style in (0, 1):
            assert_column_is(record, 2 * number + style, alone, style)


def test_the_log_alone_repeats_the_run_and_shows_it(many, capsys):
    run(replace(many, styles=many.styles[:1]))
    assert cli.main(["rerun", str(many.log)]) == 0
    assert "the same bytes" in capsys.readouterr().out
    assert cli.main(["show", str(many.log)]) == 0
    assert "3 contents of 36 x 40, 44 x 34 pixels" in capsys.readouterr().out


def test_a_content_that_has_changed_is_refused(many, folder):
    run(replace(many, styles=many.styles[:1]))
    Image.new("RGB", (36, 40), "red").save(folder / "d.png")
    with pytest.raises(ValueError, match="its content has changed"):
        runs.rerun(many.log, say=quiet, progress=False)


def test_shares_of_contents_are_joined_to_the_log_of_the_whole(many, tmp_path):
    one = replace(many, styles=many.styles[:1])
    whole = run(one)
    parts = []
    for i in range(2):
        own = replace(one, log=tmp_path / f"part{i}.h5")
        parts.append(run(own, share=Share(i, 2)))
    path = tmp_path / "joined.h5"
    merging.merge(path, parts, config=parts[0].config)
    joined = runlog.load(path)
    assert joined.contents.keys() == whole.contents.keys()
    assert [v.label for v in joined.variants] == [v.label for v in whole.variants]
    for i in range(3):
        assert_column_is(joined, i, whole, i)


@pytest.mark.parametrize("settings", [{"colors": "matched"}, {"stages": ("20:2", "40:3")}])
def test_what_depends_on_the_content_is_its_own(settings, many, folder):
    size = {"size": 40} if "stages" in settings else {}
    one = replace(many, styles=many.styles[:1], snapshot_every=0, **size, **settings)
    record = run(one)
    for i, name in enumerate(SHAPES):
        assert_column_is(record, i, run(replace(one, content=folder / name)), 0)


def test_metrics_compare_with_the_own_content(many, folder):
    record = run(replace(many, styles=(folder / "b.png",), metrics=True, judges=folder / "more"))
    pairs = [
        (image.from_uint8(record.picture_of(i)), image.from_uint8(record.content_of(i)))
        for i in range(3)
    ]
    (style,) = map(image.from_uint8, record.styles.values())
    expected = [metrics.measure(*pair, style, metrics.Judges())["ssim"] for pair in pairs]
    np.testing.assert_allclose(record.metrics["ssim"], expected, rtol=1e-5)


def test_a_log_that_names_no_content_has_the_one_of_its_settings(many, folder):
    content = folder / "a.png"
    run(replace(many, content=content, styles=many.styles[:1]))
    with h5py.File(many.log, "r+") as file:
        del file["variants/content"], file["images/content"].attrs["name"]
    record = runlog.load(many.log)
    assert [*record.contents] == [str(content)] == [v.content for v in record.variants]
    assert runs.rerun(many.log, say=quiet, answer=quiet, progress=False).exit_code == 0


def test_a_log_whose_variant_has_no_content_is_damaged(many):
    run(replace(many, styles=many.styles[:1]))
    with h5py.File(many.log, "r+") as file:
        file["variants/content"][1] = "elsewhere.png"
    with pytest.raises(ValueError, match=r"damaged.*there is no picture of 'elsewhere.png'"):
        runlog.load(many.log)


# Painting a folder


def test_a_folder_is_painted_and_what_is_no_picture_is_passed_over(album, folder):
    said = []
    outcome = runs.stylize_files(album, say=said.append, progress=False)
    assert outcome.exit_code == 0
    results = album.output
    assert sorted(path.name for path in results.iterdir()) == [*SHAPES, "run.h5"]
    for number, name in enumerate(SHAPES):
        painted = image.load(results / name)
        assert painted.shape[:2] == SHAPES[name]
        np.testing.assert_array_equal(image.to_uint8(painted), outcome.record.picture_of(number))
        settings = image.read_metadata(results / name)["nst_jax.settings"]
        assert f'"content": "{folder / name}"' in settings
    passed = [line for line in said if "passed over" in line]
    assert len(passed) == 2
    assert "notes.txt" in passed[0]
    assert "torn.png" in passed[1]
    assert f"3 of 3 pictures into {results}" in said[-1]


def test_a_picture_of_a_folder_is_that_of_its_own_run(album, folder, tmp_path):
    assert paint(album).exit_code == 0
    own = replace(album, content=folder / "b.png", output=tmp_path / "b.png")
    assert paint(own).exit_code == 0
    assert own.output.read_bytes() == (album.output / "b.png").read_bytes()


def test_who_stops_it_keeps_what_is_done_and_resume_paints_the_others(album, tmp_path):
    chunks = []

    def stop(chunk):
        chunks.append(chunk.state.image.shape)
        if len(set(chunks)) == 2:
            signal.raise_signal(signal.SIGINT)

    outcome = paint(album, on_chunk=stop)
    assert outcome.exit_code == 130
    assert sorted(path.name for path in album.output.glob("*.png")) == ["a.png"]
    log = album.output / "run.h5"
    with pytest.raises(FileExistsError, match=r"run\.h5 exists: nst-jax resume .* goes on"):
        paint(replace(album, force=False))
    (album.output / "a.png").unlink()
    assert runs.resume(log, say=quiet, progress=False).exit_code == 0
    whole = replace(album, output=tmp_path / "whole")
    paint(whole)
    for name in SHAPES:
        assert (album.output / name).read_bytes() == (whole.output / name).read_bytes()
    logs.assert_same_rows(runlog.load(log).rows, runlog.load(whole.output / "run.h5").rows)


def test_more_steps_go_into_a_new_folder(album):
    paint(replace(album, keep_state=True))
    album_of_more = album.output.with_name("painted-6")
    outcome = runs.resume(album.output / "run.h5", steps=6, say=quiet, progress=False)
    assert outcome.exit_code == 0
    assert sorted(path.name for path in album_of_more.glob("*.png")) == [*SHAPES]


def test_a_folder_of_one_picture_has_its_result_in_a_folder(album, folder):
    for name in ("b.png", "d.png"):
        (folder / name).unlink()
    assert paint(replace(album, suffix=".jpg")).exit_code == 0
    assert [path.name for path in album.output.iterdir()] == ["a.jpg"]


def test_a_crop_makes_one_shape_of_several(album):
    found = paint(replace(album, crop="3:2", size=30)).record
    assert {picture.shape for picture in found.contents.values()} == {(20, 30, 3)}


def test_transparency_is_the_own_one(album, folder):
    alpha = np.full(SHAPES["b.png"], 128, np.uint8)
    image.save(folder / "b.png", image.load(folder / "b.png"), alpha=alpha)
    paint(replace(album, alpha="keep"))
    found = [image.load_with_alpha(album.output / name)[1] for name in SHAPES]
    assert [each is not None for each in found] == [False, True, False]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"crop": "wide"}, "--crop wide: expected W:H"),
        ({"output": Path("out.png")}, "--output out.png is one picture, and there are 3 contents"),
        ({"mask": ("sky=sky.png",)}, "--mask is of one content picture, and there are 3"),
    ],
)
def test_contradictions_are_refused_in_one_line(change, words, album):
    with pytest.raises(ValueError, match=words):
        paint(replace(album, **change))
    assert not album.output.exists()


def test_an_ending_beside_the_name_of_one_result_is_refused(album, folder):
    one = replace(album, content=folder / "a.png", output=Path("out.png"), suffix=".jpg")
    with pytest.raises(ValueError, match="--suffix is for results in a folder"):
        paint(one)


def test_two_results_of_one_name_are_refused(album, folder):
    Image.new("RGB", (36, 40)).save(folder / "a.bmp")
    with pytest.raises(ValueError, match=r"a\.bmp and .*a\.png would both become"):
        paint(album)


def test_a_folder_without_a_picture_is_refused(album, folder):
    for name in SHAPES:
        (folder / name).unlink()
    with pytest.raises(ValueError, match="holds no picture"):
        paint(album)


def test_a_picture_that_is_named_is_never_passed_over(album, folder):
    with pytest.raises(ValueError, match=r"torn\.png"):
        paint(replace(album, content=folder / "a.png", contents=(folder / "torn.png",)))


def test_what_is_there_is_not_overwritten(album):
    album.output.mkdir()
    (album.output / "b.png").write_text("mine")
    with pytest.raises(FileExistsError, match=r"b\.png exists"):
        paint(replace(album, force=False))
    assert (album.output / "b.png").read_text() == "mine"


def test_settings_with_contents_round_trip(album, folder):
    listed = replace(album, content=folder / "a.png", contents=(folder / "b.png",))
    assert config.from_json(config.to_json(listed)) == listed
    assert [v.content for v in variants_of(listed)] == [str(folder / x) for x in ("a.png", "b.png")]


# The page


def test_the_page_has_a_row_a_content_and_a_column_a_style(many):
    page = report.render(run(many))
    table = page[page.index('<table class="pairs"') : page.index("</table>")]
    assert table.count('scope="row"') == 3
    assert table.count('scope="col"') == 2
    assert table.count('id="result-') == 6
    assert "3 pictures in the style of s.png or t.png" in page
