"""Every example of README.md and of the pages runs as it is printed, but for sizes and steps."""

import ast
import re
import shlex
import tomllib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
TOP = ("README.md", "CONTRIBUTING.md", "weights/README.md")
PAGES = [
    path.relative_to(ROOT).as_posix()
    for path in [*map(ROOT.joinpath, TOP), *sorted(ROOT.glob("docs/**/*.md"))]
]
# A page's Python blocks share one namespace; `console` shows what comes out; `text` is no code. A
# block that begins with the name of a file, `# mine.toml`, is written there.
LANGUAGES = ("python", "toml", "sh", "console", "text", "math")

# What an example costs is reduced to what a test may cost. Nothing else is changed.
REDUCED = {
    r"(\bsize=|--size )\d+": r"\g<1>32",
    r"(\b(?:num_)?steps=|--steps )\d+": r"\g<1>4",
    r"--snapshot-every \d+": "--snapshot-every 2",
    # Scaled to the last one, the first of many would be too small for the network.
    r"--stages(?: \d+:\d+){3,}": "--stages 24:2 32:2",
    r"\b(\d{2,3}:)\d{2,3}(?=[, \n])": r"\g<1>2",
    r"relu[345]_\d": "relu1_2",
    r"block3_conv1": "block1_conv2",
}
ADDED = {
    "--size": "32",
    "--steps": "4",
}
# Of the default objective alone: a file has layers of its own, and so has a preset with terms.
ADDED_LAYERS = {"--content-layers": "relu1_2", "--style-layers": "relu1_1"}
# Only read: they want a cluster, the network, a file that nobody has, or compile a whole VGG
# (`test_estimate` and `test_check` do).
NOT_RUN = ("--distributed", "fetch", "convert", "plan", "check")


class Block(NamedTuple):
    line: int
    language: str
    code: str


def blocks_of(page: str) -> list[Block]:
    """The blocks of a page as they run."""
    text = (ROOT / page).read_text()
    for pattern, replacement in REDUCED.items():
        text = re.sub(pattern, replacement, text)
    return [
        # A block without a language is a command.
        Block(text[: match.start()].count("\n") + 2, match[2] or "sh", match[3])
        for match in re.finditer(r"^( *)```([^\n`]*)\n(.*?)^\1```$", text, re.DOTALL | re.MULTILINE)
    ]


def runs(page: str) -> bool:
    return any(block.language in ("python", "console", "sh") for block in blocks_of(page))


@pytest.fixture
def folder(tmp_path, monkeypatch, quick_to_compile):
    """Where an example runs: a folder with pictures; the networks have learned nothing."""
    from nst_jax import feedforward, weights
    from nst_jax.image import samples

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("NST_JAX_WEIGHTS", "random")
    names = ("portrait.jpg", "painting.jpg", "waves.jpg")
    for name, path in zip(names, (samples.PORTRAIT, *[samples.PAINTING] * 2), strict=True):
        with Image.open(path) as picture:
            picture.convert("RGB").resize((48, 48)).save(tmp_path / name)
    shapes = feedforward.parameter_shapes(feedforward.Architecture(width=1, residuals=1))
    params = {x: {y: np.ones(z, np.float32) for y, z in own.items()} for x, own in shapes.items()}
    network = weights.Feedforward(params, "resize", {"licence": "none"})
    weights.save_feedforward(tmp_path / "wave.h5", network)
    return tmp_path


RUN_ELSEWHERE = "docs/how-to/perceptual-loss.md"
"""By `test_use_from_jax`, on several devices."""


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if runs(page) and page != RUN_ELSEWHERE])
def test_the_examples_of_a_page_run(page, folder, capsys):
    scope: dict = {}
    for block in blocks_of(page):
        where = f"{page}, line {block.line}"
        if file := re.match(r"# ([\w-]+\.(?:py|toml))\n", block.code):
            Path(file[1]).write_text(block.code)
        if block.language == "python":
            code = "\n" * (block.line - 1) + block.code
            exec(compile(code, ROOT / page, "exec"), scope)
        elif block.language == "sh":
            for command in _joined(block.code).splitlines():
                code, said = run(command, capsys)
                assert code == 0, f"{where}: {command}\n{said}"
        elif block.language == "console":
            for shown in re.split(r"^\$ ", _joined(block.code), flags=re.MULTILINE)[1:]:
                command, _, expected = shown.partition("\n")
                said = run(command, capsys)[1]
                assert _matches(said, expected), f"{where}: {command}\n{said}"


