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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from measuring import samples
from measuring.records import record_of
from pages import features as features_page
from pages import features_figures, writing

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


def reconstructions(
    settings: Features,
) -> tuple[dict[str, RunRecord], dict[tuple[str, ...], RunRecord]]:
    """Content alone, by layer; style alone, by its first one to five layers."""
    content = {
        layer: record_of(config_of(settings, (layer,), ()), fresh=settings.fresh)
        for layer in CONTENT_LAYERS
    }
    style = {
        layers: record_of(config_of(settings, (), layers), fresh=settings.fresh)
        for layers in STYLE_SETS
    }
    return content, style


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
        "features_depth.png": features_figures.draw_depth(features),
        "features_reconstructions.jpg": features_figures.draw_reconstructions(content, style),
    }
    path = folder / "section.md"
    writing.write(path, features_page.section(content, style), figures)
    say(f"wrote {path} and {', '.join(figures)}")
    return path


def command() -> int:
    main(tyro.cli(Features, config=(tyro.conf.FlagCreatePairsOff,)))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(command))
