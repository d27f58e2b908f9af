"""The run log: one HDF5 file a run, single or sweep. What is in it.

    /            attributes: schema, schema_version, status, settings, versions, device, hashes
    /terms       names of the terms, in their order (k,)
    /parts       TERM: names of its parts, mostly layers (p,)
    /variants    label, optimizer, learning_rate, ..., status, diverged_step          (v,)
    /weights     TERM (v,)   /part_weights   TERM (v, p), of terms with several parts
    /step (t,)   /wall_time (t, v) seconds   /evaluations (t, v)
    /losses      total, TERM (t, v)   /part_losses   TERM (t, v, p), of terms with several parts
    /grad_norm, /update_norm (t, v)        NaN after a variant has diverged
    /final       total, TERM: losses of the saved picture (v,)
    /metrics     METRIC: of the saved picture, by judges that were not optimized (v,), if asked for
    /images      content (content_2, ... of a run of several), style (style_2, ...),
                 final (v, h, w, 3), snapshots (s, v, h, w, 3), snapshot_step (s,); of contents of
                 several sizes each picture is in the upper left corner of its place;
                 final_16 (v, h, w, 3) in 16 bits, if asked for
    /stages      height, width, stop: the step at which each ends (s,), of a run of several sizes
    /references  NAME: further pictures that terms read   /masks   NAME: regions (h, w)

Every dataset has its full size from the start (`writing` says why). What has no value yet is -1
or NaN; of a row `evaluations` and then `step` are written last. Version 1 is read as well
(`schema_1`).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Int, UInt8, UInt16

from nst_jax.choices import Depth
from nst_jax.runlog.series import TOTAL, Parts, Rows

SCHEMA = "nst_jax.run"
SCHEMA_VERSION = 2

FINE = "images/final_16"
"""Where in the file the saved pictures are in 16 bits."""

Status = Literal["running", "finished", "interrupted", "failed"]
VariantStatus = Literal["running", "finished", "interrupted", "diverged", "failed"]


@dataclass(frozen=True)
class Variant:
    """The settings in which the variants of a run differ, and how each ended.

    Attributes:
      label: names it among the others.
      optimizer: by name.
      learning_rate: 0 for an optimizer that has none.
      weights: `{term: weight}`.
      style: the picture whose style is taken.
      init: where it starts.
      seed: of the noise.
      status: "running", "interrupted", "finished" or "diverged".
      diverged_step: -1 unless diverged.
      content: the picture whose subject is kept.
    """

    label: str
    optimizer: str
    learning_rate: float
    weights: Mapping[str, float]
    style: str
    init: str
    seed: int
    status: str = "running"
    diverged_step: int = -1
    content: str = ""

    @property
    def has_rate(self) -> bool:
        """Whether the optimizer has a learning rate; of one that has none, 0 is logged."""
        return self.learning_rate != 0


ENDED = ("finished", "diverged")
NAME = re.compile("[a-z][a-z0-9_]{0,39}")
"""What a term, a reference or a region may be called: it is a name in the file."""


def ended(variant: Variant) -> bool:
    """Whether there is nothing left to do for a variant."""
    return variant.status in ENDED


def over(status: Status, variants: Iterable[str], *, judged: bool) -> bool:
    """Whether there is nothing left to do for a run.

    Args:
      status: of the run.
      variants: the status of each.
      judged: whether the pictures are judged, which comes after the last variant has ended: a
        judge may have failed.
    """
    stopped = ("finished",) if judged else ("finished", "failed")
    return status in stopped and all(each in ENDED for each in variants)


class LoggedStage(NamedTuple):
    """A stage of a run: the size of its image in pixels, and the step at which it ends."""

    height: int
    width: int
    stop: int


@dataclass(frozen=True)
class RunRecord:
    """A run log as read by `load`.

    Attributes:
      path: the file.
      attributes: of the root, as in the schema (status, versions, device, hashes).
      config: the settings of the command, parsed from `config_json`.
      variants: one a column of the rows.
      parts: names of the parts of each term, in the order of the objective.
      rows: the series.
      final: losses of the saved pictures, `{"total" or term: (v,)}`; None until the run has ended.
      contents: `{name: picture}`, as the variants name them.
      styles: `{name: picture}`, as the variants name them.
      images: the saved pictures, (v, h, w, 3), h and w those of the largest content; None until a
        first variant has ended, black for those that have not. `picture_of` gives one of them.
      snapshots: pictures of some steps, (s, v, h, w, 3); s may be 0. See `snapshots_of`.
      snapshot_steps: those steps, (s,).
      capacity: rows that the file has room for.
      part_weights: `{term: (v, part)}`, of terms with several parts; older logs have none.
      references: further pictures that terms read, by name.
      masks: of regions, (h, w), 255 inside, by name.
      metrics: of the saved pictures, `{metric: (v,)}`, NaN for those that are not judged yet; none
        if the run was not asked for them.
      stages: of a run of several sizes, coarse to fine; none of one of a single size.
      fine: `images` in 16 bits, of a run that was asked for them.
    """

    path: Path
    attributes: dict[str, Any]
    config: dict[str, Any]
    variants: tuple[Variant, ...]
    parts: Parts
    rows: Rows
    final: dict[str, np.ndarray] | None
    contents: dict[str, UInt8[np.ndarray, "h1 w1 3"]]
    styles: dict[str, UInt8[np.ndarray, "h2 w2 3"]]
    images: UInt8[np.ndarray, "v h w 3"] | None
    snapshots: UInt8[np.ndarray, "s v h w 3"]
    snapshot_steps: Int[np.ndarray, "s"]
    capacity: int = 0
    part_weights: Mapping[str, np.ndarray] = field(default_factory=dict)
    references: Mapping[str, np.ndarray] = field(default_factory=dict)
    masks: Mapping[str, np.ndarray] = field(default_factory=dict)
    metrics: Mapping[str, np.ndarray] = field(default_factory=dict)
    stages: tuple[LoggedStage, ...] = ()
    fine: UInt16[np.ndarray, "v h w 3"] | None = None

    @property
    def content(self) -> UInt8[np.ndarray, "h1 w1 3"]:
        """The content picture; of several the first one."""
        return next(iter(self.contents.values()))

    def content_of(self, variant: int | np.integer) -> UInt8[np.ndarray, "h1 w1 3"]:
        """The content picture of a variant."""
        return self.contents[self.variants[variant].content]

    def picture_of(
        self, variant: int | np.integer, *, depth: Depth = 8
    ) -> UInt8[np.ndarray, "h1 w1 3"] | UInt16[np.ndarray, "h1 w1 3"]:
        """The saved picture of a variant, as large as its content.

        Args:
          variant: by its number.
          depth: bits of each color; 16 has the log of a run that was asked for them.

        Raises:
          ValueError: as `results`; or the log has 8 bits alone.
        """
        if self.images is None:
            raise self._without_results()
        pictures = self.images if depth == 8 else self.fine
        if pictures is None:
            raise ValueError(
                f"{self.path} has pictures of 8 bits alone: run it again with --depth 16"
            )
        return self.within(variant, pictures[variant])

    def within(self, variant: int | np.integer, pictures: np.ndarray) -> np.ndarray:
        """The part of pictures (..., h, w, 3) as they are stored that a variant's content fills."""
        height, width = self.content_of(variant).shape[:2]
        return pictures[..., :height, :width, :]

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the terms, in the order of the objective."""
        return tuple(self.parts)

    @property
    def status(self) -> Status:
        return self.attributes["status"]

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to do."""
        variants = [variant.status for variant in self.variants]
        return over(self.status, variants, judged=bool(self.metrics))

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
            raise self._without_results()
        return self.images, self.final

    def _without_results(self) -> ValueError:
        return ValueError(f"{self.path} has no results yet: no variant has ended")

    def snapshots_of(
        self, variant: int
    ) -> tuple[Int[np.ndarray, "n"], UInt8[np.ndarray, "n h1 w1 3"]]:
        """The snapshots that were taken of a variant: the steps done before each, the pictures.

        Those of a program that has not come so far are black in the log, and those after a
        variant has diverged all the same: they are left out.
        """
        done = np.count_nonzero(self.rows.evaluations[:, variant] > 0)
        taken = self.snapshot_steps <= done
        return self.snapshot_steps[taken], self.within(variant, self.snapshots[taken, variant])

    @property
    def began_at_minimum(self) -> Bool[np.ndarray, "v"]:
        """Of each variant, whether it has finished and there was nothing to gain at its start.

        It ended above, or had no gradient to follow: the content without any style is one. What
        ended above a start that could be improved has diverged.
        """
        finished = np.array([variant.status == "finished" for variant in self.variants])
        if self.final is None:
            return np.zeros_like(finished)
        # Losses of one size alone can be compared.
        start = self.stages[-2].stop if len(self.stages) > 1 else 0
        if len(self.rows.step) <= start:
            return np.zeros_like(finished)
        is_flat = self.rows.grad_norm[start] == 0
        return finished & (is_flat | (self.final[TOTAL] > self.rows.total[start]))


def picture_path(kind: Literal["content", "style"], number: int) -> str:
    """Where in the file the content or style picture of that number is, counted from 1."""
    return f"images/{kind}" if number == 1 else f"images/{kind}_{number}"


def largest(contents: Iterable[np.ndarray]) -> tuple[int, int]:
    """(h, w) into which the results of all these contents fit."""
    heights, widths = zip(*(content.shape[:2] for content in contents), strict=True)
    return max(heights), max(widths)


def first_bad_term(rows: Rows, variant: int, step: int) -> str | None:
    """The first value of a row that is not finite, by name; None if all are, or without row."""
    if step >= len(rows.step):
        return None
    # The total is the sum of the others: it is named only if none of them is at fault.
    names = [*(name for name in rows.losses if name != TOTAL), TOTAL]
    norms = {"grad_norm": rows.grad_norm, "update_norm": rows.update_norm}
    for name, values in ({name: rows.losses[name] for name in names} | norms).items():
        if not np.isfinite(values[step, variant]):
            return name
        if name in rows.parts and not np.isfinite(rows.parts[name][step, variant]).all():
            return name
    return None
