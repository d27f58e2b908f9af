"""A log of an older version rewritten in the present one, so that its run can go on."""

from pathlib import Path

from nst_jax.runlog import layout
from nst_jax.runlog.record import SCHEMA_VERSION, RunRecord
from nst_jax.runlog.series import Parts
from nst_jax.runlog.writing import RunLog
from nst_jax.system import files


def upgrade(record: RunRecord, parts: Parts) -> None:
    """Puts a log of the present version in the place of an older one; that is whole until then.

    Args:
      record: of the log; one of the present version stays as it is.
      parts: of its terms, of which an older version may not have logged all.

    Raises:
      OSError: the disk does not take it; one line.
    """
    if record.attributes["schema_version"] == SCHEMA_VERSION:
        return
    with files.replacing(record.path) as temporary, _copy(record, parts, temporary) as log:
        log.take_over(record, slice(None), slice(None))
        if record.images is not None and record.final is not None:
            log.finish_variants(record.variants, final=record.final, images=record.images)
        log.add_compile_seconds(record.attributes.get("compile_seconds", 0.0))
        log.finish(record.status)


def _copy(record: RunRecord, parts: Parts, path: Path) -> RunLog:
    """A log of the same settings, without rows."""
    attributes = {name: x for name, x in record.attributes.items() if name not in layout.ATTRIBUTES}
    every = record.config.get("snapshot_every") or record.capacity + 1
    return RunLog.create(
        path,
        attributes=attributes,
        config=record.config,
        variants=record.variants,
        parts=parts,
        contents=record.contents,
        styles=record.styles,
        num_steps=record.capacity,
        num_snapshots=record.capacity // every,
        chunk_length=record.attributes["chunk_length"],
    )
