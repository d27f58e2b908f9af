"""The edge to the person at the terminal: lines, and exit codes."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nst_jax.choices import LogLevel, check_choice
from nst_jax.system.interrupts import Stopped

Say = Callable[[str], None]
"""What takes a line for the person."""


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


@contextmanager
def ended_by_ctrl_c() -> Iterator[None]:
    """Around imports: Ctrl-C ends the process there and then.

    An exception would be swallowed by, or crash, the libraries that are being initialised.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def end(number: int, frame: object) -> None:
    """What a signal does: says so, and ends the process."""
    del frame
    print("interrupted" if number == signal.SIGINT else "terminated", file=sys.stderr)
    leave(128 + number)


def leave(exit_code: int) -> None:
    """Ends the process without tearing down the interpreter: XLA may still be computing."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)
