"""Settings chosen by eye, for a picture to look at; the defaults of `config` are the report's.

A new preset is a name in `choices.PresetName`, and here a function and its entry in `_PRESETS`.
"""

from collections.abc import Callable, Collection
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from nst_jax.choices import PresetName, check_choice
from nst_jax.config import RunConfig, Size, StylizeConfig, SweepConfig

_Config = TypeVar("_Config", StylizeConfig, SweepConfig)


def apply(name: PresetName, config: _Config) -> _Config:
    """The same run with the settings of a preset.

    Args:
      name: of the preset.
      config: of any run, single or sweep.

    Raises:
      ValueError: there is no such preset.
    """
    return replace(config, **settings(name, config))


def settings(
    name: PresetName, config: StylizeConfig | SweepConfig, *, given: Collection[str] = ()
) -> dict[str, Any]:
    """What a preset sets, as fields of the run's settings.

    Args:
      name: of the preset.
      config: of the run; the preset may depend on its size and its weights.
      given: fields that the user has set, which are left out.

    Raises:
      ValueError: there is no such preset.
    """
    check_choice("preset", name, PresetName)
    chosen = _PRESETS[name](config)
    if isinstance(config, SweepConfig):
        chosen = dict(_of_a_sweep(*each) for each in chosen.items())
    return {field: value for field, value in chosen.items() if field not in given}


def _painterly(config: RunConfig) -> dict[str, Any]:
    """Weights and layers that give strokes rather than noise.

    With each layer counted relative to its target, none drowns the others, and strokes appear
    where the plain sum gives noise. Average pooling smooths. The TV weight is small because
    relative losses are about 1. Reflected, the border is no more saturated than the rest. Random
    weights get the settings of a preview: small steps for little noise, a large weight for the
    painting's colors, no fifth block, which takes time and adds nothing to see.
    """
    chosen: dict[str, Any] = {
        "content_weight": 1.0,
        "style_weight": 8.0,
        "tv_weight": 1e-5,
        "content_layers": ("block4_conv2",),
        "layer_balance": "relative",
        "pooling": "average",
        "border": "reflect",
        # Broader strokes; those of a whole file cannot be.
        "style_size": "full" if config.size == "full" else config.size * 8 // 5,
    }
    if config.weights == "random":
        chosen |= {
            "learning_rate": 0.01,
            "style_weight": 300.0,
            "content_layers": ("block4_conv1",),
            "style_layers": tuple(f"block{n}_conv1" for n in range(1, 5)),
        }
    return chosen


_PRESETS: dict[PresetName, Callable[[RunConfig], dict[str, Any]]] = {"painterly": _painterly}


def _of_a_sweep(field: str, value: Any) -> tuple[str, Any]:
    """A setting of one run as that of a sweep, which lists what may differ between its runs."""
    if field in {each.name for each in fields(RunConfig)}:
        return field, value
    return f"{field}s", (repr(value) if field == "learning_rate" else value,)


def coarse(config: StylizeConfig, output: Path) -> StylizeConfig:
    """The same run at half the size, where strokes are large and steps are cheap.

    Its picture is a start for the run itself: `replace(config, init=str(output))`. Of full size the
    half is read from the file.

    Args:
      config: of the run.
      output: where the coarse picture goes; there is nothing else of it, no log nor figures.

    Raises:
      ValueError, OSError: a picture of full size cannot be read.
    """
    size, style_size = config.size, config.style_size
    return replace(
        config,
        output=output,
        log=None,
        figures=None,
        tensorboard=None,
        snapshot_every=0,
        keep_state=False,
        size=_half(size, config.content),
        style_size=None if style_size is None else _half(style_size, config.style),
        steps=2 * config.steps,
        learning_rate=2 * config.learning_rate,
    )


def _half(size: Size, path: Path) -> int:
    # The help of the command line asks for presets, and waits for no library of pictures.
    from nst_jax import image

    return (image.longest_side(path) if size == "full" else size) // 2
