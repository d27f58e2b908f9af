"""What a run depends on besides its settings: the device, versions of packages, the commit.

And what XLA and JAX are told about it: to give the same bytes, to keep compiled programs.
"""

import importlib.metadata
import json
import os
import shutil
import subprocess
import zlib
from pathlib import Path
from typing import Any

import filelock

from nst_jax.system import hardware, places
from nst_jax.version import __version__

_DETERMINISTIC = "--xla_gpu_deterministic_ops=true"
_MAX_CACHE_BYTES = 2**31
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "pillow", "h5py")


def device_line() -> str:
    """The device that JAX will use, in words for a person."""
    from nst_jax import backend

    devices = backend.devices()
    kind = devices[0].device_kind
    if devices[0].platform == "cpu":
        return f"CPU, {hardware.available_cores()} cores"
    count = f"{len(devices)} x " if len(devices) > 1 else ""
    return f"{count}{kind} ({devices[0].platform.upper()})"


def unused_gpu() -> str | None:
    """A warning if JAX uses the CPU of a machine that has an NVIDIA GPU.

    Returns:
      One line; None if there is nothing to warn of, or the user chose the CPU by JAX_PLATFORMS.
    """
    from nst_jax import backend

    if backend.platform() != "cpu" or "cpu" in os.environ.get("JAX_PLATFORMS", ""):
        return None
    if not hardware.has_nvidia_gpu():
        return None
    return (
        "this machine has an NVIDIA GPU, but JAX uses its CPU: install the GPU version with "
        "pip install 'nst_jax[cuda]', or set JAX_PLATFORMS=cpu if the CPU is what you want"
    )


def describe() -> dict[str, Any]:
    """The environment as attributes of a run log.

    Returns:
      Versions of packages, commit, device, cores and process, as plain values.
    """
    from nst_jax import backend, compiler

    commit, dirty = _git_state()
    return {
        "versions_json": json.dumps(
            {"nst_jax": __version__, **{p: importlib.metadata.version(p) for p in _PACKAGES}}
        ),
        "git_commit": commit,
        "git_dirty": dirty,
        "backend": backend.platform(),
        "device_kind": backend.devices()[0].device_kind,
        "device_count": len(backend.devices()),
        "threads": hardware.available_cores(),
        "onednn": compiler.has_onednn(),
        "pid": os.getpid(),
    }


def differences(attributes: dict[str, Any]) -> list[str]:
    """Compares the environment of a run log with the present one, where bytes depend on it.

    Args:
      attributes: of a run log.

    Returns:
      Each difference in words: "threads was 2, is 8".
    """
    now = describe()
    found = [
        f"{name} was {attributes.get(name)}, is {now[name]}"
        for name in ("backend", "device_kind", "device_count", "threads", "onednn")
        # Older logs do not tell of oneDNN; then the versions of packages differ anyway.
        if attributes.get(name, now[name] if name == "onednn" else None) != now[name]
    ]
    before, after = (versions_of(each) for each in (attributes, now))
    found += [
        f"{name} was {before.get(name)}, is {version}"
        for name, version in after.items()
        if before.get(name) != version
    ]
    return found


def versions_of(attributes: dict[str, Any]) -> dict[str, Any]:
    """The versions of packages that a run log tells.

    Args:
      attributes: of a run log, which another program may have written.

    Returns:
      Versions by package; empty if the log does not tell them.
    """
    try:
        versions = json.loads(attributes["versions_json"])
    except (KeyError, ValueError):
        return {}
    return versions if isinstance(versions, dict) else {}


def _git_state() -> tuple[str, bool]:
    """The commit of the checkout that this package lies in, and whether it was changed."""
    if not (places.HOME / ".git").exists() or not shutil.which("git"):
        return "", False

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(places.HOME), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    # Before the first commit, git without --verify answers with the word "HEAD".
    return git("rev-parse", "--verify", "HEAD"), bool(
        git("status", "--porcelain", "--untracked-files=no")
    )


def deterministic() -> dict[str, str]:
    """The variables that make XLA give the same bytes in every run on a GPU.

    XLA reads them once, when it starts.

    Returns:
      XLA_FLAGS alone: those of this process, and the one for this purpose.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    return {"XLA_FLAGS": flags if _DETERMINISTIC in flags else f"{flags} {_DETERMINISTIC}".strip()}


def keep_compiled_programs() -> None:
    """Lets JAX keep what XLA compiles, for the next process: its start takes half as long then.

    The programs lie in the user's cache, apart for each kind of processor: several machines may
    share a home. When they take more than two gigabytes, JAX removes the oldest. If the user set
    JAX's own variables (JAX_COMPILATION_CACHE_DIR, JAX_ENABLE_COMPILATION_CACHE), these decide.

    Programs that call oneDNN (`compiler`) are not kept: XLA cannot write them down.
    """
    import jax

    if getattr(jax.config, "jax_compilation_cache_dir", None) is not None:
        return
    folder = places.cache_folder() / f"programs-{zlib.crc32(hardware.processor().encode()):x}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_unfinished(folder)
    except filelock.Timeout:
        pass  # another process is removing them
    except (OSError, NotImplementedError):  # a file system without locks raises the latter
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", _MAX_CACHE_BYTES)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def _remove_unfinished(folder: Path) -> None:
    """Removes entries whose writer was killed: JAX would warn of them in every later process.

    JAX writes an entry, then the time of its last use, both under this lock. So an entry without
    a time is not whole.
    """
    with filelock.FileLock(folder / ".lockfile", timeout=1):
        for entry in folder.glob("*-cache"):
            if not entry.with_name(entry.name.removesuffix("-cache") + "-atime").exists():
                entry.unlink()
