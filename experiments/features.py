"""What the network sees: filters, feature maps, and what each layer keeps of a picture.

    python experiments/features.py                     # 160 px, 300 steps: for a CPU
    python experiments/features.py --size 512 --steps 1000

Filters and maps are the report's Figures 4 and 5. The reconstructions are the picture that
explains style transfer (Gatys et al. 2016, Figure 1): from noise, a picture is made whose features
at one layer are those of the content, or whose Gram matrices at the first layers are those of the
style. Written are section.md with its figures and the logs of the reconstructions. A finished log
is read again, an interrupted one is gone on with.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import samples
import tyro
from jaxtyping import Float
from matplotlib.figure import Figure
from records import described, record_of

from nst_jax import image as images
from nst_jax import vgg
from nst_jax import weights as network_weights
from nst_jax.choices import STYLE_LAYERS
from nst_jax.config import SweepConfig
from nst_jax.report import plotting
from nst_jax.runlog import RunRecord
from nst_jax.system import files
from nst_jax.system.console import exit_code_of, say

CONTENT_LAYERS = tuple(f"block{block}_conv2" for block in range(1, 6))
STYLE_SETS = tuple(STYLE_LAYERS[:count] for count in range(1, 6))
MAPS_SHOWN = 8


@dataclass(frozen=True)
class Features:
    """Draw filters, feature maps and reconstructions."""

    output_dir: Path = Path("out/features")
    """Where logs, figures and the page go."""
    content: Path = samples.PORTRAIT
    """The picture whose features are shown and whose content is reconstructed."""
    style: Path = samples.PAINTING
    """The picture whose style is reconstructed."""
    size: int = 160
    """Longest side in pixels."""
    steps: int = 300
    """Steps of each reconstruction."""
    learning_rate: float = 0.03
    """Of Adam."""
    weights: str | None = None
    """A weights file, or "random" (default: see `nst-jax weights info`)."""
    fresh: bool = False
    """Run again, whatever logs the folder holds."""


def config_of(
    settings: Features, content_layers: Sequence[str], style_layers: Sequence[str]
) -> SweepConfig:
    """A reconstruction from noise, of the content or of the style alone."""
    name = content_layers[0] if content_layers else f"style-{len(style_layers)}"
    return SweepConfig(
        content=settings.content,
        styles=(settings.style,),
        log=settings.output_dir / f"{name}.h5",
        size=settings.size,
        steps=settings.steps,
        optimizers=("adam",),
        learning_rates=(repr(settings.learning_rate),),
        content_layers=tuple(content_layers),
        style_layers=tuple(style_layers),
        # Each layer as it counts for itself: the scale of a layer alone is of no interest.
        layer_balance="relative",
        tv_weights=(0.0,),
        inits=("noise",),
        weights=settings.weights,
        force=True,
    )


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Of the brightness of two pictures of one size, pixel by pixel: 1 for the same picture."""
    grey = [picture.astype(np.float64).mean(axis=-1).ravel() for picture in (one, other)]
    return float(np.corrcoef(*grey)[0, 1])


def left(record: RunRecord) -> float:
    """The loss of the result in parts of that of the noise."""
    return float(record.final["total"][0] / record.rows.total[0, 0])


def reconstructions(settings: Features) -> tuple[dict[str, RunRecord], list[RunRecord]]:
    """Content alone, by layer; style alone, of the first one to five layers."""
    content = {
        layer: record_of(config_of(settings, (layer,), ()), fresh=settings.fresh)
        for layer in CONTENT_LAYERS
    }
    style = [
        record_of(config_of(settings, (), layers), fresh=settings.fresh) for layers in STYLE_SETS
    ]
    return content, style


def draw_reconstructions(content: Mapping[str, RunRecord], style: Sequence[RunRecord]) -> Figure:
    """Above the content from each layer, below the style from more and more of them."""
    first = style[0]
    rows = [
        [first.content, *(record.images[0] for record in content.values())],
        [next(iter(first.styles.values())), *(record.images[0] for record in style)],
    ]
    titles = [
        ["content", *content],
        ["style", *("... and " * (len(layers) > 1) + layers[-1] for layers in STYLE_SETS)],
    ]
    height, width = first.content.shape[:2]
    figure = Figure(figsize=(12, 4 * height / width + 0.8), layout="constrained")
    grid = figure.subplots(2, len(rows[0]))
    for axes_of_row, pictures, names in zip(grid, rows, titles, strict=True):
        for axes, picture, name in zip(axes_of_row, pictures, names, strict=True):
            axes.imshow(picture)
            axes.set_title(name, fontsize=9)
            axes.set_axis_off()
    return figure


