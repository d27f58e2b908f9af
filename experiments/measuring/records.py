"""Run logs as the experiments use them: read if finished, gone on with, or made."""

import json
from dataclasses import replace
from typing import NamedTuple

from nst_jax import runlog, runs
from nst_jax.config import SweepConfig, from_json
from nst_jax.runlog import RunRecord
from nst_jax.system.console import say


def record_of(config: SweepConfig, *, fresh: bool = False, quiet: bool = False) -> RunRecord:
    """The finished log of a sweep.

    Args:
      config: of the sweep; `config.log` says where its log is, or will be.
      fresh: run again, whatever is there.
      quiet: say nothing, and show no progress.

    Raises:
      ValueError: there is a log of a run with other settings or pictures.
      SystemExit: a signal has stopped the run; the next call goes on.
    """

    def tell(line: str) -> None:
        if not quiet:
            say(line)

    progress = False if quiet else None
    if config.log.exists() and not fresh:
        record = runlog.load(config.log)
        if not _alike(from_json(record.config), config):
            raise ValueError(
                f"{config.log} is of a run with other settings; give another --output-dir, or "
                "--fresh to replace it"
            )
        runs.check_same(record, runs.sources_of(config).hashes())
        if record.status == "finished":
            tell(f"reading {config.log}")
            return record
        tell(f"going on with {config.log}")
        outcome = runs.resume(config.log, say=tell, progress=progress)
    else:
        config.log.parent.mkdir(parents=True, exist_ok=True)
        outcome = runs.sweep_files(config, say=tell, progress=progress)
    if outcome.exit_code:
        raise SystemExit(outcome.exit_code)
    return outcome.record


def _alike(one: SweepConfig, other: SweepConfig) -> bool:
    """Whether two runs have the same settings, wherever their files lie."""
    places = {"log": other.log, "content": other.content}
    if len(one.styles) == len(other.styles):
        places["styles"] = other.styles
    return replace(one, **places) == other


class Origin(NamedTuple):
    """Where, when and by what a log was made.

    Attributes:
      device: its name.
      cores: of a CPU; None of another device.
      precision: of the convolutions.
      date: as year, month and day.
      jax: the version.
      is_random: whether the network was an untrained one.
    """

    device: str
    cores: int | None
    precision: str
    date: str
    jax: str
    is_random: bool


def origin_of(record: RunRecord) -> Origin:
    """The origin of a log, from its attributes."""
    attributes = record.attributes
    return Origin(
        attributes["device_kind"],
        attributes["threads"] if attributes["backend"] == "cpu" else None,
        attributes["precision"],
        attributes["created_utc"][:10],
        json.loads(attributes["versions_json"])["jax"],
        attributes["weights_name"] == "random",
    )
