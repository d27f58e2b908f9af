"""`nst-jax check`: whether this device computes what it should, how fast, and in which precision.

Made for the first user of a device that nobody has tried: a table for the eye, JSON for a report.
What is measured is measured by processes of their own (`probe`); this one starts no device.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from nst_jax import weights
from nst_jax.check import probe
from nst_jax.check.probe import Measured, Task
from nst_jax.choices import Precision
from nst_jax.runs import estimate
from nst_jax.system import environment, files
from nst_jax.system.console import inform

SCHEMA = 1
PATIENCE = 200.0
"""Seconds that one process may take."""

# docs/design.md, Tolerances.
LIMITS = {"features": 1e-5, "loss_terms": 1e-5, "gradient": 1e-3}
_NAMES = {
    "features": "features, off by at most",
    "loss_terms": "loss terms, off by at most",
    "gradient": "gradient, off by (L2)",
}
COSINES = {"trained": 0.99, "random": 0.95}
"""The least between the gradient in a lower precision and that in float32. Random networks, whose
loss is a small difference of large numbers, have less."""
_MEMORY = 0.25
# A lower precision has to be that much faster to be worth it.
_GAIN = 1.1


class Finding(NamedTuple):
    """A sentence about a device; a failure makes the exit code 1."""

    level: Literal["failure", "note"]
    text: str


@dataclass
class Report:
    """What has been found out about a device.

    Attributes:
      network: of whose gradients the cosines are, "trained" or "random".
      weights: the name of its file, or "random".
      facts: see `probe.facts`.
      measured: by precision.
      errors: in words, by what could not be measured: a precision, or float32 once more.
      repeated: float32 once more, in another process.
      deterministic: float32 with --deterministic, if two runs of a GPU gave other bytes.
      seconds: that all of it took.
    """

    network: Literal["trained", "random"]
    weights: str
    facts: dict[str, Any] = field(default_factory=dict)
    measured: dict[Precision, Measured] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    repeated: Measured | None = None
    deterministic: Measured | None = None
    seconds: float = 0.0

    def cosine(self, precision: Precision) -> float | None:
        """Between the gradients in a precision and in float32; None if one is not finite."""
        one, other = (np.array(self.measured[p].gradient) for p in (precision, "float32"))
        with np.errstate(invalid="ignore"):  # 0 / 0
            value = one @ other / (np.linalg.norm(one) * np.linalg.norm(other))
        return float(value) if np.isfinite(value) else None

    def same_bytes(self, precision: Precision) -> bool:
        """Whether all runs of the same settings gave the same."""
        runs = [self.measured[precision]]
        runs += [self.repeated] if precision == "float32" and self.repeated else []
        return len({digest for run in runs for digest in run.digests}) == 1

    def good(self, precision: Precision) -> bool:
        """Whether its gradient points where that of float32 does."""
        cosine = self.cosine(precision)
        return cosine is not None and cosine >= COSINES[self.network]

    @property
    def precision(self) -> Precision:
        """The one to take: float32, unless a good one is clearly faster."""
        best: Precision = "float32"
        for precision, measured in self.measured.items():
            gain = _GAIN if best == "float32" else 1.0
            faster = gain * measured.milliseconds < self.measured[best].milliseconds
            best = precision if faster and self.good(precision) else best
        return best


def check(
    size: int | None = None, *, source: str | None = None, say: Callable[[object], None] = inform
) -> Report:
    """Measures this device, one process after another.

    Args:
      size: side of the picture for memory and time, in pixels; None: 256 on a CPU, else 512.
      source: weights, as `weights.load_params`; nothing is downloaded: if none are there, random
        ones do.
      say: gets a line for each process.

    Raises:
      ValueError, OSError: the size is out of its range, or the weights cannot be read.
    """
    if size is not None:
        estimate.check_size(size)
    found = weights.resolve(source)
    trained = found.kind not in ("random", "download")
    path = str(found.path) if trained else None
    if trained:  # what is wrong with it is said before the work
        weights.load_params(path)
    report = Report(*(("trained", found.name) if trained else ("random", "random")))
    start = time.monotonic()
    _measure_all(report, size, path, say)
    report.seconds = time.monotonic() - start
    return report


def _measure_all(report: Report, size: int | None, path: str | None, say: Callable) -> None:
    """float32, lower precisions, float32 again; if other bytes come on a GPU, --deterministic."""

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
    # A CPU has no TF32 and would take float32.
    return ("bfloat16",) if backend == "cpu" else ("tf32", "bfloat16")


def run(task: Task, variables: dict[str, str]) -> dict[str, Any]:
    """The answer of a process, see `probe.main`; of one that dies or hangs an "error".

    Args:
      task: what to find out.
      variables: of its environment, beside those of this process.
    """
    # What an earlier process has compiled would hide what compiling takes and how it varies.
    alone = {"JAX_ENABLE_COMPILATION_CACHE": "false", **variables}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", probe.__name__, json.dumps(task._asdict())],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment.for_child() | alone,
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


def findings(report: Report) -> list[Finding]:
    """What has failed, with what to do, and what its owner may not expect."""
    found = [
        Finding("failure" if name.startswith("float32") else "note", f"{name}: {error}")
        for name, error in report.errors.items()
    ]
    if "float32" not in report.measured:
        return found
    return [
        *found,
        *_of_parity(report),
        *_of_cosines(report),
        *_of_bytes(report),
        *_of_memory(report),
        *_of_precision(report),
    ]


def _of_parity(report: Report) -> list[Finding]:
    parity = report.measured["float32"].parity
    assert parity is not None
    return [
        Finding(
            "failure",
            f"{_NAMES[name]} {_number(value)}, where {LIMITS[name]:.0e} is allowed: in float32 "
            "this device does not compute what Keras does; do not trust its pictures",
        )
        for name, value in parity._asdict().items()
        if value is None or value > LIMITS[name]
    ]


def _of_cosines(report: Report) -> list[Finding]:
    return [
        Finding(
            "failure",
            f"the gradient in {precision} points elsewhere than that in float32 (cosine "
            f"{_number(report.cosine(precision))}, at least {COSINES[report.network]} is asked "
            f"for): do not use --precision {precision} on this device",
        )
        for precision in report.measured
        if not report.good(precision)
    ]


def _of_bytes(report: Report) -> list[Finding]:
    others = [precision for precision in report.measured if not report.same_bytes(precision)]
    if not others:
        return []
    words = f"two runs of the same settings give other bytes in {', '.join(others)}"
    if report.facts["backend"] != "gpu":
        return [Finding("failure", f"{words}: `nst-jax rerun` cannot repeat a run here")]
    strict = report.deterministic
    if "float32" not in others:
        return [Finding("note", f"{words}: use --deterministic where that matters")]
    if strict is None:  # it is among the errors why
        return [Finding("failure", words)]
    if len(set(strict.digests)) > 1:
        return [Finding("failure", f"{words}, with --deterministic too: do not rely on `rerun`")]
    return [
        Finding(
            "note",
            f"{words}; with --deterministic the same, and a step takes {strict.milliseconds:.4g} "
            f"ms instead of {report.measured['float32'].milliseconds:.4g}",
        )
    ]


def _of_memory(report: Report) -> list[Finding]:
    return [
        Finding(
            "note",
            f"in {precision} `nst-jax plan` would have said {measured.planned_bytes / 1e9:.2f} GB "
            f"and the peak was {measured.peak_bytes / 1e9:.2f} GB: leave room for the difference",
        )
        for precision, measured in report.measured.items()
        if measured.peak_bytes and abs(measured.planned_bytes / measured.peak_bytes - 1) > _MEMORY
    ]


def _of_precision(report: Report) -> list[Finding]:
    fast = report.facts["fastest_precision"]
    if fast == report.precision:
        return []
    return [
        Finding(
            "note",
            f"`--precision fast` stands for {fast} on this device, by its kind; the times and "
            f"gradients here are for {report.precision}",
        )
    ]


def to_json(report: Report) -> dict[str, Any]:
    """All of it as plain values, for a report: no path, and of names only those of files."""
    measured = {precision: each.to_json() for precision, each in report.measured.items()}
    for precision, values in measured.items():
        del values["gradient"]
        values |= {
            "milliseconds_a_step": report.measured[precision].milliseconds,
            "cosine": report.cosine(precision),
            "same_bytes": report.same_bytes(precision),
        }
    again = {"repeated": report.repeated, "deterministic": report.deterministic}
    return {
        "schema": SCHEMA,
        "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(report.seconds, 1),
        "facts": report.facts,
        "weights": report.weights,
        "network": report.network,
        "limits": {**LIMITS, "cosine": COSINES[report.network]},
        "measured": measured,
        "errors": report.errors,
        **{
            name: each and {"milliseconds_a_step": each.milliseconds, "digests": each.digests}
            for name, each in again.items()
        },
        "precision": report.precision if report.measured else None,
        "findings": [each._asdict() for each in findings(report)],
        "passed": passed(report),
    }


def write(report: Report, path: Path) -> None:
    """The JSON into a file."""
    with files.replacing(path) as temporary:
        temporary.write_text(json.dumps(to_json(report), indent=1, allow_nan=False) + "\n")


def passed(report: Report) -> bool:
    """Whether nothing has failed."""
    return all(each.level != "failure" for each in findings(report))


def in_words(report: Report) -> str:
    """A table for a person, which precision to take, and what was found."""
    found = findings(report)
    lines = _heading(report) if report.facts else []
    if "float32" in report.measured:
        lines += ["", *_table(report), "", _advice(report)]
    lines += [f"note: {each.text}" for each in found if each.level == "note"]
    lines += [f"FAILED: {each.text}" for each in found if each.level == "failure"]
    verdict = "passed" if passed(report) else "FAILED; please report it, with the file of --output,"
    return "\n".join([*lines, f"{verdict} in {report.seconds:.0f} s"])


def _heading(report: Report) -> list[str]:
    facts = report.facts
    versions = [f"{name} {facts['versions'][name]}" for name in ("nst_jax", "jax", "jaxlib")]
    device = [facts["device"]]
    if facts["backend"] == "cpu":
        device += [facts["processor"], *facts["instructions"], *["oneDNN"] * facts["onednn"]]
    for name in ("compute_capability", "driver"):
        device += [f"{name.replace('_', ' ')} {facts[name]}"] if facts[name] else []
    return [
        f"device: {', '.join(device)}",
        f"versions: {', '.join(versions)}, Python {facts['python']}",
        f"weights: {report.weights}"
        + " (nst-jax weights fetch gets trained ones)" * (report.network == "random"),
    ]


def _table(report: Report) -> list[str]:
    """A row for each quantity, a column for each precision, and what is asked for."""
    first = report.measured["float32"]
    least = f"at least {COSINES[report.network]}, with {report.network} weights"
    chunks = f"median of {len(first.chunk_milliseconds)} chunks of {first.chunk_length} steps"
    rows: list[tuple[str, Callable[[Precision, Measured], str], str]] = [
        (f"{first.size} x {first.size} pixels", lambda name, _: name, ""),
        ("convolutions", lambda _, each: each.convolutions, ""),
        ("ms a step", lambda _, each: f"{each.milliseconds:.4g}", chunks),
        ("ready after, s", lambda _, each: f"{each.ready_seconds:.1f}", ""),
        ("memory by nst-jax plan, GB", lambda _, each: _gigabytes(each.planned_bytes), ""),
        ("memory at the peak, GB", lambda _, each: _gigabytes(each.peak_bytes), ""),
        *(
            (
                text,
                lambda _, each, key=key: _parity(each, key),
                f"float32: at most {LIMITS[key]:.0e}",
            )
            for key, text in _NAMES.items()
        ),
        ("gradient, cosine to float32", lambda name, _: _number(report.cosine(name), ".4f"), least),
        ("the same bytes twice", lambda name, _: "yes" if report.same_bytes(name) else "NO", ""),
    ]
    return [
        f"{title:<28}"
        + "".join(f"{cell(name, each):>11}" for name, each in report.measured.items())
        + f"   {asked}".rstrip()
        for title, cell, asked in rows
    ]


def _parity(measured: Measured, key: str) -> str:
    return _number(getattr(measured.parity, key))


def _number(value: float | None, form: str = ".1e") -> str:
    return "not finite" if value is None else f"{value:{form}}"


def _gigabytes(number: int) -> str:
    return f"{number / 1e9:.2f}" if number else "unknown"


def _advice(report: Report) -> str:
    best = report.precision
    name = f"{best} (fast stands for it)" if best == report.facts["fastest_precision"] else best
    if best == "float32":
        return f"take --precision {name}: no other is clearly faster and as good"
    gain = report.measured["float32"].milliseconds / report.measured[best].milliseconds
    return f"take --precision {name}: {gain:.1f} times as fast as float32"
