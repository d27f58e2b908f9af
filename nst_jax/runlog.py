"""The run log: one HDF5 file a run, single or sweep, that survives a kill.

    /            attributes: schema, schema_version, status, settings, versions, device, hashes
    /variants    label, optimizer, learning_rate, ..., status, diverged_step          (v,)
    /step (t,)   /wall_time (t, v) seconds   /evaluations (t, v)
    /losses      total, content, style, total_variation (t, v), style_per_layer (t, v, layer)
    /grad_norm, /update_norm (t, v)        NaN after a variant has diverged
    /final       the terms of the saved picture (v,)
    /images      content, style (style_2, ... of a sweep over styles), final (v, h, w, 3),
                 snapshots (s, v, h, w, 3), snapshot_step (s,)

Everything has its place in the file from the start, so that nothing but values changes while the
run lasts: HDF5's own tables, which take several writes to change, never do. Whatever write is the
last before the process is killed, the file can be read, and it can be read at any moment by
others. (Extendible datasets were unreadable between some two writes of every flush.) What has no
value yet is -1 or NaN; of a row `evaluations` and then `step` are written last. A full disk is
found out before the run starts.

The variants of a sweep run in several programs, one after another: each writes its own columns.
"""

import errno
import itertools
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from jaxtyping import Float, Int, UInt8

from nst_jax import files, trial
from nst_jax.choices import check_choice
from nst_jax.hdf5 import Reader

SCHEMA = "nst_jax.run"
SCHEMA_VERSION = 1

Status = Literal["running", "finished", "interrupted", "failed"]
VariantStatus = Literal["running", "finished", "interrupted", "diverged", "failed"]
TERMS = ("total", "content", "style", "total_variation")

# Of fixed length, to be overwritten in place.
_STATUS = h5py.string_dtype(length=16)
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"

# What a log may hold beside values that are stored as they are: compressed pictures, together as
# large as the largest picture that `image` reads.
_LIMIT = 3 * 178_956_970
_MOST_LEVELS = 8
_MOST_LETTERS = 20_000
_ATTRIBUTES: dict[str, type] = {
    "schema_version": int,
    "status": str,
    "compile_seconds": float,
    "chunk_length": int,
    "share": int,
    "shares": int,
    **dict.fromkeys(("created_utc", "command", "weights_name", "device_kind"), str),
}
_NUMBERS: dict[Any, type[np.number]] = {float: np.float64, int: np.int64}


@dataclass(frozen=True)
class Variant:
    """The settings in which the variants of a run differ, and how each ended.

    `status` is "running", "interrupted", "finished" or "diverged"; `diverged_step` is -1 unless
    diverged.
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


def ended(variant: Variant) -> bool:
    """Whether there is nothing left to do for a variant."""
    return variant.status in ("finished", "diverged")


@dataclass(frozen=True)
class Rows:
    """The series of a run, one row a step; row i is of the image before update i.

    The terms are those before their weights: total = sum of weight x term.
    """

    step: Int[np.ndarray, "t"]
    wall_time: Float[np.ndarray, "t v"]
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
      content: the content picture.
      styles: `{name: picture}`, as the variants name them.
      images: the saved pictures, (v, h, w, 3); None until a first variant has ended, black for
        those that have not.
      snapshots: pictures of some steps, (s, v, h, w, 3); s may be 0.
      snapshot_steps: those steps, (s,).
      capacity: rows that the file has room for.
    """

    path: Path
    attributes: dict[str, Any]
    config: dict[str, Any]
    variants: tuple[Variant, ...]
    style_layers: tuple[str, ...]
    rows: Rows
    final: dict[str, np.ndarray] | None
    content: UInt8[np.ndarray, "h w 3"]
    styles: dict[str, UInt8[np.ndarray, "h2 w2 3"]]
    images: UInt8[np.ndarray, "v h w 3"] | None
    snapshots: UInt8[np.ndarray, "s v h w 3"]
    snapshot_steps: Int[np.ndarray, "s"]
    capacity: int = 0

    @property
    def status(self) -> Status:
        return self.attributes["status"]

    @property
    def steps_done(self) -> Int[np.ndarray, "v"]:
        """Rows of each variant; those of one that runs later, or has diverged, may be fewer."""
        return np.count_nonzero(self.rows.evaluations > 0, axis=0)

    def results(self) -> tuple[UInt8[np.ndarray, "v h w 3"], dict[str, np.ndarray]]:
        """The saved pictures and their terms, of a run of which at least a variant has ended.

        Raises:
          ValueError: none has.
        """
        if self.images is None or self.final is None:
            raise ValueError(f"{self.path} has no results yet: no variant has ended")
        return self.images, self.final


