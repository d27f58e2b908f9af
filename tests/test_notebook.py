"""The notebook: run from end to end at a tiny size, and what its file must not hold."""

import base64
import io
import json
import os
import re
import subprocess
import sys
import types
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbclient import NotebookClient
from PIL import Image

import nst_jax
from nst_jax import runlog

ROOT = Path(__file__).resolve().parents[1]
PATH = ROOT / "notebooks" / "nst_jax_colab.ipynb"
FIGURES = {"pictures": 1, "curves": 2, "sweep-curves": 2, "own": 2, "features": 1}
TINY = {"SIZE": 32, "STEPS": 3, "LEARNING_RATES": "0.01, 0.05", "LAYER": "block1_conv1"}
# As the fixture `shallow` does.
SHALLOW = """
layers = {"content_layers": ("relu2_1",), "style_layers": ("relu1_1", "relu2_1")}
config = replace(config, **layers)
"""


def notebook_with(**settings):
    """The notebook with other values in its form, as a user would choose them."""
    notebook = nbformat.read(PATH, as_version=4)
    cell = cell_of(notebook, "settings")
    for name, value in settings.items():
        pattern = rf"^{name} = .*?(?=  # @param)"
        cell.source, count = re.subn(pattern, f"{name} = {value!r}", cell.source, flags=re.M)
        assert count == 1, name
    return notebook


def cell_of(notebook, name):
    (cell,) = (cell for cell in notebook.cells if cell.id == name)
    return cell


def execute(notebook, names, scope):
    """Runs some cells in this process; returns the variables they leave."""
    for name in names:
        code = TransformerManager().transform_cell(cell_of(notebook, name).source)
        exec(compile(code, name, "exec"), scope)
    return scope


def decode(png):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB"))


class Client(NotebookClient):
    """Also keeps every picture that replaces another on the page."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.frames = []

    def process_message(self, msg, cell, cell_index):
        data = msg["content"].get("data", {})
        if msg["msg_type"] == "update_display_data" and "image/png" in data:
            self.frames.append(decode(data["image/png"]))
        return super().process_message(msg, cell, cell_index)


@pytest.mark.slow
def test_all_cells_do_what_they_say(tmp_path):
    done = run_all(tmp_path)
    check_texts(done)
    check_growth(done)
    check_runs(done)
    check_own_objective(done)
    check_figures(done)


def run_all(folder):
    """The notebook after all its cells have run: texts and pictures by cell, and frames."""
    notebook = notebook_with(**TINY)
    # As the fixture `quick_to_compile` does, in the notebook's own process.
    quick = "import nst_jax.vgg\nnst_jax.vgg.fastest_convolutions = lambda precision: 'plain'"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(quick, id="quick"))
    after = notebook.cells.index(cell_of(notebook, "run")) + 1
    notebook.cells.insert(after, nbformat.v4.new_code_cell(SHALLOW, id="shallow"))
    client = Client(notebook, timeout=300, resources={"metadata": {"path": str(folder)}})
    environment = {
        "NST_JAX_WEIGHTS": "random",
        "PYTHONPATH": str(ROOT),
        "IPYTHONDIR": str(folder / "ipython"),
        "JAX_PLATFORMS": "cpu",
    }
    client.execute(env={**os.environ, **environment})
    cells = [cell for cell in client.nb.cells if cell.cell_type == "code"]
    return SimpleNamespace(
        folder=folder / "out" / "notebook",
        frames=client.frames,
        texts={cell.id: "\n".join(map(text_of, cell.outputs)) for cell in cells},
        pictures={cell.id: pictures_of(cell) for cell in cells},
    )


def text_of(output):
    return output.get("text") or output.get("data", {}).get("text/markdown", "")


def pictures_of(cell):
    data = [output.get("data", {}) for output in cell.outputs]
    return [decode(each["image/png"]) for each in data if "image/png" in each]


def check_texts(done):
    assert done.texts["install"] == ""
    assert done.texts["device"].startswith("CPU, ")
    assert "32 pixels, 3 steps" in done.texts["device"]
    assert "these weights are random" in done.texts["weights"]
    assert re.search(r"step 12, loss [\d.]+", done.texts["stylize"])
    assert str(done.folder / "stylized.png") in done.texts["download"]


def check_growth(done):
    """The picture grows, from the first stage on, until it is the one that is saved."""
    with Image.open(done.folder / "stylized.png") as saved:
        assert saved.size == (27, 32)
        result = np.asarray(saved)
    assert len(done.frames) >= 2
    assert all(frame.shape == result.shape for frame in done.frames)
    assert not np.array_equal(done.frames[0], result)
    np.testing.assert_array_equal(done.frames[-1], result)
    np.testing.assert_array_equal(done.pictures["stylize"][0], result)


def check_runs(done):
    record = runlog.load(done.folder / "run.h5")
    assert record.status == "finished"
    assert [max(stage[:2]) for stage in record.stages] == [16, 32]
    assert record.stages[-1].stop == 12
    sweep = runlog.load(done.folder / "sweep.h5")
    assert [variant.label for variant in sweep.variants] == ["adam 0.01", "adam 0.05"]
    assert len(json.loads(sweep.attributes["plans_json"])) == 1, "one program"
    totals = sweep.rows.total
    assert totals.shape == (3, 2)
    assert totals[0, 0] == pytest.approx(totals[0, 1], rel=1e-5)
    assert totals[-1, 0] != totals[-1, 1]
    assert (totals[-1] < totals[0]).all()
    assert "adam 0.05" in (done.folder / "sweep.html").read_text()


def check_own_objective(done):
    own = runlog.load(done.folder / "own.h5")
    assert own.terms == ("content", "style", "smooth")
    assert own.rows.total[-1, 0] < own.rows.total[0, 0]


def check_figures(done):
    for cell, count in FIGURES.items():
        figures = done.pictures[cell]
        assert len(figures) == count, cell
        for figure in figures:
            assert min(figure.shape[:2]) > 200
            assert figure.std() > 10, "not an empty page"


@pytest.fixture
def colab(monkeypatch, tmp_path):
    """Colab's module, as far as the notebook uses it; `downloaded` and what the user uploads."""
    files = types.ModuleType("google.colab.files")
    files.downloaded = []
    files.download = files.downloaded.append

    def upload():
        name = f"upload-{len(list(tmp_path.iterdir()))}.png"
        Image.fromarray(np.full((20, 40, 3), 99, np.uint8)).save(tmp_path / name)
        return {name: (tmp_path / name).read_bytes()}

    files.upload = upload
    google, module = types.ModuleType("google"), types.ModuleType("google.colab")
    google.colab, module.files = module, files
    for name, value in (("google", google), ("google.colab", module)):
        monkeypatch.setitem(sys.modules, name, value)
    monkeypatch.chdir(tmp_path)
    return files


