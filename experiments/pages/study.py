"""Facts of the study: the report's first two questions in numbers."""

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from measuring import measures, paired, tuning
from measuring.measures import Runs
from measuring.paired import Comparison, Interval
from measuring.records import Origin, origin_of
from measuring.tuning import Best, Stage, Tuned

from nst_jax.objective import DEFAULT_WEIGHTS
from nst_jax.runlog import RunRecord
from pages import words
from pages.names import NAMES

OF_THE_REPORT = ("adam", "rmsprop", "adagrad")
COMMON_RATE = 0.03
"""On the grids of the report's three optimizers, and nearest to its 0.02."""
LEVEL = 0.05


class Reached(NamedTuple):
    """Evaluations to a part of the start's loss: the median, None if that is of a pair that never
    got there, and the pairs that did."""

    median: float | None
    pairs: int


class Standing(NamedTuple):
    """An optimizer in a stage, at the rates chosen on the other pairs.

    Attributes:
      name: of the optimizer.
      rates: with the number of pairs of each, the most frequent first; none of L-BFGS.
      left: the loss at the end in parts of the start's.
      content: the content term's part of it, median over the pairs.
      area: see `measures.area`, median over the pairs.
      to_fifth, to_twentieth: evaluations until 20 % and 5 % were left.
    """

    name: str
    rates: tuple[tuple[float, int], ...]
    left: Interval
    content: float
    area: float
    to_fifth: Reached
    to_twentieth: Reached


class Duel(NamedTuple):
    """One optimizer against another, pair by pair."""

    first: str
    second: str
    found: Comparison

    @property
    def is_decided(self) -> bool:
        return self.found.adjusted < LEVEL


class StageFacts(NamedTuple):
    """Which optimizer is best after so many evaluations.

    Attributes:
      budget: evaluations.
      seeds, pairs: how many.
      minutes: that the first-order runs took.
      standings: of the optimizers, the best first.
      duels: each against each.
      neighbors: those of them that stand beside each other.
      lead, lead_of_report: of the best against the next, among all and among the report's three.
    """

    budget: int
    seeds: int
    pairs: int
    minutes: float
    standings: tuple[Standing, ...]
    duels: tuple[Duel, ...]
    neighbors: tuple[Duel, ...]
    lead: Duel
    lead_of_report: Duel


class OptimizerRates(NamedTuple):
    """What the rate of an optimizer does.

    Attributes:
      name: of the optimizer.
      best: after each of the budgets.
      lower, higher: the factor by which the loss is higher one rate below the best and one above;
        None where there is no such rate.
      diverged: the part of all runs.
    """

    name: str
    best: tuple[Best, ...]
    lower: float | None
    higher: float | None
    diverged: float


class RateFacts(NamedTuple):
    """Which rate, and how many steps.

    Attributes:
      budgets: a quarter and a half of the first stage's evaluations, all, and the second's.
      optimizers: those that have a rate.
      usual: of the report's optimizers, the rate chosen most often in the second stage.
      common_rate: a rate for the report's three.
      common, own: the loss left of each with that rate, and with its own best, the best first.
      doubled: what twice the evaluations leave of the loss, the median ratio of the pairs.
      pairs_that_fell: in how many of them it falls, by optimizer.
    """

    budgets: tuple[int, ...]
    optimizers: tuple[OptimizerRates, ...]
    usual: tuple[tuple[str, float], ...]
    common_rate: float
    common: tuple[tuple[str, float], ...]
    own: tuple[tuple[str, float], ...]
    doubled: tuple[tuple[str, float], ...]
    pairs_that_fell: tuple[int, ...]

    @property
    def costs(self) -> list[float]:
        """Of a rate beside the best, where there is one."""
        every = [cost for each in self.optimizers for cost in (each.lower, each.higher)]
        return [cost for cost in every if cost is not None]

    @property
    def is_same_order(self) -> bool:
        return [name for name, _ in self.common] == [name for name, _ in self.own]

    @property
    def common_factor(self) -> float:
        """Between the last and the first."""
        return self.common[-1][1] / self.common[0][1]

    @property
    def own_factor(self) -> float:
        return self.own[-1][1] / self.own[0][1]


class MethodFacts(NamedTuple):
    """How it was measured.

    Attributes:
      contents, styles: the pictures in words.
      sizes: of the results, in words.
      content_weight, style_weight: of the loss.
      noise: standard deviation of what is added to the start.
      rates: of an optimizer in the first stage.
      at_the_edge: optimizers whose best rate is the lowest or the highest of the first stage.
      smallest_p: that these numbers of pairs and comparisons can give.
    """

    contents: tuple[str, ...]
    styles: tuple[str, ...]
    sizes: tuple[str, ...]
    content_weight: float
    style_weight: float
    noise: float
    rates: int
    at_the_edge: tuple[str, ...]
    smallest_p: float


class Facts(NamedTuple):
    """All numbers of the page."""

    first: StageFacts
    second: StageFacts
    rates: RateFacts
    method: MethodFacts
    origin: Origin


def section(first: Stage, second: Stage) -> str:
    """Questions 1 and 2 in Markdown."""
    return words.render("study", **facts(first, second)._asdict())


def facts(first: Stage, second: Stage) -> Facts:
    """The numbers of two stages."""
    of_first = stage_facts(first)
    return Facts(
        of_first,
        stage_facts(second),
        rate_facts(first, second),
        method_facts(first, comparisons=len(of_first.duels)),
        origin_of(first.records[0]),
    )


