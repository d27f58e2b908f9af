"""Facts of what each statistic of style costs, and of how exact one of them is."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pages import words


class Cost(NamedTuple):
    """What a statistic of a layer costs.

    Attributes:
      kind: of the term.
      layer: or "image", of a statistic of pixels.
      part: its value and gradient in parts of a step.
    """

    kind: str
    layer: str
    part: float


class Facts(NamedTuple):
    """All numbers of the page; width and height of the image are in pixels.

    Attributes:
      costs: of each statistic, of each layer.
      errors: by layer, of the Wasserstein distance, relative.
      step: seconds of a step.
      layers: whose statistics were timed.
      width: of the image.
      height: likewise.
      turns: of which medians were taken.
      device: in words.
      date: as year, month and day.
      jax: its version.
    """

    costs: Sequence[Cost]
    errors: Mapping[str, float]
    step: float
    layers: Sequence[str]
    width: int
    height: int
    turns: int
    device: str
    date: str
    jax: str


def section(facts: Facts) -> str:
    """The page in Markdown."""
    parts: dict[str, dict[str, float]] = {}
    for each in facts.costs:
        parts.setdefault(each.kind, {})[each.layer] = each.part
    of_layers = {kind: found for kind, found in parts.items() if facts.layers[0] in found}
    of_pixels = {kind: found["image"] for kind, found in parts.items() if "image" in found}
    shared = {name: value for name, value in facts._asdict().items() if name != "costs"}
    return words.render("statistics_of_style", **shared, of_layers=of_layers, of_pixels=of_pixels)
