"""Reads a file in another process first, with limits of memory and time.

This is for files with damage that no check finds before a library in C hangs or crashes on it.
"""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nst_jax.system import children
from nst_jax.system.files import reason

# Enough for the largest honest file on a slow machine, including the start of the process.
_CPU_SECONDS = 10
_BYTES_PER_CPU_SECOND = 20_000_000
_SECONDS = 300
_MEMORY = 2**30

# Signatures of files that this process has written or tried, and need not try again.
_known: set[tuple] = set()


def try_first(path: Path, read: Callable[[Path], Any]) -> None:
    """Reads a file in another process, with limits of memory and time.

    A file that this process has written, or tried before, is not tried unless it has changed.

    Args:
      path: the file.
      read: a function of a module, called with the path; what it returns is dropped.

    Raises:
      ValueError: reading it crashes, hangs or takes far more memory than the file is large.
      ValueError, OSError: what `read` raises.
    """
    signature = _signature(path)
    if signature in _known:
        return
    try:
        trial = _run(path, read)
    except subprocess.TimeoutExpired:
        raise ValueError(f"{path} is damaged: reading it does not end; copy it again") from None
    if trial.returncode < 0:
        raise ValueError(f"{path} is damaged: reading it crashes or does not end; copy it again")
    if trial.returncode > 0:
        last = trial.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise OSError(f"{path} cannot be read in a process of its own: {last}")
    error, message = json.loads(trial.stdout)
    if error:
        raise (OSError if error == "OSError" else ValueError)(message)
    _known.add(signature)


def _run(path: Path, read: Callable[[Path], Any]) -> subprocess.CompletedProcess:
    return subprocess.run(
        [
            *(sys.executable, "-P", "-c", f"from {__name__} import _serve; _serve()"),
            *(read.__module__, read.__qualname__, str(_CPU_SECONDS), os.fspath(path)),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=children.variables(),
        timeout=_SECONDS + path.stat().st_size / 1e6,
        check=False,
    )


def trust(path: Path) -> None:
    """Lets `try_first` pass over a file that this process has written, until it changes.

    Args:
      path: the file; if it is missing, nothing happens.
    """
    if path.exists():
        _known.add(_signature(path))


def _signature(path: Path) -> tuple:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _serve() -> None:
    """Runs in the other process: reads the file, and prints the error, if any, as JSON."""
    module, name, seconds, path = sys.argv[1:]
    read = getattr(importlib.import_module(module), name)
    _limit_itself(int(seconds), Path(path).stat().st_size)
    error, message = "", ""
    try:
        read(Path(path))
    except MemoryError:
        error, message = (
            "ValueError",
            f"{path} is damaged: it takes more memory than it should; copy it again",
        )
    except Exception as caught:
        error = "OSError" if isinstance(caught, OSError) else "ValueError"
        message = reason(caught)
    print(json.dumps([error, message]), flush=True)
    # Skip the ordinary exit: HDF5 may crash when it closes a damaged file.
    os._exit(0)


def _limit_itself(seconds: int, size: int) -> None:
    """Sets limits of memory and processor time, where the system has them."""
    try:
        import resource
    except ImportError:  # Windows
        return
    limits = {resource.RLIMIT_CPU: seconds + size // _BYTES_PER_CPU_SECOND}
    statistics = Path("/proc/self/statm")
    if statistics.exists():
        pages = int(statistics.read_text().split()[0])
        limits[resource.RLIMIT_AS] = pages * resource.getpagesize() + _MEMORY + 8 * size
    for limit, value in limits.items():
        _, most = resource.getrlimit(limit)
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(limit, (value, most))
