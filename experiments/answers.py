"""docs/study.md: the report's four questions, answered from run logs.

    make study                                         # or: python experiments/answers.py

Runs what has not been run yet of `study.py`, `features.py` and `losses.py` with their defaults,
and joins their sections and figures into one page. On two CPU cores the runs take about two
hours; from finished logs the page takes two minutes.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import features
import losses
import study
import tyro
from pages import words, writing

from nst_jax.choices import PrecisionSetting
from nst_jax.system.console import exit_code_of, say


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
    writing.join(sections, settings.page, words.render("study_opening"))
    say(f"wrote {settings.page}")
    return settings.page


def command() -> int:
    main(tyro.cli(Answers, config=(tyro.conf.FlagCreatePairsOff,)))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(command))
