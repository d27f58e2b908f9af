"""How the loss itself can be chosen better: its terms, weights, layers, formulas and network.

    python experiments/losses.py                       # 128 px, 200 steps: for a CPU
    python experiments/losses.py --size 512 --steps 1000
    python experiments/losses.py --vgg16-weights FILE  # VGG16 beside VGG19 as well

From the report's loss one choice at a time is changed (with *each relative* the weights as
well). Losses of different formulas cannot be compared: every result is measured by the same three
yardsticks (`Yardstick`). Written are section.md with its figures and the logs. A finished log is
read again, an interrupted one is gone on with.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import samples
import tyro
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from records import described, record_of

from nst_jax import image as images
from nst_jax import losses, vgg
from nst_jax import weights as network_weights
from nst_jax.choices import CONTENT_LAYERS, STYLE_LAYERS, PrecisionSetting
from nst_jax.config import SweepConfig
from nst_jax.objective import DEFAULT_WEIGHTS
from nst_jax.report import plotting
from nst_jax.runlog import RunRecord
from nst_jax.system import files
from nst_jax.system.console import exit_code_of, say

YARDSTICK_LAYER = "block4_conv2"
"""Content is measured there: but for one, no run is optimised for it."""

RATIOS = (0.01, 0.1, 1, 10, 100)
"""Factors of the report's content weight."""
VARIATIONS = (0.0, 30.0, 300.0, 3000.0, 30000.0)
"""Weights of the total variation."""
LAYERS = ("block2_conv2", "block3_conv2", "block4_conv2", *CONTENT_LAYERS)
"""Content layers; the last is the report's."""
STYLE_COUNTS = (1, 2, 3, 4, 5)
"""How many of the report's style layers, from the first on."""


@dataclass(frozen=True)
class Losses:
    """Change one choice of the loss at a time, and measure what comes of it."""

    output_dir: Path = Path("out/losses")
    """Where logs, figures and the page go."""
    content: Path = samples.PORTRAIT
    """Picture whose subject is kept."""
    style: Path = samples.PAINTING
    """Picture whose style is taken."""
    size: int = 128
    """Longest side in pixels."""
    steps: int = 200
    """Steps of each run."""
    learning_rate: float = 0.03
    """Of Adam."""
    precision: PrecisionSetting = "float32"
    """Of the convolutions, as in `nst-jax sweep`; float32 reproduces the report."""
    weights: str | None = None
    """A weights file, or "random" (default: see `nst-jax weights info`)."""
    vgg16_weights: str | None = None
    """Those of VGG16: compares the two networks as well."""
    fresh: bool = False
    """Run again, whatever logs the folder holds."""


class Choice(NamedTuple):
    """One setting in a group: what it is called, and the run that has it alone changed."""

    group: str
    label: str
    config: SweepConfig


class Yardstick(NamedTuple):
    """A result by measures that are the same for all.

    Attributes:
      style: the report's style loss in parts of that of the content picture: 1 is unstyled.
      content: squared error of the features at `YARDSTICK_LAYER` over their own squares.
      variation: total variation in parts of that of the content picture.
    """

    style: float
    content: float
    variation: float


def base_of(settings: Losses) -> SweepConfig:
    """The report's loss."""
    return SweepConfig(
        content=settings.content,
        styles=(settings.style,),
        log=settings.output_dir / "report.h5",
        size=settings.size,
        steps=settings.steps,
        optimizers=("adam",),
        learning_rates=(repr(settings.learning_rate),),
        tv_weights=(0.0,),
        precision=settings.precision,
        weights=settings.weights,
        force=True,
    )


