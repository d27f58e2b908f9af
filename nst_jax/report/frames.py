"""The snapshots of a run log as files: pictures, and an animation of each variant."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from nst_jax import image as images
from nst_jax import runlog
from nst_jax.runlog import RunRecord
from nst_jax.system import files
from nst_jax.system.console import inform

# Of an animation, which then begins again; no picture is too short to be seen, or shown for long.
_SECONDS = 4.0
_SHORTEST, _LONGEST, _LAST = 0.04, 0.5, 1.5
_QUALITY = 90


class _Course(NamedTuple):
    """The snapshots of a variant in their order, where each goes, and where the animation goes."""

    pictures: UInt8[np.ndarray, "n h w 3"]
    paths: list[Path]
    animation: Path


def write(log: Path, folder: Path, *, force: bool = False) -> None:
    """Writes the snapshots of a run log, a running one too, into a folder.

    Each becomes `variant-NUMBER-step-NUMBER.png`, and those of a variant together
    `variant-NUMBER.webp`. Variants are counted from 1 as on the page, steps are those done;
    numbers have as many digits as the largest, so that the names sort.

    Args:
      log: the run log.
      folder: made if need be.
      force: overwrite existing files.

    Raises:
      ValueError: it is no run log, or holds no snapshot.
      OSError: it cannot be read, a file exists, or the folder cannot be written to.
    """
    record = runlog.load(log)
    courses = list(_courses(record, folder))
    if not courses:
        raise ValueError(f"{log} holds no snapshot{_cure(record)}")
    for course in courses:
        for path in (*course.paths, course.animation):
            files.check_output(path, force=force)
    for course in courses:
        for path, picture in zip(course.paths, course.pictures, strict=True):
            images.save(path, picture)
        _animate(course.animation, course.pictures)
    count = sum(len(course.paths) for course in courses)
    inform(f"wrote {count} picture(s) and {len(courses)} animation(s) into {folder}")


def _courses(record: RunRecord, folder: Path) -> Iterator[_Course]:
    digits = len(str(len(record.variants)))
    step_digits = len(str(max(record.snapshot_steps, default=0)))
    for i in range(len(record.variants)):
        steps, pictures = record.snapshots_of(i)
        name = f"variant-{i + 1:0{digits}}"
        if len(steps):
            paths = [folder / f"{name}-step-{step:0{step_digits}}.png" for step in steps]
            yield _Course(pictures, paths, folder / f"{name}.webp")


def _cure(record: RunRecord) -> str:
    if record.config.get("snapshot_every") and record.status == "running":
        return " yet: wait for the first"
    return ": give the run --snapshot-every 10, and it keeps the picture of every tenth step"


def _animate(path: Path, pictures: UInt8[np.ndarray, "n h w 3"]) -> None:
    seconds = min(max(_SECONDS / len(pictures), _SHORTEST), _LONGEST)
    durations = [round(1000 * seconds)] * (len(pictures) - 1) + [round(1000 * _LAST)]
    first, *others = map(Image.fromarray, pictures)
    try:
        with files.replacing(path) as temporary:
            first.save(
                temporary,
                "WEBP",
                save_all=True,
                append_images=others,
                duration=durations,
                loop=0,
                quality=_QUALITY,
            )
    except (OSError, ValueError) as error:
        kind = type(error) if isinstance(error, OSError) else ValueError
        raise kind(f"cannot write {path}: {files.reason(error)}") from error
