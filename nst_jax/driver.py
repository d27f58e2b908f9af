"""The optimisation in chunks of steps, always over a leading variant axis.

A single run is a sweep of one. One step function (`steps`) serves two drivers, since XLA runs
convolutions inside a loop on one thread of a CPU, four times slower: "python" calls the step
from Python (CPU), "scan" runs a chunk of steps in one program (GPU, TPU).

    state = init_state(images, factory, hyperparameters)
    for chunk in run_chunks(objective, hyperparameters, state, factory=factory, num_steps=250):
        ...  # log chunk.history, show progress, stop by leaving the loop
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from nst_jax import backend, optimizers
from nst_jax.choices import Driver, check_choice
from nst_jax.compiler import Program
from nst_jax.objective import LossTerms, LossWeights, Objective
from nst_jax.optimizers import OptimizerFactory
from nst_jax.scalars import is_number
from nst_jax.steps import (
    History,
    Hyperparameters,
    State,
    init_state,
    step_variants,
    step_with,
)

MAX_STEPS = 1_000_000
MAX_CHUNK_LENGTH = 50
_CHUNK_SECONDS = 2.0
# A chunk called from Python ends early after this time, on a machine slower than assumed.
_PATIENCE = 3.0
# Floating point operations a second, guessed low so that a chunk ends well within five seconds.
_ASSUMED_RATE = {"cpu": 1e11, "gpu": 2e13, "tpu": 2e13}
_CONVERGENCE_WINDOW = 10


class Chunk(NamedTuple):
    """Some steps just done: the state after them, their rows (t, v), and their end (t,).

    `seconds` counts from the start of the run; inside a scanned chunk it is interpolated.
    """

    state: State
    history: History
    seconds: np.ndarray


class Compiled(NamedTuple):
    """What compiling a program took, in seconds, and what the program takes, in bytes."""

    seconds: float
    bytes: int


def _scan_steps(objective, hyper, state, num_steps, *, factory, length):
    def body(state, _):
        return step_variants(objective, hyper, state, num_steps, factory=factory)

    return jax.lax.scan(body, state, length=length)


_jit_step = Program(step_variants, static_argnames="factory", donate_argnames="state")
_jit_scan = Program(_scan_steps, static_argnames=("factory", "length"), donate_argnames="state")
_jit_evaluate = Program(
    lambda objective, image, weights: jax.value_and_grad(objective, has_aux=True)(image, weights)
)
_jit_losses = Program(jax.vmap(lambda objective, *args: objective(*args)[1], in_axes=(None, 0, 0)))


def default_driver() -> Driver:
    """ "python" on a CPU, "scan" elsewhere: see the top of this module."""
    return "python" if backend.platform() == "cpu" else "scan"


def default_chunk_length(
    objective: Objective,
    hyper: Hyperparameters,
    state: State,
    *,
    factory: OptimizerFactory,
    num_steps: int,
    snapshot_every: int = 0,
    lanes: int = 1,
    tolerance: float | None = None,
) -> int:
    """Steps a chunk, such that one ends well within five seconds and none is nearly empty.

    From the floating point operations of a step and an assumed rate of the device, not from a
    timing: the same settings give the same chunks. With snapshots a chunk divides their period.

    Args:
      objective: see `objective.make_objective`.
      hyper: of one variant; shapes are enough, as everywhere here.
      state: of one variant.
      factory: the optimizer as a function of its learning rate.
      num_steps: of the run.
      snapshot_every: period of the snapshots, 0 for none.
      lanes: variants of the program.
      tolerance: convergence is looked for after each chunk.
    """
    # With the types of a run, whose program then need not be traced again.
    limit = jnp.zeros((), jnp.int32)
    lowered = _jit_step.lower(objective, hyper, state, limit, factory=factory)
    flops = (lowered.cost_analysis() or {}).get("flops", 0.0)
    seconds = lanes * max(flops, 1.0) / _ASSUMED_RATE.get(backend.platform(), 1e11)
    most = MAX_CHUNK_LENGTH if tolerance is None else _CONVERGENCE_WINDOW
    longest = int(np.clip(_CHUNK_SECONDS / seconds, 1, most))
    if snapshot_every:
        return max(n for n in range(1, longest + 1) if snapshot_every % n == 0)
    return -(-num_steps // -(-num_steps // min(longest, num_steps)))


def abstract_lanes(
    lanes: int, shape: tuple[int, ...], weights: LossWeights, *, factory: OptimizerFactory
) -> tuple[Hyperparameters, State]:
    """Hyperparameters and state of so many lanes as shapes: enough to lower a step.

    Args:
      lanes: the leading axis v.
      shape: of one image.
      weights: of one lane.
      factory: the optimizer as a function of its learning rate.
    """
    hyper = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((lanes, *np.shape(x)), np.float32),
        Hyperparameters(np.float32(0), weights),
    )
    images = jax.ShapeDtypeStruct((lanes, *shape), np.float32)
    return hyper, jax.eval_shape(partial(init_state, factory=factory), images, hyper=hyper)


def step_bytes(
    objective: Objective, hyper: Hyperparameters, state: State, *, factory: OptimizerFactory
) -> int:
    """What a step takes, by the compiler's own account; shapes of the arguments are enough."""
    limit = jnp.zeros((), jnp.int32)
    return _bytes_of(_jit_step.lower(objective, hyper, state, limit, factory=factory).compile())


