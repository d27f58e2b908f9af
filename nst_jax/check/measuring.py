"""Measures this device by processes of their own (`probe`); this one starts no device."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from nst_jax import weights
from nst_jax.check import probe
from nst_jax.check.probe import Measured, Task
from nst_jax.check.record import Report
from nst_jax.choices import Precision
from nst_jax.runs import estimate
from nst_jax.system import children, environment
from nst_jax.system.console import inform

PATIENCE = 200.0
"""Seconds that one process may take."""


def check(
    size: int | None = None, *, source: str | None = None, say: Callable[[object], None] = inform
) -> Report:
    """Measures this device, one process after another.

    Args:
      size: side of the picture for memory and time, in pixels; None: 256 on a CPU, else 512.
      source: weights, as `weights.load_params`; nothing is downloaded: if none are there, random
        ones do.
      say: gets a line for each process.

    Returns:
      What was measured; what could not be is among its errors.

    Raises:
      ValueError, OSError: the size is out of its range, or the weights cannot be read.
    """
    if size is not None:
        estimate.check_size(size)
    found = weights.resolve(source)
    trained = found.kind not in ("random", "download")
    path = str(found.path) if trained else None
    if trained:
        # A file that cannot be read ends the check here, not after minutes of work.
        weights.load_params(path)
    report = Report(*(("trained", found.name) if trained else ("random", "random")))
    start = time.monotonic()
    _measure_all(report, size, path, say)
    report.seconds = time.monotonic() - start
    return report


def _measure_all(report: Report, size: int | None, path: str | None, say: Callable) -> None:
    """Measures float32, the lower precisions, and float32 again.

    If the bytes of a GPU differ, --deterministic is measured too.
    """

    def measure(name: str, task: Task, variables: dict[str, str] | None = None) -> Measured | None:
        say(f"measuring in {name}")
        answer = run(task, variables or {})
        report.facts = answer.get("facts", report.facts)
        if "measured" in answer:
            return Measured.from_json(answer["measured"])
        report.errors[name] = answer["error"]
        return None

    first = measure("float32", Task("float32", size, path))
    if first is None:
        return
    report.measured["float32"] = first
    for precision in _lower(report.facts["backend"]):
        if measured := measure(precision, Task(precision, size, path)):
            report.measured[precision] = measured
    again = Task("float32", size, parity=False)
    report.repeated = measure("float32 once more", again)
    if report.facts["backend"] == "gpu" and not report.same_bytes("float32"):
        strict = measure("float32 with --deterministic", again, environment.deterministic())
        report.deterministic = strict


def _lower(backend: str) -> tuple[Precision, ...]:
    # A CPU has no TF32 and would compute in float32 instead.
    return ("bfloat16",) if backend == "cpu" else ("tf32", "bfloat16")


def run(task: Task, variables: dict[str, str]) -> dict[str, Any]:
    """Runs a process for a task, and waits for its answer.

    Args:
      task: what to find out.
      variables: of its environment, beside those of this process.

    Returns:
      The answer, see `probe.main`; of a process that dies or hangs an "error".
    """
    # With programs of an earlier process we would not see how long compiling takes, nor that
    # two compilations may give other bytes.
    alone = {"JAX_ENABLE_COMPILATION_CACHE": "false", **variables}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", probe.__name__, json.dumps(task._asdict())],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=children.variables() | alone,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"it takes more than {PATIENCE:.0f} s; try a smaller --size"}
    lines = done.stdout.splitlines()
    if done.returncode == 0 and lines:
        return json.loads(lines[-1])
    last = done.stderr.strip().rpartition("\n")[2]
    return {"error": f"its process ended with {done.returncode}: {last}"}
