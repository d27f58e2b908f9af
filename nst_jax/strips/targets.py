"""Targets of pictures that the network never sees as a whole."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from nst_jax import terms
from nst_jax.strips import from_python
from nst_jax.terms import FeatureFn, Term, View

Pieces = Sequence[View]
"""A picture, or several that are one style together, as views without features."""


def targets_of(
    feature_fn: FeatureFn, own: Mapping[str, Term], pictures: Mapping[str, Pieces], *, rows: int
) -> dict[str, Any]:
    """The targets of terms: `terms.targets_from` in strips.

    Those that are made of sums are added up. A term that has to see its references whole gets the
    features of its layers whole, one term at a time.

    Args:
      feature_fn: of `vgg.feature_fn`.
      own: terms by name.
      pictures: by name, of which a term has `references`; those of several pieces have the weights
        of `terms.shared`.
      rows: of a strip.

    Raises:
      ValueError: as `terms.targets_from`.
    """
    sums = _sums(feature_fn, own, pictures, rows)
    targets: dict[str, Any] = {}
    for name, term in own.items():
        read = {each: pictures[each] for each in term.references}
        if name in sums and term.source is not None:
            views = {each: pieces[0] for each, pieces in read.items()}
            targets[name] = term.source.finish(views, sums[name])
        else:
            views = {each: _whole(feature_fn, term, pieces, rows) for each, pieces in read.items()}
            targets |= terms.targets_from({name: term}, views)
    return targets


def _sums(
    feature_fn: FeatureFn, own: Mapping[str, Term], pictures: Mapping[str, Pieces], rows: int
) -> dict[str, Any]:
    """Of all terms whose targets are made of sums; each picture is computed once for them."""
    found: dict[str, Any] = {}
    for reference, pieces in pictures.items():
        readers = {
            name: term
            for name, term in own.items()
            if term.source is not None and term.source.reference == reference
        }
        for piece in pieces if readers else ():
            begun = {
                name: term.source.begin(piece) for name, term in readers.items() if term.source
            }
            sums = from_python.measured(feature_fn, readers, begun, piece.image, rows=rows)
            found |= {
                name: jax.tree.map(jnp.add, found[name], more) if name in found else more
                for name, more in sums.items()
            }
    return found


def _whole(feature_fn: FeatureFn, term: Term, pieces: Pieces, rows: int) -> View:
    """A picture with the features that a term reads."""
    if not term.layers:
        return pieces[0]
    views = [
        piece._replace(
            features=from_python.features(feature_fn, term.layers, piece.image, rows=rows)
        )
        for piece in pieces
    ]
    return views[0] if len(views) == 1 else terms.in_a_row(views)
