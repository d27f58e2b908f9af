"""Tests of nst_jax.image: every file is made here, with pixels that are known."""

import errno
import io
import re
import struct
import subprocess
import sys
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms, ImageFile

import nst_jax
from nst_jax import image
from nst_jax.image import arrays, decoding

ORIENTATION = ExifTags.Base.Orientation
# Three columns, two rows, six colors far from one another.
SIX = np.array(
    [
        [[255, 0, 0], [0, 255, 0], [0, 0, 255]],
        [[0, 0, 0], [255, 255, 255], [255, 255, 0]],
    ],
    np.uint8,
)


def blocks(pixels=SIX, side=16):
    """Enlarges pixels to squares, which lossy formats keep."""
    return pixels.repeat(side, axis=0).repeat(side, axis=1)


def centers(array, side=16):
    return array[side // 2 :: side, side // 2 :: side]


def smooth(height, width, seed=0):
    """A smooth random picture, uint8."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def encode(picture, file_format, **options):
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


def chunk(name, data):
    checksum = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)


def png(width, height, *, depth=8, color=2, rows=b"", before=b""):
    """A PNG file by hand; `rows` begin with their filter byte, `before` goes before the pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + pixels + chunk(b"IEND", b"")


def tiff(width, height, data, *, bits, photometric=1):
    """An uncompressed grey little-endian TIFF file by hand."""
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric)]
    tags += [(273, 8), (277, 1), (278, height), (279, len(data))]
    directory = struct.pack("<H", len(tags))
    directory += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    padded = data + b"\0" * (len(data) % 2)
    return b"II*\0" + struct.pack("<I", 8 + len(padded)) + padded + directory + bytes(4)


# Red, green and blue of sRGB as seen from the white of profiles, D50.
RED, GREEN, BLUE = (0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)
WHITE = (0.9642, 1.0, 0.8249)


def icc_profile(gamma, primaries=()):
    """An ICC profile by hand: three primaries for RGB, none for grey."""

    def xyz(values):
        return b"XYZ " + bytes(4) + b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    text = b"text" + bytes(4) + b"test\0\0\0\0"
    description = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(79)
    tags = {b"desc": description, b"cprt": text, b"wtpt": xyz(WHITE)}
    for letter, primary in zip(b"rgb", primaries, strict=False):
        tags[bytes([letter]) + b"XYZ"] = xyz(primary)
        tags[bytes([letter]) + b"TRC"] = curve
    if not primaries:
        tags[b"kTRC"] = curve
    offset = 128 + 4 + 12 * len(tags)
    table, data = struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        table += name + struct.pack(">II", offset + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    header = struct.pack(">I4sI", offset + len(data), b"", 0x02400000)
    header += b"mntr" + (b"RGB " if primaries else b"GRAY") + b"XYZ " + bytes(12) + b"acsp"
    header += bytes(28) + struct.pack(">iii", *(round(v * 65536) for v in WHITE))
    return header.ljust(128, b"\0") + table + data


@pytest.fixture
def load(tmp_path):
    """`image.load` of the bytes of a file, in levels from 0 to 255."""

    def load_bytes(data, **options):
        path = tmp_path / "picture"
        path.write_bytes(data)
        return np.rint(image.load(path, **options) * 255).astype(int)

    return load_bytes


@pytest.fixture
def refuse(tmp_path):
    """The one-line message of the ValueError with which bytes are refused."""

    def refuse_bytes(data, name="picture.png"):
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(ValueError, match="cannot read") as caught:
            image.load(path)
        message = str(caught.value)
        assert str(path) in message
        assert "\n" not in message
        return message

    return refuse_bytes


# Formats and modes


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "BMP", "PPM"])
def test_load_gives_the_pixels_of_lossless_formats(load, file_format):
    np.testing.assert_array_equal(load(encode(Image.fromarray(SIX), file_format)), SIX)


@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("JPEG", {"quality": 95, "progressive": True}),
        ("WEBP", {"quality": 95}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "jpeg", "quality": 95}),
        ("GIF", {}),
    ],
)
def test_load_gives_the_colors_of_compressed_formats(load, file_format, options):
    found = load(encode(Image.fromarray(blocks()), file_format, **options))
    np.testing.assert_allclose(centers(found), SIX, atol=6)


def test_load_gives_contiguous_float32_in_0_to_1(tmp_path):
    Image.fromarray(SIX).save(tmp_path / "six.png")
    found = image.load(tmp_path / "six.png")
    assert found.dtype == np.float32
    assert found.shape == (2, 3, 3)
    assert found.flags.c_contiguous
    assert (found.min(), found.max()) == (0, 1)


def test_load_accepts_a_string(tmp_path):
    Image.fromarray(SIX).save(tmp_path / "six.png")
    assert image.load(str(tmp_path / "six.png")).shape == (2, 3, 3)


def test_load_ignores_a_wrong_ending(tmp_path):
    (tmp_path / "six.jpg").write_bytes(encode(Image.fromarray(SIX), "PNG"))
    np.testing.assert_array_equal(image.to_uint8(image.load(tmp_path / "six.jpg")), SIX)


@pytest.mark.parametrize(
    ("file_format", "words"),
    [
        ("GIF", "3 frames"),
        ("PNG", "3 frames"),
        ("WEBP", "3 frames"),
        ("AVIF", "3 frames"),
        ("TIFF", "3 pages"),
    ],
)
def test_load_takes_the_first_frame_and_says_so(load, file_format, words):
    frames = [Image.fromarray(blocks(SIX[:, [n]])) for n in range(3)]
    options = {"lossless": True} if file_format == "WEBP" else {}
    data = encode(frames[0], file_format, save_all=True, append_images=frames[1:], **options)
    with pytest.warns(image.ImageWarning, match=f"it has {words}: the first one is taken"):
        found = load(data)
    np.testing.assert_allclose(centers(found), SIX[:, [0]], atol=4)


def test_load_says_nothing_of_the_preview_of_a_photograph(load):
    picture = Image.fromarray(blocks())
    load(encode(picture, "MPO", save_all=True, append_images=[picture.reduce(2)]))


