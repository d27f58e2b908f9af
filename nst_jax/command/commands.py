"""The commands of `nst-jax` and their arguments, with what the help says about each."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_args

import tyro

from nst_jax.choices import (
    Alpha,
    AnyArch,
    Arch,
    InputConvention,
    LogLevel,
    Pooling,
    PrecisionSetting,
    Strips,
)
from nst_jax.config import ResultSuffix, Size, StylizeConfig, SweepConfig, VideoConfig


def _argument(metavar: str, default: str) -> Any:
    """How the help shows an argument whose default a bare None would not explain."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=f"(default: {default})")


@dataclass(frozen=True, kw_only=True)
class _Preset:
    preset: Annotated[str | None, _argument("NAME", "the report's settings")] = None
    """Settings by name, such as painterly (see nst-jax presets); what you set yourself stays."""


@dataclass(frozen=True, kw_only=True)
class Stylize(StylizeConfig, _Preset):
    __doc__ = StylizeConfig.__doc__


@dataclass(frozen=True, kw_only=True)
class Sweep(SweepConfig, _Preset):
    __doc__ = SweepConfig.__doc__


@dataclass(frozen=True, kw_only=True)
class Video(VideoConfig, _Preset):
    __doc__ = VideoConfig.__doc__


@dataclass(frozen=True)
class Resume:
    """Go on with an interrupted or killed run, single or sweep, or add steps to a finished one.

    Example: nst-jax resume run.h5 --steps 500 (into run-500.h5; run.h5 stays as it is)
    """

    log: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="LOG")]
    """The run log (HDF5)."""
    steps: Annotated[int | None, _argument("INT", "as the run was started")] = None
    """Steps in all; more than before go into a new log and picture, beside the old ones."""
    force: bool = False
    """Overwrite existing files of the new names."""
    own_terms: bool = False
    """Import the functions that the log names as terms: they are your own."""
    distributed: bool = False
    """Of a run of stylize: go on with it on all hosts of a cluster, whoever began it."""


@dataclass(frozen=True)
class Rerun:
    """Repeat a run from its log alone, and tell whether the bytes are the same."""

    log: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="LOG")]
    """The run log (HDF5)."""
    new_log: Path | None = None
    """Keep the log of the repetition there (HDF5)."""
    force: bool = False
    """Overwrite an existing file."""
    own_terms: bool = False
    """Import the functions that the log names as terms: they are your own."""


@dataclass(frozen=True)
class Apply:
    """Paint pictures by a network that was trained for one style, each in one pass.

    Example: nst-jax apply wave.h5 album/ portrait.jpg --output painted/
    """

    network: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="NETWORK")]
    """The network (HDF5), of experiments/feedforward.py."""
    pictures: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PICTURE")]
    """Pictures (PNG, JPEG, TIFF, WebP), or folders of such pictures."""
    output: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """The folder of the results; their names are those of the pictures."""
    suffix: ResultSuffix = ".png"
    """Ending of the results."""
    size: Annotated[Size, tyro.conf.arg(metavar="INT|full")] = "full"
    """Longest side in pixels, or full, that of the file; a smaller picture is not enlarged."""
    alpha: Alpha = "white"
    """Of a transparent picture: lay it on white, or keep: the result is transparent too."""
    precision: PrecisionSetting = "float32"
    """Of the network's convolutions; fast: this device's best."""
    strips: Annotated[Strips, tyro.conf.arg(metavar="auto|off|ROWS")] = "auto"
    """Compute a picture in strips of so many rows of each layer, in less memory. auto: one that
    does not fit whole."""
    force: bool = False
    """Overwrite existing files."""


@dataclass(frozen=True)
class Objective:
    """Print an objective as a file to begin from: a table of each term (TOML).

    Example: nst-jax objective report > mine.toml, then stylize --objective mine.toml
    """

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")] = "report"
    """Of the objective: report or gatys."""


