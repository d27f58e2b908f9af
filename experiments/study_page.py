"""The study in words, tables and figures: the report's first two questions."""

import itertools
import json
from collections.abc import Mapping, Sequence
from math import comb
from pathlib import Path
from typing import NamedTuple

import measures
import numpy as np
import paired
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from measures import Runs
from paired import Comparison, Interval
from records import described

from nst_jax.objective import DEFAULT_WEIGHTS
from nst_jax.report import plotting
from nst_jax.runlog import RunRecord
from nst_jax.system import files

NAMES = {
    "adam": "Adam",
    "rmsprop": "RMSprop",
    "adagrad": "Adagrad",
    "sgd": "gradient descent",
    "lbfgs": "L-BFGS",
}
COLORS = {
    "adam": "#1d4ed8",
    "rmsprop": "#c2410c",
    "adagrad": "#15803d",
    "sgd": "#6b7280",
    "lbfgs": "#7e22ce",
}
OF_THE_REPORT = ("adam", "rmsprop", "adagrad")
COMMON_RATE = 0.03
"""On the grids of the report's three optimizers, and nearest to its 0.02."""
LEVEL = 0.05


class Stage(NamedTuple):
    """One length of runs: the runs by optimizer, and the logs of the first-order sweeps."""

    runs: Mapping[str, Runs]
    records: Sequence[RunRecord]

    @property
    def budget(self) -> int:
        return next(iter(self.runs.values())).budget


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


def write(first: Stage, second: Stage, folder: Path) -> Path:
    """Writes section.md and its figures into a folder; returns the path of section.md."""
    for name, draw in FIGURES.items():
        plotting.save(draw(first, second), folder / name)
    path = folder / "section.md"
    with files.replacing(path) as temporary:
        temporary.write_text(section(first, second), encoding="utf-8")
    return path


# Words


def section(first: Stage, second: Stage) -> str:
    """Questions 1 and 2 in Markdown."""
    at_first, at_second = tuned_stage(first), tuned_stage(second)
    return "\n\n".join(
        [
            "## 1. Which optimizer?",
            _which_optimizer(first, at_first),
            _which_optimizer(second, at_second),
            _advice(first, second),
            "![Curves of each optimizer at its own rate](study_curves.png)",
            f"After {first.budget} evaluations, {_number_of_seeds(first)}:",
            _optimizer_table(at_first),
            f"After {second.budget} evaluations, {_number_of_seeds(second)}:",
            _optimizer_table(at_second),
            "![The loss of each pair](study_pairs.png)",
            f"Pair by pair after {first.budget} evaluations:",
            _comparison_table(at_first),
            f"Pair by pair after {second.budget} evaluations:",
            _comparison_table(at_second),
            f"![Results after {second.budget} evaluations](study_pictures.jpg)",
            "## 2. Which learning rate, and how many steps?",
            _which_rate(first, second),
            "![Loss against rate at several budgets](study_rates.png)",
            _rate_table(first, second),
            "### How questions 1 and 2 were measured",
            _method(first, second),
        ]
    )


def _which_optimizer(stage: Stage, tuned: Mapping[str, Tuned]) -> str:
    names = list(tuned)
    places = [f"{NAMES[name]} ({_percent_of(tuned[name].final)})" for name in names]
    compared = paired.compare({name: each.final for name, each in tuned.items()})
    neighbors = [
        f"{NAMES[a]} against {NAMES[b]} {_verdict(compared[a, b], stage)}"
        for a, b in itertools.pairwise(names)
    ]
    return (
        f"**After {stage.budget} gradient evaluations** the losses left, in parts of the start's "
        f"(median over the pairs with its 95 % interval), are those of {', '.join(places[:-1])} "
        f"and {places[-1]}, each optimizer at a rate chosen on the other pairs, in the order of "
        f"their geometric means. Neighbors in this order, pair by pair: {'; '.join(neighbors)}."
    )


def _verdict(comparison: Comparison, stage: Stage) -> str:
    pairs = next(iter(stage.runs.values())).total.shape[0]
    return (
        f"{comparison.ratio.median:.2f} times the loss, lower in {comparison.wins} of {pairs} "
        f"(p = {comparison.adjusted:.2g}, {_sure(comparison)})"
    )


