"""Stages of a run, coarse to fine, as they are written: "128:300,rate=2"."""

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from nst_jax.config.settings import RunConfig

AUTO = "auto"
MOST_STAGES = 64
# Of an automatic first stage, in pixels; and the ratio of two neighboring sizes.
_SMALLEST, _RATIO = 128, 2**0.5
_FORM = re.compile(r"(\d+):(\d+)((?:,\w+=[^,=]+)*)")

_Config = TypeVar("_Config", bound=RunConfig)


@dataclass(frozen=True)
class StageSpec:
    """One stage.

    Attributes:
      size: longest side of the content in pixels.
      steps: of this stage.
      rate: factor of the learning rate.
      style_scale: factor of the style's size.
      weights: factors of the weights of terms, by name.
    """

    size: int
    steps: int
    rate: float = 1.0
    style_scale: float = 1.0
    weights: Mapping[str, float] = field(default_factory=dict)


def stages_of(config: RunConfig) -> tuple[StageSpec, ...]:
    """The stages of a run; the last one takes what `steps` leaves. None for a run of one size.

    Raises:
      ValueError: a stage that is not written as one, or settings that contradict stages; one line.
    """
    if not config.stages:
        return ()
    specs = [_parsed(text) for text in config.stages]
    _check(config, specs)
    scale = _size(config) / specs[-1].size
    sizes = [max(round(spec.size * scale), 1) for spec in specs]
    before = sum(spec.steps for spec in specs[:-1])
    steps = [*(spec.steps for spec in specs[:-1]), config.steps - before]
    if steps[-1] < 1:
        raise ValueError(
            f"--stages has {before} steps before its last stage: expected more in all, got "
            f"{config.steps}"
        )
    return tuple(
        replace(spec, size=size, steps=count)
        for spec, size, count in zip(specs, sizes, steps, strict=True)
    )


def explicit(config: _Config) -> _Config:
    """The same run with its stages written out, and all their steps as its steps.

    Raises:
      ValueError: as `stages_of`.
    """
    if not config.stages:
        return config
    if config.stages == (AUTO,):
        config = replace(config, stages=_automatic(_size(config), config.steps))
    return replace(config, steps=sum(_parsed(text).steps for text in config.stages))


def last_size(stages: tuple[str, ...]) -> int | None:
    """The size that stages end with, if they say it.

    Raises:
      ValueError: the last one is not written as a stage.
    """
    return None if stages in ((), (AUTO,)) else _parsed(stages[-1]).size


def _automatic(size: int, steps: int) -> tuple[str, ...]:
    """Sizes up to this one, from 128 on, by factors of about 1.4; twice the steps in the first."""
    sizes = [size]
    while (smaller := round(sizes[0] / _RATIO)) >= _SMALLEST:
        sizes.insert(0, smaller)
    return tuple(f"{each}:{steps * 2 if each == sizes[0] else steps}" for each in sizes)


def _parsed(text: str) -> StageSpec:
    found = _FORM.fullmatch(text)
    try:
        if not found:
            raise ValueError
        named = [part.partition("=") for part in found[3].split(",")[1:]]
        factors = {name: float(value) for name, _, value in named}
        if not all(0 <= factor < float("inf") for factor in factors.values()):
            raise ValueError
    except ValueError:
        raise ValueError(
            f"--stages {text}: expected SIZE:STEPS, then factors as ,rate=2 ,style_scale=1.5 or of "
            "the weight of a term"
        ) from None
    rate, style_scale = factors.pop("rate", 1.0), factors.pop("style_scale", 1.0)
    return StageSpec(int(found[1]), int(found[2]), rate, style_scale, factors)


def _size(config: RunConfig) -> int:
    if config.size == "full":
        raise ValueError("--stages go up to a size in pixels: give --size, not full")
    return config.size


def _check(config: RunConfig, specs: list[StageSpec]) -> None:
    if len(specs) > MOST_STAGES:
        raise ValueError(f"--stages: expected {MOST_STAGES} at most, got {len(specs)}")
    for spec in specs:
        if min(spec.size, spec.steps) < 1 or min(spec.rate, spec.style_scale) <= 0:
            raise ValueError(
                "--stages: size, steps, rate and style_scale must be above 0, got "
                f"{spec.size}:{spec.steps}, {spec.rate:g} and {spec.style_scale:g}"
            )
        if not 1 / 64 <= config.style_scale * spec.style_scale <= 64:
            raise ValueError(
                "--stages: style_scale must come to 1/64 to 64, with --style-scale, got "
                f"{config.style_scale * spec.style_scale:g}"
            )
    if any(spec.size > later.size for spec, later in itertools.pairwise(specs)):
        raise ValueError(
            "--stages go from coarse to fine: a size must be at least that before it, got "
            f"{', '.join(str(spec.size) for spec in specs)}"
        )
    if config.tolerance is not None:
        raise ValueError("--tolerance ends a run of one size: leave it or --stages out")
    if config.style_size == "full":
        raise ValueError("--style-size full has no part for a stage: give it in pixels")


def at_stage(config: _Config, spec: StageSpec) -> _Config:
    """The settings under which the pictures of a stage are read.

    Args:
      config: of the run.
      spec: of `stages_of`.
    """
    style_size = config.style_size
    if isinstance(style_size, int):
        style_size = max(round(style_size * spec.size / _size(config)), 1)
    return replace(
        config,
        stages=(),
        size=spec.size,
        style_size=style_size,
        style_scale=config.style_scale * spec.style_scale,
    )


def at_last_stage(config: _Config) -> _Config:
    """The settings under which the pictures are read that a run ends with, and that its log has.

    Args:
      config: of a run, with stages or without.
    """
    specs = stages_of(config)
    return at_stage(config, specs[-1]) if specs else config
