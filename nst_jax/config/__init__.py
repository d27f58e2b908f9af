"""The settings of a run: what can be set, and how they are written down and read again."""

from nst_jax.config.settings import (
    PLACES,
    Config,
    RunConfig,
    Size,
    StylizeConfig,
    SweepConfig,
    from_json,
    to_json,
)

__all__ = [
    "PLACES",
    "Config",
    "RunConfig",
    "Size",
    "StylizeConfig",
    "SweepConfig",
    "from_json",
    "to_json",
]
