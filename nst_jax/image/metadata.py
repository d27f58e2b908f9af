"""The texts that a picture carries: how its file keeps them, and reading them back."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngImageFile, PngInfo

from nst_jax.image import decoding

# JPEG gives the EXIF block at most 65,533 bytes.
_MAX_DESCRIPTION = 60_000


def save_options(file_format: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    """The options with which Pillow's `Image.save` writes texts into a file.

    PNG has chunks for texts. Other formats get all texts in one EXIF description, as JSON.

    Args:
      file_format: Pillow's name of it.
      metadata: texts by key.

    Returns:
      The options; none if there are no texts, or too many for EXIF.

    Raises:
      ValueError: PNG forbids a key.
    """
    if not metadata:
        return {}
    return {"pnginfo": _chunks(metadata)} if file_format == "PNG" else _exif(metadata)


def description(metadata: Mapping[str, str]) -> str | None:
    """All texts as one, of a file that has no place for several; None: none, or too many."""
    # EXIF allows ASCII only; JSON writes other letters as ASCII escapes.
    text = json.dumps(dict(metadata))
    return text if metadata and len(text) <= _MAX_DESCRIPTION else None


def _exif(metadata: Mapping[str, str]) -> dict[str, Any]:
    text = description(metadata)
    if text is None:
        return {}
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = text
    return {"exif": exif}


def checked(metadata: Mapping[str, str]) -> Mapping[str, str]:
    """Texts whose keys PNG allows.

    Raises:
      ValueError: it forbids one.
    """
    for key in metadata:
        if not (1 <= len(key) <= 79 and key.isascii() and key.isprintable()):
            raise ValueError(f"`metadata` key {key!r} must have 1 to 79 printable ASCII characters")
    return metadata


def _chunks(metadata: Mapping[str, str]) -> PngInfo:
    info = PngInfo()
    for key, text in checked(metadata).items():
        # A file name may hold surrogates, which UTF-8 cannot encode.
        info.add_text(key, text.encode("utf-8", "backslashreplace").decode())
    return info


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The texts that `save` put into a picture, or any text chunks of a PNG.

    Args:
      path: the file.

    Returns:
      Texts by key; none if the file has none, or an EXIF description of another program.

    Raises:
      ValueError, OSError: as `load`.
    """
    with decoding.opened(Path(path)) as picture:
        if isinstance(picture, PngImageFile):
            return {key: str(text) for key, text in picture.text.items()}
        try:
            metadata = json.loads(picture.getexif().get(ExifTags.Base.ImageDescription, "{}"))
        except (TypeError, ValueError):  # another program wrote the description
            return {}
        texts = metadata if isinstance(metadata, dict) else {}
        return {key: text for key, text in texts.items() if isinstance(text, str)}
