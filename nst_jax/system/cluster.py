"""The processes that `jax.distributed` brings together: how they meet, and what they agree about.

A program over several processes waits where one of them does not take part. So whatever a clock, a
signal or a file decides, in one process and not in another, is asked of all of them at once.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import jax
import numpy as np
from jax.experimental import multihost_utils

from nst_jax import backend
from nst_jax.system.interrupts import Stopped, StopRequest

# The first is JAX's own; where no launcher is found, all three have to be there.
_VARIABLES = {
    "coordinator_address": ("JAX_COORDINATOR_ADDRESS", str),
    "num_processes": ("JAX_NUM_PROCESSES", int),
    "process_id": ("JAX_PROCESS_ID", int),
}
# In errors of an exchange (of a CPU, of a GPU) or of JAX's own service, when one is lost.
_LOST = re.compile(r"\b(Gloo|NCCL)\b|^(UNAVAILABLE|ABORTED|DEADLINE_EXCEEDED)\b")

Begin = Callable[[Mapping[str, str]], None]
"""Says that this process is ready, and what has to be the same in all, by its name."""


def join(*, heartbeat_seconds: int, outlives_others: bool) -> tuple[int, int]:
    """Finds the other processes; to be called before JAX starts its backend.

    Args:
      heartbeat_seconds: after how long a silent process counts as dead.
      outlives_others: whether this process goes on when one that is not the first has died; else
        JAX ends it, because it would wait for that one.

    Returns:
      The number of this process, and how many there are.

    Raises:
      ValueError: there is no cluster.
    """
    jax.config.update("jax_enable_recoverability", outlives_others)
    # Else the runtime would take SIGTERM for itself.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        given = {
            name: kind(os.environ[variable])
            for name, (variable, kind) in _VARIABLES.items()
            if variable in os.environ
        }
        jax.distributed.initialize(**given, heartbeat_timeout_seconds=heartbeat_seconds)
    except ValueError as error:
        raise ValueError(
            f"--distributed finds no cluster ({error}): start it by Slurm, Open MPI, Kubernetes "
            "or on a TPU pod, or set " + ", ".join(variable for variable, _ in _VARIABLES.values())
        ) from error
    backend.start()
    return jax.process_index(), jax.process_count()


@dataclass(frozen=True)
class Team:
    """The processes that compute one run together, each the same; by default one alone.

    Attributes:
      number: of this process.
      count: of all.
      folder: where this process has its results, if nobody looks at them; None: it writes what is
        asked for, and speaks.
    """

    number: int = 0
    count: int = 1
    folder: Path | None = None

    @property
    def devices(self) -> list[jax.Device]:
        """Those over which a run is spread: of one process its own."""
        return backend.devices_of_all_processes() if self.count > 1 else backend.devices()

    def agree(self, says_yes: bool) -> bool:
        """Whether any process says yes; all have to ask."""
        return bool(self._largest(int(says_yes)))

    def shared(self, request: StopRequest) -> StopRequest:
        """A request to stop that comes true in all processes together, whoever got the signal."""
        return _SharedRequest(self, request) if self.count > 1 else request

    @contextmanager
    def together(self) -> Iterator[Begin]:
        """A block that each process prepares by itself, and then all begin or none.

        Yields:
          What is to be called where the preparation ends.

        Raises:
          ValueError: another process has failed before, or has something else; one line.
          Stopped: a signal has come to another process before.
        """
        if self.count == 1:
            yield lambda facts: None
            return
        is_ready = False

        def begin(facts: Mapping[str, str]) -> None:
            nonlocal is_ready
            is_ready = True
            self._wait_until_all_are_ready()
            self._check_same(facts)

        try:
            yield begin
        except Exception as error:
            if not is_ready:
                # They may be gone as well; then this error is still the one to be told.
                with suppress(ValueError, RuntimeError):
                    self._gather(error.exit_code if isinstance(error, Stopped) else 1)
            raise

    def _wait_until_all_are_ready(self) -> None:
        exit_codes = self._gather(0)
        if (worst := int(exit_codes.max())) > 1:
            raise Stopped(worst)
        if worst:
            number = int(exit_codes.argmax())
            raise ValueError(f"process {number} could not begin: it says why, and all end with it")

    def _check_same(self, facts: Mapping[str, str]) -> None:
        """Refuses to go on with processes that would compute something else."""
        found = self._gather([crc32(text.encode()) for text in facts.values()])
        for name, sums in zip(facts, found.T, strict=True):
            for number in np.flatnonzero(sums != sums[0]):
                raise ValueError(
                    f"process {number} has another {name} than process 0: give all of them the "
                    "same command, files and versions"
                )

    def _largest(self, value: int) -> int:
        return value if self.count == 1 else int(self._gather(value).max())

    def _gather(self, value: int | list[int]) -> np.ndarray:
        """What all processes give, by their numbers."""
        return multihost_utils.process_allgather(np.asarray(value, np.uint32))


ALONE = Team()


class _SharedRequest(StopRequest):
    """A request of several processes: it changes when they settle it, and never in between."""

    def __init__(self, team: Team, own: StopRequest):
        self._team, self._own = team, own

    @property
    def has_come(self) -> bool:
        return bool(self._own)

    def settle(self) -> None:
        self.signal_number = self._team._largest(self._own.signal_number or 0) or None


@contextmanager
def loss_in_words(cure: str) -> Iterator[None]:
    """Turns the failure of an exchange with a process that is gone into one line.

    JAX itself may end this process before, with lines of its own.

    Args:
      cure: what to do.

    Raises:
      RuntimeError: another process was lost inside the block.
    """
    try:
        yield
    except (ValueError, RuntimeError) as error:
        if not _LOST.search(str(error)):
            raise
        raise RuntimeError(f"another process of this run is gone: {cure}") from error
