"""Optimizers compared at equal evaluations, each at the learning rate that is best for it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from measuring import measures, paired
from measuring.measures import Runs
from nst_jax.objective import DEFAULT_WEIGHTS
from nst_jax.runlog import RunRecord


class Stage(NamedTuple):
    """One length of runs: the runs by optimizer, and the logs of the first-order sweeps."""

    runs: Mapping[str, Runs]
    records: Sequence[RunRecord]

    @property
    def budget(self) -> int:
        return next(iter(self.runs.values())).budget


class Best(NamedTuple):
    """The rate of the lowest median over the pairs, and that median."""

    rate: float
    left: float


class Tuned(NamedTuple):
    """An optimizer on each pair at the rate that is best on the others.

    Attributes:
      choice: the places of these rates in the runs.
      rates: the rates.
      final: the total at the end relative to the start's, median over the seeds.
      content: the content term's part of that total.
      area, to_fifth, to_twentieth: see `measures`.
    """

    choice: Int[np.ndarray, "pair"]
    rates: tuple[float, ...]
    final: Float[np.ndarray, "pair"]
    content: Float[np.ndarray, "pair"]
    area: Float[np.ndarray, "pair"]
    to_fifth: Float[np.ndarray, "pair"]
    to_twentieth: Float[np.ndarray, "pair"]

    @property
    def usual(self) -> float:
        """The rate chosen most often."""
        return max(self.rates, key=self.rates.count)


def best(runs: Runs, evaluations: int) -> Best:
    """Over all pairs, after so many evaluations."""
    medians = np.median(measures.after(runs, evaluations), axis=0)
    return Best(runs.rates[int(np.argmin(medians))], float(np.min(medians)))


def tuned(runs: Runs) -> Tuned:
    """Chooses a rate for each pair by what is best on the others at the end."""
    finals = measures.after(runs, runs.budget)
    choice = paired.choose_leaving_one_out(finals)
    chosen = (np.arange(len(finals)), choice)
    part = DEFAULT_WEIGHTS["report"][0] * runs.content[..., -1] / runs.total[..., -1]
    return Tuned(
        choice,
        tuple(runs.rates[i] for i in choice),
        finals[chosen],
        np.median(part, axis=-1)[chosen],
        measures.area(runs)[chosen],
        measures.evaluations_to(runs, 0.2)[chosen],
        measures.evaluations_to(runs, 0.05)[chosen],
    )


def tuned_stage(stage: Stage) -> dict[str, Tuned]:
    """Every optimizer at its own rates, the best first.

    In the order of their geometric means, which are of ratios pair by pair; medians of different
    optimizers may be of different pairs.
    """
    each = {name: tuned(runs) for name, runs in stage.runs.items()}
    return dict(sorted(each.items(), key=lambda item: float(np.mean(np.log(item[1].final)))))


def budgets(stage: Stage) -> tuple[int, int, int]:
    """A quarter of a stage's evaluations, half of them, and all."""
    return stage.budget // 4, stage.budget // 2, stage.budget
