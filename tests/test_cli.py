"""The commands, from files to files, with their mistakes."""

import io
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

try:
    import termios
except ImportError:  # Windows
    termios = None

import nst_jax
from nst_jax import config, runlog, runs
from nst_jax import image as images
from nst_jax.command import cli, main
from nst_jax.runs import grid

CONTENT_LAYERS = ["--content-layers", "relu2_1"]
STYLE_LAYERS = ["--style-layers", "relu1_1", "relu2_1"]
SHALLOW = [*CONTENT_LAYERS, *STYLE_LAYERS]
# From the content picture a random network has almost nothing to lose.
NOISE = ["--init", "noise"]
RANDOM = ["--weights", "random"]


@pytest.fixture
def pictures(tmp_path) -> tuple[str, str]:
    """A content and a style picture of 40 x 32 and 36 x 44 pixels."""
    rng = np.random.default_rng(0)
    paths = []
    for name, shape in (("content.png", (32, 40, 3)), ("style.png", (44, 36, 3))):
        coarse = rng.uniform(0, 255, (4, 4, 3)).astype(np.uint8)
        picture = Image.fromarray(coarse).resize(shape[1::-1], Image.Resampling.BICUBIC)
        picture.save(tmp_path / name)
        paths.append(str(tmp_path / name))
    return paths[0], paths[1]


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def stylize(pictures, tmp_path, *options: str) -> int:
    output = [] if "--output" in options else ["--output", str(tmp_path / "out.png")]
    layers = [x for own in (CONTENT_LAYERS, STYLE_LAYERS) if own[0] not in options for x in own]
    return cli.main(["stylize", *pictures, *output, *RANDOM, *layers, *options])


def test_stylize_writes_picture_log_and_figures(pictures, tmp_path, capsys):
    log, figures = tmp_path / "run.h5", tmp_path / "figures"
    outputs = ["--log", str(log), "--figures", str(figures)]
    code = stylize(pictures, tmp_path, "--steps", "7", *NOISE, *outputs)
    assert code == 0
    record = runlog.load(log)
    assert record.status == "finished"
    assert record.rows.total.shape == (7, 1)
    assert list(record.rows.step) == list(range(7))
    assert record.rows.total[-1, 0] < record.rows.total[0, 0]
    np.testing.assert_array_equal(pixels(tmp_path / "out.png"), record.images[0])
    assert {p.name for p in figures.iterdir()} == {"losses.png", "overview.png"}
    out = capsys.readouterr().out
    assert "device: CPU" in out
    assert "random numbers" in out
    assert "7 of 7 steps" in out
    written = [tmp_path / "out.png", log, figures / "losses.png", figures / "overview.png"]
    assert out.splitlines()[-1] == "wrote " + ", ".join(map(str, written))


def test_the_saved_picture_carries_its_settings(pictures, tmp_path):
    stylize(pictures, tmp_path, "--steps", "2", "--optimizer", "adagrad")
    metadata = images.read_metadata(tmp_path / "out.png")
    settings = json.loads(metadata["nst_jax.settings"])
    assert settings["optimizer"] == "adagrad"
    assert settings["steps"] == "2"
    assert float(json.loads(metadata["nst_jax.final_losses"])["total"]) > 0


@pytest.mark.slow
def test_final_losses_are_those_of_the_saved_picture(pictures, tmp_path):
    """Logged losses that belong to another picture than the saved one are a known defect."""
    from nst_jax import objective, vgg, weights

    log = tmp_path / "run.h5"
    stylize(pictures, tmp_path, "--steps", "3", "--log", str(log))
    record = runlog.load(log)
    layers = ("block2_conv1", "block1_conv1")
    feature_fn = vgg.feature_fn(weights.random_params(), layers)
    targets = objective.compute_targets(
        feature_fn,
        images.from_uint8(record.content),
        images.from_uint8(*record.styles.values()),
        content_layers=layers[:1],
        style_layers=layers[::-1],
    )
    loss = objective.make_objective(feature_fn, targets)
    total, terms = loss(images.from_uint8(record.images[0]), objective.make_weights(targets))
    np.testing.assert_allclose(record.final["total"][0], total, rtol=1e-5)
    np.testing.assert_allclose(record.final["style"][0], terms.terms["style"], rtol=1e-5)


