"""The loss and its terms as people see them: their titles, their weights, and their curves.

All of it is made from the names in the log: a term of any objective has a title, a weight, a color.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from nst_jax.config import TermSpec
from nst_jax.report import colors, words
from nst_jax.runlog import TOTAL, RunRecord, labels, parse_json
from nst_jax.system import plain

_TITLES = {"total_variation": "TV"}
_GUIDES = ("picture", "blend", "style_mask")


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
    specs = _specs(record)
    if not specs:
        return {term: _of("", names) for term, names in record.parts.items()}
    return {
        labels.on_one_line(name): labels.on_one_line(_described(spec))
        for name, spec in specs.items()
    }


@dataclass(frozen=True)
class AskedFor:
    """What an objective asked for.

    Attributes:
      arch: the network.
      kinds: of the terms that had a weight.
      guides: the options that were given by which the style is not the whole of one picture.
    """

    arch: str
    kinds: tuple[str, ...]
    guides: tuple[str, ...] = ()


ASKED_FOR = "nst_jax.objective"
"""The key under which the file of a picture keeps it, as JSON."""


def asked_for(record: RunRecord, variant: int) -> AskedFor:
    """What the objective of a variant asked for.

    Args:
      record: a run log. One of version 1 does not tell the kinds of its terms: their names stand
        for them.
      variant: its number.
    """
    specs = _specs(record)
    weights = record.variants[variant].weights
    kinds = {specs[term].kind if term in specs else term for term in record.terms if weights[term]}
    guides = tuple(name for name in _GUIDES if record.config.get(name))
    return AskedFor(str(record.config.get("arch")), tuple(sorted(kinds)), guides)


def _specs(record: RunRecord) -> dict[str, TermSpec]:
    """What was set of each term; nothing of a log that does not say it in our words."""
    try:
        found: dict[str, TermSpec] = plain.read(
            parse_json(record.attributes["terms_json"]), dict[str, TermSpec]
        )
        return found
    # A log of version 1 does not say it, and one from elsewhere may say anything.
    except (KeyError, TypeError, ValueError):
        return {}


def _described(spec: TermSpec) -> str:
    options = {"reference": spec.reference, "region": spec.region, **spec.options}
    chosen = (f"{name} {words.text(x)}" for name, x in options.items() if x is not None)
    return "; ".join([_of(spec.kind, spec.layers), *chosen])


def _of(kind: str, layers: Sequence[str]) -> str:
    return f"{kind} of {', '.join(layers)}".strip() if layers else kind
