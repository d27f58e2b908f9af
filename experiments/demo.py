"""A first look: a portrait in the style of the bundled painting.

    make demo                                                    # or: python experiments/demo.py
    make demo ARGS="--content portrait.jpg --style painting.jpg"   # the same with your own

Painted by the preset `painterly`, which begins small, for large strokes. Writes
stylized.png, overview.png, losses.png and run.h5, replacing those of an earlier call.
On two CPU cores it takes one to two minutes, less where they multiply bfloat16 fast. Where no
trained weights can be found or downloaded it says so and goes on with random ones: a preview of
what the program does, not of how well.
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from nst_jax import presets, runs, weights
from nst_jax.config import StylizeConfig
from nst_jax.image import samples
from nst_jax.system.console import exit_code_of

BANNER = """
****************************************************************************
*  WARNING: no trained weights were found, and none could be downloaded.   *
*  Going on with RANDOM weights: what follows is only a PREVIEW.           *
*  See above for how to get the real network.                              *
****************************************************************************
"""


@dataclass(frozen=True)
class Demo:
    """Paint a portrait in the style of the bundled painting, or pictures of your own."""

    content: Path = samples.PORTRAIT
    """Picture whose subject is kept."""
    style: Path = samples.PAINTING
    """Picture whose style is taken."""
    output_dir: Path = Path("out/demo")
    """Where the four files go."""
    size: int = 320
    """Longest side in pixels."""
    stages: tuple[str, ...] = ()
    """Sizes with their steps, as `nst-jax stylize --stages` takes them (default: the preset's)."""
    weights: str | None = None
    """A weights file, or "random" (default: look for them, download, or random)."""


def config_of(demo: Demo, source: str | None) -> StylizeConfig:
    """The run of the demo with the weights of a source."""
    config = StylizeConfig(
        content=demo.content,
        style=demo.style,
        output=demo.output_dir / "stylized.png",
        log=demo.output_dir / "run.h5",
        figures=demo.output_dir,
        size=demo.size,
        weights=source,
        force=True,
    )
    painterly = presets.apply("painterly", config)
    return replace(painterly, stages=demo.stages) if demo.stages else painterly


def _warn(problem: str) -> None:
    print(f"{problem}\n{BANNER}", file=sys.stderr)


def main(demo: Demo) -> int:
    config = config_of(demo, weights.trained_or_random(demo.weights, say=_warn))
    return runs.stylize_files(config).exit_code


if __name__ == "__main__":
    demo = tyro.cli(Demo)
    sys.exit(exit_code_of(lambda: main(demo)))