def compile_ahead(
    objective: Objective,
    hyper: Hyperparameters,
    state: State,
    *,
    factory: OptimizerFactory,
    chunk_length: int,
    driver: Driver,
) -> Compiled:
    """Compiles the program of a run, which its first chunk then finds."""
    start = time.perf_counter()
    limit = jnp.zeros((), jnp.int32)
    if driver == "scan":
        lowered = _jit_scan.lower(
            objective, hyper, state, limit, factory=factory, length=chunk_length
        )
    elif optimizers.is_lbfgs(factory):
        lowered = _jit_evaluate.lower(objective, state.image[0], _variant(hyper, 0).weights)
    else:
        lowered = _jit_step.lower(objective, hyper, state, limit, factory=factory)
    needed = _bytes_of(lowered.compile())
    return Compiled(time.perf_counter() - start, needed)


def _bytes_of(compiled: jax.stages.Compiled) -> int:
    analysis = compiled.memory_analysis()
    if analysis is None:
        raise RuntimeError("the compiler for this device does not tell what a program takes")
    return int(analysis.temp_size_in_bytes + analysis.argument_size_in_bytes)


def run_chunks(
    objective: Objective,
    hyper: Hyperparameters,
    state: State,
    *,
    factory: OptimizerFactory,
    num_steps: int,
    chunk_length: int,
    driver: Driver | None = None,
    tolerance: float | None = None,
    totals: Float[np.ndarray, "t v"] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Chunk]:
    """Runs to `num_steps` steps, a chunk at a time; the state given is donated.

    Ends early when all variants have diverged or, with `tolerance`, converged
    (`has_converged`). Leaving the loop between two chunks interrupts the run and loses nothing.

    Args:
      objective: see `objective.make_objective`.
      hyper: leading axis v.
      state: see `init_state`; it says at which step to go on.
      factory: the optimizer as a function of its learning rate.
      num_steps: counted from the start of the run.
      chunk_length: steps a chunk; the last one may be shorter.
      driver: "python" or "scan"; default: what is fast on this device.
      tolerance: for convergence; None runs all steps.
      totals: of the steps already done, for convergence.
      should_stop: whether a chunk should end early; asked after each step called from Python.
    """
    driver = driver or default_driver()
    check_choice("driver", driver, Driver)
    advance = _chunk_function(driver, factory, should_stop)
    start = time.perf_counter()
    limit = jnp.asarray(num_steps, jnp.int32)
    past = [] if totals is None else list(totals)
    done = int(np.max(state.step))

    def converged() -> bool:
        # Looked for where a chunk should end: else it would depend on how fast steps are, or on
        # where the run was interrupted.
        if tolerance is None or not past or done % chunk_length:
            return False
        return has_converged(np.array(past), tolerance)

    while done < num_steps and np.any(np.asarray(state.diverged_step) < 0) and not converged():
        # After a chunk that ended early, up to where it should have ended: snapshots are there.
        length = chunk_length - done % chunk_length
        state, history, ends = advance(objective, hyper, state, limit, factory, length)
        # A scanned chunk always has its full length: rows in which nothing was evaluated, beyond
        # the last step or after the last variant has diverged, are dropped.
        length = int(np.count_nonzero(history.evaluations.any(axis=1)))
        history = jax.tree.map(lambda x, n=length: x[:n], history)
        done += length
        yield Chunk(state, history, ends[:length] - start)
        past.extend(history.terms.total)


