"""The study in words, tables and figures: the report's first two questions."""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import measures
import numpy as np
import paired
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from measures import Runs
from paired import Comparison, Interval
from records import described

from nst_jax import files, plotting
from nst_jax.objective import DEFAULT_WEIGHTS
from nst_jax.runlog import RunRecord

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
    """Every optimizer at its own rates, that of the lowest median first."""
    each = {name: tuned(runs) for name, runs in stage.runs.items()}
    return dict(sorted(each.items(), key=lambda item: float(np.median(item[1].final))))


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
            _advice(at_first, at_second),
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
        f"and {places[-1]}, each optimizer at a rate chosen on the other pairs. Neighbors in this "
        f"order, pair by pair: {'; '.join(neighbors)}."
    )


def _verdict(comparison: Comparison, stage: Stage) -> str:
    pairs = next(iter(stage.runs.values())).total.shape[0]
    sure = "decided" if comparison.adjusted < LEVEL else "not decided"
    return (
        f"{comparison.ratio.median:.2f} times the loss, lower in {comparison.wins} of {pairs} "
        f"(p = {comparison.adjusted:.2g}, {sure})"
    )


def _advice(first: Mapping[str, Tuned], second: Mapping[str, Tuned]) -> str:
    of_report = [next(n for n in stage if n in OF_THE_REPORT) for stage in (first, second)]
    best = [next(iter(stage)) for stage in (first, second)]
    rates = {name: second[name].usual for name in OF_THE_REPORT}
    listed = ", ".join(f"{NAMES[name]} {rate:g}" for name, rate in rates.items())
    overall = (
        f"The lowest loss for a given number of evaluations is {NAMES[best[1]]}'s"
        if best[0] == best[1]
        else f"The lowest loss is first {NAMES[best[0]]}'s and later {NAMES[best[1]]}'s"
    )
    three = (
        f"of the report's three optimizers {NAMES[of_report[1]]} is ahead at both budgets"
        if of_report[0] == of_report[1]
        else f"of the report's three {NAMES[of_report[0]]} is ahead early, "
        f"{NAMES[of_report[1]]} later"
    )
    return f"**What to take.** {overall}; {three}. Rates to begin with: {listed}."


def _which_rate(first: Stage, second: Stage) -> str:
    budgets = _budgets(first)
    best = {
        name: [_best(runs, budget)[0] for budget in budgets]
        for name, runs in first.runs.items()
        if name != "lbfgs"
    }
    longer = {name: _best(second.runs[name], second.budget)[0] for name in best}
    rates = "; ".join(
        f"{NAMES[name]} " + ", ".join(f"{rate:g}" for rate in [*each, longer[name]])
        for name, each in best.items()
    )
    common = {name: _at_rate(first.runs[name], COMMON_RATE) for name in OF_THE_REPORT}
    order = sorted(common, key=lambda name: common[name])
    own = {name: _best(first.runs[name], first.budget)[1] for name in OF_THE_REPORT}
    own_order = sorted(own, key=lambda name: own[name])
    contrast = "another order" if order != own_order else "the same order, other distances,"
    sizes = [_costs(first.runs[name]) for name in best]
    worst = max(cost for each in sizes for cost in each if np.isfinite(cost))
    return (
        f"The best rates after {', '.join(map(str, budgets))} and {second.budget} evaluations are "
        f"{rates}. A rate three times too low or too high costs up to a factor {worst:.1f} in the "
        f"loss (table). One rate for all misleads: at {COMMON_RATE:g}, on all three grids and next "
        f"to the report's 0.02, the losses left after {first.budget} evaluations are "
        + ", ".join(f"{NAMES[name]} {_percent(common[name])}" for name in order)
        + f": {contrast} than with each at its own best ("
        + ", ".join(f"{NAMES[name]} {_percent(own[name])}" for name in own_order)
        + "). More steps always help, ever less: see the budgets side by side in the table, and "
        "the curves above. A budget four times as long "
        + " and ".join(
            f"takes {NAMES[name]} from {_percent(_best(first.runs[name], budgets[0])[1])} to "
            f"{_percent(own[name])}"
            for name in OF_THE_REPORT[:1]
        )
        + "."
    )


