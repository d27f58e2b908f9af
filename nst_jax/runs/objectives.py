"""The terms of a run, made of what its settings say of them."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from nst_jax import terms, vgg
from nst_jax.choices import Arch
from nst_jax.config.terms import Terms, TermSpec
from nst_jax.runlog import NAME, TOTAL
from nst_jax.terms import Term

CONTENT, STYLE = "content", "style"
"""The pictures that every run has."""
OPAQUE = "opaque"
"""The region of a content that is seen, where its transparency is kept."""
OF_PAIRS = {"shifted_gram", "cross_layer_gram", "adjacent_gram"}
"""Kinds that compare locations with their neighbors."""
OF_IMAGE = {"content", "laplacian", "pixel_content"}
"""Kinds that compare each location with that of a picture of the same size."""


def region_of(picture: str, region: str) -> str:
    """What a region of a picture is called among the views; one of the image by its own name."""
    return region if picture == CONTENT else f"{picture}/{region}"


def make_terms(specs: Terms, arch: Arch, style_regions: Collection[str] = ()) -> dict[str, Term]:
    """The terms of a run by name.

    Args:
      specs: what is set of each.
      arch: of the network, whose layers have several names.
      style_regions: for which the style has a mask of its own.

    Raises:
      ValueError: one line that names the term.
    """
    return {name: _make(name, spec, arch, style_regions) for name, spec in specs.items()}


def _make(name: str, spec: TermSpec, arch: Arch, style_regions: Collection[str]) -> Term:
    if not NAME.fullmatch(name) or name == TOTAL:
        raise ValueError(
            f"the term {name!r} must have a name of small letters, digits and _, 40 at most, and "
            f"not {TOTAL!r}"
        )
    for word, value in (("reference", spec.reference), ("region", spec.region)):
        if value is not None and not NAME.fullmatch(value):
            raise ValueError(f"the term {name!r}: the {word} {value!r} is no name")
    make = partial(terms.named, spec.kind, region=spec.region, options=spec.options)
    try:
        layers = tuple(vgg.canonical_name(layer, arch) for layer in spec.layers)
        term = make(layers=layers, reference=spec.reference)
        if spec.region in style_regions and STYLE in term.references:
            term = make(layers=layers, reference=region_of(STYLE, str(spec.region)))
        for layer in term.layers:
            vgg.canonical_name(layer, arch)
        part_weights(spec, term)
    except (ValueError, ImportError) as error:
        raise ValueError(f"the term {name!r}: {error}") from None
    return term


def within(specs: Terms, region: str) -> dict[str, TermSpec]:
    """Terms of a region; those that have one of their own, or can have none, as they are.

    Args:
      specs: what is set of each.
      region: its name.
    """
    return {
        name: replace(spec, region=region)
        if spec.region is None and terms.takes_region(spec.kind)
        else spec
        for name, spec in specs.items()
    }


def part_weights(spec: TermSpec, term: Term) -> np.ndarray:
    """The weights of a term's parts, (part,); equal, with the sum 1, if none are given.

    Raises:
      ValueError: they are of another number, or negative.
    """
    count = len(term.parts)
    if not spec.layer_weights:
        return np.full(count, 1 / max(count, 1), np.float32)
    # Programs compute in float32, where 1e39 is infinite. NumPy warns of it.
    with np.errstate(over="ignore"):
        weights = np.asarray(spec.layer_weights, np.float32)
    is_good = np.isfinite(weights) & (weights >= 0)
    if len(weights) != count or not is_good.all() or not weights.any():
        raise ValueError(
            f"expected {count} weights, one a layer or pair of layers, finite, not negative and "
            "not all 0, got "
            f"{', '.join(map(str, spec.layer_weights))}"
        )
    return weights


def layers_of(made: Mapping[str, Term]) -> tuple[str, ...]:
    """All layers that terms read, each once."""
    return tuple(dict.fromkeys(layer for term in made.values() for layer in term.layers))


def layers_in(reference: str, made: Mapping[str, Term]) -> tuple[str, ...]:
    """The layers that terms read of a picture or region, each once."""
    return layers_of({name: term for name, term in made.items() if reference in term.references})


def references_of(made: Mapping[str, Term]) -> tuple[str, ...]:
    """All pictures that terms read, each once."""
    return tuple(dict.fromkeys(name for term in made.values() for name in term.references))


def check_weights(weights: Mapping[str, float], made: Mapping[str, Term]) -> None:
    """Refuses the weights of a variant; see `terms.check_weights`.

    Args:
      weights: by term.
      made: the terms; one without parts has no weight either.

    Raises:
      ValueError: one line that names the term.
    """
    terms.check_weights({name: weights[name] * bool(term.parts) for name, term in made.items()})
