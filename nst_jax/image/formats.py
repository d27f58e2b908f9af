"""Which formats of pictures are read; what a file of another format is, by its bytes.

A file of another format is not damaged: its owner should convert it, not download it again.
"""

import io
from typing import BinaryIO

from PIL import Image
from PIL.TiffImagePlugin import COMPRESSION_INFO, ImageFileDirectory_v2

# Pillow knows forty more. Some of them start other programs, some accept any file.
READABLE = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "PPM", "AVIF")

RAW = "a raw photograph of a camera; develop it into a TIFF or JPEG"
_VIDEO = "a video; save one of its frames as PNG (ffmpeg -i VIDEO -frames:v 1 frame.png)"

# What a file is, with what to do about it -> the bytes that it may begin with.
_BEGINNINGS = {
    "a JPEG 2000 picture; convert it to PNG or TIFF": (
        b"\0\0\0\x0cjP  \r\n\x87\n",
        b"\xff\x4f\xff\x51",
    ),
    "a JPEG XL picture; convert it to PNG or TIFF": (b"\0\0\0\x0cJXL \r\n\x87\n", b"\xff\x0a"),
    "a JPEG XR picture; convert it to PNG or TIFF": (b"II\xbc\x01",),
    "a Photoshop document; export it as PNG or TIFF": (b"8BPS",),
    "a GIMP document; export it as PNG or TIFF": (b"gimp xcf",),
    "an OpenEXR picture of floats; convert it to a PNG or TIFF of 16 bits": (b"v/1\x01",),
    "a Radiance picture of floats; convert it to a PNG or TIFF of 16 bits": (b"#?R",),
    "a PFM picture of floats; convert it to a PNG or TIFF of 16 bits": (b"PF\n", b"PF\r", b"PF "),
    "a PAM picture; convert it to PNG": (b"P7\n",),
    "a QOI picture; convert it to PNG": (b"qoif",),
    "a DDS texture; convert it to PNG": (b"DDS ",),
    "an icon; export it as PNG": (b"\0\0\1\0", b"icns"),
    "a FITS picture of an observatory; convert it to a PNG or TIFF of 16 bits": (b"SIMPLE  =",),
    "a DjVu document; export the page as PNG": (b"AT&TFORM",),
    "a PostScript drawing; export it as PNG": (b"%!PS", b"\xc5\xd0\xd3\xc6"),
    "an archive, as documents are (Krita, OpenRaster, Word); unpack or export the picture": (
        b"PK\3\4",
        b"\x1f\x8b",
        b"BZh",
        b"\xfd7zXZ",
        b"7z\xbc\xaf\x27\x1c",
        b"Rar!",
    ),
    "a NumPy array; image.save writes one as a picture": (b"\x93NUMPY",),
    "an HDF5 file; of a run log nst-jax plot draws the pictures": (b"\x89HDF\r\n",),
    "a pointer of Git LFS; git lfs pull fetches the picture itself": (b"version https://git-lfs",),
    "what macOS notes about a file; give the one without ._ in its name": (b"\0\5\x16\7",),
    RAW: (
        b"FUJIFILMCCD-RAW",
        b"IIRO",
        b"IIRS",
        b"MMOR",
        b"IIU\0",
        b"FOVb",
        b"\0MRM",
        b"II\x1a\0\0\0HEAPCCDR",
    ),
    _VIDEO: (
        b"\x1aE\xdf\xa3",
        b"\0\0\1\xba",
        b"\0\0\1\xb3",
        b"FLV\1",
        b"OggS",
        b"0&\xb2u\x8ef\xcf\x11",
    ),
}

# Tags of a TIFF.
_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_SAMPLES, _SUBDIRECTORIES, _SAMPLE_FORMAT, _DNG_VERSION = 277, 330, 339, 50706
# Photometric interpretations of raw data: a mosaic of the sensor, or colors before development.
_OF_SENSORS = (32803, 34892)
_COLORS = {0: "gray", 1: "gray", 2: "RGB", 3: "a palette", 5: "CMYK", 6: "YCbCr", 8: "Lab"}
_NUMBERS = {1: "integers", 2: "signed integers", 3: "floats", 5: "complex integers", 6: "complex"}
_COMPRESSIONS = {
    33003: "JPEG 2000",
    33005: "JPEG 2000",
    34712: "JPEG 2000",
    34887: "LERC",
    50002: "JPEG XL",
    52546: "JPEG XL",
}


def readable() -> list[str]:
    """The formats of `READABLE` that this Pillow was built with, by Pillow's names."""
    Image.init()
    return [name for name in READABLE if name in Image.OPEN]


