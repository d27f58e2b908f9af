"""A pair of pictures for each metric that it judges otherwise than the eye.

    python experiments/fooled_metrics.py --content cat.png --style wave.jpg

Hardware: two CPU cores; time: two minutes at 256 pixels. `docs/metrics.md` has the result. One
picture of each pair is painted, or the content itself; the other is made of it, or of the style, by
arithmetic that no painter would sign. Written is METRIC.jpg for each, with the values as titles.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from gallery import LAYERS, STYLE_WEIGHT, Gallery, base_of
from gallery import painted as paint
from jaxtyping import Float
from measuring import samples
from scipy.ndimage import gaussian_filter, shift

from nst_jax import image as images
from nst_jax import metrics
from nst_jax.config import TermSpec
from nst_jax.report import plotting
from nst_jax.runs import judging
from nst_jax.system import files
from nst_jax.system.console import exit_code_of, say

Picture = Float[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class Fooled:
    """Draw pictures that fool metrics."""

    output_dir: Path = Path("out/fooled")
    """Where the figures go."""
    content: Path = samples.PORTRAIT
    """Picture whose subject is kept."""
    style: Path = samples.PAINTING
    """Picture whose style is taken."""
    size: int = 256
    """Longest side in pixels."""
    steps: int = 150
    """Steps of the run that paints."""
    weights: str | None = None
    """A weights file, or "random" (default: see `nst-jax weights info`)."""
    judges: Path | None = None
    """The folder of the judges (default: see `nst-jax metrics --help`)."""


Pair = dict[str, Picture]
"""Two pictures by what they are: first the one that the metric takes for better, or as good."""


def double_exposure(content: Picture, style: Picture) -> Picture:
    """Both pictures at half their light."""
    return (content + images.resize(style, *content.shape[:2])) / 2


def palette(content: Picture, style: Picture) -> Picture:
    """The content with the colors of the style, in the order of their light."""
    colors = images.resize(style, *content.shape[:2])
    places, ranked = (
        np.argsort(images.to_gray(x)[..., 0].ravel(), kind="stable") for x in (content, colors)
    )
    repainted = np.empty_like(content)
    repainted.reshape(-1, 3)[places] = colors.reshape(-1, 3)[ranked]
    return repainted


def noisy(picture: Picture, *, is_gray: bool) -> Picture:
    """With normal noise in each pixel, of light alone or of each color."""
    shape = (*picture.shape[:2], 1 if is_gray else 3)
    noise = np.random.default_rng(0).normal(scale=0.1 if is_gray else 0.05, size=shape)
    return np.clip(picture + noise, 0, 1).astype(np.float32)


def framed(picture: Picture) -> Picture:
    """With red, green and blue exchanged in the outermost pixels: other hues as saturated."""
    exchanged = picture[..., [1, 2, 0]].copy()
    inner = (slice(2, -2), slice(2, -2))
    exchanged[inner] = picture[inner]
    return exchanged


def pairs(content: Picture, style: Picture, painted: Picture) -> dict[str, Pair]:
    """By metric the pair that fools it."""
    moved = shift(content, (8, 8, 0), order=0, mode="nearest")
    blurred = gaussian_filter(content, (2, 2, 0))
    return {
        "ssim": {
            "the content in gray": images.to_gray(content),
            "the content, moved by 8 pixels": moved,
        },
        "psnr": {"the content, blurred": blurred, "painted": painted},
        "lpips": {"painted": painted, "the content in a mirror": content[:, ::-1].copy()},
        "class_agreement": {"the content upside down": content[::-1].copy(), "painted": painted},
        "style_distance": {
            "double exposure": double_exposure(content, style),
            "painted": painted,
        },
        "patch_distance": {
            "the content in the style's colors": palette(content, style),
            "painted": painted,
        },
        "chroma_speckle": {
            "painted, with noise of light": noisy(painted, is_gray=True),
            "painted, with half as much of color": noisy(painted, is_gray=False),
        },
        "border_saturation": {"painted, with a frame": framed(painted), "painted": painted},
    }


def painted_of(settings: Fooled) -> Picture:
    """The picture of a run that minimizes the Wasserstein distance."""
    run = Gallery(
        output_dir=settings.output_dir,
        content=settings.content,
        style=settings.style,
        size=settings.size,
        steps=settings.steps,
        weights=settings.weights,
    )
    term = TermSpec("wasserstein", LAYERS, weight=STYLE_WEIGHT)
    picture = images.from_uint8(paint(base_of(run), style=term))
    (settings.output_dir / "last.png").unlink()
    return picture


def main(settings: Fooled) -> list[Path]:
    """Draws every pair whose metric has its judge.

    Returns:
      The figures.
    """
    files.check_folder(settings.output_dir)
    judges = judging.load_panel(settings.judges, say=say).judges
    paths = (settings.content, settings.style)
    content, style = (images.load(path, size=settings.size) for path in paths)
    every = pairs(content, style, painted_of(settings))
    written = []
    for name in (name for name in every if name in judges.names):
        titles = {
            title: f"{title}: {metrics.measure(picture, content, style, judges)[name]:.3g}"
            for title, picture in every[name].items()
        }
        written.append(settings.output_dir / f"{name}.jpg")
        figure = plotting.side_by_side([*every[name].values()], [*titles.values()])
        plotting.save(figure, written[-1])
        say(f"{name}: " + "; ".join(titles.values()))
    return written


def command() -> int:
    main(tyro.cli(Fooled, config=(tyro.conf.FlagCreatePairsOff,)))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(command))