def test_first_row_is_the_loss_of_the_start(pictures, tmp_path):
    """From the content image the content term starts at zero."""
    log = tmp_path / "run.h5"
    stylize(pictures, tmp_path, "--steps", "2", "--log", str(log))
    rows = runlog.load(log).rows
    assert rows.losses["content"][0, 0] == 0
    assert rows.losses["content"][1, 0] > 0


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "adagrad", "sgd", "lbfgs"])
@pytest.mark.slow
def test_every_optimizer_runs_from_the_command_line(optimizer, pictures, tmp_path):
    rate = ["--learning-rate", "1e-9"] if optimizer == "sgd" else []
    log = tmp_path / "run.h5"
    options = ["--optimizer", optimizer, *rate, *NOISE, "--steps", "4"]
    code = stylize(pictures, tmp_path, *options, "--log", str(log))
    assert code == 0
    total = runlog.load(log).rows.total[:, 0]
    assert total[-1] < total[0]


def test_two_runs_give_the_same_bytes(pictures, tmp_path):
    options = ["--steps", "4", "--init", "noise", "--seed", "3", "--log"]
    stylize(pictures, tmp_path, *options, str(tmp_path / "a.h5"))
    stylize(pictures, tmp_path, *options, str(tmp_path / "b.h5"), "--force")
    a, b = runlog.load(tmp_path / "a.h5"), runlog.load(tmp_path / "b.h5")
    np.testing.assert_array_equal(a.rows.total, b.rows.total)
    np.testing.assert_array_equal(a.images, b.images)


def test_another_seed_gives_another_picture(pictures, tmp_path):
    for seed in ("1", "2"):
        options = ["--steps", "2", "--init", "noise", "--seed", seed]
        stylize(pictures, tmp_path, *options, "--output", str(tmp_path / f"{seed}.png"))
    first, second = (pixels(tmp_path / f"{seed}.png") for seed in "12")
    assert (first != second).mean() > 0.5


def test_snapshots_are_kept_at_their_steps(pictures, tmp_path):
    log = tmp_path / "run.h5"
    stylize(pictures, tmp_path, "--steps", "6", "--snapshot-every", "2", "--log", str(log))
    record = runlog.load(log)
    assert list(record.snapshot_steps) == [2, 4, 6]
    np.testing.assert_array_equal(record.snapshots[-1], record.images)


def test_a_start_from_a_path_begins_at_that_picture(pictures, tmp_path):
    log = tmp_path / "run.h5"
    stylize(pictures, tmp_path, "--steps", "1", "--init", pictures[0], "--log", str(log))
    assert runlog.load(log).rows.losses["content"][0, 0] == 0


def test_tolerance_ends_a_run_that_no_longer_improves(pictures, tmp_path):
    log = tmp_path / "run.h5"
    options = ["--steps", "400", "--learning-rate", "1e-9", "--tolerance", "1e-3"]
    assert stylize(pictures, tmp_path, *options, "--log", str(log)) == 0
    record = runlog.load(log)
    assert record.status == "finished"
    assert 20 <= len(record.rows.step) < 400


def test_plot_redraws_the_figures_from_the_log(pictures, tmp_path):
    log = tmp_path / "run.h5"
    stylize(pictures, tmp_path, "--steps", "2", "--log", str(log))
    assert cli.main(["plot", str(log), "--figures", str(tmp_path / "again")]) == 0
    assert {p.name for p in (tmp_path / "again").iterdir()} == {"losses.png", "overview.png"}


def test_show_prints_status_settings_and_losses(pictures, tmp_path, capsys):
    log = tmp_path / "run.h5"
    stylize(pictures, tmp_path, "--steps", "2", "--log", str(log))
    capsys.readouterr()
    assert cli.main(["show", str(log)]) == 0
    out = capsys.readouterr().out
    for text in ("finished", "adam 0.02", "random"):
        assert text in out
    # A setting a line.
    assert re.search(r"^  steps +2$", out, re.MULTILINE)
    assert re.search(r"^  tolerance +none$", out, re.MULTILINE)


@pytest.mark.parametrize(("layer", "drawn"), [("relu1_1", 2), ("block2_conv1", 2), ("pool1", 1)])
def test_features_draws_filters_and_maps(layer, drawn, pictures, tmp_path):
    folder = tmp_path / "features"
    command = ["features", pictures[0], "--layer", layer, "--output", str(folder), *RANDOM]
    assert cli.main(command) == 0
    assert len(list(folder.glob("*.png"))) == drawn


