"""Reading a run log, also one that is being written or whose writer was killed."""

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np

from nst_jax.choices import MOST_TERMS, check_choice
from nst_jax.runlog import schema_1
from nst_jax.runlog.record import (
    FINE,
    NAME,
    SCHEMA,
    SCHEMA_VERSION,
    LoggedStage,
    RunRecord,
    Status,
    Variant,
    VariantStatus,
    largest,
    over,
    picture_path,
)
from nst_jax.runlog.series import TOTAL, Parts, Rows, axis_of, rows, series
from nst_jax.system import files, plain, sandbox
from nst_jax.system.hdf5 import Reader

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"

# What a log may hold beside values that are stored as they are: compressed pictures, together as
# large as the largest picture that `image` reads.
_LIMIT = 3 * 178_956_970
_MOST_LEVELS = 8
_MOST_LETTERS = 20_000
_ATTRIBUTES: dict[str, Any] = {
    "schema_version": int,
    "status": Status,
    "compile_seconds": float,
    "chunk_length": int,
    "share": int,
    "shares": int,
    **dict.fromkeys(("created_utc", "command", "weights_name", "device_kind"), str),
}
_NUMBERS: dict[Any, type[np.number]] = {float: np.float64, int: np.int64}


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
    sandbox.try_first(path, _load)
    return _load(path)


