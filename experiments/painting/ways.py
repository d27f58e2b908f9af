"""Ways to paint that differ in one choice: the network, the statistic of style, Gatys's own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float

from nst_jax import alexnet, squeezenet, stylize, terms, vgg
from nst_jax import image as images
from nst_jax import weights as network_weights
from nst_jax.choices import STYLE_LAYERS, Pooling
from nst_jax.terms import FeatureFn, Weights

# Beside a style of weight 1. Both are relative to an image without features, so that a network of
# another scale needs no other weight.
_CONTENT = 0.3
_RATE = 0.03

Pictures = Sequence[np.ndarray]


class Layers(NamedTuple):
    """Of which network features are compared: `style`, from the image upward, and `content`."""

    style: tuple[str, ...]
    content: str


LAYERS: Mapping[str, Layers] = {
    "vgg19": Layers(STYLE_LAYERS, "block4_conv2"),
    "vgg16": Layers(STYLE_LAYERS, "block4_conv2"),
    "alexnet": Layers(("conv1", "conv2", "conv3", "conv4", "conv5"), "conv3"),
    "squeezenet": Layers(("conv1", "fire3", "fire5", "fire7", "fire9"), "fire5"),
}
"""Five layers of style each, and content in the middle: of AlexNet all that it has."""


@dataclass(frozen=True)
class Way:
    """How a pair is painted.

    Attributes:
      network: of `LAYERS`.
      statistic: kind of the term of style.
      content_layer: None: that of the network.
      start: "content" or "noise".
      pooling: of a VGG.
      normalized: each channel is divided by its mean over the pictures of the study.
    """

    network: str = "vgg19"
    statistic: str = "gram"
    content_layer: str | None = None
    start: str = "content"
    pooling: Pooling = "max"
    normalized: bool = False

    @property
    def layers(self) -> Layers:
        """That are compared."""
        own = LAYERS[self.network]
        return own._replace(content=self.content_layer or own.content)


_PAPER = Way(content_layer="block4_conv2")

PARTS: Mapping[str, Mapping[str, Way]] = {
    "networks": {name: Way(network=name) for name in LAYERS},
    "statistics": {
        "Gram": Way(),
        "adjacent layers": Way(statistic="adjacent_gram"),
        "cross-layer": Way(statistic="cross_layer_gram"),
        "shifted": Way(statistic="shifted_gram"),
        "Wasserstein": Way(statistic="wasserstein"),
    },
    "gatys": {
        "conv4_2 from the content": _PAPER,
        "from noise": replace(_PAPER, start="noise"),
        "conv2_2": replace(_PAPER, content_layer="block2_conv2"),
        "conv5_2": replace(_PAPER, content_layer="block5_conv2"),
        "average pooling": replace(_PAPER, pooling="average"),
        "normalized network": replace(_PAPER, normalized=True),
    },
}
"""The ways that are compared; others with the first."""


class Setting(NamedTuple):
    """What all ways of a study share.

    Attributes:
      steps: of Adam.
      weights: a file of VGG19's and one of VGG16's by name, or "random"; None: what is found.
      judges: the folder of AlexNet and SqueezeNet; None: what is found.
      shown: pictures, over which a normalized network has the mean 1.
      precision: of a VGG.
    """

    steps: int
    weights: Mapping[str, str | None]
    judges: Path | None
    shown: Pictures
    precision: str = "fast"


class Ready(NamedTuple):
    """A way for one pair: `objective(image, weights)`."""

    objective: Partial
    weights: Weights


class Painter:
    """Paints pairs in many ways; each network is read once."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self.features: Callable[[Way], FeatureFn] = cache(self._features)

    def ready(self, way: Way, content: np.ndarray, style: np.ndarray) -> Ready:
        """What is minimized.

        Args:
          way: how.
          content: RGB in [0, 1], (h, w, 3), as `style`.
          style: the painting.
        """
        feature_fn, layers = self.features(way), way.layers
        pictures = {"content": content, "style": style}
        views = {name: terms.view(feature_fn, picture) for name, picture in pictures.items()}
        own = {
            "content": terms.content((layers.content,)),
            "style": terms.named(way.statistic, layers=layers.style),
        }
        objective = terms.compose(feature_fn, own, views)
        weights = terms.weigh(objective, {"content": _CONTENT, "style": 1.0})
        return Ready(objective, terms.relative(objective, weights, views["content"]))

    def paint(self, way: Way, content: np.ndarray, style: np.ndarray) -> np.ndarray:
        """The picture, RGB in [0, 1]; arguments as `ready`."""
        objective, weights = self.ready(way, content, style)
        start = images.initial_image(way.start, content, style, seed=0)
        steps = self._setting.steps
        return stylize(
            objective, start, weights, learning_rate=_RATE, num_steps=steps, average=0.95
        ).image

    def _features(self, way: Way) -> FeatureFn:
        layers = tuple(dict.fromkeys((*way.layers.style, way.layers.content)))
        feature_fn = self._network(way, layers)
        if not way.normalized:
            return feature_fn
        return Partial(_divided, feature_fn, means_of(feature_fn, self._setting.shown))

    def _network(self, way: Way, layers: tuple[str, ...]) -> FeatureFn:
        if way.network in ("vgg16", "vgg19"):
            params = network_weights.load_params(
                self._setting.weights.get(way.network), arch=way.network
            )
            form = vgg.fastest_form(self._setting.precision)._asdict()
            return vgg.feature_fn(params, layers, arch=way.network, pooling=way.pooling, **form)
        found = network_weights.load_judges(self._setting.judges)
        if getattr(found, way.network) is None:
            raise FileNotFoundError("; ".join(found.missing))
        if way.network == "alexnet":
            return alexnet.feature_fn(found.alexnet, layers)
        return squeezenet.feature_fn(found.squeezenet, layers, convention=found.convention)


def means_of(feature_fn: FeatureFn, shown: Pictures) -> dict[str, Float[Array, "c"]]:
    """The mean of each channel over pictures and locations, by layer.

    Where a channel is never active, 1.
    """
    found = [
        {name: jnp.mean(x, axis=(0, 1)) for name, x in feature_fn(picture).items()}
        for picture in shown
    ]
    means = jax.tree.map(lambda *each: sum(each) / len(each), *found)
    return jax.tree.map(lambda mean: jnp.where(mean > 0, mean, 1.0), means)


def _divided(feature_fn: FeatureFn, means: Mapping[str, Array], image: Any) -> dict[str, Array]:
    """The features of the network whose filters have the mean activation 1 (Gatys 2016, section 2).

    ReLU and pooling pass a positive factor on, and the kernels above take it back: all that changes
    is the scale of each channel.
    """
    return {
        name: x / jnp.broadcast_to(means[name], x.shape) for name, x in feature_fn(image).items()
    }
