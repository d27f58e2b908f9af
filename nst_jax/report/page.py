"""One self-contained HTML page of a run log: it opens from disk and fetches nothing.

Everything the page says of a run goes through the template, which escapes it; its script reads
no data but the text of the page, and its content security policy allows no other script.
"""

import base64
import hashlib
import io
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
from jaxtyping import Float, Int, UInt8
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.ticker import MaxNLocator
from PIL import Image

from nst_jax.config import PLACES
from nst_jax.report import plotting
from nst_jax.runlog import TERMS, RunRecord, labels, parse_json
from nst_jax.system import files

# Of more variants the page has thumbnails only.
MAX_FULL_SIZE = 64
_MAX_LABELS = 12
_THUMBNAIL = 96
# Longest side of a snapshot of a single run, and of a sweep; how many of a variant, and of all.
_SNAPSHOT, _SMALL_SNAPSHOT = 512, 256
_MOST_SNAPSHOTS, _MOST_SNAPSHOTS_OF_ALL = 32, 400
_MAX_POINTS = 200
# Of a JPEG, in pixels.
_LONGEST_SIDE = 65_500

# A chart, in units of which a phone shows about one a pixel.
_WIDTH, _HEIGHT = 420, 290
_LEFT, _TOP, _BOTTOM = 44, 10, 42
_LINE, _LETTER, _MAX_LETTERS = 14.0, 6.3, 20

# The curves' colors by learning rate, low to high: none too faint for its background.
_LEVELS = 16
_LIGHT, _DARK = (0.0, 0.8), (0.3, 1.0)

_UNSHOWN = {"schema", "schema_version", "status", "config_json", "plans_json", "command", "pid"}
_NAMES = {
    "device_kind": "device",
    "device_count": "devices",
    "created_utc": "started (UTC)",
    "compile_seconds": "compiling, seconds",
    "versions_json": "versions",
    "tv_weight": "TV weight",
    "tv_weights": "TV weights",
    "content_sha256": "content, SHA-256",
    "style_sha256": "style, SHA-256",
    "weights_name": "network weights",
    "weights_sha256": "weights, SHA-256",
    "git_dirty": "checkout changed",
}


class _Column(NamedTuple):
    """Of a table: numbers (None: no value) or strings, one a variant; neighbors share a `group`.

    What was measured has a fixed number of digits, and maybe tints in percent; a setting as many
    as tell it from the others.
    """

    group: str
    title: str
    values: Sequence[int | float | str | None]
    is_measured: bool = False
    tints: Sequence[int] = ()

    @property
    def css_class(self) -> str:
        return "" if any(isinstance(value, str) for value in self.values) else "number"

    @property
    def texts(self) -> list[str]:
        texts: dict[Any, str] = {value: self._text(value) for value in self.values}
        if not self.is_measured and len(set(texts.values())) < len(texts):
            texts |= labels.of_numbers(v for v in texts if isinstance(v, int | float))
        return [texts[value] for value in self.values]

    def _text(self, value: int | float | str | None) -> str:
        if isinstance(value, str):
            return value
        return _measured(value) if self.is_measured else _number(value)

    @property
    def name(self) -> str:
        """As a setting that stands alone."""
        return f"{self.title} weight" if self.group == "weights" else self.title


class _Curve(NamedTuple):
    """What a chart draws: the CSS class names the color, a label is written at the end."""

    name: str
    label: str
    css_class: str
    steps: Int[np.ndarray, "t"]
    values: Float[np.ndarray, "t"]
    diverged: bool


class _Axes(NamedTuple):
    """The ranges that all charts of a page share: steps, and log10 of the loss."""

    last_step: int
    low: float
    high: float


def write(record: RunRecord, path: Path) -> None:
    """Writes the page of a run; the file is whole or absent."""
    with files.replacing(path) as temporary:
        # A file name that is no Unicode must not cost the page.
        temporary.write_text(render(record), encoding="utf-8", errors="replace")


