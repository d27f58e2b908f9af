"""The places of a run log: everything that it will hold has its full size from the start."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nst_jax.runlog.record import SCHEMA, SCHEMA_VERSION, SERIES, TERMS, Variant, style_path

# Of fixed length, to be overwritten in place.
STATUS = h5py.string_dtype(length=16)


def check_space(
    path: Path, num_steps: int, num_snapshots: int, variants: Sequence[Variant], content: np.ndarray
) -> None:
    """Refuses a log that the disk cannot hold: HDF5 does not survive a full one.

    Raises:
      OSError: one line that says what is needed.
    """
    # Ten series of at most 8 bytes, and five layers more.
    needed = len(variants) * (num_steps * 15 * 8 + (num_snapshots + 1) * content.nbytes) + 2**20
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
        dtype = h5py.string_dtype() if isinstance(values[0], str) else None
        if field.name == "status":
            dtype = STATUS
        file.create_dataset(f"variants/{field.name}", data=values, dtype=dtype)
    file["variants/label"].make_scale("variant")


def write_series(
    file: h5py.File, variants: int, style_layers: Sequence[str], num_steps: int
) -> None:
    """Room for the rows, with units and scales, so that other programs label their axes."""
    names = np.array(style_layers, dtype=h5py.string_dtype())
    file.create_dataset("layers/style", data=names).make_scale("layer")
    sizes = {"v": variants, "l": len(style_layers)}
    scales = {"v": "variants/label", "l": "layers/style"}
    for where, dtype, axes, unit in SERIES.values():
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
    content: np.ndarray,
    styles: Mapping[str, np.ndarray],
    variants: int,
    num_snapshots: int,
) -> None:
    """The pictures that go in, and room for those that come out and their losses."""
    file.create_dataset("images/content", data=content, compression="gzip")
    for number, (name, style) in enumerate(styles.items(), start=1):
        where = style_path(number)
        file.create_dataset(where, data=style, compression="gzip").attrs["name"] = _text(name)
    shape = (variants, *content.shape)
    for term in TERMS:
        file.create_dataset(f"final/{term}", data=np.full(variants, np.nan, np.float32))
    file.create_dataset("images/final", data=np.zeros(shape, np.uint8))
    file.create_dataset("images/snapshots", data=np.zeros((num_snapshots, *shape), np.uint8))
    steps = np.full(num_snapshots, -1, np.int32)
    file.create_dataset("images/snapshot_step", data=steps)


def _text(value: Any) -> Any:
    """A string as HDF5 can hold it: file names need not be valid text. Other values unchanged."""
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value
