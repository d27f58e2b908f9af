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
    """Escapes what a terminal might obey: names in a file may hold control sequences.

    Args:
      text: of any origin.

    Returns:
      The text, with printable letters and line breaks only.
    """
    return "".join(
        letter if letter.isprintable() or letter == "\n" else _escaped(letter) for letter in text
    )


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode()


_level: LogLevel = "info"


def set_log_level(level: LogLevel) -> None:
    """How much is said from now on.

    Args:
      level: "error", what was asked for, and errors; "warning", warnings too; "info", also what
        happens on the way, with progress bars on a terminal; "debug", also what JAX compiles, and
        where errors arose.

    Raises:
      ValueError: an unknown level.
    """
    global _level
    check_choice("log level", level, LogLevel)
    _level = level


def debugs() -> bool:
    """Whether everything is said, errors with their place."""
    return _level == "debug"


def informs() -> bool:
    """Whether lines and bars about what happens on the way are shown."""
    return _level in ("debug", "info")


def inform(line: object) -> None:
    """Says what happens on the way; nothing at the levels "warning" and "error".

    Args:
      line: shown as text.
    """
    if informs():
        say(line)


def warn(line: object) -> None:
    """Says on standard error what the user may not expect; nothing at the level "error".

    Args:
      line: shown as text.
    """
    if _level != "error":
        print(printable(f"WARNING: {line}"), file=sys.stderr)


def note(line: object) -> None:
    """Says on standard error what has to be read beside an answer; nothing at the level "error".

    Args:
      line: shown as text.
    """
    if _level != "error":
        print(printable(str(line)), file=sys.stderr)


def say(line: object) -> None:
    """Prints a line that was asked for.

    A run goes on when the reader of its output has left, as `head` does after some lines.

    Args:
      line: shown as text.
    """
    try:
        print(printable(str(line)), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def exit_code_of(run: Callable[[], int]) -> int:
    """Runs a command; an error that a person can cause becomes one line and an exit code.

    With the environment variable NST_JAX_TRACEBACK=1 it is raised instead, to show its place.

    Args:
      run: the command; returns an exit code.

    Returns:
      That exit code; 1 after an error, 130 after Ctrl-C, 143 after SIGTERM.
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
    """Put this around imports: Ctrl-C ends the process there and then.

    An exception within an import might be swallowed by the library, or leave it half made.
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
    """Handles a signal: says so, and ends the process.

    Args:
      number: of the signal.
      frame: where the signal came; not used.
    """
    del frame
    print("interrupted" if number == signal.SIGINT else "terminated", file=sys.stderr)
    leave(128 + number)


def leave(exit_code: int) -> None:
    """Ends the process at once: XLA may be computing, and crashes an interpreter that ends.

    Args:
      exit_code: of the process.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)
