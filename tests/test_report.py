"""The page of a run: it says what the log holds, fetches nothing, and works in a browser."""

import base64
import dataclasses
import hashlib
import io
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import logs
import numpy as np
import pytest
from PIL import Image

from nst_jax import report, runlog
from nst_jax.report import colors, pictures
from nst_jax.runlog import writing

ROWS = 12
LAYERS = ("block1_conv1", "block2_conv1")
HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='window.pwned=1'>",
    "'; window.pwned = 1; //",
    "</style></title></svg><iframe src=https://example.com>",
    "{{ 7 * 7 }} {% raw %} </script><!--",
    "javascript:window.pwned=1",
    "café 絵 ‮ &amp; \\ `${1}`",
]


def make_variant(i=0, **changes):
    settings = {
        "label": f"adam {0.01 * (i + 1):g}",
        "optimizer": "adam",
        "learning_rate": 0.01 * (i + 1),
        "weights": logs.WEIGHTS,
        "style": "pictures/wave.jpg",
        "init": "content",
        "seed": i,
    }
    return runlog.Variant(**settings | changes)


def make_rows(count, variants, scale=None):
    """Losses that fall from 1e9; each variant and layer has its own."""
    step = np.arange(count)
    scale = 1.1 ** np.arange(variants) if scale is None else scale
    loss = ((1e9 * np.exp(-step / 5) + 1e6)[:, None] * scale).astype(np.float32)
    return logs.rows(
        step=step.astype(np.int32),
        wall_time=np.repeat(0.5 * step[:, None] + 0.5, variants, axis=1),
        evaluations=np.ones((count, variants), np.int32),
        total=loss,
        content=loss * np.float32(0.1),
        style=loss * np.float32(0.2),
        total_variation=loss * np.float32(0.3),
        per_layer=np.stack([loss * np.float32(0.05), loss * np.float32(0.15)], axis=2),
        grad_norm=loss,
        update_norm=loss,
    )


def make_pictures(*shape):
    """Smooth pictures, which JPEG keeps."""
    *batch, height, width = shape
    number = np.arange(np.prod(batch, dtype=int)).reshape(*batch, 1, 1)
    y, x = np.mgrid[:height, :width]
    red = (3 * y + 40 * number) % 256
    return np.stack(np.broadcast_arrays(red, 2 * x, 128 + 0 * red), axis=-1).astype(np.uint8)


def make_record(
    folder,
    variants,
    *,
    rows=None,
    ended=None,
    status="finished",
    final=None,
    size=(40, 60),
    attributes=(),
    config=(),
    styles=None,
):
    """A run log written and read; `ended`: the first so many variants, all by default."""
    count = len(variants)
    rows = make_rows(ROWS, count) if rows is None else rows
    ended = count if ended is None else ended
    path = folder / "run.h5"
    with writing.RunLog.create(
        path,
        attributes={
            "command": "nst-jax sweep a.png b.jpg",
            "device_kind": "TPU v9",
            **dict(attributes),
        },
        config={"steps": ROWS, "content": "photos/a.png", **dict(config)},
        variants=variants,
        parts=logs.parts(*LAYERS),
        contents={"": make_pictures(*size)},
        styles=styles or {"pictures/wave.jpg": make_pictures(30, 50)},
        num_steps=max(ROWS, len(rows.step)),
        chunk_length=4,
    ) as log:
        if len(rows.step):
            log.append(rows)
        if ended:
            columns = slice(0, ended)
            last = {name: loss[-1, columns] for name, loss in rows.losses.items()}
            log.finish_variants(
                [
                    dataclasses.replace(v, status="finished") if v.status == "running" else v
                    for v in variants[columns]
                ],
                final=last | dict(final or {}),
                images=make_pictures(ended, *size),
                variants=columns,
            )
        log.finish(status)
    return runlog.load(path)


class Page(HTMLParser):
    """A parsed page: its elements (tag, attributes, text inside), its tables, its pictures."""

    VOID = ("meta", "link", "img", "br", "input", "hr")

    def __init__(self, html):
        super().__init__()
        self.elements = []
        self._open = []
        self.feed(html)
        self.close()
        assert not self._open, "elements are left open"

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice"
        parents = [element["tag"] for element in self._open]
        element = {"tag": tag, "attributes": dict(attrs), "text": "", "parents": parents}
        self.elements.append(element)
        if tag not in self.VOID:
            self._open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self._open[-1]["tag"] == tag, f"</{tag}> closes <{self._open[-1]['tag']}>"
        self._open.pop()

    def handle_data(self, data):
        for element in self._open:
            element["text"] += data

    def all(self, tag, **attributes):
        return [
            element
            for element in self.elements
            if element["tag"] == tag
            and all(element["attributes"].get(k.rstrip("_")) == v for k, v in attributes.items())
        ]

    def one(self, tag, **attributes):
        (element,) = self.all(tag, **attributes)
        return element

    def table(self, name):
        """The rows of a table under their headings, `final loss: total` of a group."""
        start = self.elements.index(self.one("table", **{"aria-labelledby": name}))
        headings, rows = [], []
        for element in self.elements[start + 1 :]:
            if "table" not in element["parents"]:
                break
            if element["tag"] == "tr":
                cells = []
                rows.append(cells)
            elif element["tag"] in ("td", "th"):
                if "thead" in element["parents"]:
                    if element["attributes"].get("scope") == "col":
                        headings.append(element["text"])
                else:
                    cells.append((element["text"], element["attributes"].get("data-value")))
        rows = [row for row in rows if row]
        assert {len(row) for row in rows} == {len(headings)}
        return [dict(zip(headings, row, strict=True)) for row in rows]

    def facts(self):
        names = [element["text"] for element in self.all("dt")]
        return dict(zip(names, [element["text"] for element in self.all("dd")], strict=True))


def render(record):
    return Page(report.render(record))


def decode(uri):
    head, data = uri.split(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))), np.int16)


def curves(page):
    """The curves of a page by their names."""
    return {curve["text"].rsplit(":", 1)[0]: curve for curve in page.all("polyline")}


def points(curve):
    pairs = [pair.split(",") for pair in curve["attributes"]["points"].split()]
    return np.array(pairs, float)


def sweep(**changes):
    """Two optimizers, four variants, the last diverged."""
    changes = {"label": "rmsprop 2", "optimizer": "rmsprop", "learning_rate": 2.0} | changes
    return [
        make_variant(0),
        make_variant(1),
        make_variant(2, optimizer="rmsprop", label="rmsprop 0.001", learning_rate=0.001),
        make_variant(3, status="diverged", diverged_step=7, **changes),
    ]