def test_weights_info_prints_the_table_of_layers(capsys):
    assert cli.main(["weights", "info", "--layers"]) == 0
    out = capsys.readouterr().out
    assert "block5_conv4" in out
    assert "20,024,384" in out


def test_weights_info_tells_hash_and_licence(capsys):
    assert cli.main(["weights", "info", "--weights", "random"]) == 0
    out = capsys.readouterr().out
    assert "params_sha256" in out
    assert "licence" in out


# Mistakes: one clear line, exit code 1, nothing written.


def refused(capsys, code: int) -> str:
    """The single line of the error."""
    assert code == 1
    err = capsys.readouterr().err.strip()
    assert err.startswith("error: ")
    assert "\n" not in err
    return err


# What is not done as asked is said


def read(pictures, tmp_path, **settings):
    """The picture that a run starts from, and what is said about those that it reads."""
    content, style = map(Path, pictures)
    files = {"content": content, "style": style, "output": tmp_path / "out.png"}
    run = config.StylizeConfig(**files, **settings)
    said, (variant,) = [], grid.variants_of(run)
    (found,) = runs.load_pictures(run, [variant], say=said.append).values()
    return runs.Problem({}, {}, {}, found, gray=run.gray).start(variant), said


def test_pictures_that_are_not_enlarged_are_named(pictures, tmp_path):
    content, style = pictures
    assert read(pictures, tmp_path, size=40, style_size=100)[-1] == [
        f"note: {style}: it has 36 x 44 pixels and is not enlarged to the size 100"
    ]
    assert read(pictures, tmp_path, size=44)[-1] == [
        f"note: {content}: it has 40 x 32 pixels and is not enlarged to the size 44"
    ]
    assert read(pictures, tmp_path, size=100, enlarge=True)[-1] == []


def test_a_start_of_another_aspect_is_cropped_as_the_style_is(pictures, tmp_path):
    _, style = pictures
    sizes = {"size": 20, "style_size": "full"}
    cropped, said = read(pictures, tmp_path, init=style, **sizes)
    assert said == [
        f"note: {style}: of its 36 x 44 pixels the central 36 x 29 are taken, which have the "
        "aspect of 20 x 16"
    ]
    of_style, said = read(pictures, tmp_path, init="style", **sizes)
    assert said == []
    np.testing.assert_allclose(cropped, of_style, atol=2 / 255)


