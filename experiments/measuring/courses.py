"""Courses: how an image's loss has fallen, by evaluations and by the clock, kept in a file each."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from measuring.ways import Place, Problem, Way
from nst_jax.system import files

# Steps beforehand, thrown away: what is compiled is then there.
_WARM_UP = 2


@dataclass(frozen=True)
class Course:
    """A way that has been gone, as it was seen from time to time, from the start on.

    Attributes:
      settings: all that it depends on; see `kept`.
      date: when it was gone.
      ready: seconds for compiling and the first steps, which were thrown away.
      evaluations: of the gradient until each look.
      seconds: until each look, without what the looks took.
      totals: the float32 loss of the image, clipped to [0, 1].
    """

    settings: dict[str, Any]
    date: str
    ready: float
    evaluations: tuple[float, ...]
    seconds: tuple[float, ...]
    totals: tuple[float, ...]

    @property
    def best(self) -> Float[np.ndarray, "look"]:
        """The lowest total until each look."""
        return np.minimum.accumulate(self.totals)


class Reached(NamedTuple):
    """What it took to come down to a total; infinite if a course has not."""

    evaluations: float
    seconds: float


NEVER = Reached(np.inf, np.inf)


def reached(course: Course, target: float) -> Reached:
    """When a course first came down to a total: between two looks the logarithm falls evenly."""
    best = course.best
    below = best <= target
    if not below.any():
        return NEVER
    i = int(below.argmax())
    if i == 0:
        return Reached(course.evaluations[0], course.seconds[0])
    part = np.log(best[i - 1] / target) / np.log(best[i - 1] / best[i])
    between = (
        each[i - 1] + part * (each[i] - each[i - 1])
        for each in (course.evaluations, course.seconds)
    )
    return Reached(*map(float, between))


class _Recorder:
    """Looks at a way, and stops the clock meanwhile."""

    def __init__(self, judge: Callable[[np.ndarray], float], target: float, start: np.ndarray):
        self._judge, self._target = judge, target
        self._spent = 0.0
        self.evaluations, self.seconds, self.totals = [0.0], [0.0], [judge(start)]
        self._since = time.perf_counter()

    def __call__(self, place: Place) -> bool:
        self._spent += time.perf_counter() - self._since
        self.evaluations.append(float(place.evaluations))
        self.seconds.append(self._spent)
        self.totals.append(self._judge(place.image))
        self._since = time.perf_counter()
        return self.totals[-1] > self._target


def course_of(
    way: Way,
    problem: Problem,
    budget: int,
    judge: Callable[[np.ndarray], float],
    target: float,
    settings: dict[str, Any],
) -> Course:
    """Goes a way until the target or the end of the budget.

    Args:
      way: see `ways`.
      problem: what is minimised, in whatever precision.
      budget: evaluations at most.
      judge: the total of an image, in float32.
      target: where to stop; 0 goes to the end.
      settings: all that the course depends on, kept with it.
    """
    began = time.perf_counter()
    way(problem, _WARM_UP, lambda place: True)
    ready = time.perf_counter() - began
    recorder = _Recorder(judge, target, problem.start)
    way(problem, budget, recorder)
    return Course(
        settings,
        datetime.now(UTC).date().isoformat(),
        ready,
        tuple(recorder.evaluations),
        tuple(recorder.seconds),
        tuple(recorder.totals),
    )


def kept(path: Path, settings: dict[str, Any]) -> Course | None:
    """The course in a file, if it is of these settings."""
    if not path.exists():
        return None
    values = json.loads(path.read_text(encoding="utf-8"))
    lists = {name: tuple(values[name]) for name in ("evaluations", "seconds", "totals")}
    course = Course(**(values | lists))
    return course if course.settings == settings else None


def keep(course: Course, path: Path) -> None:
    """Writes a course into a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(path) as temporary:
        temporary.write_text(json.dumps(asdict(course), indent=1), encoding="utf-8")