def draw_depth(features: Mapping[str, Float[np.ndarray, "h w c"]]) -> Figure:
    """The maps of largest mean in each layer, a row a layer."""
    height, width = next(iter(features.values())).shape[:2]
    size = (11, 11 / MAPS_SHOWN * height / width * len(features) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(features), MAPS_SHOWN)
    for axes_of_row, (name, maps) in zip(grid, features.items(), strict=True):
        strongest = np.argsort(-maps.mean(axis=(0, 1)))[:MAPS_SHOWN]
        for axes, channel in zip(axes_of_row, strongest, strict=True):
            axes.imshow(maps[..., channel], cmap="gray")
            axes.set(xticks=[], yticks=[])
        axes_of_row[0].set_ylabel(name, fontsize=8)
    return figure


def section(content: Mapping[str, RunRecord], style: Sequence[RunRecord]) -> str:
    """Question 3 in Markdown."""
    first = next(iter(content.values()))
    kept = {
        layer: correlation(record.images[0], first.content) for layer, record in content.items()
    }
    fields = {layer.name: layer.receptive_field for layer in vgg.architecture()}
    listed = ", ".join(f"{layer} {value:.2f}" for layer, value in kept.items())
    rows = "\n".join(
        f"| {layer} | {fields[layer]} px | {kept[layer]:.2f} | {100 * left(record):.2g} % |"
        for layer, record in content.items()
    )
    style_rows = "\n".join(
        f"| {layers[-1]} | {fields[layers[-1]]} px | {100 * left(record):.2g} % |"
        for layers, record in zip(STYLE_SETS, style, strict=True)
    )
    height, width = first.content.shape[:2]
    return "\n\n".join(
        [
            "## 3. How can filters and feature maps be shown so that they help?",
            "Filters of the first layer are small edges and color contrasts, the only ones that "
            "can be drawn as what they look for; from the second layer on a filter has 64 and more "
            "inputs. Feature maps show where a layer responds, but not what it knows. "
            "**What helps is to reconstruct**: a picture made from noise until its features are "
            "those of the content at one layer shows what that layer keeps. Brightness of these "
            f"pictures correlates with the content's by {listed}: the less a layer keeps "
            "of the pixels, the more room it leaves for the style to be painted into (in the "
            "figure: pixels from the shallow layers, what is where from the deep ones). Made until "
            "its Gram matrices are those of the style, a picture shows what is taken for style (in "
            "the figure: colors and grain with the first layer, strokes and larger forms with each "
            "further one, not their places).",
            "![Content from each layer, style from more and more](features_reconstructions.jpg)",
            "| content from | it sees | correlation with the content | loss left |\n"
            f"|---|---:|---:|---:|\n{rows}",
            f"| style up to | it sees | loss left |\n|---|---:|---:|\n{style_rows}",
            "![The strongest maps of five layers](features_depth.png)",
            "The report's Figure 4 and Figure 5 (of any layer: `nst-jax features`):",
            "![Filters of block1_conv1](features_filters.png)",
            "![Feature maps of block1_conv1](features_maps.jpg)",
            f"*Measured* with Adam at {first.variants[0].learning_rate:g}, "
            f"{first.config['steps']} steps from uniform noise, {width} x {height} pixels, no "
            f"total variation; {described(first)}. *It sees*: side of the square of pixels that "
            "one location of the layer depends on. *Loss left*: of the noise's.",
        ]
    )


def main(settings: Features) -> Path:
    """Draws everything.

    Returns:
      The path of section.md.
    """
    folder = settings.output_dir
    files.check_folder(folder)
    picture = images.load(settings.content, size=settings.size)
    params = network_weights.load_params(settings.weights)
    features = {
        name: np.asarray(values)
        for name, values in vgg.extract_features(params, picture, STYLE_LAYERS).items()
    }
    first = STYLE_LAYERS[0]
    content, style = reconstructions(settings)
    figures = {
        "features_filters.png": plotting.filters(
            np.asarray(params[first]["kernel"]), title=f"{first}: its filters, as colors"
        ),
        "features_maps.jpg": plotting.feature_maps(
            features[first], title=f"{first}: its feature maps, each scaled to its own maximum"
        ),
        "features_depth.png": draw_depth(features),
        "features_reconstructions.jpg": draw_reconstructions(content, style),
    }
    for name, figure in figures.items():
        plotting.save(figure, folder / name)
    path = folder / "section.md"
    with files.replacing(path) as temporary:
        temporary.write_text(section(content, style), encoding="utf-8")
    say(f"wrote {path} and {', '.join(figures)}")
    return path


def command() -> int:
    main(tyro.cli(Features, config=(tyro.conf.FlagCreatePairsOff,)))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(command))
