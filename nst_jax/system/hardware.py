"""What the machine is: its processor, its cores, its GPU and the driver."""

import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

# Instructions of a processor that make steps faster.
_INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "bf16", "sve")
# Seconds to wait for nvidia-smi.
_PATIENCE = 20


def available_cores() -> int:
    """Processor cores that this process may run on; their number decides the bytes of a result."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def has_nvidia_gpu() -> bool:
    """Whether `nvidia-smi` is installed and answers."""
    if not shutil.which("nvidia-smi"):
        return False
    try:
        answer = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, timeout=_PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0


def processor() -> str:
    """All that a compiled program may need of the processor: system, model and instructions.

    Returns:
      A text of several lines; equal on machines that can share compiled programs.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    # Linux says "flags" on x86 and "Features" on ARM.
    found = [line for line in lines if line.startswith(("model name", "flags", "Features"))]
    return "\n".join([platform.platform(), *sorted(set(found))])


def describe() -> dict[str, Any]:
    """What the device and its driver are, for the report of a check.

    Returns:
      Names of software and hardware, nothing of the user's; None where it is not known.
    """
    from nst_jax import backend

    device = backend.devices()[0]
    words = processor().split()
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": _processor_name(),
        "instructions": [name for name in _INSTRUCTIONS if name in words],
        "compute_capability": getattr(device, "compute_capability", None),
        "platform_version": device.client.platform_version,
        "driver": _nvidia_driver() if device.platform == "gpu" else None,
        "memory_bytes": (device.memory_stats() or {}).get("bytes_limit"),
        "xla_flags": os.environ.get("XLA_FLAGS"),
    }


def _processor_name() -> str:
    lines = [line for line in processor().splitlines() if line.startswith("model name")]
    return lines[0].partition(":")[2].strip() if lines else platform.machine()


def _nvidia_driver() -> str | None:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(
            query, capture_output=True, text=True, timeout=_PATIENCE, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.partition("\n")[0].strip()
