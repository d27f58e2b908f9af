"""The grid of a sweep: settings -> variants.

Variants are ordered so that those which one program can run are neighbors: by content, then by
style, then by optimizer.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple, get_args

from nst_jax.choices import OptimizerName
from nst_jax.config import RunConfig, StylizeConfig, SweepConfig, contents_of, weights_of
from nst_jax.optimizers import named
from nst_jax.runlog import Variant, labels


class Share(NamedTuple):
    """Every `total`-th variant of a run from `number` on; by default all of them.

    Neighbors of one program are dealt out one by one, so that all shares cost about the same.
    """

    number: int = 0
    total: int = 1

    @property
    def columns(self) -> slice:
        return slice(self.number, None, self.total)


WHOLE = Share()
SHARE = {"share": 0, "shares": 1}
"""As attributes of a log, with what logs without them mean."""


def variants_of(config: StylizeConfig | SweepConfig) -> tuple[Variant, ...]:
    """The variants of a run; of `stylize` one.

    Labels name what differs between the variants, and the optimizer always; no two are the same.

    Raises:
      ValueError: a learning rate that is not a number, or for an optimizer that is not run.
    """
    of_terms = weights_of(config)
    if isinstance(config, StylizeConfig):
        config = as_sweep(config)
    rates = parse_learning_rates(config.learning_rates, config.optimizers)
    _check_count(config, rates, of_terms)
    settings: list[dict[str, Any]] = [
        {
            "content": str(content),
            "style": str(style),
            "optimizer": optimizer,
            "learning_rate": rate,
            "weights": dict(zip(of_terms, weights, strict=True)),
            "init": init,
            "seed": seed,
        }
        for content, style, optimizer in itertools.product(
            contents_of(config), config.styles, config.optimizers
        )
        for rate, weights, init, seed in itertools.product(
            rates[optimizer],
            [*itertools.product(*of_terms.values())],
            config.inits,
            config.seeds,
        )
    ]
    return tuple(
        Variant(label=label, **each)
        for label, each in zip(_labels(settings, rates), settings, strict=True)
    )


def _check_count(
    config: SweepConfig,
    rates: Mapping[str, Sequence[float]],
    of_terms: Mapping[str, Sequence[float]],
) -> None:
    count = len(contents_of(config)) * len(config.styles)
    count *= sum(len(rates[optimizer]) for optimizer in config.optimizers)
    count *= math.prod(map(len, (*of_terms.values(), config.inits, config.seeds)))
    if count > _MOST_VARIANTS:
        raise ValueError(f"a sweep has at most {_MOST_VARIANTS:,} variants, got {count:,}")


def as_sweep(config: StylizeConfig) -> SweepConfig:
    """A single run as a sweep of one: a sweep around it is this with more values of something."""

    def one(value):
        return () if value is None else (value,)

    return SweepConfig(
        **{field.name: getattr(config, field.name) for field in fields(RunConfig)},
        content=config.content,
        styles=config.styles,
        log=config.log or config.output,
        force=config.force,
        optimizers=(config.optimizer,),
        learning_rates=(repr(config.learning_rate),),
        content_weights=one(config.content_weight),
        style_weights=one(config.style_weight),
        tv_weights=one(config.tv_weight),
        term_weights=config.term_weights,
        inits=(config.init,),
        seeds=(config.seed,),
    )


def parse_learning_rates(
    texts: Sequence[str], optimizers: Sequence[OptimizerName]
) -> dict[str, tuple[float, ...]]:
    """The rates of each optimizer: `0.02` is for all that have none of their own, `adam:0.01,0.1`.

    An optimizer without a rate gets 0, which is not used.

    Raises:
      ValueError: a text that is neither; an optimizer that is not run, or is left without rates.
    """
    common: list[float] = []
    own: dict[str, tuple[float, ...]] = {}
    for text in texts:
        name, colon, numbers = text.rpartition(":")
        if colon and name not in optimizers:
            valid = get_args(OptimizerName)
            reason = "is not run" if name in valid else f"must be one of {', '.join(valid)}"
            raise ValueError(f"learning rates {text!r}: the optimizer {name!r} {reason}")
        try:
            rates = tuple(float(number) for number in numbers.split(","))
        except ValueError:
            raise ValueError(
                f"learning rates must be numbers, or for one optimizer adam:0.01,0.1; got {text!r}"
            ) from None
        if colon:
            own[name] = own.get(name, ()) + rates
        else:
            common += rates
    result: dict[str, tuple[float, ...]] = {}
    for optimizer in dict.fromkeys(optimizers):
        rates = own.get(optimizer, tuple(common)) if named(optimizer).has_rate else (0.0,)
        if not rates:
            raise ValueError(f"no learning rate for {optimizer}: add one to --learning-rates")
        result[optimizer] = tuple(dict.fromkeys(rates))
    return result


_MOST_VARIANTS = 100_000
_SHOWN = {"init": "from", "seed": "seed", "content": "of", "style": ""}
_PATHS = ("", "of", "from")
# The style is also a picture.
_TERMS = {"style": "style weight", "total_variation": "TV"}


def _labels(
    settings: Sequence[Mapping[str, Any]], rates: Mapping[str, Sequence[float]]
) -> list[str]:
    rate_names = {optimizer: labels.of_numbers(own) for optimizer, own in rates.items()}
    told = [_told(each) for each in settings]
    columns = {name: {each[name] for each in told} for name in told[0]} if told else {}
    names = {
        words: (labels.of_paths if words in _PATHS else labels.of_numbers)(values)
        for words, values in columns.items()
        if len(values) > 1
    }

    def parts(own: Mapping[str, Any], told: Mapping[str, Any]) -> Iterator[str]:
        yield own["optimizer"]
        if named(own["optimizer"]).has_rate:
            yield rate_names[own["optimizer"]][own["learning_rate"]]
        for name, shown in names.items():
            yield f"{name} {shown[told[name]]}"

    texts = (" ".join(parts(*each)) for each in zip(settings, told, strict=True))
    return labels.distinct([" ".join(text.split()) for text in texts])


def _told(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a label tells of a variant if it differs from others, by its words there."""
    # A space apart, no name of a term is that of a setting.
    weights = {
        f"{_TERMS.get(term, term.replace('_', ' '))} ": weight
        for term, weight in settings["weights"].items()
    }
    return weights | {shown: settings[name] for name, shown in _SHOWN.items()}
