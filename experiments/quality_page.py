"""Time to quality in words, tables and figures."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import courses
import numpy as np
import paired
from courses import Course
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from paired import Interval

from nst_jax.report import plotting
from nst_jax.system import files

TITLE = "# Time to quality"
PREFACE = (
    "How soon is the quality of the report's 500 steps there? Written by `python "
    "experiments/time_to_quality.py --page docs/time-to-quality.md`; every number and figure "
    "below is from the runs described with it."
)
LEVEL = 0.05


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


def write(small: Stage, large: Stage, folder: Path) -> Path:
    """Writes section.md and its figures into a folder; returns the path of section.md."""
    for stage in (small, large):
        plotting.save(draw(stage), folder / _figure_name(stage))
    path = folder / "section.md"
    with files.replacing(path) as temporary:
        temporary.write_text(section(small, large), encoding="utf-8")
    return path


# Words


def section(small: Stage, large: Stage) -> str:
    """Both sizes in Markdown."""
    return "\n\n".join(
        [
            *_of_a_stage(small),
            *_of_a_stage(large),
            "## How this was measured",
            _method(small, large),
        ]
    )


def _of_a_stage(stage: Stage) -> list[str]:
    return [
        f"## {stage.settings['size']} px",
        headline(stage),
        _table(stage),
        f"![The loss above the target]({_figure_name(stage)})",
    ]


def headline(stage: Stage) -> str:
    """By which factor the chosen way is sooner at the target than the first."""
    results = results_of(stage)
    choice, factors = chosen_on_the_others(results)
    names = [_name(stage.ways[way]) for way in choice]
    usual = max(names, key=names.count)
    same = "in every pair" if names.count(usual) == len(names) else (
        f"in {names.count(usual)} of {len(names)} pairs"
    )  # fmt: skip
    return (
        f"**The {stage.ways[0].budget} steps of {_name(stage.ways[0])} in 1/{_one(factors)} of the "
        f"time** ({_range(_of_ratios(factors))}; median over {len(factors)} pairs with its 95 % "
        f"interval), each pair in the way that took least time on the others: {usual} {same}."
    )


def _name(way: Gone) -> str:
    return f"{way.name} in {way.precision}"


def _one(values: np.ndarray) -> str:
    return f"{np.median(values):.2g}"


def _range(interval: Interval) -> str:
    return f"{interval.low:.3g} to {interval.high:.3g}"


def _of_ratios(ratios: np.ndarray) -> Interval:
    return Interval(*np.exp(paired.median_of(np.log(ratios))))


def _table(stage: Stage) -> str:
    """A row a way, compared with the first where every pair reached the target."""
    results = results_of(stage)
    count = len(stage.pairs)
    compared = paired.compare(
        {
            str(i): each.seconds
            for i, each in enumerate(results)
            if each.count == count
        },
        with_first=True,
    )  # fmt: skip
    header = (
        "way", "precision", "reached", "evaluations", "times fewer", "ms each", "seconds",
        "times sooner", "p",
    )  # fmt: skip
    rows = [header, ("---", "---", *["---:"] * (len(header) - 2))]
    for i, (way, each) in enumerate(zip(stage.ways, results, strict=True)):
        cells = [way.name, way.precision, _reached(each)]
        if each.count == count:
            fewer, sooner = (
                _of_ratios(getattr(results[0], name) / getattr(each, name))
                for name in ("evaluations", "seconds")
            )
            of_pair = compared.get(("0", str(i)))
            cells += [
                _spread(paired.median_of(each.evaluations)),
                _spread(fewer) if of_pair else "",
                f"{np.median(each.milliseconds):.3g}",
                _spread(paired.median_of(each.seconds)),
                _spread(sooner) if of_pair else "",
                f"{of_pair.adjusted:.2g}" if of_pair else "",
            ]
        else:
            cells += [
                f"{np.median(each.evaluations):.3g}" if 2 * each.count > count else "-",
                "",
                f"{np.median(each.milliseconds):.3g}",
                f"{np.median(each.seconds):.3g}" if 2 * each.count > count else "-",
                "",
                "",
            ]
        rows.append(tuple(cells))
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


def _reached(result: Result) -> str:
    """In how many pairs, and where the others ended."""
    count = len(result.seconds)
    if result.count == count:
        return f"{count} of {count}"
    left = result.best[~np.isfinite(result.seconds)]
    return f"{result.count} of {count}; else {_ends(left)}"


def _ends(left: np.ndarray) -> str:
    low, high = f"{left.min():.3f}", f"{left.max():.3f}"
    return f"at {low}" if low == high else f"at {low} to {high}"


def _spread(interval: Interval) -> str:
    return f"{interval.median:.3g} ({_range(interval)})"


def _method(small: Stage, large: Stage) -> str:
    stages = (small, large)
    every = [course for stage in stages for each in stage.courses for course in each]
    settings = small.settings
    dates = sorted({course.date for course in every})
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    ready = max(course.ready for course in every)
    sizes = " and ".join(
        f"{len(stage.pairs)} at {stage.settings['size']} px ({_in_words(stage.pairs)})"
        for stage in stages
    )
    tests = [
        sum(each.count == len(stage.pairs) for each in results_of(stage)) - 1 for stage in stages
    ]
    smallest = [
        min(1.0, max(count, 1) * 2 / 2 ** len(stage.pairs))
        for count, stage in zip(tests, stages, strict=True)
    ]
    kinds = list(dict.fromkeys(stage.ways[0].precision for stage in stages))
    target = kinds[0] if len(kinds) == 1 else (
        f"{kinds[0]} ({small.settings['size']} px) and in {kinds[1]} ({large.settings['size']} "
        "px, where float32 would take too long)"
    )  # fmt: skip
    return "\n".join(
        [
            f"- *Pairs*: {sizes}. Content weight 1e4, style weight 0.01, no total variation; from "
            "the content picture.",
            f"- *Target*: the total of Adam at 0.02, in the form of the report's program, after "
            f"{small.ways[0].budget} steps in {target}. A total is always the float32 one of the "
            "image, clipped to [0, 1], whatever precision has led there.",
            f"- *Reached*: about every {settings['every']} evaluations the image is judged, and "
            "the way ends at the target; between two looks the logarithm of the lowest total so "
            "far is taken to fall evenly. *else at*: the lowest total of the other pairs, in parts "
            f"of the target, after {_budgets(stages)} evaluations.",
            "- *Evaluations*: of objective and gradient, those of the line search among them; at "
            "half the size they count a quarter, by their pixels. *Seconds*: of the clock, without "
            "the looks and without compiling: two steps beforehand are thrown away, which with "
            f"reading and compiling took up to {ready:.0f} s. *ms each*: seconds over evaluations.",
            "- *Times fewer*, *times sooner*: of the first row's, pair by pair; median over the "
            "pairs and 95 % interval of the median over resampled pairs (9999 times). *p*: of the "
            "seconds, Wilcoxon's signed-rank test, exact, two-sided, adjusted for the comparisons "
            f"of its table (Holm); the smallest possible is {smallest[0]:.2g} at "
            f"{small.settings['size']} px and {smallest[1]:.2g} at {large.settings['size']} px. "
            "The pairs share their pictures: they are less independent than tests and intervals "
            "take them for.",
            f"- *Run* on {settings['device']}, {when}, jax {settings['jax']}"
            + _warning(settings)
            + ".",
        ]
    )


def _budgets(stages: Sequence[Stage]) -> str:
    """How many evaluations there were at most, and for which ways fewer."""
    most = max(way.budget for stage in stages for way in stage.ways)
    fewer = {
        f"{way.name}: {way.budget}" for stage in stages for way in stage.ways if way.budget < most
    }
    return f"{most}" + (f" ({', '.join(sorted(fewer))})" if fewer else "")


def _in_words(pairs: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{content} + {style}" for content, style in pairs)


def _warning(settings: dict) -> str:
    random = settings["network"] == "random"
    return "; **the network's weights are random: the numbers mean nothing**" if random else ""


# Figures


def _figure_name(stage: Stage) -> str:
    return f"quality_{stage.settings['size']}.png"


def draw(stage: Stage) -> Figure:
    """How far above the target the median pair is, by evaluations and by seconds."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    by_evaluations, by_seconds = figure.subplots(1, 2, sharey=True)
    names = list(dict.fromkeys(way.name for way in stage.ways))
    for i, way in enumerate(stage.ways):
        style = {
            "color": f"C{names.index(way.name)}",
            "ls": "--" if way.precision == "float32" else "-",
            "lw": 1.6,
        }
        for axes, axis in ((by_evaluations, "evaluations"), (by_seconds, "seconds")):
            x, y = _median_curve(stage, i, axis)
            axes.plot(x, y, label=_name(way), **style)
            axes.plot(x[-1:], y[-1:], "o", color=style["color"], ms=4)
    by_evaluations.set(xlabel="evaluations", ylabel="loss, in parts of the target")
    shortest = min(course.seconds[1] for each in stage.courses for course in each)
    by_seconds.set(xlabel="seconds", xscale="log", xlim=(shortest / 2, None))
    for axes in (by_evaluations, by_seconds):
        axes.set(yscale="log", ylim=(0.98, 4))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_yticks((1, 1.1, 1.2, 1.5, 2, 3, 4))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*by_evaluations.get_legend_handles_labels(), loc="outside right", fontsize=8)
    return figure


def _median_curve(stage: Stage, way: int, axis: str) -> tuple[np.ndarray, np.ndarray]:
    """Where the median pair is, up to where the median pair stopped."""
    gone = stage.of(way)
    ends = [getattr(course, axis)[-1] for course in gone]
    x = np.linspace(0, float(np.median(ends)), 200)[1:]
    targets = [course.totals[-1] for course in stage.of(0)]
    curves = [
        np.interp(x, getattr(course, axis), np.log(course.best / target))
        for course, target in zip(gone, targets, strict=True)
    ]
    return x, np.exp(np.median(curves, axis=0))