def _sure(comparison: Comparison) -> str:
    return "decided" if comparison.adjusted < LEVEL else "not decided"


def _advice(first: Stage, second: Stage) -> str:
    """The best of all and of the report's three at both budgets, and how sure that is."""
    sentences = []
    for stage in (first, second):
        tuned = tuned_stage(stage)
        compared = paired.compare({name: each.final for name, each in tuned.items()})
        leads = []
        for names, among in (
            (list(tuned), "all"),
            ([name for name in tuned if name in OF_THE_REPORT], "the report's three"),
        ):
            best, next_best = names[:2]
            sure = _sure(compared[best, next_best])
            leads.append(f"{NAMES[best]} leads {among} (against {NAMES[next_best]}: {sure})")
        sentences.append(f"after {stage.budget} evaluations {' and '.join(leads)}")
    tuned = tuned_stage(second)
    rates = ", ".join(f"{NAMES[name]} {tuned[name].usual:g}" for name in OF_THE_REPORT)
    return (
        f"**What to take**: {'; '.join(sentences)}. Rates to begin with, best after "
        f"{second.budget} evaluations: {rates}."
    )


def _which_rate(first: Stage, second: Stage) -> str:
    budgets = _budgets(first)
    rated = [name for name in first.runs if name != "lbfgs"]
    best = {name: [_best(first.runs[name], budget)[0] for budget in budgets] for name in rated}
    longer = {name: _best(second.runs[name], second.budget)[0] for name in rated}
    rates = "; ".join(
        f"{NAMES[name]} " + ", ".join(f"{rate:g}" for rate in [*best[name], longer[name]])
        for name in rated
    )
    costs = [cost for name in rated for cost in _costs(first.runs[name]) if cost is not None]
    common = {name: _at_rate(first.runs[name], COMMON_RATE) for name in OF_THE_REPORT}
    own = {name: _best(first.runs[name], first.budget)[1] for name in OF_THE_REPORT}
    order, own_order = (sorted(each, key=each.get) for each in (common, own))
    same = "the same order" if order == own_order else "another order"
    apart, own_apart = (max(each.values()) / min(each.values()) for each in (common, own))
    half, full = budgets[1], budgets[2]
    improved = {name: _improved(first.runs[name], half, full) for name in rated}
    return (
        f"The best rates after {', '.join(map(str, budgets))} and {second.budget} evaluations are "
        f"{rates}. One step of half a decade away from the best rate raises the loss left of the "
        f"median pair by a factor of {min(costs):.2f} to {max(costs):.2f} (table). At one rate for "
        f"all, {COMMON_RATE:g}, which is on all three grids and next to the report's 0.02, the "
        f"losses left after {first.budget} evaluations are "
        + ", ".join(f"{NAMES[name]} {_percent(common[name])}" for name in order)
        + f", a factor {apart:.2f} between first and last; with each at its own best rate they are "
        + ", ".join(f"{NAMES[name]} {_percent(own[name])}" for name in own_order)
        + f": {same}, a factor {own_apart:.2f}. Twice the evaluations, {full} instead of {half} at "
        "the rate that is best for each budget, lower the loss left of the median pair to "
        + ", ".join(f"{NAMES[name]} {_percent(x)}" for name, (x, _) in improved.items())
        + " of what it was, and in "
        + ", ".join(f"{count}" for _, count in improved.values())
        + f" of {len(first.runs[rated[0]].total)} pairs it falls at all."
    )


def _improved(runs: Runs, half: int, full: int) -> tuple[float, int]:
    """The median ratio of the losses left at two budgets, and in how many pairs it is below 1."""
    ratios = np.divide(
        *(
            measures.after(runs, budget)[:, runs.rates.index(_best(runs, budget)[0])]
            for budget in (full, half)
        )
    )
    return float(np.median(ratios)), int(np.count_nonzero(ratios < 1))


