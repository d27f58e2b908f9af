"""The optimisation in chunks of steps, always over a leading variant axis.

A single run is a sweep of one. One step function (`steps`) serves two drivers, since XLA runs
convolutions inside a loop on one thread of a CPU, four times slower: "python" calls the step
from Python (CPU), "scan" runs a chunk of steps in one program (GPU, TPU).

    state = init_state(images, optimizer, hyperparameters)
    for chunk in run_chunks(objective, hyperparameters, state, optimizer=optimizer, num_steps=250):
        ...  # log chunk.history, show progress, stop by leaving the loop
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from nst_jax import backend, lbfgs_from_python
from nst_jax.choices import Driver, check_choice
from nst_jax.compiler import Program
from nst_jax.optimizers import Optimizer
from nst_jax.scalars import is_number
from nst_jax.steps import History, Hyperparameters, State, init_state, step_variants
from nst_jax.strips import account, stepping
from nst_jax.terms import Losses, Objective, Weights

MAX_STEPS = 1_000_000
MAX_CHUNK_LENGTH = 50
_CHUNK_SECONDS = 2.0
# A chunk called from Python ends early after this time, on a machine slower than assumed.
_PATIENCE = 3.0
# Floating point operations a second, guessed low so that a chunk ends well within five seconds.
_ASSUMED_RATE = {"cpu": 1e11, "gpu": 2e13, "tpu": 2e13}
_CONVERGENCE_WINDOW = 10

_Step = Callable[[State, Int[Array, ""]], tuple[State, History]]
"""From a state and the number of steps of the run to the next state and its row (v,)."""
_Ended = tuple[State, History, np.ndarray]
"""The state after some steps, their rows (t, v), and the time at which each ended (t,)."""


class Chunk(NamedTuple):
    """Some steps just done.

    Attributes:
      state: after them, of all variants; the next chunk overwrites it.
      history: their rows (t, v), NumPy arrays.
      seconds: their ends (t,), from the start of the run; inside a scanned chunk interpolated.
    """

    state: State
    history: History
    seconds: np.ndarray


class Compiled(NamedTuple):
    """What compiling a program took, and what the program takes.

    Attributes:
      seconds: of tracing and compiling.
      bytes: temporary values and arguments.
    """

    seconds: float
    bytes: int


def _scan_steps(objective, hyper, state, num_steps, *, optimizer, length):
    def body(state, _):
        return step_variants(objective, hyper, state, num_steps, optimizer=optimizer)

    return jax.lax.scan(body, state, length=length)


# The state is donated: a step writes the next one into its buffers, or both would take memory.
_jit_step = Program(step_variants, static_argnames="optimizer", donate_argnames="state")
_jit_scan = Program(_scan_steps, static_argnames=("optimizer", "length"), donate_argnames="state")
_jit_losses = Program(jax.vmap(lambda objective, *args: objective(*args)[1], in_axes=(None, 0, 0)))


def default_driver() -> Driver:
    """ "python" on a CPU, "scan" elsewhere: see the top of this module."""
    return "python" if backend.platform() == "cpu" else "scan"


def default_chunk_length(
    objective: Objective,
    hyper: Hyperparameters,
    state: State,
    *,
    optimizer: Optimizer,
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
      optimizer: static.
      num_steps: of the run.
      snapshot_every: period of the snapshots, 0 for none.
      lanes: variants of the program.
      tolerance: convergence is looked for after each chunk.

    Returns:
      From 1 to `MAX_CHUNK_LENGTH`; the chunks of a run are as even as they can be.
    """
    # With the types of a run, whose program then need not be traced again.
    limit = jnp.zeros((), jnp.int32)
    whole = stepping.opened(objective)[0] if stepping.are_in(objective) else objective
    lowered = _jit_step.lower(whole, hyper, state, limit, optimizer=optimizer)
    # A compiler that does not count operations gives None: chunks are then as long as they may be.
    flops = (lowered.cost_analysis() or {}).get("flops", 0.0)
    seconds = lanes * max(flops, 1.0) / _ASSUMED_RATE.get(backend.platform(), 1e11)
    most = MAX_CHUNK_LENGTH if tolerance is None else _CONVERGENCE_WINDOW
    longest = int(np.clip(_CHUNK_SECONDS / seconds, 1, most))
    # A divisor, because snapshots are taken at the ends of chunks.
    if snapshot_every:
        return max(n for n in range(1, longest + 1) if snapshot_every % n == 0)
    # The fewest chunks, and then the shortest that make as many: none is nearly empty.
    return -(-num_steps // -(-num_steps // min(longest, num_steps)))


def abstract_lanes(
    lanes: int, shape: tuple[int, ...], weights: Weights, *, optimizer: Optimizer
) -> tuple[Hyperparameters, State]:
    """Hyperparameters and state of so many lanes as shapes: enough to lower a step.

    Args:
      lanes: the leading axis v.
      shape: of one image.
      weights: of one lane.
      optimizer: static.

    Returns:
      Two pytrees of `jax.ShapeDtypeStruct`.
    """
    hyper = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((lanes, *np.shape(x)), np.float32),
        Hyperparameters(np.float32(0), weights),
    )
    images = jax.ShapeDtypeStruct((lanes, *shape), np.float32)
    return hyper, jax.eval_shape(partial(init_state, optimizer=optimizer), images, hyper=hyper)


