"""The run log: one HDF5 file a run, single or sweep. What is in it.

    /            attributes: schema, schema_version, status, settings, versions, device, hashes
    /variants    label, optimizer, learning_rate, ..., status, diverged_step          (v,)
    /step (t,)   /wall_time (t, v) seconds   /evaluations (t, v)
    /losses      total, content, style, total_variation (t, v), style_per_layer (t, v, layer)
    /grad_norm, /update_norm (t, v)        NaN after a variant has diverged
    /final       the terms of the saved picture (v,)
    /images      content, style (style_2, ... of a sweep over styles), final (v, h, w, 3),
                 snapshots (s, v, h, w, 3), snapshot_step (s,)

Every dataset has its full size from the start (`writing` says why). What has no value yet is -1
or NaN; of a row `evaluations` and then `step` are written last.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

SCHEMA = "nst_jax.run"
SCHEMA_VERSION = 1

Status = Literal["running", "finished", "interrupted", "failed"]
VariantStatus = Literal["running", "finished", "interrupted", "diverged", "failed"]
TERMS = ("total", "content", "style", "total_variation")


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

    @property
    def has_rate(self) -> bool:
        """Whether the optimizer has a learning rate; of one that has none, 0 is logged."""
        return self.learning_rate != 0


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