def choices_of(settings: Losses, strength: Callable[[str], float]) -> list[Choice]:
    """All settings, group by group.

    Args:
      settings: of the experiment.
      strength: the content loss of no features at a layer; weights are divided by it, so that
        every content layer counts as much as the report's.
    """
    content_weight, style_weight = DEFAULT_WEIGHTS["report"]
    report_layer = CONTENT_LAYERS[0]
    choices: list[tuple[str, str, dict]] = []
    for factor in RATIOS:
        weight = content_weight * factor
        label = f"{weight:.0e} : {style_weight:.0e}".replace("e+0", "e").replace("e-0", "e-")
        choices.append(("content : style", label, {"content_weights": (weight,)}))
    for weight in VARIATIONS:
        choices.append(("total variation", f"weight {weight:g}", {"tv_weights": (weight,)}))
    for layer in LAYERS:
        # Rounded, so that the settings of a log are the same on every machine.
        weight = float(f"{content_weight * strength(report_layer) / strength(layer):.3g}")
        options = {"content_layers": (layer,), "content_weights": (weight,)}
        choices.append(("content layer", layer, options))
    for count in STYLE_COUNTS:
        label = STYLE_LAYERS[0] if count == 1 else f"to {STYLE_LAYERS[count - 1]}"
        choices.append(("style layers", label, {"style_layers": STYLE_LAYERS[:count]}))
    # Relative to its targets a term is about 1: the ratio of the weights has to be another.
    relative = {"layer_balance": "relative", "content_weights": (1.0,), "style_weights": (1.0,)}
    choices += [
        ("style layers", "each relative", relative),
        ("formulas", "report", {}),
        ("formulas", "gatys", {"convention": "gatys"}),
        ("pooling", "max", {}),
        ("pooling", "average", {"pooling": "average"}),
    ]
    if settings.vgg16_weights:
        other = {"arch": "vgg16", "weights": settings.vgg16_weights}
        choices += [("network", "vgg19", {}), ("network", "vgg16", other)]
    base = base_of(settings)
    return [
        Choice(group, label, replace(base, log=_log_of(base, group, label, options), **options))
        for group, label, options in choices
    ]


def _log_of(base: SweepConfig, group: str, label: str, options: dict) -> Path:
    """The report's own loss is in most groups, and runs once."""
    values = {name: getattr(base, name) for name in options}
    defaults = {"content_weights": (DEFAULT_WEIGHTS["report"][0],)}
    same = all(options[name] in (values[name], defaults.get(name)) for name in options)
    if same:
        return base.log
    name = "".join(c if c.isalnum() else "-" for c in f"{group} {label}")
    return base.log.with_name(f"{name}.h5")


def make_yardstick(
    params: vgg.Params, content: Float[np.ndarray, "h w 3"], style: Float[np.ndarray, "h2 w2 3"]
) -> Callable[[UInt8[np.ndarray, "h w 3"]], Yardstick]:
    """The measures of a result, by VGG19 with max pooling whatever it was made by."""
    features = vgg.feature_fn(params, (*STYLE_LAYERS, YARDSTICK_LAYER))
    of_content, of_style = features(content), features(style)
    grams = {layer: losses.gram_matrix(of_style[layer]) for layer in STYLE_LAYERS}
    kept = of_content[YARDSTICK_LAYER]

    def style_loss(found: dict) -> float:
        terms = [losses.style_loss(found[layer], gram) for layer, gram in grams.items()]
        return float(np.mean(terms))

    def measure(result: UInt8[np.ndarray, "h w 3"]) -> Yardstick:
        picture = images.from_uint8(result)
        found = features(picture)
        lost = jnp.sum((found[YARDSTICK_LAYER] - kept) ** 2) / jnp.sum(kept**2)
        variation = losses.total_variation(picture) / losses.total_variation(content)
        return Yardstick(style_loss(found) / style_loss(of_content), float(lost), float(variation))

    return measure


class Measured(NamedTuple):
    """A choice with what came of it."""

    choice: Choice
    record: RunRecord
    by: Yardstick


def run(settings: Losses) -> list[Measured]:
    """Runs or reads all choices and measures them."""
    params = network_weights.load_params(settings.weights)
    content, style = (
        images.load(path, size=settings.size) for path in (settings.content, settings.style)
    )

    def strength(layer: str) -> float:
        found = vgg.extract_features(params, content, [layer])[layer]
        return float(losses.content_loss(jnp.zeros_like(found), found))

    measure = make_yardstick(params, content, style)
    fresh = settings.fresh
    result: list[Measured] = []
    done: dict[Path, RunRecord] = {}
    for choice in choices_of(settings, strength):
        log = choice.config.log
        if log not in done:
            config = base_of(settings) if log == base_of(settings).log else choice.config
            done[log] = record_of(config, fresh=fresh)
        record = done[log]
        result.append(Measured(choice, record, measure(record.images[0])))
    return result


