"""A first look: a portrait in the style of the bundled painting.

    python experiments/demo.py [--output-dir out/demo] [--size N] [--steps N] [--weights W]

Writes stylized.png, overview.png, losses.png and run.h5, replacing those of an earlier call.
On two CPU cores it takes about two minutes. Where no trained weights can be found or
downloaded it says so and goes on with random ones: a preview of what the program does, not of
how well.
"""

import sys
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import tyro
from matplotlib import cbook

from nst_jax import runs, weights
from nst_jax.config import StylizeConfig

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
    steps: int = 120
    """Steps of the optimizer."""
    weights: str | None = None
    """A weights file, or "random" (default: look for them, download, or random)."""


def config_of(demo: Demo) -> StylizeConfig:
    """The run of the demo with a trained network: the report's settings, a smaller picture."""
    return StylizeConfig(
        content=Path(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)),
        style=Path(str(resources.files("nst_jax") / "data" / "painting.png")),
        output=demo.output_dir / "stylized.png",
        log=demo.output_dir / "run.h5",
        figures=demo.output_dir,
        size=demo.size,
        steps=demo.steps,
        weights=demo.weights,
        force=True,
    )


def preview_configs(config: StylizeConfig) -> tuple[StylizeConfig, StylizeConfig]:
    """The same run with random weights, coarse to fine.

    Chosen by eye: layers of a random network share no trained balance, so each counts relative
    to its target; average pooling and a start from half the size keep strokes together.
    """
    fine = replace(
        config,
        weights="random",
        pooling="average",
        layer_balance="relative",
        content_weight=1.0,
        style_weight=1.0,
        tv_weight=0.0,
    )
    coarse = replace(
        fine,
        size=config.size // 2,
        output=config.output.with_name("coarse.png"),
        log=None,
        figures=None,
    )
    return coarse, replace(fine, init=str(coarse.output))


def main(demo: Demo) -> int:
    config = config_of(demo)
    try:
        weights.load_params(config.weights, arch=config.arch)
    except weights.WeightsNotFound as error:
        print(f"{error}\n{BANNER}", file=sys.stderr)
        config = replace(config, weights="random")
    if config.weights != "random":
        return runs.stylize_files(config).exit_code
    coarse, fine = preview_configs(config)
    exit_code = runs.stylize_files(coarse).exit_code
    if exit_code == 0:
        exit_code = runs.stylize_files(fine).exit_code
    coarse.output.unlink(missing_ok=True)
    return exit_code


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Demo)))