# What the tables say.


def test_every_variant_is_in_the_table_with_its_settings(tmp_path):
    variants = sweep(weights={"content": 1.0, "style": 2.0, "total_variation": 0.0})
    rows = render(make_record(tmp_path, variants)).table("variants")
    assert len(rows) == len(variants)
    for i, (row, variant) in enumerate(zip(rows, variants, strict=True)):
        assert row["#"] == (str(i + 1), str(i))
        assert row["label"][0] == variant.label
        assert row["optimizer"][0] == variant.optimizer
        assert float(row["learning rate"][1]) == variant.learning_rate
        assert float(row["weights: content"][1]) == variant.weights["content"]
        assert float(row["weights: style"][1]) == variant.weights["style"]
        assert float(row["weights: TV"][1]) == variant.weights["total_variation"]
        assert int(row["seed"][1]) == variant.seed


def test_every_variant_is_in_the_table_with_its_result(tmp_path):
    record = make_record(tmp_path, sweep())
    rows = render(record).table("variants")
    titles = dict(zip(logs.LOSSES, ("total", "content", "style", "TV"), strict=True))
    for i, row in enumerate(rows):
        for term, title in titles.items():
            shown, value = row[f"final loss: {title}"]
            assert np.float32(value) == record.final[term][i]
            assert float(shown) == pytest.approx(float(value), rel=1e-3)
        assert float(row["seconds: program"][1]) == 0.5 * ROWS
        assert float(row["seconds: share"][1]) == 0.5 * ROWS / 4
    statuses = [row["status"][0] for row in rows]
    assert statuses == ["finished, best", "finished", "finished, best", "diverged at step 7"]


def test_settings_that_do_not_differ_are_above_the_table(tmp_path):
    page = render(make_record(tmp_path, sweep()))
    assert list(page.table("variants")[0])[2:7] == [
        "label", "optimizer", "learning rate", "seed", "status",
    ]  # fmt: skip
    assert (
        "The same in all: content weight 10000, style weight 0.01, TV weight 30, "
        "style picture wave.jpg, start content." in page.one("p", id="variants-note")["text"]
    )


def test_a_single_run_has_all_its_settings_in_the_table(tmp_path):
    page = render(make_record(tmp_path, [make_variant()]))
    (row,) = page.table("variants")
    assert row["weights: content"][0] == "10000"
    assert (row["style picture"][0], row["start"][0]) == ("wave.jpg", "content")
    assert "The same in all" not in page.one("p", id="variants-note")["text"]


def test_pictures_of_one_name_are_told_apart_by_their_folders(tmp_path):
    changes = {"style": "two/s.jpg", "init": "two/x.png"}
    variants = [make_variant(0, style="one/s.jpg", init="one/x.png"), make_variant(1, **changes)]
    styles = {name: make_pictures(20, 30) for name in ("one/s.jpg", "two/s.jpg")}
    page = render(make_record(tmp_path, variants, styles=styles))
    rows = page.table("variants")
    assert [row["style picture"][0] for row in rows] == ["one/s.jpg", "two/s.jpg"]
    assert [row["start"][0] for row in rows] == ["one/x.png", "two/x.png"]
    assert page.one("h1")["text"] == "a.png in the style of one/s.jpg or two/s.jpg"
    captions = [each["text"] for each in page.all("figcaption")]
    assert captions[:3] == ["one/s.jpg", "two/s.jpg", "a.png"]


def test_content_and_style_of_one_name_are_told_apart(tmp_path):
    record = make_record(tmp_path, [make_variant()], styles={"b/a.png": make_pictures(20, 30)})
    assert render(record).one("h1")["text"] == "photos/a.png in the style of b/a.png"


def test_numbers_that_differ_are_shown_in_the_digits_that_differ(tmp_path):
    rates = [0.1234567, 0.1234568, 1e-8]
    variants = [make_variant(i, learning_rate=rate) for i, rate in enumerate(rates)]
    rows = render(make_record(tmp_path, variants)).table("variants")
    assert [row["learning rate"][0] for row in rows] == ["0.1234567", "0.1234568", "1e-08"]


def test_a_variant_that_began_at_its_minimum_is_said_to(tmp_path):
    total = np.array([2e9, 1, 1, 1], np.float32)
    rows = render(make_record(tmp_path, sweep(), final={"total": total})).table("variants")
    assert rows[0]["status"][0] == "finished, began at its minimum"


def test_settings_that_differ_have_a_column(tmp_path):
    variants = sweep(style="a/b/night.jpg", init="noise")
    rows = render(make_record(tmp_path, variants)).table("variants")
    assert [row["style picture"][0] for row in rows] == ["wave.jpg"] * 3 + ["night.jpg"]
    assert [row["start"][0] for row in rows] == ["content"] * 3 + ["noise"]


@pytest.mark.parametrize(
    "changed", [{"weights": logs.WEIGHTS | {"style": 0.5}}, {"style": "night.jpg"}]
)
def test_totals_of_different_problems_are_not_compared(tmp_path, changed):
    assert "best" not in render(make_record(tmp_path, sweep(**changed))).one("main")["text"]


def test_diverged_variant_is_never_the_best(tmp_path):
    total = np.array([2, 1, 3, 0.5], np.float32)
    rows = render(make_record(tmp_path, sweep(), final={"total": total})).table("variants")
    assert ["best" in row["status"][0] for row in rows] == [False, True, True, False]


def test_rate_of_lbfgs_is_not_shown(tmp_path):
    variant = make_variant(optimizer="lbfgs", label="lbfgs", learning_rate=0.0)
    (row,) = render(make_record(tmp_path, [variant])).table("variants")
    assert row["learning rate"] == ("—", "")


def test_variants_of_one_program_share_its_seconds(tmp_path):
    rows = make_rows(ROWS, 4)
    rows.wall_time[:, 3] *= 3
    page = render(make_record(tmp_path, sweep(), rows=rows))
    table = page.table("variants")
    assert [float(row["seconds: share"][1]) for row in table] == [2, 2, 2, 18]
    assert page.facts()["optimizing, seconds"] == "24"
    assert page.facts()["programs, one after another"] == "2"