def _budgets(first: Stage) -> list[int]:
    return [first.budget // 4, first.budget // 2, first.budget]


def _best(runs: Runs, budget: int) -> tuple[float, float]:
    """The rate of the lowest median over the pairs, and that median."""
    medians = np.median(measures.after(runs, budget), axis=0)
    return runs.rates[int(np.argmin(medians))], float(np.min(medians))


def _at_rate(runs: Runs, rate: float) -> float:
    return float(np.median(measures.after(runs, runs.budget)[:, runs.rates.index(rate)]))


def _costs(runs: Runs) -> tuple[float | None, float | None]:
    """By which factor the loss is higher one rate below and one above the best; None: no such."""
    finals = measures.after(runs, runs.budget)
    best = runs.rates.index(_best(runs, runs.budget)[0])
    return tuple(
        float(np.median(finals[:, i] / finals[:, best])) if 0 <= i < len(runs.rates) else None
        for i in (best - 1, best + 1)
    )


def _method(first: Stage, second: Stage) -> str:
    record = first.records[0]
    pairs = measures.names_of_pairs(first.records)
    contents, styles = (list(dict.fromkeys(names)) for names in zip(*pairs, strict=True))
    sizes = dict.fromkeys(
        f"{width} x {height}" for height, width, _ in (each.content.shape for each in first.records)
    )
    content_weight, style_weight = DEFAULT_WEIGHTS["report"]
    comparisons = comb(len(first.runs), 2)
    smallest = min(1.0, comparisons * 2 / 2 ** len(pairs))
    edges = [
        NAMES[name]
        for name, runs in first.runs.items()
        if len(runs.rates) > 1 and _best(runs, first.budget)[0] in (runs.rates[0], runs.rates[-1])
    ]
    noted = (
        f" The best rate of {' and of '.join(edges)} after {first.budget} evaluations is at the "
        "edge of its grid; the second stage looks beyond it."
        if edges
        else ""
    )
    return "\n".join(
        [
            f"- *Pairs*: contents {', '.join(contents)}; styles {', '.join(styles)}; all "
            f"{len(pairs)} combinations, {' and '.join(sizes)} pixels; content weight "
            f"{content_weight:g}, style weight {style_weight:g}, no total variation; start from "
            "the content picture with normal noise of standard deviation "
            f"{record.config['init_noise']:g}.",
            f"- *First stage*: {first.budget} evaluations, {_number_of_seeds(first)}, "
            f"{_number_of_rates(first)} rates an optimizer, half a decade apart. *Second stage*: "
            f"{second.budget} evaluations, {_number_of_seeds(second)}, the best rate of the first "
            "stage over all pairs and its neighbors; that choice has seen every pair, the rate "
            f"used on a pair has not.{noted}",
            "- *Budget*: gradient evaluations, as they are made. A step of a first-order optimizer "
            "is one; the line search of L-BFGS may take several, and it has no rate. (On a GPU or "
            "TPU its driver evaluates the start of every step again, and gets fewer steps.)",
            "- *Loss left*: total of the picture as it is saved (clipped, for the last one also "
            "in 8 bits; for L-BFGS always both), over the total of the start; median over the "
            "seeds. *Content*: the content term's part of it. *Area*: mean of log10 of the loss "
            "left over all evaluations. *Evaluations to 20 % and to 5 %*: until the loss left is "
            "no more than that, median over the pairs; in brackets the pairs that got there at "
            "all. *Diverged*: runs that ended above their start, of all at all rates.",
            "- *Unit*: the pair. *Rate*: on each pair that with the lowest median over the others. "
            "*Interval*: 95 %, of the median over resampled pairs (9999 times). *Ratio*: of the "
            "losses left, median over pairs. *p*: Wilcoxon's signed-rank test, exact, two-sided, "
            f"adjusted for all {comparisons} comparisons of its stage (Holm); with {len(pairs)} "
            f"pairs the smallest possible is {smallest:.2g}. *Effect*: matched-pairs rank-biserial "
            "correlation, -1 if the first is better everywhere. The pairs share their "
            f"{len(contents)} contents and {len(styles)} styles: they are less independent than "
            "tests and intervals take them for.",
            f"- *Run* on {described(record)}, float32. The first-order runs of the first stage "
            f"took {_minutes(first):.0f} minutes, those of the second {_minutes(second):.0f}, by "
            "the clock, whatever else the machine did meanwhile.",
        ]
    )


def _minutes(stage: Stage) -> float:
    """Of the first-order programs, one after another."""
    return (
        sum(
            float(np.nanmax(record.rows.wall_time[:, plan["start"]]))
            for record in stage.records
            for plan in json.loads(record.attributes["plans_json"])
        )
        / 60
    )


def _number_of_seeds(stage: Stage) -> str:
    count = next(iter(stage.runs.values())).total.shape[2]
    return "one seed" if count == 1 else f"{count} seeds"


def _number_of_rates(stage: Stage) -> int:
    return len(next(iter(stage.runs.values())).rates)


# Tables


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))


