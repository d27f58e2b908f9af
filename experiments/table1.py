"""Table 1 and Figures 7, 8, 9, 10 and the second 10 of the report, from one sweep.

    python experiments/table1.py                   # 512 px, 2500 steps: for a GPU
    python experiments/table1.py --size 96 --steps 250 --alone-steps 20 --output-dir out/small

Hardware: the second was run on two CPU cores, shared with other work; the first has not been run.
Time: six minutes (250 steps of six variants 4:15, compiling 0:10, fifteen short runs 1:20).
Result of the second, trained VGG19: from 2.6e9 at the start, after 250 steps Adam is at 9.5e7
(rate 0.1) and 1.02e8 (0.02), Adagrad at 1.25e8 (0.1) and 1.52e8 (0.02), RMSprop at 1.48e8 (0.001);
at 0.02 RMSprop jumps about 2e8. Alone, a step at 0.02 takes 191 to 192 ms with each optimizer.

An epoch is five steps, so the rows with one optimizer and rate are one trajectory read at 250,
500 and 2500 steps; six trajectories give the ten rows and all figures. Fewer `--steps` scale all
of that down. Written are table1.md, fig07.png to fig10b.png, the log table1.h5 and, in alone/,
the logs of short runs that time each optimizer by itself. A finished log is read again, an
interrupted one is gone on with.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import samples
import tyro
from jaxtyping import Float
from matplotlib.figure import Figure
from records import described, record_of

from nst_jax.choices import PrecisionSetting
from nst_jax.config import SweepConfig
from nst_jax.report import plotting
from nst_jax.runlog import RunRecord
from nst_jax.system import files
from nst_jax.system.console import exit_code_of, say

EPOCH = 5
"""Steps of an epoch of the report."""

MOST_DOTS = 60
"""Epoch means drawn as dots; more are a line."""

STEPS = 2500
"""Steps of the report's longest runs."""

LEARNING_RATES = ("adam:0.02,0.1", "adagrad:0.02,0.1", "rmsprop:0.02,0.001")


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


class PlotOf(NamedTuple):
    """A figure of the report: its curves (optimizer, rate) and the steps that it shows."""

    title: str
    curves: tuple[tuple[str, float], ...]
    steps: int


FIGURES = {
    "fig07.png": PlotOf("Figure 7: rate 0.02", (("adam", 0.02), ("adagrad", 0.02)), 250),
    "fig08.png": PlotOf("Figure 8: rate 0.1", (("adam", 0.1), ("adagrad", 0.1)), 250),
    "fig09.png": PlotOf(
        "Figure 9: rate 0.02", (("adam", 0.02), ("adagrad", 0.02), ("rmsprop", 0.02)), 500
    ),
    "fig10.png": PlotOf(
        "Figure 10: rate 0.02", (("adam", 0.02), ("adagrad", 0.02), ("rmsprop", 0.02)), 2500
    ),
    "fig10b.png": PlotOf(
        "Figure 10, the second: several rates",
        (
            ("adam", 0.02),
            ("adagrad", 0.02),
            ("rmsprop", 0.02),
            ("adagrad", 0.1),
            ("rmsprop", 0.001),
        ),
        2500,
    ),
}


@dataclass(frozen=True)
class Table1:
    """Reproduce the report's Table 1 and its loss plots on the demo's pictures."""

    output_dir: Path = Path("out/table1")
    """Where table, figures and logs go."""
    size: int = 512
    """Longest side in pixels. Our choice: the report states none."""
    steps: int = STEPS
    """Steps of each trajectory; the table's 250, 500 and 2500 are scaled by this over 2500."""
    alone_steps: int = 50
    """Steps of each short run that times an optimizer alone."""
    alone_repeats: int = 3
    """How often each of them is run: their range is the noise of a timing."""
    precision: PrecisionSetting = "float32"
    """Of the convolutions, as in `nst-jax sweep`; float32 reproduces the report."""
    weights: str | None = None
    """A weights file, or "random" (default: see `nst-jax weights info`)."""
    fresh: bool = False
    """Run again, whatever logs the folder holds."""


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


