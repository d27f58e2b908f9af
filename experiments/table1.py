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

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import tyro
from measuring import rows, samples
from measuring.records import record_of
from measuring.rows import STEPS, TABLE_1
from pages import table1 as table1_page
from pages import writing
from pages.table1_figures import FIGURES, draw

from nst_jax.choices import PrecisionSetting
from nst_jax.config import SweepConfig
from nst_jax.runlog import RunRecord
from nst_jax.system import files
from nst_jax.system.console import exit_code_of, say

LEARNING_RATES = ("adam:0.02,0.1", "adagrad:0.02,0.1", "rmsprop:0.02,0.001")


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
    found = rows.rows_of(record, seconds)
    figures = {name: draw(record, plot) for name, plot in FIGURES.items()}
    path = settings.output_dir / "table1.md"
    writing.write(path, table1_page.page(record, found, alone_steps=settings.alone_steps), figures)
    say(table1_page.table(found))
    say(f"wrote {path} and {', '.join(figures)}")
    return path


def command() -> int:
    main(tyro.cli(Table1, config=(tyro.conf.FlagCreatePairsOff,)))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(command))
