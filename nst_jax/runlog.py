"""The run log: one HDF5 file a run, single or sweep. What is in it, and reading it.

    /            attributes: schema, schema_version, status, settings, versions, device, hashes
    /variants    label, optimizer, learning_rate, ..., status, diverged_step          (v,)
    /step (t,)   /wall_time (t, v) seconds   /evaluations (t, v)
    /losses      total, content, style, total_variation (t, v), style_per_layer (t, v, layer)
    /grad_norm, /update_norm (t, v)        NaN after a variant has diverged
    /final       the terms of the saved picture (v,)
    /images      content, style (style_2, ... of a sweep over styles), final (v, h, w, 3),
                 snapshots (s, v, h, w, 3), snapshot_step (s,)

Every dataset has its full size from the start (`logwriter` says why). What has no value yet is -1
or NaN; of a row `evaluations` and then `step` are written last.
"""

import itertools
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from nst_jax import files, trial
from nst_jax.choices import check_choice
from nst_jax.hdf5 import Reader

SCHEMA = "nst_jax.run"
SCHEMA_VERSION = 1

Status = Literal["running", "finished", "interrupted", "failed"]
VariantStatus = Literal["running", "finished", "interrupted", "diverged", "failed"]
TERMS = ("total", "content", "style", "total_variation")

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

    def snapshots_of(
        self, variant: int
    ) -> tuple[Int[np.ndarray, "n"], UInt8[np.ndarray, "n h w 3"]]:
        """The snapshots that were taken of a variant: the steps done before each, the pictures.

        Those of a program that has not come so far are black in the log, and those after a
        variant has diverged all the same: they are left out.
        """
        done = np.count_nonzero(self.rows.evaluations[:, variant] > 0)
        taken = self.snapshot_steps <= done
        return self.snapshot_steps[taken], self.snapshots[taken, variant]

    @property
    def began_at_minimum(self) -> Bool[np.ndarray, "v"]:
        """Of each variant, whether it has finished and there was nothing to gain at its start.

        It ended above, or had no gradient to follow: the content without any style is one. What
        ended above a start that could be improved has diverged.
        """
        finished = np.array([variant.status == "finished" for variant in self.variants])
        if self.final is None or not len(self.rows.step):
            return np.zeros_like(finished)
        is_flat = self.rows.grad_norm[0] == 0
        return finished & (is_flat | (self.final["total"] > self.rows.total[0]))


SERIES = {
    "step": ("step", np.int32, "", "steps"),
    "wall_time": ("wall_time", np.float64, "v", "seconds since the start of its program"),
    "evaluations": ("evaluations", np.int32, "v", "objective evaluations in the step"),
    **{term: (f"losses/{term}", np.float32, "v", "loss, before its weight") for term in TERMS},
    "style_per_layer": ("losses/style_per_layer", np.float32, "vl", "loss, before its weight"),
    "grad_norm": ("grad_norm", np.float32, "v", "L2 norm, total per unit of pixel"),
    "update_norm": ("update_norm", np.float32, "v", "L2 norm, pixel units of [0, 1]"),
}
"""Of each field of `Rows`: path in the file, dtype, axes behind time, unit."""


def style_path(number: int) -> str:
    """Where in the file the style picture of that number is, counted from 1."""
    return "images/style" if number == 1 else f"images/style_{number}"


def load(path: str | Path) -> RunRecord:
    """Reads a run log, also one that is being written or whose writer was killed.

    Raises:
      OSError: there is no such file, or it may not be read.
      ValueError: it is not a run log, is damaged, or has a newer version of the schema.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: {files.absence(path)}; expected a run log (HDF5)")
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
    rows = read_rows(reader)
    snapshot_steps = reader.array("images/snapshot_step", np.int32, "s")
    snapshots = int(np.count_nonzero(snapshot_steps >= 0))
    has_ended = any(variant.status != "running" for variant in variants)
    paths = itertools.takewhile(lambda path: path in reader, map(style_path, itertools.count(1)))
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


def read_rows(reader: Reader) -> Rows:
    """The rows of an open log that have been written."""
    valid = int(np.count_nonzero(reader.array("step", np.int32, "t") >= 0))
    return Rows(
        **{
            name: reader.array(where, dtype, "t" + axes, count=valid)
            for name, (where, dtype, axes, _) in SERIES.items()
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
