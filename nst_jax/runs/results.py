"""What a run leaves beside its log: the picture, the figures, the page, and the last words."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from nst_jax import image as images
from nst_jax import runlog
from nst_jax.config import PLACES, Config, StylizeConfig, SweepConfig
from nst_jax.runlog import RunRecord, Variant
from nst_jax.runs import inputs, tensorboard
from nst_jax.runs.grid import variants_of
from nst_jax.system import files
from nst_jax.system.interrupts import StopRequest

LOG_SUFFIXES = (".h5", ".hdf5")

_BEGAN_AT_MINIMUM = (
    "began at the minimum: the start has all that the weights ask for already (are content and "
    "style one picture, or is a weight 0?)"
)


@dataclass(frozen=True)
class Outcome:
    """How a run ended: the exit code of the command, and the run log."""

    exit_code: int
    record: RunRecord


def check_outputs(config: Config) -> None:
    """Refuses results that cannot be written, or would overwrite something.

    Raises:
      ValueError, OSError: one line that names the file.
    """
    outputs: list[tuple[Path, tuple[str, ...]]] = [(config.log, LOG_SUFFIXES)] if config.log else []
    if isinstance(config, SweepConfig):
        if config.report:
            outputs.append((config.report, (".html",)))
    else:
        outputs.append((config.output, images.SUFFIXES))
        if config.alpha == "keep":
            images.check_takes_alpha(config.output)
        if config.figures:
            outputs += [(config.figures / name, (".png",)) for name in _plotting().RUN_FIGURES]
    taken = {path.resolve(): "an input" for path in inputs.paths(config)}
    for path, _ in outputs:
        if use := taken.get(path.resolve()):
            raise ValueError(f"{path} is {use}; write the result somewhere else")
        taken[path.resolve()] = "named for two results"
    for path, suffixes in outputs:
        files.check_output(path, force=config.force, suffixes=suffixes)
    if config.tensorboard:
        tensorboard.check(config.tensorboard, len(variants_of(config)))


def _plotting() -> ModuleType:
    # Matplotlib takes half a second to load: only runs with figures or a page wait for it.
    from nst_jax.report import plotting

    return plotting


def conclude(
    config: Config,
    path: Path,
    request: StopRequest,
    say: Callable[[str], None],
    started: float,
    *,
    alpha: np.ndarray | None,
) -> Outcome:
    """Writes what a run leaves beside its log, and says how it ended.

    Args:
      config: settings of the run.
      path: its log.
      request: the signal that has ended it, if one has.
      say: gets each line for the person.
      started: when, by `time.perf_counter`.
      alpha: of the picture; None if it is opaque.
    """
    record = runlog.load(path)
    written = [config.log] if config.log else []
    if isinstance(config, StylizeConfig):
        _save_picture(config, record, alpha)
        written.insert(0, config.output)
        if config.figures:
            _plotting().save_run_figures(record, config.figures)
            written += [config.figures / name for name in _plotting().RUN_FIGURES]
    elif config.report:
        from nst_jax import report

        report.write(record, config.report)
        written.append(config.report)
    exit_code = 1 if record.status == "failed" else request.exit_code if request else 0
    seconds = time.perf_counter() - started
    message = f"{_ending(record, config)}, {seconds:.1f} s"
    if exit_code == 1:
        print(f"error: {message}", file=sys.stderr)
    else:
        say(message)
    say("wrote " + ", ".join(map(str, written)))
    if config.tensorboard:
        say(f"to see its curves: tensorboard --logdir {config.tensorboard}")
    if config.log and (request or config.keep_state):
        say(f"to go on: nst-jax resume {config.log}{'' if request else ' --steps N'}")
    return Outcome(exit_code, record)


def _ending(record: RunRecord, config: Config) -> str:
    diverged = [variant for variant in record.variants if variant.status == "diverged"]
    if len(record.variants) > 1:
        note = f", {len(diverged)} of them diverged" if diverged else ""
        if count := int(record.began_at_minimum.sum()):
            note += f", {count} of them {_BEGAN_AT_MINIMUM}"
        ended = sum(map(runlog.ended, record.variants))
        word = "done" if record.status == "finished" else record.status
        return f"{word}: {ended} of {len(record.variants)} variants{note}"
    steps = f"{record.steps_done[0]} of {config.steps} steps"
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
    if record.status == "finished" and record.steps_done[0] < config.steps:
        return f"done: converged after {steps}"
    return f"{'done' if record.status == 'finished' else record.status}: {steps}"


def _save_picture(config: StylizeConfig, record: RunRecord, alpha: np.ndarray | None) -> None:
    # What has no influence on the picture is left out: the same picture, the same bytes.
    beside = PLACES | {"snapshot_every"}
    settings = {k: str(v) for k, v in record.config.items() if v is not None and k not in beside}
    pictures, terms = record.results()
    metadata = {
        "Software": "nst_jax " + json.loads(record.attributes["versions_json"])["nst_jax"],
        "nst_jax.settings": json.dumps(settings),
        "nst_jax.final_losses": json.dumps({k: float(v[0]) for k, v in terms.items()}),
        "nst_jax.steps": str(record.steps_done[0]),
    }
    images.save(config.output, pictures[0], alpha=alpha, metadata=metadata)


def bad_term(rows: runlog.Rows, variant: Variant) -> str | None:
    """The term that ended a run early, or None."""
    if variant.status != "diverged":
        return None
    return runlog.first_bad_term(rows, 0, variant.diverged_step)
