"""The settings of a run: what can be set, and how they are written down and read again."""

from nst_jax.config import terms
from nst_jax.config.objective import (
    OF_TERMS,
    PREVIOUS,
    RELIABLE,
    TEMPORAL,
    check_functions,
    layer_balance_of,
    terms_of,
    weights_of,
)
from nst_jax.config.resolution import resolved
from nst_jax.config.settings import (
    PLACES,
    Config,
    ResultSuffix,
    RunConfig,
    Size,
    StylizeConfig,
    SweepConfig,
    VideoConfig,
    contents_of,
    from_json,
    name_in_folder,
    pictures_of,
    to_json,
)
from nst_jax.config.stages import StageSpec, at_last_stage, at_stage, last_size, stages_of
from nst_jax.config.terms import TermSpec

__all__ = [
    "OF_TERMS",
    "PLACES",
    "PREVIOUS",
    "RELIABLE",
    "TEMPORAL",
    "Config",
    "ResultSuffix",
    "RunConfig",
    "Size",
    "StageSpec",
    "StylizeConfig",
    "SweepConfig",
    "TermSpec",
    "VideoConfig",
    "at_last_stage",
    "at_stage",
    "check_functions",
    "contents_of",
    "from_json",
    "last_size",
    "layer_balance_of",
    "name_in_folder",
    "pictures_of",
    "resolved",
    "stages_of",
    "terms",
    "terms_of",
    "to_json",
    "weights_of",
]