def step_bytes(
    objective: Objective, hyper: Hyperparameters, state: State, *, optimizer: Optimizer
) -> int:
    """What a step takes in bytes, by the compiler's own account.

    Args:
      objective: see `objective.make_objective`; shapes are enough, as for all that follows.
      hyper: leading axis v.
      state: leading axis v.
      optimizer: static.

    Raises:
      RuntimeError: the compiler for this device does not tell.
    """
    if stepping.are_in(objective) and default_driver() == "python":
        return account.compile_all(objective, hyper, state, optimizer=optimizer)
    limit = jnp.zeros((), jnp.int32)
    return _bytes_of(_jit_step.lower(objective, hyper, state, limit, optimizer=optimizer).compile())


def compile_ahead(
    objective: Objective,
    hyper: Hyperparameters,
    state: State,
    *,
    optimizer: Optimizer,
    chunk_length: int,
    driver: Driver,
) -> Compiled:
    """Compiles the program of a run, which its first chunk then finds.

    Args:
      objective: of the run, as all that follows.
      hyper: leading axis v.
      state: leading axis v.
      optimizer: static.
      chunk_length: steps a chunk; "scan" compiles a program for each length.
      driver: "python" or "scan".

    Raises:
      RuntimeError: as `step_bytes`.
    """
    start = time.perf_counter()
    if stepping.are_in(objective) and driver == "python":
        needed = account.compile_all(objective, hyper, state, optimizer=optimizer)
        return Compiled(time.perf_counter() - start, needed)
    limit = jnp.zeros((), jnp.int32)
    if driver == "scan":
        lowered = _jit_scan.lower(
            objective, hyper, state, limit, optimizer=optimizer, length=chunk_length
        )
    elif optimizer.line_search:
        lowered = lbfgs_from_python.lower(objective, hyper, state)
    else:
        lowered = _jit_step.lower(objective, hyper, state, limit, optimizer=optimizer)
    needed = _bytes_of(lowered.compile())
    return Compiled(time.perf_counter() - start, needed)


def _bytes_of(compiled: jax.stages.Compiled) -> int:
    analysis = compiled.memory_analysis()
    if analysis is None:
        raise RuntimeError("the compiler for this device does not tell what a program takes")
    # Without the output: the next state lies where the donated one did.
    return int(analysis.temp_size_in_bytes + analysis.argument_size_in_bytes)