@pytest.mark.usefixtures("quick_to_compile")
def test_full_is_the_size_of_the_file(pictures, tmp_path, capsys):
    log = tmp_path / "run.h5"
    assert stylize(pictures, tmp_path, "--steps", "1", "--size", "full", "--log", str(log)) == 0
    assert "note:" not in capsys.readouterr().out
    record = runlog.load(log)
    assert record.content.shape == (32, 40, 3)
    assert [style.shape for style in record.styles.values()] == [(44, 36, 3)]
    assert (record.config["size"], record.config["style_size"]) == ("full", None)
    assert cli.main(["rerun", str(log)]) == 0
    assert "the same bytes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--learning-rate", "0"], "learning rate must be positive"),
        (["--learning-rate", "-1"], "learning rate must be positive"),
        (["--learning-rate", "nan"], "learning rate must be positive"),
        (["--learning-rate", "inf"], "learning rate must be positive"),
        (["--content-weight", "-1"], "content weight must be finite"),
        (["--style-weight", "nan"], "style weight must be finite"),
        (["--content-weight", "0", "--style-weight", "0", "--tv-weight", "0"], "all zero"),
        (["--steps", "0"], "number of steps must be at least 1"),
        (["--steps", "-5"], "number of steps must be at least 1"),
        (["--size", "0"], "size must be at least 1"),
        (["--size", "4", "--style-layers", "relu5_1"], "at least 16"),
        (["--init-noise", "-1"], "initial noise must be at least 0"),
        (["--init-noise", "nan"], "initial noise must be at least 0"),
        (["--seed", "-1"], "seed must be at least 0"),
        (["--tolerance", "-1"], "tolerance must be finite"),
        # Finite in float64, not in float32.
        (["--learning-rate", "1e39"], "learning rate must be positive"),
        (["--learning-rate", "1e-60"], "learning rate must be positive"),
        (["--content-weight", "1e39"], "content weight must be finite"),
        (["--style-weight", "1e-60", "--content-weight", "0", "--tv-weight", "0"], "all zero"),
        (["--steps", "3000000000"], "at most"),
        (["--seed", "100000000000000000000000"], "below 2^63"),
        (["--style-size", "0"], "style size must be at least 1"),
        (["--size", "full", "--enlarge"], "nothing to enlarge to"),
        (["--content-layers", "--style-layers"], "nothing to match"),
        (["--content-layers", "--style-weight", "0", "--tv-weight", "0"], "all zero"),
        (["--log", "r.h5", "--snapshot-every", "300"], "at most the number of steps"),
        (["--output", "f/overview.png", "--figures", "f"], "named for two results"),
        (["--snapshot-every", "5"], "give --log"),
        (["--style-layers", "block9_conv1"], "block1_conv1"),
        (["--content-layers", "nonsense"], "block1_conv1"),
        (["--init", "nowhere.png"], "no such file"),
        (["--init", "https://a.org/b.png"], "it is an address of the web; download the file"),
        (["--output", "out.gif"], ".png"),
        (["--output", "out"], ".png"),
        (["--output", "out.jpg", "--alpha", "keep"], "one of .png, .tif, .tiff, .webp"),
        (["--log", "run.txt"], ".h5"),
        (["--weights", "nowhere.h5"], "no such file"),
    ],
)
def test_wrong_settings_are_refused(options, words, pictures, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert words in refused(capsys, stylize(pictures, tmp_path, *options))
    assert sorted(tmp_path.iterdir()) == before


def test_a_sweep_without_a_style_picture_is_refused(pictures, tmp_path, capsys):
    code = cli.main(["sweep", pictures[0], "--log", str(tmp_path / "run.h5")])
    assert "no style picture" in refused(capsys, code)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("stylise", "did you mean stylize?"),
        ("photo.jpg", "expected one of stylize, sweep, video, resume"),
    ],
)
def test_a_command_that_does_not_exist_is_named(name, hint, pictures, capsys):
    with pytest.raises(SystemExit) as exit_info:
        cli.main([name, *pictures, "--output", "out.png"])
    assert exit_info.value.code == 2
    assert f"error: there is no command {name!r}; {hint}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        ["--optimizer", "adamw"],
        ["--convention", "johnson"],
        ["--steps", "many"],
        ["--no-such-option"],
    ],
)
def test_wrong_usage_exits_with_2_and_lists_what_is_valid(options, pictures, tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_info:
        stylize(pictures, tmp_path, *options)
    assert exit_info.value.code == 2
    err = capsys.readouterr().err
    if options[0] == "--optimizer":
        assert "rmsprop" in err


def png_header(width: int, height: int) -> bytes:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    )


def truncated_jpeg(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:1500])


BAD_PICTURES = {
    "missing.png": lambda path: None,
    "folder.png": Path.mkdir,
    "text.png": lambda path: path.write_text("this is no picture"),
    "truncated.jpg": truncated_jpeg,
    "empty.png": lambda path: path.write_bytes(b""),
    "bomb.png": lambda path: path.write_bytes(png_header(60000, 60000)),
    "one_pixel.png": lambda path: Image.new("RGB", (1, 1)).save(path),
}


@pytest.mark.parametrize("name", BAD_PICTURES)
@pytest.mark.parametrize("place", ["content", "style"])
def test_bad_pictures_are_refused_by_name(name, place, pictures, tmp_path, capsys):
    path = tmp_path / name
    BAD_PICTURES[name](path)
    both = (str(path), pictures[1]) if place == "content" else (pictures[0], str(path))
    assert name in refused(capsys, stylize(both, tmp_path))
    assert not (tmp_path / "out.png").exists()


def test_a_picture_too_small_is_told_the_smallest_size(pictures, tmp_path, capsys):
    tiny = tmp_path / "tiny.png"
    Image.new("RGB", (9, 9)).save(tiny)
    code = stylize((str(tiny), pictures[1]), tmp_path, "--style-layers", "relu5_1")
    assert "at least 16" in refused(capsys, code)


