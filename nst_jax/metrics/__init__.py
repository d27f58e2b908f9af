"""Judges of a stylized image that were not optimized.

A loss that was minimized says little of the picture: every recipe is best by its own. These ask
networks that share no weights with a VGG (AlexNet, SqueezeNet), or none at all. `measure` gives
all of one image; each function is pure, on JAX arrays, and most take a batch.

Metrics disagree with each other and with the eye: `docs/metrics.md` shows where each fails.
"""

from nst_jax.metrics.classification import Recognition, class_logits, recognition
from nst_jax.metrics.fidelity import psnr, ssim
from nst_jax.metrics.flaws import border_saturation, chroma_speckle
from nst_jax.metrics.measuring import SMALLEST_SIDE, Judges, check_size, measure
from nst_jax.metrics.patches import patch_distance
from nst_jax.metrics.perceptual import lpips
from nst_jax.metrics.style import style_distances
from nst_jax.metrics.table import CAUTION, METRICS, PUNISHES_STYLE, Metric, in_order, optimized

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
