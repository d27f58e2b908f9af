"""Logs of version 1: the report's three terms, each by name in its own place."""

from nst_jax.runlog.series import Parts, axis_of
from nst_jax.system.hdf5 import Reader

PATHS = {
    "part_losses/style": "losses/style_per_layer",
    "weights/content": "variants/content_weight",
    "weights/style": "variants/style_weight",
    "weights/total_variation": "variants/tv_weight",
}
"""Where version 1 has what is elsewhere now."""


def parts(reader: Reader) -> Parts:
    """Names of the parts of the three terms; the layers of the content were not told apart."""
    return {
        "content": ("content",),
        "style": tuple(reader.strings("layers/style", (axis_of("style"),))),
        "total_variation": ("image",),
    }
