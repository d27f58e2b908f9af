"""The description of what a run depends on, and the search for a GPU that is not used."""

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import jax
import pytest

import nst_jax
from nst_jax.system import environment, hardware, places

TYPES = {
    "versions_json": str,
    "git_commit": str,
    "git_dirty": bool,
    "backend": str,
    "device_kind": str,
    "device_count": int,
    "threads": int,
    "onednn": bool,
    "pid": int,
}


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a fake `nvidia-smi` with an exit code, the only program on the path."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def install(exit_code):
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\necho 'GPU 0: fake'\nexit {exit_code}\n")
        program.chmod(0o755)

    return install


@pytest.fixture
def jax_on_cpu(monkeypatch):
    """JAX as it is on the CPU without the user having chosen it."""
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")


def test_description_has_every_key_with_its_type():
    assert {key: type(value) for key, value in environment.describe().items()} == TYPES


def test_description_is_stored_in_hdf5_and_read_back(tmp_path):
    description = environment.describe()
    with h5py.File(tmp_path / "run.h5", "w") as file:
        file.attrs.update(description)
        assert dict(file.attrs) == description


def test_description_names_the_installed_versions():
    versions = json.loads(environment.describe()["versions_json"])
    assert versions["nst_jax"] == nst_jax.__version__
    for package in ("jax", "jaxlib", "flax", "optax", "numpy", "pillow", "h5py"):
        assert versions[package] == importlib.metadata.version(package)


def test_description_is_of_this_process_and_its_devices():
    description = environment.describe()
    assert description["pid"] == os.getpid()
    assert description["backend"] == jax.default_backend()
    assert description["device_count"] == len(jax.local_devices())
    assert description["device_kind"] == jax.local_devices()[0].device_kind


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs processor affinity")
def test_threads_are_the_cores_that_the_process_may_use():
    # Affinity belongs to the process: another one, so as not to slow down this.
    command = "import os; from nst_jax.system.hardware import available_cores as cores; "
    command += "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); print(cores())"
    answer = subprocess.run([sys.executable, "-c", command], capture_output=True, check=True)
    assert int(answer.stdout) == 1


def test_device_line_is_for_a_person():
    line = environment.device_line()
    assert "\n" not in line
    assert jax.local_devices()[0].platform.upper() in line


@pytest.mark.parametrize(("exit_code", "found"), [(0, True), (9, False)])
def test_gpu_is_found_if_nvidia_smi_answers(install, exit_code, found):
    install(exit_code)
    assert hardware.has_nvidia_gpu() is found


@pytest.mark.usefixtures("install")
def test_no_gpu_is_found_without_nvidia_smi():
    assert hardware.has_nvidia_gpu() is False


def test_no_gpu_is_found_if_nvidia_smi_does_not_run(install, tmp_path):
    install(0)
    (tmp_path / "nvidia-smi").write_bytes(b"\x7fELF damaged")
    assert hardware.has_nvidia_gpu() is False


@pytest.mark.usefixtures("jax_on_cpu")
def test_unused_gpu_is_warned_of(install):
    install(0)
    warning = environment.unused_gpu()
    assert "nst_jax[cuda]" in warning
    assert "JAX_PLATFORMS=cpu" in warning


@pytest.mark.usefixtures("jax_on_cpu")
def test_choice_of_the_cpu_is_not_warned_of(install, monkeypatch):
    install(0)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert environment.unused_gpu() is None


@pytest.mark.usefixtures("jax_on_cpu", "install")
def test_machine_without_gpu_is_not_warned_of():
    assert environment.unused_gpu() is None


def test_used_gpu_is_not_warned_of(install, monkeypatch):
    install(0)
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert environment.unused_gpu() is None


# The commit.


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder in the place of the checkout; a function that runs git in it."""
    if not shutil.which("git"):
        pytest.skip("needs git")
    for variable in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "nst_jax").mkdir()
    (tmp_path / "file.txt").write_text("one")
    monkeypatch.setattr(places, "HOME", tmp_path)

    def git(*arguments):
        options = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
        command = ["git", "-C", str(tmp_path), *options, *arguments]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
        return answer.stdout.strip()

    return git


def commit_state():
    description = environment.describe()
    return description["git_commit"], description["git_dirty"]


@pytest.mark.usefixtures("checkout")
def test_installed_package_has_no_commit():
    assert commit_state() == ("", False)


def test_checkout_before_its_first_commit_has_none(checkout):
    checkout("init")
    assert commit_state() == ("", False)


def test_unchanged_checkout_has_its_commit(checkout):
    checkout("init")
    checkout("add", "file.txt")
    checkout("commit", "--message", "one")
    assert commit_state() == (checkout("rev-parse", "HEAD"), False)


def test_changed_checkout_is_dirty(checkout, tmp_path):
    checkout("init")
    checkout("add", "file.txt")
    checkout("commit", "--message", "one")
    (tmp_path / "file.txt").write_text("two")
    assert commit_state() == (checkout("rev-parse", "HEAD"), True)


def test_checkout_without_the_program_git_has_no_commit(checkout, monkeypatch, tmp_path):
    checkout("init")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit_state() == ("", False)


KEEP = """
import jax
from nst_jax.system import environment
environment.keep_compiled_programs()
print(jax.config.jax_compilation_cache_dir)
"""


@pytest.mark.parametrize("named", ["", "named"])
def test_compiled_programs_are_kept_in_the_user_s_cache_unless_told_otherwise(named, tmp_path):
    variables = {"XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    environ = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    if named:
        variables["JAX_COMPILATION_CACHE_DIR"] = str(tmp_path / named)
    done = subprocess.run(
        [sys.executable, "-c", KEEP],
        env=environ | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    folder = Path(done.stdout.strip())
    assert folder.is_relative_to(tmp_path)
    assert folder.name == named if named else folder.name.startswith("programs-")


COMPILE = """
import warnings, jax
from nst_jax.system import environment
warnings.simplefilter("error")
environment.keep_compiled_programs()
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.jit(lambda x: x * 2 + 1)(1.0)
"""


def test_an_entry_whose_writer_was_killed_is_written_again(tmp_path):
    variables = {"XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"}
    environ = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")} | variables

    def entries():
        subprocess.run([sys.executable, "-c", COMPILE], env=environ, check=True)
        return {path: path.read_bytes() for path in tmp_path.rglob("*-cache")}

    whole = entries()
    assert whole
    for path, written in whole.items():
        path.write_bytes(written[:100])
        path.with_name(path.name.replace("-cache", "-atime")).unlink()
    assert {path: len(written) for path, written in entries().items()} == {
        path: len(written) for path, written in whole.items()
    }


def test_without_a_cache_nothing_is_kept_and_nothing_fails(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr("nst_jax.system.places.cache_folder", lambda: tmp_path / "file")
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    try:
        environment.keep_compiled_programs()
        assert jax.config.jax_compilation_cache_dir is None
    finally:
        jax.config.update("jax_compilation_cache_dir", before)


def test_other_processors_have_programs_of_their_own(monkeypatch):
    monkeypatch.setattr(Path, "read_text", lambda path: "flags : one two\n")
    first = hardware.processor()
    monkeypatch.setattr(Path, "read_text", lambda path: "flags : one two three\n")
    assert hardware.processor() != first
