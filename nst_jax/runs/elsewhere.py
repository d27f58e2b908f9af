"""The same run with its results in a folder that is thrown away.

So a repetition works, which is only compared, and a process of several that compute one run: what
the first one writes, the others write where nobody looks, and need to know nothing of it.
"""

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from nst_jax.config import Config, SweepConfig
from nst_jax.system.cluster import Team

_Config = TypeVar("_Config", bound=Config)


def placed(config: _Config, team: Team) -> _Config:
    """The settings of a run with the places of the results of this process.

    Args:
      config: of the run.
      team: the processes that compute it.
    """
    if team.folder is None:
        return config
    log = config.log.name if config.log else "run.h5"
    return results_in(team.folder, team.folder / log, config)


def results_in(folder: Path, log: Path, config: _Config) -> _Config:
    """The same run with its log there, and whatever else it writes in the folder.

    Args:
      folder: for the results, empty.
      log: where the log goes.
      config: of the run.
    """
    config = replace(config, log=log, tensorboard=None, keep_state=False)
    if isinstance(config, SweepConfig):
        return replace(config, report=None)
    return replace(config, output=folder / ("out" if config.contents else "out.png"), figures=None)
