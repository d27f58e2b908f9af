"""Numbers, settings and names as a person reads them on the page."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nst_jax.runlog import labels

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
    "alexnet_sha256": "AlexNet that judged, SHA-256",
    "squeezenet_sha256": "SqueezeNet that judged, SHA-256",
    "git_dirty": "checkout changed",
}
_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def number(value: int | float | None) -> str:
    """A number in four digits at most; a dash for none, NaN and infinity."""
    if value is None or not np.isfinite(value):
        return "—"
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return _short_exponent(f"{value:.4g}")


def measured(value: int | float | None) -> str:
    """A number in exactly four digits, as the others of its column; a dash as `number`."""
    return "—" if value is None or not np.isfinite(value) else _short_exponent(f"{value:#.4g}")


def _short_exponent(text: str) -> str:
    mantissa, _, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa.removesuffix(".")


def sortable(value: int | float | None) -> str:
    """A number for the script that sorts; empty for what is sorted last."""
    return "" if value is None or not np.isfinite(value) else repr(value)


def power(value: float) -> str:
    """A tick of a logarithmic axis: 10⁸, 3·10⁸; from 0.001 to 1000 as it is."""
    mantissa, exponent = f"{value:.1e}".split("e")
    if -3 <= int(exponent) <= 3:
        return f"{value:g}"
    ten = "10" + str(int(exponent)).translate(_RAISED)
    mantissa = mantissa.removesuffix(".0")
    return ten if mantissa == "1" else f"{mantissa}·{ten}"


def text(value: Any) -> str:
    """The value of a setting."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(text, value)) or "—"
    if isinstance(value, dict):
        return ", ".join(f"{name} {text(each)}" for name, each in value.items())
    return number(value) if isinstance(value, int | float | None) else str(value)


def setting(name: str) -> str:
    """The name of a setting or of an attribute of the log."""
    return _NAMES.get(name, name.replace("_", " "))


def of_files(paths: Sequence[str]) -> dict[str, str]:
    """Short names of files, as long as tells them apart; of a log from Windows too."""
    rooted = {path: path.replace("\\", "/") for path in paths}
    names = labels.of_paths(rooted.values())
    return {path: names[own] for path, own in rooted.items()}
