"""Files into arrays: a picture at the size that is asked for.

A file is decoded, and resized, in 8 bits; so the uint8 picture in a run log is the very input of
the run: `from_uint8` gives it back exactly.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageChops

from nst_jax.image import arrays, decoding, profiles

# Resizes a picture; appends to the list what the user should be told.
_Resize = Callable[[Image.Image, list[str]], Image.Image]


class ImageWarning(UserWarning):
    """What was done to a picture that its owner may not expect, in one line with its path."""


@contextmanager
def notes(say: Callable[[str], None]) -> Iterator[None]:
    """Tells each `ImageWarning` of the block, instead of warning.

    Args:
      say: gets one line for each.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        if issubclass(warning.category, ImageWarning):
            say(f"note: {warning.message}")


def load(
    path: str | os.PathLike[str], *, size: int | None = None, enlarge: bool = False
) -> Float[np.ndarray, "h w 3"]:
    """Reads a picture as RGB in [0, 1].

    PNG, JPEG, TIFF, WebP, BMP, GIF, PPM, AVIF; of several frames or pages the first one. Its EXIF
    orientation and its color profile are applied; transparent pixels are laid on white. Gray of 12
    or 16 bits is scaled to 8, never cut off; integers of more bits are taken for 16-bit levels,
    floats for levels of 1, or of 255 where one is above 1.

    Args:
      path: the file; its content decides the format, not its ending.
      size: longest side in pixels; the other keeps the aspect. By default as in the file.
      enlarge: also enlarge a picture that is smaller than `size`.

    Returns:
      A float32 array whose values are multiples of 1/255.

    Raises:
      ValueError: not a picture, one of another format, a damaged or incomplete one, or one of
        more than `MAX_PIXELS`.
      OSError: no such file, a folder, no permission (the matching subclass).

    Warns:
      ImageWarning: the picture is smaller than `size`; frames or pages were left out,
        transparency was removed, a damaged color profile or EXIF ignored, or the range of floats
        guessed.
    """
    image, alpha, notes = _load(Path(path), _fitted(size, enlarge))
    _warn(path, notes, laid_on_white=alpha is not None)
    return image


