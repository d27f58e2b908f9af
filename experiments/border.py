"""How much more saturated the border of a result is than the rest, with zeros and reflected.

    python experiments/border.py --contents a.jpg b.jpg --styles c.jpg d.jpg

Content i is painted in style i, with Gram matrices of balanced layers for strokes and with the
defaults. Printed is the saturation of the two outermost pixels in parts of that of the interior,
beside that of the contents themselves.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from measuring.records import origin_of
from pages import words

from nst_jax import image as images
from nst_jax import metrics, runs
from nst_jax.choices import PrecisionSetting
from nst_jax.config import StylizeConfig
from nst_jax.runlog import RunRecord
from nst_jax.system.console import exit_code_of, say

SETTINGS: dict[str, dict[str, Any]] = {
    "strokes": {
        "layer_balance": "relative",
        "content_weight": 1.0,
        "style_weight": 8.0,
        "tv_weight": 1e-5,
        "content_layers": ("block4_conv2",),
        "pooling": "average",
        "style_scale": 1.6,
    },
    "defaults": {},
}
BORDERS = ("zeros", "reflect")


@dataclass(frozen=True)
class Border:
    """Paint pairs of pictures, and compare the border with the interior."""

    contents: tuple[Path, ...]
    """Pictures whose subject is kept."""
    styles: tuple[Path, ...]
    """Pictures whose style is taken, one a content."""
    size: int = 160
    """Longest side in pixels."""
    steps: int = 60
    """Steps of each run."""
    precision: PrecisionSetting = "fast"
    """Of the network's convolutions."""


def record_of(
    settings: Border, of_run: dict[str, Any], border: str, content: Path, style: Path
) -> RunRecord:
    """The log of one run, which is kept nowhere."""
    with tempfile.TemporaryDirectory() as folder:
        config = StylizeConfig(
            content=content,
            style=style,
            output=Path(folder) / "out.png",
            size=settings.size,
            steps=settings.steps,
            precision=settings.precision,
            border=border,
            **of_run,
        )
        return runs.stylize_files(config, say=lambda line: None).record


def row(name: str, pictures: list[np.ndarray]) -> str:
    """A line of the table: the mean over the pairs, then each."""
    found = [float(metrics.border_saturation(images.from_uint8(x))) for x in pictures]
    return f"| {name} | {np.mean(found):.2f} | {', '.join(f'{x:.2f}' for x in found)} |"


def main(settings: Border) -> None:
    pairs = list(zip(settings.contents, settings.styles, strict=True))
    say("| settings, border | mean | pairs |\n|---|---:|---|")
    for name, of_run in SETTINGS.items():
        for border in BORDERS:
            records = [record_of(settings, of_run, border, *pair) for pair in pairs]
            say(row(f"{name}, {border}", [record.images[0] for record in records]))
    say(row("the contents", [record.content for record in records]))
    say(f"\n{words.render('origin', origin=origin_of(records[0]))}")


def command() -> int:
    main(tyro.cli(Border, config=(tyro.conf.FlagCreatePairsOff,)))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(command))
