"""Scalars and pictures of a run for TensorBoard, while it goes on."""

import os
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from nst_jax import driver
from nst_jax import image as images
from nst_jax.driver import Chunk
from nst_jax.report.pictures import reduced
from nst_jax.runlog import TOTAL, Variant, labels
from nst_jax.runs.grid import Share
from nst_jax.runs.plans import Plan
from nst_jax.system import files

# An event file each, all open at once.
MAX_VARIANTS = 256
_PICTURES = 10
# The name of a folder has 255 bytes, a letter up to four.
_MOST_LETTERS = 60


def check(folder: Path, variants: int) -> None:
    """Refuses what cannot work, before the work starts.

    Raises:
      ImportError: tensorboardX is not installed.
      ValueError: more variants than `MAX_VARIANTS`.
      OSError: the folder cannot be written to.
    """
    if not find_spec("tensorboardX"):
        raise ImportError("--tensorboard needs tensorboardX: pip install 'nst_jax[tensorboard]'")
    if variants > MAX_VARIANTS:
        raise ValueError(
            f"--tensorboard takes at most {MAX_VARIANTS} variants, got {variants}; the run log "
            "and the page have no such limit"
        )
    files.check_folder(folder)


class TensorBoard:
    """Writes the loss terms and norms of each step, and about ten pictures a variant.

    Each variant is one of TensorBoard's runs, a folder. What an earlier run has written there
    from the same step on is marked as superseded, so that a resumed run goes on with its curves.
    """

    def __init__(self, folder: Path | None, variants: Sequence[Variant], steps: int, share: Share):
        """Args: `folder`: None writes nothing; `steps`: of the whole run; `share`: of a sweep."""
        self._folder = folder
        self._labels = labels.brief([variant.label for variant in variants], _MOST_LETTERS)
        self._period = max(1, steps // _PICTURES)
        self._last = steps
        self._share = share
        self._writers: dict[int, Any] = {}

    def __enter__(self) -> "TensorBoard":
        return self

    def __exit__(self, *exception: object) -> None:
        for writer in self._writers.values():
            writer.close()

    def show(self, plan: Plan, chunk: Chunk) -> None:
        """Writes a chunk that has been run."""
        if self._folder is None:
            return
        done = int(np.max(chunk.state.step))
        first = done - len(chunk.seconds)
        has_picture = done // self._period > first // self._period or done == self._last
        pictures = images.to_uint8(driver.pictures(chunk.state)) if has_picture else None
        for lane in range(plan.count):
            writer = self._writer(self._folder, plan.start + lane, first)
            self._write_rows(writer, chunk, lane, first)
            if pictures is not None:
                writer.add_image("image", reduced(pictures[lane]), done, dataformats="HWC")
            writer.flush()

    def _writer(self, folder: Path, variant: int, step: int) -> Any:
        if variant not in self._writers:
            from tensorboardX import SummaryWriter

            number = self._share.number + self._share.total * variant
            label = re.sub(r"[^\w.+-]+", "_", self._labels[variant])
            self._writers[variant] = SummaryWriter(
                str(folder / f"{number:03d}_{label}"),
                purge_step=step,
                # Else a run that is resumed within the second would overwrite its own file.
                filename_suffix=f".{os.getpid()}.{step}",
            )
        return self._writers[variant]

    @staticmethod
    def _write_rows(writer: Any, chunk: Chunk, lane: int, first: int) -> None:
        history = chunk.history
        losses = {TOTAL: history.terms.total, **history.terms.terms}
        curves = {f"loss/{name}": values for name, values in losses.items()}
        curves |= {"norm/gradient": history.grad_norm, "norm/update": history.update_norm}
        # Rows in which a diverged variant stands still say nothing.
        for row in np.flatnonzero(np.asarray(history.evaluations)[:, lane]):
            for name, values in curves.items():
                if np.isfinite(values[row, lane]):  # else tensorboardX complains on the terminal
                    writer.add_scalar(name, float(values[row, lane]), first + int(row))
