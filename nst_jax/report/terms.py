"""The loss and its terms as people see them: their titles, their weights, and their curves.

All of it is made from the names in the log: a term of any objective has a title, a weight, a color.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from nst_jax.config import TermSpec
from nst_jax.report import colors, words
from nst_jax.runlog import TOTAL, RunRecord, labels, parse_json
from nst_jax.system import plain

_TITLES = {"total_variation": "TV"}


def name(term: str) -> str:
    """A term in full: `content`, `total variation`."""
    return term.replace("_", " ")


def title(term: str) -> str:
    """A term in short, as the heading of a column: `content`, `TV`."""
    return _TITLES.get(term, name(term))


def weighted_terms(record: RunRecord) -> dict[str, Float[np.ndarray, "t v"]]:
    """The total and the terms of which it is the sum; a term without weight is left out.

    Args:
      record: a run log.

    Returns:
      `{term: (t, v)}`, each term times its weight in each variant, in the order in which the
      curves are drawn. Where the product leaves float32 it is infinite.
    """
    curves = {TOTAL: record.rows.total}
    for term in colors.of_terms(record.terms):
        if term == TOTAL:
            continue
        with np.errstate(over="ignore"):
            weights = [variant.weights[term] for variant in record.variants]
            if np.any(np.asarray(weights, np.float32)):
                curves[term] = record.rows.losses[term] * np.asarray(weights, np.float32)
    return curves


def described(record: RunRecord) -> dict[str, str]:
    """What each term is, in words, by its name: "wasserstein of block1_conv1, block2_conv1"."""
    try:
        specs = plain.read(parse_json(record.attributes["terms_json"]), dict[str, TermSpec])
    # A log of version 1 does not say it, and one from elsewhere may say anything.
    except (KeyError, TypeError, ValueError):
        return {term: _of("", names) for term, names in record.parts.items()}
    return {
        labels.on_one_line(name): labels.on_one_line(_described(spec))
        for name, spec in specs.items()
    }


def _described(spec: TermSpec) -> str:
    options = {"reference": spec.reference, "region": spec.region, **spec.options}
    chosen = (f"{name} {words.text(x)}" for name, x in options.items() if x is not None)
    return "; ".join([_of(spec.kind, spec.layers), *chosen])


def _of(kind: str, layers: Sequence[str]) -> str:
    return f"{kind} of {', '.join(layers)}".strip() if layers else kind
