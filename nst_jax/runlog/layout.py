"""The places of a run log: everything that it will hold has its full size from the start."""

import errno
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from jaxtyping import Float

from nst_jax.choices import Depth
from nst_jax.runlog.record import (
    FINE,
    SCHEMA,
    SCHEMA_VERSION,
    LoggedStage,
    Variant,
    largest,
    picture_path,
)
from nst_jax.runlog.series import TOTAL, Parts, axis_of, series

# Of fixed length, to be overwritten in place.
STATUS = h5py.string_dtype(length=16)

ATTRIBUTES = {
    *("schema", "schema_version", "status"),
    *("config_json", "chunk_length", "compile_seconds"),
}
"""Attributes of the root that the schema itself writes."""


def check_space(
    path: Path,
    num_steps: int,
    num_snapshots: int,
    variants: Sequence[Variant],
    parts: Parts,
    contents: Mapping[str, np.ndarray],
    depth: Depth,
) -> None:
    """Refuses a log that the disk cannot hold: HDF5 does not survive a full one.

    Raises:
      OSError: one line that says what is needed.
    """
    # Five series beside the losses, all of at most 8 bytes.
    values = 5 + 1 + len(parts) + sum(map(len, parts.values()))
    # Of 8 bits one each, and of 16 the last one once more.
    bytes_a_color = num_snapshots + (3 if depth == 16 else 1)
    pictures = bytes_a_color * 3 * math.prod(largest(contents.values()))
    read = sum(content.nbytes for content in contents.values())
    needed = len(variants) * (num_steps * values * 8 + pictures) + read + 2**20
    if not _can_be_had(needed, path.parent):
        free = shutil.disk_usage(path.parent).free
        raise OSError(
            f"cannot write {path}: it takes up to {needed / 1e6:.0f} MB, and there are "
            f"{free / 1e6:.0f} MB free, or a quota leaves less; use fewer steps, variants or "
            "snapshots, or another disk"
        )


def _can_be_had(size: int, folder: Path) -> bool:
    if not hasattr(os, "posix_fallocate"):
        return size <= shutil.disk_usage(folder).free
    # A quota is known only to the system.
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                return False
            raise
    return True


def write_attributes(
    file: h5py.File, config: Mapping[str, Any], attributes: Mapping[str, Any], chunk_length: int
) -> None:
    """The schema's own attributes of the root, and others; plain numbers, bools and strings."""
    file.attrs.update(
        {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "status": np.array("running", STATUS),
            "config_json": json.dumps(config),
            "chunk_length": chunk_length,
            "compile_seconds": np.float64(0),
            **{name: _text(value) for name, value in attributes.items()},
        }
    )


def write_variants(file: h5py.File, variants: Sequence[Variant]) -> None:
    """The settings of each variant, and how it ended."""
    for field in fields(Variant):
        values = [_text(getattr(variant, field.name)) for variant in variants]
        if field.name == "weights":
            for term in values[0]:
                file[f"weights/{term}"] = [float(each[term]) for each in values]
            continue
        dtype = h5py.string_dtype() if isinstance(values[0], str) else None
        if field.name == "status":
            dtype = STATUS
        file.create_dataset(f"variants/{field.name}", data=values, dtype=dtype)
    file["variants/label"].make_scale("variant")


def write_terms(
    file: h5py.File, parts: Parts, part_weights: Mapping[str, Float[np.ndarray, "v part"]]
) -> None:
    """The names of the terms and of their parts, and the weights of the parts."""
    names = h5py.string_dtype()
    file.create_dataset("terms", data=np.array(list(parts), names))
    for term, own in parts.items():
        file.create_dataset(f"parts/{term}", data=np.array(own, names)).make_scale("part")
    for term, weights in part_weights.items():
        file.create_dataset(f"part_weights/{term}", data=np.asarray(weights, np.float32))


def write_series(file: h5py.File, variants: int, parts: Parts, num_steps: int) -> None:
    """Room for the rows, with units and scales, so that other programs label their axes."""
    sizes = {"v": variants, **{axis_of(term): len(own) for term, own in parts.items()}}
    scales = {"v": "variants/label", **{axis_of(term): f"parts/{term}" for term in parts}}
    for where, (dtype, axes, unit) in series(parts).items():
        shape = (num_steps, *(sizes[axis] for axis in axes))
        fill = -1 if np.issubdtype(dtype, np.integer) else np.nan
        # Written, not only declared: HDF5 gives a dataset its place with its first values.
        dataset = file.create_dataset(where, data=np.full(shape, fill, dtype))
        dataset.attrs["unit"] = unit
        if where == "step":
            dataset.make_scale("step")
        else:
            dataset.dims[0].attach_scale(file["step"])
        for i, axis in enumerate(axes, start=1):
            dataset.dims[i].attach_scale(file[scales[axis]])


def write_images(
    file: h5py.File,
    contents: Mapping[str, np.ndarray],
    styles: Mapping[str, np.ndarray],
    terms: Iterable[str],
    variants: int,
    num_snapshots: int,
    depth: Depth,
) -> None:
    """The pictures that go in, and room for those that come out and their losses."""
    _write_inputs(file, "content", contents)
    _write_inputs(file, "style", styles)
    shape = (variants, *largest(contents.values()), 3)
    for name in (TOTAL, *terms):
        file.create_dataset(f"final/{name}", data=np.full(variants, np.nan, np.float32))
    file.create_dataset("images/final", data=np.zeros(shape, np.uint8))
    if depth == 16:
        file.create_dataset(FINE, data=np.zeros(shape, np.uint16))
    file.create_dataset("images/snapshots", data=np.zeros((num_snapshots, *shape), np.uint8))
    steps = np.full(num_snapshots, -1, np.int32)
    file.create_dataset("images/snapshot_step", data=steps)


def _write_inputs(
    file: h5py.File, kind: Literal["content", "style"], pictures: Mapping[str, np.ndarray]
) -> None:
    for number, (name, picture) in enumerate(pictures.items(), start=1):
        where = picture_path(kind, number)
        file.create_dataset(where, data=picture, compression="gzip").attrs["name"] = _text(name)


def write_stages(file: h5py.File, stages: Sequence[LoggedStage]) -> None:
    """The sizes of a run of several, and where each ends."""
    for i, name in enumerate(LoggedStage._fields if stages else ()):
        file[f"stages/{name}"] = np.array([stage[i] for stage in stages], np.int32)


def write_metrics(file: h5py.File, metrics: Sequence[str], variants: int) -> None:
    """Room for what judges say of the pictures that come out."""
    for name in metrics:
        file.create_dataset(f"metrics/{name}", data=np.full(variants, np.nan, np.float32))


def write_guides(
    file: h5py.File, references: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray]
) -> None:
    """Further pictures that terms read, and the masks of regions."""
    for group, pictures in (("references", references), ("masks", masks)):
        for name, picture in pictures.items():
            file.create_dataset(f"{group}/{name}", data=picture, compression="gzip")


def _text(value: Any) -> Any:
    """A string as HDF5 can hold it: file names need not be valid text. Other values unchanged."""
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value
