"""Decodes a file into a picture of 8 bits, or says in one line why it does not."""

import io
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from nst_jax.image import formats, profiles
from nst_jax.image.arrays import to_uint8
from nst_jax.system import files

MAX_PIXELS = 178_956_970
"""Pixels of the largest picture. Pillow refuses larger ones too, and warns from half of it on."""

_MOST_PAGES = 1000
"""Pages of a TIFF that are counted."""

# Tags of a TIFF.
_TILE_WIDTH, _TILE_LENGTH = 322, 323
# Tiles of up to so many pixels take little memory, however small the picture is.
_SMALL_TILE = 2**22

# Color space of an ICC profile -> the mode to transform, the modes of pictures that it fits.
_ICC_MODES = {
    "RGB": ("RGB", ("RGB", "RGBA", "RGBX", "P", "PA", "L", "LA", "1")),
    "GRAY": ("L", ("L", "LA", "1")),
    "CMYK": ("CMYK", ("CMYK",)),
    "Lab": ("LAB", ("LAB",)),
}

# Decoders use these words for a whole file whose form they do not know.
_UNSUPPORTED = ("unsupported", "not supported", "not available", "cannot handle")


class Unusable(Exception):
    """We refuse a picture that Pillow reads; the message is the reason."""


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Opens the picture at `path`, reads its header and checks its size.

    Whatever a decoder raises, there or within the block, becomes a ValueError of one line.

    Args:
      path: the file; its content decides the format, not its ending.

    Yields:
      The picture, whose pixels are not decoded yet.

    Raises:
      ValueError: as `reading.load`.
      OSError: as `reading.load`.
    """
    with _open_file(path) as file, warnings.catch_warnings():
        # Pillow warns of large pictures and damaged metadata; `load` tells itself what matters.
        warnings.simplefilter("ignore")
        try:
            with Image.open(file, formats=formats.readable()) as picture:
                if math.prod(picture.size) > MAX_PIXELS:
                    raise Image.DecompressionBombError("{} x {}".format(*picture.size))
                _check_tile(picture)
                if picture.format == "TIFF" and formats.is_raw(file):
                    raise Unusable(f"it is {formats.RAW}")
                yield picture
        # On damaged files decoders raise nearly anything: SyntaxError, struct.error, ...
        except Exception as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise type(error)(f"cannot read {path}: {error.strerror}") from error
            reason = _reason(error, file)
            raise ValueError(f"cannot read {path} as an image: {reason}") from error


def _open_file(path: Path) -> BinaryIO:
    try:
        if path.is_dir():
            raise IsADirectoryError(f"cannot read {path}: it is a folder; give a picture in it")
        if path.exists() and not path.is_file():
            raise OSError(f"cannot read {path}: it is a device or a pipe; give a file")
        return path.open("rb")
    except OSError as error:
        if error.errno is None:  # we have just raised it, with its message
            raise
        hint = f" (from the folder {Path.cwd()})" if not path.is_absolute() else ""
        found = files.absence(path) if isinstance(error, FileNotFoundError) else error.strerror
        reason = f"{found}; expected the path of a picture{hint}"
        raise type(error)(f"cannot read {path}: {reason}") from error


def _check_tile(picture: Image.Image) -> None:
    """Refuses a TIFF with tiles far larger than itself: a decoder takes memory for a whole one."""
    tags = getattr(picture, "tag_v2", {})
    tile = tags.get(_TILE_WIDTH, 1) * tags.get(_TILE_LENGTH, 1)
    if tile > max(4 * math.prod(picture.size), _SMALL_TILE):
        raise Unusable(f"its tiles of {tile:,} pixels are far larger than itself; save it anew")


def _reason(error: Exception, file: BinaryIO) -> str:
    """Why a picture is refused and what to do, in one line."""
    if isinstance(error, Unusable):
        return str(error)
    if isinstance(error, UnidentifiedImageError):
        return formats.describe(file)
    text = (str(error) or type(error).__name__).splitlines()[0]
    if isinstance(error, Image.DecompressionBombError):
        # Pillow's own message goes on about attacks.
        found = text.split(" exceeds")[0]
        return f"{found} is more than {MAX_PIXELS:,} pixels; make it smaller first"
    if isinstance(error, MemoryError):
        return "it does not fit into memory; make it smaller first"
    if any(words in text.lower() for words in _UNSUPPORTED):
        return f"{text}; if another program opens it, save it there as PNG"
    return f"{text}; it is damaged or incomplete: copy or download it again"


def decoded(picture: Image.Image, notes: list[str]) -> tuple[Image.Image, Image.Image | None]:
    """Decodes a picture: upright, in sRGB, in 8 bits.

    Args:
      picture: of `opened`.
      notes: what the user should be told is appended.

    Returns:
      The picture in RGB, and its alpha channel; None if it is opaque.

    Raises:
      Exception: of many kinds; `opened` makes one line of it.
    """
    picture.load()
    try:
        ImageOps.exif_transpose(picture, in_place=True)
    except Exception:  # there are as many kinds as ways to damage EXIF
        notes.append("its EXIF data are damaged: the orientation is ignored")
    icc = picture.info.get("icc_profile")
    picture = _to_8_bits(picture, notes)
    if picture.mode in ("La", "RGBa"):
        # These are premultiplied by alpha; Pillow converts them only to LA and RGBA.
        picture = picture.convert(picture.mode.upper())
    alpha = _alpha(picture)
    return _to_srgb(picture, icc, notes), alpha


def _alpha(picture: Image.Image) -> Image.Image | None:
    if not picture.has_transparency_data:
        return None
    with_alpha = picture if "A" in picture.getbands() else picture.convert("RGBA")
    alpha = with_alpha.getchannel("A")
    return None if alpha.getextrema()[0] == 255 else alpha


def _to_8_bits(picture: Image.Image, notes: list[str]) -> Image.Image:
    """Scales gray of more than 8 bits; Pillow's own conversion would cut it off at level 255."""
    if not picture.mode.startswith(("I", "F")):
        return picture
    levels = np.asarray(picture)
    tags = getattr(picture, "tag_v2", {})
    peak = _peak(levels, tags, notes)
    gray = to_uint8(levels.astype(np.float32) / peak)
    if tags.get(ExifTags.Base.PhotometricInterpretation) == 0:  # 0 stands for white
        gray = 255 - gray
    transparent = picture.info.get("transparency")
    if transparent is None:
        return Image.fromarray(gray)
    alpha = np.where(levels == transparent, 0, 255).astype(np.uint8)
    return Image.fromarray(np.stack([gray, alpha], axis=-1))