def test_style_loss_of_each_layer_is_that_of_the_last_good_row(tmp_path):
    rows = make_rows(ROWS, 4)
    rows.parts["style"][5:, 1] = np.nan
    rows.parts["style"][7:, 3, 0] = np.inf
    rows.parts["style"][:, 2] = np.nan
    table = render(make_record(tmp_path, sweep(), rows=rows)).table("layers")
    for i, last in enumerate([ROWS - 1, 4, None, 6]):
        for number, layer in enumerate(LAYERS):
            shown, value = table[i][layer]
            if last is None:
                assert (shown, value) == ("—", "")
            else:
                assert np.float32(value) == rows.parts["style"][last, i, number]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_value_that_is_not_finite_is_a_dash_and_has_no_place_in_the_order(tmp_path, value):
    total = np.array([1, value, 3, value], np.float32)
    rows = render(make_record(tmp_path, sweep(), final={"total": total})).table("variants")
    shown = [row["final loss: total"] for row in rows]
    assert shown == [("1.000", "1.0"), ("—", ""), ("3.000", "3.0"), ("—", "")]


def test_settings_device_and_command_are_on_the_page(tmp_path):
    record = make_record(
        tmp_path,
        sweep(),
        config={
            "tv_weights": [0.0, 30.0],
            "deterministic": True,
            "tolerance": None,
            "log": "run.h5",
            "report": "run.html",
            "figures": "figures",
            "output": "out.png",
            "tensorboard": "board",
            "force": False,
        },
        attributes={
            "compile_seconds": 11.5,
            "precision": "tf32",
            "driver_version": "580.1",
            "threads": 16,
            "versions_json": json.dumps({"jax": "0.10.2", "numpy": "2.4"}),
            "content_sha256": "0123456789abcdef" * 4,
        },
    )
    page = render(record)
    facts = page.facts()
    assert facts["steps"] == str(ROWS)
    assert facts["TV weights"] == "0, 30"
    assert facts["deterministic"] == "yes"
    assert "tolerance" not in facts
    assert not {"log", "report", "figures", "output", "tensorboard", "force"} & set(facts)
    assert facts["device"] == "TPU v9"
    assert facts["precision"] == "tf32"
    assert facts["driver version"] == "580.1"
    assert facts["threads"] == "16"
    assert facts["compiling, seconds"] == "11.5"
    assert facts["versions"] == "jax 0.10.2, numpy 2.4"
    assert facts["content, SHA-256"] == "0123456789abcdef"
    assert page.one("code")["text"] == record.attributes["command"]
    assert page.one("h1")["text"] == "a.png in the style of wave.jpg"
    assert "finished" in page.one("ul")["text"]


@pytest.mark.parametrize(
    ("styles", "title"),
    [
        (1, "a.png in the style of 0.jpg"),
        (2, "a.png in the style of 0.jpg or 1.jpg"),
        (9, "a.png in 9 styles"),
    ],
)
def test_title_names_the_pictures(tmp_path, styles, title):
    styles = {f"pictures/{i}.jpg": make_pictures(20, 30) for i in range(styles)}
    page = render(make_record(tmp_path, sweep(), styles=styles))
    assert page.one("h1")["text"] == title


def test_random_weights_are_announced(tmp_path):
    text = "random weights"
    page = report.render(make_record(tmp_path, sweep(), attributes={"weights_name": "random"}))
    assert text in page
    assert text not in report.render(make_record(tmp_path, sweep()))


# Pictures.


def test_pictures_are_there_in_full_size_and_small(tmp_path):
    record = make_record(tmp_path, sweep(), size=(120, 180))
    page = render(record)
    inputs, rest = page.all("img")[:2], page.all("img")[2:]
    expected = [record.content, *record.styles.values()]
    for element, picture in zip(inputs, expected, strict=True):
        assert np.abs(decode(element["attributes"]["src"]) - picture).mean() < 3
    for element, picture in zip(rest[:4], record.images, strict=True):
        assert np.abs(decode(element["attributes"]["src"]) - picture).mean() < 3
    for element in rest[4:]:
        assert decode(element["attributes"]["src"]).shape == (64, 96, 3)
    assert len(rest) == 8
    # Every thumbnail leads to its picture.
    targets = [e["attributes"]["href"] for e in page.all("a") if "td" in e["parents"]]
    assert targets == [f"#result-{i}" for i in range(4)]
    assert [e["attributes"]["id"] for e in page.all("figure", id="result-2")] == ["result-2"]


@pytest.mark.parametrize(("count", "full"), [(64, True), (65, False)])
def test_many_variants_have_thumbnails_only(tmp_path, count, full):
    record = make_record(tmp_path, [make_variant(i) for i in range(count)], size=(120, 180))
    page = render(record)
    assert len(page.all("img")) == 2 + count * (1 + full)
    assert len(page.all("dialog")) == full
    assert {e["attributes"]["href"][:8] for e in page.all("a")} >= ({"#result-"} if full else set())


def test_pictures_and_charts_have_alternative_texts(tmp_path):
    page = render(make_record(tmp_path, sweep()))
    texts = [element["attributes"]["alt"] for element in page.all("img")]
    assert texts[:2] == ["Content picture", "Style picture pictures/wave.jpg"]
    assert texts[2:] == [f"Result of {variant.label}" for variant in sweep()] * 2
    charts = page.all("svg", role="img")
    assert len(charts) == 2
    for chart, optimizer in zip(charts, ("adam", "rmsprop"), strict=True):
        assert f"2 variants of {optimizer}" in chart["attributes"]["aria-label"]


# Curves.


def test_every_variant_has_a_curve_with_its_name(tmp_path):
    page = render(make_record(tmp_path, sweep()))
    assert curves(page).keys() == {variant.label for variant in sweep()}
    assert len(page.all("polyline")) == 4


def test_curve_is_drawn_where_its_values_are(tmp_path):
    values = np.array([1e9, 1e8, 1e7, 1e6])
    rows = make_rows(4, 2)
    rows.total[:] = values[:, None]
    page = render(make_record(tmp_path, [make_variant(0), make_variant(1)], rows=rows))
    x, y = points(page.all("polyline")[0]).T
    # Decades, and steps, are equally far apart.
    np.testing.assert_allclose(np.diff(x), np.diff(x)[0], atol=0.11)
    np.testing.assert_allclose(np.diff(y), np.diff(y)[0], atol=0.11)
    assert np.diff(y)[0] > 20
    ticks = {e["text"]: float(e["attributes"]["y"]) for e in page.all("text", class_="y")}
    assert ticks["10⁸"] == pytest.approx(y[1], abs=0.1)
    assert ticks["10⁶"] == pytest.approx(y[3], abs=0.1)


