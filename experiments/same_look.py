"""Whether a large picture looks as the small one does: painted in two ways, reduced, and compared.

    python experiments/same_look.py pictures/ --size 256 --factor 4

Hardware: two CPU cores; time: ten minutes for two pairs at 256 and 1024 pixels. `pictures/` holds
the files that `painting/pairs.py` names.

A preset's stages are scaled with the picture: its strokes are then finer beside the subject. The
stages of the small picture, and more after them, keep its strokes.
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from painting.pairs import UNTOUCHED_PAIRS, files_of

from nst_jax import image as images
from nst_jax import metrics, presets, runs
from nst_jax.config import StylizeConfig, stages_of
from nst_jax.runs import judging
from nst_jax.system.console import exit_code_of, note, say

_RATIO = 2**0.5
_METRICS = ("ssim", "lpips", "style_distance", "patch_distance")


@dataclass(frozen=True)
class Study:
    """Paint pairs small and large, and compare the large ones, reduced, with the small ones."""

    pictures: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="PICTURES")]
    """The folder of contents and styles."""
    output_dir: Path = Path("out/same_look")
    """Where the pictures go."""
    pairs: tuple[str, ...] = ("astronaut", "hills")
    """Which, of those that `painting/pairs.py` names."""
    size: int = 256
    """Of the small picture."""
    factor: int = 4
    """Of the large one."""
    steps: int = 15
    """Of each further stage."""
    preset: str = "painterly"
    """Whose recipe."""


def recipes(settings: Study, base: StylizeConfig) -> dict[str, StylizeConfig]:
    """The runs by name: small; large by stages that are scaled; large by those of the small one."""
    small = presets.apply(settings.preset, replace(base, size=settings.size))
    large = presets.apply(settings.preset, replace(base, size=settings.size * settings.factor))
    first = [f"{spec.size}:{spec.steps}" for spec in stages_of(small)]
    count = round(np.log(settings.factor) / np.log(_RATIO))
    sizes = [round(settings.size * _RATIO ** (i + 1)) for i in range(count)]
    further = [f"{size}:{settings.steps}" for size in sizes]
    return {
        "small": small,
        "scaled": large,
        "continued": replace(large, stages=(*first, *further)),
    }


def paint(settings: Study, pair: str) -> dict[str, Path]:
    """The pictures of a pair, painted unless they are there."""
    files = files_of(UNTOUCHED_PAIRS[pair], settings.pictures, settings.output_dir / "cropped")
    found = {}
    for name in ("small", "scaled", "continued"):
        found[name] = settings.output_dir / f"{pair}.{name}.png"
    base = StylizeConfig(content=files[0], style=files[1], output=found["small"], enlarge=True)
    for name, config in recipes(settings, base).items():
        if not found[name].exists():
            say(f"{pair}, {name}")
            runs.stylize_files(replace(config, output=found[name]), say=lambda line: None)
    return found


def compared(small: np.ndarray, large: np.ndarray, judges: metrics.Judges) -> dict[str, float]:
    """How far a large picture is from the small one, once it has been reduced."""
    reduced = images.resize(large, *small.shape[:2])
    found = metrics.measure(reduced, small, small, judges)
    return {name: found[name] for name in _METRICS if name in found}


def main(settings: Study) -> None:
    """Prints a row for each pair and way."""
    judges = judging.load_panel(say=note).judges
    for pair in settings.pairs:
        found = {name: images.load(path) for name, path in paint(settings, pair).items()}
        for name in ("scaled", "continued"):
            row = compared(found["small"], found[name], judges)
            say(f"{pair}, {name}: " + ", ".join(f"{x} {value:.4f}" for x, value in row.items()))


def command() -> int:
    main(tyro.cli(Study))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(command))
