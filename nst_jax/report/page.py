"""One self-contained HTML page of a run log: it opens from disk and fetches nothing.

Everything the page says of a run goes through the template, which escapes it; its script reads
no data but the text of the page, and its content security policy allows no other script.
"""

import base64
import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from nst_jax.config import PLACES
from nst_jax.report import charts, colors, pairs, pictures, tables, terms, verdicts, words
from nst_jax.runlog import RunRecord, parse_json
from nst_jax.system import files

_UNSHOWN = {
    *("schema", "schema_version", "status", "command", "pid"),
    *("config_json", "plans_json", "terms_json"),
}


def write(record: RunRecord, path: Path) -> None:
    """Writes the page of a run; the file is whole or absent."""
    with files.replacing(path) as temporary:
        # A file name that is no Unicode must not cost the page.
        temporary.write_text(render(record), encoding="utf-8", errors="replace")


def render(record: RunRecord) -> str:
    """The page of a run, single or sweep, as HTML; of a running or interrupted one too.

    Up to `pictures.MAX_FULL_SIZE` variants it holds the pictures, `pictures.LONGEST_SIDE` pixels
    long at most, of more only thumbnails; curves are thinned to a few hundred points.
    """
    panels = charts.panels(record)
    return _template().render(
        title=_title(record),
        record=record,
        facts=_facts(record),
        names=_names(record),
        pairs=pairs.of(record),
        pair_size=pairs.size(record),
        best=tables.best(record),
        columns=tables.variants(record),
        shared=tables.shared_settings(record),
        layers=tables.layers(record),
        judged=verdicts.columns(record),
        directions=verdicts.directions(record),
        cautions=verdicts.cautions(record),
        charts=charts.charts(record, panels),
        late=charts.late(record, panels),
        frame=charts.FRAME,
        snapshots=pictures.snapshots(record),
        snapshot_steps=pictures.snapshot_steps(record),
        shown=pictures.shown(record),
        has_full_size=len(record.variants) <= pictures.MAX_FULL_SIZE,
        thumbnail=pictures.THUMBNAIL,
        settings=_settings(record),
        device=_device(record),
        summands=record.terms,
        term_colors=colors.of_terms(record.terms),
        ramp=colors.ramp(),
        is_preview=record.attributes.get("weights_name") == "random",
    )


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("nst_jax.report", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "groups": tables.groups,
        "jpeg": pictures.jpeg,
        "sha256": _sha256,
        "sortable": words.sortable,
        "term_title": terms.title,
    }
    return environment.get_template("report.html.jinja")


def _sha256(text: str) -> str:
    """The hash of a script as a content security policy names it."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _names(record: RunRecord) -> dict[str, str]:
    """Short names of contents and styles by those that the variants give them."""
    # Another program may have left the name of the only content to the settings.
    known = {name: name or str(record.config.get("content") or "") for name in record.contents}
    known = {name: path or record.path.name for name, path in known.items()}
    short = words.of_files([*known.values(), *record.styles])
    return {name: short[name] for name in record.styles} | {
        name: short[path] for name, path in known.items()
    }


def _title(record: RunRecord) -> str:
    names = _names(record)
    count = len(record.contents)
    contents = f"{count} pictures" if count > 1 else names[next(iter(record.contents))]
    styles = [names[name] for name in record.styles]
    if len(styles) > 3:
        return f"{contents} in {len(styles)} styles"
    return f"{contents} in the style of {' or '.join(styles)}"


def _facts(record: RunRecord) -> list[str]:
    """The run in a few words each."""
    shapes = dict.fromkeys(picture.shape[:2] for picture in record.contents.values())
    sizes = [f"{width} × {height}" for height, width in shapes]
    ended = Counter(variant.status for variant in record.variants)
    count = len(record.variants)
    facts = [
        f"{count} variants" if count > 1 else record.variants[0].label,
        f"{words.text(record.config.get('steps', len(record.rows.step)))} steps",
        f"{', '.join(sizes)} pixels" if len(sizes) <= 3 else f"pictures of {len(sizes)} shapes",
    ]
    if count > 1:
        facts += [f"{number} {status}" for status, number in ended.items()]
    return [*facts, *filter(None, [record.attributes.get("device_kind")])]


def _settings(record: RunRecord) -> dict[str, str]:
    """The settings that have a value and an influence."""
    own = {f"term {name}": text for name, text in terms.described(record).items()}
    return own | {
        words.setting(name): words.text(value)
        for name, value in record.config.items()
        if name not in (*PLACES, "terms") and value not in (None, [])
    }


def _device(record: RunRecord) -> dict[str, str]:
    """How long the run took, and the attributes of the log."""
    # Programs run one after another, and no two take the same time to the nanosecond.
    programs = np.unique(tables.program_seconds(record))
    programs = programs[np.isfinite(programs)]
    return {
        "optimizing, seconds": words.number(float(programs.sum())),
        "programs, one after another": str(len(programs)),
    } | {
        words.setting(name): words.text(_attribute(name, value))
        for name, value in record.attributes.items()
        if name not in _UNSHOWN
    }


def _attribute(name: str, value: Any) -> Any:
    """An attribute of the log as a setting: JSON parsed, hashes short."""
    if name.endswith("_json"):
        value = _parsed(value)
    if name.endswith("_sha256") or name == "git_commit":
        value = [each[:16] for each in str(value).split(",")]
    return value


def _parsed(text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError:
        return text