def test_long_curve_is_thinned_and_keeps_its_extremes(tmp_path):
    rows = make_rows(2500, 2)
    rows.total[1234, 0] = 1e3
    rows.total[2345, 0] = 1.3e9
    record = make_record(tmp_path, [make_variant(0), make_variant(1)], rows=rows)
    drawn = curves(render(record))
    assert 100 < len(points(drawn["adam 0.01"])) <= 200
    assert 100 < len(points(drawn["adam 0.02"])) <= 200
    x, y = points(drawn["adam 0.01"]).T
    width = x[-1] / 2499
    assert x[0] == 0
    assert x[y.argmax()] == pytest.approx(1234 * width, abs=0.1)
    assert x[y.argmin()] == pytest.approx(2345 * width, abs=0.1)


def test_what_a_log_axis_has_no_place_for_is_left_out(tmp_path):
    rows = make_rows(ROWS, 3)
    rows.total[4:7, 0] = np.nan, np.inf, 0
    rows.total[:, 1] = np.nan
    page = render(make_record(tmp_path, [make_variant(i) for i in range(3)], rows=rows))
    lengths = {name: len(points(curve)) for name, curve in curves(page).items()}
    assert lengths == {"adam 0.01": ROWS - 3, "adam 0.03": ROWS}


def test_diverged_variant_is_crossed_where_it_leaves_the_chart(tmp_path):
    rows = make_rows(ROWS, 4)
    rows.total[3:8, 3] = 10.0 ** np.arange(12, 37, 5)
    rows.total[8:, 3] = np.nan
    page = render(make_record(tmp_path, sweep(), rows=rows))
    cross = page.one("path", class_="cross")
    assert cross["text"] == "rmsprop 2 diverged"
    x, y = (float(n) + 4 for n in re.match(r"M(.*?),(.*?) ", cross["attributes"]["d"]).groups())
    drawn = curves(page)
    curve = drawn.pop("rmsprop 2")
    assert y == 0
    assert points(curve)[2, 0] < x < points(curve)[3, 0]
    # The others are not squeezed by it.
    heights = [np.ptp(points(each)[:, 1]) for each in drawn.values()]
    assert min(heights) > 120


def test_few_curves_are_labeled_at_their_ends(tmp_path):
    variants = [make_variant(i) for i in range(12)]
    labels = render(make_record(tmp_path, variants)).all("text", class_="label")
    # Higher losses are higher on the page.
    assert [e["text"] for e in labels] == [v.label.removeprefix("adam ") for v in variants[::-1]]
    places = [float(e["attributes"]["y"]) for e in labels]
    assert np.diff(places).min() > 12


def test_many_curves_are_not_labeled(tmp_path):
    page = render(make_record(tmp_path, [make_variant(i) for i in range(13)]))
    assert not page.all("text", class_="label")
    assert len(page.all("polyline")) == 13


def test_long_labels_are_shortened_in_the_chart_alone(tmp_path):
    """Without what they share, not from the right just before what differs."""
    names = [
        f"adam {rate} style weight {weight} {folder}/style.jpg"
        for rate in ("0.01", "0.02")
        for weight in ("0.01", "0.1")
        for folder in "ab"
    ]
    page = render(make_record(tmp_path, [make_variant(i, label=x) for i, x in enumerate(names)]))
    shown = [element["text"] for element in page.all("text", class_="label")]
    assert sorted(shown)[:3] == ["0.01 … 0.01 a…", "0.01 … 0.01 b…", "0.01 … 0.1 a…"]
    assert len(set(shown)) == len(names)
    assert [row["label"][0] for row in page.table("variants")] == names


def test_color_tells_the_logarithm_of_the_rate(tmp_path):
    rates = [1e-3, 1e-2, 1e-1, 1.0]
    variants = [
        make_variant(i, learning_rate=rate, label=f"adam {rate}") for i, rate in enumerate(rates)
    ]
    drawn = curves(render(make_record(tmp_path, variants)))
    classes = [drawn[variant.label]["attributes"]["class"] for variant in variants]
    assert classes == ["level0", "level5", "level10", "level15"]


def test_optimizers_whose_rates_overlap_share_their_colors(tmp_path):
    settings = [
        ("adam", 1e-3),
        ("adam", 0.1),
        ("adagrad", 0.1),
        ("adagrad", 10.0),
        ("sgd", 1e-10),
        ("sgd", 1e-8),
        ("lbfgs", 0.0),
    ]
    variants = [
        make_variant(i, optimizer=optimizer, label=f"{optimizer} {rate}", learning_rate=rate)
        for i, (optimizer, rate) in enumerate(settings)
    ]
    page = render(make_record(tmp_path, variants))
    classes = [curves(page)[variant.label]["attributes"]["class"] for variant in variants]
    assert classes == ["level0", "level8", "level8", "level15", "level0", "level15", "plain"]
    keys = [e["text"].split() for e in page.all("span", class_="key")]
    assert keys == [["rate", "0.001", "10"]] * 2 + [["rate", "1e-10", "1e-8"]]


@pytest.mark.parametrize("low", [1e-6, 0.5, 1.0, 7e3, 2.2e9])
@pytest.mark.parametrize("factor", [1.0, 1.5, 20, 1e9])
def test_axes_have_a_few_round_ticks(tmp_path, low, factor):
    rows = make_rows(2, 2, scale=np.ones(2))
    rows.total[:] = [[low * factor], [low]]
    page = render(make_record(tmp_path, [make_variant(0), make_variant(1)], rows=rows))
    labels = [e["text"] for e in page.one("svg", role="img") and page.all("text", class_="y")]
    assert 2 <= len(labels) <= 10
    assert len(set(labels)) == len(labels)
    assert [e["text"] for e in page.all("text", class_="x")][:2] == ["0", "1"]


def test_single_run_shows_its_weighted_terms(tmp_path):
    page = render(make_record(tmp_path, [make_variant()]))
    assert curves(page).keys() == {"content", "style", "total", "total variation"}
    (row,) = page.table("variants")
    assert row["label"][0] == "adam 0.01"
    assert "seconds: share" not in row
    assert len(page.all("img")) == 4


def test_every_term_has_a_color_of_its_own_on_the_page(tmp_path):
    html = report.render(make_record(tmp_path, [make_variant()]))
    classes = dict(re.findall(r"\.term-(\w+)(?:, \.plain)? \{ --color: var\((--\w+)\)", html))
    assert classes.keys() == set(logs.LOSSES)
    for shade in (0, 1):
        shades = [re.findall(f"{name}: (#\\w+);", html)[shade] for name in classes.values()]
        assert len(set(shades)) == len(logs.LOSSES)
        assert shades == [colors.of_terms(logs.WEIGHTS)[term][shade] for term in classes]


