"""Figures: what they draw is what the run log and the network hold."""

import dataclasses
import itertools
import subprocess
import sys
from pathlib import Path

import logs
import matplotlib.image
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from nst_jax import runlog
from nst_jax.report import plotting

SETTINGS = {
    "optimizer": "adam",
    "learning_rate": 0.02,
    "weights": logs.WEIGHTS,
    "style": "style.png",
    "init": "content",
    "seed": 0,
}


def make_record(variants=1, steps=30, labels=None, weights_name="vgg19", **settings):
    """A run whose content term starts at zero, as from the content image."""
    step = np.arange(steps)[:, None]
    scale = 1.3 ** np.arange(variants)
    terms = {
        "style": (3e8 * np.exp(-step / 8) + 1e5) * scale,
        "content": 50 * (1 - np.exp(-step / 5)) * scale,
        "total_variation": (1e4 + 50 * step) * scale,
    }
    settings = SETTINGS | settings
    terms["total"] = sum(settings["weights"][name] * term for name, term in terms.items())
    terms = {name: term.astype(np.float32) for name, term in terms.items()}
    labels = labels or [f"adam {0.01 * (i + 1):g}" for i in range(variants)]
    rng = np.random.default_rng(0)
    return runlog.RunRecord(
        path=Path("run.h5"),
        attributes={"status": "finished", "weights_name": weights_name},
        config={},
        variants=tuple(runlog.Variant(label, **settings) for label in labels),
        parts=logs.parts("one", "two"),
        rows=logs.rows(
            step=np.arange(steps, dtype=np.int32),
            wall_time=np.ones((steps, variants)) * np.arange(steps)[:, None] * 0.1,
            evaluations=np.ones((steps, variants), np.int32),
            per_layer=np.repeat(terms["style"][:, :, None], 2, axis=2),
            grad_norm=terms["total"],
            update_norm=terms["total"],
            **terms,
        ),
        final=None,
        contents={"": rng.integers(0, 256, (12, 18, 3), dtype=np.uint8)},
        styles={"style.png": rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)},
        images=rng.integers(0, 256, (variants, 12, 18, 3), dtype=np.uint8),
        snapshots=rng.integers(0, 256, (2, variants, 12, 18, 3), dtype=np.uint8),
        snapshot_steps=np.array([10, 20]),
    )


def draw_texts(figure):
    """Draws a figure; returns its texts and where they are."""
    figure.draw_without_rendering()
    ticks = {label: shown for axes in figure.axes for label, shown in tick_labels(axes)}
    texts = [text for text in figure.findobj(Text) if text.get_text() and ticks.get(text, True)]
    # Of an annotation without its line.
    return {text: Text.get_window_extent(text) for text in texts if text.get_visible()}


def tick_labels(axes):
    """The labels of all ticks, and whether they are drawn."""
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            yield tick.label1, axes.axison and low <= tick.get_loc() <= high


def assert_legible(figure):
    """No two texts overlap, and none is cut off."""
    boxes = draw_texts(figure)
    assert boxes
    for text, box in boxes.items():
        assert box.x0 >= 0, text
        assert box.x1 <= figure.bbox.width, text
        assert box.y0 >= 0, text
        assert box.y1 <= figure.bbox.height, text
    for (text, box), (other, other_box) in itertools.combinations(boxes.items(), 2):
        assert not box.overlaps(other_box), (text, other)


def lines_by_color(figure):
    return {line.get_color(): line for line in figure.axes[0].lines}


def label_colors(figure):
    return {text.get_text(): text.get_color() for text in figure.axes[0].texts}


def curve(figure, label):
    """The values of the line of a label's color."""
    return lines_by_color(figure)[label_colors(figure)[label]].get_ydata()


def pictures(figure):
    return {
        axes.get_title(): np.asarray(axes.get_images()[0].get_array())
        for axes in figure.axes
        if axes.get_images()
    }


