"""Neural style transfer by optimisation, in JAX.

What lies at the top of this folder is the library: pure functions on JAX, without a file, a log or
a screen. What lies in a folder, but for `losses`, `terms`, `strips` and `metrics`, is the machinery
of the `nst-jax` command.

The modules are loaded when they are first used (PEP 562): `from nst_jax import losses` brings
JAX and nothing else, and `import nst_jax` brings nothing at all.
"""

import importlib
from typing import TYPE_CHECKING

from nst_jax.version import __version__ as __version__

if TYPE_CHECKING:  # what `__getattr__` finds, for type checkers and editors
    from nst_jax import alexnet as alexnet
    from nst_jax import config as config
    from nst_jax import driver as driver
    from nst_jax import feedforward as feedforward
    from nst_jax import image as image
    from nst_jax import losses as losses
    from nst_jax import masks as masks
    from nst_jax import metrics as metrics
    from nst_jax import motion as motion
    from nst_jax import objective as objective
    from nst_jax import optimizers as optimizers
    from nst_jax import placement as placement
    from nst_jax import presets as presets
    from nst_jax import report as report
    from nst_jax import runlog as runlog
    from nst_jax import runs as runs
    from nst_jax import solve as solve
    from nst_jax import squeezenet as squeezenet
    from nst_jax import stages as stages
    from nst_jax import strips as strips
    from nst_jax import terms as terms
    from nst_jax import vgg as vgg
    from nst_jax import weights as weights
    from nst_jax.image import samples as samples
    from nst_jax.losses import content_loss as content_loss
    from nst_jax.losses import gram_matrix as gram_matrix
    from nst_jax.losses import style_loss as style_loss
    from nst_jax.losses import total_variation as total_variation
    from nst_jax.objective import ReportTargets as ReportTargets
    from nst_jax.objective import compute_targets as compute_targets
    from nst_jax.objective import make_objective as make_objective
    from nst_jax.objective import make_weights as make_weights
    from nst_jax.report import plotting as plotting
    from nst_jax.runs import grid as grid
    from nst_jax.solve import StylizeResult as StylizeResult
    from nst_jax.solve import stylize as stylize
    from nst_jax.solve import sweep as sweep
    from nst_jax.system import environment as environment
    from nst_jax.terms import Losses as Losses
    from nst_jax.terms import Weights as Weights
    from nst_jax.vgg import extract_features as extract_features
    from nst_jax.vgg import feature_fn as feature_fn
    from nst_jax.weights import load_params as load_params

_MODULES = {
    "alexnet": "alexnet",
    "config": "config",
    "driver": "driver",
    "environment": "system.environment",
    "feedforward": "feedforward",
    "grid": "runs.grid",
    "image": "image",
    "losses": "losses",
    "masks": "masks",
    "metrics": "metrics",
    "motion": "motion",
    "objective": "objective",
    "optimizers": "optimizers",
    "placement": "placement",
    "plotting": "report.plotting",
    "presets": "presets",
    "report": "report",
    "runlog": "runlog",
    "runs": "runs",
    "samples": "image.samples",
    "solve": "solve",
    "squeezenet": "squeezenet",
    "stages": "stages",
    "strips": "strips",
    "terms": "terms",
    "vgg": "vgg",
    "weights": "weights",
}
_NAMES = {
    "Losses": "terms",
    "Weights": "terms",
    "StylizeResult": "solve",
    "ReportTargets": "objective",
    "compute_targets": "objective",
    "content_loss": "losses",
    "extract_features": "vgg",
    "feature_fn": "vgg",
    "gram_matrix": "losses",
    "load_params": "weights",
    "make_objective": "objective",
    "make_weights": "objective",
    "style_loss": "losses",
    "stylize": "solve",
    "sweep": "solve",
    "total_variation": "losses",
}

__all__ = ["__version__", *_MODULES, *_NAMES]


def __getattr__(name: str):
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{_MODULES[name]}")
    if name in _NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"module `{__name__}` has no attribute `{name}`")


def __dir__():
    return sorted(__all__)