def test_a_curve_that_begins_late_has_its_reason(tmp_path):
    rows = make_rows(ROWS, 1)
    rows.losses["content"][0] = 0
    text = render(make_record(tmp_path, [make_variant()], rows=rows)).one("main")["text"]
    assert "no place for zero:\ncontent begins at step 1, and was zero before." in text
    rows = make_rows(ROWS, 1)
    text = render(make_record(tmp_path, [make_variant()], rows=rows)).one("main")["text"]
    assert "no place for zero" not in text


# Snapshots.


def with_snapshots(record, steps=(4, 8, 12)):
    pictures = make_pictures(len(steps), len(record.variants), *record.content.shape[:2])
    return dataclasses.replace(record, snapshots=pictures, snapshot_steps=np.array(steps, np.int32))


def test_snapshots_are_on_the_page_under_a_slider(tmp_path):
    record = with_snapshots(make_record(tmp_path, sweep()))
    page = check_page_is_closed(report.render(record))
    slider = page.one("input", type="range")["attributes"]
    assert (slider["min"], slider["max"], slider["data-steps"]) == ("0", "2", "4 8 12")
    assert page.all("label", for_="step")
    shown = [e["attributes"] for e in page.all("img") if "data-step" in e["attributes"]]
    assert [each["data-step"] for each in shown] == ["4", "8", "12"] * 4
    assert shown[1]["alt"] == "adam 0.01 after 8 steps"
    for place, each in enumerate(shown):
        picture = record.snapshots[place % 3, place // 3]
        assert np.abs(decode(each["src"]) - picture).mean() < 6


def test_snapshots_of_a_variant_end_where_it_ended(tmp_path):
    rows = make_rows(ROWS, 4)
    rows.evaluations[7:, 3] = 0
    rows.evaluations[:, 2] = 0
    page = render(with_snapshots(make_record(tmp_path, sweep(), rows=rows)))
    shown = [e["attributes"] for e in page.all("img") if "data-step" in e["attributes"]]
    assert [each["alt"] for each in shown][6:] == ["rmsprop 2 after 4 steps"]


@pytest.mark.parametrize(("variants", "most"), [(1, 32), (20, 20), (64, 6), (65, 0)])
def test_a_page_holds_a_sensible_number_of_snapshots(variants, most, tmp_path):
    rows = make_rows(100, variants)
    record = make_record(tmp_path, [make_variant(i) for i in range(variants)], rows=rows)
    page = render(with_snapshots(record, steps=range(1, 101)))
    shown = [e["attributes"] for e in page.all("img") if "data-step" in e["attributes"]]
    assert len(shown) == variants * most
    assert bool(page.all("input")) == bool(most)
    if most:
        steps = [int(each["data-step"]) for each in shown[:most]]
        assert (steps[0], steps[-1]) == (1, 100)
        assert np.ptp(np.diff(steps)) <= 1


def test_a_page_without_snapshots_has_no_slider(tmp_path):
    page = render(make_record(tmp_path, sweep()))
    assert not page.all("input")
    assert not page.all("h2", id="snapshots")


# A run that has not ended.


def test_running_sweep_shows_what_there_is(tmp_path):
    """One program has ended, one is running, one has not started."""
    rows = make_rows(ROWS, 3)
    for name, fill in (("evaluations", -1), ("total", np.nan), ("wall_time", np.nan)):
        getattr(rows, name)[5:, 1] = fill
        getattr(rows, name)[:, 2] = fill
    variants = [
        make_variant(0),
        make_variant(1),
        make_variant(2, optimizer="sgd", label="sgd 1e-9"),
    ]
    record = make_record(tmp_path, variants, rows=rows, ended=1, status="running")
    page = render(record)
    table = page.table("variants")
    statuses = [row["status"][0] for row in table]
    assert statuses == ["finished, best", f"running, 5 of {ROWS} steps", "not started"]
    assert [row["final loss: total"][0] == "—" for row in table] == [False, True, True]
    assert [row["picture"][0] for row in table] == ["", "—", "—"]
    assert table[2]["seconds: program"] == ("—", "")
    # Content, style, one thumbnail, one result: no black picture.
    assert len(page.all("img")) == 4
    lengths = {name: len(points(curve)) for name, curve in curves(page).items()}
    assert lengths == {"adam 0.01": ROWS, "adam 0.02": 5}
    assert [e["text"] for e in page.all("h3")] == ["adam: total loss"]


@pytest.mark.parametrize("variants", [1, 3])
def test_run_without_a_row_has_a_page(tmp_path, variants):
    rows = make_rows(0, variants)
    record = make_record(
        tmp_path, [make_variant(i) for i in range(variants)], rows=rows, ended=0, status="running"
    )
    page = render(record)
    assert len(page.table("variants")) == variants
    assert not page.all("svg")
    assert "No loss has been logged yet." in page.one("main")["text"]
    assert len(page.all("img")) == 2


def test_interrupted_run_says_how_far_it_came(tmp_path):
    variant = make_variant(status="interrupted")
    page = render(make_record(tmp_path, [variant], rows=make_rows(5, 1), status="interrupted"))
    assert page.table("variants")[0]["status"][0] == f"interrupted, 5 of {ROWS} steps"
    assert "interrupted" in page.one("ul")["text"]


def test_run_in_which_nothing_was_finite_has_a_page(tmp_path):
    rows = make_rows(ROWS, 1)
    for series in (*rows.losses.values(), *rows.parts.values()):
        series[:] = np.nan
    variant = make_variant(status="diverged", diverged_step=0)
    page = render(make_record(tmp_path, [variant], rows=rows, status="failed"))
    assert page.table("variants")[0]["status"][0] == "diverged at step 0"
    assert not page.all("svg")


# Safety.


def make_hostile_record(folder, text):
    """Every string that a log can hold is `text`."""
    variant = make_variant(label=text, optimizer=text, style=text, init=text)
    other = make_variant(1, label=f"other {text}", status="diverged", diverged_step=3)
    return make_record(
        folder,
        [variant, other],
        styles={text: make_pictures(20, 30), f"{text} 2": make_pictures(20, 30)},
        config={"content": f"photos/{text}", text: [text], "nested": {text: text}},
        attributes={
            "command": f"nst-jax sweep {text}",
            "device_kind": text,
            "weights_name": text,
            "versions_json": json.dumps({text: text}),
            "plain": text,
            "broken_json": text,
            "style_sha256": text,
        },
    )


def check_page_is_closed(html):
    """One script, no handler, no address outside, and a policy that allows no more."""
    page = Page(html)
    for element in page.elements:
        for name, value in element["attributes"].items():
            assert not name.startswith("on"), f"<{element['tag']}> has {name}"
            if name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
                assert value.startswith(("data:image/jpeg;base64,", "data:,", "#")), value
    tags = {element["tag"] for element in page.elements}
    assert not tags & {"iframe", "object", "embed", "base", "frame", "video", "audio", "form_"}
    (script,) = page.all("script")
    assert not script["attributes"]
    (style,) = page.all("style")
    assert "url(" not in style["text"]
    assert "@import" not in style["text"]
    policy = page.one("meta", **{"http-equiv": "Content-Security-Policy"})["attributes"]["content"]
    digest = base64.b64encode(hashlib.sha256(script["text"].encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; base-uri 'none'; form-action 'none'; ")
    assert f"script-src 'sha256-{digest}'" in policy
    return page


def test_page_is_self_contained(tmp_path):
    check_page_is_closed(report.render(make_record(tmp_path, sweep())))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_strings_stay_text(tmp_path, text):
    record = make_hostile_record(tmp_path, text)
    page = check_page_is_closed(report.render(record))
    harmless = check_page_is_closed(report.render(make_hostile_record(tmp_path, "plain")))
    # No element more or less, and the same script.
    assert [e["tag"] for e in page.elements] == [e["tag"] for e in harmless.elements]
    assert page.one("script")["text"] == harmless.one("script")["text"]
    assert page.one("style")["text"] == harmless.one("style")["text"]
    # Shown as they are.
    assert page.table("variants")[0]["label"][0] == text
    assert page.one("code")["text"] == f"nst-jax sweep {text}"
    assert page.all("img")[0]["attributes"]["alt"] == f"Style picture {text}"
    assert page.facts()["plain"] == text
    assert page.facts()["nested"] == f"{text} {text}"
    assert {text, f"other {text}"} == curves(page).keys()


# The file.


def test_file_is_what_is_rendered(tmp_path):
    record = make_record(tmp_path, sweep())
    path = tmp_path / "report.html"
    path.write_text("old")
    report.write(record, path)
    assert path.read_text(encoding="utf-8") == report.render(record)
    assert sorted(os.listdir(tmp_path)) == ["report.html", "run.h5"]


def test_failure_keeps_the_old_file(tmp_path, monkeypatch):
    record = make_record(tmp_path, sweep())
    path = tmp_path / "report.html"
    path.write_text("old")

    def fail(record):
        raise MemoryError

    monkeypatch.setattr("nst_jax.report.page.render", fail)
    with pytest.raises(MemoryError):
        report.write(record, path)
    assert path.read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["report.html", "run.h5"]


def test_file_name_that_is_no_unicode_does_not_cost_the_page(tmp_path):
    record = make_record(tmp_path, sweep())
    record = dataclasses.replace(record, config={"content": os.fsdecode(b"caf\xe9.png")})
    report.write(record, tmp_path / "report.html")
    assert "caf?.png" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_rendering_changes_nothing_and_repeats(tmp_path):
    record = make_record(tmp_path, sweep())
    assert report.render(record) == report.render(record)


def test_sweep_of_hundreds_takes_a_moment(tmp_path):
    record = make_record(tmp_path, [make_variant(i) for i in range(300)], rows=make_rows(400, 300))
    assert len(report.render(record)) < 4e6


# Writes, reads and reports a log of 1000 variants x 2500 steps, with pictures that JPEG cannot
# compress; prints the bytes of memory at most.
LARGE = """
import dataclasses, re, sys
from pathlib import Path
import logs
import numpy as np
from nst_jax import report, runlog
from nst_jax.runlog import writing

folder = Path(sys.argv[1])
rng = np.random.default_rng(0)
rates = np.logspace(-4, 0, 25)
variants = [
    runlog.Variant(f"{name} {rate:.4g} seed {seed}", name, float(rate), logs.WEIGHTS, "s",
                   "content", seed)
    for name in ("adam", "rmsprop", "adagrad", "sgd") for rate in rates for seed in range(10)
]
picture = rng.integers(0, 256, (64, 96, 3), dtype=np.uint8)
with writing.RunLog.create(
    folder / "run.h5", attributes={}, config={"steps": 2500}, variants=variants,
    parts=logs.parts(*"abcde"), contents={"": picture}, styles={"s": picture}, chunk_length=100,
    num_steps=2500,
) as log:
    for first in range(0, 2500, 100):
        step = np.arange(first, first + 100, dtype=np.int32)
        loss = (1e9 * np.exp(-step / 400)[:, None] + 1e7 * rng.random((100, 1000))).astype("f4")
        log.append(logs.rows_of_one(
            loss, np.repeat(loss[:, :, None], 5, axis=2), step=step,
            wall_time=loss.astype("f8"), evaluations=np.ones((100, 1000), "i4"),
        ))
    log.finish_variants(
        [dataclasses.replace(variant, status="finished") for variant in variants],
        final={term: loss[-1] for term in logs.LOSSES},
        images=rng.integers(0, 256, (1000, 64, 96, 3), dtype=np.uint8),
    )
    log.finish("finished")
record = runlog.load(folder / "run.h5")
report.write(record, folder / "report.html")
# Not `getrusage`, which counts what the parent process took before this one began.
(peak,) = re.findall("VmHWM: *[^0-9]*([0-9]+) kB", Path("/proc/self/status").read_text())
print(1024 * int(peak))
"""


@pytest.fixture(scope="module")
def large_page(tmp_path_factory):
    """(path, bytes of memory) of the page of the largest log that is promised."""
    folder = tmp_path_factory.mktemp("large")
    answer = subprocess.run(
        [sys.executable, "-c", LARGE, folder],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    (folder / "run.h5").unlink()
    return folder / "report.html", int(answer.stdout)


@pytest.mark.slow
def test_largest_sweep_keeps_to_memory_and_size(large_page):
    path, memory = large_page
    # About 0.3 GB and 10 MB.
    assert memory < 1e9
    assert path.stat().st_size < 15e6


# In a real browser.


@pytest.fixture
def show(browser, tmp_path):
    """Opens the page of a record in the browser."""

    def show(record, **options):
        report.write(record, tmp_path / "report.html")
        browser.open(tmp_path / "report.html", **options)
        return browser

    return show


ENTER, ESCAPE, TAB, RIGHT = ("Enter", 13), ("Escape", 27), ("Tab", 9), ("ArrowRight", 39)
HEADER = "[...document.querySelectorAll('#{}-note + div thead button')].find(each => each.textContent.endsWith('{}'))"  # noqa: E501


def column(browser, name, title):
    """The texts of a column of a table, as shown."""
    return browser.run(
        f"(() => {{ const header = {HEADER.format(name, title)}.closest('th');"
        "return [...header.closest('table').tBodies[0].rows]"
        ".map(row => row.cells[header.cellIndex].textContent); })()"
    )


def order(browser, name, title):
    return browser.run(f"{HEADER.format(name, title)}.closest('th').getAttribute('aria-sort')")


@pytest.mark.slow
def test_browser_shows_the_page_and_fetches_nothing(show, tmp_path):
    page = show(make_record(tmp_path, sweep()))
    assert page.run("document.title") == "a.png in the style of wave.jpg"
    assert page.run("document.compatMode") == "CSS1Compat"
    pictures = page.run("[...document.images].map(each => each.complete && each.naturalWidth)")
    assert pictures == [60, 50, *[60] * 8]
    boxes = page.run(
        "[...document.querySelectorAll('svg[role=img], table, .results img')]"
        ".map(each => Math.min(each.getBoundingClientRect().width,"
        " each.getBoundingClientRect().height))"
    )
    assert len(boxes) == 8
    assert min(boxes) > 100
    assert page.run("performance.getEntriesByType('resource').length") == 0
    assert page.requests() == []
    assert page.complaints() == []


@pytest.mark.slow
def test_click_on_a_heading_sorts_numbers_as_numbers(show, tmp_path):
    total = np.array([2e9, np.nan, 900, 1e8], np.float32)
    page = show(make_record(tmp_path, sweep(), final={"total": total}))
    assert order(page, "variants", "#") == "ascending"
    page.click(HEADER.format("variants", "total"))
    assert column(page, "variants", "total") == ["900.0", "1.000e8", "2.000e9", "—"]
    assert column(page, "variants", "#") == ["3", "4", "1", "2"]
    assert order(page, "variants", "total") == "ascending"
    assert order(page, "variants", "#") is None
    # The other way round; what has no value stays last.
    page.click(HEADER.format("variants", "total"))
    assert column(page, "variants", "total") == ["2.000e9", "1.000e8", "900.0", "—"]
    assert order(page, "variants", "total") == "descending"
    page.click(HEADER.format("variants", "#"))
    assert column(page, "variants", "#") == ["1", "2", "3", "4"]
    assert page.complaints() == []


@pytest.mark.slow
def test_numbers_with_exponents_are_sorted_as_numbers(show, tmp_path):
    rates = [0.1, 1e-9, 20.0, 3e-10]
    variants = [make_variant(i, learning_rate=rate) for i, rate in enumerate(rates)]
    page = show(make_record(tmp_path, variants))
    page.click(HEADER.format("variants", "learning rate"))
    assert column(page, "variants", "learning rate") == ["3e-10", "1e-9", "0.1", "20"]


@pytest.mark.slow
def test_heading_sorts_by_keyboard_and_text_in_its_natural_order(show, tmp_path):
    labels = ["run 10", "run 9", "Zebra", "apple"]
    variants = [make_variant(i, label=label) for i, label in enumerate(labels)]
    page = show(make_record(tmp_path, variants))
    page.run(f"{HEADER.format('layers', 'label')}.focus()")
    page.press(*ENTER)
    assert column(page, "layers", "label") == ["apple", "run 9", "run 10", "Zebra"]
    # The other table is left alone.
    assert column(page, "variants", "label") == labels


@pytest.mark.slow
def test_picture_opens_in_full_size_and_closes_by_keyboard(show, tmp_path):
    page = show(make_record(tmp_path, sweep()))
    opened = "document.querySelector('dialog').open"
    caption = "document.querySelector('dialog figcaption').textContent"
    page.run("document.querySelectorAll('td a')[2].focus()")
    page.press(*ENTER)
    assert page.run(opened)
    assert page.run(caption).startswith("rmsprop 0.001")
    same = (
        "document.querySelector('dialog img').src === document.querySelector('#result-{} img').src"
    )
    assert page.run(same.format(2))
    assert page.run("document.querySelector('dialog img').naturalWidth") == 60
    page.press(*RIGHT)
    assert page.run(caption) == "rmsprop 2"
    page.press(*RIGHT)
    assert page.run(caption).startswith("adam 0.01")
    assert page.run(same.format(0))
    page.press(*ESCAPE)
    assert not page.run(opened)
    # Back to where the reader was.
    assert page.run("document.activeElement === document.querySelectorAll('td a')[2]")
    page.click("document.querySelectorAll('.results a')[1]")
    assert page.run(opened)
    page.click("document.querySelector('dialog button')")
    assert not page.run(opened)
    assert page.complaints() == []


@pytest.mark.slow
def test_slider_shows_one_snapshot_of_each_variant_by_keyboard(show, tmp_path):
    rows = make_rows(ROWS, 4)
    rows.evaluations[7:, 3] = 0
    page = show(with_snapshots(make_record(tmp_path, sweep(), rows=rows)))
    shown = (
        "[...document.querySelectorAll('.snapshots img')]"
        ".filter(each => each.getBoundingClientRect().width > 0).map(each => each.dataset.step)"
    )
    assert page.run(shown) == ["4"] * 4
    page.run("document.getElementById('step').focus()")
    page.press(*RIGHT)
    assert page.run(shown) == ["8"] * 3 + ["4"]
    page.press(*RIGHT)
    assert page.run(shown) == ["12"] * 3 + ["4"]
    assert page.run("document.querySelector('output').value") == "12"
    assert page.run("document.getElementById('step').ariaValueText") == "step 12"
    assert page.complaints() == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [96, 700, 1600])
def test_one_result_has_the_room_that_it_needs(width, show, tmp_path):
    page = show(make_record(tmp_path, [make_variant()], size=(60, width)))
    room = page.run("document.querySelector('main').clientWidth")
    assert 1200 < room <= 1232
    shown = page.run("document.querySelector('.results img').clientWidth")
    assert shown == min(width, room)


@pytest.mark.slow
def test_table_of_a_sweep_fits_a_window(show, tmp_path):
    """Of one in which everything differs."""
    variants = [
        make_variant(
            i,
            optimizer=optimizer,
            label=f"{optimizer} 0.0{i} content {i}e4 style weight 1e-0{i} TV {i} from {i}/start.png"
            f" seed {i} {i}/a_painting.jpg",
            learning_rate=1.2345e-3 * (i + 1),
            weights={
                "content": 12345.0 * (i + 1),
                "style": 1.2345e-3 * (i + 1),
                "total_variation": 12.5 * i,
            },
            style=f"{i}/a_painting.jpg",
            init=f"{i}/start.png",
        )
        for i, optimizer in enumerate(("adam", "rmsprop", "adagrad", "lbfgs"))
    ]
    variants[3] = dataclasses.replace(variants[3], status="diverged", diverged_step=123)
    page = show(make_record(tmp_path, variants))
    for name in ("variants", "layers"):
        wide, room = page.run(
            f"(() => {{ const box = document.querySelector('#{name}-note + div');"
            "return [box.scrollWidth, box.clientWidth]; })()"
        )
        assert wide <= room, name


@pytest.mark.slow
def test_focus_is_visible(show, tmp_path):
    page = show(make_record(tmp_path, sweep()))
    seen = set()
    for _ in range(60):
        page.press(*TAB)
        tag, style = page.run(
            "[document.activeElement.tagName,"
            " getComputedStyle(document.activeElement).outlineStyle]"
        )
        if tag == "BODY":
            break
        assert style == "solid", tag
        seen.add(tag)
    assert seen >= {"A", "BUTTON", "CODE", "DIV"}


@pytest.mark.slow
@pytest.mark.parametrize("allowed", [True, False])
def test_command_is_copied_or_selected(show, tmp_path, allowed):
    command = "nst-jax sweep 'a b.png' c.jpg --log \"x.h5\" && true"
    page = show(make_record(tmp_path, sweep(), attributes={"command": command}))
    page.call("Browser.resetPermissions")
    if allowed:
        permissions = ["clipboardReadWrite", "clipboardSanitizedWrite"]
        page.call("Browser.grantPermissions", permissions=permissions)
    page.click("document.getElementById('copy')")
    page.wait("document.getElementById('copy').textContent !== 'Copy'")
    assert page.run("getSelection().toString()") == command
    if allowed:
        assert page.run("navigator.clipboard.readText()") == command
    assert page.complaints() == []


@pytest.mark.slow
@pytest.mark.parametrize("variants", [1, 4, 70])
def test_phone_scrolls_tables_and_not_the_page(show, tmp_path, variants):
    record = make_record(tmp_path, [make_variant(i) for i in range(variants)])
    page = show(record, width=390, height=844)
    assert page.run("document.documentElement.scrollWidth") == 390
    wide, shown = page.run(
        "(() => { const box = document.querySelector('.scroll');"
        "return [box.scrollWidth, box.clientWidth]; })()"
    )
    assert wide > shown
    # Of the text in charts as well.
    sizes = page.run(
        "[...document.querySelectorAll('p, td, dd, svg text')]"
        ".map(each => each.getBoundingClientRect().height)"
    )
    assert min(sizes) > 10


def contrast(page, selector):
    """Of a text with the page, as the accessibility guidelines compute it."""
    colors = page.run(
        f"[getComputedStyle(document.querySelector('{selector}')).color,"
        " getComputedStyle(document.body).backgroundColor]"
    )
    linear = [
        [(v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4) for v in rgb]
        for rgb in ([int(n) / 255 for n in re.findall(r"\d+", color)[:3]] for color in colors)
    ]
    low, high = sorted(float(np.dot(rgb, [0.2126, 0.7152, 0.0722])) for rgb in linear)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_texts_stand_out_from_light_and_dark_pages(show, tmp_path, dark):
    page = show(make_record(tmp_path, sweep()), dark=dark)
    background = page.run("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(20, 23, 26)" if dark else "rgb(255, 255, 255)")
    for selector in ("h1", ".note", ".status", "td.bad", "nav a", "dt"):
        assert contrast(page, selector) > 4.5, selector


@pytest.mark.slow
def test_print_is_on_white_and_whole(show, tmp_path):
    record = make_record(tmp_path, [make_variant(i) for i in range(70)])
    page = show(record, dark=True, width=1000)
    pdf = base64.b64decode(page.call("Page.printToPDF", preferCSSPageSize=True)["data"])
    assert pdf.startswith(b"%PDF")
    page.call("Emulation.setEmulatedMedia", media="print")
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    cut = "[...document.querySelectorAll('.scroll')].some(e => e.scrollHeight > e.clientHeight + 1)"
    assert not page.run(cut)


@pytest.mark.slow
@pytest.mark.parametrize("text", HOSTILE)
def test_browser_runs_nothing_that_a_log_says(show, tmp_path, text):
    page = show(make_hostile_record(tmp_path, text))
    page.click(HEADER.format("variants", "label"))
    page.click("document.querySelector('.pairs a')")
    assert page.run("document.querySelector('dialog figcaption').textContent") == text
    assert page.run("typeof window.pwned") == "undefined"
    assert page.run("document.scripts.length") == 1
    assert page.requests() == []
    # Nor did the policy have anything to refuse.
    assert page.complaints() == []


@pytest.mark.slow
def test_policy_refuses_a_script_that_got_in(browser, tmp_path):
    """Should a string ever not be escaped."""
    html = report.render(make_record(tmp_path, sweep()))
    evil = "<script>window.pwned = 1</script><img src=x onerror='window.pwned = 1'></main>"
    (tmp_path / "evil.html").write_text(html.replace("</main>", evil), encoding="utf-8")
    browser.open(tmp_path / "evil.html")
    assert browser.run("typeof window.pwned") == "undefined"
    assert browser.complaints()


@pytest.mark.slow
def test_largest_page_opens_and_sorts(browser, large_page):
    browser.open(large_page[0])
    assert browser.run("document.querySelectorAll('polyline').length") == 1000
    browser.click(HEADER.format("variants", "total"))
    totals = [float(text) for text in column(browser, "variants", "total")]
    assert totals == sorted(totals)
    assert browser.complaints() == []


def test_large_pictures_are_shown_reduced_and_others_as_they_are():
    wide = np.zeros((2, 2 * pictures.LONGEST_SIDE, 3), np.uint8)
    assert pictures.reduced(wide).shape == (1, pictures.LONGEST_SIDE, 3)
    small = wide[:, :9]
    assert pictures.reduced(small) is small
    data = base64.b64decode(pictures.jpeg(wide).partition(",")[2])
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.size == (pictures.LONGEST_SIDE, 1)
