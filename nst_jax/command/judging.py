"""The command `metrics`: pictures and run logs to what judges say of them."""

from pathlib import Path

from nst_jax import image as images
from nst_jax import runlog
from nst_jax.command.commands import Metrics
from nst_jax.metrics import Judges
from nst_jax.report import verdicts
from nst_jax.report.verdicts import Verdict
from nst_jax.runs import judging
from nst_jax.runs.checks import LOG_SUFFIXES
from nst_jax.system.console import note, say


def judge(command: Metrics) -> None:
    """Prints what judges say; what has to be read beside it goes to standard error.

    Raises:
      ValueError, OSError: a file is missing or no picture, or a picture comes without its content
        and style; one line.
    """
    _check(command)
    judges = judging.load_panel(command.judges, say=note).judges
    found = [verdict for path in command.pictures for verdict in _judged(path, command, judges)]
    if command.json:
        for verdict in found:
            say(verdicts.as_json(verdict))
    else:
        say(verdicts.as_text(found))
    for line in verdicts.notes(found):
        note(f"note: {line}")


def _check(command: Metrics) -> None:
    if not command.pictures:
        raise ValueError("there is nothing to judge: name pictures or run logs")
    if command.style_size is not None and command.style_size < 1:
        raise ValueError(f"the style size must be at least 1, got {command.style_size}")
    given = [command.content, command.style, command.style_size]
    pictures = [path for path in command.pictures if not _is_log(path)]
    if pictures:
        _pair(pictures[0], command)
    elif given != [None] * 3:
        raise ValueError(
            "run logs hold their own content and style: leave --content, --style and --style-size "
            "out"
        )


def _is_log(path: Path) -> bool:
    return path.suffix.lower() in LOG_SUFFIXES


def _judged(path: Path, command: Metrics, judges: Judges) -> list[Verdict]:
    if _is_log(path):
        return judging.of_log(runlog.load(path), judges)
    with images.notes(note):
        return [
            judging.of_picture(path, *_pair(path, command), judges, style_size=command.style_size)
        ]


def _pair(path: Path, command: Metrics) -> tuple[Path, Path]:
    """The content and the style of a picture."""
    if not (command.content and command.style):
        raise ValueError(f"{path} is judged beside what it was made of: give --content and --style")
    return command.content, command.style
