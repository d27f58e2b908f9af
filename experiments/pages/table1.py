"""Facts of the report's Table 1: its times and ours, and what they say of its observations."""

import json
from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

from measuring import rows
from measuring.records import Origin, origin_of
from measuring.rows import Row

from nst_jax.runlog import RunRecord
from pages import words
from pages.names import NAMES
from pages.table1_figures import FIGURES

_AT_002 = ("adam", "adagrad", "rmsprop")


class Apart(NamedTuple):
    """By how many percent times differ in the report, and in ours."""

    report: float
    ours: float


class Longer(NamedTuple):
    """How many times the steps there are, and how many times as long they took."""

    steps: float
    seconds: float


class Judgement(NamedTuple):
    """What the report's observations are judged by; rates are 0.02 where none is named.

    Two pairs of the report's rows differ in the rate alone. A rate is a number in the same
    program: by how much such a pair differs is the noise of the report's timings.

    Attributes:
      noise: of the report, see above; of ours, by how much repeats of one run typically differ.
      three: Adam, Adagrad and RMSprop; the most of several numbers of steps of the report.
      two: Adam and Adagrad, likewise.
      lower_rmsprop: RMSprop at 0.001 over the same at 0.02.
      lower_adagrad: Adagrad at 0.02 over the same at 0.1.
      adagrad_ahead: seconds that Adagrad took less than Adam for the report's 250 steps.
      adagrad, rmsprop: seconds for the report's 500 and 2500 steps.
      alone: seconds a step of ours, by optimizer.
      report_longer, our_longer: 2500 of Adam's steps in place of 250.
    """

    noise: Apart
    three: Apart
    two: Apart
    lower_rmsprop: Apart
    lower_adagrad: Apart
    adagrad_ahead: float
    adagrad: tuple[float, float]
    rmsprop: tuple[float, float]
    alone: tuple[tuple[str, float], ...]
    report_longer: Longer
    our_longer: Longer


class Facts(NamedTuple):
    """All numbers of the page.

    Attributes:
      rows: of the table.
      judgement: of the report's observations.
      steps: of each variant of the sweep.
      report_steps: of the report's longest runs.
      scaled: what the report's 250, 500 and 2500 steps became.
      epoch: its steps.
      width, height: of the pictures in pixels.
      alone_steps, repeats: of the short runs.
      variants, programs: of the sweep, and `beside`, the variants in the first of its programs.
      sweep_seconds, compile_seconds: that all programs ran, and took to compile.
      figures: names and titles of the files.
      names: of the optimizers.
      origin: of the sweep.
    """

    rows: tuple[Row, ...]
    judgement: Judgement
    steps: int
    report_steps: int
    scaled: tuple[int, ...]
    epoch: int
    width: int
    height: int
    alone_steps: int
    repeats: int
    variants: int
    programs: int
    beside: int
    sweep_seconds: float
    compile_seconds: float
    figures: tuple[tuple[str, str], ...]
    names: Mapping[str, str]
    origin: Origin


def page(record: RunRecord, table: Sequence[Row], *, alone_steps: int) -> str:
    """table1.md: the rows, how they were got, the figures, the observations."""
    text = words.render("table1", **facts(record, table, alone_steps=alone_steps)._asdict())
    return f"{text}\n"


def table(found: Sequence[Row]) -> str:
    """The ten rows in Markdown."""
    return words.render("table1_rows", rows=found, names=NAMES, epoch=rows.EPOCH)


def facts(record: RunRecord, table: Sequence[Row], *, alone_steps: int) -> Facts:
    """The numbers of a sweep and of its rows."""
    steps = record.config["steps"]
    height, width = record.content.shape[:2]
    programs = json.loads(record.attributes["plans_json"])
    return Facts(
        rows=tuple(table),
        judgement=judge(table),
        steps=steps,
        report_steps=rows.STEPS,
        scaled=tuple(rows.scaled(each, steps) for each in (250, 500, 2500)),
        epoch=rows.EPOCH,
        width=width,
        height=height,
        alone_steps=alone_steps,
        repeats=len(table[0].alone),
        variants=len(record.variants),
        programs=len(programs),
        beside=len(rows.columns_beside(record, 0)),
        sweep_seconds=sum(rows.seconds_at(record, steps, each["start"]) for each in programs),
        compile_seconds=record.attributes["compile_seconds"],
        figures=tuple((name, plot.title) for name, plot in FIGURES.items()),
        names=NAMES,
        origin=origin_of(record),
    )


def judge(table: Sequence[Row]) -> Judgement:
    """What the report's table and ours say of its five observations."""
    report = {tuple(row.report[:3]): row.report.seconds for row in table}
    ours = {tuple(row.report[:2]): row.alone_per_step for row in table}
    lower_rmsprop = Apart(
        more(report["rmsprop", 0.001, 2500], report["rmsprop", 0.02, 2500]),
        more(ours["rmsprop", 0.001], ours["rmsprop", 0.02]),
    )
    lower_adagrad = Apart(
        more(report["adagrad", 0.02, 250], report["adagrad", 0.1, 250]),
        more(ours["adagrad", 0.02], ours["adagrad", 0.1]),
    )
    report_longer, our_longer = _longer(table)
    return Judgement(
        Apart(max(abs(lower_rmsprop.report), abs(lower_adagrad.report)), _noise(table)),
        _apart(report, ours, _AT_002, (500, 2500)),
        _apart(report, ours, ("adam", "adagrad"), (250, 500, 2500)),
        lower_rmsprop,
        lower_adagrad,
        report["adam", 0.02, 250] - report["adagrad", 0.02, 250],
        (report["adagrad", 0.02, 500], report["adagrad", 0.02, 2500]),
        (report["rmsprop", 0.02, 500], report["rmsprop", 0.02, 2500]),
        tuple((NAMES[name], ours[name, 0.02]) for name in _AT_002),
        report_longer,
        our_longer,
    )


def _noise(table: Sequence[Row]) -> float:
    """The median: one run that something else held up does not count as noise of all."""
    trajectories = {tuple(row.report[:2]): row for row in table}.values()
    return median(spread_of(row.alone) for row in trajectories)


def _apart(
    report: Mapping[tuple, float],
    ours: Mapping[tuple, float],
    names: Sequence[str],
    steps: Sequence[int],
) -> Apart:
    """How far some optimizers are apart, in the report at most."""
    return Apart(
        max(spread_of([report[name, 0.02, each] for name in names]) for each in steps),
        spread_of([ours[name, 0.02] for name in names]),
    )


def _longer(table: Sequence[Row]) -> tuple[Longer, Longer]:
    """In the report, and in ours."""
    short, long = (
        next(row for row in table if row.report[:3] == ("adam", 0.02, steps))
        for steps in (250, 2500)
    )
    return (
        Longer(long.report.steps / short.report.steps, long.report.seconds / short.report.seconds),
        Longer(long.steps / short.steps, long.share / short.share),
    )


def spread_of(values: Sequence[float]) -> float:
    """The range of timings in percent of the smallest."""
    return more(max(values), min(values))


def more(value: float, than: float) -> float:
    """By how many percent a value is above another."""
    return 100 * (value / than - 1)
