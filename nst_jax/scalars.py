"""Whether a value from a caller is a number."""

from typing import Any

import numpy as np


def is_number(value: Any) -> bool:
    """Whether a value is a single real number, of Python, NumPy or JAX; a bool is none."""
    # An array of JAX is asked for its own type: while JAX traces, NumPy cannot read it.
    array = value if hasattr(value, "dtype") else np.asarray(value)
    # bfloat16 and other small floats of JAX are of NumPy's kind V (void).
    return array.ndim == 0 and array.dtype.kind in "iufV"