# Loss curves.


@pytest.mark.parametrize("name", ["style", "content", "total_variation"])
def test_curve_of_a_single_run_is_the_weighted_term(name):
    record = make_record()
    values = curve(plotting.loss_curves(record), name.replace("_", " "))
    expected = record.rows.losses[name][:, 0] * logs.WEIGHTS[name]
    good = expected > 0
    np.testing.assert_allclose(values[good], expected[good], rtol=1e-6)
    assert np.isnan(values[~good]).all()


def test_total_is_the_sum_of_the_other_curves():
    figure = plotting.loss_curves(make_record())
    parts = [curve(figure, name) for name in ("style", "content", "total variation")]
    np.testing.assert_allclose(curve(figure, "total"), np.nansum(parts, axis=0), rtol=1e-5)


def test_curves_are_over_the_steps_on_a_logarithmic_axis():
    record = make_record()
    (axes,) = plotting.loss_curves(record).axes
    assert axes.get_yscale() == "log"
    assert "step" in axes.get_xlabel()
    assert "weighted" in axes.get_ylabel()
    for line in axes.lines:
        np.testing.assert_array_equal(line.get_xdata(), record.rows.step)


@pytest.mark.parametrize("name", logs.WEIGHTS)
def test_term_of_weight_zero_is_left_out(name):
    record = make_record(weights=logs.WEIGHTS | {name: 0.0})
    assert set(plotting.weighted_terms(record)) == {"total", *logs.WEIGHTS} - {name}
    assert name.replace("_", " ") not in label_colors(plotting.loss_curves(record))


def test_curves_of_a_sweep_are_the_totals():
    record = make_record(variants=3)
    figure = plotting.loss_curves(record)
    for i, variant in enumerate(record.variants):
        np.testing.assert_array_equal(curve(figure, variant.label), record.rows.total[:, i])


def test_variants_of_equal_label_are_both_drawn():
    figure = plotting.loss_curves(make_record(variants=2, labels=["same", "same"]))
    assert len(lines_by_color(figure)) == 2
    assert [text.get_text() for text in figure.axes[0].texts] == ["same", "same"]


def test_large_sweep_labels_the_lowest_and_draws_all():
    record = make_record(variants=50)
    (axes,) = plotting.loss_curves(record).axes
    assert len(axes.lines) == 50
    assert {text.get_text() for text in axes.texts} == {v.label for v in record.variants[:20]}


@pytest.mark.parametrize(("variants", "steps"), [(1, 30), (1, 1), (2, 30), (12, 30), (50, 30)])
def test_texts_of_loss_curves_are_legible(variants, steps):
    assert_legible(plotting.loss_curves(make_record(variants, steps)))