def describe(file: BinaryIO) -> str:
    """What a file is that no decoder takes, and what to do.

    Args:
      file: open for reading.

    Returns:
      A clause for an error, such as "it is a video; save one of its frames as PNG".
    """
    file.seek(0)
    head = file.read(1024)
    if not head:
        return "it is empty; copy or download it again"
    for kind, beginnings in _BEGINNINGS.items():
        if head.startswith(beginnings):
            return f"it is {kind}"
    found = _kind_of_media(head) or _kind_of_document(head) or _unread_form(file, head)
    return f"it is {found}" if found else _damaged_or_unknown(head)


def _kind_of_media(head: bytes) -> str | None:
    """Looks for a mark behind the first bytes."""
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return _VIDEO
    if head[128:132] == b"DICM":
        return "a DICOM picture; export it as PNG"
    if head[4:8] in (b"moov", b"mdat", b"wide"):
        return _VIDEO
    if head[4:8] != b"ftyp" or b"avif" in head[8:40]:
        return None
    if b"hei" in head[8:40]:
        return "a HEIC photograph; convert it to JPEG"
    return RAW if head[8:12] == b"crx " else _VIDEO


def _kind_of_document(head: bytes) -> str | None:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"%pdf"):
        return "a PDF document; export the picture as PNG"
    if b"<svg" in start:
        return "an SVG drawing; export it as PNG"
    if start.startswith((b"<!doctype html", b"<html")):
        return "a web page; download the picture itself"
    return None


def _unread_form(file: BinaryIO, head: bytes) -> str | None:
    """Says what is unusual about a TIFF or JPEG, which may be whole all the same."""
    try:
        if head.startswith((b"II", b"MM")):
            return RAW if is_raw(file) else _form_of_tiff(_directory(file))
        if head.startswith(b"\xff\xd8\xff") and _bits_of_jpeg(file) == 12:
            return "a JPEG of 12 bits a channel, which is not read; save it with 8, or as PNG"
    except Exception:  # there are as many kinds as ways to damage a header
        pass
    return None


def _directory(file: BinaryIO, offset: int | None = None) -> ImageFileDirectory_v2:
    """The tags of a TIFF that begin at `offset`, by default those of its first picture."""
    file.seek(0)
    header = file.read(8)
    # BigTIFF, whose version is 43, has a header of 16 bytes.
    directory = ImageFileDirectory_v2(header + (file.read(8) if header[2] == 43 else b""))
    file.seek(directory.next if offset is None else offset)
    directory.load(file)
    return directory


def _form_of_tiff(tags: ImageFileDirectory_v2) -> str | None:
    if not (tags[_WIDTH] > 0 and tags[_LENGTH] > 0):
        return None
    compression = tags.get(_COMPRESSION, 1)
    if compression not in COMPRESSION_INFO:
        name = _COMPRESSIONS.get(compression, f"the method {compression}")
        return f"a TIFF compressed by {name}, which is not read; save it without, or by LZW"
    channels = tags.get(_SAMPLES, 1)
    color = _COLORS.get(tags[_PHOTOMETRIC], "another color space")
    numbers = _NUMBERS.get(tags.get(_SAMPLE_FORMAT, (1,))[0], "another type")
    bits = tags.get(_BITS, (1,))[0]
    return (
        f"a TIFF of {color}, {channels} channel(s), in {numbers} of {bits} bits, a form that is "
        "not read; save it as RGB without further channels, in integers of 8 or 16 bits"
    )


def _bits_of_jpeg(file: BinaryIO) -> int:
    """Bits of a channel, as the first frame header says; 0 if there is none."""
    file.seek(2)
    while len(segment := file.read(4)) == 4:
        marker = segment[1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return file.read(1)[0]
        file.seek(int.from_bytes(segment[2:]) - 2, io.SEEK_CUR)
    return 0


def _damaged_or_unknown(head: bytes) -> str:
    for name in readable():
        accepts = Image.OPEN[name][1]
        if accepts and accepts(head[:16]) is True:
            return (
                f"it begins as {name}, but its header is damaged, incomplete, or says that it has "
                "no pixels; copy or download it again"
            )
    # `head` may end within a character of up to four bytes, which "ignore" drops.
    text = head.decode("utf-8", "ignore")
    is_text = len(head) - len(text.encode()) < 4 and all(
        character.isprintable() or character.isspace() for character in text
    )
    kind = "it is a text file" if is_text else "its format is unknown"
    return f"{kind}; expected {', '.join(READABLE)}"


def is_raw(file: BinaryIO) -> bool:
    """Whether a TIFF is a raw photograph, in which Pillow finds only a preview.

    Args:
      file: open for reading.
    """
    file.seek(8)
    if file.read(2) == b"CR":  # a mark of Canon's
        return True
    try:
        tags = _directory(file)
        offsets = tags.get(_SUBDIRECTORIES, ())
        offsets = offsets if isinstance(offsets, tuple) else (offsets,)
        inner = [_directory(file, offset) for offset in offsets[:8]]
    except Exception:  # damage there does not matter to the picture
        return False
    return _DNG_VERSION in tags or any(x.get(_PHOTOMETRIC) in _OF_SENSORS for x in (tags, *inner))