def test_load_counts_no_more_pages_than_it_has_time_for(load, monkeypatch):
    monkeypatch.setattr(decoding, "_MOST_PAGES", 2)
    pages = [Image.new("L", (2, 2), n) for n in range(4)]
    data = encode(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    with pytest.warns(image.ImageWarning, match="it has more than 2 pages: the first"):
        np.testing.assert_array_equal(load(data), np.zeros((2, 2, 3)))


def test_load_does_not_mind_a_damaged_second_frame(load):
    frames = [Image.fromarray(blocks(SIX[:, [n]])) for n in range(2)]
    data = encode(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    end = first + 2 + 12 * count
    cut = data[:end] + struct.pack("<I", len(data) + 100) + data[end + 4 :]
    np.testing.assert_array_equal(centers(load(cut)), SIX[:, [0]])


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_load_takes_grey_and_palettes_as_rgb(load, mode):
    picture = Image.fromarray(np.array([[0, 255]], np.uint8)).convert(mode)
    np.testing.assert_array_equal(load(encode(picture, "PNG")), [[[0] * 3, [255] * 3]])


def test_load_gives_the_colors_of_a_palette(load):
    picture = Image.fromarray(SIX).quantize(6)
    np.testing.assert_array_equal(load(encode(picture, "PNG")), SIX)


@pytest.mark.parametrize("file_format", ["JPEG", "TIFF"])
@pytest.mark.parametrize(
    ("cmyk", "rgb"),
    [
        ((255, 0, 0, 0), (0, 255, 255)),
        ((0, 0, 255, 0), (255, 255, 0)),
        ((0, 0, 0, 128), (127, 127, 127)),
        ((0, 0, 0, 0), (255, 255, 255)),
    ],
)
def test_load_converts_cmyk(load, file_format, cmyk, rgb):
    # Pillow, as Adobe, stores the inks of a JPEG inverted.
    found = load(encode(Image.new("CMYK", (16, 16), cmyk), file_format))
    np.testing.assert_allclose(found[8, 8], rgb, atol=3)


def test_load_converts_lab(load):
    # L = 100 % and a = b = 0, which Pillow calls 128: white.
    found = load(encode(Image.new("LAB", (2, 2), (255, 128, 128)), "TIFF"))
    np.testing.assert_allclose(found, 255, atol=1)


# More than 8 bits


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "PPM"])
def test_load_scales_16_bit_grey(load, file_format):
    levels = np.array([[0, 257, 32768, 65535]], np.uint16)
    found = load(encode(Image.fromarray(levels), file_format))
    np.testing.assert_array_equal(found[0, :, 0], [0, 1, 128, 255])


def test_load_scales_big_endian_16_bit_grey(load):
    picture = Image.frombytes("I;16B", (3, 1), struct.pack(">3H", 0, 32768, 65535))
    np.testing.assert_array_equal(load(encode(picture, "TIFF"))[0, :, 0], [0, 128, 255])


def test_load_scales_12_bit_grey(load):
    # Two levels in three bytes: 0x800 and 0xFFF of 0xFFF.
    found = load(tiff(2, 1, b"\x80\x0f\xff", bits=12))
    np.testing.assert_array_equal(found[0, :, 0], [128, 255])


def test_load_inverts_16_bit_grey_whose_zero_is_white(load):
    data = struct.pack("<3H", 0, 32768, 65535)
    found = load(tiff(3, 1, data, bits=16, photometric=0))
    np.testing.assert_array_equal(found[0, :, 0], [255, 127, 0])


def test_load_takes_32_bit_integers_for_16_bit_levels(load):
    levels = np.array([[0, 32768, 65535]], np.int32)
    found = load(encode(Image.fromarray(levels), "TIFF"))
    np.testing.assert_array_equal(found[0, :, 0], [0, 128, 255])


@pytest.mark.parametrize("level", [-1, 65536])
def test_load_refuses_integers_beyond_16_bits(refuse, level):
    levels = np.array([[0, level]], np.int32)
    assert "expected 0 to 65535" in refuse(encode(Image.fromarray(levels), "TIFF"))


def test_load_takes_floats_in_0_to_1(load):
    levels = np.array([[0, 0.25, 1]], np.float32)
    found = load(encode(Image.fromarray(levels), "TIFF"))
    np.testing.assert_array_equal(found[0, :, 0], [0, 64, 255])


def test_load_tells_that_floats_are_taken_for_levels(load):
    levels = np.array([[0, 99.6, 255]], np.float32)
    with pytest.warns(image.ImageWarning, match="up to 255"):
        found = load(encode(Image.fromarray(levels), "TIFF"))
    np.testing.assert_array_equal(found[0, :, 0], [0, 100, 255])


@pytest.mark.parametrize("value", [-0.5, 256, np.nan, np.inf])
def test_load_refuses_floats_out_of_range(refuse, value):
    levels = np.array([[0, value]], np.float32)
    assert "expected 0 to" in refuse(encode(Image.fromarray(levels), "TIFF"))


# Transparency


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_load_lays_transparency_on_white(load, file_format):
    picture = Image.new("RGBA", (1, 1), (255, 0, 0, 128))
    with pytest.warns(image.ImageWarning, match="transparent"):
        found = load(encode(picture, file_format))
    np.testing.assert_allclose(found[0, 0], [255, 127, 127], atol=1)


def test_load_tells_of_transparency_once_with_the_path(tmp_path):
    path = tmp_path / "glass.png"
    Image.new("RGBA", (2, 2)).save(path)
    with pytest.warns(UserWarning) as caught:  # noqa: PT030  the message is compared below
        image.load(path)
    assert [str(item.message) for item in caught] == [f"{path}: it is transparent: laid on white"]


def test_load_says_nothing_of_an_opaque_alpha_channel(load):
    found = load(encode(Image.fromarray(SIX).convert("RGBA"), "PNG"))
    np.testing.assert_array_equal(found, SIX)


def test_load_lays_grey_with_alpha_on_white(load):
    with pytest.warns(image.ImageWarning, match="transparent"):
        found = load(encode(Image.new("LA", (1, 1), (100, 51)), "PNG"))
    np.testing.assert_allclose(found[0, 0], 100 * 0.2 + 255 * 0.8, atol=1)


@pytest.mark.parametrize(
    ("file_format", "transparency"), [("PNG", 1), ("PNG", bytes([255, 0])), ("GIF", 1)]
)
def test_load_lays_a_transparent_palette_color_on_white(load, file_format, transparency):
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 200, 0, 0])
    picture.putpixel((1, 0), 1)
    with pytest.warns(image.ImageWarning, match="transparent"):
        found = load(encode(picture, file_format, transparency=transparency))
    np.testing.assert_array_equal(found, [[[10, 20, 30], [255, 255, 255]]])


@pytest.mark.parametrize(
    ("mode", "color", "transparency"), [("L", 7, 7), ("RGB", (1, 2, 3), (1, 2, 3))]
)
def test_load_lays_a_transparent_color_on_white(load, mode, color, transparency):
    picture = Image.new(mode, (2, 1), color)
    picture.putpixel((0, 0), 0)
    with pytest.warns(image.ImageWarning, match="transparent"):
        found = load(encode(picture, "PNG", transparency=transparency))
    np.testing.assert_array_equal(found, [[[0, 0, 0], [255, 255, 255]]])


def test_load_lays_a_transparent_16_bit_grey_on_white(load):
    rows = b"\0" + struct.pack(">2H", 32768, 32769)
    key = chunk(b"tRNS", struct.pack(">H", 32769))
    with pytest.warns(image.ImageWarning, match="transparent"):
        found = load(png(2, 1, depth=16, color=0, rows=rows, before=key))
    np.testing.assert_array_equal(found[0, :, 0], [128, 255])


# Color profiles


def test_load_keeps_pixels_with_an_srgb_profile(load):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    found = load(encode(Image.fromarray(SIX), "PNG", icc_profile=profile))
    np.testing.assert_allclose(found, SIX, atol=1)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_load_converts_from_the_embedded_profile(load, file_format):
    # The profile calls red what sRGB calls blue.
    profile = icc_profile(2.2, (BLUE, GREEN, RED))
    picture = Image.new("RGB", (16, 16), (255, 0, 0))
    options = {"lossless": True} if file_format == "WEBP" else {}
    found = load(encode(picture, file_format, icc_profile=profile, **options))
    np.testing.assert_allclose(found[8, 8], [0, 0, 255], atol=4)


