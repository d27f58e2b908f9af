"""Settings by name: each preset is a file here, which says where its settings come from.

The defaults of `config` are the report's; a preset fills in what the user has not set.
"""

from nst_jax.presets.files import Preset, load, names, text_of
from nst_jax.presets.filling import apply, settings

__all__ = ["Preset", "apply", "load", "names", "settings", "text_of"]