@dataclass(frozen=True)
class Presets:
    """List the presets for `stylize` and `sweep`, a line each, or print one: what it sets, and why.

    Example: nst-jax presets crowsonkb
    """

    name: Annotated[str | None, tyro.conf.Positional, _argument("NAME", "a list of all")] = None
    """Of a preset: print its file (TOML)."""


@dataclass(frozen=True)
class Plot:
    """Redraw the figures of a run from its log alone; it may still be running."""

    log: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="LOG")]
    """The run log (HDF5)."""
    figures: Path | None = None
    """Folder for losses.png and overview.png (default: beside the log)."""
    force: bool = False
    """Overwrite existing figures."""


@dataclass(frozen=True)
class Show:
    """Print what a run log holds."""

    log: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="LOG")]
    """The run log (HDF5)."""


@dataclass(frozen=True)
class Report:
    """Write one self-contained HTML page from a run log; the run may still be going on."""

    log: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="LOG")]
    """The run log (HDF5)."""
    output: Path
    """The page (.html)."""
    force: bool = False
    """Overwrite an existing page."""


@dataclass(frozen=True)
class Metrics:
    """Judge pictures by networks and statistics that were not optimized.

    Example: nst-jax metrics out.png --content portrait.jpg --style painting.jpg. Which networks
    there are is told by nst-jax weights info; without one its metrics are left out.
    """

    pictures: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """Pictures, or run logs (HDF5), which hold their own content and style."""
    content: Annotated[Path | None, _argument("PATH", "that of a run log")] = None
    """The picture whose subject was kept."""
    style: Annotated[Path | None, _argument("PATH", "that of a run log")] = None
    """The picture whose style was taken."""
    style_size: Annotated[int | None, _argument("INT", "that of the picture")] = None
    """Longest side of the style in pixels; --style-size times --style-scale of the run."""
    judges: Annotated[Path | None, _argument("DIR", "see nst-jax weights info")] = None
    """The folder of alexnet_lpips.h5 and squeezenet_imagenet.h5."""
    json: bool = False
    """Print a flat JSON object for each picture, a line each."""


@dataclass(frozen=True)
class Frames:
    """Write the snapshots of a run as pictures, and as an animation of each variant."""

    log: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="LOG")]
    """The run log (HDF5), of a run with --snapshot-every."""
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    """Folder for variant-NUMBER-step-NUMBER.png and variant-NUMBER.webp."""
    force: bool = False
    """Overwrite existing files."""


@dataclass(frozen=True)
class Samples:
    """Write a portrait and a painting to try it with, as portrait.jpg and painting.jpg."""

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    """Where they go."""
    force: bool = False
    """Overwrite existing files."""


@dataclass(frozen=True)
class Features:
    """Draw the filters of a layer and its feature maps of a picture."""

    image: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE")]
    """The picture."""
    output: Path
    """Folder for LAYER_filters.png and LAYER_maps.png."""
    layer: str = "block1_conv1"
    """The layer; block4_conv2 and relu4_2 mean the same."""
    size: int = 512
    """Longest side of the picture in pixels."""
    arch: Arch = "vgg19"
    """The network."""
    weights: str | None = None
    """A weights file, or "random"."""
    force: bool = False
    """Overwrite existing files."""


@dataclass(frozen=True)
class Plan:
    """Tell what a run will take, before it starts: memory, time, and what fits."""

    size: int = 512
    """Longest side of the picture in pixels; a square is assumed."""
    variants: int = 1
    """Variants in one program."""
    steps: int = 250
    """Steps of the optimizer."""
    arch: Arch = "vgg19"
    """The network."""
    pooling: Pooling = "max"
    """As in `stylize`."""
    precision: PrecisionSetting = "float32"
    """As in `stylize`."""
    table: bool = False
    """Tell instead how large a picture devices of 8, 16, 24 and 80 GB hold."""


