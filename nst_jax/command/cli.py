"""The `nst-jax` command: thin, composes the library.

Nothing heavy is imported before a command runs: `--help` answers within a second.
"""

import io
import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, get_args

import tyro

from nst_jax import presets
from nst_jax.choices import Arch, InputConvention, LogLevel, Pooling, PrecisionSetting, PresetName
from nst_jax.command import usage
from nst_jax.config import Config, StylizeConfig, SweepConfig
from nst_jax.system.console import (
    debugs,
    ended_by_ctrl_c,
    exit_code_of,
    inform,
    printable,
    say,
    set_log_level,
    warn,
)
from nst_jax.version import __version__


def _argument(metavar: str, default: str) -> Any:
    """How the help shows an argument whose default a bare None would not explain."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=f"(default: {default})")


@dataclass(frozen=True, kw_only=True)
class _Preset:
    preset: Annotated[PresetName | None, _argument("painterly", "the report's settings")] = None
    """Settings chosen by eye, for a picture to look at; what you set yourself stays."""


@dataclass(frozen=True, kw_only=True)
class Stylize(StylizeConfig, _Preset):
    __doc__ = StylizeConfig.__doc__


@dataclass(frozen=True, kw_only=True)
class Sweep(SweepConfig, _Preset):
    __doc__ = SweepConfig.__doc__


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


@dataclass(frozen=True)
class Rerun:
    """Repeat a run from its log alone, and tell whether the bytes are the same."""

    log: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="LOG")]
    """The run log (HDF5)."""
    new_log: Path | None = None
    """Keep the log of the repetition there (HDF5)."""
    force: bool = False
    """Overwrite an existing file."""


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
    arch: Arch | None = None
    """The network (default: found out from the file)."""
    convention: InputConvention = "auto"
    """What input the first layer expects, if its names are not Keras's."""
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
    | Annotated[Resume, tyro.conf.subcommand("resume")]
    | Annotated[Rerun, tyro.conf.subcommand("rerun")]
    | Annotated[Plot, tyro.conf.subcommand("plot")]
    | Annotated[Show, tyro.conf.subcommand("show")]
    | Annotated[Report, tyro.conf.subcommand("report")]
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


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code.

    0 done, 1 failed with one clear line, 2 wrong usage, 130 interrupted by Ctrl-C.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    return exit_code_of(lambda: _run(_parse(arguments)))


def _parse(arguments: list[str]) -> Config | Command:
    if arguments == ["--version"]:
        print(f"nst-jax {__version__}")
        sys.exit(0)
    commands = _commands()
    if problem := usage.problem(arguments, commands):
        print(printable(f"error: {problem}"), file=sys.stderr)
        sys.exit(2)
    # https://no-color.org
    if os.environ.get("NO_COLOR"):
        tyro._experimental_options["ansi_codes"] = False
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            parsed = tyro.cli(
                Arguments,
                prog="nst-jax",
                args=arguments,
                config=(
                    tyro.conf.CascadeSubcommandArgs,
                    tyro.conf.OmitArgPrefixes,
                    tyro.conf.OmitSubcommandPrefixes,
                    tyro.conf.FlagCreatePairsOff,
                ),
            )
    except SystemExit:
        if arguments == ["--tyro-print-completion", "bash"]:
            print(_COMPLETE_FILES)
        print(usage.in_words(said.getvalue(), arguments, commands), end="", file=sys.stderr)
        raise
    set_log_level(parsed.log_level)
    if isinstance(parsed.command, Stylize | Sweep):
        return _settled(parsed.command, usage.given(arguments))
    return parsed.command


def _commands() -> dict[str, type]:
    """The dataclass of each command, by its words."""
    actions = {f"weights {name}": kind for name, kind in _named(fields(Weights)[0].type).items()}
    return {name: kind for name, kind in _named(Command).items() if kind is not Weights} | actions


def _named(union: Any) -> dict[str, type]:
    return {each.__metadata__[0].name: each.__origin__ for each in get_args(union)}


def _settled(command: Stylize | Sweep, given: set[str]) -> Config:
    """The settings of a run: those that are given, then those of the preset."""
    kind: type[Config] = StylizeConfig if isinstance(command, Stylize) else SweepConfig
    config = kind(**{field.name: getattr(command, field.name) for field in fields(kind)})
    if command.preset is None:
        return config
    chosen = presets.settings(command.preset, config, given=given)
    inform(f"preset {command.preset}: {usage.options(chosen)}")
    return replace(config, **chosen)


