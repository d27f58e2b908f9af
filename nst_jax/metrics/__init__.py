"""Judges of a stylized image that were not optimized.

A loss that was minimized says little of the picture: every recipe is best by its own. These ask
networks that share no weights with a VGG (AlexNet, SqueezeNet), or none at all. `measure` gives
all of one image; each function is pure, on JAX arrays, and most take a batch.

Metrics disagree with each other and with the eye: `docs/metrics.md` shows where each fails.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what `__getattr__` finds, for type checkers and editors
    from nst_jax.metrics.classification import Recognition as Recognition
    from nst_jax.metrics.classification import class_logits as class_logits
    from nst_jax.metrics.classification import recognition as recognition
    from nst_jax.metrics.fidelity import psnr as psnr
    from nst_jax.metrics.fidelity import ssim as ssim
    from nst_jax.metrics.flaws import border_saturation as border_saturation
    from nst_jax.metrics.flaws import chroma_speckle as chroma_speckle
    from nst_jax.metrics.measuring import SMALLEST_SIDE as SMALLEST_SIDE
    from nst_jax.metrics.measuring import Judges as Judges
    from nst_jax.metrics.measuring import check_size as check_size
    from nst_jax.metrics.measuring import measure as measure
    from nst_jax.metrics.patches import patch_distance as patch_distance
    from nst_jax.metrics.perceptual import lpips as lpips
    from nst_jax.metrics.style import style_distances as style_distances
    from nst_jax.metrics.table import CAUTION as CAUTION
    from nst_jax.metrics.table import METRICS as METRICS
    from nst_jax.metrics.table import PUNISHES_STYLE as PUNISHES_STYLE
    from nst_jax.metrics.table import Metric as Metric
    from nst_jax.metrics.table import in_order as in_order
    from nst_jax.metrics.table import optimized as optimized

# Names come on first use (PEP 562): the page, and whoever draws figures, want the table alone, and
# do not wait for JAX.
_HOMES = {
    "Recognition": "classification",
    "class_logits": "classification",
    "recognition": "classification",
    "psnr": "fidelity",
    "ssim": "fidelity",
    "border_saturation": "flaws",
    "chroma_speckle": "flaws",
    "SMALLEST_SIDE": "measuring",
    "Judges": "measuring",
    "check_size": "measuring",
    "measure": "measuring",
    "patch_distance": "patches",
    "lpips": "perceptual",
    "style_distances": "style",
    "CAUTION": "table",
    "METRICS": "table",
    "PUNISHES_STYLE": "table",
    "Metric": "table",
    "in_order": "table",
    "optimized": "table",
}

__all__ = [
    "CAUTION",
    "METRICS",
    "PUNISHES_STYLE",
    "SMALLEST_SIDE",
    "Judges",
    "Metric",
    "Recognition",
    "border_saturation",
    "check_size",
    "chroma_speckle",
    "class_logits",
    "in_order",
    "lpips",
    "measure",
    "optimized",
    "patch_distance",
    "psnr",
    "recognition",
    "ssim",
    "style_distances",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
