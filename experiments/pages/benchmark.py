"""Facts of the benchmark: its tables, in numbers."""

from collections.abc import Sequence
from typing import NamedTuple

from timing.results import Measured, Result, ratio

from nst_jax.choices import Precision
from pages import words

STEPS_OF_A_PICTURE = 250

PROGRAMS = {
    "nst_jax": "nst_jax",
    "tensorflow": "TensorFlow (the report's program)",
    "torch": "PyTorch, eager",
    "torch_compile": "PyTorch, compiled",
    "torch_passive": "PyTorch, eager, passive wait",
    "torch_compile_passive": "PyTorch, compiled, passive wait",
}

COLUMNS: dict[str, tuple[str, Precision]] = {
    "nst_jax, bfloat16": ("nst_jax", "bfloat16"),
    "nst_jax, float32": ("nst_jax", "float32"),
    "TensorFlow, float32": ("tensorflow", "float32"),
    "PyTorch, bfloat16": ("torch", "bfloat16"),
    "PyTorch, float32": ("torch", "float32"),
}
"""Programs and precisions of the table of pictures; of a program's forms the fastest counts."""


class Compared(NamedTuple):
    """A program in a case.

    Attributes:
      program: its name.
      result: what was measured.
      against: how many times as long as ours a step takes; None of ours.
    """

    program: str
    result: Result
    against: float | None


class Picture(NamedTuple):
    """Seconds of a picture.

    Attributes:
      width, height: in pixels.
      seconds: by the columns; None where nothing was measured.
      ahead: the best of the others over the best of ours; None without others or ours.
    """

    width: int
    height: int
    seconds: tuple[float | None, ...]
    ahead: float | None


class Facts(NamedTuple):
    """All numbers of the page.

    Attributes:
      device: its name.
      dates: of the runs.
      versions: by package.
      lines: the commands that measured it.
      steps: of a picture.
      columns: of the table of pictures.
      pictures: by size.
      limits: ours of one variant.
      compared: all programs in all cases.
      commands: with their seconds, the first time and again.
    """

    device: str
    dates: tuple[str, ...]
    versions: dict[str, str]
    lines: tuple[str, ...]
    steps: int
    columns: tuple[str, ...]
    pictures: tuple[Picture, ...]
    limits: tuple[Result, ...]
    compared: tuple[Compared, ...]
    commands: dict[str, list[float]]


def page(measured: Measured) -> str:
    """The tables with how they were made, in Markdown."""
    return words.render("benchmark", **facts(measured)._asdict())


def facts(measured: Measured) -> Facts:
    """The numbers of what was measured."""
    results = sorted(measured.results, key=lambda each: (each.size, each.variants))
    return Facts(
        measured.device,
        tuple(dict.fromkeys(run["date"] for run in measured.runs)),
        measured.versions,
        tuple(run["command"] for run in measured.runs),
        STEPS_OF_A_PICTURE,
        tuple(COLUMNS),
        pictures(results),
        limits(results),
        compared(results),
        measured.commands,
    )


def compared(results: Sequence[Result]) -> tuple[Compared, ...]:
    """All results, each against ours of its case."""
    ours = {_case_of(each): each for each in results if each.program == "nst_jax"}
    return tuple(
        Compared(
            PROGRAMS[each.program],
            each,
            None if each.program == "nst_jax" else ratio(each, ours[_case_of(each)]),
        )
        for each in results
    )


def _case_of(result: Result) -> tuple[int, int, Precision]:
    return result.size, result.variants, result.precision


def pictures(results: Sequence[Result]) -> tuple[Picture, ...]:
    """Of one variant, by the fastest form of each program."""
    singles = [each for each in results if each.variants == 1]
    sizes = dict.fromkeys(each.size for each in singles)
    return tuple(_picture([each for each in singles if each.size == size]) for size in sizes)


def _picture(results: Sequence[Result]) -> Picture:
    best = {column: _fastest(results, *of) for column, of in COLUMNS.items()}
    ours = [x for column, x in best.items() if x and column.startswith("nst_jax")]
    theirs = [x for column, x in best.items() if x and not column.startswith("nst_jax")]
    ahead = min(theirs) / min(ours) if ours and theirs else None
    return Picture(results[0].width, results[0].height, tuple(best.values()), ahead)


def _fastest(results: Sequence[Result], program: str, precision: Precision) -> float | None:
    """Seconds of a picture: getting ready and as many steps as `nst-jax stylize` takes."""
    seconds = (
        each.ready + STEPS_OF_A_PICTURE * each.seconds
        for each in results
        if each.program.startswith(program) and each.precision == precision
    )
    return min(seconds, default=None)


def limits(results: Sequence[Result]) -> tuple[Result, ...]:
    """Ours of one variant, float32 first."""
    ours = [each for each in results if each.program == "nst_jax" and each.variants == 1]
    return tuple(sorted(ours, key=lambda each: each.precision, reverse=True))
