"""What large pictures take: memory at the peak, what `plan` foretells, and seconds a step.

    python experiments/large_pictures.py
    python experiments/large_pictures.py --sizes 4096 --rows 128 --precision bfloat16

Hardware: a CPU, or one GPU; memory: 10 GB for 2048 pixels whole, 16 GB for 4096 in strips; time: a
quarter of an hour on two cores. Each form runs in a process of its own, which starts with nothing;
its pictures are noise and its weights random: neither makes a difference to what is measured.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Literal

import numpy as np
import tyro

from nst_jax import weights
from nst_jax.runs import estimate
from nst_jax.system import environment, memory
from nst_jax.system.console import exit_code_of, say

_STEPS = 3


@dataclass(frozen=True)
class Measurement:
    """Measure steps of Adam with the report's layers on squares."""

    sizes: tuple[int, ...] = (512, 1024, 2048)
    """Sides in pixels."""
    rows: tuple[int, ...] = (0, 128)
    """Of a strip; 0: whole."""
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    """Of the convolutions."""
    alone: bool = False
    """Measure the first size and number of rows in this process, and print a line of JSON."""


def measure(settings: Measurement) -> dict[str, float]:
    """Bytes foretold, bytes at the peak, and seconds a step, of this process."""
    size, rows = settings.sizes[0], settings.rows[0]
    problem = estimate.Problem(
        weights.random_params(), precision=settings.precision, rows=rows or None
    )
    make = problem.compile_objective(size)
    foretold = problem.bytes(size, 1) + problem.other_bytes()
    ends = [
        float(chunk.seconds[-1]) for chunk in problem.chunks(make(), size, count=_STEPS, length=1)
    ]
    seconds = float(np.median(np.diff(ends)))
    return {"foretold": foretold, "peak": memory.peak_bytes(), "seconds": seconds}


def in_a_process(settings: Measurement, size: int, rows: int) -> dict[str, float] | None:
    """The same in a process of its own; None: it did not end, for want of memory."""
    arguments = ["--sizes", str(size), "--rows", str(rows), "--precision", settings.precision]
    command = [sys.executable, __file__, *arguments, "--alone"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def main(settings: Measurement) -> None:
    """Prints a table, a row as soon as it is measured."""
    if settings.alone:
        say(json.dumps(measure(settings)))
        return
    say(f"{environment.device_line()}, {settings.precision}")
    say("| pixels | form | peak, GB | foretold, GB | s a step |")
    say("|---:|---|---:|---:|---:|")
    for size in settings.sizes:
        for rows in settings.rows:
            form = f"strips of {rows}" if rows else "whole"
            found = in_a_process(settings, size, rows)
            if found is None:
                say(f"| {size} | {form} | did not fit | | |")
                continue
            peak, foretold = found["peak"] / 1e9, found["foretold"] / 1e9
            say(f"| {size} | {form} | {peak:.2f} | {foretold:.2f} | {found['seconds']:.2f} |")


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(tyro.cli(Measurement, description=__doc__))))