def test_labels_of_equal_curves_are_legible():
    record = make_record(variants=15)
    total = np.repeat(record.rows.total[:, :1], 15, axis=1)
    rows = dataclasses.replace(record.rows, losses=record.rows.losses | {"total": total})
    assert_legible(plotting.loss_curves(dataclasses.replace(record, rows=rows)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_curve_of_a_diverged_variant_ends_where_it_diverged(value):
    record = make_record(variants=2)
    record.rows.total[10:, 1] = value
    figure = plotting.loss_curves(record)
    values = curve(figure, record.variants[1].label)
    assert np.isfinite(values[:10]).all()
    assert np.isnan(values[10:]).all()
    assert_legible(figure)


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_curves_without_any_value_are_drawn_empty(value):
    record = make_record()
    for loss in record.rows.losses.values():
        loss[:] = value
    figure = plotting.loss_curves(record)
    assert_legible(figure)
    assert not figure.axes[0].texts


def test_single_step_is_drawn_as_points():
    figure = plotting.loss_curves(make_record(steps=1))
    marked = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    # The content term is zero.
    assert len(marked) == 3


# The overview.


def test_overview_shows_the_very_pictures():
    record = make_record()
    shown = pictures(plotting.overview(record))
    assert list(shown) == ["content", "style", "result"]
    np.testing.assert_array_equal(shown["content"], record.content)
    np.testing.assert_array_equal(shown["style"], record.styles["style.png"])
    np.testing.assert_array_equal(shown["result"], record.images[0])


@pytest.mark.parametrize("variants", [2, 6, 11])
def test_overview_of_a_sweep_shows_every_result(variants):
    record = make_record(variants)
    figure = plotting.overview(record)
    shown = pictures(figure)
    assert len(shown) == variants + 2
    for variant, image in zip(record.variants, record.images, strict=True):
        np.testing.assert_array_equal(shown[variant.label], image)
    # A page, not a strip.
    width, height = figure.get_size_inches()
    assert width < 6 * height


@pytest.mark.parametrize("variants", [1, 4, 7])
def test_pictures_of_an_overview_have_one_height(variants):
    figure = plotting.overview(make_record(variants))
    figure.draw_without_rendering()
    heights = [axes.get_window_extent().height for axes in figure.axes if axes.images]
    assert len(heights) == variants + 2
    assert max(heights) / min(heights) < 1.03


def test_overview_of_a_running_run_shows_the_last_snapshot():
    record = dataclasses.replace(make_record(), images=None)
    shown = pictures(plotting.overview(record))
    np.testing.assert_array_equal(shown["result"], record.snapshots[-1, 0])


def test_overview_without_a_result_is_refused_in_one_line():
    record = make_record()
    record = dataclasses.replace(
        record, images=None, snapshots=record.snapshots[:0], snapshot_steps=np.zeros(0, int)
    )
    with pytest.raises(ValueError, match=r"run\.h5 holds no result yet") as caught:
        plotting.overview(record)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("weights_name", "marked"), [("random", True), ("vgg19", False)])
def test_overview_of_random_weights_is_marked_as_a_preview(weights_name, marked):
    texts = draw_texts(plotting.overview(make_record(weights_name=weights_name)))
    assert any("PREVIEW" in text.get_text() for text in texts) is marked


def test_overview_states_the_settings():
    texts = draw_texts(plotting.overview(make_record()))
    (line,) = [text.get_text() for text in texts if "adam" in text.get_text()]
    assert all(word in line for word in ("0.02", "30 steps", "10000", "0.01", "TV weight 30"))


def test_lbfgs_states_no_learning_rate():
    texts = draw_texts(plotting.overview(make_record(optimizer="lbfgs", learning_rate=0.0)))
    (line,) = [text.get_text() for text in texts if "lbfgs" in text.get_text()]
    assert "rate" not in line


@pytest.mark.parametrize("side", ["wide", "square", "narrow"])
@pytest.mark.parametrize("variants", [1, 2, 7])
def test_texts_of_the_overview_are_legible(variants, side):
    height, width = {"wide": (10, 90), "square": (30, 30), "narrow": (60, 10)}[side]
    record = dataclasses.replace(
        make_record(variants, weights_name="random"),
        contents={"": np.zeros((height, width, 3), np.uint8)},
        images=np.zeros((variants, height, width, 3), np.uint8),
        snapshots=np.zeros((2, variants, height, width, 3), np.uint8),
    )
    assert_legible(plotting.overview(record))


def test_overview_names_each_of_several_styles():
    styles = {f"{folder}/s.png": np.zeros((9, 9, 3), np.uint8) for folder in "ab"}
    shown = pictures(plotting.overview(dataclasses.replace(make_record(2), styles=styles)))
    assert list(shown) == ["content", "style a/s.png", "style b/s.png", "adam 0.01", "adam 0.02"]


@pytest.mark.parametrize("variants", [2, 7, 20])
def test_long_labels_keep_what_differs_and_are_legible(variants):
    labels = [f"adam 0.02 style weight 0.01 from noise {i}/a_painting.jpg" for i in range(variants)]
    record = make_record(variants, labels=labels)
    figure = plotting.overview(record)
    assert_legible(figure)
    assert len(pictures(figure)) == variants + 2
    curves = plotting.loss_curves(make_record(2, labels=["x" * 70 + str(i) for i in range(2)]))
    assert sorted(label_colors(curves)) == ["…0", "…1"]


def test_small_pictures_are_drawn_smooth():
    """Half black, half white: gray between them, and no hard squares."""
    picture = np.zeros((2, 2, 3), np.uint8)
    picture[:, 1] = 255
    figure = plotting.side_by_side([picture], ["picture"])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    box = figure.axes[0].get_window_extent()
    row = np.asarray(canvas.buffer_rgba())[int(box.y0 + box.height / 2)]
    levels = row[int(box.x0) + 2 : int(box.x1) - 2, 0].astype(int)
    assert np.abs(np.diff(levels)).max() < 60


# Feature maps and filters.


def split_tiles(figure, count, shape):
    """The tiles of a mosaic: what lies between its white lines, at the size of the data."""
    canvas = np.asarray(figure.axes[0].get_images()[0].get_array(), np.float64)
    white = np.isnan(canvas) if canvas.ndim == 2 else (canvas == 1).all(axis=2)
    tops, lefts = (starts(~white.all(axis=axis)) for axis in (1, 0))
    height, width = (runs(~white.all(axis=axis)) for axis in (1, 0))
    tiles = [canvas[t : t + height, left : left + width] for t in tops for left in lefts]
    step = height // shape[0], width // shape[1]
    return [tile[:: step[0], :: step[1]] for tile in tiles[:count]], len(lefts)


def starts(filled):
    return np.flatnonzero(filled & ~np.concatenate([[False], filled[:-1]]))


def runs(filled):
    return int(np.argmin(np.append(filled, False)))


def draw_maps(rng, count, shape=(5, 7)):
    return rng.uniform(0.1, 9, (*shape, count)).astype(np.float32)


@pytest.mark.parametrize("count", [1, 3, 7, 64])
def test_mosaic_shows_every_channel_scaled_to_its_own_maximum(rng, count):
    maps = draw_maps(rng, count)
    tiles, _ = split_tiles(plotting.feature_maps(maps, title="maps"), count, (5, 7))
    assert len(tiles) == count
    for i, tile in enumerate(tiles):
        np.testing.assert_allclose(tile, maps[:, :, i] / maps[:, :, i].max(), rtol=1e-6)


def test_gray_levels_are_the_same_for_all_tiles(rng):
    figure = plotting.feature_maps(draw_maps(rng, 8), title="maps")
    assert figure.axes[0].get_images()[0].get_clim() == (0, 1)


def test_dead_channel_is_black(rng):
    maps = draw_maps(rng, 6)
    maps[:, :, 2] = 0
    tiles, _ = split_tiles(plotting.feature_maps(maps, title="maps"), 6, (5, 7))
    np.testing.assert_array_equal(tiles[2], 0)
    assert [tile.max() for tile in tiles] == pytest.approx([1, 1, 0, 1, 1, 1])


@pytest.mark.parametrize("count", [7, 64, 512])
def test_rows_are_labeled_with_their_first_channel(rng, count):
    figure = plotting.feature_maps(draw_maps(rng, count, (4, 4)), title="maps")
    _, columns = split_tiles(figure, count, (4, 4))
    labels = [int(label.get_text()) for label in figure.axes[0].get_yticklabels()]
    assert labels == list(range(0, count, columns))


@pytest.mark.parametrize("count", [64, 128, 256, 512])
@pytest.mark.parametrize("shape", [(4, 4), (4, 6), (6, 4)])
def test_mosaic_of_a_layer_has_no_empty_place(rng, count, shape):
    figure = plotting.feature_maps(draw_maps(rng, count, shape), title="maps")
    _, columns = split_tiles(figure, count, shape)
    assert count % columns == 0
    width, height = figure.get_size_inches()
    assert 1 / 2.5 < width / height < 2.5


@pytest.mark.parametrize("count", [1, 64, 512])
def test_texts_of_a_mosaic_are_legible(rng, count):
    title = "block5_conv1: 512 feature maps of 24 x 16, each scaled to its own maximum"
    assert_legible(plotting.feature_maps(draw_maps(rng, count), title=title))


def test_filters_of_the_first_layer_are_colors_in_rgb(rng):
    kernel = rng.normal(size=(3, 3, 3, 4)).astype(np.float32)
    tiles, _ = split_tiles(plotting.filters(kernel, title="filters"), 4, (3, 3))
    for i, tile in enumerate(tiles):
        bgr = kernel[:, :, :, i]
        expected = (bgr[:, :, ::-1] - bgr.min()) / (bgr.max() - bgr.min())
        np.testing.assert_allclose(tile, expected, atol=1e-6)


def test_filter_that_looks_for_red_is_drawn_red():
    kernel = np.zeros((3, 3, 3, 1), np.float32)
    # The network sees blue, green, red.
    kernel[:, :, 2] = 1
    (tile,), _ = split_tiles(plotting.filters(kernel, title="filters"), 1, (3, 3))
    np.testing.assert_array_equal(tile, np.broadcast_to([1.0, 0, 0], (3, 3, 3)))


def test_deeper_filters_are_drawn_by_their_strongest_slice(rng):
    kernel = rng.normal(size=(3, 3, 8, 5)).astype(np.float32)
    strongest = [3, 0, 7, 2, 2]
    for o, i in enumerate(strongest):
        # Of the largest norm, though not of the largest single weight.
        kernel[:, :, i, o] = 3 * np.sign(kernel[:, :, i, o])
        kernel[1, 1, (i + 1) % 8, o] = 5
    figure = plotting.filters(kernel, title="filters")
    tiles, _ = split_tiles(figure, 5, (3, 3))
    for o, (i, tile) in enumerate(zip(strongest, tiles, strict=True)):
        np.testing.assert_allclose(tile, kernel[:, :, i, o] / 3, rtol=1e-6)
    assert figure.axes[0].get_images()[0].get_clim() == (-1, 1)


@pytest.mark.parametrize("channels", [3, 8])
def test_filters_of_zeros_are_drawn(channels):
    figure = plotting.filters(np.zeros((3, 3, channels, 4), np.float32), title="filters")
    assert isinstance(figure, Figure)
    assert_legible(figure)


# Files.


def test_saved_figure_is_a_picture(tmp_path):
    path = tmp_path / "losses.png"
    plotting.save(plotting.loss_curves(make_record()), path)
    height, width, _ = matplotlib.image.imread(path).shape
    assert (height, width) == (630, 1050)


def test_failed_save_keeps_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "losses.png"
    path.write_text("old")

    def save_half(figure, temporary, **options):
        Path(temporary).write_text("hal")
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", save_half)
    with pytest.raises(OSError, match="disk full"):
        plotting.save(Figure(), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_figures_of_a_run_are_saved_by_name(tmp_path):
    plotting.save_run_figures(make_record(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"losses.png", "overview.png"}


def test_drawing_chooses_no_backend_and_needs_no_screen(tmp_path):
    program = """
import sys
import numpy as np
from pathlib import Path
from nst_jax.report import plotting

figure = plotting.feature_maps(np.ones((4, 4, 8), np.float32), title="maps")
plotting.save(figure, Path(sys.argv[1]))
assert type(figure).__name__ == "Figure"
assert not {"matplotlib.pyplot", "jax", "tkinter"} & set(sys.modules)
"""
    path = tmp_path / "maps.png"
    subprocess.run([sys.executable, "-c", program, str(path)], check=True)
    assert path.exists()
