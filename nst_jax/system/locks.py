"""One process a file: a second one is refused, or waits, before it can do harm."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

if sys.platform != "win32":  # Windows has no flock; HDF5's own lock has to do there
    import fcntl


@contextmanager
def held(target: Path, *, wait: bool = False) -> Iterator[None]:
    """Keeps other processes from writing a file inside the block; readers are free.

    The operating system holds the lock, on a file beside the target, and releases it however the
    process ends. So a lock file that a killed process left behind locks nothing.

    Args:
      target: the file; it need not exist, its folder must.
      wait: until the process that holds the lock has released it.

    Raises:
      BlockingIOError: another process holds it; one line that names it.
    """
    if sys.platform == "win32":
        yield
        return
    path = target.with_name(f".{target.name}.lock")
    with _locked(path, target, wait) as file:
        file.truncate(0)
        file.write(f"{os.getpid()} on {socket.gethostname()}")
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _locked(path: Path, target: Path, wait: bool) -> IO[str]:
    while True:
        file = path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            file.seek(0)
            with file:
                owner = file.read() or "(not known yet)"
            raise BlockingIOError(
                f"{target} is being written by process {owner}: wait until it has ended, or give "
                "another file"
            ) from error
        except OSError:  # the file system has no locks
            return file
        # The last owner may have removed the lock file after we opened it: then try again.
        if _is_at(path, file):
            return file
        file.close()


def _is_at(path: Path, file: IO[str]) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