def _optimizer_table(tuned: Mapping[str, Tuned]) -> str:
    rows = []
    for name, each in tuned.items():
        rates = sorted(set(each.rates), key=lambda rate: -each.rates.count(rate))
        rows.append(
            (
                NAMES[name],
                ", ".join(f"{rate:g} ({each.rates.count(rate)})" for rate in rates)
                if name != "lbfgs"
                else "none",
                _percent_of(each.final),
                _percent(float(np.median(each.content))),
                f"{np.median(each.area):.2f}",
                _evaluations(each.to_fifth),
                _evaluations(each.to_twentieth),
            )
        )
    header = (
        "optimizer", "rate (pairs)", "loss left", "of it content", "area",
        "evaluations to 20 %", "to 5 %",
    )  # fmt: skip
    return _table(header, rows)


def _comparison_table(tuned: Mapping[str, Tuned]) -> str:
    compared = paired.compare({name: each.final for name, each in tuned.items()})
    rows = [
        (
            f"{NAMES[a]} against {NAMES[b]}",
            f"{each.ratio.median:.2f} ({each.ratio.low:.2f} to {each.ratio.high:.2f})",
            str(each.wins),
            f"{each.p:.2g}",
            f"{each.adjusted:.2g}",
            f"{each.effect:+.2f}",
        )
        for (a, b), each in compared.items()
    ]
    return _table(("", "ratio", "pairs won", "p alone", "p", "effect"), rows)


def _rate_table(first: Stage, second: Stage) -> str:
    rows = []
    for name, runs in first.runs.items():
        if name == "lbfgs":
            continue
        low, high = _costs(runs)
        longer = second.runs[name]
        budgets = [(runs, budget) for budget in _budgets(first)] + [(longer, second.budget)]
        rows.append(
            (
                NAMES[name],
                *(f"{r:g}: {_percent(x)}" for r, x in (_best(*each) for each in budgets)),
                _factor(low),
                _factor(high),
                _percent(float(np.mean(runs.diverged))),
            )
        )
    header = (
        "optimizer",
        *(f"best after {budget}" for budget in (*_budgets(first), second.budget)),
        "a rate lower costs",
        "a rate higher costs",
        "diverged",
    )
    return _table(header, rows)


def _factor(value: float | None) -> str:
    return "not tried" if value is None else f"x {value:.2f}"


def _percent(value: float) -> str:
    return f"{100 * value:.3g} %"


def _percent_of(values: np.ndarray) -> str:
    interval: Interval = paired.median_of(values)
    return f"{100 * interval.median:.3g} % ({100 * interval.low:.3g} to {100 * interval.high:.3g})"


def _evaluations(values: np.ndarray) -> str:
    reached = np.isfinite(values)
    median = float(np.median(values))
    return f"{f'{median:.0f}' if np.isfinite(median) else '-'} ({np.count_nonzero(reached)})"


# Figures


