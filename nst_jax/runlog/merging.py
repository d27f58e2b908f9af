"""One log of the parts that several processes have written."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nst_jax.runlog import layout
from nst_jax.runlog.record import LoggedStage, RunRecord
from nst_jax.runlog.writing import RunLog
from nst_jax.system import files

# Of no meaning when the variants of several processes stand side by side.
_OF_A_PART = {"plans_json", "pid", "share", "shares"}


def merge(path: Path, parts: Sequence[RunRecord], *, config: Mapping[str, Any]) -> None:
    """Writes one log of the variants that ran in several processes.

    Args:
      path: of the new log.
      parts: finished logs; variant i of the whole is in part i modulo their number.
      config: the settings of the whole.

    Raises:
      ValueError: the parts were not made from the same pictures and weights.
    """
    _check_alike(path, parts)
    with files.replacing(path) as temporary, _new_log(temporary, parts, config) as log:
        for number, part in enumerate(parts):
            columns = slice(number, None, len(parts))
            log.take_over(part, slice(None), columns)
            pictures, losses = part.results()
            log.finish_variants(part.variants, final=losses, images=pictures, variants=columns)
            log.write_metrics(part.metrics, columns)
            log.add_compile_seconds(part.attributes["compile_seconds"])
        log.finish("finished")


def _new_log(path: Path, parts: Sequence[RunRecord], config: Mapping[str, Any]) -> RunLog:
    """A log with room for the variants of all parts, dealt out one by one."""
    first, count = parts[0], len(parts)
    total = sum(len(part.variants) for part in parts)
    left_out = layout.ATTRIBUTES | _OF_A_PART
    dealt = [(parts[i % count], i // count) for i in range(total)]
    return RunLog.create(
        path,
        attributes={
            **{name: value for name, value in first.attributes.items() if name not in left_out},
            "processes": count,
        },
        config=config,
        variants=[part.variants[column] for part, column in dealt],
        parts=first.parts,
        part_weights={
            term: np.stack([part.part_weights[term][column] for part, column in dealt])
            for term in first.part_weights
        },
        references=first.references,
        masks=first.masks,
        stages=_stages_of(parts),
        metrics=list(dict.fromkeys(name for part in parts for name in part.metrics)),
        contents={name: picture for part in parts for name, picture in part.contents.items()},
        styles={name: style for part in parts for name, style in part.styles.items()},
        num_steps=config["steps"],
        num_snapshots=max(len(part.snapshot_steps) for part in parts),
        chunk_length=first.attributes["chunk_length"],
    )


def _stages_of(parts: Sequence[RunRecord]) -> list[LoggedStage]:
    """Each as large as the largest content of all parts in it."""
    alike = zip(*(part.stages for part in parts), strict=True)
    return [
        LoggedStage(max(x.height for x in each), max(x.width for x in each), each[0].stop)
        for each in alike
    ]


def _check_alike(path: Path, parts: Sequence[RunRecord]) -> None:
    for what in ("content", "style", "start", "picture", "mask", "weights"):
        if len({part.attributes.get(f"{what}_sha256") for part in parts}) > 1:
            raise ValueError(
                f"the parts of {path} have different {what}: remove them ({parts[0].path} and so "
                "on) and start again"
            )