def run_chunks(
    objective: Objective,
    hyper: Hyperparameters,
    state: State,
    *,
    optimizer: Optimizer,
    num_steps: int,
    chunk_length: int,
    driver: Driver | None = None,
    tolerance: float | None = None,
    totals: Float[np.ndarray, "t v"] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    agree: Callable[[bool], bool] = bool,
) -> Iterator[Chunk]:
    """Runs to `num_steps` steps, a chunk at a time; the state given is donated.

    Ends early when all variants have diverged or, with `tolerance`, converged
    (`has_converged`). Leaving the loop between two chunks interrupts the run and loses nothing.

    Args:
      objective: see `objective.make_objective`.
      hyper: leading axis v.
      state: see `init_state`; it says at which step to go on.
      optimizer: static.
      num_steps: counted from the start of the run.
      chunk_length: steps a chunk; the last one may be shorter.
      driver: "python" or "scan"; default: what is fast on this device.
      tolerance: for convergence; None runs all steps.
      totals: of the steps already done, for convergence.
      should_stop: whether a chunk should end early; asked after each step called from Python.
      agree: whether any process that runs the same program says yes. Asked before each chunk and
        after each step called from Python, with what this process says: one that went on or ended
        alone would wait for the others, or they for it.

    Yields:
      The steps since the last chunk, at least one.

    Raises:
      ValueError: an unknown driver.
    """
    driver = driver or default_driver()
    check_choice("driver", driver, Driver)

    def ends_early(is_over: bool) -> bool:
        return agree(is_over or should_stop())

    advance = _chunk_function(objective, hyper, optimizer, driver, chunk_length, ends_early)
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

    def is_over() -> bool:
        has_diverged = np.asarray(state.diverged_step) >= 0
        return done >= num_steps or bool(np.all(has_diverged)) or converged()

    while not agree(is_over()):
        # After a chunk that ended early, up to where it should have ended: snapshots are there.
        length = chunk_length - done % chunk_length
        state, history, ends = advance(state, limit, length)
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
    fell by no more than `tolerance` of the latter.

    Args:
      totals: of all steps so far; NaN after a variant has diverged.
      tolerance: from 0 up.
    """
    window = _CONVERGENCE_WINDOW
    if len(totals) < 2 * window:
        return False
    before, last = totals[-2 * window : -window].mean(axis=0), totals[-window:].mean(axis=0)
    # Comparisons with NaN are false: diverged variants do not count.
    return not np.any(before - last > tolerance * np.abs(before))


def _chunk_function(
    objective: Objective,
    hyper: Hyperparameters,
    optimizer: Optimizer,
    driver: Driver,
    chunk_length: int,
    ends_early: Callable[[bool], bool],
) -> Callable[[State, Int[Array, ""], int], _Ended]:
    """What takes a chunk of steps: (state, steps of the run, steps of the chunk) -> their end.

    Args:
      objective: of the run, as all that follows.
      hyper: leading axis v.
      optimizer: static.
      driver: "python" or "scan".
      chunk_length: of a whole chunk.
      ends_early: asked after each step called from Python, with whether it was long enough.
    """
    if driver == "scan":
        scan = partial(_jit_scan, objective, hyper, optimizer=optimizer, length=chunk_length)
        return partial(_scanned_chunk, scan)
    if optimizer.line_search:
        step: _Step = lbfgs_from_python.stepper(objective, hyper, optimizer=optimizer)
    elif stepping.are_in(objective):
        step = stepping.stepper(objective, hyper, optimizer=optimizer)
    else:
        step = partial(_jit_step, objective, hyper, optimizer=optimizer)
    return partial(_python_chunk, step, ends_early)


def _scanned_chunk(
    scan: Callable[..., tuple[State, History]],
    state: State,
    num_steps: Int[Array, ""],
    length: int,
) -> _Ended:
    """So many steps in one program; those beyond them or the run have rows without a value."""
    began = time.perf_counter()
    # A shorter chunk, as after the seam of two stages, goes by the program of a whole one: idle
    # steps take less time than the compiler.
    stop = min(int(num_steps), int(np.max(state.step)) + length)
    state, history = scan(state, jnp.asarray(stop, jnp.int32))
    history = jax.device_get(history)
    # When a step inside the program ended is not known: the ends are spread evenly.
    return state, history, np.linspace(began, time.perf_counter(), length + 1)[1:]


def _python_chunk(
    step: _Step,
    ends_early: Callable[[bool], bool],
    state: State,
    num_steps: Int[Array, ""],
    length: int,
) -> _Ended:
    """At most so many steps, called one by one: none beyond the end of the run.

    It ends early when it is asked to, has taken long, or no variant moves any more.
    """
    rows, ends = [], []
    for _ in range(min(length, int(num_steps) - int(np.max(state.step)))):
        state, row = step(state, num_steps)
        # Waiting for the row keeps at most one step in flight; on a CPU it costs nothing.
        rows.append(jax.device_get(row))
        ends.append(time.perf_counter())
        is_late = ends[-1] - ends[0] > _PATIENCE
        if ends_early(is_late or not np.any(rows[-1].evaluations)):
            break
    return state, jax.tree.map(lambda *x: np.stack(x), *rows), np.array(ends)


def concatenate(histories: list[History]) -> History:
    """The histories of successive chunks as one: (t1, v), (t2, v), ... -> (t1 + t2 + ..., v)."""
    return jax.tree.map(lambda *x: np.concatenate(x), *histories)


def pictures(state: State) -> Float[np.ndarray, "v h w 3"]:
    """What is saved of a state: in [0, 1]; of a diverged variant the last good image.

    It is the average of its images, if the optimizer has one (`Optimizer.average`).
    """
    return np.clip(np.asarray(state.picture), 0, 1)


def losses_of(
    objective: Objective, hyper: Hyperparameters, images: Float[Array | np.ndarray, "v h w 3"]
) -> Losses:
    """The loss terms of one image a variant, without the gradient.

    Args:
      objective: see `objective.make_objective`.
      hyper: leading axis v; only the weights are used.
      images: RGB in [0, 1].

    Returns:
      NumPy arrays with the leading axis v.
    """
    return jax.device_get(_jit_losses(objective, jnp.asarray(images), hyper.weights))


def losses_at_end(
    objective: Objective,
    hyper: Hyperparameters,
    state: State,
    images: Float[Array | np.ndarray, "v h w 3"],
    *,
    optimizer: Optimizer,
    driver: Driver,
) -> Losses:
    """`losses_of` the pictures that a run ends with; from Python by a program that it has compiled.

    Args:
      objective: of the run, as all that follows.
      hyper: leading axis v.
      state: after the last step; it is donated.
      images: RGB in [0, 1], one a variant.
      optimizer: static.
      driver: "python" or "scan".

    Returns:
      NumPy arrays with the leading axis v.
    """
    if driver == "scan":
        return losses_of(objective, hyper, images)
    if stepping.are_in(objective):
        return stepping.losses_of(objective, hyper, images)
    if optimizer.line_search:
        return lbfgs_from_python.losses_of(objective, hyper, images)
    # A step of what is done is an evaluation. The network would take seconds to compile once more.
    shown = state._replace(
        image=jnp.asarray(images), diverged_step=jnp.full_like(state.diverged_step, -1)
    )
    # As the program has been compiled for. On one device the placement would be another one.
    if len(state.image.devices()) > 1:
        shown = jax.device_put(shown, jax.tree.map(lambda x: x.sharding, state))
    done = jnp.zeros((), jnp.int32)
    return jax.device_get(_jit_step(objective, hyper, shown, done, optimizer=optimizer)[1].terms)


def check_settings(*, num_steps: int, learning_rate: float, tolerance: float | None) -> None:
    """Refuses settings with which no run can work.

    Args:
      num_steps: from 1 to `MAX_STEPS`.
      learning_rate: positive and finite, in float32 too.
      tolerance: finite, from 0 up; None for none.

    Raises:
      ValueError: one line that names the setting, what it must be, and what it is.
    """
    if not isinstance(num_steps, int | np.integer) or num_steps < 1:
        raise ValueError(f"the number of steps must be at least 1, and whole, got {num_steps}")
    if num_steps > MAX_STEPS:
        raise ValueError(f"the number of steps must be at most {MAX_STEPS}, got {num_steps}")
    # 1e60 is infinite in float32, and 1e-60 is 0.
    with np.errstate(over="ignore", under="ignore"):
        is_rate = is_number(learning_rate) and 0 < np.float32(learning_rate) < np.inf
    if not is_rate:
        raise ValueError(f"the learning rate must be positive and finite, got {learning_rate!r}")
    if tolerance is not None and not (is_number(tolerance) and 0 <= tolerance < np.inf):
        raise ValueError(f"the tolerance must be finite and not negative, got {tolerance}")
