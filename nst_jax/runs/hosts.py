"""A sweep over several processes, each on a host of its own, by JAX's distributed runtime.

Each process runs its share of the variants into a part log, beside the log that is asked for on
a file system that all hosts see; nothing is sent between them. When all that are alive have done
theirs, the parts of those that are not are resumed, and process 0 joins the parts into one log.
A job that was ended as a whole goes on when it is started again.
"""

import glob
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from jax.experimental import multihost_utils

from nst_jax import backend, report, runlog
from nst_jax.config import SweepConfig, from_json, resolved, to_json
from nst_jax.runlog import checkpoint, merging
from nst_jax.runs import again, contents, run
from nst_jax.runs.checks import check_config, check_outputs
from nst_jax.runs.grid import Share, variants_of
from nst_jax.runs.preparation import prepare_device
from nst_jax.system import cluster
from nst_jax.system.console import Say, inform


def sweep_files(
    config: SweepConfig,
    *,
    say: Say = inform,
    progress: bool | None = None,
    heartbeat_seconds: int = 100,
) -> int:
    """Runs this process's share of a sweep, then what others have left undone.

    Args:
      config: as `runs.sweep_files`; the log goes where all processes can read and write.
      say: gets each line for the person.
      progress: show a progress bar on standard error; None: if that is a terminal.
      heartbeat_seconds: after how long a silent process counts as dead.

    Returns:
      The exit code: 0 when all shares have been run (process 0 returns when the log of the whole
      is there); 130 or 143 when a signal stopped this process. If process 0 dies, JAX ends the
      others.

    Raises:
      ValueError, OSError: bad input, or no cluster.
    """
    config = contents.listed(resolved(config), say=say)
    check_config(config)
    check_outputs(config)
    prepare_device(config)
    number, count = cluster.join(heartbeat_seconds=heartbeat_seconds, outlives_others=True)
    if count > len(variants_of(config)):
        raise ValueError(
            f"{count} processes are too many for {len(variants_of(config))} variants: start fewer; "
            "nst-jax stylize --distributed spreads the rows of one picture"
        )
    _check_other_parts(config, count)
    say = partial(_say_as, say, f"process {number} of {count}")
    parts = [
        replace(config, log=part_path(config.log, i, count), report=None) for i in range(count)
    ]
    mine: Sequence[int] = [number]
    while True:
        for i in mine:
            exit_code = _run_part(parts[i], Share(i, count), say, progress)
            if exit_code:
                return exit_code
        # Everyone who lives comes by here, so that no part is taken from one who works on it.
        living = _wait_for_the_living()
        lost = [i for i, part in enumerate(parts) if not _has_ended(part)]
        # And nobody acts before all have looked.
        living = _wait_for_the_living()
        if not lost:
            break
        mine = lost[living.index(number) :: len(living)]
        for i in mine:
            say(f"process {i} is gone: its share is resumed here")
    if number == living[0]:
        _join_parts(config, parts, say)
    return 0


def part_path(log: Path, number: int, count: int) -> Path:
    """Where a process logs its share of a sweep."""
    return log.with_name(f"{log.stem}.{number}-of-{count}{log.suffix}")


def _say_as(say: Say, who: str, line: str) -> None:
    say(f"{who}: {line}")


def _wait_for_the_living() -> list[int]:
    """Waits until every process has come here or died; returns the numbers of those that came."""
    while True:
        try:
            with multihost_utils.live_devices(backend.devices_of_all_processes()) as devices:
                return sorted({device.process_index for device in devices})
        except multihost_utils.ProcessFailureError:
            continue


def _run_part(part: SweepConfig, share: Share, say: Say, progress: bool | None) -> int:
    if part.log.exists() and _is_of(part.log, part):
        outcome = again.resume(part.log, own_terms=True, say=say, progress=progress)
    else:
        outcome = run.sweep_files(part, share=share, say=say, progress=progress)
    return outcome.exit_code


def _is_of(log: Path, part: SweepConfig) -> bool:
    return replace(from_json(runlog.load(log).config), force=part.force) == part


def _has_ended(part: SweepConfig) -> bool:
    return part.log.exists() and runlog.has_ended(part.log)


def _check_other_parts(config: SweepConfig, count: int) -> None:
    """Refuses to leave behind what another number of processes has done of this sweep."""
    pattern = f"{glob.escape(config.log.stem)}.*-of-*{config.log.suffix}"
    present = {part_path(config.log, i, count) for i in range(count)}
    other = sorted(set(config.log.parent.glob(pattern)) - present)
    if other and not config.force:
        raise ValueError(
            f"{other[0]} is of this sweep begun by another number of processes than {count}: "
            "start as many again, or use --force to begin anew"
        )


def _join_parts(config: SweepConfig, parts: Sequence[SweepConfig], say: Say) -> None:
    records = [runlog.load(part.log) for part in parts]
    merging.merge(config.log, records, config=to_json(config))
    if config.report:
        report.write(runlog.load(config.log), config.report)
    for part in parts:
        part.log.unlink()
        checkpoint.remove(part.log)
    say("wrote " + ", ".join(str(path) for path in (config.log, config.report) if path))
