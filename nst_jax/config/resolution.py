"""Settings as they begin a run: what they name is read, what they leave to us is written out."""

from typing import TypeVar

from nst_jax.config.objective import with_objective_read
from nst_jax.config.settings import RunConfig
from nst_jax.config.stages import explicit

_Config = TypeVar("_Config", bound=RunConfig)


def resolved(config: _Config) -> _Config:
    """The same run without its objective's file, with its stages and their steps written out.

    Raises:
      ValueError, OSError: the file is no objective, or a stage is none; one line.
    """
    return explicit(with_objective_read(config))
