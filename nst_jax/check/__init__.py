"""What a device does: `nst-jax check`."""

from nst_jax.check.device import (
    check,
    findings,
    in_words,
    passed,
    to_json,
    write,
)

__all__ = [
    "check",
    "findings",
    "in_words",
    "passed",
    "to_json",
    "write",
]