def stage_facts(stage: Stage) -> StageFacts:
    tuned = tuning.tuned_stage(stage)
    compared = paired.compare({name: each.final for name, each in tuned.items()})
    duels = {
        (one, other): Duel(NAMES[one], NAMES[other], found)
        for (one, other), found in compared.items()
    }
    of_report = [name for name in tuned if name in OF_THE_REPORT]
    pairs, _, seeds, _ = next(iter(stage.runs.values())).total.shape
    neighbors = tuple(duels[names] for names in itertools.pairwise(tuned))
    return StageFacts(
        stage.budget,
        seeds,
        pairs,
        sum(map(_minutes, stage.records)),
        tuple(_standing(name, each) for name, each in tuned.items()),
        tuple(duels.values()),
        neighbors,
        lead=neighbors[0],
        lead_of_report=duels[of_report[0], of_report[1]],
    )


def _minutes(record: RunRecord) -> float:
    """Of the programs of a sweep, one after another."""
    plans = json.loads(record.attributes["plans_json"])
    seconds = (float(np.nanmax(record.rows.wall_time[:, plan["start"]])) for plan in plans)
    return sum(seconds) / 60


def _standing(name: str, tuned: Tuned) -> Standing:
    rates = sorted(set(tuned.rates), key=lambda rate: -tuned.rates.count(rate))
    return Standing(
        NAMES[name],
        () if name == "lbfgs" else tuple((rate, tuned.rates.count(rate)) for rate in rates),
        paired.median_of(tuned.final),
        float(np.median(tuned.content)),
        float(np.median(tuned.area)),
        _reached(tuned.to_fifth),
        _reached(tuned.to_twentieth),
    )


def _reached(evaluations: Float[np.ndarray, "pair"]) -> Reached:
    median = float(np.median(evaluations))
    return Reached(
        median if np.isfinite(median) else None, int(np.count_nonzero(np.isfinite(evaluations)))
    )


def rate_facts(first: Stage, second: Stage) -> RateFacts:
    _, half, full = tuning.budgets(first)
    rated = [name for name in first.runs if name != "lbfgs"]
    own = {name: tuning.best(first.runs[name], full).left for name in OF_THE_REPORT}
    common = {name: _at_rate(first.runs[name], COMMON_RATE) for name in OF_THE_REPORT}
    ratios = {name: _ratios(first.runs[name], full, half) for name in rated}
    return RateFacts(
        (*tuning.budgets(first), second.budget),
        tuple(_rates_of(name, first, second) for name in rated),
        tuple((NAMES[name], tuning.tuned(second.runs[name]).usual) for name in OF_THE_REPORT),
        COMMON_RATE,
        _lowest_first(common),
        _lowest_first(own),
        tuple((NAMES[name], float(np.median(each))) for name, each in ratios.items()),
        tuple(int(np.count_nonzero(each < 1)) for each in ratios.values()),
    )


def _at_rate(runs: Runs, rate: float) -> float:
    return float(np.median(measures.after(runs, runs.budget)[:, runs.rates.index(rate)]))


def _ratios(runs: Runs, budget: int, other: int) -> Float[np.ndarray, "pair"]:
    """Of the losses left after two budgets, at the rate that is best for each."""
    one, two = (
        measures.after(runs, each)[:, runs.rates.index(tuning.best(runs, each).rate)]
        for each in (budget, other)
    )
    return one / two


def _lowest_first(left: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    return tuple((NAMES[name], left[name]) for name in sorted(left, key=left.__getitem__))


def _rates_of(name: str, first: Stage, second: Stage) -> OptimizerRates:
    runs, longer = first.runs[name], second.runs[name]
    best = [tuning.best(runs, budget) for budget in tuning.budgets(first)]
    return OptimizerRates(
        NAMES[name],
        (*best, tuning.best(longer, second.budget)),
        *_costs(runs),
        float(np.mean(runs.diverged)),
    )


def _costs(runs: Runs) -> tuple[float | None, float | None]:
    """By which factor the loss is higher one rate below and one above the best; None: no such."""
    finals = measures.after(runs, runs.budget)
    best = runs.rates.index(tuning.best(runs, runs.budget).rate)
    below, above = (
        float(np.median(finals[:, i] / finals[:, best])) if 0 <= i < len(runs.rates) else None
        for i in (best - 1, best + 1)
    )
    return below, above


def method_facts(first: Stage, *, comparisons: int) -> MethodFacts:
    pairs = measures.names_of_pairs(first.records)
    contents, styles = (tuple(dict.fromkeys(names)) for names in zip(*pairs, strict=True))
    content_weight, style_weight = DEFAULT_WEIGHTS["report"]
    return MethodFacts(
        contents,
        styles,
        _sizes(first.records),
        content_weight,
        style_weight,
        first.records[0].config["init_noise"],
        len(next(iter(first.runs.values())).rates),
        tuple(NAMES[name] for name, runs in first.runs.items() if _is_at_the_edge(runs)),
        paired.smallest_p(len(pairs), comparisons),
    )


def _sizes(records: Sequence[RunRecord]) -> tuple[str, ...]:
    shapes = (record.content.shape for record in records)
    return tuple(dict.fromkeys(f"{width} x {height}" for height, width, _ in shapes))


def _is_at_the_edge(runs: Runs) -> bool:
    edges = (runs.rates[0], runs.rates[-1])
    return len(runs.rates) > 1 and tuning.best(runs, runs.budget).rate in edges
