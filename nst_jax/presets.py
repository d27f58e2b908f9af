"""Settings chosen by eye, for a picture to look at; the defaults of `config` are the report's."""

from dataclasses import replace
from pathlib import Path

from nst_jax.config import StylizeConfig


def painterly(config: StylizeConfig) -> StylizeConfig:
    """The same run with weights and layers that give strokes rather than noise.

    With each layer counted relative to its target, none drowns the others, and strokes appear
    where the plain sum gives noise. Average pooling smooths. The TV weight is small because
    relative losses are about 1. Reflected, the border is no more saturated than the rest.

    Args:
      config: of any run; with `weights` "random" it gets the settings of a preview: small steps
        for little noise, a large weight for the painting's colors, no fifth block, which takes
        time and adds nothing to see.
    """
    config = replace(
        config,
        style_size=config.size * 8 // 5,  # broader strokes
        content_weight=1.0,
        style_weight=8.0,
        tv_weight=1e-5,
        content_layers=("block4_conv2",),
        layer_balance="relative",
        pooling="average",
        border="reflect",
    )
    if config.weights != "random":
        return config
    return replace(
        config,
        learning_rate=config.learning_rate / 2,
        style_weight=300.0,
        content_layers=("block4_conv1",),
        style_layers=tuple(f"block{n}_conv1" for n in range(1, 5)),
    )


def coarse(config: StylizeConfig, output: Path) -> StylizeConfig:
    """The same run at half the size, where strokes are large and steps are cheap.

    Its picture is a start for the run itself: `replace(config, init=str(output))`.

    Args:
      config: of the run.
      output: where the coarse picture goes; there is nothing else of it, no log nor figures.
    """
    return replace(
        config,
        output=output,
        log=None,
        figures=None,
        tensorboard=None,
        size=config.size // 2,
        style_size=None if config.style_size is None else config.style_size // 2,
        steps=2 * config.steps,
        learning_rate=2 * config.learning_rate,
    )