@dataclass(frozen=True)
class Check:
    """Tell whether this device computes what it should, how fast, and in which precision.

    Takes one to five minutes, and no network. Example: nst-jax check --output check.json
    """

    output: Annotated[Path | None, _argument("PATH", "no file")] = None
    """Write all of it there (JSON), for a report."""
    size: Annotated[int | None, _argument("INT", "256 on a CPU, else 512")] = None
    """Side of the picture in pixels, for memory and time."""
    weights: Annotated[str | None, _argument("PATH|random", "see nst-jax weights info")] = None
    """The network's weights; nothing is downloaded."""
    force: bool = False
    """Overwrite an existing file."""


@dataclass(frozen=True)
class WeightsInfo:
    """Tell which weights would be used, from where, with hash and licence."""

    layers: bool = False
    """Print the table of the network's layers instead."""
    arch: Arch = "vgg19"
    """The network."""
    weights: str | None = None
    """A weights file, or "random" (default: as `stylize` looks for them)."""
    size: int = 224
    """Side of the picture for which --layers states the shapes."""


@dataclass(frozen=True)
class WeightsFetch:
    """Download the official weights into the cache, unless they are there."""

    arch: Arch = "vgg19"
    """The network."""


@dataclass(frozen=True)
class WeightsConvert:
    """Convert a weights file (Keras, torch .pth, npz, safetensors) to the project's own form."""

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]
    """The file to read."""
    destination: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DESTINATION")]
    """The file to write (.h5)."""
    arch: AnyArch | None = None
    """The network (default: found out from the file)."""
    convention: InputConvention = "auto"
    """What input the first layer of a VGG expects, if its names are not Keras's."""
    lpips: Annotated[Path | None, _argument("PATH", "none")] = None
    """LPIPS's layers for AlexNet (alex.pth), to be put into the same file."""
    force: bool = False
    """Overwrite an existing file."""


@dataclass(frozen=True)
class Weights:
    """Find, download and convert the network's weights."""

    action: (
        Annotated[WeightsInfo, tyro.conf.subcommand("info")]
        | Annotated[WeightsFetch, tyro.conf.subcommand("fetch")]
        | Annotated[WeightsConvert, tyro.conf.subcommand("convert")]
    )


Command = (
    Annotated[Stylize, tyro.conf.subcommand("stylize")]
    | Annotated[Sweep, tyro.conf.subcommand("sweep")]
    | Annotated[Video, tyro.conf.subcommand("video")]
    | Annotated[Resume, tyro.conf.subcommand("resume")]
    | Annotated[Rerun, tyro.conf.subcommand("rerun")]
    | Annotated[Apply, tyro.conf.subcommand("apply")]
    | Annotated[Objective, tyro.conf.subcommand("objective")]
    | Annotated[Presets, tyro.conf.subcommand("presets")]
    | Annotated[Plot, tyro.conf.subcommand("plot")]
    | Annotated[Show, tyro.conf.subcommand("show")]
    | Annotated[Report, tyro.conf.subcommand("report")]
    | Annotated[Metrics, tyro.conf.subcommand("metrics")]
    | Annotated[Frames, tyro.conf.subcommand("frames")]
    | Annotated[Features, tyro.conf.subcommand("features")]
    | Annotated[Samples, tyro.conf.subcommand("samples")]
    | Annotated[Plan, tyro.conf.subcommand("plan")]
    | Annotated[Check, tyro.conf.subcommand("check")]
    | Annotated[Weights, tyro.conf.subcommand("weights")]
)


@dataclass(frozen=True)
class Arguments:
    """Neural style transfer by optimisation, in JAX."""

    command: Command
    log_level: LogLevel = "info"
    """Say less (warning, error) or more (debug: what is compiled, where errors arise)."""


def by_words() -> dict[str, type]:
    """The dataclass of each command.

    Returns:
      Dataclasses by the words of the command line: "stylize", "weights fetch".
    """
    actions = {f"weights {name}": kind for name, kind in _named(fields(Weights)[0].type).items()}
    return {name: kind for name, kind in _named(Command).items() if kind is not Weights} | actions


def _named(union: Any) -> dict[str, type]:
    return {each.__metadata__[0].name: each.__origin__ for each in get_args(union)}