def config_of(settings: Table1) -> SweepConfig:
    """The sweep of all trajectories; total variation 0, as in the report's program."""
    return SweepConfig(
        content=samples.PORTRAIT,
        styles=(samples.PAINTING,),
        log=settings.output_dir / "table1.h5",
        size=settings.size,
        steps=settings.steps,
        optimizers=tuple(text.partition(":")[0] for text in LEARNING_RATES),
        learning_rates=LEARNING_RATES,
        tv_weights=(0.0,),
        precision=settings.precision,
        weights=settings.weights,
        force=True,
    )


def alone_of(settings: Table1, optimizer: str, rate: float, repeat: int) -> SweepConfig:
    """A short run of one variant."""
    return replace(
        config_of(settings),
        log=settings.output_dir / "alone" / f"{optimizer}-{rate:g}-{repeat}.h5",
        steps=settings.alone_steps,
        optimizers=(optimizer,),
        learning_rates=(repr(rate),),
    )


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


def rows_of(record: RunRecord, alone: dict[tuple[str, float], Sequence[float]]) -> list[Row]:
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


def spread_of(values: Sequence[float]) -> float:
    """The range of timings in percent of the smallest."""
    return more(max(values), min(values))


def more(value: float, than: float) -> float:
    """By how many percent a value is above another."""
    return 100 * (value / than - 1)


def judge(rows: Sequence[Row]) -> list[str]:
    """The report's five observations, one sentence each, from the report's table and ours.

    Two pairs of the report's rows differ in the rate alone. A rate is a number in the same
    program: by how much such a pair differs is the noise of the report's timings.
    """
    report = {tuple(row.report[:3]): row.report.seconds for row in rows}
    trajectories = {tuple(row.report[:2]): row for row in rows}.values()
    ours = {tuple(row.report[:2]): row.alone_per_step for row in rows}
    names = ("adam", "adagrad", "rmsprop")
    # The median: one run that something else held up does not count as noise of all.
    noise = median(spread_of(row.alone) for row in trajectories)
    all_ours = spread_of([ours[name, 0.02] for name in names])
    pair_ours = spread_of([ours["adam", 0.02], ours["adagrad", 0.02]])
    milliseconds = ", ".join(f"{_NAMES[name]} {1e3 * ours[name, 0.02]:.3g} ms" for name in names)
    all_report = max(
        spread_of([report[name, 0.02, steps] for name in names]) for steps in (500, 2500)
    )
    pair_report = max(
        spread_of([report["adam", 0.02, steps], report["adagrad", 0.02, steps]])
        for steps in (250, 500, 2500)
    )
    rmsprop_report = more(report["rmsprop", 0.001, 2500], report["rmsprop", 0.02, 2500])
    adagrad_report = more(report["adagrad", 0.02, 250], report["adagrad", 0.1, 250])
    rmsprop_ours = more(ours["rmsprop", 0.001], ours["rmsprop", 0.02])
    adagrad_ours = more(ours["adagrad", 0.02], ours["adagrad", 0.1])
    report_noise = max(abs(rmsprop_report), abs(adagrad_report))
    short, long = (
        next(row for row in rows if row.report[:3] == ("adam", 0.02, steps))
        for steps in (250, 2500)
    )
    return [
        "Contradicted by the report's own table: Adagrad at 0.02 is ahead of Adam only at 50 "
        f"epochs, by {report['adam', 0.02, 250] - report['adagrad', 0.02, 250]:.1f} s, while at "
        f"100 and 500 epochs it is the slowest of the three ({report['adagrad', 0.02, 500]} and "
        f"{report['adagrad', 0.02, 2500]} s) and RMSprop the fastest "
        f"({report['rmsprop', 0.02, 500]} and {report['rmsprop', 0.02, 2500]} s); a step of ours "
        f"alone takes {milliseconds}, a difference of {all_ours:.1f} %, "
        f"{_against(all_ours, noise)}.",
        f"Holds: in the report the two are within {pair_report:.1f} % of each other, less than "
        f"two runs of one program differ by there ({report_noise:.1f} %, observation 4), and in "
        f"ours they are {pair_ours:.1f} % apart, {_against(pair_ours, noise)}.",
        "Contradicted by the report's own table: at 100 and at 500 epochs RMSprop at 0.02 is the "
        f"fastest, though the three are never more than {all_report:.1f} % apart, less than the "
        f"{report_noise:.1f} % between two runs of one program, so that neither order is more "
        "than noise; for ours see the first.",
        f"Not shown: the lower rate changed the time by {rmsprop_report:+.1f} % for RMSprop "
        f"and by {adagrad_report:+.1f} % for Adagrad, but the rate is only a number in the "
        f"same program, and in ours it is {rmsprop_ours:+.1f} % and {adagrad_ours:+.1f} %, "
        f"{_against(max(abs(rmsprop_ours), abs(adagrad_ours)), noise)}.",
        f"Holds, but in the report not in proportion: {long.report.steps / short.report.steps:.3g} "
        f"times the steps took {long.report.seconds / short.report.seconds:.1f} times as long "
        "(Adam at 0.02, 50 and 500 epochs), which one program on one machine does not explain, "
        f"while in ours {long.steps / short.steps:.3g} times the steps took "
        f"{long.share / short.share:.3g} times as long.",
    ]


