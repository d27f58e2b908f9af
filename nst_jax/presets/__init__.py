"""Settings chosen by eye, for a picture to look at; the defaults of `config` are the report's."""

from nst_jax.presets.table import apply, coarse, settings

__all__ = [
    "apply",
    "coarse",
    "settings",
]
