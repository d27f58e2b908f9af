"""Facts of what the network sees: question 3 in numbers."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from measuring.records import Origin, origin_of

from nst_jax import vgg
from nst_jax.runlog import RunRecord
from pages import words


class Content(NamedTuple):
    """A layer whose features a picture was made for.

    Attributes:
      layer: its name.
      field: side of the square of pixels that one of its locations depends on.
      correlation: of the brightness of the picture and of the content.
      left: the loss of the picture in parts of the noise's.
    """

    layer: str
    field: int
    correlation: float
    left: float


class Style(NamedTuple):
    """The last of the layers whose Gram matrices a picture was made for; see `Content`."""

    layer: str
    field: int
    left: float


class Facts(NamedTuple):
    """All numbers of the page; width and height of the pictures are in pixels."""

    content: tuple[Content, ...]
    style: tuple[Style, ...]
    learning_rate: float
    steps: int
    width: int
    height: int
    origin: Origin


def section(content: Mapping[str, RunRecord], style: Mapping[tuple[str, ...], RunRecord]) -> str:
    """Question 3 in Markdown."""
    return words.render("features", **facts(content, style)._asdict())


def facts(content: Mapping[str, RunRecord], style: Mapping[tuple[str, ...], RunRecord]) -> Facts:
    """The numbers of reconstructions, of contents by layer and of styles by layers."""
    first = next(iter(content.values()))
    fields = {layer.name: layer.receptive_field for layer in vgg.architecture()}
    height, width = first.content.shape[:2]
    return Facts(
        tuple(
            Content(layer, fields[layer], correlation(each.images[0], first.content), left(each))
            for layer, each in content.items()
        ),
        tuple(Style(layers[-1], fields[layers[-1]], left(each)) for layers, each in style.items()),
        first.variants[0].learning_rate,
        first.config["steps"],
        width,
        height,
        origin_of(first),
    )


def correlation(one: UInt8[np.ndarray, "h w 3"], other: UInt8[np.ndarray, "h w 3"]) -> float:
    """Of the brightness of two pictures of one size, pixel by pixel: 1 for the same picture."""
    gray = [picture.astype(np.float64).mean(axis=-1).ravel() for picture in (one, other)]
    return float(np.corrcoef(*gray)[0, 1])


def left(record: RunRecord) -> float:
    """The loss of the result in parts of that of the noise."""
    return float(record.final["total"][0] / record.rows.total[0, 0])
