"""What can be set in a run, as one frozen dataclass that is also the command line.

Imports no JAX: `nst-jax stylize --help` answers at once.
"""

import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from nst_jax.choices import (
    Alpha,
    Arch,
    Border,
    Colors,
    Convention,
    Depth,
    Icc,
    LayerBalance,
    OptimizerForm,
    OptimizerName,
    Pooling,
    PrecisionSetting,
    Strips,
)
from nst_jax.config.terms import TermSpec
from nst_jax.system import plain

# Of --crop: at most 9999 to 1, in either direction.
_CROP = re.compile(r"([1-9]\d{0,3}):([1-9]\d{0,3})")

ResultSuffix = Literal[".png", ".jpg", ".tif", ".webp"]
Size = int | Literal["full"]
"""Of a picture's longest side in pixels; full: as in its file."""


# Of a setting that a command has not: what it inherits stays at its default.
_Hidden, _Fixed = tyro.conf.Suppress, tyro.conf.Fixed


def _argument(metavar: str, default: str | None = None) -> Any:
    """How the help shows an argument whose default a bare None would not explain."""
    if default is None:
        return tyro.conf.arg(metavar=metavar)
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=f"(default: {default})")


@dataclass(frozen=True, kw_only=True)
class _StylizeFiles:
    content: Annotated[Path, tyro.conf.Positional, _argument("CONTENT")]
    """Picture whose subject is kept (PNG, JPEG, TIFF, WebP), or a folder of such pictures."""
    style: Annotated[Path, tyro.conf.Positional, _argument("STYLE")]
    """Picture whose style is taken."""
    output: Path
    """Where the result goes; .png, .jpg, .tif or .webp. Of several contents a folder."""
    suffix: Annotated[ResultSuffix | None, _argument("{.png,.jpg,.tif,.webp}", ".png")] = None
    """Ending of the results in a folder; their names are those of the contents."""
    log: Annotated[Path | None, _argument("PATH", "no log; of several contents run.h5")] = None
    """Write a run log there (HDF5): losses of every step, pictures, settings."""
    figures: Annotated[Path | None, _argument("DIR", "no figures")] = None
    """Write losses.png and overview.png into this folder."""
    tensorboard: Annotated[Path | None, _argument("DIR", "no event files")] = None
    """Write scalars and pictures for TensorBoard into this folder."""
    force: bool = False
    """Overwrite existing files."""


