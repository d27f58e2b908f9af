"""One step of the optimisation: losses, gradient, update, clip, record.

A step is written for one variant and `vmap`ped: every array of the state and every
hyperparameter has a leading axis `v`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from nst_jax import optimizers
from nst_jax.objective import LossTerms, LossWeights, Objective
from nst_jax.optimizers import OptimizerFactory


class Hyperparameters(NamedTuple):
    """What may differ between variants of one program, all traced, all with a leading axis v.

    Attributes:
      learning_rate: ignored by L-BFGS.
      weights: of the loss terms.
    """

    learning_rate: Float[ArrayLike, "*v"]
    weights: LossWeights


class State(NamedTuple):
    """The state of an optimisation after some steps; a pytree, each leaf with leading axis v.

    Attributes:
      step: number of steps done.
      image: the image being optimised.
      last_good: the last image whose losses were all finite.
      opt_state: the optimizer's.
      diverged_step: the first step with a value that was not finite, -1 if there was none. Such
        a variant stays as it is: its neighbors never notice.
    """

    step: Int[Array, "*v"]
    image: Float[Array, "*v h w 3"]
    last_good: Float[Array, "*v h w 3"]
    opt_state: Any
    diverged_step: Int[Array, "*v"]


class History(NamedTuple):
    """One row a step, NaN after a variant has diverged. Row i is of the image before update i.

    Attributes:
      terms: the losses.
      grad_norm: L2 norm of the total's gradient.
      update_norm: L2 norm of the change of the image.
      evaluations: of the objective and its gradient that the step took.
    """

    terms: LossTerms
    grad_norm: Float[Array, "*tv"]
    update_norm: Float[Array, "*tv"]
    evaluations: Int[Array, "*tv"]


def init_state(
    images: Float[Array | np.ndarray, "v h w 3"], factory: OptimizerFactory, hyper: Hyperparameters
) -> State:
    """The state before the first step.

    Raises:
      ValueError: the images are not of a floating type.
    """
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(f"images must be floating in [0, 1], got {images.dtype}")
    variants = images.shape[0]
    init = jax.vmap(lambda image, rate: factory(rate).init(image))
    opt_state = init(jnp.asarray(images, jnp.float32), jnp.asarray(hyper.learning_rate))
    return State(
        step=jnp.zeros(variants, jnp.int32),
        image=jnp.array(images, jnp.float32),
        # Copies: the state is donated, a buffer can be donated only once, and the caller's never.
        # An optimizer may keep the image in its state as well.
        last_good=jnp.array(images, jnp.float32),
        opt_state=jax.tree.map(jnp.array, opt_state),
        diverged_step=jnp.full(variants, -1, jnp.int32),
    )


def single(hyper: Hyperparameters) -> Hyperparameters:
    """The hyperparameters of one variant, with the leading axis v = 1."""
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32)[None], hyper)


def step(
    objective: Objective,
    hyper: Hyperparameters,
    state: State,
    num_steps: Int[Array, ""],
    *,
    factory: OptimizerFactory,
) -> tuple[State, History]:
    """One step of one variant (no axis v): losses, gradient, update, clip, record.

    Pixels are clipped to [0, 1] after each step, as the report's program does; L-BFGS, whose
    curvature estimates clipping would falsify, is clipped once at the end of the run.

    Args:
      objective: see `objective.make_objective`.
      hyper: learning rate and loss weights.
      state: of this variant.
      num_steps: a variant that has done as many stays as it is.
      factory: the optimizer as a function of its learning rate; static.

    Returns:
      The next state and the row of this step.
    """

    def evaluate(image):
        return jax.value_and_grad(objective, has_aux=True)(image, hyper.weights)

    return step_with(evaluate, hyper.learning_rate, state, num_steps, factory)


def step_with(evaluate, learning_rate, state, num_steps, factory) -> tuple[State, History]:
    """`step` for any way to evaluate: image -> ((total, terms), gradient)."""
    (total, terms), grad = evaluate(state.image)
    optimizer = optax.with_extra_args_support(factory(learning_rate))
    updates, opt_state = optimizer.update(
        grad,
        state.opt_state,
        state.image,
        value=total,
        grad=grad,
        value_fn=_value_function(evaluate),
    )
    image = optax.apply_updates(state.image, updates)
    if optimizers.is_lbfgs(factory):
        evaluations = 1 + opt_state[-1].info.num_linesearch_steps
    else:
        image = jnp.clip(image, 0, 1)
        evaluations = jnp.ones((), jnp.int32)
    row = History(terms, optax.tree.norm(grad), optax.tree.norm(image - state.image), evaluations)
    return _commit(state, num_steps, row, grad, image, opt_state)


def _commit(state, num_steps, row, grad, image, opt_state) -> tuple[State, History]:
    """The next state, unless the variant is done, has diverged, or does so in this step."""
    good = _all_finite(row.terms)
    finite = good & _all_finite((grad, image))
    last_good = jnp.where(good, state.image, state.last_good)
    moved = State(
        step=state.step + 1,
        image=jnp.where(finite, image, last_good),
        last_good=last_good,
        opt_state=opt_state,
        diverged_step=jnp.where(finite, -1, state.step),
    )
    active = (state.step < num_steps) & (state.diverged_step < 0)
    state = jax.tree.map(lambda new, old: jnp.where(active, new, old), moved, state)
    blank = History(
        jax.tree.map(_nan_like, row.terms),
        _nan_like(row.grad_norm),
        _nan_like(row.update_norm),
        jnp.zeros_like(row.evaluations),
    )
    return state, jax.tree.map(lambda new, none: jnp.where(active, new, none), row, blank)


def _nan_like(x: Array) -> Array:
    return jnp.full_like(x, jnp.nan)


def _all_finite(tree: Any) -> Bool[Array, ""]:
    return jnp.all(jnp.array([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(tree)]))


def _value_function(evaluate):
    """`evaluate` as a differentiable function of one image with a number for a result."""

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
    factory: OptimizerFactory,
) -> tuple[State, History]:
    """`step` of all variants in one program.

    L-BFGS maps over them instead: `vmap`ped, every variant waits for the longest line search.
    """

    def one(arguments):
        own_hyper, own_state = arguments
        return step(objective, own_hyper, own_state, num_steps, factory=factory)

    if optimizers.is_lbfgs(factory):
        return jax.lax.map(one, (hyper, state))
    return jax.vmap(one)((hyper, state))
