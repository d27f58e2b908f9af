"""The Python with which `make` makes its environment: found by trying, or told."""

import json
import os
import shutil
import subprocess
import sys
import venv

import pytest
import try_wheel
from try_wheel import PROJECT, ROOT

# Answers questions as that version does. Of an environment it makes only what is asked first.
FAKE = """#!/bin/sh
case $1 in
  -c) exec {real} -c "import sys; sys.version_info = {version}; $2" ;;
  -m) for folder; do :; done; mkdir -p "$folder/bin" && cp "$0" "$folder/bin/python" ;;
  --version) echo "fake {version}" ;;
esac
"""
NO_ENSUREPIP = """#!/bin/sh
[ "$1" = -m ] || exit 0
echo "apt install python3-venv"
exit 1
"""
SHIM_OF_NOTHING = "#!/bin/sh\necho 'command not found' >&2\nexit 127\n"
ADVICE = "Python 3.11 keeps JAX at 0.10"

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


@pytest.fixture
def install(tmp_path, monkeypatch):
    """`install(name, version or text)`: a fake Python; beside them only the system's programs."""
    (tmp_path / "path").mkdir()
    for name in ("sh", "mktemp", "rm", "mkdir", "cp", "cat", "make", "touch"):
        (tmp_path / "path" / name).symlink_to(shutil.which(name))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    for name in ("PYTHON", "VENV", "MAKEFLAGS", "MAKELEVEL"):
        monkeypatch.delenv(name, raising=False)

    def install(name, what):
        text = what if isinstance(what, str) else FAKE.format(real=sys.executable, version=what)
        program = tmp_path / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
        return program

    return install


