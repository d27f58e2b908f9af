"""Which optimizer, which rate, how many steps: nine pairs of pictures, each optimizer tuned.

    python experiments/study.py                        # 96 px: for a CPU
    python experiments/study.py --size 512 --evaluations 250 --long-evaluations 2500

The report compares the optimizers at one learning rate, on one pair of pictures, by eye. Here
each has seven rates in its own range, three contents meet three styles, the start is perturbed by
three seeds, and all get the same number of gradient evaluations. A second stage goes on for longer
with the best rates and their neighbors. The page says what is measured and how sure it is.

The pictures are looked for in --pictures under the names in `samples`. Written are section.md
with its figures and, one a content and stage, the logs. A finished log is read again, an
interrupted one is gone on with.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import tyro
from measuring import measures, samples, tuning
from measuring.measures import Runs
from measuring.records import record_of
from measuring.tuning import Stage
from pages import study as study_page
from pages import study_figures, writing

from nst_jax.choices import PrecisionSetting
from nst_jax.config import SweepConfig
from nst_jax.system import files
from nst_jax.system.console import exit_code_of, say

LEARNING_RATES = {
    "adam": "0.001,0.003,0.01,0.03,0.1,0.3,1",
    "rmsprop": "0.0001,0.0003,0.001,0.003,0.01,0.03,0.1",
    "adagrad": "0.01,0.03,0.1,0.3,1,3,10",
    "sgd": "1e-11,3e-11,1e-10,3e-10,1e-9,3e-9,1e-8",
}
"""Half decades in each optimizer's own range, as the command line takes them."""


@dataclass(frozen=True)
class Study:
    """Compare the optimizers over nine pairs of pictures, three starts and their own rates."""

    output_dir: Path = Path("out/study")
    """Where logs, figures and the page go."""
    pictures: Path = Path("../shared/images")
    """Folder of the pictures."""
    size: int = 96
    """Longest side in pixels."""
    evaluations: int = 80
    """Gradient evaluations of each run of the first stage."""
    long_evaluations: int = 250
    """Those of the second."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of the noise that is added to the start; the second stage has the first of them."""
    init_noise: float = 0.02
    """Standard deviation of that noise."""
    precision: PrecisionSetting = "float32"
    """Of the convolutions, as in `nst-jax sweep`; float32 reproduces the report."""
    weights: str | None = None
    """A weights file, or "random" (default: see `nst-jax weights info`)."""
    fresh: bool = False
    """Run again, whatever logs the folder holds."""


class Plan(NamedTuple):
    """A stage of the study: every content, style, rate and seed at one length.

    `name` leads the names of its logs.
    """

    name: str
    evaluations: int
    rates: Mapping[str, str]
    seeds: tuple[int, ...]


def stage_one(study: Study) -> Plan:
    return Plan("", study.evaluations, LEARNING_RATES, study.seeds)


def stage_two(study: Study, runs: Mapping[str, Runs]) -> Plan:
    """The best rates of the first stage, with half a decade below and above."""
    rates = {
        name: ",".join(
            f"{rate:g}" for rate in around(tuning.best(runs[name], study.evaluations).rate)
        )
        for name in LEARNING_RATES
    }
    return Plan("long-", study.long_evaluations, rates, study.seeds[:1])


def around(rate: float) -> tuple[float, float, float]:
    """A rate of 1 or 3 times a power of ten between its neighbors of that kind."""
    of_one = f"{rate:.0e}".startswith("1")
    factors = (0.3, 1, 3) if of_one else (1 / 3, 1, 10 / 3)
    return tuple(float(f"{rate * factor:.0e}") for factor in factors)


def configs_of(
    study: Study, plan: Plan, content: Path, styles: tuple[Path, ...]
) -> tuple[SweepConfig, SweepConfig]:
    """The sweeps over one content: the first-order optimizers, and L-BFGS."""
    first_order = SweepConfig(
        content=content,
        styles=styles,
        log=study.output_dir / f"{plan.name}{content.stem}-first-order.h5",
        size=study.size,
        steps=plan.evaluations,
        optimizers=tuple(plan.rates),
        learning_rates=tuple(f"{name}:{rates}" for name, rates in plan.rates.items()),
        tv_weights=(0.0,),
        seeds=plan.seeds,
        init_noise=study.init_noise,
        snapshot_every=max(1, plan.evaluations // 4),
        precision=study.precision,
        weights=study.weights,
        force=True,
    )
    # Every step of L-BFGS takes one evaluation at least, so that these steps are enough.
    lbfgs = replace(
        first_order,
        log=study.output_dir / f"{plan.name}{content.stem}-lbfgs.h5",
        optimizers=("lbfgs",),
        learning_rates=(),
        snapshot_every=1,
    )
    return first_order, lbfgs


def run(study: Study, plan: Plan) -> Stage:
    """Runs a stage, or reads what there is of it."""
    contents, styles = samples.study_pictures(study.pictures, study.output_dir / "pictures")
    sweeps = [configs_of(study, plan, content, styles) for content in contents]
    first_order = [record_of(config, fresh=study.fresh) for config, _ in sweeps]
    lbfgs = [record_of(config, fresh=study.fresh) for _, config in sweeps]
    runs = measures.runs_of(first_order) | measures.runs_of(lbfgs, weights=study.weights)
    return Stage(runs, first_order)


def main(study: Study) -> Path:
    """Runs both stages and writes the section with its figures.

    Returns:
      The path of section.md.
    """
    files.check_folder(study.output_dir)
    say(f"{study.size} px, {study.evaluations} and {study.long_evaluations} evaluations")
    first = run(study, stage_one(study))
    second = run(study, stage_two(study, first.runs))
    figures = {name: draw(first, second) for name, draw in study_figures.FIGURES.items()}
    path = study.output_dir / "section.md"
    writing.write(path, study_page.section(first, second), figures)
    say(f"wrote {path}")
    return path


def command() -> int:
    main(tyro.cli(Study, config=(tyro.conf.FlagCreatePairsOff,)))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(command))
