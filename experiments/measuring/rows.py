"""The rows of the report's Table 1, and ours: one sweep read at several of its steps."""

import json
from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from nst_jax.runlog import RunRecord

EPOCH = 5
"""Steps of an epoch of the report."""

STEPS = 2500
"""Steps of the report's longest runs."""


class ReportRow(NamedTuple):
    """A row of the report's Table 1; `seconds` is its "total time"."""

    optimizer: str
    learning_rate: float
    steps: int
    seconds: float


TABLE_1 = (
    ReportRow("adam", 0.02, 250, 30.6),
    ReportRow("adagrad", 0.02, 250, 30.4),
    ReportRow("adagrad", 0.1, 250, 30.2),
    ReportRow("adam", 0.02, 500, 58.0),
    ReportRow("adagrad", 0.02, 500, 58.1),
    ReportRow("rmsprop", 0.02, 500, 57.2),
    ReportRow("adam", 0.02, 2500, 151.6),
    ReportRow("adagrad", 0.02, 2500, 151.8),
    ReportRow("rmsprop", 0.02, 2500, 149.6),
    ReportRow("rmsprop", 0.001, 2500, 152.9),
)


class Row(NamedTuple):
    """A row of our table.

    Attributes:
      report: the row of the report.
      steps: read at, scaled.
      total: as the report's program records it in its last step, before that step's update.
      epoch_mean: of the total over the epoch that ends there.
      alone: seconds a step of each short run of this optimizer and rate by itself.
      share: measured seconds of the sweep's program up to there, over its variants.
    """

    report: ReportRow
    steps: int
    total: float
    epoch_mean: float
    alone: tuple[float, ...]
    share: float

    @property
    def alone_per_step(self) -> float:
        return median(self.alone)


def scaled(report_steps: int, steps: int) -> int:
    """A train step of the report in a sweep of `steps` instead of 2500."""
    return max(1, round(report_steps * steps / STEPS))


def epoch_means(values: Float[np.ndarray, "t"]) -> Float[np.ndarray, "e"]:
    """The mean of each full epoch."""
    count = len(values) // EPOCH
    return np.asarray(values)[: count * EPOCH].reshape(count, EPOCH).mean(axis=1)


def column_of(record: RunRecord, optimizer: str, rate: float) -> int:
    """Which variant of a log has this optimizer and rate."""
    return [(v.optimizer, v.learning_rate) for v in record.variants].index((optimizer, rate))


def columns_beside(record: RunRecord, column: int) -> range:
    """The variants that ran in one program with this one, itself among them."""
    plans = json.loads(record.attributes["plans_json"])
    return next(
        columns
        for columns in (range(plan["start"], plan["stop"]) for plan in plans)
        if column in columns
    )


def seconds_at(record: RunRecord, steps: int, column: int) -> float:
    """How long the program of a variant had run after so many steps."""
    return float(np.nanmax(record.rows.wall_time[:steps, column]))


def rows_of(record: RunRecord, alone: Mapping[tuple[str, float], Sequence[float]]) -> list[Row]:
    """The ten rows.

    Args:
      record: of the sweep.
      alone: seconds a step of the short runs, by optimizer and rate.
    """
    rows = []
    for row in TABLE_1:
        column = column_of(record, row.optimizer, row.learning_rate)
        steps = scaled(row.steps, record.config["steps"])
        totals = record.rows.total[:steps, column]
        rows.append(
            Row(
                report=row,
                steps=steps,
                total=float(totals[-1]),
                epoch_mean=float(np.mean(totals[-EPOCH:])),
                alone=tuple(alone[row.optimizer, row.learning_rate]),
                share=seconds_at(record, steps, column) / len(columns_beside(record, column)),
            )
        )
    return rows
