"""How soon the quality of the report's 500 steps is there: other rates, optimizers, precisions.

    python experiments/time_to_quality.py --page docs/time-to-quality.md
    python experiments/time_to_quality.py --minutes 5            # a piece; the next call goes on

The target of a pair of pictures is what the report's Adam at 0.02 comes down to in 500 steps from
the content picture, without total variation. Every other way stops when the float32 loss of its
image is there. Small pictures: in float32 and in the fastest precision of the device. Large ones,
fewer: in the fastest precision alone, also from coarse to fine.

Written are section.md with its figures and, in folders by size and pair, a file a course. A course
that is there with the same settings, pictures, device and versions is not gone again.
"""

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

# SciPy's threads would wait for their next turn on the cores that JAX needs: with them an
# evaluation of L-BFGS-B takes half as long again.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import tyro
from measuring import courses, measures, samples, ways
from measuring.contest import Gone, Stage
from measuring.courses import Course
from measuring.ways import Problem, Way
from pages import time_to_quality as page
from pages import time_to_quality_figures as figure
from pages import words, writing

from nst_jax import driver, optimizers, runs, steps, vgg
from nst_jax.choices import Precision
from nst_jax.config import SweepConfig
from nst_jax.runs.grid import variants_of
from nst_jax.system import environment, files
from nst_jax.system.console import exit_code_of, say

MOST = 500
"""Steps of the report's rate that set the target, and evaluations that a way has at most."""
FEWER = 300
"""Those of ways that shall be sooner by much, or not at all."""
COARSE = 60
"""Evaluations at half the size, where large pictures begin with it."""


@dataclass(frozen=True)
class TimeToQuality:
    """Measure evaluations and seconds until the loss that Adam 0.02 has after 500 steps."""

    output_dir: Path = Path("out/time-to-quality")
    """Where courses, figures and section go."""
    pictures: Path = Path("../shared/images")
    """Folder of the study's pictures, see `study.py`."""
    size: int = 256
    """Longest side of the small pictures in pixels."""
    large_size: int = 512
    """Longest side of the large ones."""
    pairs: int = 4
    """Pairs of small pictures, of the study's nine."""
    large_pairs: int = 2
    """Pairs of large ones."""
    weights: str | None = None
    """A weights file, or "random" (default: see `nst-jax weights info`)."""
    minutes: float | None = None
    """Begin no further course after so long; the next call goes on."""
    page: Path | None = None
    """Write the section there, as a page with its figures in images/ beside it."""


class Pair(NamedTuple):
    """A content and a style picture."""

    content: Path
    style: Path


class Contender(NamedTuple):
    """A way in a precision, with so many evaluations at most."""

    name: str
    way: Way
    precision: Precision
    budget: int = MOST


class Plan(NamedTuple):
    """Pairs at a size, and who contends there; the first of them sets the target."""

    size: int
    pairs: Sequence[Pair]
    contenders: Sequence[Contender]


class OutOfTime(Exception):
    """The minutes of this call are over."""


_ADAM = optimizers.named("adam")
_ADAM_002, _ADAM_005 = ways.stepping(_ADAM, 0.02), ways.stepping(_ADAM, 0.05)
_LBFGS = ways.stepping(optimizers.named("lbfgs"))


def small_contenders(fast: Precision) -> list[Contender]:
    """In float32, and in the fast precision if the device has one."""
    alone = {"Adam 0.02": _ADAM_002, "projected L-BFGS": ways.projected}
    reference, *others = [
        Contender(name, way, precision)
        for precision in dict.fromkeys(("float32", fast))
        for name, way in alone.items()
    ]
    falling = ways.stepping(ways.cosine(FEWER), 0.1)
    return [
        reference,
        *others,
        Contender("Adam 0.05", _ADAM_005, fast),
        Contender(f"Adam 0.1, to 0 in {FEWER}", falling, fast, FEWER),
        Contender("L-BFGS-B (SciPy)", ways.bounded, fast, FEWER),
        Contender("L-BFGS without bounds", _LBFGS, fast, FEWER),
    ]


def large_contenders(fast: Precision) -> list[Contender]:
    """In the fast precision alone: float32 would take most of the time."""
    coarse_to_fine = ways.coarse_to_fine(ways.projected, COARSE)
    return [
        Contender("Adam 0.02", _ADAM_002, fast),
        Contender("projected L-BFGS", ways.projected, fast),
        Contender(f"the same after {COARSE} at half the size", coarse_to_fine, fast, FEWER),
    ]


def pairs_of(settings: TimeToQuality) -> list[Pair]:
    """The study's nine; the first three have every picture once, the first six twice."""
    contents, styles = samples.study_pictures(settings.pictures, settings.output_dir / "pictures")
    return [
        Pair(content, styles[(i + shift) % len(styles)])
        for shift in range(len(styles))
        for i, content in enumerate(contents)
    ]


def plans_of(settings: TimeToQuality) -> list[Plan]:
    pairs, fast = pairs_of(settings), vgg.resolve_precision("fast")
    return [
        Plan(settings.size, pairs[: settings.pairs], small_contenders(fast)),
        Plan(settings.large_size, pairs[: settings.large_pairs], large_contenders(fast)),
    ]


