"""The pictures of the page: as data URIs, in full size or small, and not more than it can hold."""

import base64
import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from nst_jax.runlog import RunRecord

# Of more variants the page has thumbnails only.
MAX_FULL_SIZE = 64
THUMBNAIL = 96
# Longest side of a snapshot of a single run, and of a sweep; how many of a variant, and of all.
_SNAPSHOT, _SMALL_SNAPSHOT = 512, 256
_MOST_SNAPSHOTS, _MOST_SNAPSHOTS_OF_ALL = 32, 400
LONGEST_SIDE = 2048
"""Pixels of the longest side of a picture that is shown: no screen has room for many more."""


def shown(record: RunRecord) -> list[bool]:
    """Which variants have a picture; those that have not ended are black in the log."""
    return [record.images is not None and v.status != "running" for v in record.variants]


def reduced(
    picture: UInt8[np.ndarray, "h w *c"], size: int = LONGEST_SIDE
) -> UInt8[np.ndarray, "h2 w2 *c"]:
    """A picture of `size` pixels at most; itself if it is no larger."""
    if max(picture.shape[:2]) <= size:
        return picture
    image = Image.fromarray(picture)
    image.thumbnail((size, size))
    return np.asarray(image)


def jpeg(picture: UInt8[np.ndarray, "h w *c"], size: int | None = None) -> str:
    """A picture as a data URI, `size` or `LONGEST_SIDE` pixels at most."""
    data = io.BytesIO()
    image = Image.fromarray(reduced(picture, size or LONGEST_SIDE))
    image.save(data, "JPEG", quality=80 if size else 90, subsampling=2 if size else 0)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()


def snapshot_steps(record: RunRecord) -> list[int]:
    """The steps whose snapshots are shown, evenly spread; none of more variants than fit."""
    variants, taken = len(record.variants), len(record.snapshot_steps)
    if variants > MAX_FULL_SIZE:
        return []
    count = min(taken, _MOST_SNAPSHOTS, _MOST_SNAPSHOTS_OF_ALL // variants)
    places = np.linspace(0, taken - 1, count).round().astype(int)
    return record.snapshot_steps[places].tolist()


def snapshots(record: RunRecord) -> list[dict[int, str]]:
    """Of each variant the snapshots of these steps as data URIs, as far as it has them."""
    steps_shown = snapshot_steps(record)
    if not steps_shown:
        return []
    size = _SNAPSHOT if len(record.variants) == 1 else _SMALL_SNAPSHOT
    found = []
    for i in range(len(record.variants)):
        steps, pictures = record.snapshots_of(i)
        taken = zip(steps.tolist(), pictures, strict=True)
        found.append({step: jpeg(picture, size) for step, picture in taken if step in steps_shown})
    return found
