"""A run filled in with the settings of a preset."""

from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar, get_type_hints

from nst_jax.config import OF_TERMS, RunConfig, StylizeConfig, SweepConfig, last_size
from nst_jax.presets.files import Preset, load
from nst_jax.system import plain

_Config = TypeVar("_Config", StylizeConfig, SweepConfig)


def apply(name: str, config: _Config) -> _Config:
    """The same run with the settings of a preset.

    Args:
      name: of the preset.
      config: of any run, single or sweep.

    Raises:
      ValueError: there is no such preset.
    """
    return replace(config, **settings(name, config))


def settings(
    name: str, config: StylizeConfig | SweepConfig, *, given: Collection[str] = ()
) -> dict[str, Any]:
    """What a preset sets, as fields of the run's settings.

    An objective that the user has named replaces the terms of the preset, and all that it says of
    them; its network and method stay. An optimizer that the user has named has none of the preset's
    constants, and begins anew in each stage.

    Args:
      name: of the preset.
      config: of the run; the preset may depend on its size and its weights.
      given: fields that the user has set, which are left out.

    Raises:
      ValueError: there is no such preset, or it has stages of its own beside steps that the user
        has set.
    """
    preset = load(name)
    chosen = _of_one_run(preset, is_preview=config.weights == "random")
    _check_stages(name, chosen.get("stages", ()), config, given)
    if config.size == "full" and "style_size" not in given:
        # The size of a whole file has no factor.
        chosen.pop("style_scale", None)
    if isinstance(config, SweepConfig):
        chosen = dict(_of_a_sweep(*each) for each in chosen.items())
        chosen |= _typed(preset.sweep, SweepConfig)
    left_out = {*given, *(OF_TERMS if "objective" in given else ())}
    left_out |= _unfit(config, given)
    return {field: value for field, value in chosen.items() if field not in left_out}


def _of_one_run(preset: Preset, *, is_preview: bool) -> dict[str, Any]:
    """What the file sets for a single run."""
    if is_preview and preset.preview:
        return _typed(preset.preview, StylizeConfig)
    chosen = _typed(preset.settings, StylizeConfig)
    return chosen | ({"terms": preset.terms} if preset.terms else {})


def _check_stages(
    name: str, stages: tuple[str, ...], config: RunConfig, given: Collection[str]
) -> None:
    """Refuses what goes with no stages, in the words of one who has asked for none."""
    if not stages or "stages" in given:
        return
    if "steps" in given and last_size(stages):
        raise ValueError(
            f"the preset {name} has stages, which say how long the run goes on: leave --steps out, "
            "or give --stages auto"
        )
    for option, is_asked in {
        "--size full": config.size == "full",
        "--tolerance": config.tolerance is not None,
    }.items():
        if is_asked:
            raise ValueError(
                f"the preset {name} has stages, and {option} is for a run of one size: leave it "
                "out, or give --stages with nothing after it"
            )


def _unfit(config: StylizeConfig | SweepConfig, given: Collection[str]) -> set[str]:
    """What a preset sets for its own optimizer and stages, where the user has others."""
    if {"optimizer", "optimizers"} & set(given):
        return {"constants", "carry_state"}
    return {"carry_state"} if "stages" in given and not config.stages else set()


def _typed(values: Mapping[str, Any], kind: type[RunConfig]) -> dict[str, Any]:
    """Plain values of a file in the types of the settings."""
    types = get_type_hints(kind)
    return {name: plain.read(value, types[name]) for name, value in values.items()}


def _of_a_sweep(field: str, value: Any) -> tuple[str, Any]:
    """A setting of one run as that of a sweep, which lists what may differ between its runs."""
    if field in {each.name for each in fields(RunConfig)}:
        return field, value
    return f"{field}s", (repr(value) if field == "learning_rate" else value,)
