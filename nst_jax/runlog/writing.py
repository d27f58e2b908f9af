"""Writing a run log so that it survives a kill and a full disk.

Everything has its place in the file from the start, so that nothing but values changes while the
run lasts: HDF5's own tables, which take several writes to change, never do. Whatever write is the
last before the process is killed, the file can be read, and it can be read at any moment by
others. (Extendible datasets were unreadable between some two writes of every flush.) A full disk
is found out before the run starts.

The variants of a sweep run in several programs, one after another: each writes its own columns.
"""

import errno
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float, UInt8, UInt16

from nst_jax.choices import Depth
from nst_jax.runlog import layout
from nst_jax.runlog.reading import read_parts, read_record, read_rows
from nst_jax.runlog.record import ENDED, FINE, LoggedStage, RunRecord, Status, Variant
from nst_jax.runlog.series import TOTAL, Parts, Rows, series
from nst_jax.system import files, sandbox
from nst_jax.system.hdf5 import Reader


class RunLog:
    """A run log being written; a context manager that closes the file.

    Use `create`, then of each program `append` a chunk at a time and `finish_variants`, then
    `finish`.
    """

    def __init__(self, file: h5py.File, parts: Parts):
        self._file = file
        self._parts = parts

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        attributes: Mapping[str, Any],
        config: Mapping[str, Any],
        variants: Sequence[Variant],
        parts: Parts,
        contents: Mapping[str, UInt8[np.ndarray, "h1 w1 3"]],
        styles: Mapping[str, UInt8[np.ndarray, "h2 w2 3"]],
        num_steps: int,
        num_snapshots: int = 0,
        chunk_length: int,
        part_weights: Mapping[str, Float[np.ndarray, "v part"]] = MappingProxyType({}),
        references: Mapping[str, UInt8[np.ndarray, "h3 w3 3"]] = MappingProxyType({}),
        masks: Mapping[str, UInt8[np.ndarray, "h w"]] = MappingProxyType({}),
        metrics: Sequence[str] = (),
        stages: Sequence[LoggedStage] = (),
        depth: Depth = 8,
    ) -> "RunLog":
        """Makes the file with status "running" and no rows; an existing one is replaced.

        Args:
          path: where the log goes.
          attributes: of the root beside the schema's own; plain numbers, bools and strings.
          config: settings, kept as JSON.
          variants: what each column of the rows is.
          parts: names of the terms and of their parts.
          contents: the content pictures by name as they are optimised against, one at least.
          styles: the style pictures by name, one at least.
          num_steps: rows at most.
          num_snapshots: snapshots at most.
          chunk_length: rows a call of `append`, for the record.
          part_weights: see `RunRecord`.
          references: see `RunRecord`.
          masks: see `RunRecord`.
          metrics: names of those that the pictures will be judged by.
          stages: see `RunRecord`.
          depth: 16 keeps the saved pictures in 16 bits beside those in 8.
        """
        layout.check_space(path, num_steps, num_snapshots, variants, parts, contents, depth)
        with files.replacing(path) as temporary, h5py.File(temporary, "w") as file:
            layout.write_attributes(file, config, attributes, chunk_length)
            layout.write_terms(file, parts, part_weights)
            layout.write_variants(file, variants)
            layout.write_series(file, len(variants), parts, num_steps)
            layout.write_images(file, contents, styles, parts, len(variants), num_snapshots, depth)
            layout.write_guides(file, references, masks)
            layout.write_metrics(file, metrics, len(variants))
            layout.write_stages(file, stages)
        return cls(_opened(path), parts)

    @classmethod
    def reopen(cls, path: Path) -> "RunLog":
        """Opens a log of the present version to go on with its run.

        Raises:
          OSError: as `check_writable`.
        """
        file = _opened(path)
        log = cls(file, read_parts(Reader(file, sys.maxsize)))
        log.finish("running")
        return log

    def append(self, rows: Rows, variants: slice = slice(None)) -> None:
        """Adds the rows of one chunk and flushes them to the file.

        Args:
          rows: of the variants that ran; a row's place is its step. A series that they lack, as
            those of an older log may, stays without values.
          variants: which those are.

        Raises:
          OSError: the disk does not take them; one line.
        """
        steps = slice(int(rows.step[0]), int(rows.step[-1]) + 1)
        with self._writing():
            values = rows.by_path()
            for where, (_, axes, _) in reversed(series(self._parts).items()):
                if where not in values:
                    continue
                if where in ("evaluations", "step"):
                    self._file.flush()
                self._file[where][(steps, variants) if axes else steps] = values[where]

    def take_over(self, record: RunRecord, source: slice, variants: slice) -> None:
        """Adds rows and snapshots of another log.

        Args:
          record: the other log, of as many steps at most and of the same settings.
          source: its columns.
          variants: the columns here.
        """
        if len(record.rows.step):
            self.append(record.rows.of_variants(source), variants)
        for i, step in enumerate(record.snapshot_steps):
            self.append_snapshot(i, int(step), record.snapshots[i, source], variants)

    def append_snapshot(
        self,
        number: int,
        step: int,
        images: UInt8[np.ndarray, "v h w 3"],
        variants: slice = slice(None),
    ) -> None:
        """Keeps the images after `step` steps as the snapshot of that number."""
        with self._writing():
            self._file["images/snapshots"][number, variants] = self._in_place(images)
            self._file.flush()
            self._file["images/snapshot_step"][number] = step

    def finish_variants(
        self,
        ended: Sequence[Variant],
        *,
        final: Mapping[str, Float[np.ndarray, "v"]],
        images: UInt8[np.ndarray, "v h w 3"],
        fine: UInt16[np.ndarray, "v h w 3"] | None = None,
        variants: slice = slice(None),
    ) -> None:
        """Adds how variants ended: the saved pictures, their losses, their status.

        Args:
          ended: the variants.
          final: losses of the pictures in 8 bits, by name.
          images: in 8 bits.
          fine: in 16 bits, of a log that has them.
          variants: which those are.
        """
        with self._writing():
            for name in (TOTAL, *self._parts):
                self._file[f"final/{name}"][variants] = final[name]
            self._file["images/final"][variants] = self._in_place(images)
            if fine is not None:
                self._file[FINE][variants] = self._in_place(fine)
            self._file["variants/diverged_step"][variants] = [v.diverged_step for v in ended]
            self._file.flush()
            self._file["variants/status"][variants] = [variant.status for variant in ended]

    def write_metrics(
        self, metrics: Mapping[str, Float[np.ndarray, "v"]], variants: slice = slice(None)
    ) -> None:
        """Adds what judges say of saved pictures; only metrics for which the log has room."""
        with self._writing():
            for name in self.metrics:
                if name in metrics:
                    self._file[f"metrics/{name}"][variants] = metrics[name]

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

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of those that the pictures are judged by; none if nobody asked."""
        return tuple(self._file["metrics"]) if "metrics" in self._file else ()

    def not_judged(self) -> list[int]:
        """The variants that have ended and lack the value of a metric, or have one that is NaN."""
        values = [self._file[f"metrics/{name}"][:] for name in self.metrics]
        statuses = self._file["variants/status"].asstr()[:]
        return [
            i
            for i, status in enumerate(statuses)
            # A kill may have come between the writes of two metrics.
            if status in ENDED and np.isnan([each[i] for each in values]).any()
        ]

    def record(self) -> RunRecord:
        """What the file holds so far, as `load` reads it."""
        return read_record(Path(self._file.filename), Reader(self._file, sys.maxsize))

    def picture(self, variant: int, shape: tuple[int, ...]) -> UInt8[np.ndarray, "h w 3"]:
        """The saved picture of a variant that has ended, of the shape of its content."""
        image: np.ndarray = self._file["images/final"][variant, : shape[0], : shape[1]]
        return image

    def rows(self) -> Rows:
        """The rows so far."""
        return read_rows(Reader(self._file, sys.maxsize), self._parts)

    def totals(self, variants: slice) -> Float[np.ndarray, "t v"]:
        """The total of each row so far, of some variants."""
        return self._file["losses/total"][: self._count(variants), variants]

    @property
    def depth(self) -> Depth:
        """Bits of each color in which the saved pictures are kept at most."""
        return 16 if FINE in self._file else 8

    def _in_place(self, images: np.ndarray) -> np.ndarray:
        """Pictures in the upper left corners of black ones, as large as the log has them."""
        height, width = self._file["images/final"].shape[1:3]
        if images.shape[1:3] == (height, width):
            return images
        below, beside = height - images.shape[1], width - images.shape[2]
        return np.pad(images, ((0, 0), (0, below), (0, beside), (0, 0)))

    def losses_at(self, step: int, variants: slice) -> dict[str, Float[np.ndarray, "v"]]:
        """The losses of a row, of some variants."""
        names = (TOTAL, *self._parts)
        return {name: self._file[f"losses/{name}"][step, variants] for name in names}

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
            self._file.attrs.modify("status", np.array(status, layout.STATUS))

    def close(self) -> None:
        path = Path(self._file.filename)
        self._file.close()
        sandbox.trust(path)

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
    try:
        return h5py.File(h5py.h5f.open(os.fsencode(path), h5py.h5f.ACC_RDWR, access))
    except OSError as error:
        raise type(error)(f"cannot write {path}: {_obstacle(error)}") from error


def _obstacle(error: OSError) -> str:
    if error.errno == errno.EAGAIN:
        return (
            "another program has it open, perhaps a notebook or a viewer of HDF5; close it there, "
            "or open it by h5py.File(..., locking=False), which is in nobody's way"
        )
    return os.strerror(error.errno) if error.errno else files.reason(error)


def check_writable(path: Path) -> None:
    """Refuses a log that cannot be gone on with; its bytes stay as they are.

    Raises:
      OSError: another program has it open, or it may not be written; one line.
    """
    _opened(path).close()