def test_load_converts_from_linear_light(load):
    # The sRGB curve of 55 / 255 = .2157 is .5018, level 128.
    profile = icc_profile(1, (RED, GREEN, BLUE))
    found = load(encode(Image.new("RGB", (1, 1), (55, 55, 55)), "PNG", icc_profile=profile))
    np.testing.assert_allclose(found[0, 0], 128, atol=2)


def test_load_converts_from_a_grey_profile(load):
    found = load(encode(Image.new("L", (1, 1), 55), "PNG", icc_profile=icc_profile(1)))
    np.testing.assert_allclose(found[0, 0], 128, atol=2)


def test_load_converts_16_bit_grey_from_its_profile(load):
    picture = Image.fromarray(np.full((1, 1), 55 * 257, np.uint16))
    found = load(encode(picture, "PNG", icc_profile=icc_profile(1)))
    np.testing.assert_allclose(found[0, 0], 128, atol=2)


def test_load_converts_before_it_lays_on_white(load):
    profile = icc_profile(2.2, (BLUE, GREEN, RED))
    picture = Image.new("RGBA", (1, 1), (255, 0, 0, 128))
    with pytest.warns(image.ImageWarning, match="transparent"):
        found = load(encode(picture, "PNG", icc_profile=profile))
    np.testing.assert_allclose(found[0, 0], [127, 127, 255], atol=3)


def test_load_converts_lab_with_its_profile(load):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    picture = Image.new("LAB", (1, 1), (255, 128, 128))
    np.testing.assert_allclose(load(encode(picture, "TIFF", icc_profile=profile)), 255, atol=1)


@pytest.mark.parametrize(
    "profile",
    [
        b"not a profile",
        icc_profile(2.2, (RED, GREEN, BLUE))[:200],
        icc_profile(1),
        ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(),
    ],
    ids=["junk", "cut", "of grey", "of LAB"],
)
def test_load_ignores_a_profile_that_is_no_use_and_says_so(load, profile):
    with pytest.warns(image.ImageWarning, match="profile"):
        found = load(encode(Image.fromarray(SIX), "PNG", icc_profile=profile))
    np.testing.assert_array_equal(found, SIX)


# Orientation

ORIENTED = {
    1: SIX,
    2: SIX[:, ::-1],
    3: SIX[::-1, ::-1],
    4: SIX[::-1],
    5: SIX.transpose(1, 0, 2),
    6: np.rot90(SIX, -1),
    7: SIX[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(SIX),
}


def exif(orientation):
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags


@pytest.mark.parametrize("orientation", ORIENTED)
def test_load_applies_the_exif_orientation(load, orientation):
    data = encode(Image.fromarray(SIX), "PNG", exif=exif(orientation))
    np.testing.assert_array_equal(load(data), ORIENTED[orientation])


@pytest.mark.parametrize("file_format", ["JPEG", "TIFF", "WEBP"])
def test_load_applies_the_exif_orientation_of_a_format(load, file_format):
    data = encode(Image.fromarray(blocks()), file_format, exif=exif(6), quality=95)
    np.testing.assert_allclose(centers(load(data)), ORIENTED[6], atol=6)


def test_load_ignores_damaged_exif_and_says_so(load):
    data = encode(Image.fromarray(SIX), "PNG", exif=b"Exif\0\0garbage")
    with pytest.warns(image.ImageWarning, match="EXIF"):
        found = load(data)
    np.testing.assert_array_equal(found, SIX)


# Sizes


@pytest.mark.parametrize(
    ("size", "shape"), [(100, (60, 100)), (50, (30, 50)), (33, (20, 33)), (1, (1, 1))]
)
def test_load_fits_the_longest_side(load, size, shape):
    assert load(encode(Image.new("RGB", (100, 60)), "PNG"), size=size).shape[:2] == shape


@pytest.mark.parametrize(("width", "height"), [(200, 1), (1, 200)])
def test_load_keeps_every_side_of_a_thin_picture(load, width, height):
    found = load(encode(Image.new("RGB", (width, height)), "PNG"), size=10)
    assert sorted(found.shape[:2]) == [1, 10]


def test_load_never_enlarges_unasked_and_says_so(load):
    with pytest.warns(image.ImageWarning, match="3 x 2 pixels and is not enlarged to the size 30"):
        found = load(encode(Image.fromarray(SIX), "PNG"), size=30)
    np.testing.assert_array_equal(found, SIX)


def test_load_enlarges_if_asked(load):
    found = load(encode(Image.fromarray(SIX), "PNG"), size=30, enlarge=True)
    assert found.shape == (20, 30, 3)


def test_load_resizes_in_8_bits(load):
    picture = Image.fromarray(smooth(60, 100))
    expected = np.asarray(picture.resize((50, 30), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(load(encode(picture, "PNG"), size=50), expected)


def test_load_resizes_what_was_laid_on_white(load):
    # Black that cannot be seen must not darken its neighbors.
    pixels = np.full((8, 8, 4), 255, np.uint8)
    pixels[:, ::2] = 0
    with pytest.warns(image.ImageWarning, match="transparent"):
        found = load(encode(Image.fromarray(pixels), "PNG"), size=4)
    np.testing.assert_array_equal(found, 255)


def test_load_mixes_the_colors_of_a_palette(load):
    # Pillow itself would take every other index.
    stripes = Image.fromarray(np.tile(SIX[1:, :2], (32, 16, 1))).quantize(2)
    found = load(encode(stripes, "PNG"), size=4)
    np.testing.assert_allclose(found[1:3, 1:3], 127, atol=10)


def test_load_gives_multiples_of_a_level(tmp_path):
    Image.fromarray(smooth(40, 30)).save(tmp_path / "smooth.png")
    found = image.load(tmp_path / "smooth.png", size=17)
    np.testing.assert_array_equal(image.from_uint8(image.to_uint8(found)), found)


def test_longest_side_is_that_of_the_file(tmp_path):
    Image.new("RGB", (100, 60)).save(tmp_path / "turned.png", exif=exif(6))
    assert image.longest_side(tmp_path / "turned.png") == 100


# Parts


def striped(tmp_path, *, upright=False):
    """A picture of three colored squares in a row, or one above the other."""
    row = SIX[:1].transpose(1, 0, 2) if upright else SIX[:1]
    path = tmp_path / "stripes.png"
    Image.fromarray(blocks(row, side=32)).save(path)
    return path


@pytest.mark.parametrize("upright", [False, True])
def test_a_part_of_another_aspect_is_central_and_said(tmp_path, upright):
    path = striped(tmp_path, upright=upright)
    with pytest.warns(image.ImageWarning, match="the central 32 x 32 are taken"):
        found = image.load_part(path, 16, 16)
    assert found.shape == (16, 16, 3)
    np.testing.assert_allclose(found[3:-3, 3:-3], np.full((10, 10, 3), [0, 1, 0]), atol=0.01)


@pytest.mark.parametrize(
    ("size", "height", "width"),
    [((96, 32), 32, 96), ((96, 32), 8, 24), ((48, 16), 33, 97), ((99, 66), 341, 512)],
)
def test_a_part_of_the_same_aspect_is_the_whole_and_nothing_is_said(tmp_path, size, height, width):
    Image.new("RGB", size, "red").save(tmp_path / "red.png")
    found = image.load_part(tmp_path / "red.png", height, width)
    np.testing.assert_array_equal(found, np.full((height, width, 3), [1, 0, 0]))


def test_a_part_of_the_picture_s_size_is_the_picture(tmp_path):
    Image.fromarray(SIX).save(tmp_path / "six.png")
    np.testing.assert_array_equal(image.to_uint8(image.load_part(tmp_path / "six.png", 2, 3)), SIX)


def test_a_part_has_sides(tmp_path):
    with pytest.raises(ValueError, match=r"`height` \(=0\)"):
        image.load_part(tmp_path / "six.png", 0, 3)


def test_load_takes_a_single_pixel(load):
    np.testing.assert_array_equal(load(png(1, 1, rows=b"\0\1\2\3")), [[[1, 2, 3]]])


@pytest.mark.parametrize("size", [0, -5])
def test_load_refuses_a_size_below_one(tmp_path, size):
    with pytest.raises(ValueError, match=rf"`size` \(={size}\)"):
        image.load(tmp_path / "any.png", size=size)


def test_load_refuses_to_enlarge_beyond_all_measure(tmp_path):
    Image.fromarray(SIX).save(tmp_path / "six.png")
    with pytest.raises(ValueError, match=r"six\.png.*smaller `size`"):
        image.load(tmp_path / "six.png", size=100_000, enlarge=True)


# Files that are refused


def test_load_names_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.png.*expected the path of a picture"):
        image.load(tmp_path / "nowhere.png")


def test_load_names_the_current_folder_for_a_relative_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=tmp_path.name):
        image.load("nowhere.png")


def test_load_refuses_a_folder(tmp_path):
    with pytest.raises(IsADirectoryError, match=f"{tmp_path.name}.*folder"):
        image.load(tmp_path)


def test_load_refuses_a_path_through_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match=r"file/six\.png"):
        image.load(tmp_path / "file" / "six.png")


def test_load_refuses_a_device():
    with pytest.raises(OSError, match="/dev/zero: it is a device"):
        image.load("/dev/zero")


def test_load_names_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = tmp_path / "secret.png"
    path.touch()

    def refuse_open(*_):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    # The owner of the process may be root, who may read anything.
    monkeypatch.setattr(Path, "open", refuse_open)
    with pytest.raises(PermissionError, match=r"secret\.png: Permission denied"):
        image.load(path)


def test_load_names_a_file_that_the_disk_fails_to_read(tmp_path, monkeypatch):
    path = tmp_path / "six.png"
    Image.fromarray(SIX).save(path)

    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    with pytest.raises(OSError, match=r"six\.png: Input/output error"):
        image.load(path)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"once upon a time", "text file"),
        ("Grüße, 世界".encode()[:-1], "text file"),
        (b"<?xml version='1.0'?>\n<svg width='9'>", "SVG.*export"),
        (b"%PDF-1.7\n\xe2\xe3", "PDF.*export"),
        (b"\n<!DOCTYPE html><html>", "web page"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC.*JPEG"),
        (bytes(range(256)), "unknown; expected PNG, JPEG"),
        (b"\x89PNG\r\n\x1a\n", "begins as PNG"),
        (b"II*\0\x08\0\0\0", "begins as TIFF"),
        (png(0, 5), "no pixels"),
        (png(5, 0), "no pixels"),
    ],
)
def test_load_says_what_a_file_is_instead(refuse, data, reason):
    assert re.search(reason, refuse(data))


