"""Pictures of 16 bits a color into files, by libvips: Pillow has no such picture in color."""

import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt16

from nst_jax.image import metadata, profiles

FORMATS = ("PNG", "TIFF")
"""The formats that can have 16 bits, as Pillow calls them."""


def check_installed() -> None:
    """Refuses to write 16 bits without the library for it.

    Raises:
      ImportError: one line that says how to install it.
    """
    if not find_spec("pyvips"):
        raise ImportError("pictures of 16 bits need pyvips: pip install 'nst_jax[depth]'")


def write(
    path: Path,
    file_format: str,
    levels: UInt16[np.ndarray, "h w c"],
    texts: Mapping[str, str],
    profile: bytes | None,
) -> None:
    """Writes a picture, a few rows at a time.

    Args:
      path: the file.
      file_format: one of `FORMATS`.
      levels: RGB or RGBA, in sRGB.
      texts: as `writing.save`.
      profile: as `writing.save`; None: sRGB.

    Raises:
      OSError: it cannot be written.
    """
    import pyvips

    height, width, channels = levels.shape
    try:
        raw = pyvips.Image.new_from_memory(
            np.ascontiguousarray(levels), width, height, channels, "ushort"
        )
        picture = raw.copy(interpretation="rgb16")
        picture.set_type(pyvips.GValue.blob_type, "icc-profile-data", profiles.srgb())
        for name, text in _fields(file_format, texts).items():
            picture.set_type(pyvips.GValue.gstr_type, name, text)
        _save(_converted(picture, profile), path, file_format)
    except pyvips.Error as error:
        raise OSError(str(error).strip().splitlines()[-1]) from error


def _fields(file_format: str, texts: Mapping[str, str]) -> dict[str, str]:
    """Texts under the names by which libvips knows what a file shall have."""
    if file_format == "TIFF":
        description = metadata.description(texts)
        return {"image-description": description} if description else {}
    return {
        # libvips marks texts of a PNG as Latin-1, whatever they are.
        f"png-comment-{i}-{key}": text.encode("ascii", "backslashreplace").decode()
        for i, (key, text) in enumerate(metadata.checked(texts).items())
    }


def _converted(picture: Any, profile: bytes | None) -> Any:
    """In 16 bits; libvips reads a profile from a file, and converts when pixels are asked for."""
    if profile is None:
        return picture
    with tempfile.NamedTemporaryFile(suffix=".icc") as file:
        file.write(profile)
        file.flush()
        found = picture.icc_transform(file.name, embedded=True, intent="perceptual", depth=16)
    return found.copy(interpretation="rgb16")


def _save(picture: Any, path: Path, file_format: str) -> None:
    keep = {"keep": "icc|other"}
    if file_format == "PNG":
        picture.pngsave(str(path), compression=6, filter="up", **keep)
    else:
        picture.tiffsave(str(path), compression="deflate", predictor="horizontal", **keep)
