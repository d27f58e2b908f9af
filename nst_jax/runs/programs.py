"""One compiled program of a run: built from its plan, run into the log, checkpointed, ended."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8, UInt16

from nst_jax import driver, placement, runlog, stages
from nst_jax import image as images
from nst_jax.optimizers import Optimizer
from nst_jax.runlog import RunRecord, Variant, checkpoint
from nst_jax.runlog.writing import RunLog
from nst_jax.runs.plans import Plan, are_of_several_styles
from nst_jax.runs.problem import Method, Problem, Schedule, Stage
from nst_jax.system import memory
from nst_jax.system.cluster import ALONE, Team
from nst_jax.system.console import warn
from nst_jax.system.interrupts import StopRequest
from nst_jax.terms import Losses, Objective

CHECKPOINT_SECONDS = 30.0

OnChunk = Callable[[Plan, driver.Chunk], None]


class Program(NamedTuple):
    """What is ready before the first step of some variants that run together, in one stage.

    Attributes:
      number: among the programs of the run; those of one number are the stages of one.
      plan: of this program.
      variants: its own.
      stage: of the run.
      problem: of its content.
      objective: of its style; of several that of the first one, with the targets of all in `hyper`.
      optimizer: its own.
      hyper: rates and weights, leading axis v of the plan's width.
      state: before its first step, or from a checkpoint; of a later stage one of the same shapes.
      team: the processes that run it.
    """

    number: int
    plan: Plan
    variants: Sequence[Variant]
    stage: Stage
    problem: Problem
    objective: Objective
    optimizer: Optimizer
    hyper: driver.Hyperparameters
    state: driver.State
    team: Team = ALONE


class Sink(NamedTuple):
    """Where a program writes.

    Attributes:
      log: of the run.
      checkpoint: written every half minute and on a signal, and removed at the end.
      keep_state: keep it at the end, too.
      on_chunk: told of each chunk.
      shape: (h, w, 3) of the pictures that are saved.
    """

    log: RunLog
    checkpoint: Path
    keep_state: bool
    on_chunk: OnChunk
    shape: tuple[int, ...]


def build(
    stage: Stage,
    method: Method,
    plan: Plan,
    variants: Sequence[Variant],
    *,
    number: int,
    team: Team = ALONE,
) -> Program:
    """The program of a plan at its start.

    Args:
      stage: of the run.
      method: of the run.
      plan: of the program.
      variants: all of the run.
      number: of the program among the run's.
      team: the processes that run it.
    """
    own = list(variants[plan.columns])
    lanes = own + [own[-1]] * (plan.width - len(own))
    optimizer = method.optimizer(own[0])
    hyper = jax.tree.map(
        lambda *x: jnp.stack([jnp.asarray(each, jnp.float32) for each in x]),
        *(stage.hyper(variant, of_its_style=are_of_several_styles(own)) for variant in lanes),
    )
    problem = stage.problems[own[0].content]
    starts = np.stack([problem.start(variant) for variant in lanes])
    state = driver.init_state(starts, optimizer, hyper)
    objective = problem.objectives[own[0].style]
    return Program(number, plan, own, stage, problem, objective, optimizer, hyper, state, team)


def run(
    course: Sequence[Program], schedule: Schedule, sink: Sink, request: StopRequest
) -> list[Variant]:
    """Runs a program into its columns of the log, from its checkpoint if there is one.

    Args:
      course: its stages, see `build`.
      schedule: how long.
      sink: where it writes.
      request: a signal that ends the run after the present chunk.

    Returns:
      Its variants with their status.
    """
    program, state = run_stages(course, schedule, sink, request)
    # The evaluation of the last pictures gives the state away.
    if sink.keep_state:
        checkpoint.save(sink.checkpoint, state, program=program.number)
    ended = finish(program, state, sink, bool(request))
    if not (request or sink.keep_state):
        sink.checkpoint.unlink(missing_ok=True)
    return ended


def run_stages(
    course: Sequence[Program], schedule: Schedule, sink: Sink, request: StopRequest
) -> tuple[Program, driver.State]:
    """The last stage that a program came to, and its state; arguments as `run`."""
    course, seconds = _from_checkpoint(course, sink)
    state, saved = course[0].state, time.monotonic()
    for number, program in enumerate(course):
        program = _grown(program, state) if number else program
        state, saved = _run_stage(program, schedule, sink, request, seconds, saved)
        if request:
            break
        seconds = sink.log.seconds(program.plan.columns)
    return program, state


def _run_stage(
    program: Program,
    schedule: Schedule,
    sink: Sink,
    request: StopRequest,
    seconds: float,
    saved: float,
) -> tuple[driver.State, float]:
    """The state at the end of a stage, and when one was saved last.

    Args:
      program: at the step at which it goes on.
      schedule: how long.
      sink: where it writes.
      request: of a signal.
      seconds: that the variants have run before.
      saved: when a state was saved, by `time.monotonic`.
    """
    placed = _spread(program)
    needed = _compile(placed, sink.log)
    state = program.state
    height, width = program.problem.shape[:2]
    with memory.out_of_memory_in_words(needed, (width, height), program.plan.width):
        for chunk in _chunks(placed, schedule, sink.log, request):
            state = placement.readable(chunk.state)
            state = placement.without_filling(state, program.problem.shape)
            chunk = chunk._replace(state=state)
            request.settle()
            _log_chunk(program, schedule, chunk, sink, seconds)
            sink.on_chunk(program.plan, chunk)
            if request or time.monotonic() - saved > CHECKPOINT_SECONDS:
                checkpoint.save(sink.checkpoint, state, program=program.number)
                saved = time.monotonic()
            if request:
                break
    return state, saved


def _grown(program: Program, state: driver.State) -> Program:
    """The program of a stage at the end of the one before."""
    # Off the devices over which that one was spread.
    ended = jax.tree.map(jnp.asarray, jax.device_get(state))
    shape = program.problem.shape
    grown = stages.grow(ended, shape, program.hyper, optimizer=program.optimizer)
    return program._replace(state=grown)


def _from_checkpoint(course: Sequence[Program], sink: Sink) -> tuple[Sequence[Program], float]:
    """The stages that are left, the first at its last checkpoint, and the seconds until then."""
    first = course[0]
    columns = first.plan.columns
    if checkpoint.program_of(sink.checkpoint) != first.number:
        # Those that have run before are other frames of a clip.
        return course, sink.log.seconds(columns) if first.stage.begin else 0.0
    for i, program in enumerate(course):
        with suppress(checkpoint.OtherRun):
            state = checkpoint.load(sink.checkpoint, program.state)
            steps = np.asarray(state.step)
            if 0 <= steps.min() <= steps.max() <= len(sink.log.totals(columns)) and _is_in(
                program.stage, int(steps.max())
            ):
                at_state = program._replace(state=jax.tree.map(jnp.asarray, state))
                return [at_state, *course[i + 1 :]], sink.log.seconds(columns)
    raise checkpoint.OtherRun(sink.checkpoint)


def _is_in(stage: Stage, step: int) -> bool:
    """Whether a state of so many steps is of a stage: at a seam of the one that ends there."""
    return stage.begin < step <= stage.stop or step == stage.begin == 0


def _spread(program: Program) -> Program:
    """The lanes and rows over several devices, the network and the targets on each.

    A run that is resumed may find other devices than it was planned for, and an early stage has
    fewer rows.
    """
    plan, shape, team = program.plan, program.problem.shape, program.team
    devices = team.devices
    lanes = max(n for n in range(1, plan.devices + 1) if plan.width % n == 0 and n <= len(devices))
    rows = placement.row_devices(shape[0], len(devices) // lanes, evenly=team.count > 1)
    if team.count == 1:
        rows = min(plan.row_devices, rows)
        devices = devices[: lanes * rows]
    if len(devices) == 1:
        return program
    mesh = placement.mesh_of(lanes, rows, devices)
    objective = placement.everywhere(program.objective, mesh)
    return program._replace(
        objective=placement.of_rows(objective, shape[0]) if rows > 1 else objective,
        hyper=placement.spread(program.hyper, mesh, shape),
        state=placement.spread(program.state, mesh, shape),
    )


def _compile(program: Program, log: RunLog) -> int:
    """The bytes that a program takes, which its first chunk then finds compiled."""
    compiled = driver.compile_ahead(
        program.objective,
        program.hyper,
        program.state,
        optimizer=program.optimizer,
        chunk_length=program.plan.chunk_length,
        driver=program.plan.driver,
    )
    log.add_compile_seconds(compiled.seconds)
    if compiled.bytes > memory.available_bytes():
        warn(
            f"this takes about {compiled.bytes / 1e9:.1f} GB, and "
            f"{memory.available_bytes() / 1e9:.1f} GB are free: nst-jax plan tells what fits"
        )
    return compiled.bytes


def _chunks(
    program: Program, schedule: Schedule, log: RunLog, request: StopRequest
) -> Iterator[driver.Chunk]:
    plan = program.plan
    done = int(np.max(program.state.step))
    totals = log.totals(plan.columns)[:done]
    return driver.run_chunks(
        program.objective,
        program.hyper,
        program.state,
        optimizer=program.optimizer,
        num_steps=program.stage.stop,
        chunk_length=plan.chunk_length,
        driver=plan.driver,
        tolerance=schedule.tolerance,
        # Lanes beyond the variants repeat the last one.
        totals=np.pad(totals, ((0, 0), (0, plan.width - totals.shape[1])), mode="edge"),
        should_stop=lambda: request.has_come,
        agree=program.team.agree,
    )


def _log_chunk(
    program: Program, schedule: Schedule, chunk: driver.Chunk, sink: Sink, seconds: float
) -> None:
    plan, log = program.plan, sink.log
    history = jax.tree.map(lambda x: x[:, : plan.count], chunk.history)
    length = len(chunk.seconds)
    done = int(np.max(chunk.state.step))
    log.append(
        runlog.Rows(
            step=np.arange(done - length, done, dtype=np.int32),
            wall_time=np.broadcast_to((seconds + chunk.seconds)[:, None], (length, plan.count)),
            evaluations=history.evaluations,
            grad_norm=history.grad_norm,
            update_norm=history.update_norm,
            losses=_losses_by_name(history.terms),
            parts={
                term: history.terms.parts[term]
                for term, names in program.problem.parts.items()
                if len(names) > 1
            },
        ),
        plan.columns,
    )
    if schedule.snapshot_every and done % schedule.snapshot_every == 0:
        pictures = _saved(
            program.problem, program.problem.in_8_bits(chunk.state)[: plan.count], sink.shape
        )
        log.append_snapshot(done // schedule.snapshot_every - 1, done, pictures, plan.columns)


def _losses_by_name(found: Losses) -> dict[str, np.ndarray]:
    """The total and the terms as the log has them."""
    return {runlog.TOTAL: found.total, **found.terms}


def finish(program: Program, state: driver.State, sink: Sink, interrupted: bool) -> list[Variant]:
    """Logs the pictures as they are saved, their losses, and how each variant ended."""
    plan, log = program.plan, sink.log
    pictures = program.problem.in_8_bits(state)
    fine = _in_16_bits(program, state, sink.shape) if log.depth == 16 else None
    bad_steps = np.asarray(state.diverged_step)
    placed = _spread(program._replace(state=state))
    losses = driver.losses_at_end(
        placed.objective,
        placed.hyper,
        placed.state,
        placement.like(images.from_uint8(pictures), placed.state.image),
        optimizer=program.optimizer,
        driver=plan.driver,
    )
    final = {name: loss[: plan.count] for name, loss in _losses_by_name(losses).items()}
    begin = program.stage.begin
    totals, start = log.totals(plan.columns)[begin:], log.losses_at(begin, plan.columns)
    ended = []
    for i, variant in enumerate(program.variants):
        first = {name: float(values[i]) for name, values in start.items()}
        at_minimum = partial(program.problem.is_at_minimum, variant, first)
        last = float(final[runlog.TOTAL][i])
        ended.append(
            _ended(variant, int(bad_steps[i]), totals[:, i], begin, last, interrupted, at_minimum)
        )
    saved = _saved(program.problem, pictures[: plan.count], sink.shape)
    log.finish_variants(ended, final=final, images=saved, fine=fine, variants=plan.columns)
    return ended


def _ended(
    variant: Variant,
    bad_step: int,
    totals: np.ndarray,
    begin: int,
    final: float,
    interrupted: bool,
    began_at_minimum: Callable[[], bool],
) -> Variant:
    """A variant has diverged if a value was not finite, or if it ended above its start.

    That is the start of the stage: losses of other sizes cannot be compared. Clipped pixels keep
    even absurd rates finite: then the step is the one after which the total never again came down
    to that of the start. Above a minimum any rate ends.
    """
    if bad_step >= 0:
        return replace(variant, status="diverged", diverged_step=bad_step)
    if interrupted:
        return replace(variant, status="interrupted", diverged_step=-1)
    if final > totals[0] and not began_at_minimum():
        last_below = np.flatnonzero(totals <= totals[0])[-1]
        return replace(variant, status="diverged", diverged_step=begin + int(last_below) + 1)
    return replace(variant, status="finished", diverged_step=-1)


def _saved(
    problem: Problem, pictures: UInt8[np.ndarray, "v h w 3"], shape: tuple[int, ...]
) -> UInt8[np.ndarray, "v h2 w2 3"]:
    """Pictures as the log has them: in their colors, and of an early stage enlarged."""
    colored = problem.colored(pictures)
    if colored.shape[1:] == shape:
        return colored
    return images.to_uint8(_enlarged(images.from_uint8(colored), shape))


def _in_16_bits(
    program: Program, state: driver.State, shape: tuple[int, ...]
) -> UInt16[np.ndarray, "v h w 3"]:
    """The pictures of a state as files of 16 bits have them: from the floats themselves."""
    finished = program.problem.finished(state)[: program.plan.count]
    return images.to_uint16(_enlarged(finished, shape))


def _enlarged(
    pictures: Float[np.ndarray, "v h w 3"], shape: tuple[int, ...]
) -> Float[np.ndarray, "v h2 w2 3"]:
    if pictures.shape[1:] == shape:
        return pictures
    return np.stack([images.resize(each, *shape[:2]) for each in pictures])


def is_end_of(record: RunRecord, path: Path, program: Program) -> bool:
    """Whether a checkpoint is the state with which the variants of a program ended.

    Args:
      record: the log, of a run whose variants have ended.
      path: the checkpoint.
      program: see `build`, of the last stage.
    """
    state = checkpoint.load(path, program.state)
    if not np.isfinite(driver.pictures(state)).all():
        return False
    plan = program.plan
    pictures = program.problem.colored(program.problem.in_8_bits(state)[: plan.count])
    logged = [record.picture_of(i) for i in range(plan.start, plan.stop)]
    return np.array_equal(pictures, logged)
