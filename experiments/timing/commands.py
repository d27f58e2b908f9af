"""How long whole commands take."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Literal

from measuring import samples

STARTS = 3

Command = Literal["start", "demo", "sweep"]
"""A run of one step, `make demo`, `make sweep`."""


def seconds_of(commands: Collection[Command], weights: str | None) -> dict[str, list[float]]:
    """From the start of a process to its end: the first time, and with what that has compiled.

    Of a run of one step the medians of several; `make demo` and `make sweep` the first time only,
    without the installation.

    Args:
      commands: which of them.
      weights: source of the network's weights.
    """
    pictures = [str(samples.PORTRAIT), str(samples.PAINTING)]
    one_step = ["-m", "nst_jax", "stylize", *pictures, "--size", "256", "--steps", "1", "--force"]
    found = {}
    if "start" in commands:
        for options in ([], ["--precision", "fast"]):
            command = [*one_step, *options]
            starts = [_seconds(weights, command, "--output", 2) for _ in range(STARTS)]
            words = " ".join(["nst-jax stylize --size 256 --steps 1", *options])
            found[words] = [median(times) for times in zip(*starts, strict=True)]
    for name in ("demo", "sweep"):
        if name in commands:
            script = Path(__file__).parents[1] / f"{name}.py"
            found[f"make {name}"] = _seconds(weights, [str(script)], "--output-dir", 1)
    return found


def _seconds(weights: str | None, words: Sequence[str], output: str, times: int) -> list[float]:
    """Of a command of ours that is run so often, with a cache of compiled programs of its own.

    Args:
      output: its option for where to write, a file or a folder.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, *words, output, str(Path(folder, "out.png"))]
        command += ["--weights", weights] if weights else []
        programs = {"JAX_COMPILATION_CACHE_DIR": folder, "JAX_ENABLE_COMPILATION_CACHE": "true"}
        return [_seconds_of(command, os.environ | programs) for _ in range(times)]


def _seconds_of(command: Sequence[str], variables: Mapping[str, str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=variables)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:4])} failed: {done.stderr.strip()[-200:]}")
    return time.perf_counter() - began