def load_with_alpha(
    path: str | os.PathLike[str],
    *,
    size: int | None = None,
    enlarge: bool = False,
    aspect: float | None = None,
) -> tuple[Float[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"] | None]:
    """Reads a picture, and what `save` needs to make a result as transparent as this picture.

    Args:
      path: as `load`.
      size: as `load`, of what is taken.
      enlarge: as `load`.
      aspect: height over width of the largest central part, which is taken; None: all of it.

    Returns:
      The picture on white, and its alpha of the same size: 0 where nothing of it is seen, 255
      where all is. None if it is opaque.

    Raises:
      ValueError, OSError: as `load`.

    Warns:
      ImageWarning: as `load`, but for the transparency.
    """
    image, alpha, notes = _load(Path(path), _fitted(size, enlarge, aspect))
    _warn(path, notes, laid_on_white=False)
    return image, alpha


def load_part(path: str | os.PathLike[str], height: int, width: int) -> Float[np.ndarray, "h w 3"]:
    """Reads the largest central part of a picture that has the aspect of `height` and `width`.

    Args:
      path: as `load`.
      height: of the result in pixels, at least 1.
      width: of the result in pixels, at least 1.

    Returns:
      A float32 array of that size, whose values are multiples of 1/255.

    Raises:
      ValueError, OSError: as `load`.

    Warns:
      ImageWarning: as `load`; or more was left out than the rounding of another size explains.
    """
    arrays.check_sides(height, width)
    image, alpha, notes = _load(
        Path(path), lambda picture, notes: _part(picture, height, width, notes)
    )
    _warn(path, notes, laid_on_white=alpha is not None)
    return image


def longest_side(path: str | os.PathLike[str]) -> int:
    """Reads how long the longer side of a picture is, without decoding the pixels.

    Args:
      path: as `load`.

    Returns:
      The number of pixels.

    Raises:
      ValueError, OSError: as `load`.
    """
    with decoding.opened(Path(path)) as picture:
        return max(picture.size)


def profile_of(path: str | os.PathLike[str]) -> bytes | None:
    """Reads the color profile of a picture, to give it to a result by `save`.

    Args:
      path: as `load`.

    Returns:
      The profile (ICC); None: there is none, or none to which a picture in RGB can be converted.

    Raises:
      ValueError, OSError: as `load`.
    """
    with decoding.opened(Path(path)) as picture:
        profile = picture.info.get("icc_profile")
    return profile if profile and profiles.is_for_rgb(profile) else None


def _load(path: Path, resize: _Resize) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """A picture on white, its alpha unless it is opaque, and what the user should be told."""
    notes: list[str] = []
    # Pillow's pictures are gone before there are floats.
    levels, alpha = _levels(path, resize, notes)
    return arrays.from_uint8(levels), alpha, notes


def _levels(
    path: Path, resize: _Resize, notes: list[str]
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"] | None]:
    with decoding.opened(path) as picture:
        rgb, alpha = decoding.decoded(picture, notes)
        if alpha is not None:
            _lay_on_white(rgb, alpha)
            # Both are resized by the same rule; one of them tells about it.
            alpha = resize(alpha, [])
        levels = np.asarray(resize(rgb, notes))
        # Last, because looking for the next frame gives up the pixels of this one.
        if frames := decoding.frames(picture):
            notes.append(f"it has {frames}: the first one is taken")
    return levels, None if alpha is None else np.asarray(alpha)


def _warn(path: str | os.PathLike[str], notes: list[str], *, laid_on_white: bool) -> None:
    for note in [*notes, *(["it is transparent: laid on white"] if laid_on_white else [])]:
        # Level 3 is the caller of `load` and its like.
        warnings.warn(f"{path}: {note}", ImageWarning, stacklevel=3)


def _lay_on_white(rgb: Image.Image, alpha: Image.Image) -> None:
    rgb.paste("white", mask=ImageChops.invert(alpha))


def _fitted(size: int | None, enlarge: bool, aspect: float | None = None) -> _Resize:
    if size is not None and size < 1:
        raise ValueError(f"`size` (={size}) must be at least 1 pixel")

    def fit(picture: Image.Image, notes: list[str]) -> Image.Image:
        part = picture if aspect is None else _crop(picture, aspect)
        return _fit(part, size, notes, enlarge=enlarge, aspect=aspect)

    return fit


def _crop(picture: Image.Image, aspect: float) -> Image.Image:
    """The largest central part of an aspect, to whole pixels."""
    left, top, right, bottom = arrays.central_box(*picture.size[::-1], aspect)
    width, height = max(1, round(right - left)), max(1, round(bottom - top))
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


def _fit(
    picture: Image.Image,
    size: int | None,
    notes: list[str],
    *,
    enlarge: bool,
    aspect: float | None,
) -> Image.Image:
    longest = max(picture.size)
    if size is None or longest == size:
        return picture
    if longest < size and not enlarge:
        found = "{} x {}".format(*picture.size)
        notes.append(f"it has {found} pixels and is not enlarged to the size {size}")
        return picture
    # By the aspect itself all pictures that are cut to it have one shape.
    sides = picture.size if aspect is None else (1.0, aspect)
    width, height = (max(1, round(side * size / max(sides))) for side in sides)
    if width * height > decoding.MAX_PIXELS:
        raise decoding.Unusable(
            f"enlarged to `size` (={size}) it has {width} x {height} pixels, more than "
            f"{decoding.MAX_PIXELS:,}; give a smaller `size`"
        )
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _part(picture: Image.Image, height: int, width: int, notes: list[str]) -> Image.Image:
    left, top, right, bottom = box = arrays.central_box(*picture.size[::-1], height / width)
    if not _have_one_aspect(picture.size, (width, height)):
        notes.append(
            "of its {} x {} pixels ".format(*picture.size)
            + f"the central {right - left:.0f} x {bottom - top:.0f} are taken, which have the "
            f"aspect of {width} x {height}"
        )
    return picture.resize((width, height), Image.Resampling.LANCZOS, box=box)


def _have_one_aspect(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether one may be the other in another size, rounded to whole pixels."""

    def miss(width: int, height: int, other_width: int, other_height: int) -> float:
        return min(
            abs(height - width * other_height / other_width),
            abs(width - height * other_width / other_height),
        )

    return min(miss(*size, *other), miss(*other, *size)) < 1