@pytest.mark.parametrize(
    "error",
    [
        struct.error,
        SyntaxError,
        zlib.error,
        EOFError,
        IndexError,
        TypeError,
        KeyError,
        OverflowError,
        MemoryError,
        RecursionError,
    ],
)
def test_load_makes_every_error_of_a_decoder_a_value_error(refuse, monkeypatch, error):
    def fail(*_):
        raise error("oops")

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    message = refuse(encode(Image.fromarray(SIX), "PNG"))
    assert ("memory" if error is MemoryError else "oops") in message


def all_formats():
    """A small picture in each format, of which each part matters."""
    pixels = smooth(12, 16)
    picture = Image.fromarray(pixels)
    profile = icc_profile(2.2, (RED, GREEN, BLUE))
    grey16 = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    turn = picture.rotate(90)
    return {
        "png": encode(picture, "PNG", exif=exif(6), icc_profile=profile),
        "png palette": encode(picture.quantize(9), "PNG"),
        "png 16 bit": encode(grey16, "PNG"),
        "jpeg": encode(picture, "JPEG", exif=exif(6), icc_profile=profile),
        "jpeg progressive": encode(picture, "JPEG", progressive=True),
        "jpeg cmyk": encode(picture.convert("CMYK"), "JPEG"),
        "jpeg two pictures": encode(picture, "MPO", save_all=True, append_images=[turn]),
        "tiff": encode(picture, "TIFF"),
        "tiff lzw": encode(picture, "TIFF", compression="tiff_lzw", exif=exif(6)),
        "tiff zip": encode(picture, "TIFF", compression="tiff_adobe_deflate"),
        "webp": encode(picture, "WEBP", exif=exif(6), icc_profile=profile),
        "webp lossless": encode(picture, "WEBP", lossless=True),
        "gif": encode(picture.quantize(9), "GIF"),
        "gif animated": encode(picture, "GIF", save_all=True, append_images=[turn]),
        "bmp": encode(picture, "BMP"),
        "ppm": encode(picture, "PPM"),
    }


FILES = all_formats()