@pytest.fixture
def make(tmp_path):
    """`make(*arguments)`: makes a new environment; exit code, and what was said."""

    def make(*arguments):
        environment = tmp_path / "environment"
        shutil.rmtree(environment, ignore_errors=True)
        command = ("make", f"VENV={environment}", "ACCELERATOR=", *arguments)
        answer = subprocess.run(
            (*command, f"{environment}/bin/python"),
            cwd=ROOT,
            env=os.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (environment / "bin" / "python").exists() == (answer.returncode == 0)
        return answer.returncode, answer.stdout + answer.stderr

    return make


def test_the_newest_python_makes_the_environment(install, make):
    for name, version in (("python3", (3, 11, 7)), ("python3.12", (3, 12, 1))):
        install(f"path/{name}", version)
    assert "fake (3, 12, 1)" in make()[1]
    newest = install("path/python3.13", (3, 13, 0))
    code, said = make()
    assert code == 0
    assert f"environment: fake (3, 13, 0) ({newest})" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("broken", [SHIM_OF_NOTHING, NO_ENSUREPIP], ids=["shim", "ensurepip"])
def test_a_python_that_fails_is_passed_over(broken, install, make):
    for name in ("python3.13", "python3.12"):
        install(f"path/{name}", broken)
    install("path/python3", (3, 11, 7))
    code, said = make()
    assert code == 0
    assert "fake (3, 11, 7)" in said
    assert ADVICE in said
    assert len(said.splitlines()) == 2
    kept = install("pyenv/versions/3.12.1/bin/python", (3, 12, 1))
    code, said = make()
    assert code == 0
    assert str(kept) in said
    assert ADVICE not in said


def test_a_python_that_is_told_is_taken(install, make):
    install("path/python3.13", (3, 13, 0))
    told = install("mine/python", (3, 11, 9))
    assert str(told) in make(f"PYTHON={told}")[1]
    assert "fake (3, 13, 0)" in make("PYTHON=")[1]


@pytest.mark.parametrize("what", [(3, 10, 13), SHIM_OF_NOTHING, NO_ENSUREPIP])
def test_a_python_that_is_told_and_fails_is_an_error(what, install, make):
    install("path/python3.13", (3, 13, 0))
    told = install("mine/python", what)
    code, said = make(f"PYTHON={told}")
    assert code != 0
    assert f"(tried: {told}); name one" in said
    for broken, why in ((SHIM_OF_NOTHING, "command not found"), (NO_ENSUREPIP, "apt install")):
        assert (why in said) == (what == broken)


def test_no_python_is_an_error(install, make):
    install("path/python3", (3, 10, 13))
    code, said = make()
    assert code != 0
    assert "error: found no Python >= 3.11" in said


def test_an_environment_that_exists_is_used_as_it_is(tmp_path, install, make):
    install("path/python3.13", (3, 13, 0))
    assert make()[0] == 0
    environment = tmp_path / "environment"
    answer = subprocess.run(
        ("make", f"VENV={environment}", "PYTHON=missing", f"{environment}/bin/python"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "up to date" in answer.stdout
    assert "exists and is used as it is: PYTHON=missing makes no difference" in answer.stdout


# Stands in for pip: it notes what it is told to install.
PIP = """
import json, pathlib, sys
pathlib.Path(sys.prefix, "told.json").write_text(json.dumps(sys.argv[1:]))
"""


@pytest.fixture
def existing(tmp_path):
    """`existing(origin)`: an environment that has nst_jax from there; None: has none."""

    def existing(origin):
        environment = tmp_path / "existing"
        venv.create(environment, symlinks=True, with_pip=False)
        (packages,) = environment.glob("lib/python*/site-packages")
        (packages / "pip").mkdir()
        (packages / "pip" / "__main__.py").write_text(PIP)
        if origin:
            installed = packages / "nst_jax-0.1.0.dist-info"
            installed.mkdir()
            (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: nst_jax\n")
            url = {"dir_info": {"editable": True}, "url": origin}
            (installed / "direct_url.json").write_text(json.dumps(url))
        return environment

    return existing


def told(environment, *arguments):
    """What `make` has pip install into an environment, and what it says."""
    answer = subprocess.run(
        ("make", f"VENV={environment}", *arguments),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    first, *rest = json.loads((environment / "told.json").read_text())
    assert (first, rest[0]) == ("install", "--quiet")
    return rest[1:], answer.stdout


@pytest.mark.usefixtures("install")
def test_another_checkout_s_installation_stays(tmp_path, existing):
    other = tmp_path / "other checkout"
    environment = existing(other.as_uri())
    wanted, said = told(environment, "ACCELERATOR=cuda", f"{environment}/.nst_jax-dev")
    assert f"has nst_jax from {other}, which stays" in said
    assert not {"-e", "--editable", "."} & set(wanted)
    optional = PROJECT["optional-dependencies"]
    for extra in ("cuda", "test", "docs"):
        assert set(optional[extra]) <= set(wanted)
    assert set(PROJECT["dependencies"]) <= set(wanted)
    assert not [each for each in wanted if each.startswith("nst_jax")]
    assert len(wanted) == len(set(wanted))


@pytest.mark.usefixtures("install")
@pytest.mark.parametrize("origin", [None, ROOT.as_uri()])
def test_this_checkout_is_installed_where_there_is_no_other(origin, existing):
    environment = existing(origin)
    target = f"{environment}/.nst_jax"
    assert told(environment, "ACCELERATOR=", target)[0] == ["--editable", "."]
    (environment / ".nst_jax").unlink()
    assert told(environment, "ACCELERATOR=tpu", target)[0] == ["--editable", ".[tpu]"]


def test_the_wheel_is_tried_with_the_same_search(install):
    install("path/python3.99", SHIM_OF_NOTHING)
    assert try_wheel.find_python("3.99") is None
    assert try_wheel.find_python("{}.{}".format(*sys.version_info)).samefile(sys.executable)
    kept = install("pyenv/versions/3.99.1/bin/python", (3, 99, 1))
    assert try_wheel.find_python("3.99") == kept
