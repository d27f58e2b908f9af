"""Color profiles (ICC): that of sRGB, and conversion from sRGB to others."""

import io
import struct
from functools import cache

from PIL import Image, ImageCms

_DATE = slice(24, 36)


@cache
def srgb() -> bytes:
    """The profile of sRGB."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    # It holds the time at which it was made: the same picture shall have the same bytes.
    profile[_DATE] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
    return bytes(profile)


def is_for_rgb(profile: bytes) -> bool:
    """Whether pictures in RGB can be converted to a profile.

    Args:
      profile: of a file; maybe damaged, for gray or CMYK, or one that goes to sRGB alone.
    """
    try:
        _transform(profile, "RGB")
    except Exception:  # there are as many kinds as ways to damage a profile
        return False
    return True


def convert(picture: Image.Image, profile: bytes) -> None:
    """Converts a picture in place.

    Args:
      picture: RGB or RGBA, in sRGB.
      profile: see `is_for_rgb`.
    """
    _transform(profile, picture.mode).apply_in_place(picture)


def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    wanted = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.buildTransform(ImageCms.createProfile("sRGB"), wanted, mode, mode)
