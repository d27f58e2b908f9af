"""What a run depends on besides its settings: the device, versions of packages, the commit."""

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import filelock

from nst_jax.system import places
from nst_jax.version import __version__

_DETERMINISTIC = "--xla_gpu_deterministic_ops=true"
_MAX_CACHE_BYTES = 2**31
# Of a processor, those that make steps faster.
_INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "bf16", "sve")
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "pillow", "h5py")


def device_line() -> str:
    """The device that JAX will use, in words for a person."""
    from nst_jax import backend

    devices = backend.devices()
    kind = devices[0].device_kind
    if devices[0].platform == "cpu":
        return f"CPU, {available_cores()} cores"
    count = f"{len(devices)} x " if len(devices) > 1 else ""
    return f"{count}{kind} ({devices[0].platform.upper()})"


def unused_gpu() -> str | None:
    """A warning if JAX uses the CPU of a machine that has an NVIDIA GPU; None otherwise.

    Silent if the user chose the CPU by JAX_PLATFORMS.
    """
    from nst_jax import backend

    if backend.platform() != "cpu" or "cpu" in os.environ.get("JAX_PLATFORMS", ""):
        return None
    if not has_nvidia_gpu():
        return None
    return (
        "this machine has an NVIDIA GPU, but JAX uses its CPU: install the GPU version with "
        "pip install 'nst_jax[cuda]', or set JAX_PLATFORMS=cpu if the CPU is what you want"
    )


def keep_compiled_programs() -> None:
    """Lets JAX keep what XLA compiles, for the next process: its start takes half as long then.

    Not where they call oneDNN (`compiler`): XLA cannot write such a program down.

    In the user's cache, apart for each kind of processor: a home may be shared by several
    machines; of more than two gigabytes the oldest are dropped. JAX's own variables
    (JAX_COMPILATION_CACHE_DIR, JAX_ENABLE_COMPILATION_CACHE) have their say first.
    """
    import jax

    if getattr(jax.config, "jax_compilation_cache_dir", None) is not None:
        return
    folder = places.cache_folder() / f"programs-{zlib.crc32(_processor().encode()):x}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_unfinished(folder)
    except filelock.Timeout:
        pass  # another process is at it
    except (OSError, NotImplementedError):  # the latter of a file system without locks
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", _MAX_CACHE_BYTES)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def _remove_unfinished(folder: Path) -> None:
    """Removes entries whose writer was killed: JAX would warn of them in every later process.

    JAX writes the time of an entry's last use behind the entry itself, under this lock.
    """
    with filelock.FileLock(folder / ".lockfile", timeout=1):
        for entry in folder.glob("*-cache"):
            if not entry.with_name(entry.name.removesuffix("-cache") + "-atime").exists():
                entry.unlink()


def _processor() -> str:
    """What a compiled program needs of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    # "flags" on x86, "Features" on ARM.
    found = [line for line in lines if line.startswith(("model name", "flags", "Features"))]
    return "\n".join([platform.platform(), *sorted(set(found))])


def has_nvidia_gpu() -> bool:
    """Whether `nvidia-smi` is installed and answers."""
    if not shutil.which("nvidia-smi"):
        return False
    try:
        answer = subprocess.run(["nvidia-smi", "-L"], capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0


def available_cores() -> int:
    """Processor cores that this process may run on; they decide the bytes of a result."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def describe() -> dict[str, Any]:
    """The environment as attributes of a run log."""
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
        "threads": available_cores(),
        "onednn": compiler.has_onednn(),
        "pid": os.getpid(),
    }


def hardware() -> dict[str, Any]:
    """What the device and its driver are, beyond `describe`: for the report of a check.

    Names of software and hardware, nothing of the user's; None where it is not known.
    """
    from nst_jax import backend

    device = backend.devices()[0]
    words = _processor().split()
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": _processor_name(),
        "instructions": [name for name in _INSTRUCTIONS if name in words],
        "compute_capability": getattr(device, "compute_capability", None),
        "platform_version": device.client.platform_version,
        "driver": _nvidia_driver() if device.platform == "gpu" else None,
        "memory_bytes": (device.memory_stats() or {}).get("bytes_limit"),
        "xla_flags": os.environ.get("XLA_FLAGS"),
    }


def _processor_name() -> str:
    lines = [line for line in _processor().splitlines() if line.startswith("model name")]
    return lines[0].partition(":")[2].strip() if lines else platform.machine()


def _nvidia_driver() -> str | None:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.partition("\n")[0].strip()


def deterministic() -> dict[str, str]:
    """The variables with which XLA, not yet started, is asked for the same bytes in every run."""
    flags = os.environ.get("XLA_FLAGS", "")
    return {"XLA_FLAGS": flags if _DETERMINISTIC in flags else f"{flags} {_DETERMINISTIC}".strip()}


def for_child() -> dict[str, str]:
    """The variables of another interpreter, which finds its modules where this one does.

    To be started with -P: not in the current folder.
    """
    modules = os.pathsep.join(folder or os.getcwd() for folder in sys.path)
    return os.environ | {"PYTHONPATH": modules}


def differences(attributes: dict[str, Any]) -> list[str]:
    """In what the environment of a run log differs from the present one, where bytes depend on it.

    Each in words: "threads were 2, are 8".
    """
    now = describe()
    found = [
        f"{name} was {attributes.get(name)}, is {now[name]}"
        for name in ("backend", "device_kind", "device_count", "threads", "onednn")
        # Older logs do not tell the last one: of them the versions differ.
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
    """The versions of packages that a run log tells; empty if it does not."""
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

    # Without --verify a checkout before its first commit would answer "HEAD".
    return git("rev-parse", "--verify", "HEAD"), bool(
        git("status", "--porcelain", "--untracked-files=no")
    )