def has_converged(totals: Float[np.ndarray, "t v"], tolerance: float) -> bool:
    """Whether no variant's total still falls by a worthwhile amount.

    Compares the mean over the last ten steps with that over the ten before: converged if it
    fell by no more than `tolerance` of the latter. Diverged variants do not count.
    """
    window = _CONVERGENCE_WINDOW
    if len(totals) < 2 * window:
        return False
    before, last = totals[-2 * window : -window].mean(axis=0), totals[-window:].mean(axis=0)
    return not np.any(before - last > tolerance * np.abs(before))


def _chunk_function(driver: Driver, factory: OptimizerFactory, should_stop: Callable) -> Callable:
    """(objective, hyper, state, limit, factory, length) -> (state, history, ends of steps)."""
    if driver == "scan":
        return _scanned_chunk
    if optimizers.is_lbfgs(factory):
        return _LbfgsFromPython(should_stop)
    return partial(_python_chunk, should_stop=should_stop)


def _scanned_chunk(objective, hyper, state, limit, factory, length):
    began = time.perf_counter()
    state, history = _jit_scan(objective, hyper, state, limit, factory=factory, length=length)
    history = jax.device_get(history)
    return state, history, np.linspace(began, time.perf_counter(), length + 1)[1:]


def _python_chunk(objective, hyper, state, limit, factory, length, *, should_stop):
    rows, ends = [], []
    for _ in range(min(length, int(limit) - int(np.max(state.step)))):
        state, row = _jit_step(objective, hyper, state, limit, factory=factory)
        # Waiting for the row keeps at most one step in flight; on a CPU it costs nothing.
        rows.append(jax.device_get(row))
        ends.append(time.perf_counter())
        if not np.any(rows[-1].evaluations) or _is_late(ends) or should_stop():
            break
    return state, _stack(rows), np.array(ends)


def _is_late(ends: list[float]) -> bool:
    return ends[-1] - ends[0] > _PATIENCE


class _LbfgsFromPython:
    """Steps of L-BFGS whose line search is a Python loop around the compiled objective.

    With jit disabled optax's own `while_loop` becomes that Python loop; compiled into it, the
    network would run on one thread of the CPU. The point that a line search accepts is where
    the next step starts: its evaluation is remembered.
    """

    def __init__(self, should_stop: Callable[[], bool]):
        self._should_stop = should_stop
        self._remembered: dict[int, deque] = {}

    def __call__(self, objective, hyper, state, limit, factory, length):
        variants = tuple(_variant(state, i) for i in range(len(state.step)))
        rows, ends = [], []
        for _ in range(min(length, int(limit) - int(np.max(state.step)))):
            variants, row = zip(
                *(
                    self._step(objective, _variant(hyper, i), variant, limit, factory, i)
                    for i, variant in enumerate(variants)
                ),
                strict=True,
            )
            rows.append(_stack(row))
            ends.append(time.perf_counter())
            if _is_late(ends) or self._should_stop():
                break
        return jax.tree.map(lambda *x: jnp.stack(x), *variants), _stack(rows), np.array(ends)

    def _step(self, objective, hyper, state, limit, factory, variant):
        known = self._remembered.setdefault(variant, deque(maxlen=32))

        def evaluate(image):
            for point, result in known:
                if np.array_equal(point, image):
                    return result
            with jax.disable_jit(False):
                result = _jit_evaluate(objective, image, hyper.weights)
            known.append((np.asarray(image), result))
            return result

        with jax.disable_jit():
            state, row = step_with(evaluate, hyper.learning_rate, state, limit, factory)
        # Only the first step evaluates its starting point.
        repeated = (np.asarray(state.step) > 1) & (np.asarray(row.evaluations) > 0)
        return state, jax.device_get(row._replace(evaluations=row.evaluations - repeated))