# Path in the file, dtype, axes behind time, unit.
_SERIES = {
    "step": ("step", np.int32, "", "steps"),
    "wall_time": ("wall_time", np.float64, "v", "seconds since the start of its program"),
    "evaluations": ("evaluations", np.int32, "v", "objective evaluations in the step"),
    **{term: (f"losses/{term}", np.float32, "v", "loss, before its weight") for term in TERMS},
    "style_per_layer": ("losses/style_per_layer", np.float32, "vl", "loss, before its weight"),
    "grad_norm": ("grad_norm", np.float32, "v", "L2 norm, total per unit of pixel"),
    "update_norm": ("update_norm", np.float32, "v", "L2 norm, pixel units of [0, 1]"),
}


class RunLog:
    """A run log being written; a context manager that closes the file.

    Use `create`, then of each program `append` a chunk at a time and `finish_variants`, then
    `finish`.
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
        styles: Mapping[str, UInt8[np.ndarray, "h2 w2 3"]],
        num_steps: int,
        num_snapshots: int = 0,
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
          styles: the style pictures by name, one at least.
          num_steps: rows at most.
          num_snapshots: snapshots at most.
          chunk_length: rows a call of `append`, for the record.
        """
        _check_space(path, num_steps, num_snapshots, variants, content)
        with files.replacing(path) as temporary, h5py.File(temporary, "w") as file:
            file.attrs.update(
                {
                    "schema": SCHEMA,
                    "schema_version": SCHEMA_VERSION,
                    "status": np.array("running", _STATUS),
                    "config_json": json.dumps(config),
                    "chunk_length": chunk_length,
                    "compile_seconds": np.float64(0),
                    **{name: _text(value) for name, value in attributes.items()},
                }
            )
            _write_variants(file, variants)
            _write_series(file, len(variants), style_layers, num_steps)
            _write_images(file, content, styles, len(variants), num_snapshots)
        return cls(_opened(path))

    @classmethod
    def reopen(cls, path: Path) -> "RunLog":
        """Opens a log to go on with its run."""
        log = cls(_opened(path))
        log.finish("running")
        return log

    def append(self, rows: Rows, variants: slice = slice(None)) -> None:
        """Adds the rows of one chunk and flushes them to the file.

        Args:
          rows: of the variants that ran; a row's place is its step.
          variants: which those are.

        Raises:
          OSError: the disk does not take them; one line.
        """
        steps = slice(int(rows.step[0]), int(rows.step[-1]) + 1)
        with self._writing():
            for name, (where, _, axes, _) in reversed(_SERIES.items()):
                if name in ("evaluations", "step"):
                    self._file.flush()
                self._file[where][(steps, variants) if axes else steps] = getattr(rows, name)

    def append_snapshot(
        self,
        number: int,
        step: int,
        images: UInt8[np.ndarray, "v h w 3"],
        variants: slice = slice(None),
    ) -> None:
        """Keeps the images after `step` steps as the snapshot of that number."""
        with self._writing():
            self._file["images/snapshots"][number, variants] = images
            self._file.flush()
            self._file["images/snapshot_step"][number] = step

    def finish_variants(
        self,
        ended: Sequence[Variant],
        *,
        final: Mapping[str, Float[np.ndarray, "v"]],
        images: UInt8[np.ndarray, "v h w 3"],
        variants: slice = slice(None),
    ) -> None:
        """Adds how variants ended: the saved pictures, their losses, their status."""
        with self._writing():
            for term in TERMS:
                self._file[f"final/{term}"][variants] = final[term]
            self._file["images/final"][variants] = images
            self._file["variants/diverged_step"][variants] = [v.diverged_step for v in ended]
            self._file.flush()
            self._file["variants/status"][variants] = [variant.status for variant in ended]

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A change that is in the file at its end; the disk's refusal in one line."""
        try:
            yield
            self._file.flush()
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else "the disk refuses"
            raise OSError(
                error.errno or errno.EIO,
                f"cannot write {self._file.filename}: {reason}; what it held before is kept: "
                "make room, then nst-jax resume",
            ) from error

    def rows(self) -> Rows:
        """The rows so far."""
        return _read_rows(Reader(self._file, sys.maxsize))

    def totals(self, variants: slice) -> Float[np.ndarray, "t v"]:
        """The total of each row so far, of some variants."""
        return self._file["losses/total"][: self._count(variants), variants]

    def seconds(self, variants: slice) -> float:
        """When the last row of some variants was logged, counted from their start."""
        count = self._count(variants)
        return float(self._file["wall_time"][count - 1, variants.start]) if count else 0.0

    def _count(self, variants: slice) -> int:
        return int(np.count_nonzero(self._file["evaluations"][:, variants.start] >= 0))

    def add_compile_seconds(self, seconds: float) -> None:
        """Adds to the time that compiling took."""
        total = np.float64(self._file.attrs["compile_seconds"] + seconds)
        with self._writing():
            self._file.attrs.modify("compile_seconds", total)

    def finish(self, status: Status) -> None:
        """Says how the run as a whole ended."""
        # Of the same type: changed in place.
        with self._writing():
            self._file.attrs.modify("status", np.array(status, _STATUS))

    def close(self) -> None:
        path = Path(self._file.filename)
        self._file.close()
        trial.trust(path)

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        """Closes the file; a run that ends by an exception is not left "running"."""
        if kind is None:
            self.close()
            return
        # The exception is what counts, not that its trace cannot be written any more.
        with suppress(OSError, RuntimeError):
            self.finish("interrupted" if kind is KeyboardInterrupt else "failed")
        with suppress(OSError, RuntimeError):
            self.close()