@dataclass(frozen=True, kw_only=True)
class _SweepFiles:
    content: Annotated[Path, tyro.conf.Positional, _argument("CONTENT")]
    """Picture whose subject is kept (PNG, JPEG, TIFF, WebP), or a folder of such pictures."""
    styles: Annotated[tuple[Path, ...], tyro.conf.Positional, _argument("STYLE")]
    """Pictures whose style is taken, one or more."""
    log: Path
    """Write the run log of all variants there (HDF5)."""
    report: Annotated[Path | None, _argument("PATH", "no page")] = None
    """Write a page of all variants there (HTML)."""
    tensorboard: Annotated[Path | None, _argument("DIR", "no event files")] = None
    """Write scalars and pictures for TensorBoard into this folder."""
    force: bool = False
    """Overwrite existing files."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What is the same for all variants of a run."""

    contents: Annotated[tuple[Path, ...], _argument("PATH", "CONTENT alone")] = ()
    """Further pictures or folders whose subject is kept, each in a picture of its own."""
    size: Annotated[Size, _argument("INT|full")] = 512
    """Longest side of the content in pixels, or full, its own; a smaller one is not enlarged."""
    style_size: Annotated[Size | None, _argument("INT|full", "as --size")] = None
    """Longest side of the style in pixels, or full, its own."""
    enlarge: bool = False
    """Enlarge pictures that are smaller than --size."""
    crop: Annotated[str | None, _argument("W:H", "whole pictures")] = None
    """Take of each content the largest central part of this form, such as 4:3."""
    gray: bool = False
    """Take content, style and start in gray, and keep the result gray."""
    colors: Colors = "style"
    """The style's colors; or the content's: put back after the run (content), put on a result in
    gray (luminance), or given to the style picture before (matched)."""
    steps: int = 250
    """Steps of the optimizer."""
    stages: Annotated[tuple[str, ...], _argument("SIZE:STEPS|auto", "one, of --size")] = ()
    """Coarse to fine: sizes with their steps, and maybe factors: 128:300,rate=2 256:100. The
    steps of all are those of the run; the last size is --size, by which the others are scaled."""
    carry_state: bool = False
    """Let a stage go on with the optimizer's state of the one before, resized."""
    average: Annotated[float | None, _argument("FLOAT", "the last step's image")] = None
    """End with the average of all steps' images, in which each step counts so much more than the
    one before: 0.99. In a run of stages it is that of a stage."""
    optimizer_form: OptimizerForm = "keras"
    """The update rules as Keras runs them, or as the report prints them."""
    constants: Annotated[tuple[str, ...], _argument("NAME=FLOAT", "the optimizer's own")] = ()
    """Of adam beta_1, beta_2, epsilon; rmsprop decay, epsilon; adagrad initial, epsilon; lbfgs
    memory, the differences that it keeps."""
    objective: Annotated[str | None, _argument("FILE|NAME", "report")] = None
    """What is minimized: report, gatys, or a file of terms (see nst-jax objective)."""
    terms: Annotated[dict[str, TermSpec], tyro.conf.Suppress, tyro.conf.Fixed] = field(
        default_factory=dict
    )
    """The terms of the objective, once its file or that of a preset has been read."""
    term: Annotated[tuple[str, ...], _argument("MODULE:FUNCTION", "none")] = ()
    """Terms of your own: functions that return a Term, added under their names with weight 1."""
    own_terms: bool = False
    """Import the functions that the objective's file names as terms: they are your own."""
    content_layers: Annotated[tuple[str, ...] | None, _argument("LAYER", "block5_conv2")] = None
    """Layers whose features are kept; the default weight suits block5_conv2 (relu5_2) alone."""
    style_layers: Annotated[tuple[str, ...] | None, _argument("LAYER", "block1_conv1 to 5")] = None
    """Layers whose statistics, Gram matrices by default, are matched."""
    content_layer_weights: Annotated[tuple[float, ...], _argument("FLOAT", "equal")] = ()
    """Weight of each content layer within its term."""
    style_layer_weights: Annotated[tuple[float, ...], _argument("FLOAT", "equal")] = ()
    """Weight of each style layer within its term."""
    layer_balance: Annotated[LayerBalance | None, _argument("equal|relative", "equal")] = None
    """equal: a layer counts as its loss comes; relative: relative to its target's square."""
    convention: Annotated[Convention | None, _argument("report|gatys", "report")] = None
    """Formulas of the report's program, or those of Gatys et al. that its text prints."""
    style_scale: float = 1.0
    """Size of the style's strokes: a factor of --style-size."""
    picture: Annotated[tuple[str, ...], _argument("NAME=PATH", "none")] = ()
    """Further pictures, which terms name as their reference."""
    blend: Annotated[tuple[str, ...], _argument("NAME=WEIGHT", "the style alone")] = ()
    """One style of several pictures: style=0.7 night=0.3."""
    mask: Annotated[tuple[str, ...], _argument("NAME=PATH", "none")] = ()
    """Regions of the content, which terms name: white inside; of an indexed picture PATH#INDEX."""
    style_mask: Annotated[tuple[str, ...], _argument("NAME=PATH", "none")] = ()
    """The regions of the style that go with those of --mask, by the same names."""
    init_noise: float = 0.0
    """Standard deviation of normal noise added to the start."""
    tolerance: Annotated[float | None, _argument("FLOAT", "never")] = None
    """Stop when the loss falls by less than this fraction in ten steps."""
    pooling: Pooling = "max"
    """max: the trained network; average: smoother pictures."""
    border: Border = "zeros"
    """Beyond the picture are zeros, as in training; or, edge, its outermost pixels once more, which
    the first layer sees; or, reflect, 16 pixels of its mirror image."""
    arch: Arch = "vgg19"
    """The network."""
    weights: Annotated[str | None, _argument("PATH|random", "see nst-jax weights info")] = None
    """The network's weights: a file, or random ones for a preview."""
    precision: PrecisionSetting = "float32"
    """Of the network's convolutions, image and optimizer stay float32; fast: this device's best."""
    strips: Annotated[Strips, _argument("auto|off|ROWS")] = "auto"
    """Compute a picture in strips of so many rows of each block of the network: less memory, more
    time (up to twice). auto: a picture that does not fit whole."""
    rematerialize: bool = False
    """Save memory on a GPU: compute activations twice (not tried yet; a CPU saves nothing)."""
    snapshot_every: int = 0
    """Keep the picture of every so many steps in the log (0: none)."""
    keep_state: bool = False
    """Keep the optimizer's state beside the log: `resume --steps` then repeats no step."""
    deterministic: bool = False
    """Ask a GPU for the same bytes in every run, a fifth slower. A CPU in float32 gives them."""

    @property
    def aspect(self) -> float | None:
        """Height over width of the part of a content that is taken; None: all of it.

        Raises:
          ValueError: `crop` is no two whole numbers above 0.
        """
        if self.crop is None:
            return None
        found = _CROP.fullmatch(self.crop)
        if not found:
            raise ValueError(f"--crop {self.crop}: expected W:H in whole numbers, such as 4:3")
        width, height = map(int, found.groups())
        return height / width

    @property
    def is_gray(self) -> bool:
        """Whether only gray images are searched."""
        return self.gray or self.colors == "luminance"

    @property
    def longest_sides(self) -> tuple[int | None, int | None]:
        """Of content and style in pixels; None: as in the file."""
        style_size = self.size if self.style_size is None else self.style_size
        content = None if self.size == "full" else self.size
        return content, None if style_size == "full" else round(style_size * self.style_scale)


