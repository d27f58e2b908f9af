"""Files that are given for weights and are not read: what they are, and what to do about it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

HEAD = 512
"""Bytes at the beginning of a file that show its kind."""
MATLAB = b"MATLAB "
"""The beginning of MATLAB's files: newer ones are HDF5 behind a header."""

_AGAIN = "download it again"
_SAME = (
    "the network that most such files hold, Oxford's VGG, is had by `nst-jax weights fetch`; "
    "another one by writing its kernels and biases by numpy.savez, under names such as "
    "conv1_1_W and conv1_1_b"
)
_UNPICKLED = f"it may hold code, which reading would run: {_SAME}"
_UNPACK = "unpack it, and name the file in it"


class _Kind(NamedTuple):
    what: str
    cure: str


_PICTURE = _Kind("a picture", "name the file of weights")

# Kinds by the first bytes; the first entry that fits counts.
_BEGINNINGS: dict[bytes, _Kind] = {
    b"version https://git-lfs": _Kind(
        "a Git LFS pointer, which stands for the file", "get the file by `git lfs pull`"
    ),
    b"/annex/objects/": _Kind(
        "a git-annex pointer, which stands for the file", "get the file by `git annex get`"
    ),
    b"\x93NUMPY": _Kind("one NumPy array, or pickled objects (.npy)", _UNPICKLED),
    b"\x80": _Kind("a Python pickle", _UNPICKLED),
    MATLAB: _Kind("a MATLAB file, as MatConvNet's", _SAME),
    b"\x04\0\0\0\x01\0\0\0\x03\0\0\0V 1": _Kind("a Lua Torch file (.t7)", _SAME),
    b"\x12\x01\0\0\0\0\0\0": _Kind("an MXNet file", _SAME),
    b"model_checkpoint_path": _Kind("the table of contents of TensorFlow checkpoints", _SAME),
    b"(dp": _Kind("a Python pickle", _UNPICKLED),
    b"\x89PNG": _PICTURE,
    b"\xff\xd8\xff": _PICTURE,
    b"\x1f\x8b": _Kind("a gzip archive", _UNPACK),
    b"BZh": _Kind("a bzip2 archive", _UNPACK),
    b"\xfd7zXZ\0": _Kind("an xz archive", _UNPACK),
    b"7z\xbc\xaf\x27\x1c": _Kind("a 7z archive", _UNPACK),
    b"Rar!": _Kind("a RAR archive", _UNPACK),
    b"\0" * 16: _Kind("zeros, as a broken download leaves them", _AGAIN),
}
# Kinds by a mark further on, with its place.
_PLACES = {
    (4, b"TFL3"): _Kind("a TensorFlow Lite model", _SAME),
    (257, b"ustar"): _Kind("a tar archive", _UNPACK),
}
# Kinds without a mark, by the end of the file's name.
_ENDINGS = {
    r"\.caffemodel": _Kind("a Caffe model", _SAME),
    r"\.prototxt": _Kind("a description of a Caffe network, without weights", _SAME),
    r"\.onnx": _Kind("an ONNX model", _SAME),
    r"\.tflite": _Kind("a TensorFlow Lite model", _SAME),
    r"\.pb|\.pbtxt": _Kind("a TensorFlow graph", _SAME),
    r"\.ckpt.*|\.index|\.meta|\.data-\d+-of-\d+": _Kind("a TensorFlow checkpoint", _SAME),
    r"\.t7": _Kind("a Lua Torch file (.t7)", _SAME),
    r"\.mat": _Kind("a file named .mat that does not begin as MATLAB's", _AGAIN),
    r"\.msgpack|\.flax": _Kind("a MessagePack file, as Flax's", _SAME),
    r"\.mlmodel": _Kind("a Core ML model", _SAME),
}


def in_words(path: Path, head: bytes) -> str:
    """What a file is that is not read, and what to do.

    Args:
      path: the file; some kinds are known by its name alone.
      head: its first `HEAD` bytes, all of a shorter file.

    Returns:
      A phrase for an error: the kind, a colon, the cure.
    """
    kind = _kind(path, head)
    if kind is None:
        return f"a file that begins with {head[:16]!r}"
    return f"{kind.what}: {kind.cure}"


def archive_in_words(names: Sequence[str]) -> str:
    """What a zip archive is that is not read, and what to do.

    Args:
      names: of the files in it.

    Returns:
      As `in_words`.
    """
    if not names:
        return f"an empty zip archive: {_AGAIN}"
    some = ", ".join(f"{name!r:.60}" for name in names[:3])
    return f"a zip archive of {some}{' and so on' if len(names) > 3 else ''}: {_UNPACK}"


def _kind(path: Path, head: bytes) -> _Kind | None:
    if not head:
        return _Kind("an empty file", _AGAIN)
    for beginning, kind in _BEGINNINGS.items():
        if head.startswith(beginning):
            return kind
    for (place, mark), kind in _PLACES.items():
        if head[place:].startswith(mark):
            return kind
    if page := _page(head):
        return page
    for ending, kind in _ENDINGS.items():
        if re.search(f"({ending})$", path.name.lower()):
            return kind
    return None


def _page(head: bytes) -> _Kind | None:
    """Recognizes what a host sends in place of a file, for a log-in or with an error."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if re.match(rb"<!doctype html|<html|<head|<!--", text):
        return _Kind(
            "a web page, as a host sends for a log-in or an error", "download the file itself"
        )
    if re.match(rb"<\?xml|<error", text):
        return _Kind("XML, as a host sends for an error", "download the file itself")
    if re.match(rb'[{\[]\s*["{\[]', text):
        return _Kind("text in JSON, without weights", "name the file of weights")
    if re.fullmatch(rb"(\d{3}[: ]|[a-z]+ )[ -~\s]*", text):
        return _Kind("text, as a host sends for an error", "download the file itself")
    return None
