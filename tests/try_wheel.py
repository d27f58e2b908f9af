"""Builds the wheel and the source archive into dist/, and tries the wheel as a stranger would.

    make wheel                                              # or: python tests/try_wheel.py
    make wheel ARGS="--pythons 3.13 --versions newest"
    make wheel ARGS=--ends

The wheel goes into fresh environments outside the checkout, one for each Python and each set of
dependencies: the oldest that pyproject.toml allows, and the newest that the index has.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Sequence
from email.parser import Parser
from pathlib import Path
from typing import Literal

import tyro

import nst_jax

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
MOST_BYTES = 2_000_000
# Of the source archive, beside the package.
BESIDE = {
    "CHANGELOG.md",
    "CITATION.cff",
    "LICENSE",
    "MANIFEST.in",
    "PKG-INFO",
    "README.md",
    "pyproject.toml",
    "setup.cfg",
}
# Variables that would lead pip and the commands back to the checkout, or to other settings.
HIDDEN = ("PYTHON", "NST_JAX", "JAX")

LAYERS = "--content-layers relu1_1 --style-layers relu1_1 relu2_1"
QUICK = f"{LAYERS} --size 32 --steps 2 --weights random"
# What a newcomer types, with the bundled painting for both pictures.
COMMANDS = (
    "nst-jax --version",
    "nst-jax --help",
    "nst-jax samples pictures",
    f"nst-jax stylize p.png p.png --init noise --output o.png --log r.h5 --figures f {QUICK}",
    "nst-jax show r.h5",
    "nst-jax plot r.h5 --figures again",
    "nst-jax report r.h5 --output r.html",
    f"nst-jax sweep p.png p.png --inits noise --log s.h5 --report s.html {QUICK}",
    "nst-jax features p.png --layer relu1_1 --output maps --size 32 --weights random",
    "nst-jax weights info --layers",
    "nst-jax check --size 32 --weights random --output check.json",
)
# What `nst-jax check` may find wrong: some CPUs do not repeat bfloat16 to the last bit.
OF_MACHINE = "two runs of the same settings give other bytes in bfloat16:"
RESULTS = {
    "again/overview.png",
    "check.json",
    "f/losses.png",
    "maps/block1_conv1_filters.png",
    "o.png",
    "pictures/painting.jpg",
    "pictures/portrait.jpg",
    "r.h5",
    "r.html",
    "s.h5",
    "s.html",
}
LOSSES_ALONE = """
import sys
import jax.numpy as jnp
from nst_jax.losses import gram_matrix
assert gram_matrix(jnp.ones((4, 5, 3))).shape == (3, 3)
assert "site-packages" in sys.modules["nst_jax"].__file__
assert not {"flax", "h5py", "optax", "PIL", "tqdm"} & set(sys.modules)
"""
PAINTING = """
import shutil
from importlib import resources
package = resources.files("nst_jax")
assert (package / "py.typed").is_file()
shutil.copy(package / "data" / "painting.png", "p.png")
"""


def main(
    pythons: tuple[str, ...] = (),
    versions: tuple[Literal["oldest", "newest"], ...] = ("oldest", "newest"),
    ends: bool = False,
) -> None:
    """Build the wheel and the source archive, and try the wheel in fresh environments.

    Args:
      pythons: such as 3.12 (default: those of the classifiers).
      versions: of the dependencies.
      ends: only the first Python with the first versions, and the last with the last.
    """
    wheel, archive = build()
    check_contents(wheel, archive)
    check_metadata(wheel)
    found = find_pythons(pythons or supported_pythons())
    tries = [(python, version) for python in found for version in versions]
    for python, version in (tries[0], tries[-1]) if ends else tries:
        start = time.perf_counter()
        try_in_fresh_environment(wheel, found[python], version)
        print(f"python {python}, {version}: {time.perf_counter() - start:.0f} s", flush=True)


def build() -> tuple[Path, Path]:
    """Makes dist/ anew; the wheel comes from the unpacked archive, so that it is tried too."""
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", dist, ROOT)
    (wheel,), (archive,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, archive)
    return wheel, archive


def check_contents(wheel: Path, archive: Path) -> None:
    """The whole package and nothing beside it, neither of them large."""
    package = package_files()
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expect("the files of the wheel", packed, package)
    with tarfile.open(archive) as file:
        names = {each.name.partition("/")[2] for each in file if each.isfile()}
    beside = {name for name in names - package if "nst_jax.egg-info/" not in name}
    expect("the package in the archive", names & package, package)
    expect("what is beside the package in the archive", beside, BESIDE)
    large = {path.name for path in (wheel, archive) if path.stat().st_size > MOST_BYTES}
    expect(f"what has more than {MOST_BYTES:,} bytes", large, set())


def package_files() -> set[str]:
    """The files of the package, as `nst_jax/...`."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "nst_jax").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def check_metadata(wheel: Path) -> None:
    """What a package index shows is what pyproject.toml says."""
    with zipfile.ZipFile(wheel) as file:
        (name,) = (name for name in file.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(file.read(name).decode())
    for field, value in {
        "Version": nst_jax.__version__,
        "License-Expression": PROJECT["license"],
        "Requires-Python": PROJECT["requires-python"],
        "Summary": PROJECT["description"],
        "Description-Content-Type": "text/markdown",
    }.items():
        expect(field, metadata[field], value)
    expect("Classifier", metadata.get_all("Classifier"), PROJECT["classifiers"])
    extras = set(PROJECT["optional-dependencies"])
    expect("Provides-Extra", set(metadata.get_all("Provides-Extra")), extras)
    readme = (ROOT / "README.md").read_text()
    expect("the description", metadata.get_payload().strip(), readme.strip())


def try_in_fresh_environment(wheel: Path, interpreter: Path, version: str) -> None:
    """Installs the wheel, then works in an empty folder that knows nothing of the checkout."""
    with tempfile.TemporaryDirectory(prefix="nst_jax-wheel-") as name:
        folder, environment = Path(name) / "empty", Path(name) / "environment"
        folder.mkdir()
        run(interpreter, "-m", "venv", environment)
        binaries = environment / ("Scripts" if os.name == "nt" else "bin")
        bounds = Path(name) / "constraints.txt"
        bounds.write_text("\n".join(oldest(PROJECT["dependencies"]) if version == "oldest" else []))
        install = ("-m", "pip", "install", "--quiet", "--only-binary=:all:", "-c", bounds)
        run(binaries / "python", *install, wheel)
        run(binaries / "python", "-m", "pip", "check")
        for code in (LOSSES_ALONE, PAINTING):
            run(binaries / "python", "-c", code, cwd=folder)
        for command in COMMANDS:
            first, *arguments = command.split()
            run(binaries / first, *arguments, cwd=folder, cache=Path(name), excused=OF_MACHINE)
        expect("the results", {name for name in RESULTS if (folder / name).is_file()}, RESULTS)


def oldest(requirements: list[str]) -> list[str]:
    """Each lower bound as the one version that is allowed."""
    return [re.sub(r">=\s*([\w.]+).*", r"==\1", requirement) for requirement in requirements]


def supported_pythons() -> list[str]:
    """Those of the classifiers, oldest first."""
    return re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))


