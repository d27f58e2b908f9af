"""The weights of VGG16 and VGG19, and of judges: found, downloaded, verified, converted, loaded."""

from nst_jax.weights.conversion import convert
from nst_jax.weights.download import WeightsNotFound, fetch
from nst_jax.weights.feedforward_files import Feedforward, load_feedforward, save_feedforward
from nst_jax.weights.finding import VARIABLE, Resolution, resolve
from nst_jax.weights.formats import Params, infer_arch
from nst_jax.weights.judges import (
    JUDGE_FILES,
    JUDGES_VARIABLE,
    JudgeWeights,
    find_judges,
    load_judges,
)
from nst_jax.weights.loading import (
    describe,
    load_params,
    params_sha256,
    random_params,
    trained_or_random,
)

__all__ = [
    "JUDGES_VARIABLE",
    "JUDGE_FILES",
    "VARIABLE",
    "Feedforward",
    "JudgeWeights",
    "Params",
    "Resolution",
    "WeightsNotFound",
    "convert",
    "describe",
    "fetch",
    "find_judges",
    "infer_arch",
    "load_feedforward",
    "load_judges",
    "load_params",
    "params_sha256",
    "random_params",
    "resolve",
    "save_feedforward",
    "trained_or_random",
]