def test_pictures_are_uploaded_and_downloaded_in_colab(colab):
    notebook = notebook_with(CONTENT="upload", STYLE="upload")
    scope = execute(notebook, ["settings", "pictures"], {"size": 30})
    assert [scope["content"], scope["style"]] == [Path("upload-0.png"), Path("upload-1.png")]
    assert scope["pair"][0].shape == (15, 30, 3)
    execute(notebook, ["download"], {"config": SimpleNamespace(output=Path("out.png"))})
    assert colab.downloaded == ["out.png"]


def test_a_picture_may_be_named(tmp_path):
    path = tmp_path / "mine.png"
    Image.fromarray(np.zeros((20, 40, 3), np.uint8)).save(path)
    scope = execute(notebook_with(CONTENT=str(path)), ["settings", "pictures"], {"size": 30})
    assert scope["content"] == path
    assert scope["style"].name == "painting.png"


@pytest.mark.parametrize(
    ("package", "device", "expected"),
    [
        ("nst_jax.whl", "cpu", "nst_jax.whl"),
        ("nst_jax.whl", "gpu", "nst_jax.whl[cuda]"),
        ("git+https://host/x", "gpu", "nst_jax[cuda] @ git+https://host/x"),
        ("https://host/nst_jax.whl", "tpu", "nst_jax[tpu] @ https://host/nst_jax.whl"),
    ],
)
def test_what_is_installed_suits_the_device(package, device, expected, monkeypatch):
    for name in ("TPU_NAME", "TPU_ACCELERATOR_TYPE", "COLAB_TPU_ADDR"):
        monkeypatch.delenv(name, raising=False)
    if device == "tpu":
        monkeypatch.setenv("TPU_ACCELERATOR_TYPE", "v5e-1")
    monkeypatch.setattr("shutil.which", lambda name: "nvidia-smi" if device == "gpu" else None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    asked = []
    scope: dict = {"PACKAGE": package}
    # IPython fills the notebook's variables in the same way.
    scope["get_ipython"] = lambda: SimpleNamespace(
        run_line_magic=lambda name, line: asked.append((name, line.format(**scope)))
    )
    execute(notebook_with(), ["install"], scope)
    assert asked == [("pip", f'install --quiet "{expected}"')]


def test_the_default_package_is_this_version():
    scope = execute(notebook_with(), ["settings"], {})
    assert scope["PACKAGE"] == f"nst_jax-{nst_jax.__version__}-py3-none-any.whl"


def test_the_file_is_valid_and_clean():
    text = PATH.read_text()
    notebook = nbformat.reads(text, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    assert "accelerator" not in notebook.metadata, "the user chooses"
    assert not re.search(r"/(home|Users|root|work|tmp|mnt|content|opt)/|[A-Z]:\\\\", text)


def test_every_cell_is_short_and_told_about():
    cells = nbformat.read(PATH, as_version=4).cells[1:]
    for told, cell in zip(cells[::2], cells[1::2], strict=True):
        assert (told.cell_type, cell.cell_type) == ("markdown", "code")
        assert told.id == f"about-{cell.id}"
        assert len(cell.source.splitlines()) <= 26, cell.id


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]])
def test_its_code_is_in_style(command):
    pytest.importorskip("ruff")
    answer = subprocess.run(
        [sys.executable, "-m", "ruff", *command, str(PATH)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout
