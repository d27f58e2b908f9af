"""The edge to the person at the terminal: lines, exit codes, the entry point of `nst-jax`."""

import os
import signal
import sys
from collections.abc import Callable


def say(line: str) -> None:
    """Prints a line; a reader of the output that has left, as `head` does, stops no run."""
    try:
        print(line, flush=True)
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
    # Failures of the device, such as too little memory, are RuntimeErrors.
    except (ValueError, OSError, ImportError, MemoryError, RuntimeError) as error:
        if os.environ.get("NST_JAX_TRACEBACK"):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1


def main() -> None:
    """The `nst-jax` command. Interrupted, it leaves at once, whatever it was doing."""
    signal.signal(signal.SIGTERM, _terminate)
    # A file name need not be valid text.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")
    exit_code = exit_code_of(_run)
    if exit_code == 130:
        _leave(130)
    sys.exit(exit_code)


def _run() -> int:
    # Imported here, so that Ctrl-C during the import ends in a line as well.
    from nst_jax import cli

    return cli.main()


def _terminate(number: int, frame: object) -> None:
    del frame
    print("terminated", file=sys.stderr)
    _leave(128 + number)


def _leave(exit_code: int) -> None:
    """Ends the process without tearing down the interpreter: XLA may still be computing."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)
