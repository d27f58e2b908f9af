"""The run log: one HDF5 file a run, single or sweep, that survives a kill.

    /            attributes: schema, schema_version, status, settings, versions, device, hashes
    /variants    label, optimizer, learning_rate, ..., status, diverged_step          (v,)
    /step (t,)   /wall_time (t,) seconds   /evaluations (t, v)
    /losses      total, content, style, total_variation (t, v), style_per_layer (t, v, layer)
    /grad_norm, /update_norm (t, v)        NaN after a variant has diverged
    /final       the terms of the saved picture (v,)
    /images      content, style, final (v, h, w, 3), snapshots (s, v, h, w, 3), snapshot_step (s,)

Three rules keep what was written when the process is killed: along time a chunk of a dataset
holds exactly the rows of one flush, so that none is ever written twice (longer ones lost rows
in 11 of 100 kills, these in none of 260); the file is made beside its name and renamed once
its skeleton is on disk; valid rows are those of the shortest series whose step was written.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from jaxtyping import Float, Int, UInt8

from nst_jax import files

SCHEMA = "nst_jax.run"
SCHEMA_VERSION = 1

Status = Literal["running", "finished", "interrupted", "failed"]
TERMS = ("total", "content", "style", "total_variation")

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class Variant:
    """The settings in which the variants of a run differ, and how each ended.

    `status` is "running", "finished" or "diverged"; `diverged_step` is -1 unless diverged.
    """

    label: str
    optimizer: str
    learning_rate: float
    content_weight: float
    style_weight: float
    tv_weight: float
    style: str
    init: str
    seed: int
    status: str = "running"
    diverged_step: int = -1


@dataclass(frozen=True)
class Rows:
    """The series of a run, one row a step; row i is of the image before update i.

    The terms are those before their weights: total = sum of weight x term.
    """

    step: Int[np.ndarray, "t"]
    wall_time: Float[np.ndarray, "t"]
    evaluations: Int[np.ndarray, "t v"]
    total: Float[np.ndarray, "t v"]
    content: Float[np.ndarray, "t v"]
    style: Float[np.ndarray, "t v"]
    total_variation: Float[np.ndarray, "t v"]
    style_per_layer: Float[np.ndarray, "t v layer"]
    grad_norm: Float[np.ndarray, "t v"]
    update_norm: Float[np.ndarray, "t v"]


@dataclass(frozen=True)
class RunRecord:
    """A run log as read by `load`.

    Attributes:
      path: the file.
      attributes: of the root, as in the schema (status, versions, device, hashes).
      config: the settings of the command, parsed from `config_json`.
      variants: one a column of the rows.
      style_layers: names, in the order of `rows.style_per_layer`.
      rows: the series.
      final: terms of the saved pictures, `{term: (v,)}`; None until the run has ended.
      content, style: the input pictures.
      images: the saved pictures, (v, h, w, 3); None until the run has ended.
      snapshots, snapshot_steps: (s, v, h, w, 3) and (s,); s may be 0.
    """

    path: Path
    attributes: dict[str, Any]
    config: dict[str, Any]
    variants: tuple[Variant, ...]
    style_layers: tuple[str, ...]
    rows: Rows
    final: dict[str, np.ndarray] | None
    content: UInt8[np.ndarray, "h w 3"]
    style: UInt8[np.ndarray, "h2 w2 3"]
    images: UInt8[np.ndarray, "v h w 3"] | None
    snapshots: UInt8[np.ndarray, "s v h w 3"]
    snapshot_steps: Int[np.ndarray, "s"]

    @property
    def status(self) -> Status:
        return self.attributes["status"]


# Path in the file, dtype, axes behind time, unit.
_SERIES = {
    "step": ("step", np.int32, "", "steps"),
    "wall_time": ("wall_time", np.float64, "", "seconds since the start"),
    "evaluations": ("evaluations", np.int32, "v", "objective evaluations in the step"),
    **{term: (f"losses/{term}", np.float32, "v", "loss, before its weight") for term in TERMS},
    "style_per_layer": ("losses/style_per_layer", np.float32, "vl", "loss, before its weight"),
    "grad_norm": ("grad_norm", np.float32, "v", "L2 norm, total per unit of pixel"),
    "update_norm": ("update_norm", np.float32, "v", "L2 norm, pixel units of [0, 1]"),
}


class RunLog:
    """A run log being written; a context manager that closes the file.

    Use `create`, then `append` a chunk at a time, then `finish`.
    """

    def __init__(self, file: h5py.File):
        self._file = file

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        attributes: Mapping[str, Any],
        config: Mapping[str, Any],
        variants: Sequence[Variant],
        style_layers: Sequence[str],
        content: UInt8[np.ndarray, "h w 3"],
        style: UInt8[np.ndarray, "h2 w2 3"],
        chunk_length: int,
    ) -> "RunLog":
        """Makes the file with status "running" and no rows; an existing one is replaced.

        Args:
          path: where the log goes.
          attributes: of the root beside the schema's own; plain numbers, bools and strings.
          config: settings, kept as JSON.
          variants: what each column of the rows is.
          style_layers: names for the last axis of `style_per_layer`.
          content: the content picture as it is optimised against.
          style: the style picture.
          chunk_length: rows a call of `append`.
        """
        with files.replacing(path) as temporary, h5py.File(temporary, "w") as file:
            file.attrs.update(
                {
                    "schema": SCHEMA,
                    "schema_version": SCHEMA_VERSION,
                    "status": "running",
                    "config_json": json.dumps(config),
                    "chunk_length": chunk_length,
                    **attributes,
                }
            )
            _write_variants(file, variants)
            _write_series(file, len(variants), style_layers, chunk_length)
            _write_images(file, content, style, len(variants))
        return cls(h5py.File(path, "r+"))

    def append(self, rows: Rows) -> None:
        """Adds the rows of one chunk and flushes them to the file."""
        for name, (where, *_) in _SERIES.items():
            values, dataset = getattr(rows, name), self._file[where]
            count = len(dataset)
            dataset.resize(count + len(values), axis=0)
            dataset[count:] = values
        self._file.flush()

    def append_snapshot(self, step: int, images: UInt8[np.ndarray, "v h w 3"]) -> None:
        """Keeps the images after `step` steps."""
        for where, value in (("images/snapshots", images), ("images/snapshot_step", step)):
            dataset = self._file[where]
            dataset.resize(len(dataset) + 1, axis=0)
            dataset[-1] = value
        self._file.flush()

    def finish(
        self,
        status: Status,
        variants: Sequence[Variant],
        *,
        final: Mapping[str, Float[np.ndarray, "v"]],
        images: UInt8[np.ndarray, "v h w 3"],
    ) -> None:
        """Adds how the run ended: the saved pictures, their losses, the variants' status."""
        for term in TERMS:
            self._file.create_dataset(f"final/{term}", data=np.asarray(final[term], np.float32))
        self._file.create_dataset(
            "images/final", data=images, chunks=(1, *images.shape[1:]), compression="gzip"
        )
        self._file["variants/status"][:] = [variant.status for variant in variants]
        self._file["variants/diverged_step"][:] = [v.diverged_step for v in variants]
        self._file.attrs["status"] = status
        self._file.flush()

    def fail(self) -> None:
        """Marks a run that ended by an error."""
        self._file.attrs["status"] = "failed"
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _write_variants(file: h5py.File, variants: Sequence[Variant]) -> None:
    for field in fields(Variant):
        values = [getattr(variant, field.name) for variant in variants]
        dtype = h5py.string_dtype() if isinstance(values[0], str) else None
        file.create_dataset(f"variants/{field.name}", data=values, dtype=dtype)
    file["variants/label"].make_scale("variant")


