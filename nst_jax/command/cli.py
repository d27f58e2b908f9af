"""The command line: reads the arguments, fills in the preset, runs the command.

Nothing heavy is imported before a command runs: `--help` answers within a second.
"""

import io
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import fields, replace
from typing import Any

import tyro

from nst_jax import presets
from nst_jax.command import commands, execution, usage
from nst_jax.command.commands import Arguments, Command, Stylize, Sweep, Video
from nst_jax.config import Config, StylizeConfig, SweepConfig, VideoConfig, last_size
from nst_jax.system.console import exit_code_of, inform, printable, set_log_level
from nst_jax.version import __version__

# For a picture or a log, tyro's function offers one empty word, and bash then offers no files.
_COMPLETE_FILES = """
_nst_jax() { _tyro_nst_jax; [ -n "${COMPREPLY[0]}" ] || COMPREPLY=(); }
complete -o default -F _nst_jax nst-jax
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line.

    Args:
      arguments: behind the program's name; by default those of this process.

    Returns:
      The exit code: 0 done, 1 failed with one clear line, 130 interrupted by Ctrl-C.

    Raises:
      SystemExit: the help was asked for (0), or the usage is wrong (2).
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    return exit_code_of(lambda: execution.run(_parse(arguments)))


def _parse(arguments: list[str]) -> Config | Command:
    if arguments == ["--version"]:
        print(f"nst-jax {__version__}")
        sys.exit(0)
    known = commands.by_words()
    if problem := usage.problem(arguments, known):
        print(printable(f"error: {problem}"), file=sys.stderr)
        sys.exit(2)
    # https://no-color.org
    if os.environ.get("NO_COLOR"):
        tyro._experimental_options["ansi_codes"] = False
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            parsed = _by_tyro(arguments)
    except SystemExit:
        if arguments == ["--tyro-print-completion", "bash"]:
            print(_COMPLETE_FILES)
        print(usage.in_words(said.getvalue(), arguments, known), end="", file=sys.stderr)
        raise
    set_log_level(parsed.log_level)
    if isinstance(parsed.command, Stylize | Sweep | Video):
        return _settled(parsed.command, usage.given(arguments))
    return parsed.command


def _by_tyro(arguments: list[str]) -> Arguments:
    return tyro.cli(
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


def _settled(command: Stylize | Sweep | Video, given: set[str]) -> Config:
    """The settings of a run: those that are given, then those of the preset."""
    kinds: dict[type, type[Config]] = {
        Stylize: StylizeConfig,
        Sweep: SweepConfig,
        Video: VideoConfig,
    }
    kind = kinds[type(command)]
    config = kind(**{field.name: getattr(command, field.name) for field in fields(kind)})
    config = _with_stages(config, given)
    if command.preset is None:
        return config
    # Typed stages have a size, which is typed thereby.
    given = given | {"size"} if last_size(config.stages) else given
    chosen = presets.settings(command.preset, config, given=given)
    inform(f"preset {command.preset}: {_told(chosen)}")
    return replace(config, **chosen)


def _told(chosen: Mapping[str, Any]) -> str:
    """What a preset sets: its terms by name, and the rest as it could have been typed."""
    typed = usage.options({name: value for name, value in chosen.items() if name != "terms"})
    terms = chosen.get("terms")
    return f"its own terms {', '.join(terms)}; {typed}" if terms else typed


def _with_stages(config: Config, given: set[str]) -> Config:
    """The settings with the size that typed stages end with, unless one is typed."""
    size = last_size(config.stages)
    if size and "steps" in given:
        raise ValueError(
            "--steps and --stages both say how long the run goes on: leave --steps out, or give "
            "--stages auto"
        )
    return replace(config, size=size) if size and "size" not in given else config
