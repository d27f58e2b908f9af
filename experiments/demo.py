"""A first look: a portrait in the style of the bundled painting.

    python experiments/demo.py [--output-dir out/demo] [--size N] [--steps N] [--weights W]

Runs at half the size first, for large strokes, and goes on from there at full size. Writes
stylized.png, overview.png, losses.png and run.h5, replacing those of an earlier call.
On two CPU cores it takes one to two minutes. Where no trained weights can be found or
downloaded it says so and goes on with random ones: a preview of what the program does, not of
how well.
"""

import signal
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import samples
import tyro

from nst_jax import runs, weights
from nst_jax.config import StylizeConfig
from nst_jax.console import exit_code_of, say

BANNER = """
****************************************************************************
*  WARNING: no trained weights were found, and none could be downloaded.   *
*  Going on with RANDOM weights: what follows is only a PREVIEW.           *
*  See above for how to get the real network.                              *
****************************************************************************
"""


@dataclass(frozen=True)
class Demo:
    """Stylise a portrait with the bundled painting."""

    output_dir: Path = Path("out/demo")
    """Where the four files go."""
    size: int = 320
    """Longest side in pixels."""
    steps: int = 45
    """Steps of the optimizer, after twice as many at half the size."""
    weights: str | None = None
    """A weights file, or "random" (default: look for them, download, or random)."""


def config_of(demo: Demo) -> StylizeConfig:
    """The run of the demo with a trained network.

    Chosen by eye. With each layer counted relative to its target, none drowns the others, and
    strokes appear where the plain sum gives noise. Average pooling smooths. The TV weight is
    small because relative losses are about 1.
    """
    return StylizeConfig(
        content=samples.PORTRAIT,
        style=samples.PAINTING,
        output=demo.output_dir / "stylized.png",
        log=demo.output_dir / "run.h5",
        figures=demo.output_dir,
        size=demo.size,
        style_size=demo.size * 8 // 5,  # broader strokes
        steps=demo.steps,
        content_weight=1.0,
        style_weight=8.0,
        tv_weight=1e-5,
        content_layers=("block4_conv2",),
        layer_balance="relative",
        pooling="average",
        weights=demo.weights,
        force=True,
    )


def preview_of(config: StylizeConfig) -> StylizeConfig:
    """The same run with random weights.

    Chosen by eye: small steps for little noise, a large weight for the painting's colors, no
    fifth block, which takes time and adds nothing to see.
    """
    return replace(
        config,
        learning_rate=config.learning_rate / 2,
        style_weight=300.0,
        content_layers=("block4_conv1",),
        style_layers=tuple(f"block{n}_conv1" for n in range(1, 5)),
        weights="random",
    )


def coarse_of(config: StylizeConfig, output: Path) -> StylizeConfig:
    """The same run at half the size, where strokes are large and steps are cheap."""
    return replace(
        config,
        output=output,
        log=None,
        figures=None,
        size=config.size // 2,
        style_size=config.style_size // 2,
        steps=2 * config.steps,
        learning_rate=2 * config.learning_rate,
    )


def _say_coarse(line: str) -> None:
    # The coarse picture is gone when the demo ends: not worth mentioning.
    if not line.startswith("wrote"):
        say(f"coarse: {line}")


def main(demo: Demo) -> int:
    config = config_of(demo)
    try:
        weights.load_params(config.weights, arch=config.arch)
    except weights.WeightsNotFound as error:
        print(f"{error}\n{BANNER}", file=sys.stderr)
        config = replace(config, weights="random")
    if config.weights == "random":
        config = preview_of(config)
    demo.output_dir.mkdir(parents=True, exist_ok=True)  # refused now, not after the coarse run
    with tempfile.TemporaryDirectory() as folder:
        coarse = coarse_of(config, Path(folder) / "coarse.png")
        exit_code = runs.stylize_files(coarse, say=_say_coarse).exit_code
        if exit_code:
            return exit_code
        return runs.stylize_files(replace(config, init=str(coarse.output))).exit_code


if __name__ == "__main__":
    # Outside a run SIGTERM would end the program without removing the coarse picture.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    demo = tyro.cli(Demo)
    sys.exit(exit_code_of(lambda: main(demo)))
