"""The rows of a run, and where each of their series lies in the file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

TOTAL = "total"
"""The name of the loss that is the sum of the terms."""
Parts = Mapping[str, tuple[str, ...]]
"""`{term: names of its parts}`, in the order of the objective."""


class Series(NamedTuple):
    """A series as the file has it: its type, its axes behind time, its unit."""

    dtype: type[np.generic]
    axes: tuple[str, ...]
    unit: str


@dataclass(frozen=True)
class Rows:
    """The series of a run, one row a step; row i is of the image before update i.

    The losses of terms are those before their weights: total = sum of weight x term.

    Attributes:
      step: its number.
      wall_time: seconds since the start of its program.
      evaluations: of the objective, in the step.
      losses: `{"total" or term: (t, v)}`.
      parts: `{term: (t, v, part)}`, of the terms that have several.
      grad_norm, update_norm: see `steps.History`.
    """

    step: Int[np.ndarray, "t"]
    wall_time: Float[np.ndarray, "t v"]
    evaluations: Int[np.ndarray, "t v"]
    losses: Mapping[str, np.ndarray]
    parts: Mapping[str, np.ndarray]
    grad_norm: Float[np.ndarray, "t v"]
    update_norm: Float[np.ndarray, "t v"]

    @property
    def total(self) -> Float[np.ndarray, "t v"]:
        """The loss that is minimized."""
        return self.losses[TOTAL]

    def by_path(self) -> dict[str, np.ndarray]:
        """Each series under its path in the file."""
        found = {name: getattr(self, name) for name in _SINGLE}
        found |= {_loss(name): values for name, values in self.losses.items()}
        found |= {_part_losses(term): values for term, values in self.parts.items()}
        return found

    def of_variants(self, variants: slice | Sequence[int], steps: slice = slice(None)) -> "Rows":
        """The same of some variants, and some steps."""
        by_path = self.by_path()
        kept = {path: x[steps][:, variants] for path, x in by_path.items() if path != "step"}
        return rows({**kept, "step": self.step[steps]})


def rows(by_path: Mapping[str, np.ndarray]) -> Rows:
    """The inverse of `Rows.by_path`."""

    def under(group: str) -> dict[str, np.ndarray]:
        return {
            path.removeprefix(group): values
            for path, values in by_path.items()
            if path.startswith(group)
        }

    single = {name: by_path[name] for name in _SINGLE}
    return Rows(**single, losses=under(_loss("")), parts=under(_part_losses("")))


_SINGLE = {
    "step": Series(np.int32, (), "steps"),
    "wall_time": Series(np.float64, ("v",), "seconds since the start of its program"),
    "evaluations": Series(np.int32, ("v",), "objective evaluations in the step"),
    "grad_norm": Series(np.float32, ("v",), "L2 norm, total per unit of pixel"),
    "update_norm": Series(np.float32, ("v",), "L2 norm, pixel units of [0, 1]"),
}


def series(parts: Parts) -> dict[str, Series]:
    """All series of a run by their paths.

    Args:
      parts: of the terms; a term of one part has no series of parts.
    """
    loss = Series(np.float32, ("v",), "loss, before its weight")
    return {
        **_SINGLE,
        **{_loss(name): loss for name in (TOTAL, *parts)},
        **{
            _part_losses(term): loss._replace(axes=("v", axis_of(term)))
            for term, names in parts.items()
            if len(names) > 1
        },
    }


def axis_of(term: str) -> str:
    """The name of the axis of a term's parts."""
    return f"parts of {term}"


def _loss(name: str) -> str:
    return f"losses/{name}"


def _part_losses(term: str) -> str:
    return f"part_losses/{term}"
