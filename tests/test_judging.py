"""Judges of runs and of files: in the log, on the page, and at the command line."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
from PIL import Image

from nst_jax import alexnet, config, image, metrics, runlog, runs, squeezenet
from nst_jax.command import cli
from nst_jax.report import verdicts
from nst_jax.runlog import merging, writing
from nst_jax.runs import judging
from nst_jax.system.interrupts import StopRequest

WITHOUT_NETWORKS = {"ssim", "psnr", "patch_distance", "chroma_speckle", "border_saturation"}


@pytest.fixture(scope="module")
def folder_of_judges(tmp_path_factory):
    """Files as the trained judges have them, of small random numbers."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("judges")
    for name, network in (("alexnet_lpips", alexnet), ("squeezenet_imagenet", squeezenet)):
        with h5py.File(folder / f"{name}.h5", "w") as file:
            for layer, shapes in network.parameter_shapes().items():
                for parameter, shape in shapes.items():
                    file[f"{layer}/{parameter}"] = rng.normal(size=shape, scale=0.05).astype("f4")
            if network is alexnet:
                for i, layer in enumerate(alexnet.LAYERS, start=1):
                    channels = network.parameter_shapes()[layer]["bias"]
                    file[f"lin{i}"] = rng.uniform(size=channels).astype("f4")
    return folder


