"""Facts of the choices of a loss: question 4 in numbers."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from measuring import yardstick
from measuring.records import Origin, origin_of
from measuring.yardstick import Measured, Yardstick

from pages import words


class Setting(NamedTuple):
    """A setting of a group, and its result by the yardsticks."""

    group: str
    label: str
    by: Yardstick


class Spread(NamedTuple):
    """The largest over the least of a group's results, by two of the yardsticks."""

    group: str
    style: float
    content: float


class Facts(NamedTuple):
    """All numbers of the page.

    Attributes:
      settings: all, group by group.
      spreads: of the groups, the largest first.
      ratios, content_layers, style_layers: the settings of these groups, in their order.
      without, usual, strong: weights 0, 30 and 3000 of the total variation.
      report, gatys, average: the report's loss, the other formulas, the other pooling.
      has_networks: whether there is VGG16 beside VGG19.
      yardstick_layer: where content is measured.
      learning_rate, steps: of each run.
      width, height: of the pictures in pixels.
      origin: of the first run.
    """

    settings: tuple[Setting, ...]
    spreads: tuple[Spread, ...]
    ratios: tuple[Setting, ...]
    content_layers: tuple[Setting, ...]
    style_layers: tuple[Setting, ...]
    without: Yardstick
    usual: Yardstick
    strong: Yardstick
    report: Yardstick
    gatys: Yardstick
    average: Yardstick
    has_networks: bool
    yardstick_layer: str
    learning_rate: float
    steps: int
    width: int
    height: int
    origin: Origin


def section(measured: Sequence[Measured]) -> str:
    """Question 4 in Markdown."""
    return words.render("losses", **facts(measured)._asdict())


def facts(measured: Sequence[Measured]) -> Facts:
    """The numbers of all choices, each of which has been run."""
    settings = tuple(Setting(each.choice.group, each.choice.label, each.by) for each in measured)
    groups = {
        name: tuple(each for each in settings if each.group == name)
        for name in yardstick.groups_of(measured)
    }
    by = {(each.group, each.label): each.by for each in settings}
    first = measured[0].record
    height, width = first.content.shape[:2]
    return Facts(
        settings=settings,
        spreads=spreads(groups),
        ratios=groups["content : style"],
        content_layers=groups["content layer"],
        # The last one has other weights, not other layers.
        style_layers=groups["style layers"][:-1],
        without=by["total variation", "weight 0"],
        usual=by["total variation", "weight 30"],
        strong=by["total variation", "weight 3000"],
        report=by["formulas", "report"],
        gatys=by["formulas", "gatys"],
        average=by["pooling", "average"],
        has_networks="network" in groups,
        yardstick_layer=yardstick.LAYER,
        learning_rate=first.variants[0].learning_rate,
        steps=first.config["steps"],
        width=width,
        height=height,
        origin=origin_of(first),
    )


def spreads(groups: Mapping[str, Sequence[Setting]]) -> tuple[Spread, ...]:
    """By how much each group moves style and content, the strongest first."""
    every = [
        Spread(
            name,
            _factor(each.by.style for each in group),
            _factor(each.by.content for each in group),
        )
        for name, group in groups.items()
    ]
    return tuple(sorted(every, key=lambda each: -max(each.style, each.content)))


def _factor(values: Iterable[float]) -> float:
    """Of the largest to the least."""
    ordered = sorted(values)
    return ordered[-1] / ordered[0]