def is_report(measured: Measured) -> bool:
    """Whether this is the report's own loss, which most groups share."""
    return measured.choice.config.log.stem == "report"


def groups_of(measured: Sequence[Measured]) -> dict[str, list[Measured]]:
    """The choices by group."""
    names = dict.fromkeys(each.choice.group for each in measured)
    return {name: [each for each in measured if each.choice.group == name] for name in names}


def draw_pictures(measured: Sequence[Measured]) -> Figure:
    """A row a group, a column a setting; content and style above."""
    groups = groups_of(measured)
    first = measured[0].record
    columns = max(map(len, groups.values()))
    height, width = first.content.shape[:2]
    rows = len(groups) + 1
    size = (1.9 * columns + 0.4, rows * (1.9 * height / width + 0.3))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    for axes, picture, title in zip(
        grid[0], (first.content, *first.styles.values()), ("content", "style"), strict=False
    ):
        axes.imshow(picture)
        axes.set_title(title, fontsize=9)
    for axes_of_row, (name, members) in zip(grid[1:], groups.items(), strict=True):
        axes_of_row[0].set_ylabel(name, fontsize=9)
        for axes, each in zip(axes_of_row, members, strict=False):
            axes.imshow(each.record.images[0])
            axes.set_title(each.choice.label, fontsize=8)
    return figure


def draw_tradeoff(measured: Sequence[Measured]) -> Figure:
    """Style left against content lost; the settings of a group are joined in their order."""
    figure = Figure(figsize=(7.5, 5), layout="constrained")
    axes = figure.subplots()
    report = next(each for each in measured if is_report(each))
    for place, (name, members) in enumerate(groups_of(measured).items()):
        points = np.array([[each.by.content, each.by.style] for each in members])
        line = "o-" if name in ("content : style", "total variation") else "o"
        axes.plot(*points.T, line, color=f"C{place}", ms=5, lw=1, alpha=0.8, label=name)
        for point, each in zip(points, members, strict=True):
            if is_report(each):
                continue
            axes.annotate(
                each.choice.label, point, xytext=(4, 3), textcoords="offset points",
                fontsize=6.5, color=f"C{place}",
            )  # fmt: skip
    place = (report.by.content, report.by.style)
    axes.plot(*place, "o", color="k", ms=7)
    axes.annotate("the report's loss", place, xytext=(6, 6), textcoords="offset points", fontsize=8)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel=f"content lost (at {YARDSTICK_LAYER})",
        ylabel="style left to match",
    )
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    return figure


def _strengths(groups: dict[str, list[Measured]]) -> str:
    """By how much each group moves the two yardsticks, the strongest first."""

    def spread(members: list[Measured], name: str) -> float:
        values = [getattr(each.by, name) for each in members]
        return max(values) / min(values)

    spreads = {
        name: (spread(members, "style"), spread(members, "content"))
        for name, members in groups.items()
    }
    ordered = sorted(spreads, key=lambda name: -max(spreads[name]))
    listed = ", ".join(
        f"{name} {spreads[name][0]:.3g} and {spreads[name][1]:.3g}" for name in ordered
    )
    return (
        "Between the settings tried, the style left to match and the content lost differ by "
        f"factors of: {listed}."
    )