def _budgets(first: Stage) -> list[int]:
    return [first.budget // 4, first.budget // 2, first.budget]


def _best(runs: Runs, budget: int) -> tuple[float, float]:
    """The rate of the lowest median over the pairs, and that median."""
    medians = np.median(measures.after(runs, budget), axis=0)
    return runs.rates[int(np.argmin(medians))], float(np.min(medians))


def _at_rate(runs: Runs, rate: float) -> float:
    return float(np.median(measures.after(runs, runs.budget)[:, runs.rates.index(rate)]))


def _costs(runs: Runs) -> tuple[float, float]:
    """By which factor the loss is higher one rate below and one above the best; inf: no such."""
    finals = measures.after(runs, runs.budget)
    best = runs.rates.index(_best(runs, runs.budget)[0])
    return tuple(
        float(np.median(finals[:, i] / finals[:, best])) if 0 <= i < len(runs.rates) else np.inf
        for i in (best - 1, best + 1)
    )


def _method(first: Stage, second: Stage) -> str:
    record = first.records[0]
    height, width = record.content.shape[:2]
    pairs = measures.names_of_pairs(first.records)
    contents, styles = (list(dict.fromkeys(names)) for names in zip(*pairs, strict=True))
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
            f"- *Pairs*: contents {', '.join(contents)}; styles {', '.join(styles)}; all nine "
            f"combinations, {width} x {height} pixels; content weight 1e4, style weight 1e-2, no "
            "total variation; start from the content picture with normal noise of standard "
            f"deviation {record.config['init_noise']:g}.",
            f"- *First stage*: {first.budget} evaluations, {_number_of_seeds(first)}, "
            f"{_number_of_rates(first)} rates an optimizer, half a decade apart. *Second stage*: "
            f"{second.budget} evaluations, {_number_of_seeds(second)}, the best rate of the first "
            "stage over all pairs and its neighbors; that choice has seen every pair, the rate "
            f"used on a pair has not.{noted}",
            "- *Budget*: gradient evaluations. A step of a first-order optimizer is one; the line "
            "search of L-BFGS may take several, and it has no rate.",
            "- *Loss left*: total of the picture as it is saved (clipped, for the last one also "
            "in 8 bits; for L-BFGS always both), over the total of the start; median over the "
            "seeds. *Content*: the content term's part of it. *Area*: mean of log10 of the loss "
            "left over all evaluations. *Evaluations to 20 % and to 5 %*: until the loss left is "
            "no more than that, median over the pairs; in brackets the pairs that got there at "
            "all. *Diverged*: runs that ended above their start, of all at all rates.",
            "- *Unit*: the pair. *Rate*: on each pair that with the lowest median over the other "
            "eight. *Interval*: 95 %, of the median over resampled pairs (9999 times). *Ratio*: "
            "of the losses left, median over pairs. *p*: Wilcoxon's signed-rank test, exact, "
            "two-sided, adjusted for all ten comparisons (Holm); with nine pairs the smallest "
            "possible is 0.039. *Effect*: matched-pairs rank-biserial correlation, -1 if the first "
            "is better everywhere. The nine pairs share three contents and three styles, so that "
            "they are less independent than the test takes them for.",
            f"- *Run* on {described(record)}, float32. The first-order runs of the first stage "
            f"took {_minutes(first):.0f} minutes, those of the second {_minutes(second):.0f}.",
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


def _factor(value: float) -> str:
    return f"x {value:.2f}" if np.isfinite(value) else "not tried"


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
        axes.set_ylim(0.02, 4)
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
            second.runs[name].pictures[pair, each.choice[pair]] for name, each in tuned.items()
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
