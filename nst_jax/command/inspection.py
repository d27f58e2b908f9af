"""Looking at things: figures and text of a run log, filters and feature maps of a network."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from nst_jax import image as images
from nst_jax import report, runlog, vgg, weights
from nst_jax.choices import Arch
from nst_jax.report import plotting, terms, verdicts
from nst_jax.runlog import labels
from nst_jax.system import files
from nst_jax.system.console import inform

# A variant's label may take so many letters of a line; its numbers need the rest.
_MOST_LETTERS = 60


def plot(log: Path, folder: Path, *, force: bool = False) -> None:
    """Redraws losses.png and overview.png from a run log; the run may still be going on.

    Args:
      log: the run log.
      folder: where the figures go.
      force: overwrite existing figures.

    Raises:
      ValueError: the log holds no step yet, or is no run log.
      OSError: the log cannot be read, or a figure exists or cannot be written.
    """
    record = runlog.load(log)
    if not len(record.rows.step):
        raise ValueError(f"{log} holds no step yet; wait for the first and plot again")
    figures = {folder / "losses.png": plotting.loss_curves}
    if record.images is not None or len(record.snapshots):
        figures[folder / "overview.png"] = plotting.overview
    for path in figures:
        files.check_output(path, force=force)
    for path, draw in figures.items():
        plotting.save(draw(record), path)
        inform(f"wrote {path}")


def write_report(log: Path, output: Path, *, force: bool = False) -> None:
    """Writes the page of a run log.

    Args:
      log: the run log.
      output: the page (.html).
      force: overwrite an existing page.

    Raises:
      ValueError: another ending, or the log is no run log.
      OSError: the log cannot be read, or the page exists or cannot be written.
    """
    record = runlog.load(log)
    files.check_output(output, force=force, suffixes=(".html",))
    report.write(record, output)
    inform(f"wrote {output}")


def show(log: Path) -> str:
    """What a run log holds, as text for a person.

    Args:
      log: the run log.

    Raises:
      ValueError, OSError: it cannot be read, or is no run log.
    """
    record = runlog.load(log)
    return "\n".join(
        [*_heading(log, record), "", *_lines_of_variants(record), *_lines_of_metrics(record)]
    )


def _heading(log: Path, record: runlog.RunRecord) -> list[str]:
    # Another program may have written the log, and left attributes out.
    attributes = defaultdict(lambda: "unknown", record.attributes)
    steps = len(record.rows.step)
    seconds = f"{record.rows.wall_time[-1].max():.1f} s" if steps else "no step yet"
    return [
        f"{log}: {record.status}, {len(record.variants)} variant(s), {steps} steps, {seconds}",
        f"created    {attributes['created_utc']} by: {attributes['command']}",
        *([f"goes on    from {attributes['parent']}"] if "parent" in attributes else []),
        f"device     {attributes['device_kind']} ({attributes['backend']}), "
        f"{attributes['precision']} ({attributes['convolutions']}), driver {attributes['driver']}, "
        f"compiled in {record.attributes.get('compile_seconds', np.nan):.1f} s",
        f"weights    {attributes['weights_name']}, sha256 {attributes['weights_sha256'][:16]}",
        f"pictures   {_sizes(record)}, {len(record.snapshot_steps)} snapshot(s)",
        f"versions   {attributes['versions_json']}",
        "terms",
        *(f"  {name:<17} {text}" for name, text in terms.described(record).items()),
        "settings",
        *(
            f"  {_text(name):<17} {_text(value)}"
            for name, value in record.config.items()
            if name != "terms"
        ),
    ]


def _sizes(record: runlog.RunRecord) -> str:
    shapes = dict.fromkeys(picture.shape[:2] for picture in record.contents.values())
    sizes = ", ".join(f"{width} x {height}" for height, width in shapes)
    count = len(record.contents)
    return f"{count} contents of {sizes} pixels" if count > 1 else f"{sizes} pixels"


def _lines_of_variants(record: runlog.RunRecord) -> list[str]:
    """How each variant began and ended; NaN for what it has not reached."""
    totals = record.rows.total
    names = labels.brief([" ".join(v.label.split()) for v in record.variants], _MOST_LETTERS)
    width = max(20, *map(len, names))
    lines = [
        f"   # {'variant':<{width}} {'status':<12} {'first total':>12} {'last total':>12} "
        f"{'saved':>12}"
    ]
    for i, (variant, name) in enumerate(zip(record.variants, names, strict=True)):
        ends = (totals[0, i], totals[-1, i]) if len(totals) else (np.nan, np.nan)
        saved = record.final["total"][i] if record.final else np.nan
        numbers = " ".join(f"{value:12.5g}" for value in (*ends, saved))
        lines.append(f"{i + 1:4} {name:<{width}} {variant.status:<12} {numbers}")
    return lines


def _lines_of_metrics(record: runlog.RunRecord) -> list[str]:
    """What judges say of each variant; nothing of a run that was not judged."""
    found = verdicts.logged(record)
    return ["", verdicts.as_text(found), *verdicts.notes(found)] if found else []


def _text(value: Any) -> str:
    """A setting on one line."""
    if isinstance(value, list):
        return " ".join(map(_text, value)) or "none"
    return "none" if value is None else " ".join(str(value).split())


def layer_table(arch: Arch = "vgg19", size: int = 224) -> str:
    """The layers of a network as a table (Figure 2): name, shape, parameters, receptive field.

    Args:
      arch: "vgg19" or "vgg16".
      size: side of the picture for which the shapes are stated, at least 32 pixels.

    Raises:
      ValueError: the size is smaller: five poolings would leave nothing of it.
    """
    if size < 32:
        raise ValueError(f"the size must be at least 32, got {size}")
    lines = [f"{'layer':<14} {'output':>15} {'parameters':>12} {'receptive field':>16}"]
    layers = vgg.architecture(arch)
    for layer in layers:
        shape = " x ".join(str(n) for n in layer.output_shape(size, size))
        lines.append(
            f"{layer.name:<14} {shape:>15} {layer.num_parameters:>12,} "
            f"{layer.receptive_field:>13} px"
        )
    total = sum(layer.num_parameters for layer in layers)
    lines.append(f"{'total':<14} {'':>15} {total:>12,}")
    lines.append("The fully connected layers of the classifier are left out, as in the report.")
    return "\n".join(lines)


def weights_info(source: str | None = None, arch: Arch = "vgg19") -> str:
    """Which weights would be used, from where, with hash and licence, and which judges; as text.

    Args:
      source: as `weights.load_params`.
      arch: "vgg19" or "vgg16".

    Raises:
      ValueError, OSError: as `weights.describe`.
    """
    resolution = weights.resolve(source, arch=arch)
    facts = weights.describe(resolution)
    lines = [resolution.description]
    lines += [f"  {name:<13} {value}" for name, value in facts.items() if value is not None]
    lines += [f"  passed over   {place}" for place in resolution.tried]
    lines += _judges_info()
    return "\n".join(lines)


def _judges_info() -> list[str]:
    """Which judges would be used; a wrong folder must not hide the weights."""
    try:
        judges, missing = weights.find_judges()
    except OSError as error:
        return [f"no judges: {error}"]
    found = [f"judge {arch}: {path}" for arch, path in judges.items()]
    return found + [f"judge missing: {line}" for line in missing]


def draw_features(
    picture: Path,
    folder: Path,
    *,
    layer: str,
    size: int,
    arch: Arch = "vgg19",
    source: str | None = None,
    force: bool = False,
) -> None:
    """Writes the filters of a layer (Figure 4) and its feature maps (Figure 5) into a folder.

    A pooling layer has no filters: only its maps are drawn.

    Args:
      picture: the file.
      folder: where the figures go.
      layer: by any of its names.
      size: longest side of the picture in pixels.
      arch: "vgg19" or "vgg16".
      source: as `weights.load_params`.
      force: overwrite existing figures.

    Raises:
      ValueError: an unknown layer, a size below 1, a file that is no picture or holds no weights.
      OSError: a file cannot be read, or a figure exists or cannot be written.
    """
    name = vgg.canonical_name(layer, arch)
    maps_path, filters_path = folder / f"{name}_maps.png", folder / f"{name}_filters.png"
    has_filters = "conv" in name
    for path in (maps_path, filters_path)[: 1 + has_filters]:
        files.check_output(path, force=force)
    if size < 1:
        raise ValueError(f"the size must be at least 1, got {size}")
    with images.notes(inform):
        image = images.load(picture, size=size)
    params = weights.load_params(source, arch=arch)
    maps = np.asarray(vgg.extract_features(params, image, [name], arch=arch)[name])
    height, width, channels = maps.shape
    title = f"{name}: {channels} feature maps of {width} x {height}, each scaled to its own maximum"
    plotting.save(plotting.feature_maps(maps, title=title), maps_path)
    inform(f"wrote {maps_path}")
    if has_filters:
        kernel = np.asarray(params[name]["kernel"])
        kind = "as colors" if kernel.shape[2] == 3 else "strongest input channel of each"
        title = f"{name}: {kernel.shape[3]} filters of 3 x 3, {kind}"
        plotting.save(plotting.filters(kernel, title=title), filters_path)
        inform(f"wrote {filters_path}")