_NAMES = {"adam": "Adam", "adagrad": "Adagrad", "rmsprop": "RMSprop"}


def _against(difference: float, noise: float) -> str:
    word = "within" if difference <= noise else "beyond"
    return f"{word} the {noise:.1f} % by which repeats of one run typically differ"


OBSERVATIONS = (
    "Adagrad at 0.02 consistently takes slightly less time than Adam and RMSprop.",
    "Adam at 0.02 is competitive with Adagrad in time.",
    "RMSprop tends to take slightly longer than Adam and Adagrad.",
    "Lower learning rates generally take longer.",
    "More epochs and train steps take longer.",
)


def table(rows: Sequence[Row]) -> str:
    """The ten rows in Markdown."""
    lines = [
        "| optimizer | rate | epochs | train steps | report: time, s | our total | "
        "its epoch mean | "
        "our time alone, s | our share of the sweep, s |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        lines.append(
            f"| {_NAMES[row.report.optimizer]} | {row.report.learning_rate:g} | "
            f"{row.steps / EPOCH:g} | {row.steps} | {row.report.seconds:.1f} | "
            f"{_loss(row.total)} | {_loss(row.epoch_mean)} | "
            f"{row.alone_per_step * row.steps:.3g} | {row.share:.3g} |"
        )
    return "\n".join(lines)


def _loss(value: float) -> str:
    return f"{value:.4g}" if np.isfinite(value) else "diverged"


def page(record: RunRecord, rows: Sequence[Row], *, alone_steps: int) -> str:
    """table1.md: the rows, how they were got, the figures, the observations."""
    steps = record.config["steps"]
    height, width = record.content.shape[:2]
    attributes = record.attributes
    repeats = len(rows[0].alone)
    programs = json.loads(attributes["plans_json"])
    sweep = sum(seconds_at(record, steps, program["start"]) for program in programs)
    notes = []
    if steps != STEPS:
        notes.append(
            f"**A small run: {steps} steps instead of {STEPS}. The report's 250, 500 and 2500 "
            f"train steps became {', '.join(str(scaled(n, steps)) for n in (250, 500, 2500))}; "
            "its times, in the table, are of its own numbers of steps.**"
        )
    notes += [
        f"Pictures of {width} x {height} pixels (the size is our choice: the report states "
        "none), content weight 1e4, style weight 1e-2, total variation 0, start from the content "
        f"picture; {described(record)}.",
        table(rows),
        f"*Train steps*: an epoch is {EPOCH}; rows with one optimizer and rate are one "
        "trajectory. *Our total* is the loss that the last of these steps starts from, which is "
        "what the report's program records in it; *its epoch mean* is over the five steps that end "
        "there, and says more of a curve that jumps. *Our time alone* is extrapolated: a run of "
        f"{alone_steps} steps with no other variant, its seconds a step, the median of {repeats} "
        "such runs, times the train steps. *Our share of the sweep* is measured: the time that "
        "the program of this optimizer took to get there, divided by the "
        f"{len(columns_beside(record, 0))} variants in it. The whole sweep, "
        f"{len(record.variants)} variants of {steps} steps in {len(programs)} programs, ran for "
        f"{sweep:.3g} s. Compiling these programs took {attributes['compile_seconds']:.3g} s "
        "more, which is in no other number here. The report does not say what its times contain, "
        "nor on what machine they were taken.",
    ]
    observations = [
        f"{number}. *{text}* {verdict}"
        for number, (text, verdict) in enumerate(
            zip(OBSERVATIONS, judge(rows), strict=True), start=1
        )
    ]
    figures = [f"![{plot.title}]({name})" for name, plot in FIGURES.items()]
    return "\n\n".join(
        [
            "# Table 1 of the report",
            *notes,
            "## The report's observations",
            "\n".join(observations),
            "## Figures",
            "Pale: the loss of each step. Dots, or the strong line: the mean of each epoch, which "
            "is what the report plots.",
            *figures,
            "",
        ]
    )


