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
from nst_jax.image.films import FILM_SUFFIX, unpack_film, write_film
from nst_jax.image.flows import (
    FLOW_SUFFIXES,
    compute_flow,
    load_flow,
    opencv_version,
    save_flow,
)
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
    "FILM_SUFFIX",
    "FLOW_SUFFIXES",
    "SUFFIXES",
    "ImageWarning",
    "check_takes_16_bits",
    "check_takes_alpha",
    "compute_flow",
    "from_uint8",
    "initial_image",
    "is_gray",
    "load",
    "load_flow",
    "load_mask",
    "load_part",
    "load_with_alpha",
    "longest_side",
    "match_colors",
    "notes",
    "opencv_version",
    "profile_of",
    "read_metadata",
    "resize",
    "samples",
    "save",
    "save_flow",
    "spread_first_channel",
    "to_gray",
    "to_uint8",
    "to_uint16",
    "unpack_film",
    "with_colors_of",
    "write_film",
]