@pytest.mark.filterwarnings("ignore::nst_jax.image.ImageWarning")
@pytest.mark.parametrize("name", FILES)
def test_load_never_takes_half_a_picture(tmp_path, name):
    path = tmp_path / "cut.png"
    path.write_bytes(FILES[name])
    whole = image.load(path)
    refused = 0
    for length in range(0, len(FILES[name]), 1 + len(FILES[name]) // 100):
        path.write_bytes(FILES[name][:length])
        try:
            # What comes after the pixels may be missing.
            np.testing.assert_array_equal(image.load(path), whole)
        except ValueError as error:
            assert str(path) in str(error)  # noqa: PT017  both outcomes are right
            refused += 1
    assert refused > 20


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_load_refuses_the_first_half_of_a_larger_picture(refuse, file_format):
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    data = encode(Image.fromarray(noise), file_format)
    assert "truncated" in refuse(data[: len(data) // 2])


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """A path for damaged files, with limits that keep what they declare small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "MAX_PIXELS", 10**6)
        patch.setattr(Image, "MAX_IMAGE_PIXELS", 10**6)
        yield tmp_path_factory.mktemp("damaged") / "picture.png"


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    name=st.sampled_from(sorted(FILES)),
    places=st.lists(st.integers(0, 2**31), min_size=1, max_size=4),
    values=st.lists(st.integers(0, 255), min_size=4, max_size=4),
)
def test_load_of_damaged_bytes_gives_an_image_or_a_value_error(damaged, name, places, values):
    data = bytearray(FILES[name])
    for place, value in zip(places, values, strict=False):
        data[place % len(data)] = value
    damaged.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", image.ImageWarning)
        try:
            found = image.load(damaged)
        except ValueError as error:
            assert str(damaged) in str(error)  # noqa: PT017  both outcomes are right
        else:
            assert found.min() >= 0
            assert found.max() <= 1


# Decompression bombs


@pytest.fixture
def no_decoding(monkeypatch):
    def fail(*_):
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)


@pytest.mark.usefixtures("no_decoding")
@pytest.mark.parametrize(
    "data", [png(60_000, 60_000), tiff(60_000, 60_000, b"", bits=8)], ids=["PNG", "TIFF"]
)
def test_load_refuses_a_bomb_from_its_header(refuse, data):
    message = refuse(data)
    assert "3600000000 pixels" in message
    assert f"{decoding.MAX_PIXELS:,}" in message


@pytest.mark.usefixtures("no_decoding")
def test_load_has_a_limit_where_pillow_has_none(refuse, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    message = refuse(png(60_000, 60_000))
    assert "60000 x 60000" in message
    assert f"{decoding.MAX_PIXELS:,}" in message


def test_load_keeps_pillow_s_warning_to_itself(load, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)  # warns from five pixels, refuses nine
    np.testing.assert_array_equal(load(encode(Image.fromarray(SIX), "PNG")), SIX)


def test_load_leaves_pillow_s_limit_alone(refuse):
    before = Image.MAX_IMAGE_PIXELS
    refuse(png(60_000, 60_000))
    assert before == Image.MAX_IMAGE_PIXELS


# Arrays


def test_to_uint8_inverts_from_uint8():
    levels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(image.to_uint8(image.from_uint8(levels)), levels)


def test_from_uint8_gives_float32_from_0_to_1():
    found = image.from_uint8(np.array([0, 51, 255], np.uint8))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [0, 0.2, 1], rtol=1e-7)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_to_uint8_rounds_to_the_nearest_level(dtype):
    values = np.array([0.4, 0.6, 127.4, 127.6, 254.6], dtype) / dtype(255)
    np.testing.assert_array_equal(image.to_uint8(values), [0, 1, 127, 128, 255])


def test_to_uint8_clips():
    values = np.array([-0.7, -0.1, 1.1, 1.7])
    np.testing.assert_array_equal(image.to_uint8(values), [0, 0, 255, 255])


def test_to_uint8_refuses_nan():
    with pytest.raises(ValueError, match="1 NaN among its 12"):
        image.to_uint8(np.where(np.arange(12) == 5, np.nan, 0.5).reshape(2, 2, 3))


def test_resize_to_the_same_size_changes_nothing():
    pixels = image.from_uint8(smooth(9, 14))
    np.testing.assert_array_equal(image.resize(pixels, 9, 14), pixels)


def test_resize_gives_height_before_width():
    assert image.resize(image.from_uint8(SIX), 5, 7).shape == (5, 7, 3)


@pytest.mark.parametrize("size", [(40, 30), (3, 2), (1, 1)])
def test_resize_keeps_a_flat_image(size):
    # A value between two levels: nothing goes through 8 bits.
    flat = np.full((11, 13, 3), [0.1234, 0.5, 0.9871], np.float32)
    np.testing.assert_allclose(image.resize(flat, *size)[0, 0], flat[0, 0], atol=1e-6)


def test_resize_averages_what_it_shrinks():
    board = np.indices((64, 64)).sum(axis=0) % 2
    board = np.stack([board] * 3, axis=-1).astype(np.float32)
    np.testing.assert_allclose(image.resize(board, 8, 8), 0.5, atol=0.02)


def test_resize_clips_the_overshoot_at_an_edge():
    edge = np.zeros((16, 16, 3), np.float32)
    edge[:, 8:] = 1
    found = image.resize(edge, 40, 40)
    assert (found.min(), found.max()) == (0, 1)


def test_resize_keeps_channels_apart():
    found = image.resize(image.from_uint8(blocks(SIX[:1, :1])), 10, 10)
    np.testing.assert_allclose(found[5, 5], [1, 0, 0], atol=1e-6)


def test_load_with_alpha_gives_the_alpha_of_the_size_and_place_of_the_picture(tmp_path):
    # Opaque in the left half; turned by EXIF, in the upper half.
    alpha = np.repeat(np.array([[255, 0]], np.uint8), 8, axis=1).repeat(12, axis=0)
    picture = Image.new("RGB", (16, 12), "red")
    picture.putalpha(Image.fromarray(alpha))
    turned = Image.Exif()
    turned[ORIENTATION] = 6
    picture.save(tmp_path / "cut.png", exif=turned)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels, found = image.load_with_alpha(tmp_path / "cut.png", size=8)
    assert found.shape == pixels.shape[:2] == (8, 6)
    np.testing.assert_array_equal(found[:1], 255)
    np.testing.assert_array_equal(found[-1:], 0)
    np.testing.assert_array_equal(pixels[-1:], 1)


def test_load_with_alpha_gives_none_of_an_opaque_picture(tmp_path):
    Image.fromarray(SIX).convert("RGBA").save(tmp_path / "six.png")
    pixels, alpha = image.load_with_alpha(tmp_path / "six.png")
    assert alpha is None
    np.testing.assert_array_equal(image.to_uint8(pixels), SIX)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_save_with_alpha_looks_like_the_image_on_white(tmp_path, suffix):
    alpha = np.linspace(0, 255, 20, dtype=np.uint8)[None].repeat(12, axis=0)
    # No darker than white through that alpha, as all that was laid on white.
    pixels = 255 - (smooth(12, 20) * (alpha / 255)[..., None]).astype(np.uint8)
    path = tmp_path / f"cut{suffix}"
    image.save(path, pixels, alpha=alpha, metadata=METADATA)
    found, found_alpha = image.load_with_alpha(path)
    np.testing.assert_array_equal(found_alpha, alpha)
    np.testing.assert_allclose(found * 255, pixels, atol=1)
    assert image.read_metadata(path) == METADATA


def test_save_with_alpha_keeps_it_in_webp_too(tmp_path):
    alpha = np.asarray(Image.fromarray(np.array([[0, 90, 255]], np.uint8)).resize((48, 32)))
    image.save(tmp_path / "cut.webp", blocks(), alpha=alpha)
    np.testing.assert_array_equal(image.load_with_alpha(tmp_path / "cut.webp")[1], alpha)


def test_a_soft_edge_keeps_no_white(tmp_path):
    """White left in it would be a halo on any other ground."""
    half = np.full((4, 4), 128, np.uint8)
    black_on_white = np.full((4, 4, 3), 127, np.uint8)
    image.save(tmp_path / "cut.png", black_on_white, alpha=half)
    with Image.open(tmp_path / "cut.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture)[..., :3], 0)


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg"])
def test_save_refuses_alpha_in_a_jpeg(tmp_path, suffix):
    with pytest.raises(ValueError, match=r"six\.jpe?g .*one of \.png, \.tif, \.tiff, \.webp$"):
        image.save(tmp_path / f"six{suffix}", SIX, alpha=np.full((2, 3), 9, np.uint8))
    assert not list(tmp_path.iterdir())


def test_save_refuses_alpha_of_another_size(tmp_path, unchecked):
    with pytest.raises(ValueError, match=r"height and width, \(2, 3\), got \(3, 2\)"):
        image.save(tmp_path / "six.png", SIX, alpha=np.full((3, 2), 9, np.uint8))


# Gray


def test_gray_is_the_luma_in_all_channels():
    gray = image.to_uint8(image.to_gray(image.from_uint8(SIX)))
    assert np.all(gray == gray[..., :1])
    np.testing.assert_array_equal(gray[0, :, 0], [76, 150, 29])
    np.testing.assert_array_equal(image.to_gray(image.from_uint8(gray)), image.from_uint8(gray))


@pytest.mark.parametrize("suffix", image.SUFFIXES)
def test_a_gray_picture_is_known_in_every_format(tmp_path, suffix):
    color = image.from_uint8(smooth(20, 30))
    assert not image.is_gray(color)
    image.save(tmp_path / f"gray{suffix}", image.to_gray(color))
    assert image.is_gray(image.load(tmp_path / f"gray{suffix}"))


def test_gray_noise_is_that_of_one_channel():
    content, style = (image.to_gray(x) for x in (CONTENT, STYLE))
    for kind in ("content", "noise"):
        color = image.initial_image(kind, content, style, seed=5, noise=0.2)
        gray = image.initial_image(kind, content, style, seed=5, noise=0.2, gray=True)
        np.testing.assert_array_equal(gray, color[..., :1].repeat(3, axis=-1))


def test_resize_there_and_back_keeps_a_smooth_image():
    pixels = image.from_uint8(smooth(32, 40))
    back = image.resize(image.resize(pixels, 64, 80), 32, 40)
    np.testing.assert_allclose(back, pixels, atol=0.05)


@pytest.mark.parametrize(("height", "width"), [(0, 5), (5, -1)])
def test_resize_refuses_an_empty_image(height, width):
    with pytest.raises(ValueError, match=rf"`height` \(={height}\)"):
        image.resize(image.from_uint8(SIX), height, width)


# Saving


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".PNG"])
def test_save_keeps_every_pixel_in_lossless_formats(tmp_path, suffix):
    pixels = image.from_uint8(smooth(9, 14))
    image.save(tmp_path / f"smooth{suffix}", pixels)
    np.testing.assert_array_equal(image.load(tmp_path / f"smooth{suffix}"), pixels)


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_save_keeps_colors_in_lossy_formats(tmp_path, suffix):
    image.save(tmp_path / f"six{suffix}", blocks())
    found = image.load(tmp_path / f"six{suffix}") * 255
    np.testing.assert_allclose(centers(found), SIX, atol=6)


@pytest.mark.parametrize(
    ("suffix", "file_format"),
    [
        (".png", "PNG"),
        (".jpg", "JPEG"),
        (".jpeg", "JPEG"),
        (".tif", "TIFF"),
        (".tiff", "TIFF"),
        (".webp", "WEBP"),
    ],
)
def test_save_writes_the_format_of_the_ending(tmp_path, suffix, file_format):
    image.save(tmp_path / f"six{suffix}", SIX)
    with Image.open(tmp_path / f"six{suffix}") as picture:
        assert picture.format == file_format


def test_save_does_not_subsample_the_colors_of_a_jpeg(tmp_path):
    # Columns of red and blue: with subsampling they become one purple.
    image.save(tmp_path / "columns.jpg", np.tile(SIX[:1, ::2], (16, 8, 1)))
    found = image.load(tmp_path / "columns.jpg")
    assert found[:, ::2, 0].mean() - found[:, 1::2, 0].mean() > 0.9


def test_save_takes_uint8_as_it_is(tmp_path):
    image.save(tmp_path / "six.png", SIX)
    np.testing.assert_array_equal(image.to_uint8(image.load(tmp_path / "six.png")), SIX)


def test_save_clips(tmp_path):
    image.save(tmp_path / "clipped.png", np.full((1, 1, 3), [-0.7, 0.5, 1.7], np.float32))
    found = image.to_uint8(image.load(tmp_path / "clipped.png"))
    np.testing.assert_array_equal(found, [[[0, 128, 255]]])


def test_save_makes_the_folder(tmp_path):
    image.save(str(tmp_path / "new" / "deep" / "six.png"), SIX)
    assert (tmp_path / "new" / "deep" / "six.png").is_file()


@pytest.mark.parametrize("name", ["six", "six.gif", "six.png.txt"])
def test_save_refuses_other_endings(tmp_path, name):
    with pytest.raises(ValueError, match=rf"{name}.*\.png, \.jpg, \.jpeg, \.tif, \.tiff, \.webp"):
        image.save(tmp_path / name, SIX)


def test_save_refuses_nan(tmp_path):
    with pytest.raises(ValueError, match="NaN"):
        image.save(tmp_path / "nan.png", np.full((2, 2, 3), np.nan, np.float32))
    assert not list(tmp_path.iterdir())


def test_save_says_that_a_side_is_too_long(tmp_path):
    with pytest.raises(ValueError, match=r"cannot write .*long\.webp"):
        image.save(tmp_path / "long.webp", np.zeros((1, 16_384, 3), np.uint8))
    assert not list(tmp_path.iterdir())


def test_save_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "six.png"
    image.save(path, SIX)

    def fill_the_disk(_, temporary, **__):
        Path(temporary).write_bytes(b"half a picture")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fill_the_disk)
    with pytest.raises(OSError, match=r"cannot write .*six\.png: No space left"):
        image.save(path, 255 - SIX)
    np.testing.assert_array_equal(image.to_uint8(image.load(path)), SIX)
    assert list(tmp_path.iterdir()) == [path]


# Metadata

METADATA = {
    "Software": "nst_jax",
    "content": "Straße_naïve.jpg",
    "style": "神奈川沖浪裏 🎨",
    "config": '{"lr": 0.02,\n "text": "a \\"quote\\""}',
    "empty": "",
}


@pytest.mark.parametrize("suffix", image.SUFFIXES)
def test_metadata_come_back(tmp_path, suffix):
    image.save(tmp_path / f"six{suffix}", SIX, metadata=METADATA)
    assert image.read_metadata(tmp_path / f"six{suffix}") == METADATA


@pytest.mark.parametrize("suffix", image.SUFFIXES)
def test_metadata_leave_the_pixels_alone(tmp_path, suffix):
    image.save(tmp_path / f"plain{suffix}", SIX)
    image.save(tmp_path / f"told{suffix}", SIX, metadata=METADATA)
    plain, told = (image.load(tmp_path / f"{name}{suffix}") for name in ("plain", "told"))
    np.testing.assert_array_equal(plain, told)


@pytest.mark.parametrize("suffix", image.SUFFIXES)
def test_metadata_are_empty_if_there_are_none(tmp_path, suffix):
    image.save(tmp_path / f"six{suffix}", SIX)
    assert image.read_metadata(tmp_path / f"six{suffix}") == {}


def test_metadata_of_somebody_else_s_description_are_empty(tmp_path):
    tags = Image.Exif()
    tags[ExifTags.Base.ImageDescription] = "a boat"
    Image.fromarray(SIX).save(tmp_path / "boat.jpg", exif=tags)
    assert image.read_metadata(tmp_path / "boat.jpg") == {}


def test_metadata_too_long_for_a_jpeg_are_left_out(tmp_path):
    image.save(tmp_path / "six.jpg", SIX, metadata={"config": "x" * 70_000})
    assert image.read_metadata(tmp_path / "six.jpg") == {}


def test_metadata_of_a_png_may_be_long(tmp_path):
    metadata = {"config": "x" * 2_000_000}
    image.save(tmp_path / "six.png", SIX, metadata=metadata)
    assert image.read_metadata(tmp_path / "six.png") == metadata


def test_metadata_after_the_pixels_are_found(tmp_path):
    data = encode(Image.fromarray(SIX), "PNG")
    text = chunk(b"tEXt", b"Comment\0late")
    (tmp_path / "late.png").write_bytes(data[:-12] + text + data[-12:])
    assert image.read_metadata(tmp_path / "late.png") == {"Comment": "late"}


def test_metadata_take_file_names_that_are_no_text(tmp_path):
    image.save(tmp_path / "six.png", SIX, metadata={"content": "caf\udce9.jpg"})
    assert image.read_metadata(tmp_path / "six.png") == {"content": "caf\\udce9.jpg"}


@pytest.mark.parametrize("key", ["", "k" * 80, "naïve", "a\nb", "a\0b"])
def test_metadata_keys_that_png_forbids_are_refused(tmp_path, key):
    with pytest.raises(ValueError, match="1 to 79 printable ASCII"):
        image.save(tmp_path / "six.png", SIX, metadata={key: "value"})


def test_read_metadata_refuses_what_is_no_picture(tmp_path):
    (tmp_path / "text.png").write_text("once upon a time")
    with pytest.raises(ValueError, match=r"text\.png.*text file"):
        image.read_metadata(tmp_path / "text.png")


# Initial images

CONTENT = image.from_uint8(smooth(12, 20, seed=1))
STYLE = image.from_uint8(smooth(30, 18, seed=2))


def test_initial_image_is_the_content():
    np.testing.assert_array_equal(image.initial_image("content", CONTENT, STYLE), CONTENT)


@pytest.mark.parametrize("kind", ["content", CONTENT], ids=["content", "image"])
def test_initial_image_is_a_copy(kind):
    start = image.initial_image(kind, CONTENT, STYLE)
    assert not np.shares_memory(start, CONTENT)


@pytest.mark.parametrize("kind", ["content", "noise", "style", "blend", STYLE])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_initial_image_is_float32_of_the_content_s_size_in_range(kind, noise):
    start = image.initial_image(kind, CONTENT, STYLE, noise=noise)
    assert start.dtype == np.float32
    assert start.shape == CONTENT.shape
    assert start.min() >= 0
    assert start.max() <= 1


def test_initial_noise_is_uniform():
    content = np.zeros((100, 100, 3), np.float32)
    start = image.initial_image("noise", content, STYLE)
    counts, _ = np.histogram(start, bins=10, range=(0, 1))
    # 3000 a bin with a deviation of 52: five of them.
    np.testing.assert_allclose(counts, 3000, atol=260)


@pytest.mark.parametrize(("kind", "noise"), [("noise", 0.0), ("noise", 0.2), ("content", 0.2)])
def test_initial_image_of_a_seed_is_always_the_same(kind, noise):
    first, second = (
        image.initial_image(kind, CONTENT, STYLE, seed=7, noise=noise) for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(("kind", "noise"), [("noise", 0.0), ("content", 0.2)])
def test_initial_image_of_another_seed_is_another(kind, noise):
    first, second = (
        image.initial_image(kind, CONTENT, STYLE, seed=seed, noise=noise) for seed in (1, 2)
    )
    assert (first != second).mean() > 0.5


@pytest.mark.parametrize("kind", ["content", "style"])
def test_initial_image_without_noise_has_no_seed(kind):
    first, second = (image.initial_image(kind, CONTENT, STYLE, seed=seed) for seed in (1, 2))
    np.testing.assert_array_equal(first, second)


def test_initial_image_adds_normal_noise():
    grey = np.full((100, 100, 3), 0.5, np.float32)
    added = image.initial_image("content", grey, STYLE, noise=0.05) - grey
    # 30 000 values: five standard errors of the mean and of the deviation.
    assert abs(added.mean()) < 5 * 0.05 / 30_000**0.5
    assert abs(added.std() - 0.05) < 5 * 0.05 / 60_000**0.5


def test_initial_image_scales_the_same_noise():
    grey = np.full((8, 8, 3), 0.5, np.float32)
    small, large = (
        image.initial_image("content", grey, STYLE, noise=noise) - grey for noise in (0.01, 0.02)
    )
    np.testing.assert_allclose(large, 2 * small, atol=1e-6)


def test_initial_noise_and_added_noise_are_independent():
    content = np.full((100, 100, 3), 0.5, np.float32)
    start = image.initial_image("noise", content, STYLE)
    added = image.initial_image("content", content, STYLE, noise=0.05) - content
    # Five standard errors of the correlation of 30 000 independent pairs.
    assert abs(np.corrcoef(start.ravel(), added.ravel())[0, 1]) < 5 / 30_000**0.5


def test_initial_image_adds_the_same_noise_to_every_start():
    grey = np.full((30, 30, 3), 0.5, np.float32)
    added = image.initial_image("content", grey, STYLE, noise=0.01) - grey
    start = image.initial_image("noise", grey, STYLE)
    inner = (start > 0.1) & (start < 0.9)  # not clipped
    found = image.initial_image("noise", grey, STYLE, noise=0.01) - start
    np.testing.assert_allclose(found[inner], added[inner], atol=1e-6)


@pytest.mark.parametrize("wide", [True, False])
def test_initial_style_is_its_central_part(wide):
    # Three colored stripes; a square content sees the one in the middle.
    stripes = blocks(SIX[:1], side=32) if wide else blocks(SIX[:1].transpose(1, 0, 2), side=32)
    content = np.zeros((16, 16, 3), np.float32)
    start = image.initial_image("style", content, image.from_uint8(stripes))
    # Lanczos's filter looks three pixels further.
    np.testing.assert_allclose(start, np.full((16, 16, 3), [0, 1, 0]), atol=0.06)
    np.testing.assert_allclose(start[3:-3, 3:-3], np.full((10, 10, 3), [0, 1, 0]), atol=1e-6)


def test_initial_style_of_the_content_s_size_is_the_style():
    style = image.from_uint8(smooth(12, 20, seed=3))
    np.testing.assert_array_equal(image.initial_image("style", CONTENT, style), style)


def test_initial_style_keeps_its_aspect():
    # A disk that fills the style's width is as high as wide in a wide content.
    rows, columns = np.indices((90, 60))
    disk = (np.hypot(rows - 44.5, columns - 29.5) < 10).astype(np.float32)
    style = np.stack([disk] * 3, axis=-1)
    start = image.initial_image("style", np.zeros((60, 120, 3), np.float32), style)[..., 0]
    height, width = (start.max(axis=axis).round().sum() for axis in (1, 0))
    assert (height, width) == (40, 40)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 50), (50, 1), (7, 13), (333, 97)])
def test_initial_style_covers_any_size(height, width):
    flat = np.full((31, 17, 3), 0.25, np.float32)
    start = image.initial_image("style", np.zeros((height, width, 3), np.float32), flat)
    np.testing.assert_allclose(start, 0.25, atol=1e-6)


def test_initial_image_of_an_image_is_cropped_as_the_style_is():
    start = image.initial_image(STYLE, CONTENT, CONTENT)
    np.testing.assert_array_equal(start, image.initial_image("style", CONTENT, STYLE))


def test_initial_image_of_an_image_of_the_same_aspect_is_that_image_resized():
    start = image.initial_image(image.resize(STYLE, 6, 10), CONTENT, CONTENT)
    np.testing.assert_allclose(start, image.resize(image.resize(STYLE, 6, 10), 12, 20), atol=1e-6)


def test_a_blend_is_halfway_between_content_and_style():
    halfway = (CONTENT + image.initial_image("style", CONTENT, STYLE)) / 2
    np.testing.assert_allclose(image.initial_image("blend", CONTENT, STYLE), halfway, atol=1e-7)


def test_initial_image_names_the_kinds():
    with pytest.raises(ValueError, match="content, noise, style, blend or an image, got 'random'"):
        image.initial_image("random", CONTENT, STYLE)


@pytest.mark.parametrize("noise", [-0.1, float("nan"), float("inf")])
def test_initial_image_refuses_an_impossible_noise(noise):
    with pytest.raises(ValueError, match="`noise`"):
        image.initial_image("content", CONTENT, STYLE, noise=noise)


def test_initial_image_refuses_a_negative_seed():
    with pytest.raises(ValueError, match=r"`seed` \(=-1\)"):
        image.initial_image("noise", CONTENT, STYLE, seed=-1)


# The module


def test_importing_the_module_does_not_import_jax():
    code = "import sys, nst_jax.image; print('jax' in sys.modules)"
    root = Path(nst_jax.__file__).parents[1]
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=root, check=True, capture_output=True, text=True
    )
    assert found.stdout == "False\n"


# Color profiles and 16 bits of what is written


@pytest.mark.parametrize("suffix", image.SUFFIXES)
def test_each_file_says_that_it_is_in_srgb_with_the_same_bytes_on_every_day(suffix, tmp_path):
    path = tmp_path / f"blocks{suffix}"
    image.save(path, blocks())
    with Image.open(path) as picture:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(picture.info["icc_profile"]))
        assert picture.info["icc_profile"][24:28] == bytes([2000 // 256, 2000 % 256, 0, 1])
    assert "sRGB" in ImageCms.getProfileDescription(profile)


def test_a_kept_profile_is_in_the_file_and_the_colors_are_converted_to_it(tmp_path):
    swapped = icc_profile(2.2, (BLUE, GREEN, RED))
    image.save(tmp_path / "red.png", np.full((4, 4, 3), (255, 0, 0), np.uint8), profile=swapped)
    assert image.profile_of(tmp_path / "red.png") == swapped
    with Image.open(tmp_path / "red.png") as picture:
        np.testing.assert_allclose(picture.getpixel((0, 0)), (0, 0, 255), atol=2)


@pytest.mark.parametrize("profile", [b"not a profile", icc_profile(1), None])
def test_a_profile_that_no_color_picture_can_have_is_none(profile, tmp_path):
    path = tmp_path / "six.png"
    Image.fromarray(SIX).save(path, icc_profile=profile)
    assert image.profile_of(path) is None


def read_16_bits(path) -> np.ndarray:
    return pytest.importorskip("pyvips").Image.new_from_file(str(path)).numpy()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_are_those_of_the_floats(suffix, tmp_path):
    pytest.importorskip("pyvips")
    floats = np.random.default_rng(0).random((40, 60, 3), np.float32)
    path = tmp_path / f"deep{suffix}"
    image.save(path, floats, depth=16, metadata=METADATA)
    expected = np.rint(floats.astype(np.float64) * 65535)
    np.testing.assert_allclose(read_16_bits(path), expected, atol=1)
    assert len(np.unique(read_16_bits(path) % 257)) == 257  # no stretched 8 bits
    assert image.read_metadata(path).keys() == METADATA.keys()
    np.testing.assert_allclose(image.load(path), floats, atol=1.01 / 255)


def test_16_bits_have_alpha_and_a_kept_profile(tmp_path):
    pytest.importorskip("pyvips")
    alpha = np.full((4, 4), 128, np.uint8)
    red = np.full((4, 4, 3), (65535, 32768, 32768), np.uint16)
    swapped = icc_profile(2.2, (BLUE, GREEN, RED))
    image.save(tmp_path / "red.png", red, alpha=alpha, profile=swapped)
    found = read_16_bits(tmp_path / "red.png")[0, 0] / 65535
    # Without the white that lies under it the picture is pure red, which the profile calls blue.
    np.testing.assert_allclose(found, (0, 0.02, 1, 128 / 255), atol=0.03)
    assert image.profile_of(tmp_path / "red.png") == swapped


def test_16_bits_are_refused_where_there_are_none(tmp_path):
    with pytest.raises(ValueError, match=r"its ending must be one of \.png, \.tif, \.tiff"):
        image.save(tmp_path / "out.jpg", np.zeros((4, 4, 3), np.float32), depth=16)
    with pytest.raises(ValueError, match="has 8 bits"):
        image.save(tmp_path / "out.png", np.zeros((4, 4, 3), np.uint8), depth=16)


# Large pictures


LARGE = (1024, 1024, 3)
LEVELS = np.full(LARGE, 128, np.uint8)


@pytest.mark.parametrize(
    ("work", "bytes_a_value"),
    [
        (image.to_uint8, 1),
        (image.to_uint16, 2),
        (image.is_gray, 0),
        (lambda x: image.with_colors_of(x, x), 4),
        (lambda x: image.match_colors(x, x[:99]), 4),
        (lambda x: arrays.with_alpha(LEVELS, LEVELS[..., 0]), 4 / 3),
    ],
    ids=["8 bits", "16 bits", "gray", "colors", "matched", "alpha"],
)
def test_work_on_a_picture_takes_little_more_memory_than_its_result(work, bytes_a_value):
    picture = np.full(LARGE, 0.5, np.float32)
    tracemalloc.start()
    try:
        work(picture)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # A float of 64 bits for each of a band's values, four times: less than one more picture.
    assert peak < bytes_a_value * picture.size + 32 * arrays._BAND < 2 * picture.nbytes


@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 5, 3), (3, 200_000, 3), (1000, 50, 4)])
def test_bands_are_all_rows_in_order(shape):
    rows = np.concatenate([np.arange(shape[0])[band] for band in arrays.bands(shape)])
    np.testing.assert_array_equal(rows, np.arange(shape[0]))


def test_a_picture_in_rgb_is_decoded_once(tmp_path):
    Image.fromarray(SIX).save(tmp_path / "six.png")
    with decoding.opened(tmp_path / "six.png") as picture:
        assert decoding.decoded(picture, [])[0] is picture
