"""Judges of what a run has painted: their networks, and what they say of each saved picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from nst_jax import alexnet, metrics, squeezenet, weights
from nst_jax import image as images
from nst_jax.metrics import Judges
from nst_jax.report import terms
from nst_jax.report.verdicts import Verdict
from nst_jax.runlog import RunRecord, Variant, ended, parse_json
from nst_jax.runlog.writing import RunLog
from nst_jax.runs import resumption
from nst_jax.runs.problem import Pictures
from nst_jax.system import plain
from nst_jax.system.console import Say
from nst_jax.system.interrupts import StopRequest


class Panel(NamedTuple):
    """The judges of a run.

    Attributes:
      judges: their networks.
      hashes: of their files, as attributes of a log.
    """

    judges: Judges
    hashes: Mapping[str, str]


def load_panel(source: str | Path | None = None, *, say: Say) -> Panel:
    """The networks that judge; those that are nowhere are left out, and that is said.

    Args:
      source: see `weights.load_judges`.
      say: gets a line for each that is left out.

    Raises:
      ValueError, OSError: a folder that is named is not there, or a file is damaged.
    """
    found = weights.load_judges(source)
    for line in found.missing:
        say(f"note: {line}")
    judges = Judges(
        alexnet=None if found.alexnet is None else alexnet.feature_fn(found.alexnet),
        linear=None if found.lpips is None else _by_layer(found.lpips),
        squeezenet=None
        if found.squeezenet is None
        else squeezenet.feature_fn(found.squeezenet, ("conv10",), convention=found.convention),
    )
    return Panel(judges, {f"{name}_sha256": each for name, each in found.hashes.items()})


def _by_layer(linear: Mapping[str, np.ndarray]) -> dict[str, Array]:
    """LPIPS's weights by AlexNet's layers."""
    return {
        layer: jnp.asarray(linear[f"lin{i}"]) for i, layer in enumerate(alexnet.LAYERS, start=1)
    }


def check_sizes(pictures: Mapping[str, Pictures]) -> None:
    """Refuses pictures that are too small to be judged.

    Args:
      pictures: of each content, by its name.

    Raises:
      ValueError: one line that names the picture.
    """
    for content, own in pictures.items():
        which = f" {content}" if len(pictures) > 1 else ""
        metrics.check_size(f"the content{which}", own.content.shape)
        for name, style in own.styles.items():
            metrics.check_size(name, style.shape)


def judge(
    log: RunLog,
    variants: Sequence[Variant],
    pictures: Mapping[str, Pictures],
    judges: Judges,
    request: StopRequest,
) -> None:
    """Judges the saved pictures that have not been judged yet, into the log.

    Args:
      log: of the run, with room for the metrics.
      variants: all of it.
      pictures: that the run was made of, by content.
      judges: the networks.
      request: of a signal, looked at between two pictures.
    """
    for i in log.not_judged():
        if request:
            return
        own = pictures[variants[i].content]
        painted = images.from_uint8(log.picture(i, own.content.shape))
        found = metrics.measure(painted, own.content, own.styles[variants[i].style], judges)
        values = {name: np.array([value], np.float32) for name, value in found.items()}
        log.write_metrics(values, slice(i, i + 1))


def of_log(record: RunRecord, judges: Judges) -> list[Verdict]:
    """Judges every picture of a log whose variant has ended, anew.

    Raises:
      ValueError: there is none, or the pictures are too small; one line.
    """
    if not any(map(ended, record.variants)):
        raise ValueError(f"{record.path} has no picture to judge: no variant has ended")
    pictures = {name: _pictures_of(record, name) for name in record.contents}
    with resumption.about(record.path):
        check_sizes(pictures)
    return [
        Verdict(
            str(record.path),
            variant.label,
            metrics.measure(
                images.from_uint8(record.picture_of(i)),
                pictures[variant.content].content,
                pictures[variant.content].styles[variant.style],
                judges,
            ),
            terms.asked_for(record, i),
        )
        for i, variant in enumerate(record.variants)
        if ended(variant)
    ]


def _pictures_of(record: RunRecord, content: str) -> Pictures:
    """A content of a log with its styles, in the colors in which it was painted after them."""
    picture = images.from_uint8(record.contents[content])
    styles = {name: images.from_uint8(style) for name, style in record.styles.items()}
    # Of one content the log has the styles as they were used.
    if record.config.get("colors") == "matched" and len(record.contents) > 1:
        styles = {name: images.match_colors(style, picture) for name, style in styles.items()}
    return Pictures(picture, styles, {})


def of_picture(
    path: Path, content: Path, style: Path, judges: Judges, *, style_size: int | None = None
) -> Verdict:
    """Judges a picture of any program.

    Args:
      path: the picture.
      content: brought to its size.
      style: the style picture.
      judges: the networks.
      style_size: its longest side in pixels; None: that of the picture.

    Raises:
      ValueError, OSError: a file is no picture, too small, or the content of another shape.
    """
    image = images.load(path)
    painting = images.load(style, size=style_size or max(image.shape[:2]))
    for name, picture in ((path, image), (style, painting)):
        metrics.check_size(str(name), picture.shape)
    kept = _of_same_size(content, path, *image.shape[:2])
    found = metrics.measure(image, kept, painting, judges)
    return Verdict(str(path), None, found, _asked_for(path))


def _of_same_size(content: Path, path: Path, height: int, width: int) -> np.ndarray:
    """The content in the size of a picture that was made of it."""
    image = images.load(content, size=max(height, width), enlarge=True)
    # Programs round sides up or down, some to multiples of 8 or 32.
    sides = zip(image.shape[:2], (height, width), strict=True)
    if any(abs(own - other) > 2 + other // 20 for own, other in sides):
        raise ValueError(
            f"{path} has {width} x {height} pixels, and {content} in its size "
            f"{image.shape[1]} x {image.shape[0]}: give the content that it was made of"
        )
    return images.resize(image, height, width)


def _asked_for(path: Path) -> terms.AskedFor | None:
    """What the objective of a picture asked for, if its file says it."""
    try:
        asked = parse_json(images.read_metadata(path)[terms.ASKED_FOR], dict)
        found: terms.AskedFor = plain.read(asked, terms.AskedFor)
    # Another program made the picture, or somebody has changed the text.
    except (KeyError, ValueError, TypeError):
        return None
    return found
