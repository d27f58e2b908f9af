"""Results of different losses by measures that are the same for all."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from nst_jax import image as images
from nst_jax import losses, vgg
from nst_jax.choices import STYLE_LAYERS
from nst_jax.config import SweepConfig
from nst_jax.runlog import RunRecord

LAYER = "block4_conv2"
"""Content is measured there: but for one, no run is optimised for it."""


class Yardstick(NamedTuple):
    """A result by measures that are the same for all.

    Attributes:
      style: the report's style loss in parts of that of the content picture: 1 is unstyled.
      content: squared error of the features at `LAYER` over their own squares.
      variation: total variation in parts of that of the content picture.
    """

    style: float
    content: float
    variation: float


class Choice(NamedTuple):
    """One setting in a group: what it is called, and the run that has it alone changed."""

    group: str
    label: str
    config: SweepConfig


class Measured(NamedTuple):
    """A choice with what came of it."""

    choice: Choice
    record: RunRecord
    by: Yardstick

    @property
    def is_report(self) -> bool:
        """Whether this is the report's own loss, which most groups share."""
        return self.choice.config.log.stem == "report"


def groups_of(measured: Sequence[Measured]) -> dict[str, list[Measured]]:
    """The choices by group."""
    names = dict.fromkeys(each.choice.group for each in measured)
    return {name: [each for each in measured if each.choice.group == name] for name in names}


def make_yardstick(
    params: vgg.Params, content: Float[np.ndarray, "h w 3"], style: Float[np.ndarray, "h2 w2 3"]
) -> Callable[[UInt8[np.ndarray, "h w 3"]], Yardstick]:
    """The measures of a result, by VGG19 with max pooling whatever it was made by."""
    features = vgg.feature_fn(params, (*STYLE_LAYERS, LAYER))
    of_content, of_style = features(content), features(style)
    grams = {layer: losses.gram_matrix(of_style[layer]) for layer in STYLE_LAYERS}
    kept = of_content[LAYER]

    def style_loss(found: dict) -> float:
        terms = [losses.style_loss(found[layer], gram) for layer, gram in grams.items()]
        return float(np.mean(terms))

    def measure(result: UInt8[np.ndarray, "h w 3"]) -> Yardstick:
        picture = images.from_uint8(result)
        found = features(picture)
        lost = jnp.sum((found[LAYER] - kept) ** 2) / jnp.sum(kept**2)
        variation = losses.total_variation(picture) / losses.total_variation(content)
        return Yardstick(style_loss(found) / style_loss(of_content), float(lost), float(variation))

    return measure
