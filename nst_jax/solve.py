"""Whole runs from Python: one image by `stylize`, several at once by `sweep`.

The commands take the same chunks of steps from `driver`, by way of the run log (`runs`).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from nst_jax import backend, optimizers, pixels
from nst_jax.choices import Driver, OptimizerName
from nst_jax.driver import (
    Chunk,
    check_settings,
    concatenate,
    default_chunk_length,
    pictures,
    run_chunks,
)
from nst_jax.optimizers import Optimizer, Schedule, TransformationFn
from nst_jax.stages import Stage, grow, resize
from nst_jax.steps import History, Hyperparameters, State, init_state
from nst_jax.terms import Objective, Weights, as_pytree


class StylizeResult(NamedTuple):
    """What a run ends with. After `stylize` the variant axis is gone from all but `state`.

    Attributes:
      image: RGB in [0, 1]; of a diverged variant the last good one.
      history: NumPy arrays, one row a step.
      state: to go on from.
    """

    image: np.ndarray
    history: History
    state: State


def stylize(
    objective: Objective,
    init_image: Float[Array | np.ndarray, "h w 3"],
    weights: Weights,
    *,
    optimizer: OptimizerName | TransformationFn | Optimizer = "adam",
    learning_rate: float | Schedule = 0.02,
    num_steps: int = 250,
    coarse: Sequence[Stage] = (),
    tolerance: float | None = None,
    average: float | None = None,
    driver: Driver | None = None,
    on_chunk: Callable[[Chunk], object] = lambda chunk: None,
) -> StylizeResult:
    """Optimises one image: the report's algorithm, steps 7 to 12.

    Args:
      objective: what to minimise, (image, weights) -> (total, terms); see
        `objective.make_objective`. A plain function does as well; what it closes over is compiled
        in, which takes longer.
      init_image: where to start, RGB in [0, 1]; the report's program starts from the content.
      weights: of the loss terms, see `objective.make_weights`.
      optimizer: a name of `choices.OptimizerName`, any function from a learning rate to an optax
        transformation (the same object again does not compile again), or an
        `optimizers.Optimizer`. A function with a line search is clipped after each step and counts
        as one evaluation; an `Optimizer` with `line_search`, such as "lbfgs", is not.
      learning_rate: positive, or a schedule, a function from the number of steps done to a rate,
        such as `optax.cosine_decay_schedule(0.05, 250)`; ignored by an optimizer without a rate.
      num_steps: at least 1; of the last stage, if there are others.
      coarse: stages before that of `objective`, each with its own; the image is resized to the
        first one, and from stage to stage. The optimizer begins anew in each, unless its `resize`
        is `optimizers.warm`.
      tolerance: stop earlier when the total falls by less than this fraction, see
        `driver.has_converged`; not with `coarse`.
      average: the factor d in [0, 1) of the average of all steps' images (`averages.update`) that
        the run ends with, as 0.99; default: it ends with the last one.
      driver: "python" or "scan"; default: what is fast on this device.
      on_chunk: called after each chunk of steps, to show how far the run is:
        `driver.pictures(chunk.state)[0]` is the image so far. The state itself may not be kept: the
        next step overwrites it.

    Returns:
      The image in [0, 1], the history (one row a step, row i for the image before update i),
      and the state. If a loss is not finite, the run ends there, `state.diverged_step` says
      where, and the image is the last good one.

    Raises:
      ValueError: an option out of its range, or an array that is no picture in [0, 1].
      RuntimeError: JAX has no device; one line that says what to do.
    """
    init_image = pixels.check_picture("init_image", init_image)
    # A schedule is the rate itself: the number that a run also needs is then a factor of 1.
    own_rate = 1.0 if callable(learning_rate) else learning_rate
    check_settings(num_steps=num_steps, learning_rate=own_rate, tolerance=tolerance)
    if callable(learning_rate):
        total = num_steps + sum(stage.num_steps for stage in coarse)
        optimizer = optimizers.scheduled(optimizer, learning_rate, num_steps=total)
        learning_rate = own_rate
    swept = sweep(
        objective,
        init_image,
        weights,
        learning_rates=[learning_rate],
        optimizer=optimizer,
        num_steps=num_steps,
        coarse=coarse,
        tolerance=tolerance,
        average=average,
        driver=driver,
        on_chunk=on_chunk,
    )
    history = jax.tree.map(lambda x: x[:, 0], swept.history)
    return StylizeResult(swept.image[0], history, swept.state)


def sweep(
    objective: Objective,
    init_images: Float[Array | np.ndarray, "*v h w 3"],
    weights: Weights,
    *,
    learning_rates: Sequence[float] | Float[Array | np.ndarray, "v"],
    optimizer: OptimizerName | TransformationFn | Optimizer = "adam",
    num_steps: int = 250,
    coarse: Sequence[Stage] = (),
    tolerance: float | None = None,
    average: float | None = None,
    driver: Driver | None = None,
    on_chunk: Callable[[Chunk], object] = lambda chunk: None,
) -> StylizeResult:
    """`stylize` with several learning rates at once, in one `vmap`ped program.

    Args:
      objective: as `stylize`, and so are the arguments not named here.
      init_images: where to start, one image for all variants or one each.
      weights: of the loss terms. What shall differ between variants has a leading axis v, as in
        `make_weights(targets)._replace(style=jnp.array([1e-3, 1e-2]))`.
      learning_rates: positive, one a variant. A schedule belongs into `optimizer`:
        `lambda rate: optax.adam(optax.cosine_decay_schedule(rate, 250))`.

    Returns:
      As `stylize`, with the axis of the variants: images (v, h, w, 3), histories (t, v).

    Raises:
      ValueError: an option out of its range, or not one a variant; an array that is no picture.
      RuntimeError: as `stylize`.
    """
    init_images = pixels.check_picture("init_images", init_images, batch=True)
    rates = _as_rates(learning_rates)
    for rate in rates.tolist():
        check_settings(num_steps=num_steps, learning_rate=rate, tolerance=tolerance)
    _check_coarse(coarse, rates, tolerance)
    # Before JAX looks for a device by itself, whose error would be a page long.
    backend.start()
    optimizer = optimizers.averaged(optimizers.as_optimizer(optimizer), average)
    images = _leading(len(rates), "init_images", init_images, 3)
    course = [*coarse, Stage(objective, weights, images.shape[1:], num_steps)]
    # All before the first: the last one must not be refused after the others have run.
    course = [stage._replace(objective=as_pytree(stage.objective)) for stage in course]
    hypers = [_hyper(stage, rates) for stage in course]
    state = init_state(resize(images, course[0].shape), optimizer, hypers[0])
    run = partial(
        _run_stage, optimizer=optimizer, tolerance=tolerance, driver=driver, on_chunk=on_chunk
    )
    histories: list[History] = []
    for stage, hyper in zip(course, hypers, strict=True):
        if histories:
            state = grow(state, stage.shape, hyper, optimizer=optimizer)
        state, rows = run(stage, hyper, state, done=sum(len(x.grad_norm) for x in histories))
        histories += rows
    # L-BFGS leaves [0, 1] on its way: `pictures` clips.
    return StylizeResult(pictures(state), concatenate(histories), state)


def _run_stage(
    stage: Stage,
    hyper: Hyperparameters,
    state: State,
    *,
    done: int,
    optimizer: Optimizer,
    tolerance: float | None,
    driver: Driver | None,
    on_chunk: Callable[[Chunk], object],
) -> tuple[State, list[History]]:
    """The state at the end of a stage, and the rows of its chunks; `done` steps are before it."""
    length = default_chunk_length(
        stage.objective,
        hyper,
        state,
        optimizer=optimizer,
        num_steps=stage.num_steps,
        tolerance=tolerance,
    )
    histories = []
    for chunk in run_chunks(
        stage.objective,
        hyper,
        state,
        optimizer=optimizer,
        num_steps=done + stage.num_steps,
        chunk_length=length,
        driver=driver,
        tolerance=tolerance,
    ):
        # Only the last state is valid: each chunk is written over the one before.
        on_chunk(chunk)
        state = chunk.state
        histories.append(chunk.history)
    return state, histories


def _check_coarse(coarse: Sequence[Stage], rates: np.ndarray, tolerance: float | None) -> None:
    """Refuses stages with which no run can work."""
    if tolerance is not None and coarse:
        raise ValueError("`tolerance` ends a run of one size: leave it or `coarse` out")
    for stage in coarse:
        if len(stage.shape) != 3 or min(stage.shape) < 1 or stage.shape[2] != 3:
            raise ValueError(f"the shape of a stage must be (height, width, 3), got {stage.shape}")
        for rate in rates.tolist():
            check_settings(
                num_steps=stage.num_steps, learning_rate=rate * stage.rate, tolerance=None
            )


def _hyper(stage: Stage, rates: np.ndarray) -> Hyperparameters:
    """Rates and weights of all variants in a stage."""
    weights = _one_each(len(rates), stage.weights)
    # Arrays, because a number would be compiled in as it is.
    return jax.tree.map(
        lambda x: jnp.asarray(x, jnp.float32), Hyperparameters(rates * stage.rate, weights)
    )


def _as_rates(learning_rates: Any) -> np.ndarray:
    """The rates (v,), at least one, as they come: whether they are positive is checked later."""
    rates = np.asarray(learning_rates)
    if any(map(callable, rates.flat)):
        raise ValueError(
            "`learning_rates` must be numbers, got a function: give the numbers that a schedule "
            "starts from, and optimizer=lambda rate: "
            "optax.adam(optax.cosine_decay_schedule(rate, num_steps))"
        )
    if rates.ndim != 1 or not len(rates):
        raise ValueError(f"`learning_rates` must be a list of at least one, got {learning_rates}")
    return rates


def _one_each(variants: int, weights: Any) -> Weights:
    """Loss weights with a leading axis of variants, repeated where they have none.

    Args:
      variants: v.
      weights: of each its own axes (none for a term, one for layers or parts), or v before them.

    Returns:
      Weights of which each has the leading axis v.

    Raises:
      ValueError: weights of another type, negative or not finite; an array of other axes; targets.
    """
    if not isinstance(weights, Weights):
        raise ValueError(
            "`weights` must be of the kind that objective.make_weights or terms.weigh gives, got "
            f"{type(weights).__name__}"
        )

    if weights.targets is not None:
        raise ValueError("`weights` have targets: give an objective of these targets instead")

    def of_weight(path: tuple, value: Any, axes: int) -> Array:
        name = ".".join(str(getattr(key, "name", getattr(key, "key", key))) for key in path)
        x = _leading(variants, name, value, axes)
        if not jnp.all(jnp.isfinite(x) & (x >= 0)):
            raise ValueError(f"the weight `{name}` must be finite and not negative, got {x}")
        return x

    return jax.tree_util.tree_map_with_path(of_weight, weights, weights.axes)


def _leading(variants: int, name: str, value: Any, axes: int) -> Array:
    """An array with the leading axis v before its own axes."""
    # By rank, not by length: five layers and five variants are the same length.
    x = jnp.asarray(value)
    x = jnp.broadcast_to(x, (variants, *x.shape)) if x.ndim == axes else x
    if x.ndim != axes + 1 or len(x) != variants:
        raise ValueError(
            f"`{name}` must have {axes} axes, or {axes + 1} of which the first counts the "
            f"{variants} learning rates, got the shape {x.shape}"
        )
    return x