def section(measured: Sequence[Measured]) -> str:
    """Question 4 in Markdown."""
    groups = groups_of(measured)
    first = measured[0].record
    height, width = first.content.shape[:2]
    by = {(each.choice.group, each.choice.label): each.by for each in measured}
    ratio = [each.by for each in groups["content : style"]]
    none, usual, strong = (by["total variation", f"weight {weight}"] for weight in (0, 30, 3000))
    layers = [each.by for each in groups["content layer"]]
    style_sets = groups["style layers"][: len(STYLE_COUNTS)]
    gatys, average = by["formulas", "gatys"], by["pooling", "average"]
    report = by["formulas", "report"]
    rows = "\n".join(
        f"| {each.choice.group} | {each.choice.label} | {each.by.style:.3g} | "
        f"{each.by.content:.3g} | {each.by.variation:.3g} |"
        for each in measured
    )
    network = (
        ""
        if "network" in groups
        else " VGG16 in place of VGG19 (the report's reference 4 prefers it) has not been run: its "
        "weights were not at hand; `python experiments/losses.py --vgg16-weights FILE` does it."
    )
    return "\n\n".join(
        [
            "## 4. How can the loss be chosen better?",
            f"{_strengths(groups)} **The ratio of content to style**: from "
            f"{groups['content : style'][0].choice.label} to "
            f"{groups['content : style'][-1].choice.label} the style left to match goes from "
            f"{ratio[0].style:.2g} to {ratio[-1].style:.2g} of the content picture's, the content "
            f"lost from {ratio[0].content:.2g} to {ratio[-1].content:.2g}. "
            f"**Total variation** at the usual weight 30 changes the result's own by "
            f"{100 * (usual.variation / none.variation - 1):+.1f} %; at 3000 it is "
            f"{strong.variation:.2g} of the content picture's instead of "
            f"{none.variation:.2g}, and {strong.style:.2g} of the style is left "
            f"instead of {none.style:.2g}. **Content layer** at equal strength: from "
            f"{groups['content layer'][0].choice.label} to "
            f"{groups['content layer'][-1].choice.label} the content lost goes from "
            f"{layers[0].content:.2g} to {layers[-1].content:.2g} and the style left from "
            f"{layers[0].style:.2g} to {layers[-1].style:.2g}. **Style "
            f"layers**: with {style_sets[0].choice.label} alone {style_sets[0].by.style:.2g} is "
            f"left of the style of all five, with all {style_sets[-1].by.style:.2g}. **Formulas**: "
            f"those of Gatys et al., with their own weights, end at {gatys.style:.2g} and "
            f"{gatys.content:.2g}, the report's at {report.style:.2g} and {report.content:.2g}: "
            "the same shapes of loss at another ratio. **Average pooling** leaves "
            f"{average.style:.2g} of the style as max pooling sees it and loses "
            f"{average.content:.2g} of the content, with a total variation "
            f"{average.variation / report.variation:.2f} times that of max pooling." + network,
            "![Results](losses_pictures.jpg)",
            "![Style against content](losses_tradeoff.png)",
            "| choice | setting | style left | content lost | total variation |\n"
            f"|---|---|---:|---:|---:|\n{rows}",
            f"*Measured* with Adam at {first.variants[0].learning_rate:g}, "
            f"{first.config['steps']} steps from the content picture, {width} x {height} pixels, "
            "one pair of pictures, all else as in the report (content weight 1e4, style weight "
            f"1e-2, no total variation); {described(first)}. *Style left*: the report's style loss "
            "over that of the content picture; 1 is unstyled. *Content lost*: squared error of "
            f"the features at {YARDSTICK_LAYER} over their squares. *Total variation*: over the "
            "content picture's. Content layers are weighted to count as much as the report's: by "
            "the loss that no features at all would have there. *each relative*: every layer's "
            "loss over that of no features, content and style weighted alike.",
        ]
    )


def main(settings: Losses) -> Path:
    """Runs what is needed and writes the section.

    Returns:
      The path of section.md.
    """
    files.check_folder(settings.output_dir)
    measured = run(settings)
    figures = {
        "losses_pictures.jpg": draw_pictures(measured),
        "losses_tradeoff.png": draw_tradeoff(measured),
    }
    for name, figure in figures.items():
        plotting.save(figure, settings.output_dir / name)
    path = settings.output_dir / "section.md"
    with files.replacing(path) as temporary:
        temporary.write_text(section(measured), encoding="utf-8")
    say(f"wrote {path} and {', '.join(figures)}")
    return path


def command() -> int:
    main(tyro.cli(Losses, config=(tyro.conf.FlagCreatePairsOff,)))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(command))
