"""How much memory a program takes, and how much there is."""

from pathlib import Path
from typing import NamedTuple

import jax

# What is left for the rest of the process, fragmentation and other users of the device.
_USABLE = 0.8


class ProgramMemory(NamedTuple):
    """Bytes of a compiled program: what all lanes share, and what each lane takes."""

    shared: int
    lane: int


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


def lanes_that_fit(program: ProgramMemory) -> int:
    """How many lanes of a program the device holds; at least one, which is then tried."""
    return max(1, (available_bytes() - program.shared) // max(program.lane, 1))