def _write_series(
    file: h5py.File, variants: int, style_layers: Sequence[str], chunk_length: int
) -> None:
    names = np.array(style_layers, dtype=h5py.string_dtype())
    file.create_dataset("layers/style", data=names).make_scale("layer")
    sizes = {"v": variants, "l": len(style_layers)}
    scales = {"v": "variants/label", "l": "layers/style"}
    for where, dtype, axes, unit in _SERIES.values():
        shape = tuple(sizes[axis] for axis in axes)
        dataset = file.create_dataset(
            where,
            shape=(0, *shape),
            # Chunks of length zero are refused: an empty axis, as without style layers, is left
            # extendible, with chunks of one.
            maxshape=(None, *(n or None for n in shape)),
            chunks=(chunk_length, *(max(n, 1) for n in shape)),
            dtype=dtype,
            # What a row reads as that has its place in the file, but not yet its values.
            fillvalue=-1 if np.issubdtype(dtype, np.integer) else np.nan,
        )
        dataset.attrs["unit"] = unit
        if where == "step":
            dataset.make_scale("step")
        else:
            dataset.dims[0].attach_scale(file["step"])
        for i, axis in enumerate(axes, start=1):
            dataset.dims[i].attach_scale(file[scales[axis]])


def _write_images(file: h5py.File, content: np.ndarray, style: np.ndarray, variants: int) -> None:
    file.create_dataset("images/content", data=content, compression="gzip")
    file.create_dataset("images/style", data=style, compression="gzip")
    shape = (variants, *content.shape)
    file.create_dataset(
        "images/snapshots",
        shape=(0, *shape),
        maxshape=(None, *shape),
        chunks=(1, 1, *content.shape),
        dtype=np.uint8,
        compression="gzip",
    )
    file.create_dataset(
        "images/snapshot_step", shape=(0,), maxshape=(None,), chunks=(1,), dtype=np.int32
    )