def _variant(tree, index: int):
    return jax.tree.map(lambda x: x[index], tree)


def _stack(rows):
    return jax.tree.map(lambda *x: np.stack(x), *rows)


def concatenate(histories: list[History]) -> History:
    """The histories of successive chunks as one."""
    return jax.tree.map(lambda *x: np.concatenate(x), *histories)


def pictures(state: State) -> Float[np.ndarray, "v h w 3"]:
    """The images of a state as they are saved: in [0, 1], of a diverged variant the last good."""
    return np.clip(np.asarray(state.image), 0, 1)


def losses_of(
    objective: Objective, hyper: Hyperparameters, images: Float[Array | np.ndarray, "v h w 3"]
) -> LossTerms:
    """The loss terms of one image a variant."""
    return jax.device_get(_jit_losses(objective, jnp.asarray(images), hyper.weights))


def final_losses(
    objective: Objective,
    hyper: Hyperparameters,
    state: State,
    images: Float[Array | np.ndarray, "v h w 3"],
    *,
    factory: OptimizerFactory,
    driver: Driver,
) -> LossTerms:
    """`losses_of` the pictures that a run ends with: on a CPU nothing is compiled for them.

    Args:
      objective: of the run, as all that follows.
      hyper: leading axis v.
      state: after the last step; it is donated.
      images: one a variant.
      factory: the optimizer as a function of its learning rate.
      driver: "python" or "scan".
    """
    if driver == "scan":
        return losses_of(objective, hyper, images)
    images = jnp.asarray(images)
    if optimizers.is_lbfgs(factory):
        evaluated = [
            _jit_evaluate(objective, image, _variant(hyper, i).weights)
            for i, image in enumerate(images)
        ]
        return _stack([jax.device_get(terms) for (_, terms), _ in evaluated])
    # A step says what its image loses; the image that it makes is dropped.
    start = state._replace(
        step=jnp.zeros_like(state.step),
        image=images,
        last_good=jnp.array(images),
        diverged_step=jnp.full_like(state.diverged_step, -1),
    )
    # Placed as the program has been compiled for; on a single device placing would be another one.
    if len(state.image.devices()) > 1:
        start = jax.device_put(start, jax.tree.map(lambda x: x.sharding, state))
    limit = jnp.ones((), jnp.int32)
    _, row = _jit_step(objective, hyper, start, limit, factory=factory)
    return jax.device_get(row.terms)


def check_settings(*, num_steps: int, learning_rate: float, tolerance: float | None) -> None:
    """Refuses settings with which no run can work."""
    if not isinstance(num_steps, int | np.integer) or num_steps < 1:
        raise ValueError(f"the number of steps must be at least 1, and whole, got {num_steps}")
    if num_steps > MAX_STEPS:
        raise ValueError(f"the number of steps must be at most {MAX_STEPS}, got {num_steps}")
    with np.errstate(over="ignore", under="ignore"):
        is_rate = is_number(learning_rate) and 0 < np.float32(learning_rate) < np.inf
    if not is_rate:
        raise ValueError(f"the learning rate must be positive and finite, got {learning_rate!r}")
    if tolerance is not None and not (is_number(tolerance) and 0 <= tolerance < np.inf):
        raise ValueError(f"the tolerance must be finite and not negative, got {tolerance}")
