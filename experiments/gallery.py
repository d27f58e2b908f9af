"""What each statistic of style, several styles and regions do to one pair of pictures.

    python experiments/gallery.py
    python experiments/gallery.py --content photo.jpg --style painting.jpg --other night.jpg \\
        --mask sky.png --style-mask sky_of_the_painting.png

Hardware: two CPU cores; time: a quarter of an hour at 256 pixels. Each picture has the same content
term and the same steps; only the terms of the style differ. Layers are balanced, so that a weight
means the same for each statistic. Written are statistics.jpg, and with --other styles.jpg: both
pictures as one style, and, with --mask, the second inside of a region and the first outside.
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tyro
from measuring import samples
from PIL import Image

from nst_jax import image as images
from nst_jax import runs
from nst_jax.choices import STYLE_LAYERS
from nst_jax.config import StylizeConfig, TermSpec
from nst_jax.report import plotting
from nst_jax.system import files
from nst_jax.system.console import exit_code_of, say

STATISTICS = (
    "gram",
    "covariance",
    "moments",
    "wasserstein",
    "shifted_gram",
    "adjacent_gram",
)
"""The kinds of terms that are shown."""
LAYERS = STYLE_LAYERS[:4]
"""Of each: the fifth changes little that is seen, and its Wasserstein distance is dear."""
STYLE_WEIGHT = 8.0


@dataclass(frozen=True)
class Gallery:
    """Draw what statistics, several styles and regions do."""

    output_dir: Path = Path("out/gallery")
    """Where the figures go."""
    content: Path = samples.PORTRAIT
    """Picture whose subject is kept."""
    style: Path = samples.PAINTING
    """Picture whose style is taken."""
    other: Path | None = None
    """A second style."""
    mask: str | None = None
    """A region of the content for the second style, as `nst-jax stylize --mask` takes it."""
    style_mask: str | None = None
    """The same region of the first style, likewise: only what lies outside is taken of it."""
    size: int = 256
    """Longest side in pixels."""
    steps: int = 150
    """Steps of each run."""
    weights: str | None = None
    """A weights file, or "random" (default: see `nst-jax weights info`)."""


def base_of(settings: Gallery) -> StylizeConfig:
    """The run of which only the terms of the style differ."""
    return StylizeConfig(
        content=settings.content,
        style=settings.style,
        output=settings.output_dir / "last.png",
        size=settings.size,
        style_size=settings.size * 8 // 5,
        steps=settings.steps,
        layer_balance="relative",
        pooling="average",
        border="reflect",
        weights=settings.weights,
        force=True,
        terms={
            "content": TermSpec("content", ("block4_conv2",)),
            "smooth": TermSpec("total_variation", weight=1e-5),
        },
    )


def painted(config: StylizeConfig, **styles: TermSpec) -> np.ndarray:
    """The picture of a run with these terms of style, (h, w, 3) in 8 bits."""
    outcome = runs.stylize_files(replace(config, terms={**config.terms, **styles}), say=say)
    return outcome.record.results()[0][0]


def statistics(settings: Gallery) -> dict[str, np.ndarray]:
    """A picture of each statistic, by its name."""
    return {
        kind: painted(base_of(settings), style=TermSpec(kind, LAYERS, weight=STYLE_WEIGHT))
        for kind in STATISTICS
    }


def styles(settings: Gallery, other: Path) -> dict[str, np.ndarray]:
    """A picture of each way to take two styles, by its name."""
    base = replace(base_of(settings), picture=(f"other={other}",))
    half = TermSpec("gram", LAYERS, weight=STYLE_WEIGHT / 2)
    whole = replace(half, weight=STYLE_WEIGHT)
    both = {"style": half, "second": replace(half, reference="other")}
    found = {
        "two terms": painted(base, **both),
        "a blend": painted(replace(base, blend=("style=1", "other=1")), style=whole),
    }
    if settings.mask:
        first, second = replace(whole, region="outside"), replace(whole, region="inside")
        by_region = replace(base, **masks(settings, settings.mask))
        found["by region"] = painted(
            by_region, style=first, second=replace(second, reference="other")
        )
    return found


def masks(settings: Gallery, mask: str) -> dict[str, tuple[str, ...]]:
    """The region and all but it, of the content and, if it has a mask, of the first style."""
    outside = settings.output_dir / "outside.png"
    write_outside(mask, settings.content, outside)
    found = {"mask": (f"inside={mask}", f"outside={outside}")}
    if settings.style_mask:
        outside_of_style = settings.output_dir / "outside_of_style.png"
        write_outside(settings.style_mask, settings.style, outside_of_style)
        found["style_mask"] = (f"outside={outside_of_style}",)
    return found


def write_outside(mask: str, picture: Path, path: Path) -> None:
    """Writes the mask of everything in a picture but a region."""
    height, width = images.load(picture).shape[:2]
    inside = images.to_uint8(runs.load_mask(Path(mask), height, width))
    Image.fromarray(255 - inside).save(path)


def main(settings: Gallery) -> list[Path]:
    """Paints all pictures and draws them side by side.

    Returns:
      The figures.
    """
    files.check_folder(settings.output_dir)
    named = {"content": settings.content, "style": settings.style, "other": settings.other}
    shown = {
        name: images.to_uint8(images.load(path, size=settings.size))
        for name, path in named.items()
        if path
    }
    figures = {"statistics.jpg": statistics(settings)}
    if settings.other:
        figures["styles.jpg"] = styles(settings, settings.other)
    for name, pictures in figures.items():
        every = shown | pictures if name == "styles.jpg" else dict([*shown.items()][:2]) | pictures
        figure = plotting.side_by_side([*every.values()], [*every])
        plotting.save(figure, settings.output_dir / name)
        say(f"wrote {settings.output_dir / name}")
    (settings.output_dir / "last.png").unlink()
    return [settings.output_dir / name for name in figures]


def command() -> int:
    main(tyro.cli(Gallery, config=(tyro.conf.FlagCreatePairsOff,)))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(command))