def config_of(pair: Pair, size: int, precision: Precision, weights: str | None) -> SweepConfig:
    """Settings of the report's program: total variation 0, from the content picture."""
    return SweepConfig(
        content=pair.content,
        styles=(pair.style,),
        log=Path("none"),
        size=size,
        enlarge=True,
        tv_weights=(0.0,),
        weights=weights,
        precision=precision,
    )


def problem_of(config: SweepConfig) -> Problem:
    """What the library makes of these settings."""
    variant = variants_of(config)[0]
    (pictures,) = runs.load_pictures(config, [variant], say=say).values()
    network = _network(config.precision, config.weights)
    problem = runs.problem_of(config, network.feature_fn, pictures)
    return Problem(
        problem.objectives[variant.style],
        problem.weights(variant),
        pictures.content,
        cache(lambda: problem_of(replace(config, size=config.size // 2))),
    )


@cache
def _network(precision: Precision, weights: str | None) -> runs.Network:
    any_pair = Pair(Path("content"), Path("style"))
    config = config_of(any_pair, 1, precision, weights)
    return runs.load_network(config, vgg.fastest_form(precision), say=say)


def judge_of(problem: Problem) -> Callable[[np.ndarray], float]:
    """The total of an image."""
    hyper = steps.single(steps.Hyperparameters(0.0, problem.weights))
    return lambda image: float(driver.losses_of(problem.objective, hyper, image[None]).total[0])


def run(settings: TimeToQuality, plan: Plan, deadline: float) -> Stage:
    """Goes every way of every pair, or reads what there is of it.

    Raises:
      OutOfTime: a course is missing, and the deadline has passed.
    """
    gone = [list(_of_a_pair(settings, plan, pair, deadline)) for pair in plan.pairs]
    return Stage(
        [Gone(each.name, each.precision, each.budget) for each in plan.contenders],
        [tuple(map(measures.in_words, map(str, pair))) for pair in plan.pairs],
        gone,
    )


def _of_a_pair(
    settings: TimeToQuality, plan: Plan, pair: Pair, deadline: float
) -> Iterator[Course]:
    """The courses of a pair, in the order of the contenders."""

    @cache
    def problem(precision: Precision) -> Problem:
        return problem_of(config_of(pair, plan.size, precision, settings.weights))

    conditions = _conditions(settings, plan, pair)
    target = 0.0
    for contender in plan.contenders:
        own = {
            "way": contender.name,
            "precision": contender.precision,
            "budget": contender.budget,
            "target": target,
            **conditions,
        }
        words = f"{contender.name}, {contender.precision}"
        path = _folder(settings, plan, pair) / f"{_as_file_name(words)}.json"
        course = courses.kept(path, own)
        if course is None:
            if time.monotonic() > deadline:
                raise OutOfTime
            course = courses.course_of(
                contender.way,
                problem(contender.precision),
                contender.budget,
                judge_of(problem("float32")),
                target,
                own,
            )
            courses.keep(course, path)
            say(f"{path.parent.name}, {plan.size} px, {words}: {_outcome(course)}")
        target = target or course.totals[-1]
        yield course


def _conditions(settings: TimeToQuality, plan: Plan, pair: Pair) -> dict[str, Any]:
    """What all courses of a pair depend on."""
    config = config_of(pair, plan.size, "float32", settings.weights)
    network = _network("float32", settings.weights)
    versions = json.loads(environment.describe()["versions_json"])
    return {
        "size": plan.size,
        "every": ways.EVERY,
        "device": environment.device_line(),
        "jax": versions["jax"],
        "network": network.name,
        "weights_sha256": network.sha256,
        **runs.sources_of(config).hashes(),
    }


def _folder(settings: TimeToQuality, plan: Plan, pair: Pair) -> Path:
    return settings.output_dir / str(plan.size) / f"{pair.content.stem}-{pair.style.stem}"


def _as_file_name(words: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", words.lower())


def _outcome(course: Course) -> str:
    return (
        f"{course.evaluations[-1]:.0f} evaluations, {course.seconds[-1]:.1f} s, "
        f"{course.best[-1] / (course.settings['target'] or course.totals[-1]):.4f} of the target"
    )


def main(settings: TimeToQuality) -> Path | None:
    """Runs what is missing, and writes the section with its figures, and the page.

    Returns:
      The path of section.md; None if the time was over before.
    """
    if min(settings.pairs, settings.large_pairs) < 2:
        raise ValueError("what is chosen on other pairs needs two pairs of each size at least")
    files.check_folder(settings.output_dir)
    minutes = np.inf if settings.minutes is None else settings.minutes
    deadline = time.monotonic() + 60 * minutes
    try:
        small, large = (run(settings, plan, deadline) for plan in plans_of(settings))
    except OutOfTime:
        say(f"{settings.minutes:g} minutes are over; the same command goes on")
        return None
    path = settings.output_dir / "section.md"
    figures = {figure.name_of(stage): figure.draw(stage) for stage in (small, large)}
    writing.write(path, page.section(small, large), figures)
    say(f"wrote {path}")
    if settings.page:
        writing.join([path], settings.page, words.render("time_to_quality_opening"))
        say(f"wrote {settings.page}")
    return path


def command() -> int:
    settings = tyro.cli(TimeToQuality, config=(tyro.conf.FlagCreatePairsOff,))
    environment.keep_compiled_programs()
    main(settings)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(command))
