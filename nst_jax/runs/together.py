"""One run of several processes, each on a host of its own: the rows of a picture on all devices.

Every process does the same, as `jax.distributed` asks of a program over several of them. What the
first one writes and says, the others write where nobody looks, and do not say. What must be the
same in all is compared before the first step, and what may differ on the way is asked of all
(`cluster.Team`). When one is lost the run ends; its log and checkpoint hold the picture whole, so
that as many processes as there are then go on, or one.
"""

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

from nst_jax import runlog
from nst_jax.config import StylizeConfig, VideoConfig, from_json, resolved
from nst_jax.runlog import checkpoint
from nst_jax.runs import again, contents, run
from nst_jax.runs.checks import check_config
from nst_jax.runs.preparation import prepare_device
from nst_jax.runs.resumption import about
from nst_jax.system import cluster, console, files
from nst_jax.system.cluster import Team
from nst_jax.system.console import Say, inform


def stylize_files(
    config: StylizeConfig,
    *,
    say: Say = inform,
    progress: bool | None = None,
    heartbeat_seconds: int = 100,
) -> int:
    """Runs `config` on the devices of all processes.

    Args:
      config: as `run.stylize_files`; the same in all processes, which see the same pictures.
      say: gets each line for the person, in the first process.
      progress: show a progress bar on standard error there; None: if that is a terminal.
      heartbeat_seconds: after how long a silent process counts as dead.

    Returns:
      The exit code of all processes, as of `run.stylize_files`. After an error the interpreter
      ends without waiting for the others.

    Raises:
      ValueError, OSError: bad input, or no cluster; nothing has been written.
      RuntimeError: another process is gone.
    """
    check_config(contents.listed(resolved(config), say=_unsaid))
    prepare_device(config)
    cure = f"nst-jax resume {config.log} --distributed goes on" if config.log else "start it again"
    with _joined(heartbeat_seconds, cure) as team:
        outcome = run.stylize_files(config, **_shown(team, say, progress), team=team)
    return outcome.exit_code


def resume(
    path: Path,
    *,
    steps: int | None = None,
    force: bool = False,
    own_terms: bool = False,
    say: Say = inform,
    progress: bool | None = None,
    heartbeat_seconds: int = 100,
) -> int:
    """Goes on with a run on the devices of all processes, whoever began it.

    Args:
      path: the log of a run of `stylize`, which all processes see.
      steps, force, own_terms: as `again.resume`.
      say, progress, heartbeat_seconds: as `stylize_files`, and so are exit code and errors.
    """
    # A process that does not see the log has the others to tell first.
    if path.exists():
        prepare_device(_settings_of(path))
    cure = f"nst-jax resume {path} --distributed goes on"
    with _joined(heartbeat_seconds, cure) as team:
        with team.together() as begin:
            _settings_of(path)
            # Before the first process goes on with it.
            own = _copied(path, team.folder) if team.folder else path
            kept = ",".join(map(files.sha256, checkpoint.all_of(own)))
            begin({"log": files.sha256(own), "checkpoint": kept})
        outcome = again.resume(
            own,
            steps=steps,
            force=force,
            own_terms=own_terms,
            **_shown(team, say, progress),
            team=team,
        )
    return outcome.exit_code


def _settings_of(path: Path) -> StylizeConfig:
    with about(path):
        config = from_json(runlog.load(path).config)
        if isinstance(config, VideoConfig):
            raise ValueError(
                "it is of a video, which one process paints: go on without --distributed"
            )
        if not isinstance(config, StylizeConfig):
            raise ValueError(
                "it is of a sweep, whose variants are shared out: the command that began it, "
                "started again, goes on with it"
            )
    return config


def _copied(log: Path, folder: Path) -> Path:
    """A log and its checkpoints in a folder of this process."""
    for path in (log, *checkpoint.all_of(log)):
        shutil.copyfile(path, folder / path.name)
    return folder / log.name


@contextmanager
def _joined(heartbeat_seconds: int, cure: str) -> Iterator[Team]:
    """Meets the others, and ends with them; after an error at once, see `stylize_files`."""
    number, count = cluster.join(heartbeat_seconds=heartbeat_seconds, outlives_others=False)
    if number:
        # Its warnings are those of the first one.
        console.set_log_level("error")
    try:
        with tempfile.TemporaryDirectory() as folder, cluster.loss_in_words(cure):
            yield Team(number, count, Path(folder) if number else None)
    except BaseException as error:
        # Before what JAX has registered: it would wait for the others, which wait for this one.
        atexit.register(console.leave, getattr(error, "exit_code", 1))
        raise
    # Each waits for the others here, as long as the first one writes.
    jax.distributed.shutdown()


def _shown(team: Team, say: Say, progress: bool | None) -> dict[str, Any]:
    """What a person sees of a run: of the first process alone."""
    return {"say": say, "progress": progress} if team.folder is None else _UNSEEN


def _unsaid(line: str) -> None:
    """What the first process says."""
    del line


_UNSEEN: dict[str, Any] = {"say": _unsaid, "progress": False}
