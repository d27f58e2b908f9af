"""Every metric by name: what it compares, which judge it asks, what an objective shares with it."""

from collections.abc import Collection, Iterable
from typing import Literal, NamedTuple

Judge = Literal["alexnet", "squeezenet"]
"""A network that judges; none has weights in common with a VGG."""

_SMOOTHNESS = frozenset(
    (
        *("laplacian", "total_variation", "squared_variation"),
        *("power_variation", "nine_point_variation"),
    )
)
_MOMENTS = frozenset(("covariance", "wasserstein", "moments"))


class Metric(NamedTuple):
    """What is known of a metric before it is computed.

    Attributes:
      meaning: in a few words.
      better: which values are those of a better picture: "near 1" if both sides are worse.
      judge: the network that it asks.
      statistics: kinds of terms that lower the same or nearly the same quantity.
      is_detail: whether it is a part of another metric.
    """

    meaning: str
    better: Literal["higher", "lower", "near 1"]
    judge: Judge | None = None
    statistics: frozenset[str] = frozenset()
    is_detail: bool = False


_STYLE = Metric(
    "mean and covariance of AlexNet's features against the style's",
    "lower",
    "alexnet",
    _MOMENTS,
)

# AlexNet's own list would bring JAX.
_LAYERS = tuple(f"conv{number}" for number in range(1, 6))

METRICS: dict[str, Metric] = {
    "ssim": Metric("structure of the content's luma that is kept", "higher"),
    "psnr": Metric("pixels of the content that are kept, in decibels", "higher"),
    "lpips": Metric("how different it looks from the content, to AlexNet", "lower", "alexnet"),
    "class_agreement": Metric(
        "1 if SqueezeNet still sees the content's class, else 0", "higher", "squeezenet"
    ),
    "class_probability": Metric(
        "that SqueezeNet gives to the content's class", "higher", "squeezenet"
    ),
    "style_distance": _STYLE,
    **{
        f"style_distance_{layer}": _STYLE._replace(meaning=f"the part of {layer}", is_detail=True)
        for layer in _LAYERS
    },
    "patch_distance": Metric("patches of 7 x 7 pixels against the style's", "lower"),
    "chroma_speckle": Metric(
        "how sharply colors change, in parts of the style", "lower", statistics=_SMOOTHNESS
    ),
    "border_saturation": Metric("of the outermost pixels, in parts of the interior", "near 1"),
}
"""In the order in which they are shown: content kept, style reached, flaws."""

PUNISHES_STYLE = ("ssim", "psnr")
CAUTION = (
    "SSIM and PSNR compare pixels with the content and so punish every stylization: their best "
    "values are those of the content itself. Read them beside a distance from the style."
)
"""Has to stand wherever a metric of `PUNISHES_STYLE` is shown."""


def in_order(names: Iterable[str]) -> list[str]:
    """Names of metrics in the order of the table; those of other versions behind them."""
    given = list(names)
    return [x for x in METRICS if x in given] + [x for x in given if x not in METRICS]


def optimized(shown: Iterable[str], *, arch: str, kinds: Collection[str]) -> dict[str, str]:
    """The metrics that are no judges of an image, because its objective asked for the same.

    Args:
      shown: names of metrics; of those of other versions nothing is known.
      arch: the network whose features were compared.
      kinds: of the terms that had a weight, by the names of `terms.KINDS`.

    Returns:
      By metric the reason in words; what is not in it was not optimized.
    """
    found = {}
    for name in filter(METRICS.get, shown):
        metric = METRICS[name]
        shared = sorted(metric.statistics & set(kinds))
        if metric.judge == arch:
            found[name] = f"the objective's own network is {arch}"
        elif shared:
            found[name] = f"the objective has a term that lowers the same: {', '.join(shared)}"
    return found
