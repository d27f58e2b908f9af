"""Judges what was measured: what is a failure, and what the owner of a device may not expect."""

from typing import Literal, NamedTuple

from nst_jax.check.record import COSINES, Report

LIMITS = {"features": 1e-5, "loss_terms": 1e-5, "gradient": 1e-3}
"""The largest differences from Keras in float32; docs/design.md, Tolerances, has the reasons."""
QUANTITIES = {
    "features": "features, off by at most",
    "loss_terms": "loss terms, off by at most",
    "gradient": "gradient, off by (L2)",
}
"""Those quantities in words."""
# A plan of memory may miss the peak by this part of it.
_MEMORY = 0.25


class Finding(NamedTuple):
    """A sentence about a device; a failure makes the exit code 1."""

    level: Literal["failure", "note"]
    text: str


def findings(report: Report) -> list[Finding]:
    """What has failed, with what to do, and what the owner of a device may not expect.

    Args:
      report: of `measuring.check`.
    """
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
            f"{QUANTITIES[name]} {digits(value)}, where {LIMITS[name]:.0e} is allowed: in "
            "float32 this device does not compute what Keras does; do not trust its pictures",
        )
        for name, value in parity._asdict().items()
        if value is None or value > LIMITS[name]
    ]


def _of_cosines(report: Report) -> list[Finding]:
    return [
        Finding(
            "failure",
            f"the gradient in {precision} points elsewhere than that in float32 (cosine "
            f"{digits(report.cosine(precision))}, at least {COSINES[report.network]} is asked "
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
    if strict is None:  # the errors of the report say why
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


def passed(report: Report) -> bool:
    """Whether nothing has failed.

    Args:
      report: of `measuring.check`.
    """
    return all(each.level != "failure" for each in findings(report))


def digits(value: float | None, form: str = ".1e") -> str:
    """A measured number for a person.

    Args:
      value: the number; None if it is not finite.
      form: as Python's format strings have it.
    """
    return "not finite" if value is None else f"{value:{form}}"