def find_pythons(versions: Sequence[str]) -> dict[str, Path]:
    """The interpreters of these versions that this machine has; it says which it has not."""
    found = {version: find_python(version) for version in versions}
    for version in (version for version, path in found.items() if path is None):
        print(f"python {version} is not on this machine: not tried")
    if not any(found.values()):
        sys.exit("error: none of these interpreters was found, so that nothing has been tried")
    return {version: path for version, path in found.items() if path}


def find_python(version: str) -> Path | None:
    """An interpreter of this version: this one, or what tools/find_python.sh finds."""
    if version == "{}.{}".format(*sys.version_info):
        return Path(sys.executable)
    search = ("sh", ROOT / "tools" / "find_python.sh", version)
    answer = subprocess.run(search, capture_output=True, text=True, check=False)
    return Path(answer.stdout.strip()) if answer.returncode == 0 else None


def expect(what: str, found: object, expected: object) -> None:
    """Ends the program in one line that says how the two differ."""
    if found == expected:
        return
    if isinstance(found, set) and isinstance(expected, set):
        sys.exit(f"error: {what}: missing {expected - found}, unexpected {found - expected}")
    sys.exit(f"error: {what}: expected {expected}, found {found}")


def run(
    *command: str | Path, cwd: Path = ROOT, cache: Path | None = None, excused: str = ""
) -> None:
    """Runs a command without this environment's paths; one that fails says all that it has said.

    Where all that it calls failed is `excused`, it has not failed.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(HIDDEN)}
    if cache:
        kept |= {"XDG_CACHE_HOME": str(cache), "LOCALAPPDATA": str(cache)}
    shown = " ".join(" ".join(map(str, command)).split())
    print("$", shown[:120], flush=True)
    answer = subprocess.run(command, cwd=cwd, env=kept, capture_output=True, text=True, check=False)
    failures = re.findall("^FAILED: (.*)", answer.stdout, re.MULTILINE)
    if excused and failures and all(line.startswith(excused) for line in failures):
        print(f"excused: {failures[0]}", flush=True)
    elif answer.returncode:
        sys.exit(f"{answer.stdout}{answer.stderr}error: it ended with {answer.returncode}")


if __name__ == "__main__":
    tyro.cli(main)
