"""Pictures into files."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from nst_jax import pixels
from nst_jax.image import arrays
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

_WRITE_OPTIONS = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 95}}


def save(
    path: str | os.PathLike[str],
    image: Float[np.ndarray, "h w 3"] | UInt8[np.ndarray, "h w 3"],
    *,
    alpha: UInt8[np.ndarray, "h w"] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes a picture, whole or not at all, in the format that the ending of `path` names.

    JPEG and WebP are written in quality 95, JPEG without chroma subsampling.

    Args:
      path: ends in one of `SUFFIXES`; a missing folder is made, an existing file replaced.
      image: RGB in [0, 1] (what is a little outside is clipped), or its uint8 form.
      alpha: of `load_with_alpha`; for formats with transparency. The white is taken out of
        pixels that are transparent in part: laid on white, the file looks like `image`.
      metadata: for `read_metadata`. Text chunks in PNG, whose keys have 1 to 79 ASCII
        characters; elsewhere the EXIF image description, and left out if over 60 kB.

    Raises:
      ValueError: another ending, an array that is no picture in [0, 1], a key that PNG forbids,
        sides that the format cannot hold, `alpha` of another size or for JPEG.
      OSError: the file cannot be written.
    """
    path = Path(path)
    files.check_output(path, force=True, suffixes=SUFFIXES)
    image = np.asarray(pixels.check_picture("image", image, levels=True))
    file_format = _FORMAT_OF_SUFFIX[path.suffix.lower()]
    levels = image if image.dtype == np.uint8 else arrays.to_uint8(image)
    if alpha is not None:
        check_takes_alpha(path)
        levels = arrays.with_alpha(levels, alpha)
    picture = Image.fromarray(levels)
    options = _WRITE_OPTIONS.get(file_format, {}) | save_options(file_format, metadata or {})
    try:
        with files.replacing(path) as temporary:
            picture.save(temporary, format=file_format, **options)
    except (OSError, ValueError) as error:
        kind = type(error) if isinstance(error, OSError) else ValueError
        reason = getattr(error, "strerror", None) or error
        raise kind(f"cannot write {path}: {reason}") from error


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