def run(command: str, capsys) -> tuple[int, str]:
    """Exit code and output of a line of a shell; what is not ours is only checked.

    Raises:
      AssertionError: it names something that does not exist, or there is no rule for it.
    """
    match shlex.split(command, comments=True):
        case []:
            pass
        case ["nst-jax", *arguments, ">", file]:
            code, output = run_ours(arguments, capsys)
            Path(file).write_text(output)
            return code, ""
        case [("nst-jax" | ".venv/bin/nst-jax"), *arguments]:
            return run_ours(arguments, capsys)
        case ["make", *arguments]:
            targets = [argument for argument in arguments if "=" not in argument]
            assert targets, command
            assert set(targets) <= make_targets(), command
        case ["pip", *packages] | ["python", "-m", "pip", *packages]:
            for extras in re.findall(r"(?:nst_jax|\.|\.whl)\[(.*?)\]", " ".join(packages)):
                assert set(extras.split(",")) <= set(project()["optional-dependencies"]), command
        case ["python", script, *_]:
            assert (ROOT / script).is_file(), command
        case ["export", setting]:
            name = setting.partition("=")[0]
            assert any(name in path.read_text() for path in ROOT.glob("nst_jax/**/*.py")), command
        case ["srun", *rest]:
            ours = rest.index("nst-jax")
            return run(shlex.join(rest[ours:]), capsys)
        case [("git" | "cd"), *_]:
            pass
        case _:
            raise AssertionError(f"no rule for the command {command!r}")
    return 0, ""


def run_ours(arguments: list[str], capsys) -> tuple[int, str]:
    from nst_jax.command import cli

    if set(arguments) & set(NOT_RUN):
        cli._parse(arguments)
        return 0, ""
    if arguments[0] in ("stylize", "sweep", "video"):
        added = ADDED if _has_own_layers(arguments) else ADDED | ADDED_LAYERS
        # A preset may have stages, beside which --steps are refused.
        if {"--stages", "--preset"} & set(arguments):
            added = {"--stages": "24:2"} | {x: y for x, y in added.items() if x != "--steps"}
        for option, value in added.items():
            arguments += [] if option in arguments else [option, value]
    capsys.readouterr()
    try:
        code = cli.main(arguments)
    except SystemExit as exit_:  # --help and the like
        code = exit_.code or 0
    printed = capsys.readouterr()
    return code, printed.out + printed.err


def _has_own_layers(arguments: list[str]) -> bool:
    from nst_jax import presets

    famous = {name for name in presets.names() if presets.load(name).terms}
    return "--objective" in arguments or not famous.isdisjoint(arguments)


def _joined(commands: str) -> str:
    return re.sub(r"\\\n\s*", "", commands)


def _matches(output: str, expected: str) -> bool:
    """Whether the lines shown come out, in this order; `...` stands for anything in a line."""
    pattern = r"(?:.*\n)*?".join(
        ".*".join(map(re.escape, line.split("..."))) + r"\n" for line in expected.splitlines()
    )
    return re.search("^" + pattern, output, re.MULTILINE) is not None


@cache
def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@cache
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.mark.slow
def test_the_schema_on_the_page_is_that_of_a_log(folder, capsys):
    command = "nst-jax sweep portrait.jpg painting.jpg waves.jpg --log run.h5 --optimizers adam"
    assert run(command, capsys)[0] == 0
    described = {}
    for names, what in re.findall(
        r"^\| (`.*?) \| (.*?) \|", (ROOT / "docs/run-log.md").read_text(), re.MULTILINE
    ):
        first, *others = re.findall(r"`([^`]+)`", names)
        parent = first[: first.rfind("/") + 1]
        described |= {first: what, **{parent + name: what for name in others}}
    with h5py.File("run.h5") as file:
        datasets = {}
        file.visititems(lambda name, item: datasets.update({f"/{name}": item}))
        datasets = {name: item for name, item in datasets.items() if hasattr(item, "dtype")}
        terms = file["terms"].asstr()[:]
        found = {_in_the_table(name, terms): item for name, item in datasets.items()}
        # This run has one content, no further pictures, terms of several layers, stages, judges or
        # pictures of 16 bits.
        absent = {
            *("/references/NAME", "/masks/NAME", "/part_losses/TERM", "/part_weights/TERM"),
            *("/stages/height", "/stages/width", "/stages/stop", "/metrics/METRIC"),
            *("/images/content_2", "/images/final_16", "alexnet_sha256", "squeezenet_sha256"),
        }
        assert set(described) - absent == {*found, *file.attrs}
        for name, dataset in found.items():
            shape, kind = re.fullmatch(r"(\(.*\)) (\w+)", described[name]).groups()
            assert len(re.findall(r"\w+", shape)) == dataset.ndim, name
            assert kind == ("string" if dataset.dtype.kind in "SO" else dataset.dtype.name), name


