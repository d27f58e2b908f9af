"""Steps of an objective in strips, as calls from Python of its programs and of one that updates."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from nst_jax.compiler import Program
from nst_jax.optimizers import Optimizer
from nst_jax.steps import Evaluate, History, Hyperparameters, State, step_with
from nst_jax.strips import from_python
from nst_jax.strips.objective import InStrips
from nst_jax.terms import Losses, Objective, Weights


def are_in(objective: Objective) -> bool:
    """Whether an objective is in strips."""
    return isinstance(getattr(objective, "func", None), InStrips)


def opened(objective: Objective) -> tuple[Partial, int]:
    """What an objective of `in_strips` computes, and the rows of a strip.

    Raises:
      ValueError: it is another objective.
    """
    if not isinstance(objective, Partial) or not isinstance(objective.func, InStrips):
        raise ValueError(f"`objective` must be of strips.in_strips, got {objective!r:.80}")
    return objective.args[0], objective.func.rows


def evaluation(objective: Objective, weights: Weights) -> Evaluate:
    """Losses and gradient of an image, from Python.

    Args:
      objective: of `in_strips`.
      weights: of one variant.
    """
    whole, rows = opened(objective)
    return lambda image: from_python.evaluate(whole, image, weights, rows=rows)


def stepper(
    objective: Objective, hyper: Hyperparameters, *, optimizer: Optimizer
) -> Callable[[State, Int[Array, ""]], tuple[State, History]]:
    """`steps.step_variants` from Python, of an optimizer without a line search.

    Args:
      objective: of `in_strips`, the same for all variants.
      hyper: leading axis v.
      optimizer: static.

    Returns:
      The function `(state, num_steps) -> (next state, row)`, all with the leading axis v. The state
      that it is given is donated.
    """
    evaluations = [evaluation(objective, each.weights) for each in _lanes(hyper)]

    def step(state: State, num_steps: Int[Array, ""]) -> tuple[State, History]:
        evaluated = [each(state.image[i]) for i, each in enumerate(evaluations)]
        stacked = jax.tree.map(lambda *x: jnp.stack(x), *evaluated)
        del evaluated
        return jit_update(stacked, hyper.learning_rate, state, num_steps, optimizer=optimizer)

    return step


def _lanes(tree: Any) -> Iterator[Any]:
    """Each variant, without the axis v."""
    count = len(jax.tree.leaves(tree)[0])
    return (jax.tree.map(lambda x, i=i: x[i], tree) for i in range(count))


def _update(
    evaluated: Any,
    learning_rates: Float[Array, "v"],
    state: State,
    num_steps: Int[Array, ""],
    *,
    optimizer: Optimizer,
) -> tuple[State, History]:
    """The step of all variants at whose images losses and gradients are there."""

    def one(evaluated: Any, rate: Array, own: State) -> tuple[State, History]:
        return step_with(lambda image: evaluated, rate, own, num_steps, optimizer=optimizer)

    return jax.vmap(one)(evaluated, learning_rates, state)


jit_update = Program(_update, static_argnames="optimizer", donate_argnames="state")


def losses_of(
    objective: Objective, hyper: Hyperparameters, images: Float[Array | np.ndarray, "v h w 3"]
) -> Losses:
    """The losses of one image a variant.

    Args:
      objective: of `in_strips`.
      hyper: leading axis v; only the weights are used.
      images: RGB in [0, 1].

    Returns:
      NumPy arrays with the leading axis v.
    """
    found = [
        evaluation(objective, own.weights)(image)[0][1]
        for own, image in zip(_lanes(hyper), jnp.asarray(images), strict=True)
    ]
    return jax.tree.map(lambda *x: np.stack(x), *jax.device_get(found))
