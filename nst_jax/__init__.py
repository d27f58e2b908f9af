"""Neural style transfer by optimisation, in JAX.

The modules are loaded when they are first used (PEP 562): `from nst_jax import losses` brings
JAX and nothing else, and `import nst_jax` brings nothing at all.
"""

import importlib

__version__ = "0.1.0"

_MODULES = (
    "config",
    "driver",
    "environment",
    "image",
    "losses",
    "objective",
    "optimizers",
    "plotting",
    "report",
    "runlog",
    "runs",
    "vgg",
    "weights",
)
_NAMES = {
    "LossTerms": "objective",
    "LossWeights": "objective",
    "Targets": "objective",
    "compute_targets": "objective",
    "content_loss": "losses",
    "extract_features": "vgg",
    "feature_fn": "vgg",
    "gram_matrix": "losses",
    "load_params": "weights",
    "make_objective": "objective",
    "StylizeResult": "driver",
    "style_loss": "losses",
    "make_weights": "objective",
    "stylize": "driver",
    "sweep": "driver",
    "total_variation": "losses",
}

__all__ = ["__version__", *_MODULES, *_NAMES]


def __getattr__(name: str):
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"module `{__name__}` has no attribute `{name}`")


def __dir__():
    return sorted(__all__)
