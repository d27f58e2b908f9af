"""The edge to the person at the terminal: lines, exit codes, the entry point of `nst-jax`."""

import io
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from nst_jax.choices import LogLevel, check_choice
from nst_jax.interrupts import Stopped


def printable(text: str) -> str:
    """A text without what a terminal might obey: a file may name things by escape sequences."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else _escaped(letter) for letter in text
    )


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode()


_level: LogLevel = "info"


def set_log_level(level: LogLevel) -> None:
    """How much is said from now on.

    error: what was asked for, and errors. warning: warnings too. info: and what happens on the
    way, with progress bars on a terminal. debug: and what JAX compiles, and where errors arose.
    """
    global _level
    check_choice("log level", level, LogLevel)
    _level = level


def debugs() -> bool:
    """Whether all is said, errors with their place."""
    return _level == "debug"


def informs() -> bool:
    """Whether lines and bars about what happens on the way are shown."""
    return _level in ("debug", "info")


def inform(line: object) -> None:
    """Says what happens on the way."""
    if informs():
        say(line)


def warn(line: object) -> None:
    """Says on standard error what its owner may not expect."""
    if _level != "error":
        print(printable(f"WARNING: {line}"), file=sys.stderr)


def say(line: object) -> None:
    """Prints a line that was asked for.

    A reader of the output that has left, as `head` does, stops no run.
    """
    try:
        print(printable(str(line)), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def exit_code_of(run: Callable[[], int]) -> int:
    """Runs a command; what a person can cause becomes one line and an exit code.

    The environment variable NST_JAX_TRACEBACK=1 shows the place of an error instead.
    """
    try:
        return run()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        return stopped.exit_code
    # Failures of the device, such as too little memory, are RuntimeErrors.
    except (ValueError, OSError, ImportError, MemoryError, RuntimeError) as error:
        if debugs() or os.environ.get("NST_JAX_TRACEBACK"):
            raise
        print(printable(f"error: {error}"), file=sys.stderr)
        return 1


def main() -> None:
    """The `nst-jax` command."""
    signal.signal(signal.SIGTERM, _end)
    warnings.showwarning = lambda message, *_: warn(message)
    sys.stdout, sys.stderr = (_patient(stream) for stream in (sys.stdout, sys.stderr))
    exit_code = exit_code_of(_run)
    if exit_code == 130:
        _leave(130)
    sys.exit(exit_code)


def _patient(stream: Any) -> Any:
    """A standard stream that takes any text, and goes on when its reader has left.

    It is the descriptor that has to: text goes out when a program is about to end, too.
    """
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    # A file name need not be valid text.
    stream.reconfigure(errors="backslashreplace")
    if stream.isatty():
        return stream
    stream.flush()
    pipe: Any = _Pipe(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        # As Python itself does it with and without -u.
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
    with ended_by_ctrl_c():
        from nst_jax import cli
    return cli.main()


@contextmanager
def ended_by_ctrl_c() -> Iterator[None]:
    """Around imports: Ctrl-C ends the process there and then.

    An exception would be swallowed by, or crash, the libraries that are being initialised.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _end(number: int, frame: object) -> None:
    del frame
    print("interrupted" if number == signal.SIGINT else "terminated", file=sys.stderr)
    _leave(128 + number)


def _leave(exit_code: int) -> None:
    """Ends the process without tearing down the interpreter: XLA may still be computing."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)