def _load(path: Path) -> RunRecord:
    """`load` in this process, of a file that HDF5 is known to survive."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            reader = Reader(file, _LIMIT + 4 * path.stat().st_size)
            _check_schema(reader)
            return read_record(path, reader)
    except _Refused as error:
        raise ValueError(f"{path} {error}") from None
    # Damaged and hostile files make HDF5 raise errors of many kinds.
    except Exception as error:
        raise ValueError(
            f"{path} is a damaged run log: {files.reason(error)}; copy it again"
        ) from error


def has_ended(path: Path) -> bool:
    """Whether there is nothing left to do for the run of a log; reads nothing else of it.

    Raises:
      ValueError, OSError: it cannot be read.
    """
    with h5py.File(path, "r", locking=False) as file:
        reader = Reader(file, _LIMIT)
        status: Any = _typed("status", reader.attribute("status"))
        variants: Any = reader.strings("variants/status", "v")
        return over(status, variants, judged="metrics" in reader)


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


def read_record(path: Path, reader: Reader) -> RunRecord:
    """What an open log of a schema that is known holds.

    Raises:
      ValueError: it is damaged.
    """
    attributes = {name: _typed(name, value) for name, value in reader.attributes().items()}
    for name in ("status", "config_json"):
        reader.attribute(name)
    parts = read_parts(reader)
    config = parse_json(attributes["config_json"], dict)
    variants = _read_variants(reader, parts, _only_content(config))
    snapshot_steps = reader.array("images/snapshot_step", np.int32, "s")
    snapshots = int(np.count_nonzero(snapshot_steps >= 0))
    has_ended = any(variant.status != "running" for variant in variants)
    snapshot_pictures = reader.array("images/snapshots", np.uint8, "svhw3", count=snapshots)
    final = {name: reader.array(f"final/{name}", np.float32, "v") for name in (TOTAL, *parts)}
    return RunRecord(
        path=path,
        attributes=attributes,
        config=config,
        variants=variants,
        parts=parts,
        rows=read_rows(reader, parts),
        final=final if has_ended else None,
        contents=_read_contents(reader, variants, _only_content(config)),
        styles={str(reader.attribute("name", path)): x for path, x in _pictures(reader, "style")},
        images=reader.array("images/final", np.uint8, "vhw3") if has_ended else None,
        snapshots=snapshot_pictures,
        snapshot_steps=snapshot_steps[:snapshots],
        capacity=reader.size("t"),
        stages=_read_stages(reader),
        fine=reader.array(FINE, np.uint16, "vhw3") if has_ended and FINE in reader else None,
        **_read_extras(reader, parts),
    )


def _pictures(
    reader: Reader, kind: Literal["content", "style"]
) -> Iterator[tuple[str, np.ndarray]]:
    """The content or style pictures with their places."""
    paths = (picture_path(kind, number) for number in itertools.count(1))
    for path in itertools.takewhile(lambda path: path in reader, paths):
        yield path, _picture(reader.array(path, np.uint8, ("", "", "3")))


def _only_content(config: dict[str, Any]) -> str:
    """What the content is called in a log that does not name it: as in the settings."""
    name = config.get("content")
    return name if isinstance(name, str) else ""


def _read_contents(
    reader: Reader, variants: Sequence[Variant], unnamed: str
) -> dict[str, np.ndarray]:
    contents = {
        str(reader.attribute("name", path)) if reader.has_attribute("name", path) else unnamed: x
        for path, x in _pictures(reader, "content")
    }
    if not contents:
        raise ValueError("images/content is missing")
    if unknown := {variant.content for variant in variants} - set(contents):
        raise ValueError(f"variants/content: there is no picture of {min(unknown)!r}")
    if largest(contents.values()) != (reader.size("h"), reader.size("w")):
        raise ValueError("images/content: the largest one has another size than the results")
    return contents


def _read_extras(reader: Reader, parts: Parts) -> dict[str, dict[str, np.ndarray]]:
    """What a log may have or not, by field and name: part weights, pictures, masks, metrics."""
    axes = {term: ("v", axis_of(term)) for term in parts}
    return {
        "part_weights": {
            term: reader.array(f"part_weights/{term}", np.float32, axes[term])
            for term in _members(reader, "part_weights")
            if term in parts
        },
        "references": {
            name: _picture(reader.array(f"references/{name}", np.uint8, ("", "", "3")))
            for name in _members(reader, "references")
        },
        "masks": {
            name: _picture(reader.array(f"masks/{name}", np.uint8, ("", "")))
            for name in _members(reader, "masks")
        },
        "metrics": {
            name: reader.array(f"metrics/{name}", np.float32, "v")
            for name in _members(reader, "metrics")
        },
    }


def _read_stages(reader: Reader) -> tuple[LoggedStage, ...]:
    """The stages of a run of several sizes."""
    if "stages" not in reader:
        return ()
    columns = [reader.array(f"stages/{name}", np.int32, ("stage",)) for name in LoggedStage._fields]
    stages = tuple(LoggedStage(*map(int, each)) for each in zip(*columns, strict=True))
    stops = [0, *(stage.stop for stage in stages)]
    if not 0 < len(stages) <= MOST_TERMS or np.any(np.diff(stops) < 1):
        raise ValueError(f"stages: expected from 1 to {MOST_TERMS}, each behind the other")
    return stages


def _members(reader: Reader, group: str) -> list[str]:
    """The names in a group, none if there is no group."""
    names = reader.members(group) if group in reader else []
    if len(names) > MOST_TERMS or not all(map(NAME.fullmatch, names)):
        raise ValueError(f"{group}: expected {MOST_TERMS} names at most, {NAME.pattern}")
    return names


def _version(reader: Reader) -> int:
    return _typed("schema_version", reader.attribute("schema_version"))


def _place(reader: Reader, path: str) -> str:
    """Where a file of its version has what the present one has under a path."""
    return schema_1.PATHS.get(path, path) if _version(reader) == 1 else path


def read_parts(reader: Reader) -> Parts:
    """The names of the terms of an open log and of their parts.

    Raises:
      ValueError: they are no names, too many, or missing.
    """
    if _version(reader) == 1:
        return schema_1.parts(reader)
    terms = reader.strings("terms", "k")
    different = set(terms) - {TOTAL}
    if not 0 < len(different) == len(terms) <= MOST_TERMS or not all(map(NAME.fullmatch, terms)):
        raise ValueError(f"terms: expected {MOST_TERMS} different names at most, {NAME.pattern}")
    return {term: tuple(reader.strings(f"parts/{term}", (axis_of(term),))) for term in terms}


def _read_variants(reader: Reader, parts: Parts, unnamed: str) -> tuple[Variant, ...]:
    weights = {
        term: reader.array(_place(reader, f"weights/{term}"), np.float64, "v").tolist()
        for term in parts
    }
    columns: dict[str, list] = {
        field.name: reader.strings(f"variants/{field.name}", "v")
        if field.type is str
        else reader.array(f"variants/{field.name}", _NUMBERS[field.type], "v").tolist()
        for field in fields(Variant)
        if field.name != "weights" and (field.name != "content" or "variants/content" in reader)
    }
    columns["weights"] = [
        dict(zip(weights, each, strict=True)) for each in zip(*weights.values(), strict=True)
    ]
    columns.setdefault("content", [unnamed] * len(columns["weights"]))
    variants = tuple(
        Variant(**dict(zip(columns, values, strict=True)))
        for values in zip(*columns.values(), strict=True)
    )
    if not variants:
        raise ValueError("it has no variants")
    for variant in variants:
        _check_variant(variant)
    return variants


def _check_variant(variant: Variant) -> None:
    check_choice("variants/status", variant.status, VariantStatus)
    numbers = [variant.learning_rate, *variant.weights.values()]
    if not np.isfinite(numbers).all():
        raise ValueError(f"variants: expected finite settings, found {numbers}")
    if any(
        len(value) > _MOST_LETTERS for value in vars(variant).values() if isinstance(value, str)
    ):
        raise ValueError(f"variants: a text has more than {_MOST_LETTERS:,} letters")


def _picture(array: np.ndarray) -> np.ndarray:
    if not array.size:
        raise ValueError(f"a picture has no pixels: its shape is {array.shape}")
    return array


def read_rows(reader: Reader, parts: Parts) -> Rows:
    """The rows of an open log that have been written."""
    valid = int(np.count_nonzero(reader.array("step", np.int32, "t") >= 0))
    return rows(
        {
            path: reader.array(_place(reader, path), dtype, ("t", *axes), count=valid)
            for path, (dtype, axes, _) in series(parts).items()
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
    kind = _ATTRIBUTES.get(name, str if name.endswith(("_json", "_sha256")) else object)
    try:
        return plain.read(value, kind)
    except TypeError as error:
        raise ValueError(f"the attribute {name}: {error}") from None
