"""The entry point of `nst-jax`."""

import io
import signal
import sys
import warnings
from typing import Any

from nst_jax.system import console


def main() -> None:
    """The `nst-jax` command."""
    signal.signal(signal.SIGTERM, console.end)
    warnings.showwarning = lambda message, *_: console.warn(message)
    sys.stdout, sys.stderr = (_patient(stream) for stream in (sys.stdout, sys.stderr))
    exit_code = console.exit_code_of(_run)
    if exit_code == 130:
        console.leave(130)
    sys.exit(exit_code)


def _patient(stream: Any) -> Any:
    """A standard stream that takes any text, and goes on when its reader has left.

    The file descriptor itself must ignore the absence of the reader: Python also writes what is
    left in a buffer when the program ends, where no caller could catch the error.
    """
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    # A file name may hold bytes that are no text.
    stream.reconfigure(errors="backslashreplace")
    if stream.isatty():
        return stream
    stream.flush()
    pipe: Any = _Pipe(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        # With -u Python writes through, without a buffer; so do we.
        pipe if stream.write_through else io.BufferedWriter(pipe),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _Pipe(io.FileIO):
    """A file descriptor that swallows what nobody reads any more."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            return len(data)


def _run() -> int:
    with console.ended_by_ctrl_c():
        from nst_jax.command import cli
    return cli.main()
