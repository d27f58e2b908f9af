"""Pictures as files and as arrays.

An image is a float32 NumPy array (height, width, 3): RGB in the sRGB color space, from 0 to 1.
"""

from nst_jax.image.arrays import (
    from_uint8,
    is_gray,
    resize,
    spread_first_channel,
    to_gray,
    to_uint8,
    to_uint16,
)
from nst_jax.image.colors import match_colors, with_colors_of
from nst_jax.image.masks import load_mask
from nst_jax.image.metadata import read_metadata
from nst_jax.image.reading import (
    ImageWarning,
    load,
    load_part,
    load_with_alpha,
    longest_side,
    notes,
    profile_of,
)
from nst_jax.image.starts import initial_image
from nst_jax.image.writing import SUFFIXES, check_takes_16_bits, check_takes_alpha, save

__all__ = [
    "SUFFIXES",
    "ImageWarning",
    "check_takes_16_bits",
    "check_takes_alpha",
    "from_uint8",
    "initial_image",
    "is_gray",
    "load",
    "load_mask",
    "load_part",
    "load_with_alpha",
    "longest_side",
    "match_colors",
    "notes",
    "profile_of",
    "read_metadata",
    "resize",
    "samples",
    "save",
    "spread_first_channel",
    "to_gray",
    "to_uint8",
    "to_uint16",
    "with_colors_of",
]
