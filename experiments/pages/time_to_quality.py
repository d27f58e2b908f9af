"""Facts of time to quality: what each way took until the target."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from measuring import contest, paired
from measuring.contest import Result, Stage
from measuring.paired import Comparison, Interval
from measuring.records import Origin

from pages import time_to_quality_figures, words


class Against(NamedTuple):
    """A way against the first, which it is how many times as good as.

    Attributes:
      fewer, sooner: evaluations and seconds of the first over those of the way.
      p: of the seconds, adjusted for all comparisons of the stage.
    """

    fewer: Interval
    sooner: Interval
    p: float


class Until(NamedTuple):
    """Evaluations or seconds until the target: the median over the pairs, and its interval.

    There is no median if the median pair never came there, and no interval if any did not.
    """

    median: float | None
    low: float | None
    high: float | None


class Row(NamedTuple):
    """A way in a precision.

    Attributes:
      name, precision: of the way.
      reached: pairs in which it came to the target.
      ended: the least and the largest loss of the others, in parts of the target; None if there
        are no others.
      evaluations, seconds: until the target.
      milliseconds: an evaluation.
      against: the first way, where every pair came to the target; None of the first.
    """

    name: str
    precision: str
    reached: int
    ended: tuple[float, float] | None
    evaluations: Until
    milliseconds: float
    seconds: Until
    against: Against | None


class StageFacts(NamedTuple):
    """One size of pictures.

    Attributes:
      size: longest side in pixels.
      pairs: contents and styles in words.
      budget: evaluations of the first way, which sets the target.
      precision: that of the first way.
      rows: the ways.
      factor: how many times as soon the way chosen on the other pairs is there, median.
      factors: the same with its interval, in ratios.
      chosen: the name, the precision and the number of pairs of the way chosen most often.
      smallest_p: that these numbers of pairs and comparisons can give.
      figure: the name of its file.
    """

    size: int
    pairs: tuple[tuple[str, str], ...]
    budget: int
    precision: str
    rows: tuple[Row, ...]
    factor: float
    factors: Interval
    chosen: tuple[str, str, int]
    smallest_p: float
    figure: str


class Facts(NamedTuple):
    """All numbers of the page.

    Attributes:
      small, large: the two sizes.
      every: evaluations between two looks.
      most: evaluations that a way had at most.
      fewer: ways that had less, and how many.
      ready: seconds for reading and compiling, at most.
      origin: of all courses.
    """

    small: StageFacts
    large: StageFacts
    every: int
    most: int
    fewer: tuple[tuple[str, int], ...]
    ready: float
    origin: Origin


def section(small: Stage, large: Stage) -> str:
    """Both sizes in Markdown."""
    return words.render("time_to_quality", **facts(small, large)._asdict())


def facts(small: Stage, large: Stage) -> Facts:
    """The numbers of two stages."""
    stages = (small, large)
    ways = [way for stage in stages for way in stage.ways]
    most = max(way.budget for way in ways)
    return Facts(
        stage_facts(small),
        stage_facts(large),
        small.settings["every"],
        most,
        tuple(sorted({(way.name, way.budget) for way in ways if way.budget < most})),
        max(course.ready for stage in stages for each in stage.courses for course in each),
        _origin(stages),
    )


def _origin(stages: Sequence[Stage]) -> Origin:
    """Of the first course, with the dates of all; device and version are the same in all."""
    settings = stages[0].settings
    dates = sorted(course.date for stage in stages for each in stage.courses for course in each)
    when = " to ".join(dict.fromkeys((dates[0], dates[-1])))
    is_random = settings["network"] == "random"
    return Origin(settings["device"], None, "float32", when, settings["jax"], is_random)


def stage_facts(stage: Stage) -> StageFacts:
    results = contest.results_of(stage)
    choice, factors = contest.chosen_on_the_others(results)
    usual = max(choice, key=choice.count)
    everywhere = sum(each.count == len(stage.pairs) for each in results)
    return StageFacts(
        size=stage.settings["size"],
        pairs=tuple(stage.pairs),
        budget=stage.ways[0].budget,
        precision=stage.ways[0].precision,
        rows=_rows(stage, results),
        factor=float(np.median(factors)),
        factors=_of_ratios(factors),
        chosen=(stage.ways[usual].name, stage.ways[usual].precision, choice.count(usual)),
        smallest_p=paired.smallest_p(len(stage.pairs), max(everywhere - 1, 1)),
        figure=time_to_quality_figures.name_of(stage),
    )


def _rows(stage: Stage, results: Sequence[Result]) -> tuple[Row, ...]:
    """Compared with the first where every pair reached the target."""
    count = len(stage.pairs)
    seconds = {str(i): each.seconds for i, each in enumerate(results) if each.count == count}
    compared = paired.compare(seconds, with_first=True)
    return tuple(
        Row(
            way.name,
            way.precision,
            each.count,
            _ended(each),
            _until(each.evaluations),
            float(np.median(each.milliseconds)),
            _until(each.seconds),
            _against(results[0], each, compared.get(("0", str(i)))),
        )
        for i, (way, each) in enumerate(zip(stage.ways, results, strict=True))
    )


def _ended(result: Result) -> tuple[float, float] | None:
    left = result.best[~np.isfinite(result.seconds)]
    return (float(left.min()), float(left.max())) if len(left) else None


def _until(values: Float[np.ndarray, "pair"]) -> Until:
    if np.isfinite(values).all():
        return Until(*paired.median_of(values))
    median = float(np.median(values))
    return Until(median if np.isfinite(median) else None, None, None)


def _against(first: Result, other: Result, found: Comparison | None) -> Against | None:
    if found is None:
        return None
    return Against(
        _of_ratios(first.evaluations / other.evaluations),
        _of_ratios(first.seconds / other.seconds),
        found.adjusted,
    )


def _of_ratios(ratios: Float[np.ndarray, "pair"]) -> Interval:
    return Interval(*np.exp(paired.median_of(np.log(ratios))))
