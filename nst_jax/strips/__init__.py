"""Pictures larger than a device: an objective that never has the whole network in memory.

What leaves the poolings is kept, and what lies between two of them is computed in strips of rows,
twice: once for the sums of the terms, once for the gradient. That is exact, because a term is a sum
over locations (`terms.Term.measure`), and takes one more forward pass.

    in_strips(objective, rows=64)

is the same objective; `stylize` and `driver` take it as any other. And a network that paints in one
pass, `paint`, layer by layer.
"""

from nst_jax.strips.division import ROWS, Division, division_for
from nst_jax.strips.feedforward import check_rows, host_bytes, paint
from nst_jax.strips.from_python import losses_without_features
from nst_jax.strips.objective import in_strips
from nst_jax.strips.stepping import are_in, evaluation, opened
from nst_jax.strips.targets import targets_of

__all__ = [
    "ROWS",
    "Division",
    "are_in",
    "check_rows",
    "division_for",
    "evaluation",
    "host_bytes",
    "in_strips",
    "losses_without_features",
    "opened",
    "paint",
    "targets_of",
]