@pytest.fixture
def judged(sweep, folder_of_judges):
    """Settings of a sweep of two variants whose pictures are judged."""
    return replace(
        sweep,
        size=40,
        enlarge=True,
        optimizers=("adam",),
        report=sweep.log.with_suffix(".html"),
        metrics=True,
        judges=folder_of_judges,
    )


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Paths of a content, a style and what might have been painted of them."""
    rng = np.random.default_rng(1)
    folder = tmp_path_factory.mktemp("pictures")
    for name, shape in (("content", (40, 50)), ("style", (44, 46)), ("out", (40, 50))):
        levels = rng.integers(0, 255, (*shape, 3), np.uint8)
        Image.fromarray(levels).save(folder / f"{name}.png")
    return {name: str(folder / f"{name}.png") for name in ("content", "style", "out")}


def sweep_files(settings):
    return runs.sweep_files(settings, say=lambda line: None, progress=False).record


def options(pictures, *more):
    return ["--content", pictures["content"], "--style", pictures["style"], *map(str, more)]


def judge(arguments, capsys):
    """The exit code, the objects that were printed, and what was said beside them."""
    code = cli.main(["metrics", *map(str, arguments), "--json"])
    out, said = capsys.readouterr()
    return code, [json.loads(line) for line in out.splitlines()], said


@pytest.mark.slow
def test_a_sweep_is_judged_into_log_and_page(judged):
    record = sweep_files(judged)
    assert list(metrics.in_order(record.metrics)) == list(metrics.METRICS)
    for values in record.metrics.values():
        assert np.isfinite(values).all()
    again = metrics.measure(
        image.from_uint8(record.images[1]),
        image.from_uint8(record.content),
        image.from_uint8(record.styles[str(judged.styles[0])]),
    )
    for name in WITHOUT_NETWORKS:
        assert record.metrics[name][1] == pytest.approx(again[name], rel=1e-5)

    page = judged.report.read_text()
    assert ">Metrics</h2>" in page
    assert page.count("punish every stylization") == 1
    for name, metric in metrics.METRICS.items():
        heading = f">{name.replace('_', ' ')}</button>"
        assert (heading in page.lower()) is not metric.is_detail


def test_the_judges_change_nothing_of_the_run(judged):
    record = sweep_files(judged)
    alone = sweep_files(replace(judged, metrics=False, judges=None))
    assert not alone.metrics
    np.testing.assert_array_equal(alone.images, record.images)
    np.testing.assert_array_equal(alone.rows.total, record.rows.total)


def test_a_run_that_was_killed_before_it_was_judged_is_judged_by_resume(judged):
    judged = replace(judged, judges=None)
    before = sweep_files(judged)
    with writing.RunLog.reopen(judged.log) as log:
        # A kill may come between two metrics of a picture.
        log.write_metrics({"patch_distance": np.array([np.nan], np.float32)}, slice(1, 2))
        assert log.not_judged() == [1]
    assert not runlog.has_ended(judged.log)
    assert runs.resume(judged.log, say=lambda line: None, progress=False).exit_code == 0
    after = runlog.load(judged.log)
    for name, values in before.metrics.items():
        np.testing.assert_array_equal(after.metrics[name], values)


def test_a_run_whose_judge_failed_is_judged_by_resume(judged, monkeypatch):
    judged = replace(judged, judges=None)

    def fail(*arguments):
        raise RuntimeError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(metrics, "measure", fail)
        with pytest.raises(RuntimeError, match="no memory"):
            sweep_files(judged)
    assert runlog.load(judged.log).status == "failed"
    assert not runlog.has_ended(judged.log)
    runs.resume(judged.log, say=lambda line: None, progress=False)
    assert np.isfinite(runlog.load(judged.log).metrics["patch_distance"]).all()
    assert runlog.has_ended(judged.log)


def test_a_run_is_not_gone_on_with_by_other_judges(judged):
    sweep_files(judged)
    with h5py.File(judged.log, "r+") as file:
        assert len(file.attrs["squeezenet_sha256"]) == 64
        file.attrs["alexnet_sha256"] = "0" * 64
    with writing.RunLog.reopen(judged.log):
        pass
    with pytest.raises(ValueError, match="its alexnet has changed since it began"):
        runs.resume(judged.log, say=lambda line: None, progress=False)


def test_a_signal_ends_the_judging(judged):
    record = sweep_files(replace(judged, judges=None))
    request = StopRequest()
    request.signal_number = 15
    nothing: dict[str, runs.Pictures] = {}
    with writing.RunLog.reopen(judged.log) as log:
        log.write_metrics({name: np.full(2, np.nan, np.float32) for name in record.metrics})
        judging.judge(log, record.variants, nothing, metrics.Judges(), request)
        assert log.not_judged() == [0, 1]


def test_a_repeated_run_is_judged_alike(judged, capsys):
    record = sweep_files(judged)
    assert cli.main(["rerun", str(judged.log)]) == 0
    with h5py.File(judged.log, "r+") as file:
        file["metrics/patch_distance"][0] *= 2
    capsys.readouterr()
    assert cli.main(["rerun", str(judged.log)]) == 1
    said = capsys.readouterr().out
    assert f"{record.variants[0].label}: the saved picture's patch distance differs" in said


def test_metrics_of_parts_are_joined(judged):
    record = sweep_files(replace(judged, judges=None))
    whole = judged.log.with_name("whole.h5")
    fewer = replace(record, metrics={"ssim": record.metrics["ssim"]})
    merging.merge(whole, [fewer, record], config=record.config)
    joined = runlog.load(whole).metrics
    np.testing.assert_array_equal(joined["ssim"], np.repeat(record.metrics["ssim"], 2))
    np.testing.assert_array_equal(joined["psnr"][1::2], record.metrics["psnr"])
    assert np.isnan(joined["psnr"][::2]).all()


def test_show_tells_metrics_with_what_has_to_be_read_beside_them(judged, capsys):
    sweep_files(replace(judged, judges=None, tv_weights=(30.0,)))
    capsys.readouterr()
    assert cli.main(["show", str(judged.log)]) == 0
    said = capsys.readouterr().out
    assert "patch_distance" in said
    assert "punish every stylization" in said
    assert "chroma speckle* is no judge here" in said


def test_a_picture_is_one_flat_object_and_notes_go_elsewhere(pictures, folder_of_judges, capsys):
    arguments = [pictures["out"], pictures["content"], *options(pictures, "--style-size", 60)]
    code, found, said = judge([*arguments, "--judges", folder_of_judges], capsys)
    assert code == 0
    assert [each["picture"] for each in found] == [pictures["out"], pictures["content"]]
    assert set(metrics.METRICS) == set(found[0]) - {"picture", "variant", "optimized"}
    assert all(isinstance(x, str | float | None) for each in found for x in each.values())
    assert found[0]["psnr"] > 0
    assert found[1]["psnr"] is None
    assert found[1]["ssim"] == pytest.approx(1)
    assert "is not enlarged to the size 60" in said
    assert "note: note:" not in said
    assert "note: SSIM and PSNR compare pixels" in said
    assert "does not say what was optimized" in said


def test_without_judges_the_rest_is_told(pictures, tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    code, found, said = judge([pictures["out"], *options(pictures, "--judges", empty)], capsys)
    assert code == 0
    assert set(found[0]) - {"picture", "variant", "optimized"} == WITHOUT_NETWORKS
    assert "alexnet_lpips.h5" in said
    assert "squeezenet_imagenet.h5" in said


def test_the_text_explains_each_metric(pictures, capsys):
    assert cli.main(["metrics", pictures["out"], *options(pictures)]) == 0
    said = capsys.readouterr().out
    for name in WITHOUT_NETWORKS:
        (line,) = [line for line in said.splitlines() if line.startswith(name)]
        assert metrics.METRICS[name].meaning in line


def test_a_log_is_judged_by_itself(judged, capsys):
    record = sweep_files(replace(judged, judges=None))
    code, found, _ = judge([judged.log], capsys)
    assert code == 0
    assert [each["variant"] for each in found] == [v.label for v in record.variants]
    for i, each in enumerate(found):
        assert each["ssim"] == pytest.approx(record.metrics["ssim"][i], rel=1e-5)
        assert each["optimized"] == ""


def test_a_log_without_pictures_to_judge_is_refused(judged):
    record = sweep_files(replace(judged, judges=None))
    stopped = tuple(replace(variant, status="interrupted") for variant in record.variants)
    with pytest.raises(ValueError, match=r"\.h5 has no picture to judge"):
        judging.of_log(replace(record, variants=stopped), metrics.Judges())
    small = {name: style[:30, :30] for name, style in record.styles.items()}
    with pytest.raises(ValueError, match=r"\.h5 cannot be used: .* has 30 x 30 pixels"):
        judging.of_log(replace(record, styles=small), metrics.Judges())


def test_a_picture_tells_what_its_objective_asked_for(stylize, pictures, capsys):
    settings = replace(stylize, size=40, enlarge=True, steps=1, tv_weight=30.0)
    runs.stylize_files(settings, say=lambda line: None, progress=False)
    given = ["--content", settings.content, "--style", pictures["style"]]
    code, found, said = judge([settings.output, *given], capsys)
    assert code == 0
    assert found[0]["optimized"] == "chroma_speckle"
    assert "a term that lowers the same: total_variation" in said


def test_what_is_told_of_a_metric_is_not_repeated_for_its_parts():
    asked = verdicts.AskedFor("alexnet", ())
    values = {"style_distance": 1.0, "style_distance_conv1": 1.0}
    found = [verdicts.Verdict(name, "adam", values, asked) for name in ("a.h5", "b.h5")]
    (note,) = verdicts.notes(found)
    assert note.startswith("style distance* is no judge here")
    assert "a.h5 adam" in verdicts.as_text(found)
    assert verdicts.as_text(found).count("*") == 4


def test_a_style_of_several_pictures_or_of_parts_is_told(judged):
    record = sweep_files(replace(judged, judges=None))
    guided = replace(record, config=record.config | {"style_mask": ["sky=sky.png"]})
    line = "the run had --style-mask: metrics compare with the whole of the style picture alone"
    assert line in verdicts.notes(verdicts.logged(guided))
    assert line not in verdicts.notes(verdicts.logged(record))


def test_a_mark_that_holds_for_some_pictures_says_for_how_many():
    values = {"chroma_speckle": 1.0}
    asked = [verdicts.AskedFor("vgg19", kinds) for kinds in (("gram",), ("total_variation",))]
    found = [verdicts.Verdict("out.png", None, values, each) for each in asked]
    assert any("is no judge of 1 of the 2 pictures" in line for line in verdicts.notes(found))
    assert any("is no judge here" in line for line in verdicts.notes(found[1:]))


def test_a_picture_of_a_program_that_rounds_its_sides_is_judged(pictures, tmp_path, capsys):
    rounded = tmp_path / "rounded.png"
    with Image.open(pictures["out"]) as picture:
        picture.crop((0, 0, 50, 38)).save(rounded)
    assert judge([rounded, *options(pictures)], capsys)[0] == 0


def test_functions_of_others_are_not_vouched_for():
    asked = verdicts.AskedFor("vgg19", ("gram", "mine:swirls"))
    said = verdicts.notes([verdicts.Verdict("out.png", None, {"psnr": 1.0}, asked)])
    assert any("mine:swirls" in line for line in said)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "there is nothing to judge"),
        (["out"], "give --content and --style"),
        (["out", "--content", "content"], "give --content and --style"),
        (["log", "--style-size", "100"], "leave --content, --style and --style-size out"),
        (["out", "--content", "style", "--style", "style"], "give the content that it was made of"),
        (["out", "--content", "none.png", "--style", "style"], "none.png"),
        (["out", "--content", "content", "--style", "style", "--judges", "none"], "none"),
        (["out", "--content", "content", "--style", "style", "--style-size", "0"], "at least 1"),
        (["out", "--content", "content", "--style", "style", "--style-size", "9"], "need 31"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_one_line(arguments, words, pictures, capsys):
    given = [pictures.get(x, "run.h5" if x == "log" else x) for x in arguments]
    assert cli.main(["metrics", *given]) == 1
    out, said = capsys.readouterr()
    assert not out
    assert words in said.splitlines()[-1]
    assert said.count("error:") == 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"size": "full", "enlarge": False}, "has 28 x 24 pixels: metrics need 31"),
        ({"metrics": False}, "--judges names networks for --metrics"),
    ],
)
def test_a_sweep_that_cannot_be_judged_is_refused_before_it_starts(settings, words, judged):
    with pytest.raises(ValueError, match=words):
        sweep_files(replace(judged, **settings))
    assert not judged.log.exists()


def test_settings_of_judges_are_kept(judged):
    assert config.from_json(config.to_json(judged)) == judged
