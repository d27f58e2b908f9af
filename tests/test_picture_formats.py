"""Files of other formats: named for what they are, never called damaged."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from nst_jax import image
from nst_jax.image import formats as picture_formats

LONG, SHORT = 4, 3
GREY = bytes(range(12))


def tiff(tags, data=GREY, magic=b"II*\0", inner=None):
    """A little-endian TIFF by hand: `{tag: numbers}`, and a directory of more tags within."""
    start = 16  # room for Canon's mark
    tags = {273: [start], 279: [len(data)]} | tags
    inside = start + len(data)
    directory = b""
    if inner:
        directory = _directory(inner, inside)
        tags |= {330: [inside]}
    first = inside + len(directory)
    header = magic + struct.pack("<I", first) + b"CR\2\0" * 2
    return header + data + directory + _directory(tags, first)


def _directory(tags, offset):
    after = offset + 2 + 12 * len(tags) + 4
    entries, tail = b"", b""
    for tag, values in sorted(tags.items()):
        kind = LONG if max(values) > 65535 or tag in (273, 279, 330) else SHORT
        packed = struct.pack(f"<{len(values)}{'I' if kind == LONG else 'H'}", *values)
        if len(packed) > 4:
            packed, tail = struct.pack("<I", after + len(tail)), tail + packed
        entries += struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    return struct.pack("<H", len(tags)) + entries + bytes(4) + tail


def form(*, width=2, height=2, bits=(8,), compression=1, photometric=1, sample_format=(1,)):
    return {
        256: [width],
        257: [height],
        258: list(bits),
        259: [compression],
        262: [photometric],
        277: [len(bits)],
        278: [height],
        339: list(sample_format),
    }


def unmarked(data):
    """Without Canon's mark."""
    return data[:8] + bytes(8) + data[16:]


@pytest.fixture
def refuse(tmp_path):
    def refuse_bytes(data):
        path = tmp_path / "picture.tif"
        path.write_bytes(data)
        with pytest.raises(ValueError, match="cannot read") as caught:
            image.load(path)
        message = str(caught.value)
        assert message.startswith(f"cannot read {path} as an image: it is ")
        assert "\n" not in message
        assert "damaged" not in message
        return message

    return refuse_bytes


FLOATS = np.linspace(0, 1, 12, dtype="<f4").tobytes()


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        (
            form(bits=(32,) * 3, photometric=2, sample_format=(3,) * 3),
            "RGB, 3 channel(s), in floats of 32 bits",
        ),
        (
            form(bits=(16,) * 3, photometric=2, sample_format=(3,) * 3),
            "RGB, 3 channel(s), in floats of 16 bits",
        ),
        (form(bits=(64,), sample_format=(3,)), "gray, 1 channel(s), in floats of 64 bits"),
        (form(bits=(32,) * 4, photometric=5), "CMYK, 4 channel(s), in integers of 32 bits"),
        (form(bits=(8,) * 5, photometric=2), "RGB, 5 channel(s), in integers of 8 bits"),
        (form(bits=(32,) * 7, photometric=9), "7 channel(s), in integers of 32 bits"),
    ],
)
def test_a_tiff_of_another_form_says_what_it_holds(refuse, tags, words):
    message = refuse(unmarked(tiff(tags, FLOATS)))
    assert words in message
    assert "save it as RGB without further channels, in integers of 8 or 16 bits" in message


@pytest.mark.parametrize(
    ("compression", "name"), [(34712, "JPEG 2000"), (34887, "LERC"), (50002, "JPEG XL")]
)
def test_a_tiff_of_another_compression_names_it(refuse, compression, name):
    assert f"compressed by {name}" in refuse(unmarked(tiff(form(compression=compression))))


def test_a_tiff_of_an_unknown_compression_gives_its_number(refuse):
    assert "the method 12345" in refuse(unmarked(tiff(form(compression=12345))))


def test_the_tiffs_of_these_tests_are_read_but_for_what_they_try(tmp_path):
    (tmp_path / "plain.tif").write_bytes(unmarked(tiff(form())))
    assert image.load(tmp_path / "plain.tif").shape == (2, 2, 3)


SENSOR, LINEAR, DNG_VERSION = 32803, 34892, 50706


@pytest.mark.parametrize(
    "data",
    [
        tiff(form()),
        unmarked(tiff(form() | {DNG_VERSION: [1, 4, 0, 0]})),
        unmarked(tiff(form(), inner=form(bits=(14,), compression=34713, photometric=SENSOR))),
        unmarked(tiff(form(), inner=form(photometric=LINEAR))),
        unmarked(tiff(form(bits=(14,), photometric=SENSOR))),
        b"FUJIFILMCCD-RAW 0201",
        b"IIU\0\x18\0\0\0",
        b"\0\0\0\x18ftypcrx \0\0\0\1crx isom",
    ],
    ids=["CR2", "DNG", "mosaic within", "linear within", "mosaic", "RAF", "RW2", "CR3"],
)
def test_a_raw_photograph_is_not_its_preview(refuse, data):
    assert "a raw photograph of a camera; develop it" in refuse(data)


def test_a_jpeg_of_12_bits_is_named(refuse):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG")
    data = bytearray(buffer.getvalue())
    data[data.index(b"\xff\xc0") + 4] = 12
    assert "a JPEG of 12 bits a channel" in refuse(bytes(data))


@pytest.mark.parametrize("kind", picture_formats._BEGINNINGS)
def test_each_beginning_is_named(refuse, kind):
    for beginning in picture_formats._BEGINNINGS[kind]:
        assert kind in refuse(beginning.ljust(200, b"\0"))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"RIFF\0\0\0\0AVI LIST", "a video"),
        (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41", "a video"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "a video"),
        (b"\0\0\0\x08wide\0\0\1\0mdat", "a video"),
        (bytes(128) + b"DICM", "DICOM"),
        (b"\0\0\0\x18ftypheix\0\0\0\0mif1heix", "HEIC"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
    ],
)
def test_each_kind_of_media_is_named(refuse, data, words):
    assert words in refuse(data)


def test_what_a_decoder_does_not_support_is_not_called_damaged(tmp_path):
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "BMP")
    data = bytearray(buffer.getvalue())
    data[30] = 4  # JPEG within
    (tmp_path / "picture.bmp").write_bytes(data)
    with pytest.raises(ValueError, match=r"Unsupported.*save it there as PNG"):
        image.load(tmp_path / "picture.bmp")


@pytest.mark.parametrize("name", sorted({*picture_formats.readable()} - {"TIFF"}))
def test_no_format_that_is_read_begins_as_another(name, tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "picture", name)
    with (tmp_path / "picture").open("rb") as file:
        assert f"it begins as {name}" in picture_formats.describe(file)
