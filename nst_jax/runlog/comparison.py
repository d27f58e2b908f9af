"""In what two logs of one run differ, byte for byte: what repeating a run comes to."""

import numpy as np

from nst_jax.runlog import labels
from nst_jax.runlog.record import RunRecord, ended

# A clock gives no time twice.
_LEFT_OUT = {"step", "wall_time"}


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
    old, new = first.rows.by_path(), second.rows.by_path()
    # A log of version 1 does not have the parts of every term.
    for path in (path for path in old if path in new and path not in _LEFT_OUT):
        one, other = (each[path][:steps, variant] for each in (old, new))
        differing = np.flatnonzero(_differ(one, other).reshape(steps, -1).any(axis=1))
        if differing.size:
            found.append(
                f"{_in_words(path)} differs from step {differing[0]} on, by "
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
    if not _have_one_fine_picture(first, second, variant):
        return ["the picture in 16 bits differs"]
    return [
        f"the saved picture's {name.replace('_', ' ')} differs"
        # Two logs may have been judged by other judges, or not at all.
        for ours, theirs in ((terms, other_terms), (first.metrics, second.metrics))
        for name in ours
        if name in theirs and _differ(ours[name][[variant]], theirs[name][[variant]]).any()
    ]


def _have_one_fine_picture(first: RunRecord, second: RunRecord, variant: int) -> bool:
    if first.fine is None or second.fine is None:
        return True
    return np.array_equal(first.fine[variant], second.fine[variant])


def _in_words(path: str) -> str:
    """A series by its path: `losses/style` is "style"."""
    group, _, term = path.rpartition("/")
    name = term.replace("_", " ")
    return f"{name} by parts" if group == "part_losses" else name


def _differ(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one != other) & ~(np.isnan(one) & np.isnan(other))


def _relative(one: np.ndarray, other: np.ndarray) -> float:
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.nanmax(np.abs(one / other - 1), initial=0))
