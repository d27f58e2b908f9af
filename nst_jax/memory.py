"""How much memory a program takes, and how much there is."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import jax

# What is left for the rest of the process, fragmentation and other users of the device.
_USABLE = 0.8


def available_bytes() -> int:
    """Bytes that a program may take on the first local device."""
    statistics = jax.local_devices()[0].memory_stats()
    if statistics and "bytes_limit" in statistics:
        return int(_USABLE * (statistics["bytes_limit"] - statistics.get("bytes_in_use", 0)))
    return int(_USABLE * _available_host_bytes())


def _available_host_bytes() -> int:
    """What Linux says can be had without swapping; elsewhere 8 GB."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 8 * 2**30


def process_bytes() -> int:
    """What the process holds by now beside its programs; 0 if all they take is on a device."""
    if jax.default_backend() != "cpu":
        return 0
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


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
        # No less than in proportion fits, because some of it does not grow.
        part = min(available / max(needed, 1), 1.0)
        fitting = [f"--size {int(max(size) * part**0.5)}"]
        if lanes > 1:
            fitting.append(f"--batch {max(int(lanes * part), 1)}")
        raise MemoryError(
            f"out of memory: {size[0]} x {size[1]} pixels with {lanes} variant(s) take about "
            f"{needed / 1e9:.1f} GB, and {available / 1e9:.1f} GB may be used; what fits is "
            f"{' or '.join(fitting)}"
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
