"""The run log: its schema and types, reading, writing, and the states that lie beside it."""

from nst_jax.runlog.reading import has_ended, load, parse_json
from nst_jax.runlog.record import (
    SCHEMA_VERSION,
    TERMS,
    Rows,
    RunRecord,
    Variant,
    ended,
    first_bad_term,
)

__all__ = [
    "SCHEMA_VERSION",
    "TERMS",
    "Rows",
    "RunRecord",
    "Variant",
    "ended",
    "first_bad_term",
    "has_ended",
    "load",
    "parse_json",
]