def draw(record: RunRecord, plot: PlotOf) -> Figure:
    """Curves of each step with the means of the epochs on them."""
    columns = [column_of(record, *curve) for curve in plot.curves]
    steps = scaled(plot.steps, record.config["steps"])
    figure = plotting.loss_curves(_part(record, columns, steps))
    axes = figure.axes[0]
    for line in list(axes.lines):
        means = epoch_means(line.get_ydata())
        middles = np.arange(len(means)) * EPOCH + (EPOCH - 1) / 2
        few = len(means) <= MOST_DOTS
        line.set(alpha=0.5 if few else 0.3, linewidth=0.9)
        marks = {"marker": "o", "ms": 3, "ls": ""} if few else {"lw": 1.6}
        axes.plot(middles, means, color=line.get_color(), **marks)
    shown = "dots" if steps // EPOCH <= MOST_DOTS else "strong"
    axes.set_title(
        f"{plot.title}, {steps / EPOCH:g} epochs (pale: each step, {shown}: epoch means)",
        fontsize=9,
    )
    return figure


def _part(record: RunRecord, columns: Sequence[int], steps: int) -> RunRecord:
    """Some variants of a log, up to a step."""
    rows = {
        name: values[:steps] if values.ndim == 1 else values[:steps, columns]
        for name, values in vars(record.rows).items()
    }
    return replace(
        record,
        variants=tuple(record.variants[i] for i in columns),
        rows=replace(record.rows, **rows),
    )


def time_alone(settings: Table1) -> dict[tuple[str, float], list[RunRecord]]:
    """The short runs by optimizer and rate, in turns, so that a slow minute is shared by all."""
    pairs = list(dict.fromkeys((row.optimizer, row.learning_rate) for row in TABLE_1))
    records: dict[tuple[str, float], list[RunRecord]] = {pair: [] for pair in pairs}
    for repeat in range(settings.alone_repeats):
        say(f"timing each optimizer alone, {repeat + 1} of {settings.alone_repeats}")
        for pair in pairs:
            config = alone_of(settings, *pair, repeat)
            records[pair].append(record_of(config, fresh=settings.fresh, quiet=True))
    return records


def main(settings: Table1) -> Path:
    """Runs or reads what is needed, and writes the table and the figures.

    Returns:
      The path of table1.md.
    """
    if settings.alone_repeats < 2:
        raise ValueError(
            f"--alone-repeats must be at least 2 to know the noise, got {settings.alone_repeats}"
        )
    say(f"{settings.size} px (our choice: the report states none), {settings.steps} steps")
    files.check_folder(settings.output_dir)
    record = record_of(config_of(settings), fresh=settings.fresh)
    alone = time_alone(settings)
    seconds = {
        pair: [float(each.rows.wall_time[-1, 0]) / len(each.rows.step) for each in records]
        for pair, records in alone.items()
    }
    rows = rows_of(record, seconds)
    for name, plot in FIGURES.items():
        plotting.save(draw(record, plot), settings.output_dir / name)
    path = settings.output_dir / "table1.md"
    text = page(record, rows, alone_steps=settings.alone_steps)
    with files.replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    say(table(rows))
    say(f"wrote {path} and {', '.join(FIGURES)}")
    return path


def command() -> int:
    main(tyro.cli(Table1, config=(tyro.conf.FlagCreatePairsOff,)))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(command))
