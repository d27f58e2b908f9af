"""Looking at things: figures and text of a run log, filters and feature maps of a network."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from nst_jax import image as images
from nst_jax import report, runlog, vgg, weights
from nst_jax.choices import Arch
from nst_jax.report import plotting
from nst_jax.runlog import labels
from nst_jax.system import files
from nst_jax.system.console import inform

# Of a variant's label, beside the numbers of its line.
_MOST_LETTERS = 60


def plot(log: Path, folder: Path, *, force: bool = False) -> None:
    """Redraws losses.png and overview.png from a run log, a running one too."""
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
    """Writes the page of a run log."""
    record = runlog.load(log)
    files.check_output(output, force=force, suffixes=(".html",))
    report.write(record, output)
    inform(f"wrote {output}")


def show(log: Path) -> str:
    """What a run log holds, as text for a person."""
    record = runlog.load(log)
    rows = record.rows
    # Also logs that other programs wrote: what they did not say is unknown.
    attributes = defaultdict(lambda: "unknown", record.attributes)
    steps = len(rows.step)
    seconds = f"{rows.wall_time[-1].max():.1f} s" if steps else "no step yet"
    height, width = record.content.shape[:2]
    lines = [
        f"{log}: {record.status}, {len(record.variants)} variant(s), {steps} steps, {seconds}",
        f"created    {attributes['created_utc']} by: {attributes['command']}",
        *([f"goes on    from {attributes['parent']}"] if "parent" in attributes else []),
        f"device     {attributes['device_kind']} ({attributes['backend']}), "
        f"{attributes['precision']} ({attributes['convolutions']}), driver {attributes['driver']}, "
        f"compiled in {record.attributes.get('compile_seconds', np.nan):.1f} s",
        f"weights    {attributes['weights_name']}, sha256 {attributes['weights_sha256'][:16]}",
        f"pictures   {width} x {height} pixels, {len(record.snapshot_steps)} snapshot(s)",
        f"versions   {attributes['versions_json']}",
        "settings",
        *(f"  {_text(name):<17} {_text(value)}" for name, value in record.config.items()),
        "",
    ]
    names = labels.brief([" ".join(v.label.split()) for v in record.variants], _MOST_LETTERS)
    width = max(20, *map(len, names))
    lines.append(
        f"   # {'variant':<{width}} {'status':<12} {'first total':>12} {'last total':>12} "
        f"{'saved':>12}"
    )
    for i, (variant, name) in enumerate(zip(record.variants, names, strict=True)):
        ends = (rows.total[0, i], rows.total[-1, i]) if steps else (np.nan, np.nan)
        saved = record.final["total"][i] if record.final else np.nan
        numbers = " ".join(f"{value:12.5g}" for value in (*ends, saved))
        lines.append(f"{i + 1:4} {name:<{width}} {variant.status:<12} {numbers}")
    return "\n".join(lines)


def _text(value: Any) -> str:
    """A setting on one line."""
    if isinstance(value, list):
        return " ".join(map(_text, value)) or "none"
    return "none" if value is None else " ".join(str(value).split())


def layer_table(arch: Arch = "vgg19", size: int = 224) -> str:
    """The layers of a network as a table (Figure 2): name, shape, parameters, receptive field.

    Args:
      arch: "vgg19" or "vgg16".
      size: side of the picture for which the shapes are stated.
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
    """Which weights would be used, from where, with hash and licence, as text for a person."""
    resolution = weights.resolve(source, arch=arch)
    facts = weights.describe(resolution)
    lines = [resolution.description]
    lines += [f"  {name:<13} {value}" for name, value in facts.items() if value is not None]
    lines += [f"  passed over   {place}" for place in resolution.tried]
    return "\n".join(lines)


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
