"""One process a run log: a second one is refused before it can do harm."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows, where HDF5's own lock has to do
    fcntl = None


@contextmanager
def held(log: Path) -> Iterator[None]:
    """Keeps other processes from writing a run log inside the block; readers are free.

    The lock is the operating system's, on a file beside the log: it ends with its process however
    that ends, so that what a killed one leaves behind locks nothing.

    Raises:
      BlockingIOError: another process holds it; one line that names it.
    """
    if fcntl is None:
        yield
        return
    path = log.with_name(f".{log.name}.lock")
    with _locked(path, log) as file:
        file.truncate(0)
        file.write(f"{os.getpid()} on {socket.gethostname()}")
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _locked(path: Path, log: Path) -> IO[str]:
    while True:
        file = path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            with file:
                owner = file.read() or "(not known yet)"
            raise BlockingIOError(
                f"{log} is being written by process {owner}: wait until it has ended, or give "
                "another log"
            ) from error
        except OSError:  # a file system without locks
            return file
        # Its last owner may have removed it just before it was locked here.
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
        file.close()
