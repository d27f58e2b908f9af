"""In what two logs of one run differ, byte for byte: what repeating a run comes to."""

from dataclasses import fields

import numpy as np

from nst_jax.runlog import labels
from nst_jax.runlog.record import Rows, RunRecord, ended

# Of a run's time nothing is the same twice.
_SERIES = [field.name for field in fields(Rows) if field.name not in ("step", "wall_time")]


def differences(first: RunRecord, second: RunRecord) -> list[str]:
    """In words, a line a variant and thing; empty if all bytes are the same.

    Compared are the steps that both logs hold, and the ends of variants that ended in both.

    Args:
      first: a log.
      second: one of the same settings.
    """
    names = labels.distinct([variant.label for variant in first.variants])
    return [
        f"{name}: {line}"
        for i, name in enumerate(names)
        for line in (*_in_rows(first, second, i), *_at_the_end(first, second, i))
    ]


def _in_rows(first: RunRecord, second: RunRecord, variant: int) -> list[str]:
    steps = min(first.steps_done[variant], second.steps_done[variant])
    found = []
    for name in _SERIES:
        one, other = (getattr(each.rows, name)[:steps, variant] for each in (first, second))
        differing = np.flatnonzero(_differ(one, other).reshape(steps, -1).any(axis=1))
        if differing.size:
            found.append(
                f"{name.replace('_', ' ')} differs from step {differing[0]} on, by "
                f"{_relative(one, other):.1e} at most"
            )
    return found


def _at_the_end(first: RunRecord, second: RunRecord, variant: int) -> list[str]:
    one, other = first.variants[variant], second.variants[variant]
    if not (ended(one) and ended(other)):
        return []
    if (one.status, one.diverged_step) != (other.status, other.diverged_step):
        return [f"it was {one.status}, is {other.status}"]
    (images, terms), (other_images, other_terms) = first.results(), second.results()
    levels = np.abs(images[variant].astype(int) - other_images[variant].astype(int))
    if levels.any():
        return [
            f"the picture differs in {np.mean(levels > 0):.1%} of its values, by {levels.max()}"
        ]
    return [
        f"the saved picture's {name} differs"
        for name in terms
        if _differ(terms[name][[variant]], other_terms[name][[variant]]).any()
    ]


def _differ(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one != other) & ~(np.isnan(one) & np.isnan(other))


def _relative(one: np.ndarray, other: np.ndarray) -> float:
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.nanmax(np.abs(one / other - 1), initial=0))
