"""Ctrl-C and SIGTERM as a question asked between two chunks, not as an exception within one."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class StopRequest:
    """Whether a signal has asked the run to stop, and which one."""

    signal_number: int | None = None

    def __bool__(self) -> bool:
        return self.signal_number is not None

    @property
    def exit_code(self) -> int:
        """128 plus the number of the signal, as in shells: 130 after Ctrl-C, 143 after SIGTERM."""
        return 128 + (self.signal_number or 0)

    @property
    def has_come(self) -> bool:
        """Whether a signal has come to this process; of several, the others may not know yet."""
        return bool(self)

    def settle(self) -> None:
        """Brings several processes to one answer, between two chunks; all have to call it."""

    def check(self) -> None:
        """Ends the preparation if a signal has come; to be called between two stages of it.

        Raises:
          Stopped: a signal has come.
        """
        if self:
            raise Stopped(self.exit_code)


class Stopped(Exception):
    """A signal has stopped a run before its first step: nothing was written."""

    def __init__(self, exit_code: int):
        super().__init__("interrupted before the first step: nothing was written")
        self.exit_code = exit_code


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Collects signals inside the block; a second one acts at once, as if there were no block.

    Outside the main thread Python delivers no signals, so there are none to collect.

    Yields:
      The request, which turns true when a signal comes.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def handle(number, frame):
        del frame
        request.signal_number = number
        for each in previous:
            signal.signal(each, previous[each])
        print("\nstopping soon; once more to stop at once", file=sys.stderr)

    previous = {n: signal.signal(n, handle) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