# For a picture or a log tyro's function offers one empty word, which keeps bash from file names.
_COMPLETE_FILES = """
_nst_jax() { _tyro_nst_jax; [ -n "${COMPREPLY[0]}" ] || COMPREPLY=(); }
complete -o default -F _nst_jax nst-jax
"""


def _run(command) -> int:
    if isinstance(command, StylizeConfig | SweepConfig | Resume | Rerun):
        return _run_optimisation(command)
    if isinstance(command, Samples):
        return _run_samples(command)
    if isinstance(command, Weights):
        return _run_weights(command.action)
    if isinstance(command, Plan):
        return _run_plan(command)
    if isinstance(command, Check):
        return _run_check(command)
    if isinstance(command, Frames):
        return _run_frames(command)
    from nst_jax.command import inspection

    if isinstance(command, Plot):
        inspection.plot(command.log, command.figures or command.log.parent, force=command.force)
    elif isinstance(command, Report):
        inspection.write_report(command.log, command.output, force=command.force)
    elif isinstance(command, Show):
        say(inspection.show(command.log))
    else:
        inspection.draw_features(
            command.image,
            command.output,
            layer=command.layer,
            size=command.size,
            arch=command.arch,
            source=command.weights,
            force=command.force,
        )
    return 0


def _run_optimisation(command: StylizeConfig | SweepConfig | Resume | Rerun) -> int:
    with ended_by_ctrl_c():
        import jax

        from nst_jax import runs
        from nst_jax.system import environment

    jax.config.update("jax_log_compiles", debugs())
    environment.keep_compiled_programs()
    if isinstance(command, Resume):
        outcome = runs.resume(command.log, steps=command.steps, force=command.force)
    elif isinstance(command, Rerun):
        outcome = runs.rerun(command.log, new_log=command.new_log, force=command.force)
    elif isinstance(command, SweepConfig) and command.distributed:
        from nst_jax.runs import hosts

        return hosts.sweep_files(command)
    elif isinstance(command, SweepConfig):
        outcome = runs.sweep_files(command)
    else:
        outcome = runs.stylize_files(command)
    return outcome.exit_code


def _run_samples(command: Samples) -> int:
    from nst_jax.image import samples

    paths = samples.write(command.folder, force=command.force)
    inform("wrote " + ", ".join(map(str, paths)))
    pictures = shlex.join(map(str, paths))
    say(f"to try them: nst-jax stylize {pictures} --output out.png --preset painterly")
    return 0


def _run_plan(command: Plan) -> int:
    with ended_by_ctrl_c():
        from nst_jax import driver, vgg
        from nst_jax.runs import estimate
        from nst_jax.system import environment

    driver.check_settings(num_steps=command.steps, learning_rate=1.0, tolerance=None)
    if warning := environment.unused_gpu():
        warn(warning)
    found = estimate.estimate(
        command.size,
        command.variants,
        arch=command.arch,
        pooling=command.pooling,
        precision=vgg.resolve_precision(command.precision),
    )
    say(estimate.in_words(found, size=command.size, variants=command.variants, steps=command.steps))
    return 0


def _run_check(command: Check) -> int:
    with ended_by_ctrl_c():
        from nst_jax import check
        from nst_jax.system import files

    if command.output:
        files.check_output(command.output, force=command.force, suffixes=(".json",))
    report = check.check(command.size, source=command.weights)
    if warning := report.facts.get("unused_gpu"):
        warn(warning)
    say(check.in_words(report))
    if command.output:
        check.write(report, command.output)
        inform(f"wrote {command.output}")
    return 0 if check.passed(report) else 1


def _run_frames(command: Frames) -> int:
    from nst_jax.report import frames

    frames.write(command.log, command.folder, force=command.force)
    return 0


def _run_weights(action: WeightsInfo | WeightsFetch | WeightsConvert) -> int:
    from nst_jax import weights
    from nst_jax.system import files

    if isinstance(action, WeightsFetch):
        say(weights.fetch(action.arch))
        return 0
    if isinstance(action, WeightsConvert):
        files.check_output(action.destination, force=action.force, suffixes=(".h5", ".hdf5"))
        weights.convert(
            action.source, action.destination, arch=action.arch, convention=action.convention
        )
        inform(f"wrote {action.destination}")
        return 0
    from nst_jax.command import inspection

    if action.layers:
        say(inspection.layer_table(action.arch, action.size))
    else:
        say(inspection.weights_info(action.weights, action.arch))
    return 0