# Of several bases a dataclass takes the fields of the last one first: files lead the help.
@dataclass(frozen=True, kw_only=True)
class StylizeConfig(RunConfig, _StylizeFiles):
    """Give a picture the style of another.

    Example: nst-jax stylize portrait.jpg painting.jpg --output out.png --log run.h5
    """

    optimizer: OptimizerName = "adam"
    """How the image is updated."""
    learning_rate: float = 0.02
    """Step size; pixels go from 0 to 1. Plain sgd needs about 1e-9; lbfgs ignores it."""
    content_weight: Annotated[float | None, _argument("FLOAT", "1e4; gatys: 1")] = None
    """Weight of the content term."""
    style_weight: Annotated[float | None, _argument("FLOAT", "1e-2; gatys: 1e3")] = None
    """Weight of the style term."""
    tv_weight: Annotated[float | None, _argument("FLOAT", "30")] = None
    """Weight of the total variation. 30 is the TensorFlow tutorial's; 0 reproduces the report."""
    term_weights: Annotated[tuple[str, ...], _argument("TERM=FLOAT", "the objective's")] = ()
    """Weights of any terms of the objective: style=2 smooth=0."""
    init: Annotated[str, _argument("content|noise|style|blend|PATH")] = "content"
    """Where to start: content, noise, style, blend (halfway between content and style), or the path
    of a picture."""
    seed: int = 0
    """Of the noise; nothing else is random."""
    alpha: Alpha = "white"
    """Of a transparent content: lay it on white, or keep: the result is transparent too, and what
    is not seen counts for nothing."""
    depth: Depth = 8
    """Bits of each color of the result; 16 are for .png and .tif, from the image before it is
    rounded to 8, and are kept in the log as well."""
    icc: Icc = "srgb"
    """Color profile of the result: that of sRGB, or keep the content's: colors are converted."""
    distributed: bool = False
    """Started once on each host of a cluster (Slurm, Open MPI, TPU pod): the rows of the picture
    are spread over the devices of all."""

    @property
    def styles(self) -> tuple[Path, ...]:
        """The pictures whose styles are taken, each by a variant of its own."""
        return (self.style,)


@dataclass(frozen=True, kw_only=True)
class VideoConfig(StylizeConfig):
    """Give the frames of a clip the style of a picture, each from the one before.

    Example: nst-jax video frames/ painting.jpg --output painted/
    """

    content: Annotated[Path, tyro.conf.Positional, _argument("FRAMES")]
    """Folder of the frames, in the order of their numbers, or a film."""
    style: Annotated[Path, tyro.conf.Positional, _argument("STYLE")]
    """Picture whose style is taken."""
    more_styles: Annotated[
        tuple[Path, ...], tyro.conf.Positional, _argument("STYLE ...", "none")
    ] = ()
    """Further ones: the clip is painted in each, all in one program."""
    output: Path
    """Folder of the results: one PNG a frame, of its name; or a film (.mp4), beside which that
    folder is. Of several styles each has its own, OUTPUT/STYLE or OUTPUT.STYLE.mp4."""
    rate: Annotated[float | None, _argument("FLOAT", "that of the film, or 24")] = None
    """Frames a second of a film that is written."""
    flow: Annotated[Path | Literal["none"] | None, _argument("DIR|none", "computed by OpenCV")] = (
        None
    )
    """Folder of the flows between frames (.flo, .npz), named by both numbers: forward_0001_to_0002
    and backward_0002_to_0001; none: frames start from the last result, and nothing holds them."""
    temporal_weight: float = 6.0
    """Weight of what the last results tell of a frame, where that is reliable, in parts of the
    total of an image without any features."""
    ranges: Annotated[tuple[int, ...], _argument("INT")] = (1,)
    """Which earlier frames tell a frame, by their distances: 1 2 4 also bring back what has been
    hidden for a while."""
    log: Annotated[Path | None, _argument("PATH", "OUTPUT.h5")] = None
    """Write the run log there (HDF5): losses of every step, the first frame and the last result."""
    contents: Annotated[tuple[Path, ...], _Hidden, _Fixed] = ()
    suffix: Annotated[ResultSuffix | None, _Hidden, _Fixed] = None
    figures: Annotated[Path | None, _Hidden, _Fixed] = None
    tensorboard: Annotated[Path | None, _Hidden, _Fixed] = None
    colors: Annotated[Colors, _Hidden, _Fixed] = "style"
    tolerance: Annotated[float | None, _Hidden, _Fixed] = None
    snapshot_every: Annotated[int, _Hidden, _Fixed] = 0
    keep_state: Annotated[bool, _Hidden, _Fixed] = False
    alpha: Annotated[Alpha, _Hidden, _Fixed] = "white"
    depth: Annotated[Depth, _Hidden, _Fixed] = 8
    distributed: Annotated[bool, _Hidden, _Fixed] = False
    icc: Annotated[Icc, _Hidden, _Fixed] = "srgb"

    @property
    def styles(self) -> tuple[Path, ...]:
        """The pictures in whose styles the clip is painted."""
        return (self.style, *self.more_styles)


