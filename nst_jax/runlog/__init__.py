"""The run log: its schema and types, reading, writing, and the states that lie beside it."""

from nst_jax.runlog.reading import has_ended, load, parse_json
from nst_jax.runlog.record import (
    NAME,
    SCHEMA_VERSION,
    LoggedStage,
    RunRecord,
    Variant,
    ended,
    first_bad_term,
    largest,
)
from nst_jax.runlog.series import TOTAL, Parts, Rows

__all__ = [
    "NAME",
    "SCHEMA_VERSION",
    "TOTAL",
    "LoggedStage",
    "Parts",
    "Rows",
    "RunRecord",
    "Variant",
    "ended",
    "first_bad_term",
    "has_ended",
    "largest",
    "load",
    "parse_json",
]
