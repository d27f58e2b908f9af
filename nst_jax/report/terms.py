"""The loss and its terms as people see them: their titles, their weights, and their curves.

All of it is made from `TERMS`: a term that the log gains has a title, a weight and a color.
"""

import numpy as np
from jaxtyping import Float

from nst_jax.report import colors
from nst_jax.runlog import TERMS, RunRecord, Variant

TOTAL, *SUMMANDS = TERMS
_TITLES = {"total_variation": "TV"}
_WEIGHTS = {"total_variation": "tv_weight"}


def name(term: str) -> str:
    """A term in full: `content`, `total variation`."""
    return term.replace("_", " ")


def title(term: str) -> str:
    """A term in short, as the heading of a column: `content`, `TV`."""
    return _TITLES.get(term, name(term))


def weight_name(term: str) -> str:
    """What the weight of a summand is called among the settings of a variant."""
    return _WEIGHTS.get(term, f"{term}_weight")


def weight(variant: Variant, term: str) -> float:
    """The weight of a summand in a variant."""
    return getattr(variant, weight_name(term))


def weighted_terms(record: RunRecord) -> dict[str, Float[np.ndarray, "t v"]]:
    """The total and the terms of which it is the sum; a term without weight is left out.

    Args:
      record: a run log.

    Returns:
      `{term: (t, v)}`, each term times its weight in each variant, in the order in which the
      curves are drawn. Where the product leaves float32 it is infinite.
    """
    curves = {TOTAL: record.rows.total}
    for term in sorted(SUMMANDS, key=[*colors.OF_TERMS].index):
        with np.errstate(over="ignore"):
            weights = np.array([weight(variant, term) for variant in record.variants], np.float32)
            if weights.any():
                curves[term] = getattr(record.rows, term) * weights
    return curves