def _opened(path: Path) -> h5py.File:
    """A log to be written in place.

    Without HDF5's buffer for small pieces every value goes to the disk at once: what the disk
    refuses is an ordinary error there, where a buffer that cannot be emptied later would end the
    interpreter by a segmentation fault.
    """
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_sieve_buf_size(0)
    return h5py.File(h5py.h5f.open(os.fsencode(path), h5py.h5f.ACC_RDWR, access))


def _check_space(
    path: Path, num_steps: int, num_snapshots: int, variants: Sequence[Variant], content: np.ndarray
) -> None:
    """HDF5 dies hard on a full disk: what a log takes is known beforehand."""
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


def _write_variants(file: h5py.File, variants: Sequence[Variant]) -> None:
    for field in fields(Variant):
        values = [_text(getattr(variant, field.name)) for variant in variants]
        dtype = h5py.string_dtype() if isinstance(values[0], str) else None
        if field.name == "status":
            dtype = _STATUS
        file.create_dataset(f"variants/{field.name}", data=values, dtype=dtype)
    file["variants/label"].make_scale("variant")


def _write_series(
    file: h5py.File, variants: int, style_layers: Sequence[str], num_steps: int
) -> None:
    names = np.array(style_layers, dtype=h5py.string_dtype())
    file.create_dataset("layers/style", data=names).make_scale("layer")
    sizes = {"v": variants, "l": len(style_layers)}
    scales = {"v": "variants/label", "l": "layers/style"}
    for where, dtype, axes, unit in _SERIES.values():
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


def _write_images(
    file: h5py.File,
    content: np.ndarray,
    styles: Mapping[str, np.ndarray],
    variants: int,
    num_snapshots: int,
) -> None:
    file.create_dataset("images/content", data=content, compression="gzip")
    for number, (name, style) in enumerate(styles.items(), start=1):
        where = _style_path(number)
        file.create_dataset(where, data=style, compression="gzip").attrs["name"] = _text(name)
    shape = (variants, *content.shape)
    for term in TERMS:
        file.create_dataset(f"final/{term}", data=np.full(variants, np.nan, np.float32))
    file.create_dataset("images/final", data=np.zeros(shape, np.uint8))
    file.create_dataset("images/snapshots", data=np.zeros((num_snapshots, *shape), np.uint8))
    steps = np.full(num_snapshots, -1, np.int32)
    file.create_dataset("images/snapshot_step", data=steps)


