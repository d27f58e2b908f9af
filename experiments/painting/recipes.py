"""The recipes of the study: an objective, stages and a method each, as settings of a run."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nst_jax import presets
from nst_jax.choices import STYLE_LAYERS
from nst_jax.config import StylizeConfig, TermSpec

# Newton and Schulz's iteration is then good to a hundredth of the distance, in half of the time.
_ROOT_STEPS = 12


@dataclass(frozen=True)
class Recipe:
    """One to search among; each layer relative to its target (`layer_balance`).

    Attributes:
      statistic: kind of the term of style.
      layer_weights: of `STYLE_LAYERS`, as many as are taken; their sum is made 1.
      content: weight of the features at block4_conv2.
      smooth: weight of the nine-point variation.
      stages: at 256 pixels; another size scales them.
      deep: kind of a further term that takes the layers beyond the first ones; None: there is none.
      first: how many layers the statistic then takes.
      settings: of the run besides.
    """

    statistic: str = "wasserstein"
    layer_weights: tuple[float, ...] = (16, 8, 4, 2, 1)
    content: float = 0.04
    smooth: float = 1.0
    stages: tuple[str, ...] = ("181:80", "256:40")
    deep: str | None = None
    first: int = 4
    settings: dict[str, Any] = field(default_factory=dict)

    def config(self, content: Path, style: Path, output: Path, *, size: int) -> StylizeConfig:
        """The run that paints a pair."""
        base = StylizeConfig(
            content=content,
            style=style,
            output=output,
            size=size,
            stages=self.stages,
            terms=self.terms,
            layer_balance="relative",
        )
        return _ready(replace(base, **self.settings))

    @property
    def terms(self) -> dict[str, TermSpec]:
        """Of the objective, by name."""
        count = self.first if self.deep else len(self.layer_weights)
        found = {
            "content": TermSpec("content", ("block4_conv2",), weight=self.content),
            "style": self._style(self.statistic, 0, count),
            "smooth": TermSpec("nine_point_variation", weight=self.smooth),
        }
        if self.deep:
            found["deep"] = self._style(self.deep, count, len(self.layer_weights))
        return found

    def _style(self, kind: str, first: int, stop: int) -> TermSpec:
        shares = tuple(weight / sum(self.layer_weights) for weight in self.layer_weights)
        options = {"steps": _ROOT_STEPS} if kind == "wasserstein" else {}
        return TermSpec(kind, STYLE_LAYERS[first:stop], shares[first:stop], options=options)

    def with_settings(self, **settings: Any) -> "Recipe":
        """The same recipe with further settings of the run."""
        return replace(self, settings={**self.settings, **settings})


@dataclass(frozen=True)
class OfPreset:
    """The settings of a preset, as they are or with other stages.

    Attributes:
      name: of the preset.
      stages: at 256 pixels; none: those of the preset.
      settings: that replace those of the preset.
    """

    name: str
    stages: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)

    def config(self, content: Path, style: Path, output: Path, *, size: int) -> StylizeConfig:
        """The run that paints a pair."""
        base = StylizeConfig(content=content, style=style, output=output, size=size)
        made = presets.apply(self.name, base)
        if self.stages:
            made = replace(made, stages=self.stages)
        return _ready(replace(made, **self.settings))


_AVERAGED = Recipe(settings={"average": 0.95})
_FOUR_LAYERS = replace(_AVERAGED, layer_weights=(8, 4, 2, 1))
_CLEAN = replace(_FOUR_LAYERS, smooth=2.0)
_FIFTH_BESIDE = replace(_AVERAGED, layer_weights=(16, 8, 4, 2, 0.5), deep="covariance")
_THREE_STAGES = ("128:120", "181:60,rate=0.75", "256:30,rate=0.5")
_SLOW_STAGES = ("128:100", "181:60", "256:40,rate=0.6")

SEARCHED: dict[str, Recipe | OfPreset] = {
    "last image": Recipe(),
    "Gram": Recipe(statistic="gram"),
    "covariance": Recipe(statistic="covariance"),
    "average": _AVERAGED,
    "less content": replace(_AVERAGED, content=0.02),
    "fifth by covariance": replace(_AVERAGED, deep="covariance"),
    "four layers": _FOUR_LAYERS,
    "three stages": replace(_FOUR_LAYERS, stages=_THREE_STAGES).with_settings(learning_rate=0.03),
    "smooth": replace(_FOUR_LAYERS, smooth=3.0),
    "slow": replace(
        _FOUR_LAYERS, layer_weights=(16, 8, 4, 2), smooth=2.5, stages=_SLOW_STAGES
    ).with_settings(learning_rate=0.025),
    "fifth, three stages": replace(_FIFTH_BESIDE, content=0.05, stages=_THREE_STAGES).with_settings(
        learning_rate=0.03
    ),
    "fifth, slow": replace(_FIFTH_BESIDE, smooth=2.5, stages=_SLOW_STAGES).with_settings(
        learning_rate=0.025
    ),
    "reflected": _CLEAN.with_settings(border="reflect"),
    "reflected, steep": replace(_CLEAN, layer_weights=(27, 9, 3, 1)).with_settings(
        border="reflect"
    ),
    "painterly": replace(_CLEAN, stages=("181:60", "256:30")).with_settings(learning_rate=0.03),
    "crowsonkb": OfPreset("crowsonkb", stages=("181:80", "256:40")),
}
"""Among which the recipe was looked for."""

COMPARED: dict[str, Recipe | OfPreset] = {
    "painterly": OfPreset("painterly"),
    "crowsonkb": OfPreset("crowsonkb", stages=("181:60", "256:30")),
    "crowsonkb, its evaluations": OfPreset("crowsonkb"),
    "report": OfPreset("report"),
}
"""The one that was chosen, beside others."""


def _ready(config: StylizeConfig) -> StylizeConfig:
    """Photographs of half the size are enlarged, so that all pairs are painted alike."""
    return replace(config, enlarge=True, precision="fast", force=True)