def render(record: RunRecord) -> str:
    """The page of a run, single or sweep, as HTML; of a running or interrupted one too.

    Up to `MAX_FULL_SIZE` variants it holds the pictures in full size, of more only thumbnails;
    curves are thinned to a few hundred points.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("nst_jax.report", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "groups": _groups,
        "jpeg": _jpeg,
        "sha256": _sha256,
        "sortable": _sortable,
    }
    panels = _panels(record)
    return environment.get_template("report.html.jinja").render(
        title=_title(record),
        record=record,
        facts=_facts(record),
        names=_names([str(record.config.get("content")), *record.styles]),
        best=_best(record),
        columns=_columns(record),
        shared=_shared_settings(record),
        layers=_layer_columns(record),
        charts=_charts(record, panels),
        late=_late(record, panels),
        snapshots=_snapshots(record),
        snapshot_steps=_snapshot_steps(record),
        frame={"width": _WIDTH, "height": _HEIGHT, "left": _LEFT, "top": _TOP, "bottom": _BOTTOM},
        settings=_settings(record),
        device=_device(record),
        ramp=_ramp(),
        is_preview=record.attributes.get("weights_name") == "random",
        has_full_size=len(record.variants) <= MAX_FULL_SIZE,
        shown=_shown(record),
        thumbnail=_THUMBNAIL,
    )


# Text.


def _title(record: RunRecord) -> str:
    content = str(record.config.get("content") or record.path.name)
    names = _names([content, *record.styles])
    styles = [names[name] for name in record.styles]
    if len(styles) > 3:
        return f"{names[content]} in {len(styles)} styles"
    return f"{names[content]} in the style of {' or '.join(styles)}"


def _names(paths: Sequence[str]) -> dict[str, str]:
    """Short names of files, of a log from Windows too."""
    rooted = {path: path.replace("\\", "/") for path in paths}
    names = labels.of_paths(rooted.values())
    return {path: names[own] for path, own in rooted.items()}


def _facts(record: RunRecord) -> list[str]:
    """The run in a few words each."""
    height, width = record.content.shape[:2]
    ended = Counter(variant.status for variant in record.variants)
    count = len(record.variants)
    facts = [
        f"{count} variants" if count > 1 else record.variants[0].label,
        f"{_text(record.config.get('steps', len(record.rows.step)))} steps",
        f"{width} × {height} pixels",
    ]
    if count > 1:
        facts += [f"{number} {status}" for status, number in ended.items()]
    return [*facts, *filter(None, [record.attributes.get("device_kind")])]


def _number(value: int | float | None) -> str:
    """A number for a person; a dash for none, NaN and infinity."""
    if value is None or not np.isfinite(value):
        return "—"
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return _short_exponent(f"{value:.4g}")


def _measured(value: int | float | None) -> str:
    """The same with as many digits as the others of its column."""
    return "—" if value is None or not np.isfinite(value) else _short_exponent(f"{value:#.4g}")


def _short_exponent(text: str) -> str:
    mantissa, _, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa.removesuffix(".")


def _sortable(value: int | float | None) -> str:
    """A number for the script; empty for what is sorted last."""
    return "" if value is None or not np.isfinite(value) else repr(value)


def _text(value: Any) -> str:
    """A setting for a person."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "—"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(each)}" for name, each in value.items())
    return _number(value) if isinstance(value, int | float | None) else str(value)


def _settings(record: RunRecord) -> dict[str, str]:
    """The settings that have a value and an influence."""
    return {
        _name(name): _text(value)
        for name, value in record.config.items()
        if name not in PLACES and value not in (None, [])
    }


def _name(name: str) -> str:
    return _NAMES.get(name, name.replace("_", " "))


def _device(record: RunRecord) -> dict[str, str]:
    """The attributes of the log, and how long it took."""
    attributes = {k: v for k, v in record.attributes.items() if k not in _UNSHOWN}
    # Programs run one after another, and no two take the same time to the nanosecond.
    programs = np.unique(_seconds(record))
    programs = programs[np.isfinite(programs)]
    facts = {
        "optimizing, seconds": _number(float(programs.sum())),
        "programs, one after another": str(len(programs)),
    }
    for name, value in attributes.items():
        if name.endswith("_json"):
            value = _parsed(value)
        if name.endswith("_sha256") or name == "git_commit":
            value = [each[:16] for each in str(value).split(",")]
        facts[_name(name)] = _text(value)
    return facts