def load(path: str | Path) -> RunRecord:
    """Reads a run log, also one that is being written or whose writer was killed.

    Raises:
      OSError: there is no such file, or it may not be read.
      ValueError: it is not a run log, is damaged, or has a newer version of the schema.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a run log (HDF5)")
    with path.open("rb") as file:
        if file.read(len(_HDF5_SIGNATURE)) != _HDF5_SIGNATURE:
            raise ValueError(f"{path} is not a run log: it is not an HDF5 file")
    # For some milliseconds, while its writer flushes a chunk, a log reads as damaged.
    for pause in (0.01, 0.05, 0.2):
        try:
            return _load(path)
        except _DamagedError:
            time.sleep(pause)
    return _load(path)


class _DamagedError(ValueError):
    """A run log that cannot be read, perhaps only now."""


def _load(path: Path) -> RunRecord:
    try:
        with h5py.File(path, "r", locking=False) as file:
            _check_schema(path, file)
            return _read(path, file)
    except (OSError, LookupError, TypeError, RuntimeError, json.JSONDecodeError) as error:
        raise _DamagedError(f"{path} is a damaged run log: {error}") from error


def _check_schema(path: Path, file: h5py.File) -> None:
    if file.attrs.get("schema") != SCHEMA:
        raise ValueError(f"{path} is an HDF5 file, but not a run log of nst_jax")
    version = int(file.attrs["schema_version"])
    if version > SCHEMA_VERSION:
        raise ValueError(
            f"{path} has version {version} of the run log; this nst_jax reads up to "
            f"{SCHEMA_VERSION}: update nst_jax"
        )


def _read(path: Path, file: h5py.File) -> RunRecord:
    attributes = {name: _plain(value) for name, value in file.attrs.items()}
    columns = {
        field.name: file[f"variants/{field.name}"].asstr()[()]
        if h5py.check_string_dtype(file[f"variants/{field.name}"].dtype)
        else file[f"variants/{field.name}"][()]
        for field in fields(Variant)
    }
    variants = tuple(
        Variant(**{name: _plain(values[i]) for name, values in columns.items()})
        for i in range(len(columns["label"]))
    )
    valid = min(len(file[where]) for where, *_ in _SERIES.values())
    valid = np.count_nonzero(file["step"][:valid] >= 0)
    snapshots = min(len(file["images/snapshots"]), len(file["images/snapshot_step"]))
    ended = "final" in file and "images/final" in file
    return RunRecord(
        path=path,
        attributes=attributes,
        config=json.loads(attributes["config_json"]),
        variants=variants,
        style_layers=tuple(file["layers/style"].asstr()[()]),
        rows=Rows(**{name: file[where][:valid] for name, (where, *_) in _SERIES.items()}),
        final={term: file[f"final/{term}"][()] for term in TERMS} if ended else None,
        content=file["images/content"][()],
        style=file["images/style"][()],
        images=file["images/final"][()] if ended else None,
        snapshots=file["images/snapshots"][:snapshots],
        snapshot_steps=file["images/snapshot_step"][:snapshots],
    )


def _plain(value: Any) -> Any:
    """NumPy's scalars as Python's."""
    return value.item() if isinstance(value, np.generic) else value


def variant_settings(variant: Variant) -> dict[str, Any]:
    """A variant as a dict, for tables."""
    return asdict(variant)
