"""Image files and arrays: load, save, resize, initial images.

An image is a float32 NumPy array (height, width, 3): RGB in the sRGB color space, from 0 to 1.
A file is decoded, and resized, in 8 bits; so the uint8 picture in a run log is the very input of
the run: `from_uint8` gives it back exactly.
"""

import io
import json
import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Float, UInt8
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile, PngInfo

from nst_jax import pixels
from nst_jax.image import formats
from nst_jax.system import files

# Twice Pillow's own default, the size from which Pillow refuses a picture too.
MAX_PIXELS = 178_956_970

# Tags of a TIFF; pixels of a tile that is never too large.
_TILE_WIDTH, _TILE_LENGTH = 322, 323
_SMALL_TILE = 2**22

_MOST_PAGES = 1000

_FORMAT_OF_SUFFIX = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}
SUFFIXES = tuple(_FORMAT_OF_SUFFIX)
ALPHA_SUFFIXES = tuple(suffix for suffix, name in _FORMAT_OF_SUFFIX.items() if name != "JPEG")

_WRITE_OPTIONS = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 95}}
# A gray JPEG of three channels strays by so many levels.
_GRAY_LEVELS = 3
# The EXIF block of a JPEG holds at most 65533 bytes.
_MAX_DESCRIPTION = 60_000

# Color space of an ICC profile -> the mode to transform, the modes of pictures that it fits.
_ICC_MODES = {
    "RGB": ("RGB", ("RGB", "RGBA", "RGBX", "P", "PA", "L", "LA", "1")),
    "GRAY": ("L", ("L", "LA", "1")),
    "CMYK": ("CMYK", ("CMYK",)),
    "Lab": ("LAB", ("LAB",)),
}

# How decoders say that nothing is wrong with a file.
_UNSUPPORTED = ("unsupported", "not supported", "not available", "cannot handle")

# Of a picture; what should be told is added to the list.
_Resize = Callable[[Image.Image, list[str]], Image.Image]


class ImageWarning(UserWarning):
    """What was done to a picture that its owner may not expect, in one line with its path."""


