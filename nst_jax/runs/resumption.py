"""What a log says about how to go on with its run or repeat it: it may come from a stranger."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nst_jax import backend, compiler, vgg
from nst_jax.choices import Convolutions, Precision, check_choice
from nst_jax.config import Config, VideoConfig, at_last_stage, check_functions, from_json
from nst_jax.runlog import RunRecord, parse_json
from nst_jax.runs import plans
from nst_jax.runs.grid import SHARE, Share, variants_of
from nst_jax.strips import Division
from nst_jax.system import environment

_HASHES = ("content_sha256", "style_sha256", "weights_sha256")
_NEEDED = ("plans_json", "compile_seconds", *_HASHES)


class Resumption(NamedTuple):
    """The settings of a run, its share of the variants, its programs, and how it is computed."""

    config: Config
    share: Share
    plans: list[plans.Plan]
    form: vgg.Form | None
    division: Division


def read(record: RunRecord, *, own_terms: bool = False) -> Resumption:
    """What is needed to go on with a run.

    Args:
      record: its log.
      own_terms: whether functions that it names as terms may be imported.

    Raises:
      ValueError: the log does not say it, contradicts itself, or names functions.
    """
    attributes = record.attributes
    for name in _NEEDED:
        if name not in attributes:
            raise ValueError(f"its attribute {name} is missing")
    if not isinstance(environment.versions_of(attributes).get("nst_jax"), str):
        raise ValueError("its attribute versions_json does not tell the version of nst_jax")
    config = replace(from_json(record.config), own_terms=own_terms)
    check_functions(config.term, own_terms)
    share = Share(*(attributes.get(name, part) for name, part in SHARE.items()))
    if not 0 <= share.number < share.total:
        raise ValueError(f"its share is {share.number} of {share.total}")
    # Those of a video are of one frame.
    if config.steps != record.capacity and not isinstance(config, VideoConfig):
        raise ValueError(f"it has room for {record.capacity} steps, not for {config.steps}")
    count = len(variants_of(config)[share.columns])
    if count != len(record.variants):
        raise ValueError(f"it has {len(record.variants)} variants, its settings {count}")
    _check_sizes(record, config)
    listed = parse_json(attributes["plans_json"], list)
    own_plans = plans.from_json(listed, count, record.capacity)
    return Resumption(config, share, own_plans, _form(attributes), _division(attributes))


def _form(attributes: Mapping[str, Any]) -> vgg.Form | None:
    """That of the network; None of older logs, which do not tell it whole."""
    if "convolutions" not in attributes:
        return None
    check_choice("precision", attributes.get("precision"), Precision)
    check_choice("convolutions", attributes["convolutions"], Convolutions)
    return vgg.Form(attributes["precision"], attributes["convolutions"])


def _division(attributes: Mapping[str, Any]) -> Division:
    """That of the pictures; logs from before strips have none."""
    found = {name: attributes.get(name, 0) for name in Division._fields}
    for name, value in found.items():
        if not isinstance(value, int | np.integer) or value < 0:
            raise ValueError(f"its attribute {name} is {value!r:.40}, expected a number from 0 up")
    return Division(**{name: int(value) for name, value in found.items()})


def check_form(form: vgg.Form | None) -> None:
    """Refuses a form of the network that this machine has not: it would be another program.

    Raises:
      ValueError: oneDNN in bfloat16 is not to be had here.
    """
    if form is None or form.convolutions != "onednn":
        return
    where = None if backend.platform() == "cpu" else "this device is no CPU"
    if obstacle := where or compiler.obstacle_to_bfloat16():
        raise ValueError(
            f"its convolutions went by oneDNN in bfloat16, and {obstacle}: go on where it was "
            "made, or start it anew"
        )


def _check_sizes(record: RunRecord, config: Config) -> None:
    """Refuses sizes that are not those of the log's pictures: larger ones may not fit."""
    content_size, style_size = at_last_stage(config).longest_sides
    pictures = [(picture, content_size) for picture in record.contents.values()]
    pictures += [(picture, style_size) for picture in record.styles.values()]
    for picture, size in pictures:
        if size is None:
            continue
        height, width = picture.shape[:2]
        longest = max(height, width)
        if longest > size or (config.enlarge and longest < size):
            raise ValueError(f"a picture has {width} x {height} pixels, its settings say {size}")


@contextmanager
def about(path: Path) -> Iterator[None]:
    """Names the log in what is wrong with its settings."""
    try:
        yield
    except (ValueError, OSError) as error:
        kind = ValueError if isinstance(error, ValueError) else OSError
        raise kind(f"{path} cannot be used: {error}") from error
