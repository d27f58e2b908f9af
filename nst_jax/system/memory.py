"""How much memory a program takes, and how much there is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import jax

from nst_jax import backend

USABLE = 0.8
"""Of a device's free memory; a fifth stays for the rest of the process and for fragmentation."""
# Pixels of the smallest side to suggest: the network halves it five times.
_LEAST_SIZE = 32
_CGROUP = Path("/sys/fs/cgroup")


def available_bytes() -> int:
    """Bytes that a program may take on each local device: four fifths of what is free."""
    statistics = backend.devices()[0].memory_stats()
    if statistics and "bytes_limit" in statistics:
        return int(USABLE * (statistics["bytes_limit"] - statistics.get("bytes_in_use", 0)))
    # JAX may show one CPU as several devices, which share its memory.
    return available_host_bytes() // len(backend.devices())


def available_host_bytes() -> int:
    """Bytes of main memory that may be taken: four fifths of what is free."""
    return int(USABLE * _free_host_bytes())


def _free_host_bytes() -> int:
    """What a process can have without swapping, in this container.

    Systems other than Linux do not tell it in this way: 8 GB are assumed.
    """
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(x.split()[1]) * 1024 for x in lines if x.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return 8 * 2**30
    try:
        limit, used = (
            int((_CGROUP / name).read_text()) for name in ("memory.max", "memory.current")
        )
    except (OSError, ValueError):  # there is no container, or its limit is the word "max"
        return free
    return max(0, min(free, limit - used))


def process_bytes(what: Literal["VmRSS", "VmHWM"] = "VmRSS") -> int:
    """Bytes of main memory that this process holds.

    Args:
      what: "VmRSS", by now; "VmHWM", at its peak.

    Returns:
      The number; 0 on systems other than Linux, which do not tell.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(x.split()[1]) * 1024 for x in lines if x.startswith(f"{what}:")), 0)


def peak_bytes() -> int:
    """Bytes that the device held at its peak for this process, or on a CPU the process itself.

    Returns:
      The number; 0 if it is unknown.
    """
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
        # A part of the program's memory stays the same at any size, so in proportion to the memory
        # the picture would be too large: a fifth less leaves room for that part.
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
    """How many lanes a program can have on one device.

    The memory is taken for a straight line between one lane and `wanted` lanes.

    Args:
      bytes_of: gives the bytes of a program by its number of lanes. To ask it means to compile,
        so it is asked for `wanted` lanes, and for one lane only if they do not fit.
      wanted: lanes at most.

    Returns:
      From 1 to `wanted`; 1 also if even that seems too large: it may be tried.
    """
    available = available_bytes()
    if wanted == 1 or (all_of_them := bytes_of(wanted)) <= available:
        return wanted
    one = bytes_of(1)
    lane = max((all_of_them - one) / (wanted - 1), 1)
    return int(min(max(1 + (available - one) // lane, 1), wanted - 1))