def _peak(levels: np.ndarray, tags: Mapping, notes: list[str]) -> int:
    """The level that stands for full brightness, by the type of the pixels and the tags."""
    low, high = levels.min(), levels.max()
    if levels.dtype == np.float32:
        peak = 1 if high <= 1 else 255
        if peak == 255:
            notes.append(f"its values go up to {high:g}: taken for levels from 0 to 255")
    else:
        peak = 4095 if tags.get(ExifTags.Base.BitsPerSample) == (12,) else 65535
    if not (low >= 0 and high <= peak):  # NaN fails too
        raise Unusable(
            f"its pixels go from {low} to {high}, expected 0 to {peak}; save it in 8 or 16 bits"
        )
    return peak


def _to_srgb(picture: Image.Image, icc: bytes | None, notes: list[str]) -> Image.Image:
    """Converts from the embedded profile; without one the colors are taken for sRGB.

    A picture in RGB is converted in its place: a large one must not be there twice.
    """
    # Files of ours have it: there is nothing to convert.
    if icc and icc != profiles.srgb():
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            mode, fitting = _ICC_MODES[profile.profile.xcolor_space.strip()]
            if picture.mode in fitting:
                srgb = ImageCms.createProfile("sRGB")
                transform = ImageCms.buildTransform(profile, srgb, mode, "RGB")
                if mode != "RGB":
                    return transform.apply(_in_mode(picture, mode))
                rgb = _in_mode(picture, "RGB")
                transform.apply_in_place(rgb)
                return rgb
        except Exception:  # a damaged profile raises OSError, PyCMSError, KeyError, ...
            pass
        notes.append("its color profile is damaged or does not fit: taken for sRGB")
    return _in_mode(picture, "RGB")


def _in_mode(picture: Image.Image, mode: str) -> Image.Image:
    # Pillow copies a picture that is in the mode already.
    return picture if picture.mode == mode else picture.convert(mode)


def frames(picture: Image.Image) -> str | None:
    """Counts the frames of an animation, or the pages of a TIFF.

    Args:
      picture: of `opened`.

    Returns:
      The number in words; None if it is one, or if damage behind the first frame hides it: that
      frame is all we need.
    """
    # Pillow calls a photograph with a preview MPO, and counts the preview as a frame.
    if picture.format == "MPO":
        return None
    try:
        if picture.format == "TIFF":
            return _pages(picture)
        count = getattr(picture, "n_frames", 1)
    except Exception:  # decoders raise errors of many kinds
        return None
    return f"{count} frames" if count > 1 else None


def _pages(picture: Image.Image) -> str | None:
    """Counts up to a limit: Pillow's time grows with the square of the number of pages."""
    for page in range(1, _MOST_PAGES + 1):
        try:
            picture.seek(page)
        except EOFError:
            return f"{page} pages" if page > 1 else None
    return f"more than {_MOST_PAGES} pages"
