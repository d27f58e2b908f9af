"""How much memory a program takes, and how much there is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import jax

from nst_jax import backend

# What is left for the rest of the process, fragmentation and other users of the device.
_USABLE = 0.8
_LEAST_SIZE = 32
_CGROUP = Path("/sys/fs/cgroup")


def available_bytes() -> int:
    """Bytes that a program may take on each local device: four fifths of what is free."""
    statistics = backend.devices()[0].memory_stats()
    if statistics and "bytes_limit" in statistics:
        return int(_USABLE * (statistics["bytes_limit"] - statistics.get("bytes_in_use", 0)))
    # Several devices of a CPU share its memory.
    return int(_USABLE * _available_host_bytes() / len(backend.devices()))


def _available_host_bytes() -> int:
    """What Linux says can be had without swapping, in this container; elsewhere 8 GB."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(x.split()[1]) * 1024 for x in lines if x.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return 8 * 2**30
    try:
        limit, used = (
            int((_CGROUP / name).read_text()) for name in ("memory.max", "memory.current")
        )
    except (OSError, ValueError):  # no container, or "max": no limit
        return free
    return max(0, min(free, limit - used))


def process_bytes(what: Literal["VmRSS", "VmHWM"] = "VmRSS") -> int:
    """What the process holds by now, or has held at most (VmHWM); 0 where Linux does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(x.split()[1]) * 1024 for x in lines if x.startswith(f"{what}:")), 0)


def peak_bytes() -> int:
    """What the device has held at most for this process; on a CPU, the process; 0 if unknown."""
    if backend.platform() == "cpu":
        return process_bytes("VmHWM")
    return int((backend.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0))


@contextmanager
def out_of_memory_in_words(needed: int, size: tuple[int, int], lanes: int) -> Iterator[None]:
    """Turns the device's refusal into one line that says what would fit.

    Args:
      needed: bytes of the program, by the compiler's account.
      size: width and height of the picture.
      lanes: variants of the program.

    Raises:
      MemoryError: the device had too little memory inside the block.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        available = available_bytes()
        # Some of it does not grow with the size: less than in proportion is left for the rest.
        part = 0.8 * min(available / max(needed, 1), 1.0)
        smaller = [f"--size {max(int(max(size) * part**0.5), _LEAST_SIZE)}"]
        if lanes > 1:
            smaller.append(f"--batch {max(int(lanes * part), 1)}")
        raise MemoryError(
            f"out of memory: {size[0]} x {size[1]} pixels with {lanes} variant(s) take about "
            f"{needed / 1e9:.1f} GB, and {available / 1e9:.1f} GB may be used; try "
            f"{' or '.join(smaller)} (nst-jax plan tells what fits)"
        ) from error


def most_that_fit(bytes_of: Callable[[int], int], wanted: int) -> int:
    """How many of `wanted` lanes a program can have on one device; at least one, to be tried.

    Args:
      bytes_of: what a program of so many lanes takes. Asked for `wanted` lanes, and only if they
        do not fit for one: between them it is a straight line.
      wanted: lanes at most.
    """
    available = available_bytes()
    if wanted == 1 or (all_of_them := bytes_of(wanted)) <= available:
        return wanted
    one = bytes_of(1)
    lane = max((all_of_them - one) / (wanted - 1), 1)
    return int(min(max(1 + (available - one) // lane, 1), wanted - 1))