def _in_the_table(path, terms):
    """As the page has it: `/weights/style` is `/weights/TERM`, but `/images/style` itself."""
    group, _, name = path.rpartition("/")
    of_terms = name in terms and group not in ("/images", "/variants")
    return f"{group}/TERM" if of_terms else path


def test_the_recipe_for_pandas_keeps_variants_of_one_label_apart(tmp_path, monkeypatch):
    """As of older logs, and of styles of one name in different folders."""
    import hostile

    monkeypatch.chdir(tmp_path)
    hostile.write_log(Path("sweep.h5"))
    with h5py.File("sweep.h5", "r+") as file:
        file["variants/label"][:] = "same"
    by_hand, recipe = (
        block.code
        for block in blocks_of("docs/run-log.md")
        if "import h5py" in block.code or "import pandas" in block.code
    )
    scope: dict = {}
    exec(by_hand.partition("\nassert ")[0], scope)
    exec(recipe.partition("\nlast = ")[0], scope)
    assert scope["table"].groupby("variant").size().tolist() == [6, 6]
    assert scope["table"].seed.tolist() == [0, 1] * 6


def test_the_errors_that_are_explained_are_those_that_are_said():
    sources = "".join(path.read_text() for path in ROOT.glob("nst_jax/**/*.py"))
    said = re.sub(r'"\n\s*f?"', "", sources)
    table = (ROOT / "docs/getting-started.md").read_text().partition("| message |")[2]
    messages = re.findall(r"^\| ([^-|]+) \|", table, re.MULTILINE)
    assert len(messages) == 7
    for message in messages:
        assert all(part.strip() in said for part in message.split("...")), message


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_only_what_exists(page):
    """Languages of blocks; commands, targets, extras and files within sentences."""
    from nst_jax.command import cli

    text = (ROOT / page).read_text()
    assert {block.language for block in blocks_of(page)} <= set(LANGUAGES)
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= make_targets()
    for extras in re.findall(r"nst_jax\[([a-z,]+)\]", text):
        assert set(extras.split(",")) <= set(project()["optional-dependencies"])
    for path in re.findall(r"`((?:\w+/)+\w+\.(?:py|md|ipynb))", text):
        assert (ROOT / path).is_file(), path
    for command in set(re.findall(r"`nst-jax ([a-z]+)", text)):
        with pytest.raises(SystemExit) as exit_info:
            cli.main([command, "--help"])
        assert exit_info.value.code == 0, command


def test_rooms_import_from_the_floors_below_them_as_drawn():
    """The drawing of docs/design.md: each room of the package, on floors from the top down."""
    lines = (ROOT / "docs/design.md").read_text().partition("## Rooms")[2].splitlines()
    floors = [re.findall(r"\w+", line.partition("│")[2]) for line in lines if "│" in line]
    depth = {room: floor for floor, rooms in enumerate(floors) for room in rooms}
    package = ROOT / "nst_jax"
    files = [path for path in package.rglob("*.py") if path.name != "__main__.py"]
    rooms = {path: path.relative_to(package).parts[0].removesuffix(".py") for path in files}
    assert set(depth) == set(rooms.values()) - {"__init__"}
    for path, room in rooms.items():
        for other in imported_rooms(path) & set(depth) - {room}:
            assert depth[other] > depth.get(room, -1), f"{path}: {other}"


def imported_rooms(path: Path) -> set[str]:
    """The modules and folders at the top of the package that a file imports from, anywhere."""
    nodes = ast.walk(ast.parse(path.read_text()))
    found = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    names = [f"{node.module}.{alias.name}".split(".") for node in found for alias in node.names]
    return {parts[1] for parts in names if parts[0] == "nst_jax"}


def test_contributing_names_only_files_and_folders_that_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"`([\w.-]+/[\w./-]*|[\w-]+\.\w+)`", text))
    assert len(named) > 20
    in_any_folder_or_built = {"__init__.py", "dist/"}
    assert [path for path in named - in_any_folder_or_built if not (ROOT / path).exists()] == []
