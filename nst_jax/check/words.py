"""A report in words: a table for a person, JSON for a file."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nst_jax.check.probe import Measured
from nst_jax.check.record import COSINES, Report
from nst_jax.check.verdict import LIMITS, QUANTITIES, digits, findings, passed
from nst_jax.choices import Precision
from nst_jax.system import files

SCHEMA = 1
"""The version of the JSON."""

# A title, how a cell tells of a precision and its measurements, and what is asked for.
_Row = tuple[str, Callable[[Precision, Measured], str], str]


def to_json(report: Report) -> dict[str, Any]:
    """All of a report as plain values. It tells no path, and of names only those of files.

    Args:
      report: of `measuring.check`.

    Returns:
      Values for JSON; no number is infinite or NaN.
    """
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
    """Writes a report into a file, as JSON.

    Args:
      report: of `measuring.check`.
      path: the file; replaced if it exists.

    Raises:
      OSError: it cannot be written.
    """
    with files.replacing(path) as temporary:
        temporary.write_text(json.dumps(to_json(report), indent=1, allow_nan=False) + "\n")


def in_words(report: Report) -> str:
    """A table for a person, which precision to take, and what was found.

    Args:
      report: of `measuring.check`.
    """
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
    return [
        f"{title:<28}"
        + "".join(f"{cell(name, each):>11}" for name, each in report.measured.items())
        + f"   {asked}".rstrip()
        for title, cell, asked in _rows(report)
    ]


def _rows(report: Report) -> list[_Row]:
    first = report.measured["float32"]
    least = f"at least {COSINES[report.network]}, with {report.network} weights"
    chunks = f"median of {len(first.chunk_milliseconds)} chunks of {first.chunk_length} steps"
    return [
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
            for key, text in QUANTITIES.items()
        ),
        (
            "gradient, cosine to float32",
            lambda name, _: digits(report.cosine(name), ".4f"),
            least,
        ),
        ("the same bytes twice", lambda name, _: "yes" if report.same_bytes(name) else "NO", ""),
    ]


def _parity(measured: Measured, key: str) -> str:
    return digits(getattr(measured.parity, key))


def _gigabytes(number: int) -> str:
    return f"{number / 1e9:.2f}" if number else "unknown"


def _advice(report: Report) -> str:
    best = report.precision
    name = f"{best} (fast stands for it)" if best == report.facts["fastest_precision"] else best
    if best == "float32":
        return f"take --precision {name}: no other is clearly faster and as good"
    gain = report.measured["float32"].milliseconds / report.measured[best].milliseconds
    return f"take --precision {name}: {gain:.1f} times as fast as float32"
