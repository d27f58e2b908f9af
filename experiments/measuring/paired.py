"""Statistics of few pairs: which setting to take, how far to trust a median, which is better.

The unit is a pair of pictures. Values are losses relative to the start, lower is better; they are
compared by their logarithms, so that a difference is a ratio.
"""

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

RESAMPLES = 9999


class Interval(NamedTuple):
    """A median with its 95 % bootstrap interval."""

    median: float
    low: float
    high: float


class Comparison(NamedTuple):
    """One treatment against another over the pairs.

    Attributes:
      ratio: of the first's values to the second's, median over the pairs with its interval;
        below 1 the first is better.
      wins: pairs in which the first is better.
      p: of Wilcoxon's signed-rank test, two-sided and exact.
      adjusted: the same, adjusted for all comparisons made (Holm).
      effect: matched-pairs rank-biserial correlation, from -1 (first better in every pair) to 1.
    """

    ratio: Interval
    wins: int
    p: float
    adjusted: float
    effect: float


def choose_leaving_one_out(values: Float[np.ndarray, "pair setting"]) -> Int[np.ndarray, "pair"]:
    """For each pair the setting with the lowest median over the others.

    What is then measured on the pair is what someone gets who has tuned on other pairs.
    """
    pairs = range(len(values))
    others = [np.delete(values, pair, axis=0) for pair in pairs]
    return np.array([int(np.argmin(np.median(each, axis=0))) for each in others])


def median_of(values: Float[np.ndarray, "pair"]) -> Interval:
    """The median over pairs; its interval is that of resampled pairs (percentiles)."""
    median = float(np.median(values))
    if np.ptp(values) == 0:
        return Interval(median, median, median)
    resampled = stats.bootstrap(
        (values,),
        np.median,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return Interval(median, *map(float, resampled.confidence_interval))


def compare(
    values: Mapping[str, Float[np.ndarray, "pair"]], *, with_first: bool = False
) -> dict[tuple[str, str], Comparison]:
    """Every treatment against every later one, in the order given.

    Args:
      values: positive and finite, by treatment, the pairs in one order.
      with_first: only the first against every later one.

    Raises:
      ValueError: a value is not finite.
    """
    for name, value in values.items():
        if not np.isfinite(value).all():
            raise ValueError(f"{name} has no finite value in every pair: they cannot be compared")
    first = next(iter(values))
    names = [pair for pair in combinations(values, 2) if not with_first or pair[0] == first]
    logs = {name: np.log(np.asarray(value, np.float64)) for name, value in values.items()}
    differences = [logs[one] - logs[other] for one, other in names]
    # All signs of the differences: exact up to 13 pairs, also with ties and zeros.
    every = stats.PermutationMethod()
    tests = [stats.wilcoxon(each, method=every).pvalue for each in differences]
    return {
        pair: Comparison(
            Interval(*np.exp(median_of(difference))),
            int(np.count_nonzero(difference < 0)),
            float(p),
            adjusted,
            rank_biserial(difference),
        )
        for pair, difference, p, adjusted in zip(
            names, differences, tests, holm(tests), strict=True
        )
    }


def smallest_p(pairs: int, comparisons: int) -> float:
    """The least that so many pairs can give, adjusted for so many comparisons.

    Of all signs of the differences two are as extreme as can be.
    """
    return min(1.0, comparisons * 2 / 2**pairs)


def holm(p: list[float]) -> list[float]:
    """P-values of several tests, adjusted so that one false alarm among all stays at its level.

    Source: Holm (1979), "A simple sequentially rejective multiple test procedure".
    """
    adjusted, largest = [0.0] * len(p), 0.0
    for place, i in enumerate(np.argsort(p, kind="stable")):
        largest = max(largest, min(1.0, (len(p) - place) * p[i]))
        adjusted[i] = float(largest)
    return adjusted


def rank_biserial(differences: Float[np.ndarray, "pair"]) -> float:
    """(W+ - W-) / (W+ + W-), W the sums of the ranks of positive and negative differences.

    Pairs without a difference do not count; 0 if there is none with one.
    """
    differences = differences[differences != 0]
    if not len(differences):
        return 0.0
    ranks = stats.rankdata(np.abs(differences))
    return float(np.sum(ranks * np.sign(differences)) / np.sum(ranks))
