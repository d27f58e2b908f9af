"""Figures of what the network sees."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from nst_jax.runlog import RunRecord

MAPS_SHOWN = 8


def draw_reconstructions(
    content: Mapping[str, RunRecord], style: Mapping[tuple[str, ...], RunRecord]
) -> Figure:
    """Above the content from each layer, below the style from more and more of them."""
    first = next(iter(style.values()))
    rows = [
        [first.content, *(record.images[0] for record in content.values())],
        [next(iter(first.styles.values())), *(record.images[0] for record in style.values())],
    ]
    titles = [
        ["content", *content],
        ["style", *("... and " * (len(layers) > 1) + layers[-1] for layers in style)],
    ]
    height, width = first.content.shape[:2]
    figure = Figure(figsize=(12, 4 * height / width + 0.8), layout="constrained")
    grid = figure.subplots(2, len(rows[0]))
    for axes_of_row, pictures, names in zip(grid, rows, titles, strict=True):
        for axes, picture, name in zip(axes_of_row, pictures, names, strict=True):
            axes.imshow(picture)
            axes.set_title(name, fontsize=9)
            axes.set_axis_off()
    return figure


def draw_depth(features: Mapping[str, Float[np.ndarray, "h w c"]]) -> Figure:
    """The maps of largest mean in each layer, a row a layer."""
    height, width = next(iter(features.values())).shape[:2]
    size = (11, 11 / MAPS_SHOWN * height / width * len(features) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(features), MAPS_SHOWN)
    for axes_of_row, (name, maps) in zip(grid, features.items(), strict=True):
        strongest = np.argsort(-maps.mean(axis=(0, 1)))[:MAPS_SHOWN]
        for axes, channel in zip(axes_of_row, strongest, strict=True):
            axes.imshow(maps[..., channel], cmap="gray")
            axes.set(xticks=[], yticks=[])
        axes_of_row[0].set_ylabel(name, fontsize=8)
    return figure
