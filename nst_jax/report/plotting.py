"""Figures of a run and of a network. Functions return a matplotlib `Figure` and show nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nst_jax import image as images
from nst_jax.report import colors, layout, terms
from nst_jax.report.pictures import reduced
from nst_jax.report.terms import weighted_terms
from nst_jax.runlog import TOTAL, RunRecord, labels
from nst_jax.system import files

# Of a sweep's curves; more do not fit beside the axes.
_MOST_LABELS = 20
_MOST_LETTERS = 60
# Width of a letter, in parts of the font's size.
_LETTER = 0.6
_OTHERS: dict[str, Any] = {"color": "#bbbbbb", "ls": "-", "lw": 0.6}
# From the end of a curve to its label.
_LEADER: dict[str, Any] = {
    "arrowstyle": "-",
    "relpos": (0, 0.5),
    "ls": ":",
    "lw": 0.8,
    "shrinkA": 1,
    "shrinkB": 0,
}
_DPI = 150
# Small maps are enlarged to at least this many pixels, or they would be specks.
_MIN_TILE = 48


def save(figure: Figure, path: Path) -> None:
    """Writes a figure; the file is whole or absent."""
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=_DPI)


def save_run_figures(record: RunRecord, folder: Path) -> None:
    """Writes the `RUN_FIGURES` of a run into a folder."""
    for name, draw in RUN_FIGURES.items():
        save(draw(record), folder / name)


def loss_curves(record: RunRecord) -> Figure:
    """The total of each variant over the steps; of a single run its weighted terms as well.

    The axis is logarithmic, and every curve is labeled at its end; of more than twenty variants
    only those of the lowest totals, the others are gray.
    """
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.set_yscale("log")
    steps, ends = record.rows.step, []
    for label, values, style in _curves(record):
        # A log axis has no place for the zero of the content term at the content image.
        values = np.where(np.isfinite(values) & (values > 0), values, np.nan)
        good = np.flatnonzero(values > 0)
        axes.plot(steps, values, marker="o" if len(good) == 1 else None, **style)
        if len(good) and label:
            ends.append((float(values[good[-1]]), int(steps[good[-1]]), label, style))
    label_ends(axes, ends)
    axes.set(xlabel="step", ylabel="loss, weighted")
    axes.set_title(_settings_line(record), fontsize=9, parse_math=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _curves(record: RunRecord) -> list[tuple[str, np.ndarray, dict]]:
    """Label, values and line style of each curve; "" for those that get no label."""
    if len(record.variants) == 1:
        of_terms = colors.of_terms(record.terms)
        return [
            (
                terms.name(term),
                values[:, 0],
                {"color": of_terms[term].light, "lw": 2 if term == TOTAL else 1.3},
            )
            for term, values in weighted_terms(record).items()
        ]
    # The last row; NaN, of variants that have diverged, is sorted behind all numbers.
    lowest = np.argsort(record.rows.total[-1:].sum(axis=0), kind="stable")
    curves = [("", record.rows.total[:, i], _OTHERS) for i in lowest[_MOST_LABELS:]]
    for place, i in enumerate(sorted(lowest[:_MOST_LABELS])):
        style = {"color": f"C{place % 10}", "ls": "--" if place >= 10 else "-", "lw": 1.3}
        curves.append((record.variants[i].label, record.rows.total[:, i], style))
    return curves


def label_ends(axes: Axes, ends: list[tuple[float, int, str, dict]]) -> None:
    """Writes the names of curves beside their ends, apart from each other.

    Args:
      axes: of a logarithmic vertical axis, with all curves drawn.
      ends: of each curve its last value, its last step, its name, and a style with a `color`.
    """
    ends = sorted(ends, key=lambda end: end[0])
    low, high = np.log10(axes.get_ylim())
    gap = (high - low) / _MOST_LABELS
    places = layout.spread([np.log10(value) for value, *_ in ends], gap, low=low, high=high)
    names = labels.brief([labels.on_one_line(name) for _, _, name, _ in ends], _MOST_LETTERS)
    for (value, step, _, style), name, place in zip(ends, names, places, strict=True):
        axes.annotate(
            name,
            (step, value),
            parse_math=False,
            xytext=(1.02, 10**place),
            textcoords=axes.get_yaxis_transform(),
            color=style["color"],
            va="center",
            fontsize=9,
            arrowprops=_LEADER | {"color": style["color"]},
        )


def overview(record: RunRecord) -> Figure:
    """Content, style and result side by side, at one height, with the settings below.

    The results of a sweep go on over several rows.
    """
    if record.images is None and not len(record.snapshots):
        raise ValueError(f"{record.path} holds no result yet: neither a picture nor a snapshot")
    pictures = [*record.contents.values(), *record.styles.values(), *_results(record)]
    letters = _grid_of(pictures).letters
    contents, styles = (
        [f"{kind} {name}" for name in labels.of_paths(own).values()]
        for kind, own in (("content", record.contents), ("style", record.styles))
    )
    variants = [variant.label for variant in record.variants]
    titles = [
        *_titles("content", contents, letters),
        *_titles("style", styles, letters),
        *_titles("result", variants, letters),
    ]
    figure = side_by_side(pictures, titles)
    figure.supxlabel(_settings_line(record), fontsize=8, parse_math=False)
    if record.attributes.get("weights_name") == "random":
        figure.suptitle(
            "PREVIEW with random weights: the trained network gives a much better picture",
            color="#b91c1c",
            fontsize=11,
        )
    return figure


def _results(record: RunRecord) -> list[np.ndarray]:
    """The saved pictures; of a run of which no variant has ended its last snapshots."""
    variants = range(len(record.variants))
    if record.images is not None:
        return [record.picture_of(i) for i in variants]
    return [record.within(i, record.snapshots[-1, i]) for i in variants]


def _titles(one: str, of_several: Sequence[str], letters: int) -> list[str]:
    """The title of the only picture of its kind, or the names of several in so many letters."""
    if len(of_several) == 1:
        return [one]
    return labels.brief([labels.on_one_line(name) for name in of_several], letters)


class _Grid(NamedTuple):
    """Of pictures at one height: columns relative to it, and inches of the figure."""

    rows: int
    widths: list[float]
    size: tuple[float, float]

    @property
    def font_size(self) -> int:
        return 11 if self.rows == 1 else 8

    @property
    def letters(self) -> int:
        """Of a title above the narrowest picture."""
        room = 72 * self.size[0] * min(self.widths) / sum(self.widths)
        return max(8, int(room / (_LETTER * self.font_size)))


def _grid_of(pictures: Sequence[np.ndarray]) -> _Grid:
    columns = len(pictures) if len(pictures) <= 4 else int(np.ceil(np.sqrt(len(pictures))))
    rows = -(-len(pictures) // columns)
    aspects = [picture.shape[1] / picture.shape[0] for picture in pictures]
    # Narrow pictures need room for their titles.
    widths = [max(0.4, *aspects[i::columns]) for i in range(columns)]
    height = min(3.6 / np.sqrt(rows), 24 / sum(widths))
    # At least as wide as the lines of text, with room for the gaps.
    size = (max(6.8, (height + 0.12) * sum(widths) + 0.1 * columns), rows * (height + 0.3) + 0.4)
    return _Grid(rows, widths, size)


def side_by_side(pictures: Sequence[np.ndarray], titles: Sequence[str]) -> Figure:
    """Pictures at one height with their titles; more than four go on over several rows.

    Args:
      pictures: RGB in [0, 1], or their uint8 form, (h, w, 3) each.
      titles: one each.
    """
    rows, widths, size = grid = _grid_of(pictures)
    figure = Figure(figsize=size, layout="constrained")
    places = figure.subplots(rows, len(widths), width_ratios=widths, squeeze=False).ravel()
    for axes in places:
        axes.set_axis_off()
    for axes, picture, title in zip(places, pictures, titles, strict=False):
        # Smooth however small the picture is; a large one would take Matplotlib five seconds.
        levels = picture if picture.dtype == np.uint8 else images.to_uint8(picture)
        axes.imshow(reduced(levels), interpolation="bicubic")
        axes.set_title(title, fontsize=grid.font_size, parse_math=False)
    return figure


def _settings_line(record: RunRecord) -> str:
    first = record.variants[0]
    count = len(record.rows.step)
    steps = f"{count} step" if count == 1 else f"{count} steps"
    if len(record.variants) > 1:
        return f"{len(record.variants)} variants, {steps}"
    rate = f", rate {first.learning_rate:g}" if first.has_rate else ""
    optimizer = labels.cut(labels.on_one_line(first.optimizer), _MOST_LETTERS)
    weights = [f"{terms.title(x)} weight {first.weights[x]:g}" for x in record.terms]
    return ", ".join([f"{optimizer}{rate}", steps, *weights])


def feature_maps(maps: Float[np.ndarray, "h w c"], *, title: str) -> Figure:
    """All channels of a layer as a grid, each scaled to its own largest value (Figure 5).

    Rows are labeled with the number of their first channel.
    """
    largest = np.maximum(maps.max(axis=(0, 1)), 1e-12)
    tiles = np.moveaxis(maps / largest, -1, 0)
    return _mosaic(tiles, title=title, cmap="gray", limits=(0, 1))


def filters(kernel: Float[np.ndarray, "3 3 i o"], *, title: str) -> Figure:
    """The filters of a convolution as a grid (Figure 4).

    Those of the first layer, which see colors, are drawn as RGB patches, each scaled to its own
    range. A deeper filter has hundreds of input channels: drawn is its slice of largest norm,
    red positive and blue negative.
    """
    if kernel.shape[2] == 3:
        # The weights expect BGR.
        tiles = np.moveaxis(kernel[:, :, ::-1, :], -1, 0)
        low = tiles.min(axis=(1, 2, 3), keepdims=True)
        span = np.maximum(tiles.max(axis=(1, 2, 3), keepdims=True) - low, 1e-12)
        return _mosaic((tiles - low) / span, title=title)
    strongest = np.argmax(np.linalg.norm(kernel, axis=(0, 1)), axis=0)
    tiles = np.stack([kernel[:, :, i, o] for o, i in enumerate(strongest)])
    tiles = tiles / np.maximum(np.abs(tiles).max(axis=(1, 2), keepdims=True), 1e-12)
    return _mosaic(tiles, title=title, cmap="RdBu_r", limits=(-1, 1))


def _mosaic(tiles: np.ndarray, *, title: str, cmap: str | None = None, limits=(None, None)):
    """Tiles (n, h, w) or (n, h, w, 3) on a grid about as wide as high, at whole pixels."""
    count, height, width = tiles.shape[:3]
    scale = max(1, -(-_MIN_TILE // max(height, width)))
    tiles = tiles.repeat(scale, axis=1).repeat(scale, axis=2)
    height, width = height * scale, width * scale
    gap = max(4, max(height, width) // 24)
    # A little wider than high, and of such widths that with the fewest empty places.
    ideal = 1.1 * np.sqrt(count * height / width)
    widths = range(max(1, int(ideal / 1.5)), int(np.ceil(1.5 * ideal)) + 1)
    columns = min(widths, key=lambda n: (-count % n, abs(np.log(n / ideal))))
    rows = -(-count // columns)
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, *tiles.shape[3:])
    canvas = np.full(shape, np.nan if tiles.ndim == 3 else 1.0)
    for i, tile in enumerate(tiles):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        canvas[top : top + height, left : left + width] = tile
    size = (10.0, max(2.0, 10.0 * shape[0] / shape[1]) + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.imshow(canvas, cmap=cmap, vmin=limits[0], vmax=limits[1], interpolation="auto")
    axes.set_title(title, fontsize=11)
    axes.set_xticks([])
    axes.set_yticks(
        [row * (height + gap) + height / 2 for row in range(rows)],
        [str(row * columns) for row in range(rows)],
        fontsize=8,
    )
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_facecolor("white")
    return figure


RUN_FIGURES = {"losses.png": loss_curves, "overview.png": overview}
"""The figures of a run by the name of their file."""