def _style_path(number: int) -> str:
    return "images/style" if number == 1 else f"images/style_{number}"


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
    trial.try_first(path, _load)
    return _load(path)


def _load(path: Path) -> RunRecord:
    """`load` in this process, of a file that HDF5 is known to survive."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            reader = Reader(file, _LIMIT + 4 * path.stat().st_size)
            _check_schema(reader)
            return _read(path, reader)
    except _Refused as error:
        raise ValueError(f"{path} {error}") from None
    # Damaged and hostile files make HDF5 raise errors of many kinds.
    except Exception as error:
        raise ValueError(
            f"{path} is a damaged run log: {files.reason(error)}; copy it again"
        ) from error


def merge(path: Path, parts: Sequence[RunRecord], *, config: Mapping[str, Any]) -> None:
    """Writes one log of the variants that ran in several processes.

    Args:
      path: of the new log.
      parts: finished logs; variant i of the whole is in part i modulo their number.
      config: the settings of the whole.

    Raises:
      ValueError: the parts were not made from the same pictures and weights.
    """
    own = {"schema", "schema_version", "status", "config_json", "chunk_length", *_OF_A_PART}
    first, count = parts[0], len(parts)
    for name in ("content_sha256", "style_sha256", "weights_sha256"):
        if len({part.attributes.get(name) for part in parts}) > 1:
            raise ValueError(
                f"the parts of {path} have different {name.removesuffix('_sha256')}: remove them "
                f"({first.path} and so on) and start again"
            )
    total = sum(len(part.variants) for part in parts)
    styles = {name: style for part in parts for name, style in part.styles.items()}
    with (
        files.replacing(path) as temporary,
        RunLog.create(
            temporary,
            attributes={
                **{name: value for name, value in first.attributes.items() if name not in own},
                "processes": count,
            },
            config=config,
            variants=[parts[i % count].variants[i // count] for i in range(total)],
            style_layers=first.style_layers,
            content=first.content,
            styles=styles,
            num_steps=config["steps"],
            num_snapshots=max(len(part.snapshot_steps) for part in parts),
            chunk_length=first.attributes["chunk_length"],
        ) as log,
    ):
        for number, part in enumerate(parts):
            columns = slice(number, None, count)
            log.append(part.rows, columns)
            for i, step in enumerate(part.snapshot_steps):
                log.append_snapshot(i, int(step), part.snapshots[i], columns)
            pictures, terms = part.results()
            log.finish_variants(part.variants, final=terms, images=pictures, variants=columns)
            log.add_compile_seconds(part.attributes["compile_seconds"])
        log.finish("finished")


# Of no meaning when the variants of several processes stand side by side.
_OF_A_PART = {"compile_seconds", "plans_json", "pid", "share", "shares"}


def has_ended(path: Path) -> bool:
    """Whether all variants of a log have ended; reads nothing else of it.

    Raises:
      ValueError, OSError: it cannot be read.
    """
    with h5py.File(path, "r", locking=False) as file:
        return all(map(ended, _read_variants(Reader(file, _LIMIT))))


class _Refused(Exception):
    """A file that is no run log for this version; the message says why."""


def _check_schema(reader: Reader) -> None:
    if not reader.has_attribute("schema") or reader.attribute("schema") != SCHEMA:
        raise _Refused("is an HDF5 file, but not a run log of nst_jax")
    version = _typed("schema_version", reader.attribute("schema_version"))
    if version > SCHEMA_VERSION:
        raise _Refused(
            f"has version {version} of the run log; this nst_jax reads up to {SCHEMA_VERSION}: "
            "update nst_jax"
        )


def _read(path: Path, reader: Reader) -> RunRecord:
    attributes = {name: _typed(name, value) for name, value in reader.attributes().items()}
    for name in ("status", "config_json"):
        reader.attribute(name)
    variants = _read_variants(reader)
    rows = _read_rows(reader)
    snapshot_steps = reader.array("images/snapshot_step", np.int32, "s")
    snapshots = int(np.count_nonzero(snapshot_steps >= 0))
    has_ended = any(variant.status != "running" for variant in variants)
    paths = itertools.takewhile(lambda path: path in reader, map(_style_path, itertools.count(1)))
    final = {term: reader.array(f"final/{term}", np.float32, "v") for term in TERMS}
    return RunRecord(
        path=path,
        attributes=attributes,
        config=parse_json(attributes["config_json"], dict),
        variants=variants,
        style_layers=tuple(reader.strings("layers/style", "l")),
        rows=rows,
        final=final if has_ended else None,
        content=_picture(reader.array("images/content", np.uint8, "hw3")),
        styles={
            str(reader.attribute("name", path)): _picture(
                reader.array(path, np.uint8, ("", "", "3"))
            )
            for path in paths
        },
        images=reader.array("images/final", np.uint8, "vhw3") if has_ended else None,
        snapshots=reader.array("images/snapshots", np.uint8, "svhw3", count=snapshots),
        snapshot_steps=snapshot_steps[:snapshots],
        capacity=reader.size("t"),
    )


def _read_variants(reader: Reader) -> tuple[Variant, ...]:
    columns = {
        field.name: reader.strings(f"variants/{field.name}", "v")
        if field.type is str
        else reader.array(f"variants/{field.name}", _NUMBERS[field.type], "v").tolist()
        for field in fields(Variant)
    }
    variants = tuple(
        Variant(**dict(zip(columns, values, strict=True)))
        for values in zip(*columns.values(), strict=True)
    )
    if not variants:
        raise ValueError("it has no variants")
    for variant in variants:
        check_choice("variants/status", variant.status, VariantStatus)
        numbers = [value for value in vars(variant).values() if isinstance(value, float)]
        if not np.isfinite(numbers).all():
            raise ValueError(f"variants: expected finite settings, found {numbers}")
        if any(
            len(value) > _MOST_LETTERS for value in vars(variant).values() if isinstance(value, str)
        ):
            raise ValueError(f"variants: a text has more than {_MOST_LETTERS:,} letters")
    return variants


def _picture(array: np.ndarray) -> np.ndarray:
    if not array.size:
        raise ValueError(f"a picture has no pixels: its shape is {array.shape}")
    return array


def _read_rows(reader: Reader) -> Rows:
    valid = int(np.count_nonzero(reader.array("step", np.int32, "t") >= 0))
    return Rows(
        **{
            name: reader.array(where, dtype, "t" + axes, count=valid)
            for name, (where, dtype, axes, _) in _SERIES.items()
        }
    )


def parse_json(text: str, kind: type = object) -> Any:
    """JSON of a log: a few levels deep, whole numbers of 64 bits.

    Raises:
      ValueError: it is neither, or no JSON, or not of the kind that is wanted.
    """
    try:
        value = json.loads(text, parse_int=_int64)
    except RecursionError:
        value = None
    if not isinstance(value, kind) or not _is_shallow(value, _MOST_LEVELS):
        raise ValueError(f"expected JSON of a {kind.__name__}, {_MOST_LEVELS} levels at most")
    return value


def _int64(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**63:
        raise ValueError(f"expected whole numbers of 64 bits, found {digits[:40]}")
    return int(digits)


def _is_shallow(value: Any, levels: int) -> bool:
    if isinstance(value, dict | list):
        parts = value.values() if isinstance(value, dict) else value
        return levels > 0 and all(_is_shallow(part, levels - 1) for part in parts)
    return True


def _typed(name: str, value: Any) -> Any:
    """An attribute, if it has the type that the program goes on with."""
    kind: type = _ATTRIBUTES.get(name, str if name.endswith(("_json", "_sha256")) else object)
    if not isinstance(value, kind):
        raise ValueError(
            f"the attribute {name}: expected {kind.__name__}, found {type(value).__name__}"
        )
    if name == "status":
        check_choice(name, value, Status)
    return value


def first_bad_term(rows: Rows, variant: int, step: int) -> str | None:
    """The first value of a row that is not finite, by name; None if all are, or without row."""
    if step >= len(rows.step):
        return None
    if not np.isfinite(rows.style_per_layer[step, variant]).all():
        return "style"
    # The total is the sum of the others: it is named only if none of them is at fault.
    for name in ("content", "style", "total_variation", "total", "grad_norm", "update_norm"):
        if not np.isfinite(getattr(rows, name)[step, variant]):
            return name
    return None


def _text(value: Any) -> Any:
    """A string as HDF5 can hold it: file names need not be valid text. Other values unchanged."""
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value
