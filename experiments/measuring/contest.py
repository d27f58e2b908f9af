"""Ways down a loss compared over pairs of pictures: who comes to the target soonest."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from measuring import courses, paired
from measuring.courses import Course


class Gone(NamedTuple):
    """A way in a precision, with at most so many evaluations, as it has been gone on each pair."""

    name: str
    precision: str
    budget: int


class Stage(NamedTuple):
    """What has been gone at one size: courses by pair and way. The first way sets the target."""

    ways: Sequence[Gone]
    pairs: Sequence[tuple[str, str]]
    courses: Sequence[Sequence[Course]]

    def of(self, way: int) -> list[Course]:
        """The courses of a way, one a pair."""
        return [each[way] for each in self.courses]

    @property
    def settings(self) -> dict:
        return self.courses[0][0].settings


class Result(NamedTuple):
    """What a way took to the target in each pair, infinite where it was not reached.

    Attributes:
      evaluations: of the gradient.
      seconds: of the clock.
      best: the lowest total, in parts of the target.
      milliseconds: an evaluation, by all of the course.
    """

    evaluations: Float[np.ndarray, "pair"]
    seconds: Float[np.ndarray, "pair"]
    best: Float[np.ndarray, "pair"]
    milliseconds: Float[np.ndarray, "pair"]

    @property
    def count(self) -> int:
        """Pairs in which the target was reached."""
        return int(np.isfinite(self.seconds).sum())


def results_of(stage: Stage) -> list[Result]:
    """The results of all ways; that of the first is all of its course."""
    targets = [course.totals[-1] for course in stage.of(0)]
    results = []
    for way in range(len(stage.ways)):
        gone = stage.of(way)
        when = [
            courses.Reached(course.evaluations[-1], course.seconds[-1])
            if way == 0
            else courses.reached(course, target)
            for course, target in zip(gone, targets, strict=True)
        ]
        evaluations, seconds = np.array(when).T
        best = np.array([course.best[-1] for course in gone]) / targets
        rates = [1e3 * course.seconds[-1] / course.evaluations[-1] for course in gone]
        results.append(Result(evaluations, seconds, best, np.array(rates)))
    return results


def chosen_on_the_others(results: Sequence[Result]) -> tuple[list[int], np.ndarray]:
    """For each pair the way that took least time on the others, and how much sooner it was there.

    Among the ways that were there in every pair: their places, and the seconds of the first way
    over those of the chosen one.
    """
    everywhere = [i for i, each in enumerate(results) if each.count == len(each.seconds)]
    seconds = np.stack([results[i].seconds for i in everywhere], axis=1)
    choice = paired.choose_leaving_one_out(seconds)
    factors = seconds[:, 0] / seconds[np.arange(len(choice)), choice]
    return [everywhere[i] for i in choice], factors