@contextmanager
def notes(say: Callable[[str], None]) -> Iterator[None]:
    """Tells `say` each `ImageWarning` of the block, one line each."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        if issubclass(warning.category, ImageWarning):
            say(f"note: {warning.message}")


class _Unusable(Exception):
    """A picture that Pillow reads and that is refused here; the message is the reason."""


def load(
    path: str | os.PathLike[str], *, size: int | None = None, enlarge: bool = False
) -> Float[np.ndarray, "h w 3"]:
    """Reads a picture as RGB in [0, 1].

    PNG, JPEG, TIFF, WebP, BMP, GIF, PPM, AVIF; of several frames or pages the first one. Its EXIF
    orientation and its color profile are applied; transparent pixels are laid on white. Grey of 12
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
    path: str | os.PathLike[str], *, size: int | None = None, enlarge: bool = False
) -> tuple[Float[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"] | None]:
    """As `load`, with what `save` needs to make a result as transparent as this picture.

    Returns:
      The picture on white, and its alpha of the same size: 0 where nothing of it is seen, 255
      where all is. None if it is opaque.
    """
    image, alpha, notes = _load(Path(path), _fitted(size, enlarge))
    _warn(path, notes, laid_on_white=False)
    return image, alpha


def load_part(path: str | os.PathLike[str], height: int, width: int) -> Float[np.ndarray, "h w 3"]:
    """Reads the largest central part of a picture that has the aspect of `height` and `width`.

    Args:
      path: as `load`.
      height: of the result in pixels, at least 1.
      width: of the result in pixels, at least 1.

    Raises:
      ValueError, OSError: as `load`.

    Warns:
      ImageWarning: as `load`; or more was left out than the rounding of another size explains.
    """
    _check_sides(height, width)
    image, alpha, notes = _load(
        Path(path), lambda picture, notes: _part(picture, height, width, notes)
    )
    _warn(path, notes, laid_on_white=alpha is not None)
    return image


def longest_side(path: str | os.PathLike[str]) -> int:
    """Of the picture in a file, in pixels.

    Raises:
      ValueError, OSError: as `load`.
    """
    with _opened(Path(path)) as picture:
        return max(picture.size)


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
      alpha: of `load_with_alpha`; for `ALPHA_SUFFIXES`. The white is taken out of pixels that
        are transparent in part: laid on white, the file looks like `image`.
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
    levels = image if image.dtype == np.uint8 else to_uint8(image)
    if alpha is not None:
        check_takes_alpha(path)
        levels = _with_alpha(levels, alpha)
    picture = Image.fromarray(levels)
    options = _WRITE_OPTIONS.get(file_format, {}) | _metadata_options(file_format, metadata or {})
    try:
        with files.replacing(path) as temporary:
            picture.save(temporary, format=file_format, **options)
    except (OSError, ValueError) as error:
        kind = type(error) if isinstance(error, OSError) else ValueError
        reason = getattr(error, "strerror", None) or error
        raise kind(f"cannot write {path}: {reason}") from error


def check_takes_alpha(path: Path) -> None:
    """Refuses a file whose format has no transparency.

    Raises:
      ValueError: one line that names those that have.
    """
    if path.suffix.lower() not in ALPHA_SUFFIXES:
        raise ValueError(
            f"{path} cannot be transparent: its ending must be one of {', '.join(ALPHA_SUFFIXES)}"
        )


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The texts that `save` put into a picture, or any text chunks of a PNG; else empty.

    Raises:
      ValueError, OSError: as `load`.
    """
    with _opened(Path(path)) as picture:
        if isinstance(picture, PngImageFile):
            return {key: str(text) for key, text in picture.text.items()}
        try:
            metadata = json.loads(picture.getexif().get(ExifTags.Base.ImageDescription, "{}"))
        except (TypeError, ValueError):  # somebody else's description
            return {}
        texts = metadata if isinstance(metadata, dict) else {}
        return {key: text for key, text in texts.items() if isinstance(text, str)}


def resize(
    image: Float[np.ndarray, "h1 w1 3"], height: int, width: int
) -> Float[np.ndarray, "h2 w2 3"]:
    """Resizes an image in floating point, by Lanczos's filter, clipped to [0, 1].

    The filter widens when the image shrinks, so that no pixel is skipped.

    Args:
      image: RGB in [0, 1].
      height: of the result in pixels, at least 1.
      width: of the result in pixels, at least 1; the aspect is free.

    Returns:
      A new float32 array; equal to `image` if the size is.

    Raises:
      ValueError: a side below 1, an array that is no picture in [0, 1].
    """
    return _resample(np.asarray(pixels.check_picture("image", image)), height, width)


def to_uint8(image: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Values in [0, 1] to the nearest of 256 levels; what lies a little outside is clipped.

    Raises:
      ValueError: there is a NaN, or a value far outside; the array is not of floats.
    """
    image = pixels.as_array("image", image)
    pixels.check_values("image", image)
    return np.rint(np.clip(image, 0, 1) * np.float32(255)).astype(np.uint8)


def from_uint8(array: UInt8[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Levels 0 to 255 to float32 in [0, 1]; the exact inverse of `to_uint8`.

    Takes a picture of Pillow's as well.

    Raises:
      ValueError: the array is of another type.
    """
    array = np.asarray(pixels.as_array("array", array))
    if array.dtype != np.uint8:
        raise ValueError(f"`array` must be of uint8, from 0 to 255, got {array.dtype}")
    return array.astype(np.float32) / np.float32(255)


def to_gray(image: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    """The luma of an image in all three channels, in 8 bits as files have it.

    Source: ITU-R BT.601.
    """
    luma = Image.fromarray(to_uint8(pixels.check_picture("image", image))).convert("L")
    return from_uint8(np.asarray(luma.convert("RGB")))


def spread_first_channel(image: np.ndarray) -> np.ndarray:
    """The first channel of (..., 3) in all three: noise made gray keeps its deviation."""
    return np.repeat(image[..., :1], 3, axis=-1)


def is_gray(image: Float[np.ndarray, "h w 3"]) -> bool:
    """Whether all channels are the same, up to what JPEG does to a gray picture."""
    levels = to_uint8(pixels.check_picture("image", image))
    return bool(np.ptp(levels, axis=-1).max() <= _GRAY_LEVELS)


def initial_image(
    kind: str | Float[np.ndarray, "hk wk 3"],
    content: Float[np.ndarray, "h w 3"],
    style: Float[np.ndarray, "hs ws 3"],
    *,
    seed: int = 0,
    noise: float = 0.0,
    gray: bool = False,
) -> Float[np.ndarray, "h w 3"]:
    """The image that the optimization starts from, as large as the content image.

    Args:
      kind: "content"; "noise", uniform in [0, 1]; "style", the largest central part of the
        style image that has the content's aspect; or an image, of which that part is taken too.
      content: the content image.
      style: the style image, of any size.
      seed: of the noise; it changes nothing else.
      noise: standard deviation s >= 0 of the normal noise that is added to any start, which is
        then clipped to [0, 1].
      gray: the first channel for all three: of gray pictures with gray noise.

    Returns:
      A new float32 array. Its noise is another stream than the "noise" start's.

    Raises:
      ValueError: an unknown kind, a negative seed, a negative or infinite `noise`, an array that
        is no picture in [0, 1].
    """
    content = np.asarray(pixels.check_picture("content", content))
    style = np.asarray(pixels.check_picture("style", style))
    if not (math.isfinite(noise) and noise >= 0):
        raise ValueError(f"`noise` (={noise}) must be a finite number, 0 or more")
    if seed < 0:
        raise ValueError(f"`seed` (={seed}) must be 0 or more")
    start_rng, noise_rng = np.random.default_rng(seed).spawn(2)
    start = _start(kind, content, style, start_rng)
    if noise:
        start += np.float32(noise) * noise_rng.standard_normal(start.shape, np.float32)
    start = np.clip(start, 0, 1)
    return spread_first_channel(start) if gray else start


def _start(
    kind: str | np.ndarray, content: np.ndarray, style: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    if not isinstance(kind, str):
        return _central_part(np.asarray(pixels.check_picture("kind", kind)), content)
    if kind == "content":
        return content.astype(np.float32)
    if kind == "noise":
        return rng.random(content.shape, np.float32)
    if kind == "style":
        return _central_part(style, content)
    raise ValueError(f"`kind` must be content, noise, style or an image, got {kind!r}")


def _central_part(image: np.ndarray, content: np.ndarray) -> np.ndarray:
    """The largest central part of an image with the content's aspect, in its size."""
    height, width = content.shape[:2]
    own_height, own_width = image.shape[:2]
    return _resample(image, height, width, box=_central_box(own_height, own_width, height / width))


def _central_box(height: int, width: int, aspect: float) -> tuple[float, float, float, float]:
    """The largest centered part with height = aspect x width: left, top, right, bottom."""
    part_height, part_width = min(height, width * aspect), min(width, height / aspect)
    left, top = (width - part_width) / 2, (height - part_height) / 2
    return (left, top, left + part_width, top + part_height)


def _resample(
    image: np.ndarray,
    height: int,
    width: int,
    box: tuple[float, float, float, float] | None = None,
) -> np.ndarray:
    _check_sides(height, width)
    image = image.astype(np.float32)
    # Pillow resizes floating point one channel at a time.
    channels = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(image[..., channel])).resize(
                (width, height), Image.Resampling.LANCZOS, box=box
            )
        )
        for channel in range(3)
    ]
    return np.clip(np.stack(channels, axis=-1), 0, 1)


def _check_sides(height: int, width: int) -> None:
    if height < 1 or width < 1:
        raise ValueError(f"`height` (={height}) and `width` (={width}) must be at least 1")


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The picture at `path`, its header read and its size checked.

    Whatever a decoder raises, there or within the block, becomes a ValueError of one line.
    """
    with _open_file(path) as file, warnings.catch_warnings():
        # Pillow warns of large pictures and damaged metadata; what matters is told by `load`.
        warnings.simplefilter("ignore")
        try:
            with Image.open(file, formats=formats.readable()) as picture:
                if math.prod(picture.size) > MAX_PIXELS:
                    raise Image.DecompressionBombError("{} x {}".format(*picture.size))
                _check_tile(picture)
                if picture.format == "TIFF" and formats.is_raw(file):
                    raise _Unusable(f"it is {formats.RAW}")
                yield picture
        # A damaged file makes decoders raise nearly anything: SyntaxError, struct.error, ...
        except Exception as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise type(error)(f"cannot read {path}: {error.strerror}") from error
            reason = _reason(error, file)
            raise ValueError(f"cannot read {path} as an image: {reason}") from error


def _check_tile(picture: Image.Image) -> None:
    """Refuses a TIFF whose tiles are far larger than itself: memory is taken for a whole one."""
    tags = getattr(picture, "tag_v2", {})
    tile = tags.get(_TILE_WIDTH, 1) * tags.get(_TILE_LENGTH, 1)
    if tile > max(4 * math.prod(picture.size), _SMALL_TILE):
        raise _Unusable(f"its tiles of {tile:,} pixels are far larger than itself; save it anew")


def _open_file(path: Path) -> BinaryIO:
    try:
        if path.is_dir():
            raise IsADirectoryError(f"cannot read {path}: it is a folder; give a picture in it")
        if path.exists() and not path.is_file():
            raise OSError(f"cannot read {path}: it is a device or a pipe; give a file")
        return path.open("rb")
    except OSError as error:
        if error.errno is None:  # raised here
            raise
        hint = f" (from the folder {Path.cwd()})" if not path.is_absolute() else ""
        found = files.absence(path) if isinstance(error, FileNotFoundError) else error.strerror
        reason = f"{found}; expected the path of a picture{hint}"
        raise type(error)(f"cannot read {path}: {reason}") from error


def _reason(error: Exception, file: BinaryIO) -> str:
    """Why a picture is refused and what to do, in one line."""
    if isinstance(error, _Unusable):
        return str(error)
    if isinstance(error, UnidentifiedImageError):
        return formats.describe(file)
    text = (str(error) or type(error).__name__).splitlines()[0]
    if isinstance(error, Image.DecompressionBombError):
        found = text.split(" exceeds")[0]  # Pillow goes on about attacks
        return f"{found} is more than {MAX_PIXELS:,} pixels; make it smaller first"
    if isinstance(error, MemoryError):
        return "it does not fit into memory; make it smaller first"
    if any(words in text.lower() for words in _UNSUPPORTED):
        return f"{text}; if another program opens it, save it there as PNG"
    return f"{text}; it is damaged or incomplete: copy or download it again"


def _frames(picture: Image.Image) -> str | None:
    """How many a file holds if more than one, as far as they can be found: one has to be whole."""
    # A photograph with its preview is called MPO.
    if picture.format == "MPO":
        return None
    try:
        if picture.format == "TIFF":
            return _pages(picture)
        count = getattr(picture, "n_frames", 1)
    except Exception:  # whatever decoders raise
        return None
    return f"{count} frames" if count > 1 else None


def _pages(picture: Image.Image) -> str | None:
    """Of a TIFF; Pillow's time to count them grows with the square of their number."""
    for page in range(1, _MOST_PAGES + 1):
        try:
            picture.seek(page)
        except EOFError:
            return f"{page} pages" if page > 1 else None
    return f"more than {_MOST_PAGES} pages"


def _load(path: Path, resize: _Resize) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """A picture on white, its alpha unless it is opaque, and what should be told."""
    notes: list[str] = []
    with _opened(path) as picture:
        rgb, alpha = _decoded(picture, notes)
        if alpha is not None:
            rgb, alpha = _on_white(rgb, alpha), resize(alpha, [])
        rgb = resize(rgb, notes)
        if frames := _frames(picture):
            notes.append(f"it has {frames}: the first one is taken")
    return from_uint8(np.asarray(rgb)), None if alpha is None else np.asarray(alpha), notes


def _warn(path: str | os.PathLike[str], notes: list[str], *, laid_on_white: bool) -> None:
    for note in [*notes, *(["it is transparent: laid on white"] if laid_on_white else [])]:
        warnings.warn(f"{path}: {note}", ImageWarning, stacklevel=3)


def _on_white(rgb: Image.Image, alpha: Image.Image) -> Image.Image:
    flat = Image.new("RGB", rgb.size, "white")
    flat.paste(rgb, mask=alpha)
    return flat


def _with_alpha(
    levels: UInt8[np.ndarray, "h w 3"], alpha: UInt8[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 4"]:
    """Pixels on white, and how much of each is not the white's: without it, and with alpha."""
    if alpha.shape != levels.shape[:2]:
        raise ValueError(
            f"`alpha` must have the image's height and width, {levels.shape[:2]}, got {alpha.shape}"
        )
    share = from_uint8(alpha)[..., None]
    # Where nothing is seen any color would do.
    color = np.clip(1 - (1 - from_uint8(levels)) / np.where(share > 0, share, 1), 0, 1)
    return np.concatenate([to_uint8(color), alpha[..., None]], axis=-1)


def _decoded(picture: Image.Image, notes: list[str]) -> tuple[Image.Image, Image.Image | None]:
    """Decodes a picture into 8-bit RGB and its alpha; what should be told is added to `notes`."""
    picture.load()
    try:
        ImageOps.exif_transpose(picture, in_place=True)
    except Exception:  # as many kinds as there are ways to damage EXIF
        notes.append("its EXIF data are damaged: the orientation is ignored")
    icc = picture.info.get("icc_profile")
    picture = _to_8_bits(picture, notes)
    if picture.mode in ("La", "RGBa"):  # premultiplied
        picture = picture.convert(picture.mode.upper())
    rgb = _to_srgb(picture, icc, notes)
    if not picture.has_transparency_data:
        return rgb, None
    alpha = picture.convert("RGBA").getchannel("A")
    return rgb, None if alpha.getextrema()[0] == 255 else alpha


def _to_8_bits(picture: Image.Image, notes: list[str]) -> Image.Image:
    """Scales grey of more than 8 bits: Pillow's own conversion saturates at level 255."""
    if not picture.mode.startswith(("I", "F")):
        return picture
    levels = np.asarray(picture)
    low, high = levels.min(), levels.max()
    tags = getattr(picture, "tag_v2", {})
    if picture.mode == "F":
        peak = 1 if high <= 1 else 255
        if peak == 255:
            notes.append(f"its values go up to {high:g}: taken for levels from 0 to 255")
    else:
        peak = 4095 if tags.get(ExifTags.Base.BitsPerSample) == (12,) else 65535
    if not (low >= 0 and high <= peak):  # NaN fails too
        raise _Unusable(
            f"its pixels go from {low} to {high}, expected 0 to {peak}; save it in 8 or 16 bits"
        )
    grey = to_uint8(levels.astype(np.float32) / peak)
    if tags.get(ExifTags.Base.PhotometricInterpretation) == 0:  # white is zero
        grey = 255 - grey
    transparent = picture.info.get("transparency")
    if transparent is None:
        return Image.fromarray(grey)
    alpha = np.where(levels == transparent, 0, 255).astype(np.uint8)
    return Image.fromarray(np.stack([grey, alpha], axis=-1))


def _to_srgb(picture: Image.Image, icc: bytes | None, notes: list[str]) -> Image.Image:
    """Converts from the embedded profile; without one the colors are taken for sRGB."""
    if icc:
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            mode, fitting = _ICC_MODES[profile.profile.xcolor_space.strip()]
            if picture.mode in fitting:
                srgb = ImageCms.createProfile("sRGB")
                transform = ImageCms.buildTransform(profile, srgb, mode, "RGB")
                return transform.apply(picture.convert(mode))
        except Exception:  # damaged profiles: OSError, PyCMSError, KeyError, ...
            pass
        notes.append("its color profile is damaged or does not fit: taken for sRGB")
    return picture.convert("RGB")


def _fitted(size: int | None, enlarge: bool) -> _Resize:
    if size is not None and size < 1:
        raise ValueError(f"`size` (={size}) must be at least 1 pixel")
    return lambda picture, notes: _fit(picture, size, notes, enlarge=enlarge)


def _fit(picture: Image.Image, size: int | None, notes: list[str], *, enlarge: bool) -> Image.Image:
    longest = max(picture.size)
    if size is None or longest == size:
        return picture
    if longest < size and not enlarge:
        found = "{} x {}".format(*picture.size)
        notes.append(f"it has {found} pixels and is not enlarged to the size {size}")
        return picture
    width, height = (max(1, round(side * size / longest)) for side in picture.size)
    if width * height > MAX_PIXELS:
        raise _Unusable(
            f"enlarged to `size` (={size}) it has {width} x {height} pixels, more than "
            f"{MAX_PIXELS:,}; give a smaller `size`"
        )
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _part(picture: Image.Image, height: int, width: int, notes: list[str]) -> Image.Image:
    left, top, right, bottom = box = _central_box(*picture.size[::-1], height / width)
    if not _have_one_aspect(picture.size, (width, height)):
        notes.append(
            "of its {} x {} pixels ".format(*picture.size)
            + f"the central {right - left:.0f} x {bottom - top:.0f} are taken, which have the "
            f"aspect of {width} x {height}"
        )
    return picture.resize((width, height), Image.Resampling.LANCZOS, box=box)


def _have_one_aspect(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether one may be the other in another size: sides are whole numbers of pixels."""

    def miss(width: int, height: int, other_width: int, other_height: int) -> float:
        return min(
            abs(height - width * other_height / other_width),
            abs(width - height * other_width / other_height),
        )

    return min(miss(*size, *other), miss(*other, *size)) < 1


def _metadata_options(file_format: str, metadata: Mapping[str, str]) -> dict:
    """Options of `Image.save` that write the metadata."""
    if not metadata:
        return {}
    if file_format != "PNG":
        exif = Image.Exif()
        # EXIF text is ASCII, and so is JSON by default.
        exif[ExifTags.Base.ImageDescription] = description = json.dumps(dict(metadata))
        return {"exif": exif} if len(description) <= _MAX_DESCRIPTION else {}
    info = PngInfo()
    for key, text in metadata.items():
        if not (1 <= len(key) <= 79 and key.isascii() and key.isprintable()):
            raise ValueError(f"`metadata` key {key!r} must have 1 to 79 printable ASCII characters")
        # File names may hold surrogates, which no file takes.
        info.add_text(key, text.encode("utf-8", "backslashreplace").decode())
    return {"pnginfo": info}
