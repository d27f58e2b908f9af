"""What a run leaves beside its log: the picture, the figures, the page, and the last words."""

import json
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import NamedTuple

import numpy as np

from nst_jax import image as images
from nst_jax import runlog
from nst_jax.choices import Depth
from nst_jax.config import PLACES
from nst_jax.report import terms
from nst_jax.runlog import RunRecord, Variant
from nst_jax.system.console import Say
from nst_jax.system.interrupts import StopRequest

_BEGAN_AT_MINIMUM = (
    "began at the minimum: the start has all that the weights ask for already (are content and "
    "style one picture, or is a weight 0?)"
)


Alphas = Mapping[str, np.ndarray | None]
"""By content the alpha of its result, (h, w); None: it is opaque."""


class Outputs(NamedTuple):
    """Where a run writes what it leaves, and what stays beside its log.

    Attributes:
      log: None: no log stays.
      tensorboard: a folder.
      keep_state: whether the state of the optimizers stays beside the log.
      pictures: one a variant; none of a sweep.
      figures: a folder; none of a sweep.
      report: the page of a sweep.
      depth: bits of each color of the pictures.
      profiles: color profiles of the pictures by content; of the others it is sRGB.
    """

    log: Path | None
    tensorboard: Path | None = None
    keep_state: bool = False
    pictures: tuple[Path, ...] = ()
    figures: Path | None = None
    report: Path | None = None
    depth: Depth = 8
    profiles: Mapping[str, bytes] = MappingProxyType({})

    @property
    def picture(self) -> Path | None:
        """Of a single run: written at its end, however it ends."""
        return self.pictures[0] if len(self.pictures) == 1 else None


@dataclass(frozen=True)
class Outcome:
    """How a run ended: the exit code of the command, and the run log."""

    exit_code: int
    record: RunRecord


def _plotting() -> ModuleType:
    # Matplotlib takes half a second to load: only runs with figures or a page wait for it.
    from nst_jax.report import plotting

    return plotting


def conclude(
    outputs: Outputs,
    path: Path,
    request: StopRequest,
    say: Say,
    started: float,
    *,
    alphas: Alphas,
) -> Outcome:
    """Writes what a run leaves beside its log, and says how it ended.

    Args:
      outputs: where.
      path: its log, which may be a temporary one.
      request: the signal that has ended it, if one has.
      say: gets each line for the person.
      started: when, by `time.perf_counter`.
      alphas: of the pictures.
    """
    record = runlog.load(path)
    written = _write(outputs, record, alphas)
    exit_code = 1 if record.status == "failed" else request.exit_code if request else 0
    seconds = time.perf_counter() - started
    message = f"{_ending(record)}, {seconds:.1f} s"
    if exit_code == 1:
        print(f"error: {message}", file=sys.stderr)
    else:
        say(message)
    say("wrote " + ", ".join(written))
    if outputs.tensorboard:
        say(f"to see its curves: tensorboard --logdir {outputs.tensorboard}")
    if outputs.log and (request or outputs.keep_state):
        say(f"to go on: nst-jax resume {outputs.log}{'' if request else ' --steps N'}")
    return Outcome(exit_code, record)


def _write(outputs: Outputs, record: RunRecord, alphas: Alphas) -> list[str]:
    """Writes the picture, the figures, the page; all that the run has written, in words."""
    written: list[Path] = [outputs.log] if outputs.log else []
    if outputs.picture:
        _save_picture(outputs, record, 0, alphas)
        written.insert(0, outputs.picture)
    if outputs.figures:
        _plotting().save_run_figures(record, outputs.figures)
        written += [outputs.figures / name for name in _plotting().RUN_FIGURES]
    if outputs.report:
        from nst_jax import report

        report.write(record, outputs.report)
        written.append(outputs.report)
    return [*_in_folder(outputs, record), *map(str, written)]


def _in_folder(outputs: Outputs, record: RunRecord) -> list[str]:
    """How many of several pictures have been written, as each was done."""
    if len(outputs.pictures) < 2:
        return []
    count = sum(map(runlog.ended, record.variants))
    return [f"{count} of {len(outputs.pictures)} pictures into {outputs.pictures[0].parent}"]


def _ending(record: RunRecord) -> str:
    diverged = [variant for variant in record.variants if variant.status == "diverged"]
    if len(record.variants) > 1:
        note = f", {len(diverged)} of them diverged" if diverged else ""
        if count := int(record.began_at_minimum.sum()):
            note += f", {count} of them {_BEGAN_AT_MINIMUM}"
        ended = sum(map(runlog.ended, record.variants))
        word = "done" if record.status == "finished" else record.status
        return f"{word}: {ended} of {len(record.variants)} variants{note}"
    steps = f"{record.steps_done[0]} of {record.capacity} steps"
    if record.status == "failed":
        variant = record.variants[0]
        term = (bad_term(record.rows, variant) or "").replace("_", " ")
        return (
            f"stopped after {steps}, because the {term} was not finite in step "
            f"{variant.diverged_step}; the last good picture is kept; try a smaller "
            "--learning-rate or smaller weights"
        )
    if diverged:
        return f"done: {steps}, but the loss ended above its start: try a smaller --learning-rate"
    if record.began_at_minimum[0]:
        return f"done: {steps}; it {_BEGAN_AT_MINIMUM}"
    if record.status == "finished" and record.steps_done[0] < record.capacity:
        return f"done: converged after {steps}"
    return f"{'done' if record.status == 'finished' else record.status}: {steps}"


def save_pictures(
    outputs: Outputs, record: RunRecord, variants: Iterable[int], alphas: Alphas
) -> None:
    """Writes the pictures of those variants that have ended.

    Args:
      outputs: of the run, with one picture a variant.
      record: its log.
      variants: by their numbers.
      alphas: of the pictures.
    """
    for variant in variants:
        if runlog.ended(record.variants[variant]):
            _save_picture(outputs, record, variant, alphas)


def _save_picture(outputs: Outputs, record: RunRecord, variant: int, alphas: Alphas) -> None:
    # What has no influence on the picture is left out: the same picture, the same bytes.
    beside = PLACES | {"snapshot_every", "contents"}
    settings = {k: str(v) for k, v in record.config.items() if v is not None and k not in beside}
    if len(record.contents) > 1:
        settings["content"] = record.variants[variant].content
    _, losses = record.results()
    metadata = {
        "Software": "nst_jax " + json.loads(record.attributes["versions_json"])["nst_jax"],
        "nst_jax.settings": json.dumps(settings),
        "nst_jax.final_losses": json.dumps({k: float(v[variant]) for k, v in losses.items()}),
        "nst_jax.steps": str(record.steps_done[variant]),
        terms.ASKED_FOR: json.dumps(asdict(terms.asked_for(record, variant))),
    }
    content = record.variants[variant].content
    images.save(
        outputs.pictures[variant],
        record.picture_of(variant, depth=outputs.depth),
        alpha=alphas[content],
        metadata=metadata,
        profile=outputs.profiles.get(content),
    )


def bad_term(rows: runlog.Rows, variant: Variant) -> str | None:
    """The term that ended a run early, or None."""
    if variant.status != "diverged":
        return None
    return runlog.first_bad_term(rows, 0, variant.diverged_step)
