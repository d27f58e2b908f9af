"""The tables of the page: what the variants are, how they ended, the loss of each layer."""

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from nst_jax.report import terms, words
from nst_jax.runlog import TOTAL, RunRecord, Variant, labels


class Column(NamedTuple):
    """Of a table: numbers (None: no value) or strings, one a variant; neighbors share a `group`.

    What was measured has a fixed number of digits, and maybe tints in percent; a setting as many
    as tell it from the others.
    """

    group: str
    title: str
    values: Sequence[int | float | str | None]
    is_measured: bool = False
    tints: Sequence[int] = ()

    @property
    def css_class(self) -> str:
        return "" if any(isinstance(value, str) for value in self.values) else "number"

    @property
    def texts(self) -> list[str]:
        texts: dict[Any, str] = {value: self._text(value) for value in self.values}
        if not self.is_measured and len(set(texts.values())) < len(texts):
            texts |= labels.of_numbers(v for v in texts if isinstance(v, int | float))
        return [texts[value] for value in self.values]

    def _text(self, value: int | float | str | None) -> str:
        if isinstance(value, str):
            return value
        return words.measured(value) if self.is_measured else words.number(value)

    @property
    def name(self) -> str:
        """As a setting that stands alone."""
        return f"{self.title} weight" if self.group == "weights" else self.title


def variants(record: RunRecord) -> list[Column]:
    """Each variant: the settings in which it differs from others, its end, its losses and time.

    A single run has a column for every setting.
    """
    is_single = len(record.variants) == 1
    return [
        _labels(record),
        *(column for column in _settings(record) if is_single or _differs(column)),
        Column("", "status", _statuses(record)),
        *_finals(record),
        *_times(record),
    ]


def shared_settings(record: RunRecord) -> dict[str, str]:
    """What has no column in the table of a sweep, because all variants have the same."""
    if len(record.variants) == 1:
        return {}
    columns = [column for column in _settings(record) if not _differs(column)]
    return {each.name: each.texts[0] for each in columns if each.values[0] is not None}


def layers(record: RunRecord) -> list[Column]:
    """The loss of each part of a term, mostly a layer, in each variant's last good row."""
    group = "" if len(record.rows.parts) == 1 else "{}"
    return [
        _labels(record),
        *(
            Column(group.format(terms.title(term)), name, own.tolist(), True, _tints(own))
            for term, losses in record.rows.parts.items()
            for name, own in zip(record.parts[term], _last_good(losses).T, strict=True)
        ),
    ]


def _last_good(losses: Float[np.ndarray, "t v part"]) -> Float[np.ndarray, "v part"]:
    """The last row of each variant in which all parts are finite; NaN without one."""
    values = np.full(losses.shape[1:], np.nan)
    good = np.isfinite(losses).all(axis=-1)
    for i in np.flatnonzero(good.any(axis=0)):
        values[i] = losses[np.flatnonzero(good[:, i])[-1], i]
    return values


def groups(columns: Sequence[Column]) -> list[tuple[str, int]]:
    """The groups of columns with their widths."""
    runs = itertools.groupby(column.group for column in columns)
    return [(group, len(list(run))) for group, run in runs]


def best(record: RunRecord) -> set[int]:
    """The variant of lowest total of each optimizer; none if the totals cannot be compared."""
    problems = {(v.content, v.style, *v.weights.values()) for v in record.variants}
    if record.final is None or len(problems) > 1 or len(record.variants) == 1:
        return set()
    lowest: dict[str, int] = {}
    totals = record.final[TOTAL]
    for i in np.argsort(totals, kind="stable").tolist():
        variant = record.variants[i]
        if variant.status == "finished" and np.isfinite(totals[i]):
            lowest.setdefault(variant.optimizer, i)
    return set(lowest.values())


def program_seconds(record: RunRecord) -> Float[np.ndarray, "v"]:
    """How long the program of each variant has run; NaN if it has not."""
    return np.fmax.reduce(record.rows.wall_time, keepdims=True, initial=np.nan)[0]


def _labels(record: RunRecord) -> Column:
    return Column("", "label", [variant.label for variant in record.variants])


def _settings(record: RunRecord) -> list[Column]:
    variants = record.variants
    contents, styles, starts = (
        words.of_files([getattr(v, x) for v in variants]) for x in ("content", "style", "init")
    )
    own = [contents[v.content] for v in variants]
    rates = [v.learning_rate if v.has_rate else None for v in variants]
    return [
        Column("", "optimizer", [v.optimizer for v in variants]),
        Column("", "learning rate", rates),
        *(
            Column("weights", terms.title(term), [v.weights[term] for v in variants])
            for term in record.terms
        ),
        *([Column("", "content picture", own)] if len(record.contents) > 1 else []),
        Column("", "style picture", [styles[v.style] for v in variants]),
        Column("", "start", [starts[v.init] for v in variants]),
        Column("", "seed", [v.seed for v in variants]),
    ]


def _differs(column: Column) -> bool:
    return len(set(column.values)) > 1


def _statuses(record: RunRecord) -> list[str]:
    winners, steps = best(record), record.config.get("steps")
    # Once for all variants: each looks at every row.
    ends = (record.steps_done.tolist(), record.began_at_minimum.tolist())
    statuses = [
        _status(variant, done, steps, at_minimum)
        for variant, done, at_minimum in zip(record.variants, *ends, strict=True)
    ]
    return [f"{status}, best" if i in winners else status for i, status in enumerate(statuses)]


def _status(variant: Variant, done: int, steps: Any, began_at_minimum: bool) -> str:
    """How a variant ended, or how many of the steps it has done."""
    if began_at_minimum:
        return "finished, began at its minimum"
    if variant.status == "diverged":
        return f"diverged at step {variant.diverged_step}"
    if not done:
        return "not started"
    if variant.status != "finished" or done != steps:
        return f"{variant.status}, {done} of {words.text(steps)} steps"
    return variant.status


def _finals(record: RunRecord) -> list[Column]:
    """The total and the terms of the saved pictures."""
    unknown = [None] * len(record.variants)
    names = (TOTAL, *record.terms)
    finals = {x: record.final[x].tolist() if record.final else unknown for x in names}
    return [
        Column("final loss", terms.title(term), values, is_measured=True)
        for term, values in finals.items()
    ]


def _times(record: RunRecord) -> list[Column]:
    """The seconds of the program, and of a sweep each variant's share of them."""
    seconds = program_seconds(record).tolist()
    columns = [Column("seconds", "program", seconds, is_measured=True)]
    if len(record.variants) > 1:
        # No two programs take the same time to the nanosecond: equal seconds are one program.
        sharing = Counter(seconds)
        shares = [each / sharing[each] for each in seconds]
        columns.append(Column("seconds", "share", shares, is_measured=True))
    return columns


def _tints(values: Float[np.ndarray, "v"]) -> list[int]:
    """Percentages that grow with the logarithms of values; those without one have none."""
    good = np.isfinite(values) & (values > 0)
    logs = np.log10(np.where(good, values, 1.0))
    if not good.any():
        return [0] * len(values)
    low, high = logs[good].min(), logs[good].max()
    places = np.where(good, (logs - low) / max(high - low, 1e-9), 0)
    return np.rint(60 * places).astype(int).tolist()
