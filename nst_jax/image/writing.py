"""Pictures into files."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8, UInt16
from PIL import Image

from nst_jax import pixels
from nst_jax.choices import Depth
from nst_jax.image import arrays, deep, profiles
from nst_jax.image.metadata import save_options
from nst_jax.system import files

_FORMAT_OF_SUFFIX = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}
SUFFIXES = tuple(_FORMAT_OF_SUFFIX)
"""The endings that `save` writes, in lower case."""
ALPHA_SUFFIXES = tuple(suffix for suffix, name in _FORMAT_OF_SUFFIX.items() if name != "JPEG")
"""Those of them whose format has transparency."""

DEEP_SUFFIXES = tuple(suffix for suffix, name in _FORMAT_OF_SUFFIX.items() if name in deep.FORMATS)
"""Those of them whose format can have 16 bits a color."""

_WRITE_OPTIONS = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 95}}

Levels = UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]


def save(
    path: str | os.PathLike[str],
    image: Float[np.ndarray, "h w 3"] | Levels,
    *,
    alpha: UInt8[np.ndarray, "h w"] | None = None,
    metadata: Mapping[str, str] | None = None,
    depth: Depth = 8,
    profile: bytes | None = None,
) -> None:
    """Writes a picture, whole or not at all, in the format that the ending of `path` names.

    JPEG and WebP are written in quality 95, JPEG without chroma subsampling.

    Args:
      path: ends in one of `SUFFIXES`; a missing folder is made, an existing file replaced.
      image: RGB in [0, 1] (what is a little outside is clipped), or its uint8 or uint16 form.
      alpha: of `load_with_alpha`; for formats with transparency. The white is taken out of
        pixels that are transparent in part: laid on white, the file looks like `image`.
      metadata: for `read_metadata`. Text chunks in PNG, whose keys have 1 to 79 ASCII
        characters; elsewhere the EXIF image description, and left out if over 60 kB.
      depth: bits of each color, rounded from floats without dithering; levels have their own.
      profile: of `profile_of`, to which the colors are converted; None: sRGB. The file has it.

    Raises:
      ValueError: another ending, an array that is no picture in [0, 1], a key that PNG forbids,
        sides that the format cannot hold, `alpha` of another size or for JPEG, 16 bits for JPEG or
        WebP, or of an image of 8.
      ImportError: 16 bits without pyvips.
      OSError: the file cannot be written.
    """
    path = Path(path)
    files.check_output(path, force=True, suffixes=SUFFIXES)
    file_format = _FORMAT_OF_SUFFIX[path.suffix.lower()]
    levels = _levels(image, depth)
    if levels.dtype == np.uint16:
        check_takes_16_bits(path)
    if alpha is not None:
        check_takes_alpha(path)
        levels = arrays.with_alpha(levels, alpha)
    write = deep.write if levels.dtype == np.uint16 else _write
    try:
        with files.replacing(path) as temporary:
            write(temporary, file_format, levels, metadata or {}, profile)
    except (OSError, ValueError) as error:
        kind = type(error) if isinstance(error, OSError) else ValueError
        reason = getattr(error, "strerror", None) or error
        raise kind(f"cannot write {path}: {reason}") from error


def _levels(image: np.ndarray, depth: Depth) -> Levels:
    image = np.asarray(pixels.check_picture("image", image, levels=True))
    if image.dtype == np.uint8 and depth == 16:
        raise ValueError("`image` has 8 bits: a picture of 16 is made of floats, or of uint16")
    if image.dtype in (np.uint8, np.uint16):
        return image
    return arrays.to_uint16(image) if depth == 16 else arrays.to_uint8(image)


def _write(
    path: Path,
    file_format: str,
    levels: UInt8[np.ndarray, "h w c"],
    texts: Mapping[str, str],
    profile: bytes | None,
) -> None:
    picture = Image.fromarray(levels)
    if profile:
        profiles.convert(picture, profile)
    picture.save(
        path,
        format=file_format,
        icc_profile=profile or profiles.srgb(),
        **_WRITE_OPTIONS.get(file_format, {}),
        **save_options(file_format, texts),
    )


def check_takes_16_bits(path: Path) -> None:
    """Refuses a file that cannot be written with 16 bits a color.

    Args:
      path: the file to write; its ending decides.

    Raises:
      ValueError: its format has 8 bits; one line that names the endings of those that have 16.
      ImportError: pyvips is not installed.
    """
    if path.suffix.lower() not in DEEP_SUFFIXES:
        raise ValueError(
            f"{path} cannot have 16 bits a color: its ending must be one of "
            f"{', '.join(DEEP_SUFFIXES)}"
        )
    deep.check_installed()


def check_takes_alpha(path: Path) -> None:
    """Refuses a file whose format has no transparency.

    Args:
      path: the file to write; its ending decides.

    Raises:
      ValueError: one line that names the endings of formats with transparency.
    """
    if path.suffix.lower() not in ALPHA_SUFFIXES:
        raise ValueError(
            f"{path} cannot be transparent: its ending must be one of {', '.join(ALPHA_SUFFIXES)}"
        )
