"""docs/study.md: the report's four questions, answered from run logs.

    make study                                         # or: python experiments/answers.py

Runs what has not been run yet of `study.py`, `features.py` and `losses.py` with their defaults,
and joins their sections and figures into one page. On two CPU cores the runs take about two
hours; from finished logs the page takes two minutes.
"""

import re
import shutil
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import features
import losses
import study
import tyro

from nst_jax.choices import PrecisionSetting
from nst_jax.system import files
from nst_jax.system.console import exit_code_of, say

_TITLE = "# The report's four questions"
_PREFACE = (
    "Written by `make study` from run logs; every number and figure below is from the runs "
    "described with it. The report's own experiment, its Table 1 and Figures 7 to 10, is run by "
    "`experiments/table1.py`."
)

_WIDTH = 110


@dataclass(frozen=True)
class Answers:
    """Run what is missing, and write the page."""

    output_dir: Path = Path("out")
    """Folder of the experiments' own folders."""
    pictures: Path = Path("../shared/images")
    """Folder of the study's pictures, see `study.py`."""
    precision: PrecisionSetting = "float32"
    """Of the convolutions, as in `nst-jax sweep`; float32 reproduces the report."""
    weights: str | None = None
    """A weights file, or "random" (default: see `nst-jax weights info`)."""
    page: Path = Path("docs/study.md")
    """Where the page goes; its figures go into images/ beside it."""


def main(settings: Answers) -> Path:
    """Returns the path of the page."""
    out, weights = settings.output_dir, settings.weights
    shared = {"precision": settings.precision, "weights": weights}
    sections = [
        study.main(study.Study(output_dir=out / "study", pictures=settings.pictures, **shared)),
        features.main(features.Features(output_dir=out / "features", weights=weights)),
        losses.main(losses.Losses(output_dir=out / "losses", **shared)),
    ]
    join(sections, settings.page, _TITLE, _PREFACE)
    say(f"wrote {settings.page}")
    return settings.page


def join(sections: list[Path], page: Path, title: str, preface: str) -> None:
    """Writes sections and the figures that they show as one page."""
    folder = page.parent / "images" / page.stem
    files.check_folder(folder)
    parts = [title, wrapped(preface)]
    for path in sections:
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", text):
            shutil.copyfile(path.parent / name, folder / name)
        parts.append(re.sub(r"(!\[[^]]*\]\()", rf"\1images/{page.stem}/", wrapped(text)))
    with files.replacing(page) as temporary:
        temporary.write_text("\n\n".join(parts).rstrip() + "\n", encoding="utf-8")


def wrapped(text: str) -> str:
    """Markdown with its long lines broken; headings, tables and figures are left as they are."""
    return "\n".join(
        line
        if line.startswith(("#", "|", "!"))
        else textwrap.fill(
            line,
            _WIDTH,
            subsequent_indent="  " if line.startswith("- ") else "",
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in text.splitlines()
    )


def command() -> int:
    main(tyro.cli(Answers, config=(tyro.conf.FlagCreatePairsOff,)))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(command))
