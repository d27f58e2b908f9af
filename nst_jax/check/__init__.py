"""What a device does: `nst-jax check`.

For the first user of a device that nobody has tried: whether it computes what it should, how
fast, and in which precision. A table for the eye, JSON for a report.
"""

from nst_jax.check.measuring import check
from nst_jax.check.verdict import findings, passed
from nst_jax.check.words import in_words, to_json, write

__all__ = [
    "check",
    "findings",
    "in_words",
    "passed",
    "to_json",
    "write",
]
