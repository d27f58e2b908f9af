"""Programs that take the same optimisation steps, each in a process of its own: the benchmark's.

    python experiments/contenders.py NAME PROBLEM.npz --variants 1 --precision float32

PROBLEM.npz holds the pictures `content` and `style` (RGB in [0, 1]) and the weights, `kernel/LAYER`
and `bias/LAYER`. The process answers in lines of JSON: first, without being asked, how long it took
to get ready, the total before the first step and the device; then to each number on its standard
input the seconds a step of so many steps; at the end of the input its peak memory and, if it is
ours, the rate of a matrix product. TensorFlow and PyTorch are imported only by their own
contenders.
"""

import argparse
import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

# The module of timing/ that is imported, and its function that makes the steps.
CONTENDERS = {
    "nst_jax": ("of_jax", "steps"),
    "tensorflow": ("of_tensorflow", "steps"),
    "torch": ("of_torch", "steps"),
    "torch_compile": ("of_torch", "compiled_steps"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=CONTENDERS)
    parser.add_argument("problem")
    parser.add_argument("--variants", type=int, default=1)
    parser.add_argument("--precision", default="float32")
    arguments = parser.parse_args()
    with np.load(arguments.problem) as arrays:
        problem = dict(arrays)
    began = time.perf_counter()
    module, function = CONTENDERS[arguments.name]
    framework = importlib.import_module(f"timing.{module}")
    step, length = getattr(framework, function)(problem, arguments.variants, arguments.precision)
    first = float(step())
    answer(
        ready=time.perf_counter() - began,
        total=first if length == 1 else None,
        device=framework.device(),
    )
    take_turns(step, length)
    finish(framework, arguments.precision)


def take_turns(step: Callable[[], Any], length: int) -> None:
    """Answers each line of the standard input, a number of steps."""
    for line in sys.stdin:
        calls = -(-int(line) // length)
        began = time.perf_counter()
        for _ in range(calls):
            last = step()
        float(last)
        answer(seconds_a_step=(time.perf_counter() - began) / (calls * length))


def finish(framework: ModuleType, precision: str) -> None:
    rate = framework.matmul_rate(precision) if hasattr(framework, "matmul_rate") else None
    answer(peak_bytes=framework.peak_bytes() or host_peak(), matmul_rate=rate)


def host_peak() -> int | None:
    """Of this process alone: `getrusage` would count its parent's as well."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def answer(**values: float | str | None) -> None:
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    main()
