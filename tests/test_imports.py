"""What importing costs: nothing that was not asked for, and no device."""

import ast
import graphlib
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import nst_jax

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "nst_jax" / "__init__.py"
LIBRARIES = ["PIL", "flax", "h5py", "jax", "matplotlib", "numpy", "optax", "pooch", "tqdm"]


def in_a_fresh_interpreter(code):
    """What `code` leaves in `result`, run by an interpreter that has imported nothing yet."""
    program = f"import json, sys\n{code}\nprint(json.dumps(result))"
    command = [sys.executable, "-W", "error", "-c", program]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def libraries_of(statement):
    """Those of `LIBRARIES` that an import brings."""
    return in_a_fresh_interpreter(
        f"{statement}\nresult = [x for x in {LIBRARIES} if x in sys.modules]"
    )


def test_the_package_brings_nothing():
    assert libraries_of("import nst_jax") == []


@pytest.mark.parametrize(
    "statement", ["import nst_jax.losses", "from nst_jax import losses, gram_matrix"]
)
def test_losses_bring_jax_alone(statement):
    assert libraries_of(statement) == ["jax", "numpy"]


def test_choices_bring_nothing():
    assert libraries_of("import nst_jax.choices") == []


def test_importing_starts_no_device():
    """A constant made with `jnp.array` would."""
    started = in_a_fresh_interpreter(
        "from nst_jax import losses, objective, optimizers, vgg, driver\n"
        "from jax._src import xla_bridge\n"
        "result = list(xla_bridge._backends)"
    )
    assert started == []


def test_this_way_of_seeing_a_device_sees_one():
    started = in_a_fresh_interpreter(
        "import jax\n"
        "jax.numpy.zeros(1)\n"
        "from jax._src import xla_bridge\n"
        "result = list(xla_bridge._backends)"
    )
    assert started != []


def modules():
    """The files of the package by the names of their modules."""
    files = {}
    for file in sorted(SOURCE.parent.rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        files[".".join(parts).removesuffix(".__init__")] = file
    return files


def imports():
    """Which modules each module imports, also inside functions; without the face of the whole."""
    files = modules()
    found = {name: set() for name in files if name != "nst_jax"}
    for name, imported in found.items():
        for module, taken in imports_of(files[name]):
            paths = {f"{module}.{each}" for each in taken} or {module}
            imported |= {path if path in files else module for path in paths}
    return found


def imports_of(file):
    """What a file imports of the package: modules, and the names that are taken from each."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "nst_jax":
            yield node.module, [alias.name for alias in node.names]
        if isinstance(node, ast.Import):
            yield from ((a.name, []) for a in node.names if a.name.startswith("nst_jax."))


def test_no_modules_import_each_other_in_a_circle():
    graphlib.TopologicalSorter(imports()).prepare()


def test_the_library_imports_no_machinery():
    """The library lies at the top of the package, in `losses`, `terms`, `strips` and `metrics`."""
    rooms = {path.name for path in SOURCE.parent.iterdir() if path.is_dir()}
    rooms -= {"losses", "terms", "strips", "metrics"}
    into = [
        (name, other)
        for name, imported in imports().items()
        for other in imported
        if name.split(".")[1] not in {*rooms, "__main__"} and other.split(".")[1] in rooms
    ]
    assert into == []


def test_scripts_import_what_is_public():
    """Of a room what its face names; of the library every module."""
    files = modules()
    faces = {
        name: importlib.import_module(name).__all__
        for name, file in files.items()
        if file.name == "__init__.py" and name != "nst_jax"
    }
    for script in [*ROOT.glob("experiments/**/*.py"), *ROOT.glob("weights/*.py")]:
        for node in ast.walk(ast.parse(script.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nst_jax."):
                room, _, module = node.module.removeprefix("nst_jax.").partition(".")
                taken = [module] if module else [alias.name for alias in node.names]
                public = faces.get(f"nst_jax.{room}", taken)
                assert set(taken) <= set(public), f"{script.name}: {ast.unparse(node)}"


def test_settings_end_at_the_door():
    """`runs.preparation` is the door: what it makes of a config, and the log, know none.

    A term as a plain value is no config: log and page have it too.
    """
    plain = {"PLACES", "TermSpec", "Terms"}
    above = {"again", "checks", "contents", "elsewhere", "extension", "grid", "hosts"}
    above |= {"frames", "preparation", "resumption", "run", "together", "video"}
    for name, file in modules().items():
        folder, _, room = name.removeprefix("nst_jax.").partition(".")
        if name == "nst_jax" or folder in ("config", "presets", "command") or room in above:
            continue
        for module, taken in imports_of(file):
            assert not (module == "nst_jax" and "config" in taken), name
            assert not module.startswith("nst_jax.config") or {*taken} <= plain, name


@pytest.mark.parametrize("name", nst_jax.__all__)
def test_every_public_name_resolves(name):
    assert getattr(nst_jax, name) is not None


def faces():
    """The package, and of its folders those that are public: their `__init__.py` by their names."""
    folders = [getattr(nst_jax, name) for name in nst_jax.__all__]
    return {"nst_jax": nst_jax} | {x.__name__: x for x in folders if hasattr(x, "__path__")}


def test_the_page_of_public_names_lists_what_there_is():
    text = (ROOT / "docs" / "api" / "public-names.md").read_text()
    _, *sections = re.split(r"^## `([\w.]+)`$", text, flags=re.MULTILINE)
    listed = {
        module: sorted(re.findall(r"`(\w+)`", names))
        for module, names in zip(sections[::2], sections[1::2], strict=True)
    }
    there = {name: sorted(face.__all__) for name, face in faces().items()}
    assert len(there) == 12
    assert listed == there


def test_type_checkers_and_editors_find_the_same_names():
    block = next(node for node in ast.parse(SOURCE.read_text()).body if isinstance(node, ast.If))
    found = {
        alias.asname: f"{node.module}.{alias.name}" for node in block.body for alias in node.names
    }
    modules = {name: f"nst_jax.{path}" for name, path in nst_jax._MODULES.items()}
    names = {name: f"nst_jax.{module}.{name}" for name, module in nst_jax._NAMES.items()}
    assert found == modules | names


def test_names_are_those_of_their_modules():
    from nst_jax import losses, objective, solve, vgg

    assert nst_jax.gram_matrix is losses.gram_matrix
    assert nst_jax.make_objective is objective.make_objective
    assert nst_jax.extract_features is vgg.extract_features
    assert nst_jax.stylize is solve.stylize


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute `gramm_matrix`"):
        _ = nst_jax.gramm_matrix


def test_dir_lists_the_public_names():
    assert set(nst_jax.__all__) <= set(dir(nst_jax))
