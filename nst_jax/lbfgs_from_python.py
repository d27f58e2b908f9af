"""Steps whose line search runs outside XLA, as Python calls of one compiled evaluation.

XLA runs convolutions inside a loop on one thread of a CPU, and a line search is a loop: compiled
with the network inside, it takes four times as long. With jit disabled the `while_loop` of optax's
line search is a loop of Python's, and only the evaluations in it are compiled.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from nst_jax import placement
from nst_jax.compiler import Program
from nst_jax.optimizers import Optimizer
from nst_jax.steps import Evaluate, History, Hyperparameters, State, evaluate, step_with
from nst_jax.strips import stepping
from nst_jax.terms import Losses, Objective

# More than the twenty tries of a line search: its accepted point must still be known after them.
_REMEMBERED = 32

_jit_evaluate = Program(evaluate)


def lower(objective: Objective, hyper: Hyperparameters, state: State) -> jax.stages.Lowered:
    """The only program that the steps call: one evaluation, of one variant.

    Args:
      objective: see `objective.make_objective`.
      hyper: leading axis v; all variants share the program.
      state: leading axis v.

    Returns:
      What is left to compile.
    """
    return _jit_evaluate.lower(objective, state.image[0], _variant(hyper, 0).weights)


def stepper(
    objective: Objective, hyper: Hyperparameters, *, optimizer: Optimizer
) -> Callable[[State, Int[Array, ""]], tuple[State, History]]:
    """`steps.step_variants` from Python: one variant after another.

    The last evaluations of each variant are remembered, because the point that a line search
    accepts is where the next step starts.

    Args:
      objective: the same for all variants.
      hyper: leading axis v.
      optimizer: one with a line search.

    Returns:
      The function `(state, num_steps) -> (next state, row)`, all with the leading axis v. The
      state that it is given stays valid: it is not donated.
    """
    own = [_variant(hyper, i) for i in range(np.shape(hyper.learning_rate)[0])]
    evaluations = [_remembering(_evaluation(objective, each)) for each in own]

    def step(state: State, num_steps: Int[Array, ""]) -> tuple[State, History]:
        stepped = [
            _step(evaluation, each.learning_rate, _variant(state, i), num_steps, optimizer)
            for i, (evaluation, each) in enumerate(zip(evaluations, own, strict=True))
        ]
        states, rows = zip(*stepped, strict=True)
        return _stack(states), _stack(rows)

    return step


def losses_of(
    objective: Objective, hyper: Hyperparameters, images: Float[Array | np.ndarray, "v h w 3"]
) -> Losses:
    """The losses of one image a variant, by the program that the steps call.

    Args:
      objective: see `objective.make_objective`.
      hyper: leading axis v; only the weights are used.
      images: RGB in [0, 1].

    Returns:
      NumPy arrays with the leading axis v.
    """
    images = jnp.asarray(images)
    found = [
        # By its index: JAX does not iterate over what lies in several processes.
        _jit_evaluate(objective, images[i], _variant(hyper, i).weights)[0][1]
        for i in range(len(images))
    ]
    return jax.tree.map(lambda *x: np.stack(x), *jax.device_get(found))


def _evaluation(objective: Objective, hyper: Hyperparameters) -> Evaluate:
    """The compiled evaluation of one variant, also where jit is disabled."""
    if stepping.are_in(objective):
        compiled = stepping.evaluation(objective, hyper.weights)
    else:

        def compiled(image):
            return _jit_evaluate(objective, image, hyper.weights)

    # Jit is disabled for the loops of the search: the network is slow without it.
    def evaluation(image):
        with jax.disable_jit(False):
            return compiled(image)

    return evaluation


def _remembering(evaluation: Evaluate) -> Evaluate:
    """The same function, which computes none of its latest results twice."""
    known: deque = deque(maxlen=_REMEMBERED)

    def remembering(image):
        # In NumPy: JAX would start a small program for each comparison.
        seen = np.asarray(placement.readable(image))
        for point, result in known:
            if np.array_equal(point, seen):
                return result
        result = evaluation(image)
        known.append((seen, result))
        return result

    return remembering


def _step(
    evaluation: Evaluate,
    learning_rate: Float[ArrayLike, ""],
    state: State,
    num_steps: Int[Array, ""],
    optimizer: Optimizer,
) -> tuple[State, History]:
    """A step of one variant, whose row counts the evaluations that were made for it."""
    with jax.disable_jit():
        state, row = step_with(evaluation, learning_rate, state, num_steps, optimizer=optimizer)
    # Only the first step evaluates its starting point: the others remember it. A resumed run has
    # to evaluate it again, and counts as the run without a break all the same.
    repeated = (np.asarray(state.step) > 1) & (np.asarray(row.evaluations) > 0)
    return state, row._replace(evaluations=row.evaluations - repeated)


def _variant(tree: Any, index: int) -> Any:
    """The variant of that index, without the axis v."""
    return jax.tree.map(lambda x: x[index], tree)


def _stack(variants: tuple[Any, ...]) -> Any:
    """The variants with a leading axis v: the inverse of `_variant`."""
    return jax.tree.map(lambda *x: jnp.stack(x), *variants)
