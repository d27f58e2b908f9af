"""What can be set in a run, as one frozen dataclass that is also the command line.

Imports no JAX: `nst-jax stylize --help` answers at once.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from nst_jax.choices import (
    CONTENT_LAYERS,
    STYLE_LAYERS,
    Arch,
    Convention,
    LayerBalance,
    OptimizerForm,
    OptimizerName,
    Pooling,
    Precision,
)


def _argument(metavar: str, default: str | None = None) -> Any:
    """How the help shows an argument whose default a bare None would not explain."""
    if default is None:
        return tyro.conf.arg(metavar=metavar)
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=f"(default: {default})")


@dataclass(frozen=True)
class StylizeConfig:
    """Give a picture the style of another.

    Example: nst-jax stylize portrait.jpg painting.jpg --output out.png --log run.h5
    """

    content: Annotated[Path, tyro.conf.Positional, _argument("CONTENT")]
    """Picture whose subject is kept (PNG, JPEG, TIFF, WebP)."""
    style: Annotated[Path, tyro.conf.Positional, _argument("STYLE")]
    """Picture whose style is taken."""
    output: Path
    """Where the result goes; .png, .jpg, .tif or .webp."""
    log: Annotated[Path | None, _argument("PATH", "no log")] = None
    """Write a run log there (HDF5): losses of every step, pictures, settings."""
    figures: Annotated[Path | None, _argument("DIR", "no figures")] = None
    """Write losses.png and overview.png into this folder."""
    size: int = 512
    """Longest side of the content in pixels; a smaller picture is not enlarged."""
    style_size: Annotated[int | None, _argument("INT", "as --size")] = None
    """Longest side of the style in pixels."""
    enlarge: bool = False
    """Enlarge pictures that are smaller than --size."""
    steps: int = 250
    """Steps of the optimizer."""
    optimizer: OptimizerName = "adam"
    """How the image is updated."""
    optimizer_form: OptimizerForm = "keras"
    """The update rules as Keras runs them, or as the report prints them."""
    learning_rate: float = 0.02
    """Step size; pixels go from 0 to 1. Plain sgd needs about 1e-9; lbfgs ignores it."""
    content_weight: Annotated[float | None, _argument("FLOAT", "1e4; gatys: 1")] = None
    """Weight of the content term."""
    style_weight: Annotated[float | None, _argument("FLOAT", "1e-2; gatys: 1e3")] = None
    """Weight of the style term."""
    tv_weight: float = 30.0
    """Weight of the total variation. 30 is the TensorFlow tutorial's; 0 reproduces the report."""
    content_layers: tuple[str, ...] = CONTENT_LAYERS
    """Layers whose features are kept; block4_conv2 and relu4_2 mean the same."""
    style_layers: tuple[str, ...] = STYLE_LAYERS
    """Layers whose Gram matrices are matched."""
    layer_balance: LayerBalance = "equal"
    """equal: a layer counts as its loss comes; relative: relative to its target's square."""
    convention: Convention = "report"
    """Formulas of the report's program, or those of Gatys et al. that its text prints."""
    init: Annotated[str, _argument("content|noise|style|PATH")] = "content"
    """Where to start: content, noise, style, or the path of a picture."""
    init_noise: float = 0.0
    """Standard deviation of normal noise added to the start."""
    seed: int = 0
    """Of the noise; nothing else is random."""
    tolerance: Annotated[float | None, _argument("FLOAT", "never")] = None
    """Stop when the loss falls by less than this fraction in ten steps."""
    pooling: Pooling = "max"
    """max: the trained network; average: smoother pictures."""
    arch: Arch = "vgg19"
    """The network."""
    weights: Annotated[str | None, _argument("PATH|random", "see nst-jax weights info")] = None
    """The network's weights: a file, or random ones for a preview."""
    precision: Precision = "float32"
    """Of the network's convolutions; image and optimizer are float32 always."""
    snapshot_every: int = 0
    """Keep the picture of every so many steps in the log (0: none)."""
    deterministic: bool = False
    """On a GPU: same bytes in every run, at some cost in speed. A CPU always gives them."""
    force: bool = False
    """Overwrite existing files."""