def _parsed(text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError:
        return text


def _sha256(text: str) -> str:
    """As a content security policy names a script."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


# Tables.


def _columns(record: RunRecord) -> list[_Column]:
    variants = record.variants
    columns = [
        _Column("", "label", [v.label for v in variants]),
        *(each for each in _setting_columns(record) if len(variants) == 1 or _differs(each)),
        _Column("", "status", _statuses(record)),
    ]
    for term, title in zip(TERMS, ("total", "content", "style", "TV"), strict=True):
        finals = record.final[term].tolist() if record.final else [None] * len(variants)
        columns.append(_Column("final loss", title, finals, is_measured=True))
    seconds = _seconds(record).tolist()
    columns.append(_Column("seconds", "program", seconds, is_measured=True))
    if len(variants) > 1:
        sharing = Counter(seconds)
        shares = [each / sharing[each] for each in seconds]
        columns.append(_Column("seconds", "share", shares, is_measured=True))
    return columns


def _setting_columns(record: RunRecord) -> list[_Column]:
    variants = record.variants
    styles, starts = (_names([getattr(v, x) for v in variants]) for x in ("style", "init"))
    rates = [v.learning_rate if v.has_rate else None for v in variants]
    return [
        _Column("", "optimizer", [v.optimizer for v in variants]),
        _Column("", "learning rate", rates),
        _Column("weights", "content", [v.content_weight for v in variants]),
        _Column("weights", "style", [v.style_weight for v in variants]),
        _Column("weights", "TV", [v.tv_weight for v in variants]),
        _Column("", "style picture", [styles[v.style] for v in variants]),
        _Column("", "start", [starts[v.init] for v in variants]),
        _Column("", "seed", [v.seed for v in variants]),
    ]


def _differs(column: _Column) -> bool:
    return len(set(column.values)) > 1


def _shared_settings(record: RunRecord) -> dict[str, str]:
    """What has no column in the table of a sweep, because all variants have the same."""
    if len(record.variants) == 1:
        return {}
    columns = [each for each in _setting_columns(record) if not _differs(each)]
    return {each.name: each.texts[0] for each in columns if each.values[0] is not None}


def _statuses(record: RunRecord) -> list[str]:
    steps = record.config.get("steps")
    best, began_at_minimum, statuses = _best(record), record.began_at_minimum, []
    for i, (variant, done) in enumerate(
        zip(record.variants, record.steps_done.tolist(), strict=True)
    ):
        status = variant.status
        if began_at_minimum[i]:
            status = "finished, began at its minimum"
        elif status == "diverged":
            status = f"diverged at step {variant.diverged_step}"
        elif not done:
            status = "not started"
        elif status != "finished" or done != steps:
            status = f"{status}, {done} of {_text(steps)} steps"
        statuses.append(f"{status}, best" if i in best else status)
    return statuses


def _seconds(record: RunRecord) -> Float[np.ndarray, "v"]:
    """How long the program of each variant has run; NaN if it has not."""
    return np.fmax.reduce(record.rows.wall_time, keepdims=True, initial=np.nan)[0]


def _layer_columns(record: RunRecord) -> list[_Column]:
    """The style loss of each layer in each variant's last good row."""
    losses = record.rows.style_per_layer
    values = np.full(losses.shape[1:], np.nan)
    good = np.isfinite(losses).all(axis=-1)
    for i in np.flatnonzero(good.any(axis=0)):
        values[i] = losses[np.flatnonzero(good[:, i])[-1], i]
    return [
        _Column("", "label", [variant.label for variant in record.variants]),
        *(
            _Column("", layer, own.tolist(), is_measured=True, tints=_tints(own))
            for layer, own in zip(record.style_layers, values.T, strict=True)
        ),
    ]


def _tints(values: Float[np.ndarray, "v"]) -> list[int]:
    """Percentages that grow with the logarithms of values; those without one have none."""
    good = np.isfinite(values) & (values > 0)
    logs = np.log10(np.where(good, values, 1.0))
    if not good.any():
        return [0] * len(values)
    low, high = logs[good].min(), logs[good].max()
    places = np.where(good, (logs - low) / max(high - low, 1e-9), 0)
    return np.rint(60 * places).astype(int).tolist()


def _groups(columns: Sequence[_Column]) -> list[tuple[str, int]]:
    """The groups of columns with their widths."""
    runs = itertools.groupby(column.group for column in columns)
    return [(group, len(list(run))) for group, run in runs]


def _best(record: RunRecord) -> set[int]:
    """The variant of lowest total of each optimizer; none if the totals cannot be compared."""
    keys = ("style", "content_weight", "style_weight", "tv_weight")
    problems = {tuple(getattr(variant, key) for key in keys) for variant in record.variants}
    if record.final is None or len(problems) > 1 or len(record.variants) == 1:
        return set()
    best: dict[str, int] = {}
    totals = record.final["total"]
    for i in np.argsort(totals, kind="stable").tolist():
        variant = record.variants[i]
        if variant.status == "finished" and np.isfinite(totals[i]):
            best.setdefault(variant.optimizer, i)
    return set(best.values())


# Pictures.


def _shown(record: RunRecord) -> list[bool]:
    """Which variants have a picture; those that have not ended are black in the log."""
    return [record.images is not None and v.status != "running" for v in record.variants]


def _jpeg(picture: UInt8[np.ndarray, "h w 3"], size: int | None = None) -> str:
    """A picture as a data URI, `size` pixels at most if given."""
    image = Image.fromarray(picture)
    most = size or _LONGEST_SIDE
    image.thumbnail((most, most))
    data = io.BytesIO()
    image.save(data, "JPEG", quality=80 if size else 90, subsampling=2 if size else 0)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()


def _snapshot_steps(record: RunRecord) -> list[int]:
    """The steps whose snapshots are shown, evenly spread; none of more variants than fit."""
    variants, taken = len(record.variants), len(record.snapshot_steps)
    if variants > MAX_FULL_SIZE:
        return []
    count = min(taken, _MOST_SNAPSHOTS, _MOST_SNAPSHOTS_OF_ALL // variants)
    places = np.linspace(0, taken - 1, count).round().astype(int)
    return record.snapshot_steps[places].tolist()


def _snapshots(record: RunRecord) -> list[dict[int, str]]:
    """Of each variant the snapshots of these steps as data URIs, as far as it has them."""
    shown = _snapshot_steps(record)
    if not shown:
        return []
    size = _SNAPSHOT if len(record.variants) == 1 else _SMALL_SNAPSHOT
    found = []
    for i in range(len(record.variants)):
        steps, pictures = record.snapshots_of(i)
        taken = zip(steps.tolist(), pictures, strict=True)
        found.append({step: _jpeg(picture, size) for step, picture in taken if step in shown})
    return found


# Charts.


def _charts(record: RunRecord, panels: dict[str, list[_Curve]]) -> list[dict]:
    if not panels:
        return []
    axes = _shared_axes([curve for panel in panels.values() for curve in panel])
    keys = {} if len(record.variants) == 1 else _rate_scales(record)
    return [_chart(name, panel, axes, keys.get(name)) for name, panel in panels.items()]


def _panels(record: RunRecord) -> dict[str, list[_Curve]]:
    """The curves of each chart: an optimizer of a sweep, or the terms of a single run.

    Curves without a value are left out.
    """
    single = len(record.variants) == 1
    panels = {"": _term_curves(record)} if single else _rate_curves(record)
    panels = {name: [c for c in panel if len(c.values)] for name, panel in panels.items()}
    return {name: panel for name, panel in panels.items() if panel}


def _late(record: RunRecord, panels: dict[str, list[_Curve]]) -> dict[str, int]:
    """The curves that begin after the first row, and where: before, their loss was zero."""
    curves = [curve for panel in panels.values() for curve in panel]
    return {
        curve.name: int(curve.steps[0]) for curve in curves if curve.steps[0] > record.rows.step[0]
    }


def _term_curves(record: RunRecord) -> list[_Curve]:
    diverged = record.variants[0].status == "diverged"
    return [
        _curve(record, name.replace("_", " "), "", f"term-{name}", values[:, 0], diverged)
        for name, values in plotting.weighted_terms(record).items()
    ]


def _rate_curves(record: RunRecord) -> dict[str, list[_Curve]]:
    """The totals of the variants, by optimizer."""
    scales = _rate_scales(record)
    panels: dict[str, list[_Curve]] = {}
    for i, variant in enumerate(record.variants):
        css_class = _rate_class(variant.learning_rate, scales.get(variant.optimizer))
        totals = record.rows.total[:, i]
        curve = _curve(
            record,
            variant.label,
            variant.label.removeprefix(variant.optimizer).strip(),
            css_class,
            totals,
            variant.status == "diverged",
        )
        panels.setdefault(variant.optimizer, []).append(curve)
    return panels


def _curve(
    record: RunRecord, name: str, label: str, css_class: str, values: np.ndarray, diverged: bool
) -> _Curve:
    kept = _thinned(values)
    return _Curve(name, label or name, css_class, record.rows.step[kept], values[kept], diverged)


def _thinned(values: Float[np.ndarray, "t"]) -> Int[np.ndarray, "n"]:
    """Places of `_MAX_POINTS` values at most: the ends, lowest and highest of each stretch.

    What a log axis has no place for is left out: NaN, infinity, zero.
    """
    good = np.flatnonzero(np.isfinite(values) & (values > 0))
    if len(good) <= _MAX_POINTS:
        return good
    stretches = np.array_split(good, _MAX_POINTS // 2 - 1)
    extremes = [s[pick(values[s])] for s in stretches for pick in (np.argmin, np.argmax)]
    return np.unique([good[0], *extremes, good[-1]])


def _rate_scales(record: RunRecord) -> dict[str, tuple[float, float]]:
    """The learning rates, least and greatest, of the colors of each optimizer.

    Optimizers whose ranges overlap share a scale; plain descent, at 1e-9, has its own.
    """
    rates: dict[str, list[float]] = {}
    for variant in record.variants:
        if 0 < variant.learning_rate < np.inf:
            rates.setdefault(variant.optimizer, []).append(variant.learning_rate)
    groups: list[tuple[float, float, list[str]]] = []
    for name, own in sorted(rates.items(), key=lambda item: min(item[1])):
        if groups and groups[-1][1] >= min(own):
            low, high, names = groups.pop()
            groups.append((low, max(high, *own), [*names, name]))
        else:
            groups.append((min(own), max(own), [name]))
    return {name: (low, high) for low, high, names in groups for name in names}


def _rate_class(rate: float, scale: tuple[float, float] | None) -> str:
    if scale is None or not 0 < rate < np.inf:
        return "plain"
    low, high = np.log10(scale)
    place = (np.log10(rate) - low) / (high - low) if high > low else 0.5
    return f"level{round(place * (_LEVELS - 1))}"


def _ramp() -> list[tuple[str, str]]:
    """The colors of the levels, on a light and on a dark background."""
    light, dark = (colormaps["plasma"](np.linspace(*ends, _LEVELS)) for ends in (_LIGHT, _DARK))
    return [(to_hex(each), to_hex(other)) for each, other in zip(light, dark, strict=True)]


def _shared_axes(curves: Sequence[_Curve]) -> _Axes:
    """Ranges that hold all curves, but for what rises far above all starts: that leaves the top."""
    low = math.log10(min(curve.values.min() for curve in curves))
    start = math.log10(max(curve.values[0] for curve in curves))
    high = min(math.log10(max(curve.values.max() for curve in curves)), start + 0.5)
    # A range that holds a few ticks, with a margin.
    middle, half = (low + high) / 2, max((high - low) / 2, 0.25) * 1.04
    last = max(int(curve.steps[-1]) for curve in curves)
    return _Axes(last, middle - half, middle + half)


def _chart(
    name: str,
    curves: Sequence[_Curve],
    axes: _Axes,
    key: tuple[float, float] | None,
) -> dict:
    """Where the lines and texts of a chart are; its plot's own corner is (0, 0)."""
    labeled = len(curves) <= _MAX_LABELS
    names = labels.brief([curve.label for curve in curves], _MAX_LETTERS)
    # Dots are as wide as two letters.
    letters = max(len(name) + name.count("…") for name in names)
    right = 30 + _LETTER * letters if labeled else 12
    width, height = _WIDTH - _LEFT - right, _HEIGHT - _TOP - _BOTTOM

    def x(step):
        return step / max(axes.last_step, 1) * width

    def y(log):
        return (axes.high - log) / (axes.high - axes.low) * height

    lines, last_step = [], max(curve.steps[-1] for curve in curves)
    for curve, label in zip(curves, names, strict=True):
        logs = np.log10(curve.values)
        step, log = _visible_end(curve.steps, logs, axes.high)
        points = zip(x(curve.steps).tolist(), y(logs).tolist(), strict=True)
        lines.append(
            {
                "name": curve.name,
                "label": label,
                "css_class": curve.css_class,
                "diverged": curve.diverged,
                "points": " ".join(f"{a:.1f},{b:.1f}" for a, b in points),
                "last": _number(float(curve.values[-1])),
                "x": round(x(step), 1),
                "y": round(y(log), 1),
                "is_last": step == last_step,
            }
        )
    if labeled:
        lines.sort(key=lambda line: line["y"])
        places = plotting.spread([line["y"] for line in lines], _LINE, low=4.0, high=height - 4.0)
        lines = [
            line | {"place": round(place, 1)} for line, place in zip(lines, places, strict=True)
        ]
    return {
        "name": name,
        "description": _described(name, curves, axes),
        "lines": lines,
        "labeled": labeled,
        "width": width,
        "height": height,
        "x_ticks": [(x(tick), _number(int(tick))) for tick in _step_ticks(axes.last_step)],
        "y_ticks": [(y(np.log10(tick)), _power(tick)) for tick in _loss_ticks(axes)],
        "key": tuple(map(_number, key)) if key and key[0] < key[1] else None,
    }


def _visible_end(
    steps: Int[np.ndarray, "t"], logs: Float[np.ndarray, "t"], high: float
) -> tuple[float, float]:
    """Where a curve ends, or leaves the chart at its top for good."""
    inside = np.flatnonzero(logs <= high)
    if not len(inside):
        return float(steps[0]), high
    last = inside[-1]
    if last == len(logs) - 1:
        return float(steps[-1]), float(logs[-1])
    return float(np.interp(high, logs[last : last + 2], steps[last : last + 2])), high


def _described(name: str, curves: Sequence[_Curve], axes: _Axes) -> str:
    """A chart in words, for those who do not see it."""
    ends = sorted((float(curve.values[-1]), curve.name) for curve in curves)
    listed = ends if len(ends) <= _MAX_LABELS else [ends[0], ends[-1]]
    text = ", ".join(f"{label} {_number(value)}" for value, label in listed)
    what = f"Total loss of {len(ends)} variants of {name}" if name else "The weighted loss terms"
    return f"{what} over {axes.last_step} steps on a logarithmic axis. Last values: {text}."


def _step_ticks(last: int) -> Float[np.ndarray, "n"]:
    locator = MaxNLocator(nbins=6, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)
    ticks = np.asarray(locator.tick_values(0, max(last, 1)))
    return ticks[ticks <= max(last, 1)]


def _loss_ticks(axes: _Axes) -> list[float]:
    """Three to seven or so round numbers."""
    decades = range(int(np.floor(axes.low)), int(np.ceil(axes.high)) + 1)
    for mantissas in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
        ticks = [m * 10.0**n for n in decades for m in mantissas]
        ticks = [tick for tick in ticks if axes.low <= np.log10(tick) <= axes.high]
        if len(ticks) >= 3:
            break
    return ticks[:: -(-len(ticks) // 7)]


def _power(value: float) -> str:
    """A tick: 10⁸, 3·10⁸; small numbers as they are."""
    mantissa, exponent = f"{value:.1e}".split("e")
    if -3 <= int(exponent) <= 3:
        return f"{value:g}"
    power = "10" + str(int(exponent)).translate(str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"))
    mantissa = mantissa.removesuffix(".0")
    return power if mantissa == "1" else f"{mantissa}·{power}"
