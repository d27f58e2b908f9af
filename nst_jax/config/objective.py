"""The objective of a run: a name or a file, and what else has been set about its terms.

What is set by a word of its own wins over the objective; what contradicts it is refused.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from nst_jax.choices import MOST_TERMS, LayerBalance
from nst_jax.config.settings import RunConfig, StylizeConfig, SweepConfig, VideoConfig
from nst_jax.config.terms import ObjectiveSpec, Terms, TermSpec, load, names

_Config = TypeVar("_Config", bound=RunConfig)

_LAYER_WORDS = {
    "content_layers": ("content", "layers"),
    "style_layers": ("style", "layers"),
    "content_layer_weights": ("content", "layer_weights"),
    "style_layer_weights": ("style", "layer_weights"),
}
_WEIGHT_WORDS = {
    "content": "content_weight",
    "style": "style_weight",
    "total_variation": "tv_weight",
}
PREVIOUS, RELIABLE, TEMPORAL = "previous", "reliable", "temporal"
"""Of a video: the picture that earlier results tell, where it counts, and the term of both."""
OF_TERMS = frozenset(
    (
        *("objective", "terms", "term", "term_weights", "layer_balance", "convention"),
        *_LAYER_WORDS,
        *_WEIGHT_WORDS.values(),
        *(f"{word}s" for word in _WEIGHT_WORDS.values()),
    )
)
"""The settings that say what the terms are, and how they are weighed."""


def with_objective_read(config: _Config) -> _Config:
    """The same run with the file of its objective read: it needs the file no more.

    Raises:
      ValueError, OSError: the file is no objective; one line.
    """
    if config.terms or config.objective in (None, *names()):
        return config
    found = load(str(config.objective))
    balance = config.layer_balance or found.layer_balance
    return replace(config, terms=found.terms, layer_balance=balance)


def terms_of(config: RunConfig) -> dict[str, TermSpec]:
    """The terms of a run by name, in their order, with everything that has been set about them.

    Raises:
      ValueError: settings that contradict one another; one line.
    """
    terms = dict(_base(config).terms)
    check_functions([spec.kind for spec in terms.values() if ":" in spec.kind], config.own_terms)
    for text in config.term:
        name = text.rpartition(":")[2]
        if name in terms:
            raise ValueError(
                f"--term {text}: the objective has a term {name!r} already: rename one"
            )
        terms[name] = TermSpec(text)
    for word, (name, field) in _LAYER_WORDS.items():
        value = getattr(config, word)
        if value:
            _check_is_there(word, name, terms)
            _check_weights_are_of_layers(config, word, name, terms[name])
            terms[name] = replace(terms[name], **{field: value})
        elif value == () and field == "layers":
            # No layers at all: the term is left out.
            terms.pop(name, None)
    if isinstance(config, VideoConfig):
        if TEMPORAL in terms:
            raise ValueError(
                f"the term {TEMPORAL!r} is the video's own: rename that of the objective"
            )
        weight = config.temporal_weight
        terms[TEMPORAL] = TermSpec(
            "pixel_content", weight=weight, reference=PREVIOUS, region=RELIABLE
        )
    if not 0 < len(terms) <= MOST_TERMS:
        raise ValueError(f"an objective has from 1 to {MOST_TERMS} terms, got {len(terms)}")
    return terms


def check_functions(functions: Sequence[str], own_terms: bool) -> None:
    """Refuses to import code that a file or a log names: it may come from a stranger.

    Args:
      functions: "module:function" each.
      own_terms: whether they have been said to be one's own.

    Raises:
      ValueError: there are some, and they have not.
    """
    if functions and not own_terms:
        raise ValueError(
            f"the terms {', '.join(functions)} are functions that would be imported: if they are "
            "your own, add --own-terms"
        )


def layer_balance_of(config: RunConfig) -> LayerBalance:
    """How layers are weighed against one another."""
    return config.layer_balance or _base(config).layer_balance or "equal"


def _base(config: RunConfig) -> ObjectiveSpec:
    """The objective itself, of the log, of a file or of a name."""
    name = config.objective
    if config.convention and (config.terms or name not in (None, config.convention)):
        other = f"--objective {name}" if name else "terms that are given one by one"
        raise ValueError(
            f"--convention {config.convention} and {other} contradict each other: leave one out "
            "(a file says `convention` in the options of its terms)"
        )
    if config.terms:
        return ObjectiveSpec(config.terms)
    return load(name or config.convention or "report")


def weights_of(config: StylizeConfig | SweepConfig) -> dict[str, tuple[float, ...]]:
    """The weights of each term that a run tries; of `stylize` one each.

    Raises:
      ValueError: as `terms_of`, or a weight is no number, or of no term, or given twice.
    """
    terms = terms_of(config)
    weights = {name: (spec.weight,) for name, spec in terms.items()}
    own = _by_words(config, terms)
    typed = _by_terms(config.term_weights, terms)
    for name in typed:
        if name in own:
            word = _option(_WEIGHT_WORDS[name] + "s" * isinstance(config, SweepConfig))
            raise ValueError(f"{word} and --term-weights {name}= say the same: leave one out")
        if isinstance(config, StylizeConfig) and len(typed[name]) > 1:
            raise ValueError(
                f"stylize takes one weight of a term, got {len(typed[name])} of {name!r}: "
                "nst-jax sweep tries several"
            )
    return weights | own | typed


def _by_words(config: StylizeConfig | SweepConfig, terms: Terms) -> dict[str, tuple[float, ...]]:
    """What is set by a word for a term: --style-weight, or of a sweep --style-weights."""
    plural = "s" if isinstance(config, SweepConfig) else ""
    found = {}
    for name, word in _WEIGHT_WORDS.items():
        value: Any = getattr(config, word + plural)
        values = value if isinstance(value, tuple) else () if value is None else (value,)
        if values:
            _check_is_there(word + plural, name, terms)
            found[name] = values
    return found


def _by_terms(texts: Iterable[str], terms: Terms) -> dict[str, tuple[float, ...]]:
    """`style=1,10` as numbers by term."""
    found: dict[str, tuple[float, ...]] = {}
    for text in texts:
        name, _, numbers = text.partition("=")
        if name not in terms:
            raise ValueError(
                f"--term-weights {text}: expected TERM=NUMBER of the terms {', '.join(terms)}"
            )
        try:
            values = tuple(float(number) for number in numbers.split(","))
        except ValueError:
            raise ValueError(f"--term-weights {text}: {numbers!r} is no number") from None
        found[name] = found.get(name, ()) + values
    return {name: tuple(dict.fromkeys(values)) for name, values in found.items()}


def _check_is_there(word: str, name: str, terms: Mapping[str, Any]) -> None:
    if name not in terms:
        raise ValueError(
            f"{_option(word)} is of the term {name!r}, which the objective has not: its terms are "
            f"{', '.join(terms)}"
        )


def _check_weights_are_of_layers(config: RunConfig, word: str, name: str, spec: TermSpec) -> None:
    """Refuses other layers for a term with weights of its own: they would be those of no layer."""
    weights = f"{word.removesuffix('s')}_weights"
    has_others = word.endswith("_layers") and getattr(config, word) != spec.layers
    if has_others and spec.layer_weights and not getattr(config, weights):
        raise ValueError(
            f"{_option(word)}: the term {name!r} has weights of its own layers: give "
            f"{_option(weights)} as well"
        )


def _option(word: str) -> str:
    return "--" + word.replace("_", "-")