def draw_curves(first: Stage, second: Stage) -> Figure:
    """The median curve of each optimizer, its rate chosen on the other pairs."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    for axes, stage in zip(figure.subplots(1, 2, sharey=True), (first, second), strict=True):
        ends = []
        for name, each in tuned_stage(stage).items():
            relative = np.median(stage.runs[name].relative, axis=2)
            curve = np.median(relative[np.arange(len(relative)), each.choice], axis=0)
            axes.plot(curve, color=COLORS[name], lw=1.6)
            ends.append((float(curve[-1]), stage.budget, NAMES[name], {"color": COLORS[name]}))
        axes.set_yscale("log")
        axes.set(xlabel="gradient evaluations", title=f"{stage.budget} evaluations")
        _percent_axis(axes)
        plotting.label_ends(axes, sorted(ends, key=lambda end: end[0]))
    figure.axes[0].set_ylabel("loss left, of the start's")
    return figure


def draw_pairs(first: Stage, second: Stage) -> Figure:
    """The loss left of each pair under each optimizer."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    for axes, stage in zip(figure.subplots(1, 2, sharey=True), (first, second), strict=True):
        tuned = tuned_stage(stage)
        finals = np.stack([each.final for each in tuned.values()])
        axes.plot(finals, color="#bbbbbb", lw=0.8, zorder=1)
        for place, (name, each) in enumerate(tuned.items()):
            axes.plot(np.full(len(each.final), place), each.final, "o", color=COLORS[name], ms=4)
            axes.plot([place - 0.25, place + 0.25], [np.median(each.final)] * 2, color="k", lw=1.6)
        axes.set_yscale("log")
        axes.set_xticks(range(len(tuned)), [NAMES[name].replace(" ", "\n") for name in tuned])
        axes.set_title(f"{stage.budget} evaluations")
        _percent_axis(axes)
    figure.axes[0].set_ylabel("loss left, of the start's")
    figure.supxlabel("a line is a pair of pictures, a bar the median of an optimizer", fontsize=9)
    return figure


def draw_rates(first: Stage, second: Stage) -> Figure:
    """The loss left against the rate at several budgets, a panel an optimizer."""
    names = [name for name in first.runs if name != "lbfgs"]
    figure = Figure(figsize=(9, 6.4), layout="constrained")
    for axes, name in zip(figure.subplots(2, 2, sharey=True).flat, names, strict=True):
        runs = first.runs[name]
        for budget, alpha in zip(_budgets(first), (0.35, 0.6, 1.0), strict=True):
            finals = measures.after(runs, budget)
            axes.plot(
                runs.rates, np.median(finals, axis=0), "o-",
                color=COLORS[name], alpha=alpha, ms=3.5, label=f"{budget} evaluations",
            )  # fmt: skip
        axes.fill_between(
            runs.rates, *np.quantile(finals, (0.25, 0.75), axis=0), color=COLORS[name], alpha=0.12
        )
        longer = second.runs[name]
        axes.plot(
            longer.rates, np.median(measures.after(longer, longer.budget), axis=0), "s--",
            color="k", ms=4, lw=1.2, label=f"{longer.budget} evaluations",
        )  # fmt: skip
        axes.axhline(1, color="#b91c1c", lw=0.8, ls=":")
        axes.set(xscale="log", yscale="log", title=NAMES[name], xlabel="learning rate")
        highest = np.max(np.median(measures.after(runs, first.budget // 4), axis=0))
        # A rate that explodes would press all others together; the table has its number.
        axes.set_ylim(top=4 if highest > 4 else None)
        _percent_axis(axes)
        axes.legend(fontsize=8, frameon=False)
    for axes in figure.axes[::2]:
        axes.set_ylabel("loss left, of the start's")
    figure.supxlabel(
        f"medians over the pairs, after {first.budget} evaluations with their quartiles; dotted: "
        "no better than the start",
        fontsize=9,
    )
    return figure


def _percent_axis(axes) -> None:
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def draw_pictures(first: Stage, second: Stage) -> Figure:
    """What each optimizer makes of a content with a style of its own, at equal budget."""
    tuned = tuned_stage(second)
    styles = len(second.records[0].styles)
    rows = []
    for number, record in enumerate(second.records):
        pair = number * styles + number % styles
        style = list(record.styles.values())[number % styles]
        results = [
            second.runs[name].pictures[pair][each.choice[pair]] for name, each in tuned.items()
        ]
        rows.append([record.content, style, *results])
    titles = ["content", "style", *(NAMES[name] for name in tuned)]
    height = rows[0][0].shape[0] / rows[0][0].shape[1]
    figure = Figure(figsize=(12, 12 / len(titles) * height * len(rows) + 0.6), layout="constrained")
    grid = figure.subplots(len(rows), len(titles), squeeze=False)
    for axes_of_row, pictures in zip(grid, rows, strict=True):
        for axes, picture in zip(axes_of_row, pictures, strict=True):
            axes.imshow(picture)
            axes.set_axis_off()
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize=10)
    return figure


FIGURES = {
    "study_curves.png": draw_curves,
    "study_pairs.png": draw_pairs,
    "study_rates.png": draw_rates,
    "study_pictures.jpg": draw_pictures,
}