def test_existing_files_are_kept_without_force(pictures, tmp_path, capsys):
    (tmp_path / "out.png").write_text("precious")
    assert "--force" in refused(capsys, stylize(pictures, tmp_path, "--steps", "1"))
    assert (tmp_path / "out.png").read_text() == "precious"
    assert stylize(pictures, tmp_path, "--steps", "1", "--force") == 0
    assert pixels(tmp_path / "out.png").shape == (32, 40, 3)


def test_an_input_is_never_overwritten(pictures, tmp_path, capsys):
    before = Path(pictures[0]).read_bytes()
    code = stylize(pictures, tmp_path, "--output", pictures[0], "--force")
    assert "is an input" in refused(capsys, code)
    assert Path(pictures[0]).read_bytes() == before


@pytest.mark.parametrize("option", ["--weights", "--init"])
def test_no_named_input_is_overwritten(option, pictures, tmp_path, capsys):
    precious = tmp_path / "precious.png"
    precious.write_bytes(Path(pictures[0]).read_bytes())
    code = stylize(pictures, tmp_path, option, str(precious), "--output", str(precious), "--force")
    assert "is an input" in refused(capsys, code)


def test_the_same_settings_give_the_same_file(pictures, tmp_path):
    stylize(pictures, tmp_path, "--steps", "2", "--log", str(tmp_path / "a.h5"))
    first = (tmp_path / "out.png").read_bytes()
    stylize(pictures, tmp_path, "--steps", "2", "--force")
    assert (tmp_path / "out.png").read_bytes() == first


def test_a_name_that_is_no_text_is_no_obstacle(pictures, tmp_path):
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")
    Path(odd).write_bytes(Path(pictures[1]).read_bytes())
    log = tmp_path / "run.h5"
    assert stylize((pictures[0], odd), tmp_path, "--steps", "1", "--log", str(log)) == 0
    assert "caf\\udce9.png" in runlog.load(log).variants[0].style


def test_an_unwritable_folder_is_found_before_the_work(pictures, tmp_path, capsys):
    (tmp_path / "file").write_text("not a folder")
    code = stylize(pictures, tmp_path, "--output", str(tmp_path / "file" / "out.png"))
    assert "cannot write into the folder" in refused(capsys, code)


def test_a_log_that_is_none_is_refused(tmp_path, capsys):
    path = tmp_path / "run.h5"
    path.write_text("this is no log")
    assert "not a run log" in refused(capsys, cli.main(["show", str(path)]))
    assert "no such file" in refused(capsys, cli.main(["plot", str(tmp_path / "no.h5")]))


def test_a_loss_that_overflows_stops_with_step_and_term(pictures, tmp_path, capsys):
    log = tmp_path / "run.h5"
    options = ["--content-weight", "3e38", *NOISE]
    code = stylize(pictures, tmp_path, *options, "--log", str(log))
    assert code == 1
    captured = capsys.readouterr()
    assert "because the total was not finite in step 0" in captured.err
    record = runlog.load(log)
    assert record.status == "failed"
    assert record.variants[0].status == "diverged"
    assert len(record.rows.step) == 1
    assert pixels(tmp_path / "out.png").shape == record.content.shape


# Processes


@pytest.fixture
def quick_to_start(weight_file):
    """Options of a process, which shares neither weights nor programs: a file, and one layer."""
    layers = ["--content-layers", "relu1_1", "--style-layers", "relu1_1"]
    return ["--weights", str(weight_file), *layers]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "nst_jax", *arguments]


@pytest.mark.slow
def test_a_reader_that_leaves_stops_no_run(pictures, quick_to_start, tmp_path):
    process = subprocess.Popen(
        command("stylize", *pictures, "--output", str(tmp_path / "out.png"), "--steps", "2",
                *quick_to_start),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=120) == 0, err
    assert pixels(tmp_path / "out.png").shape == (32, 40, 3)


