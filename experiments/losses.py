"""How the loss itself can be chosen better: its terms, weights, layers, formulas and network.

    python experiments/losses.py                       # 128 px, 200 steps: for a CPU
    python experiments/losses.py --size 512 --steps 1000
    python experiments/losses.py --vgg16-weights FILE  # VGG16 beside VGG19 as well

From the report's loss one choice at a time is changed (with *each relative* the weights as
well). Losses of different formulas cannot be compared: every result is measured by the same three
yardsticks (`measuring/yardstick.py`). Written are section.md with its figures and the logs. A
finished log is read again, an interrupted one is gone on with.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import tyro
from measuring import samples
from measuring.records import record_of
from measuring.yardstick import Choice, Measured, make_yardstick
from pages import losses as losses_page
from pages import losses_figures, writing

from nst_jax import image as images
from nst_jax import losses, vgg
from nst_jax import weights as network_weights
from nst_jax.choices import CONTENT_LAYERS, STYLE_LAYERS, PrecisionSetting
from nst_jax.config import SweepConfig
from nst_jax.objective import DEFAULT_WEIGHTS
from nst_jax.runlog import RunRecord
from nst_jax.system import files
from nst_jax.system.console import exit_code_of, say

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


Change = tuple[str, str, dict[str, Any]]
"""A group, a setting of it, and the options in which it differs from the report's loss."""


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
        content_layers=CONTENT_LAYERS,
        style_layers=STYLE_LAYERS,
        layer_balance="equal",
        convention="report",
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
    base = base_of(settings)
    return [
        Choice(group, label, replace(base, log=_log_of(base, group, label, options), **options))
        for group, label, options in (*_weights(), *_layers(strength), *_forms(settings))
    ]


def _weights() -> Iterator[Change]:
    content_weight, style_weight = DEFAULT_WEIGHTS["report"]
    for factor in RATIOS:
        weight = content_weight * factor
        label = f"{weight:.0e} : {style_weight:.0e}".replace("e+0", "e").replace("e-0", "e-")
        yield "content : style", label, {"content_weights": (weight,)}
    for weight in VARIATIONS:
        yield "total variation", f"weight {weight:g}", {"tv_weights": (weight,)}


def _layers(strength: Callable[[str], float]) -> Iterator[Change]:
    content_weight, _ = DEFAULT_WEIGHTS["report"]
    for layer in LAYERS:
        # Rounded, so that the settings of a log are the same on every machine.
        weight = float(f"{content_weight * strength(CONTENT_LAYERS[0]) / strength(layer):.3g}")
        options = {"content_layers": (layer,), "content_weights": (weight,)}
        yield "content layer", layer, options
    for count in STYLE_COUNTS:
        label = STYLE_LAYERS[0] if count == 1 else f"to {STYLE_LAYERS[count - 1]}"
        yield "style layers", label, {"style_layers": STYLE_LAYERS[:count]}
    # Relative to its targets a term is about 1: the ratio of the weights has to be another.
    relative = {"layer_balance": "relative", "content_weights": (1.0,), "style_weights": (1.0,)}
    yield "style layers", "each relative", relative


def _forms(settings: Losses) -> Iterator[Change]:
    yield "formulas", "report", {}
    yield "formulas", "gatys", {"convention": "gatys"}
    yield "pooling", "max", {}
    yield "pooling", "average", {"pooling": "average"}
    if settings.vgg16_weights:
        yield "network", "vgg19", {}
        yield "network", "vgg16", {"arch": "vgg16", "weights": settings.vgg16_weights}


def _log_of(base: SweepConfig, group: str, label: str, options: dict) -> Path:
    """The report's own loss is in most groups, and runs once."""
    values = {name: getattr(base, name) for name in options}
    defaults = {"content_weights": (DEFAULT_WEIGHTS["report"][0],)}
    same = all(options[name] in (values[name], defaults.get(name)) for name in options)
    if same:
        return base.log
    name = "".join(c if c.isalnum() else "-" for c in f"{group} {label}")
    return base.log.with_name(f"{name}.h5")


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


def main(settings: Losses) -> Path:
    """Runs what is needed and writes the section.

    Returns:
      The path of section.md.
    """
    files.check_folder(settings.output_dir)
    measured = run(settings)
    figures = {
        "losses_pictures.jpg": losses_figures.draw_pictures(measured),
        "losses_tradeoff.png": losses_figures.draw_tradeoff(measured),
    }
    path = settings.output_dir / "section.md"
    writing.write(path, losses_page.section(measured), figures)
    say(f"wrote {path} and {', '.join(figures)}")
    return path


def command() -> int:
    main(tyro.cli(Losses, config=(tyro.conf.FlagCreatePairsOff,)))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(command))
