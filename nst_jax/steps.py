"""One step of the optimisation: losses, gradient, update, clip, record.

A step is written for one variant and `vmap`ped: every array of the state and every
hyperparameter has a leading axis `v`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from nst_jax import averages
from nst_jax.averages import Average
from nst_jax.optimizers import Optimizer, OptState
from nst_jax.terms import Losses, Objective, Weights

Image = Float[Array, "h w 3"]
"""RGB, in [0, 1] but for what a line search tries."""

Evaluate = Callable[[Image], tuple[tuple[Array, Losses], Array]]
"""From an image to ((total (), terms), gradient of the total (h, w, 3))."""


class Hyperparameters(NamedTuple):
    """What may differ between variants of one program, all traced, all with a leading axis v.

    Attributes:
      learning_rate: positive; ignored by an optimizer that has none.
      weights: of the loss terms, from 0 up.
    """

    learning_rate: Float[ArrayLike, "*v"]
    weights: Weights


class State(NamedTuple):
    """The state of an optimisation after some steps; a pytree, each leaf with leading axis v.

    Attributes:
      step: number of steps done.
      image: the image being optimised, in [0, 1] unless the optimizer has a line search.
      last_good: the last image whose losses were all finite.
      opt_state: the optimizer's, one a variant.
      diverged_step: the first step with a value that was not finite, -1 if there was none. Such
        a variant stays as it is: its neighbors never notice.
      average: of the images, of an optimizer that asks for it; of a diverged variant its last good
        image.
    """

    step: Int[Array, "*v"]
    image: Float[Array, "*v h w 3"]
    last_good: Float[Array, "*v h w 3"]
    opt_state: OptState
    diverged_step: Int[Array, "*v"]
    # None has no leaves: programs and checkpoints of runs without it are those of before it.
    average: Average | None = None

    @property
    def picture(self) -> Float[Array | np.ndarray, "*v h w 3"]:
        """What a run that ended here would end with: the average, if there is one."""
        return self.image if self.average is None else self.average.image


class History(NamedTuple):
    """One row a step, NaN after a variant has diverged. Row i is of the image before update i.

    Attributes:
      terms: the losses.
      grad_norm: L2 norm of the total's gradient.
      update_norm: L2 norm of the change of the image.
      evaluations: of the objective and its gradient that the step took.
    """

    terms: Losses
    grad_norm: Float[Array, "*tv"]
    update_norm: Float[Array, "*tv"]
    evaluations: Int[Array, "*tv"]


def init_state(
    images: Float[Array | np.ndarray, "v h w 3"], optimizer: Optimizer, hyper: Hyperparameters
) -> State:
    """The state before the first step.

    Args:
      images: where to start, one a variant, in [0, 1]; they are copied.
      optimizer: whose state is made.
      hyper: leading axis v.

    Returns:
      A state of 0 steps, float32, whose buffers are nobody else's.

    Raises:
      ValueError: the images are not of a floating type.
    """
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(f"images must be floating in [0, 1], got {images.dtype}")
    variants = images.shape[0]
    images = jnp.asarray(images, jnp.float32)
    init = jax.vmap(lambda image, rate: optimizer.transformation(rate).init(image))
    opt_state = init(images, jnp.asarray(hyper.learning_rate))
    return State(
        step=jnp.zeros(variants, jnp.int32),
        image=jnp.array(images),
        # Copies: the state is donated, a buffer can be donated only once, and the caller's never.
        # An optimizer may keep the image in its state as well.
        last_good=jnp.array(images),
        opt_state=jax.tree.map(jnp.array, opt_state),
        # A number and no None: what is not an array cannot differ between variants.
        diverged_step=jnp.full(variants, -1, jnp.int32),
        average=None if optimizer.average is None else averages.begin(images),
    )


def single(hyper: Hyperparameters) -> Hyperparameters:
    """The hyperparameters of one variant, given without an axis, with the leading axis v = 1."""
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32)[None], hyper)


def evaluate(
    objective: Objective, image: Image, weights: Weights
) -> tuple[tuple[Float[Array, ""], Losses], Image]:
    """Losses and gradient at one image: with the first and the last argument given, an `Evaluate`.

    Args:
      objective: see `objective.make_objective`.
      image: at which the losses are taken.
      weights: of the loss terms, of one variant.

    Returns:
      ((total (), terms), gradient of the total).
    """
    return jax.value_and_grad(objective, has_aux=True)(image, weights)


def step(
    objective: Objective,
    hyper: Hyperparameters,
    state: State,
    num_steps: Int[Array, ""],
    *,
    optimizer: Optimizer,
) -> tuple[State, History]:
    """One step of one variant (no axis v): losses, gradient, update, clip, record.

    x_(t+1) = clip(x_t + u(gradient of L at x_t), 0, 1), with u the optimizer's update

    Pixels are clipped to [0, 1] after each step, as the report's program does; L-BFGS, whose
    curvature estimates clipping would falsify, is clipped once at the end of the run.

    Args:
      objective: see `objective.make_objective`.
      hyper: learning rate () and loss weights.
      state: of this variant.
      num_steps: a variant that has done as many stays as it is: it is evaluated.
      optimizer: static.

    Returns:
      The next state and the row of this step: the losses are those of the image before it.
    """
    return step_with(
        partial(evaluate, objective, weights=hyper.weights),
        hyper.learning_rate,
        state,
        num_steps,
        optimizer=optimizer,
    )


def step_with(
    evaluate: Evaluate,
    learning_rate: Float[ArrayLike, ""],
    state: State,
    num_steps: Int[Array, ""],
    *,
    optimizer: Optimizer,
) -> tuple[State, History]:
    """`step` for any way to evaluate the objective.

    Args:
      evaluate: losses and gradient of an image. A line search calls it at each of its points; it
        need not be traceable if the loops of JAX run from Python (`jax.disable_jit`).
      learning_rate: ignored by an optimizer that has none.
      state: of one variant, as what follows.
      num_steps: a variant that has done as many stays as it is.
      optimizer: static.

    Returns:
      As `step`.
    """
    (total, terms), grad = evaluate(state.image)
    # Only some transformations know `value` and the like: the others must not get them.
    transformation = optax.with_extra_args_support(optimizer.transformation(learning_rate))
    updates, opt_state = transformation.update(
        grad,
        state.opt_state,
        state.image,
        value=total,
        grad=grad,
        value_fn=_value_function(evaluate),
    )
    image = optax.apply_updates(state.image, updates)
    evaluations = jnp.ones((), jnp.int32)
    if optimizer.line_search:
        # The first try of a search is beyond the image that was evaluated above.
        evaluations = 1 + optax.tree.get(opt_state, "num_linesearch_steps")
    else:
        image = jnp.clip(image, 0, 1)
    # The norm is of what the image did: clipping may have taken a part of the update back.
    row = History(terms, optax.tree.norm(grad), optax.tree.norm(image - state.image), evaluations)
    moved, row = _commit(state, row, grad, image, opt_state, num_steps)
    if state.average is not None and optimizer.average is not None:
        average = averages.update(state.average, moved.image, optimizer.average)
        moved = moved._replace(average=_kept(average, state.average, state, moved))
    return moved, row


def _commit(
    state: State,
    row: History,
    grad: Image,
    image: Image,
    opt_state: OptState,
    num_steps: Int[Array, ""],
) -> tuple[State, History]:
    """The next state, unless the variant is done, has diverged, or does so in this step.

    Args:
      state: before the step, of one variant, as what follows.
      row: of the step.
      grad: at the image of `state`.
      image: after the update.
      opt_state: after the update.
      num_steps: of the run.

    Returns:
      The next state and its row. A variant that is done or had diverged keeps its state, with 0
      evaluations. The row of one that is done has the losses of its image: such a step is an
      evaluation. The row of one that had diverged is NaN.
    """
    good = _all_finite(row.terms)
    finite = good & _all_finite((grad, image))
    # If only the gradient or the update is bad, the image before it has losses and is kept.
    last_good = jnp.where(good, state.image, state.last_good)
    moved = State(
        step=state.step + 1,
        image=jnp.where(finite, image, last_good),
        last_good=last_good,
        opt_state=opt_state,
        diverged_step=jnp.where(finite, -1, state.step),
        average=state.average,
    )
    has_diverged = state.diverged_step >= 0
    active = (state.step < num_steps) & ~has_diverged
    # A choice of values, not of branches: `vmap` would run both branches of a cond all the same.
    state = jax.tree.map(lambda new, old: jnp.where(active, new, old), moved, state)
    # Of the state before: one that diverges in this step says by which loss.
    row = History(
        jax.tree.map(partial(_or_nan, has_diverged), row.terms),
        _or_nan(~active, row.grad_norm),
        _or_nan(~active, row.update_norm),
        jnp.where(active, row.evaluations, 0),
    )
    return state, row


def _kept(new: Average, old: Average, before: State, state: State) -> Average:
    """The new average if the step was one; of a variant that has diverged its last good image."""
    has_moved = state.step > before.step
    average = jax.tree.map(partial(jnp.where, has_moved), new, old)
    has_diverged = state.diverged_step >= 0
    return average._replace(image=jnp.where(has_diverged, state.image, average.image))


def _or_nan(is_lost: Bool[Array, ""], x: Array) -> Array:
    return jnp.where(is_lost, jnp.nan, x)


def _all_finite(tree: Any) -> Bool[Array, ""]:
    """Whether no leaf of the tree has an entry that is NaN or infinite."""
    return jnp.all(jnp.array([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(tree)]))


def _value_function(evaluate: Evaluate) -> Callable[[Image], Float[Array, ""]]:
    """`evaluate` as what a line search differentiates: from an image to the total alone.

    The gradient comes along with the losses, so that differentiating costs one evaluation, and
    works although `evaluate` may be a compiled program called from Python.
    """

    @jax.custom_vjp
    def value(image):
        return evaluate(image)[0][0]

    def forward(image):
        (total, _), grad = evaluate(image)
        return total, grad

    value.defvjp(forward, lambda grad, cotangent: (cotangent * grad,))
    return value


def step_variants(
    objective: Objective,
    hyper: Hyperparameters,
    state: State,
    num_steps: Int[Array, ""],
    *,
    optimizer: Optimizer,
) -> tuple[State, History]:
    """`step` of all variants in one program.

    With a line search it maps over them instead: `vmap`ped, every variant waits for the longest
    search.

    Args:
      objective: the same for all variants.
      hyper: leading axis v, as that of `state`.
      state: of all variants.
      num_steps: of the run.
      optimizer: static.

    Returns:
      The next state and one row, each leaf with the leading axis v.
    """

    # `lax.map` maps over one argument.
    def one(arguments):
        own_hyper, own_state = arguments
        return step(objective, own_hyper, own_state, num_steps, optimizer=optimizer)

    if optimizer.line_search:
        return jax.lax.map(one, (hyper, state))
    return jax.vmap(one)((hyper, state))
