"""What judges say of pictures, as text, as JSON, and as columns of the page."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from nst_jax import metrics
from nst_jax.report import terms
from nst_jax.report.tables import Column
from nst_jax.report.terms import AskedFor
from nst_jax.runlog import RunRecord, labels

# Pictures side by side in a text, and letters of the name of one.
_MOST_COLUMNS, _MOST_LETTERS = 4, 24
_MARK = "*"
_ACRONYMS = ("ssim", "psnr", "lpips")


class Verdict(NamedTuple):
    """What judges say of one picture.

    Attributes:
      picture: its file, or the log that holds it.
      variant: its label in the log; None of a file.
      metrics: by the names of `metrics.METRICS`.
      asked_for: what its objective asked for; None: its file does not say.
    """

    picture: str
    variant: str | None
    metrics: Mapping[str, float]
    asked_for: AskedFor | None

    @property
    def name(self) -> str:
        """As a heading."""
        return labels.on_one_line(self.variant or self.picture)

    @property
    def optimized(self) -> dict[str, str]:
        """By metric why it is no judge here."""
        if self.asked_for is None:
            return {}
        return metrics.optimized(self.metrics, arch=self.asked_for.arch, kinds=self.asked_for.kinds)


def logged(record: RunRecord) -> list[Verdict]:
    """What a log holds of each variant; nothing of a run that was not judged."""
    return [
        Verdict(
            str(record.path),
            variant.label,
            {name: float(record.metrics[name][i]) for name in metrics.in_order(record.metrics)},
            terms.asked_for(record, i),
        )
        for i, variant in enumerate(record.variants)
        if record.metrics
    ]


def as_json(verdict: Verdict) -> str:
    """One flat object; a value that is not finite is null.

    `optimized` names, with commas, the metrics that the objective lowered itself; it is null where
    the file does not say what was optimized.
    """
    values = {name: x if np.isfinite(x) else None for name, x in verdict.metrics.items()}
    marked = None if verdict.asked_for is None else ",".join(verdict.optimized)
    origin = {"picture": verdict.picture, "variant": verdict.variant}
    return json.dumps({**origin, **values, "optimized": marked}, allow_nan=False)


def as_text(verdicts: Sequence[Verdict]) -> str:
    """A table: a line a metric, a column a picture; of many pictures several such tables."""
    files = labels.of_paths([verdict.picture for verdict in verdicts])
    names = [_heading(each, files) for each in verdicts]
    heads = labels.brief(names, _MOST_LETTERS)
    columns = list(zip(heads, verdicts, strict=True))
    parts = [columns[i : i + _MOST_COLUMNS] for i in range(0, len(columns), _MOST_COLUMNS)]
    return "\n\n".join(map(_table, parts))


def _heading(verdict: Verdict, files: Mapping[str, str]) -> str:
    """The file, unless it is the only one and has variants; and the variant."""
    file = files[verdict.picture] if len(files) > 1 or not verdict.variant else ""
    return labels.on_one_line(f"{file} {verdict.variant or ''}".strip())


def _table(columns: Sequence[tuple[str, Verdict]]) -> str:
    width = 2 + max(10, *(len(head) for head, _ in columns))
    lines = [f"{'':<24}" + "".join(f"{head:>{width}} " for head, _ in columns).rstrip()]
    for name in columns[0][1].metrics:
        values = "".join(f"{_text(verdict, name):>{width + 1}}" for _, verdict in columns)
        lines.append(f"{_indented(name):<24}{values}  {_explained(name)}".rstrip())
    return "\n".join(lines)


def _text(verdict: Verdict, name: str) -> str:
    value = verdict.metrics[name]
    mark = _MARK if name in verdict.optimized else " "
    return ("-" if np.isnan(value) else f"{value:.4g}") + mark


def _indented(name: str) -> str:
    return f"  {name}" if _is_detail(name) else name


def _explained(name: str) -> str:
    metric = metrics.METRICS.get(name)
    return f"{metric.better}: {metric.meaning}" if metric else ""


def notes(verdicts: Sequence[Verdict]) -> list[str]:
    """What has to be read beside the numbers, a line each."""
    shown = {name for each in verdicts for name in each.metrics}
    unknown = [each.name for each in verdicts if each.asked_for is None]
    lines = [metrics.CAUTION] if shown & set(metrics.PUNISHES_STYLE) else []
    if unknown:
        lines.append(
            f"{', '.join(unknown)}: the file does not say what was optimized; a metric that was is "
            "no judge"
        )
    return [*lines, *_doubts(verdicts)]


def _doubts(verdicts: Sequence[Verdict]) -> list[str]:
    """Which metrics are no judges, or of another style, and of which nobody can tell."""
    reasons = {
        name: reason
        for each in verdicts
        for name, reason in each.optimized.items()
        if not _is_detail(name)
    }
    asked_for = [each.asked_for for each in verdicts if each.asked_for]
    guides = dict.fromkeys(option for each in asked_for for option in each.guides)
    own = dict.fromkeys(kind for each in asked_for for kind in each.kinds if ":" in kind)
    return [
        *(
            f"{_title(name, [name])} is no judge{_of_how_many(name, verdicts)}: {reason}"
            for name, reason in reasons.items()
        ),
        *(f"whether {kind} lowers a metric itself, only its author can tell" for kind in own),
        *(
            f"the run had --{option.replace('_', '-')}: metrics compare with the whole of the "
            "style picture alone"
            for option in guides
        ),
    ]


def _of_how_many(name: str, verdicts: Sequence[Verdict]) -> str:
    """Of how many pictures a metric is none, if not of all."""
    count = sum(name in each.optimized for each in verdicts)
    return " here" if count == len(verdicts) else f" of {count} of the {len(verdicts)} pictures"


def columns(record: RunRecord) -> list[Column]:
    """The metrics of each variant; parts of others are in the log alone."""
    shown = _shown(record)
    marked = {name for verdict in logged(record) for name in verdict.optimized}
    measured = (
        Column("", _title(name, marked), record.metrics[name].tolist(), is_measured=True)
        for name in shown
    )
    return [Column("", "label", [v.label for v in record.variants]), *measured] if shown else []


def directions(record: RunRecord) -> dict[str, list[str]]:
    """The titles of the metrics by which values are the better ones."""
    found: dict[str, list[str]] = {}
    for name in _shown(record):
        if name in metrics.METRICS:
            found.setdefault(metrics.METRICS[name].better, []).append(_title(name))
    return found


def cautions(record: RunRecord) -> list[str]:
    """What has to be read beside the columns, a sentence each."""
    return [f"{line[:1].upper()}{line[1:].rstrip('.')}." for line in notes(logged(record))]


def _shown(record: RunRecord) -> list[str]:
    return [name for name in metrics.in_order(record.metrics) if not _is_detail(name)]


def _is_detail(name: str) -> bool:
    return name in metrics.METRICS and metrics.METRICS[name].is_detail


def _title(name: str, marked: Iterable[str] = ()) -> str:
    title = name.upper() if name in _ACRONYMS else name.replace("_", " ")
    return title + (_MARK if name in marked else "")
