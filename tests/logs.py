"""Logs of the report's objective, as tests make them."""

import numpy as np

from nst_jax import runlog

WEIGHTS = {"content": 1e4, "style": 1e-2, "total_variation": 30.0}
LOSSES = ("total", *WEIGHTS)


def parts(*layers):
    """The names of the parts of the three terms."""
    return {"content": ("content",), "style": layers, "total_variation": ("image",)}


def rows(*, per_layer, **series):
    """Rows of a total, three terms, and the style's layers, of which one alone is not logged."""
    losses = {name: series.pop(name) for name in LOSSES}
    several = {"style": per_layer} if per_layer.shape[-1] > 1 else {}
    return runlog.Rows(losses=losses, parts=several, **series)


def rows_of_one(loss, per_layer, *, step, wall_time, evaluations):
    """Rows whose losses and norms are all the same."""
    return rows(
        step=step,
        wall_time=wall_time,
        evaluations=evaluations,
        **dict.fromkeys((*LOSSES, "grad_norm", "update_norm"), loss),
        per_layer=per_layer,
    )


def assert_same_rows(actual, expected, place=...):
    """All series but the clock's are the same, of some steps and variants."""
    wanted = expected.by_path()
    for path, values in actual.by_path().items():
        if path not in ("step", "wall_time"):
            np.testing.assert_array_equal(values[place], wanted[path][place], err_msg=path)
