"""Whether a value from a caller is a number."""

from typing import Any

import numpy as np


def is_number(value: Any) -> bool:
    """Whether a value is a single real number, of Python, NumPy or JAX; a bool is none."""
    array = value if hasattr(value, "dtype") else np.asarray(value)
    # JAX's small floats are of NumPy's kind V.
    return array.ndim == 0 and array.dtype.kind in "iufV"