@pytest.mark.parametrize("arguments", ["--version", "--help", "stylize --help"])
def test_a_closed_pipe_is_no_error(arguments):
    with subprocess.Popen(
        command(*arguments.split()), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [("stylize c.png s.png -o out.png", 2), ("stylize", 2), ("show missing.h5", 1)],
)
def test_an_error_that_nobody_reads_is_still_that_error(arguments, code):
    """As of `2>&1 | head`."""
    with subprocess.Popen(command(*arguments.split()), stderr=subprocess.PIPE) as process:
        process.stderr.close()
    assert process.returncode == code


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seconds", "number", "code"), [(0.1, signal.SIGTERM, 143), (1.0, signal.SIGINT, 130)]
)
def test_a_signal_before_the_first_step_ends_in_one_line(seconds, number, code, pictures, tmp_path):
    process = subprocess.Popen(
        command("stylize", *pictures, "--output", str(tmp_path / "out.png"), *RANDOM),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(seconds)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    # On a busy machine the interpreter itself may not have started: the system ends it.
    assert process.returncode == code or (seconds < 1 and process.returncode == -number)
    assert "Traceback" not in err


def test_output_need_not_be_a_stream_of_bytes(monkeypatch):
    """As where another program runs the command inside itself."""
    output = io.StringIO()
    monkeypatch.setattr(sys, "argv", ["nst-jax", "--version"])
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as exit_info:
        main.main()
    assert exit_info.value.code == 0
    assert output.getvalue() == f"nst-jax {nst_jax.__version__}\n"


def test_help_answers_without_importing_jax():
    code = (
        "import sys; from nst_jax.command.cli import main\n"
        "try: main(['stylize', '--help'])\n"
        "except SystemExit as e: assert e.code == 0\n"
        "heavy = {'jax', 'flax', 'h5py', 'PIL', 'matplotlib', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--learning-rate" in done.stdout


def start_long_run(pictures, options, tmp_path) -> subprocess.Popen:
    """A run of very many steps, returned once its log holds some."""
    log = tmp_path / "run.h5"
    process = subprocess.Popen(
        command(
            "stylize", *pictures, "--output", str(tmp_path / "out.png"), "--log", str(log),
            "--steps", "100000", *options,
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if log.exists() and len(runlog.load(log).rows.step):
            return process
        assert process.poll() is None, process.communicate()
        time.sleep(0.2)
    process.kill()
    raise AssertionError("no step was logged within two minutes")


@pytest.mark.slow
def test_a_signal_keeps_picture_and_log(pictures, quick_to_start, tmp_path):
    process = start_long_run(pictures, quick_to_start, tmp_path)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 143, err
    assert "interrupted" in out
    assert "out.png" in out
    record = runlog.load(tmp_path / "run.h5")
    assert record.status == "interrupted"
    np.testing.assert_array_equal(pixels(tmp_path / "out.png"), record.images[0])


@pytest.mark.slow
def test_a_log_is_readable_while_running_and_after_a_kill(pictures, quick_to_start, tmp_path):
    process = start_long_run(pictures, quick_to_start, tmp_path)
    assert cli.main(["plot", str(tmp_path / "run.h5")]) == 0
    process.kill()
    process.communicate()
    record = runlog.load(tmp_path / "run.h5")
    assert record.status == "running"
    assert np.isfinite(record.rows.total).all()
    assert len(record.rows.total) == len(record.rows.step) > 0
    assert cli.main(["plot", str(tmp_path / "run.h5"), "--force"]) == 0


# Habits


@pytest.mark.parametrize(
    ("level", "informs", "warns"),
    [
        ("debug", True, True),
        ("info", True, True),
        ("warning", False, True),
        ("error", False, False),
    ],
)
def test_log_level_says_less_or_more(
    level, informs, warns, pictures, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("nst_jax.system.environment.unused_gpu", lambda: "a GPU is idle")
    assert stylize(pictures, tmp_path, "--steps", "1", "--log-level", level) == 0
    captured = capsys.readouterr()
    assert ("device: CPU" in captured.out) == informs
    assert bool(captured.out) == informs
    assert ("WARNING: a GPU is idle" in captured.err) == warns


def test_log_level_debug_shows_where_an_error_arose_in_its_own_call_alone(tmp_path, capsys):
    missing = str(tmp_path / "run.h5")
    with pytest.raises(FileNotFoundError):
        cli.main(["show", missing, "--log-level", "debug"])
    assert cli.main(["show", missing]) == 1
    assert "no such file" in capsys.readouterr().err


def test_the_verdict_of_rerun_is_said_at_every_level(pictures, tmp_path, capsys):
    log = tmp_path / "run.h5"
    stylize(pictures, tmp_path, "--steps", "2", *NOISE, "--log", str(log))
    capsys.readouterr()
    assert cli.main(["rerun", str(log), "--log-level", "error"]) == 0
    assert capsys.readouterr().out == f"{log}: the same bytes\n"


def test_a_warning_of_a_library_is_one_line(tmp_path):
    code = "import warnings, sys\nfrom nst_jax.command import cli, main\n"
    code += "cli.main = lambda: warnings.warn('beware') or 0\nmain.main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "WARNING: beware\n"


def test_log_level_goes_before_the_command_too_and_spares_what_was_asked_for(capsys):
    assert cli.main(["--log-level", "error", "weights", "info", "--weights", "random"]) == 0
    assert "random" in capsys.readouterr().out


def test_an_unknown_log_level_is_refused(capsys):
    with pytest.raises(SystemExit) as exit_info:
        cli.main(["show", "run.h5", "--log-level", "chatty"])
    assert exit_info.value.code == 2
    assert "chatty" in capsys.readouterr().err


def in_a_terminal(command: list[str], **environ: str) -> bytes:
    """What a command shows where its output is a terminal."""
    leader, follower = os.openpty()
    termios.tcsetwinsize(follower, (24, 80))
    process = subprocess.Popen(
        command,
        stdout=follower,
        stderr=follower,
        env={k: v for k, v in os.environ.items() if k != "NO_COLOR"} | {"TERM": "xterm"} | environ,
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            shown += os.read(leader, 65536)
        except OSError:  # how Linux tells that the other end has closed
            break
    os.close(leader)
    assert process.wait() == 0
    return shown


@pytest.mark.skipif(termios is None, reason="no terminals to be had")
def test_no_color_is_heeded():
    """https://no-color.org"""
    command = [sys.executable, "-m", "nst_jax", "--help"]
    assert b"\x1b[" in in_a_terminal(command)
    assert b"\x1b[" not in in_a_terminal(command, NO_COLOR="1")


# Twice in one process: as it is, and where less is to be said.
TWICE = """
import sys
from nst_jax.command import cli
cli.main(sys.argv[1:])
print("again", flush=True)
cli.main([*sys.argv[1:], "--log-level", "warning"])
"""


@pytest.mark.slow
@pytest.mark.skipif(termios is None, reason="no terminals to be had")
def test_a_progress_bar_is_for_terminals(pictures, quick_to_start, tmp_path, capfd):
    output = str(tmp_path / "out.png")
    options = [*pictures, "--output", output, *quick_to_start, "--steps", "2"]
    arguments = ["stylize", *options, "--force"]
    shown, _, quiet = in_a_terminal([sys.executable, "-c", TWICE, *arguments]).partition(b"again")
    assert b"2/2" in shown
    assert b"2/2" not in quiet
    assert (tmp_path / "out.png").exists()
    assert cli.main(arguments) == 0
    piped = capfd.readouterr()
    assert piped.err == ""
    assert "\r" not in piped.out


COMPLETE = """
source {script}
function_of() {{ complete -p nst-jax | sed 's/.*-F \\([^ ]*\\).*/\\1/'; }}
COMP_WORDS=({words}); COMP_CWORD={last}; COMP_LINE="{words}"; COMP_POINT=${{#COMP_LINE}}
$(function_of) nst-jax "${{COMP_WORDS[COMP_CWORD]}}"
printf '%s\\n' "${{COMPREPLY[@]}}" "${{#COMPREPLY[@]}}"
"""


def completions(words: str, tmp_path, capsys) -> list[str]:
    with pytest.raises(SystemExit) as exit_info:
        cli.main(["--tyro-print-completion", "bash"])
    assert not exit_info.value.code
    script = tmp_path / "nst-jax.bash"
    script.write_text(capsys.readouterr().out)
    code = COMPLETE.format(script=script, words=words, last=len(words.split()) - 1)
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("nst-jax sty", "stylize"),
        ("nst-jax stylize --opt", "--optimizer"),
        ("nst-jax we", "weights"),
    ],
)
def test_bash_completes_commands_and_options(words, expected, tmp_path, capsys):
    assert expected in completions(words, tmp_path, capsys)


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
def test_bash_completes_pictures(tmp_path, capsys):
    """Bash falls back to the names of files where it is offered nothing, if it is allowed to."""
    assert completions("nst-jax stylize portr", tmp_path, capsys) == ["0"]
    script = tmp_path / "nst-jax.bash"
    registered = ["bash", "-c", f"source {script}; complete -p nst-jax"]
    answer = subprocess.run(registered, capture_output=True, text=True, check=True)
    assert "-o default" in answer.stdout