@dataclass(frozen=True, kw_only=True)
class SweepConfig(RunConfig, _SweepFiles):
    """Run every combination of settings at once, into one log.

    Example: nst-jax sweep portrait.jpg painting.jpg --log sweep.h5 --report sweep.html
    --optimizers adam rmsprop --learning-rates adam:0.01,0.1 rmsprop:0.001,0.01
    """

    optimizers: tuple[OptimizerName, ...] = ("adam", "rmsprop", "adagrad")
    """How the image is updated."""
    learning_rates: tuple[str, ...] = ("0.001", "0.02", "0.1")
    """Rates of all optimizers, or of one: adam:0.01,0.1. lbfgs has none."""
    content_weights: Annotated[tuple[float, ...], _argument("FLOAT", "1e4; gatys: 1")] = ()
    """Weights of the content term."""
    style_weights: Annotated[tuple[float, ...], _argument("FLOAT", "1e-2; gatys: 1e3")] = ()
    """Weights of the style term."""
    tv_weights: Annotated[tuple[float, ...], _argument("FLOAT", "30")] = ()
    """Weights of the total variation."""
    term_weights: Annotated[tuple[str, ...], _argument("TERM=FLOAT,...", "the objective's")] = ()
    """Weights of any terms of the objective: style=1,10 smooth=0."""
    inits: tuple[str, ...] = ("content",)
    """Where to start: content, noise, style, blend (halfway between content and style), or the path
    of a picture."""
    seeds: tuple[int, ...] = (0,)
    """Of the noise; without --init-noise and --inits noise they make no difference."""
    metrics: bool = False
    """Judge every picture by networks that were not optimized, into log and page (see metrics)."""
    judges: Annotated[Path | None, _argument("DIR", "see nst-jax metrics --help")] = None
    """The folder of these networks."""
    batch: Annotated[int | None, _argument("INT", "what memory holds")] = None
    """Variants in one program at most."""
    distributed: bool = False
    """Started once on each host of a cluster (Slurm, Open MPI, TPU pod): each runs a share."""


Config = StylizeConfig | SweepConfig


def contents_of(config: Config) -> tuple[Path, ...]:
    """The pictures whose subjects are kept."""
    return (config.content, *config.contents)


def pictures_of(config: StylizeConfig) -> tuple[Path, ...]:
    """Where the results go, one a content: of several they have its names, in a folder."""
    if not config.contents:
        return (config.output,)
    return tuple(config.output / name_in_folder(config, each) for each in contents_of(config))


def name_in_folder(config: StylizeConfig, content: Path) -> str:
    """The name of the result that is made of a content, where results are in a folder."""
    return f"{content.stem}{config.suffix or '.png'}"


def to_json(config: Config) -> dict[str, Any]:
    """The settings as plain values, for the run log."""

    settings = {name: _plain(value) for name, value in asdict(config).items()}
    return {"command": _COMMANDS[type(config)], **settings}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return str(value) if isinstance(value, Path) else value


def from_json(settings: dict[str, Any]) -> Config:
    """The inverse of `to_json`; a setting that is newer than the log has its default.

    Raises:
      ValueError: not the settings of a run, or of another version of the program, or a value
        of another type.
    """
    kinds = {name: kind for kind, name in _COMMANDS.items()}
    command = settings.get("command")
    if not isinstance(command, str) or command not in kinds:
        raise ValueError(_OTHER_VERSION)
    values = {name: value for name, value in settings.items() if name != "command"}
    try:
        return plain.read(values, kinds[command])
    except plain.OtherFields:
        raise ValueError(_OTHER_VERSION) from None
    except TypeError as error:
        raise ValueError(f"the setting {error}") from None


PLACES = frozenset(
    ("output", "suffix", "log", "report", "figures", "tensorboard", "force", "keep_state")
)
"""Settings that say where results go, over what, and what stays beside them, not what they are."""

_COMMANDS = {StylizeConfig: "stylize", VideoConfig: "video", SweepConfig: "sweep"}
_OTHER_VERSION = "these settings are of another version of nst_jax"
