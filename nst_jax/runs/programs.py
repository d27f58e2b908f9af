"""Variants that share one compiled program: planned, built, run into the log, checkpointed.

Variants of one optimizer and one style run together, in batches of equal width. Programs of one
optimizer have equal shapes whatever their style and rates, so that each is compiled once.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from nst_jax import backend, driver, optimizers, runlog
from nst_jax import image as images
from nst_jax.choices import Driver
from nst_jax.compiler import Program
from nst_jax.config import RunConfig
from nst_jax.objective import (
    Objective,
    Targets,
    compute_targets,
    in_gray,
    losses_without_features,
    make_objective,
    make_weights,
    relative_weights,
)
from nst_jax.runlog import Variant, checkpoint
from nst_jax.runlog.writing import RunLog
from nst_jax.runs.inputs import Inputs, layers_of
from nst_jax.system import memory
from nst_jax.system.console import warn
from nst_jax.system.interrupts import StopRequest

CHECKPOINT_SECONDS = 30.0

# Of a loss: what rounding leaves, or another file of the same picture; and what is no aim.
_NOTHING, _LITTLE = 1e-6, 0.1

OnChunk = Callable[["Plan", driver.Chunk], None]


class Problems(NamedTuple):
    """What the variants minimise: one objective a style, one set of weights a variant."""

    objectives: Mapping[str, Objective]
    targets: Mapping[str, Targets]
    layer_balance: str

    def weights(self, variant: Variant):
        targets = self.targets[variant.style]
        weights = make_weights(
            targets,
            content=variant.content_weight,
            style=variant.style_weight,
            total_variation=variant.tv_weight,
        )
        return relative_weights(targets, weights) if self.layer_balance == "relative" else weights

    def is_at_minimum(self, variant: Variant, terms: Mapping[str, float]) -> bool:
        """Whether an image of these terms leaves nothing to gain: it has all that is asked for.

        Content and style are then nothing beside what an image without features would have, and
        the total variation is little.
        """
        weights = self.weights(variant)
        of_content, of_style = losses_without_features(self.targets[variant.style])
        content = variant.content_weight * float(np.dot(weights.content_layers, of_content))
        style = variant.style_weight * float(np.dot(weights.style_layers, of_style))
        return (
            variant.content_weight * terms["content"] <= _NOTHING * content
            and variant.style_weight * terms["style"] <= _NOTHING * style
            and variant.tv_weight * terms["total_variation"] <= _LITTLE * (content + style)
        )


@dataclass(frozen=True)
class Plan:
    """One program of a run, as the log records it: resumed, it must be the same again.

    Attributes:
      start, stop: its variants, as columns of the log.
      width: lanes; those beyond its variants repeat the last one.
      chunk_length: steps between two looks at the outside.
      driver: "python" or "scan".
      devices: over how many local devices the lanes are spread.
    """

    start: int
    stop: int
    width: int
    chunk_length: int
    driver: Driver
    devices: int

    @property
    def columns(self) -> slice:
        return slice(self.start, self.stop)


def make_problems(config: RunConfig, feature_fn: Callable, inputs: Inputs) -> Problems:
    """The targets of every style, computed once, and the objectives."""
    compute = Program(
        compute_targets, static_argnames=("content_layers", "style_layers", "convention")
    )
    targets = {
        name: compute(
            feature_fn,
            inputs.content,
            style,
            content_layers=layers_of(config.content_layers, config.arch),
            style_layers=layers_of(config.style_layers, config.arch),
            convention=config.convention,
        )
        for name, style in inputs.styles.items()
    }
    objectives = {name: make_objective(feature_fn, each) for name, each in targets.items()}
    if config.gray:
        objectives = {name: in_gray(each) for name, each in objectives.items()}
    return Problems(objectives, targets, config.layer_balance)


def plan(
    config: RunConfig,
    variants: Sequence[Variant],
    problems: Problems,
    inputs: Inputs,
    *,
    batch: int | None,
) -> list[Plan]:
    """Cuts the variants into programs that fit into memory.

    Args:
      config: settings of the run.
      variants: those of one style and optimizer are neighbors.
      problems: their objectives.
      inputs: their pictures.
      batch: lanes a program at most; None: what memory holds.
    """
    plans, first = [], 0
    for (_, optimizer), group in groupby(variants, key=lambda v: (v.style, v.optimizer)):
        count = len(list(group))
        is_serial = _optimizer(config, optimizer).line_search
        devices = 1 if is_serial else min(len(backend.devices()), count)
        per_device = -(-count // devices)
        most = batch or devices * _most_lanes(config, variants[first], per_device, problems, inputs)
        most = max(most // devices, 1) * devices
        batches = -(-count // most)
        width = -(-count // batches)
        width = -(-width // devices) * devices
        chunk_length = _chunk_length(config, variants[first], width, problems, inputs)
        for start in range(first, first + count, width):
            stop = min(start + width, first + count)
            plans.append(Plan(start, stop, width, chunk_length, driver.default_driver(), devices))
        first += count
    return plans


def plan_again(
    plans: Sequence[Plan],
    config: RunConfig,
    variants: Sequence[Variant],
    problems: Problems,
    inputs: Inputs,
) -> list[Plan]:
    """The same programs for another number of steps; arguments as `plan`."""
    return [
        replace(
            each,
            chunk_length=_chunk_length(config, variants[each.start], each.width, problems, inputs),
        )
        for each in plans
    ]


def _chunk_length(config, variant, width: int, problems, inputs) -> int:
    optimizer = _optimizer(config, variant.optimizer)
    weights = problems.weights(variant)
    return driver.default_chunk_length(
        problems.objectives[variant.style],
        *driver.abstract_lanes(1, inputs.content.shape, weights, optimizer=optimizer),
        optimizer=optimizer,
        num_steps=config.steps,
        snapshot_every=config.snapshot_every,
        lanes=width,
        tolerance=config.tolerance,
    )


def _most_lanes(config, variant, wanted: int, problems, inputs) -> int:
    optimizer = _optimizer(config, variant.optimizer)
    # Variants with a line search run one after another.
    if optimizer.line_search:
        return wanted
    objective = problems.objectives[variant.style]

    def bytes_of(lanes: int) -> int:
        weights = problems.weights(variant)
        shapes = driver.abstract_lanes(lanes, inputs.content.shape, weights, optimizer=optimizer)
        return driver.step_bytes(objective, *shapes, optimizer=optimizer)

    return memory.most_that_fit(bytes_of, wanted)


def _optimizer(config: RunConfig, name: str) -> optimizers.Optimizer:
    return optimizers.named(name, form=config.optimizer_form)


class _Program(NamedTuple):
    objective: Objective
    optimizer: optimizers.Optimizer
    hyper: driver.Hyperparameters
    state: driver.State


def _build(
    config: RunConfig,
    plan: Plan,
    variants: Sequence[Variant],
    problems: Problems,
    inputs: Inputs,
) -> _Program:
    own = list(variants[plan.columns])
    lanes = own + [own[-1]] * (plan.width - len(own))
    optimizer = _optimizer(config, own[0].optimizer)
    hyper = jax.tree.map(
        lambda *x: jnp.stack([jnp.asarray(each, jnp.float32) for each in x]),
        *(driver.Hyperparameters(v.learning_rate, problems.weights(v)) for v in lanes),
    )
    starts = np.stack(
        [inputs.start(variant, noise=config.init_noise, gray=config.gray) for variant in lanes]
    )
    state = driver.init_state(starts, optimizer, hyper)
    return _Program(problems.objectives[own[0].style], optimizer, hyper, state)


def _spread(program: _Program, plan: Plan) -> _Program:
    """The lanes over several local devices, the network and the targets on each.

    A run that is resumed may find fewer devices than it was planned for.
    """
    most = min(plan.devices, len(backend.devices()))
    devices = max(n for n in range(1, most + 1) if plan.width % n == 0)
    if devices == 1:
        return program
    mesh = jax.make_mesh(
        (devices,), ("v",), axis_types=(AxisType.Auto,), devices=backend.devices()[:devices]
    )
    lanes = NamedSharding(mesh, PartitionSpec("v"))
    everywhere = NamedSharding(mesh, PartitionSpec())
    return program._replace(
        objective=jax.device_put(program.objective, everywhere),
        hyper=jax.device_put(program.hyper, lanes),
        state=jax.device_put(program.state, lanes),
    )


def run(
    config: RunConfig,
    plan: Plan,
    variants: Sequence[Variant],
    problems: Problems,
    inputs: Inputs,
    log: RunLog,
    *,
    number: int,
    checkpoint_path: Path,
    request: StopRequest,
    on_chunk: OnChunk,
) -> list[Variant]:
    """Runs one program into its columns of the log, from its checkpoint if there is one.

    Args:
      config: settings of the run.
      plan: of this program.
      variants: all of the run.
      problems: their objectives.
      inputs: their pictures.
      log: of the run.
      number: of this program among the run's.
      checkpoint_path: written every half minute and on a signal; at the end removed, or kept if
        `config` wants it.
      request: a signal that ends the run after the present chunk.
      on_chunk: told of each chunk.

    Returns:
      The variants with their status.
    """
    program = _build(config, plan, variants, problems, inputs)
    seconds = 0.0
    if checkpoint.program_of(checkpoint_path) == number:
        state = checkpoint.load(checkpoint_path, program.state)
        steps = np.asarray(state.step)
        if not 0 <= steps.min() <= steps.max() <= len(log.totals(plan.columns)):
            raise checkpoint.OtherRun(checkpoint_path)
        program = program._replace(state=jax.tree.map(jnp.asarray, state))
        seconds = log.seconds(plan.columns)
    program = _spread(program, plan)
    compiled = driver.compile_ahead(
        program.objective,
        program.hyper,
        program.state,
        optimizer=program.optimizer,
        chunk_length=plan.chunk_length,
        driver=plan.driver,
    )
    log.add_compile_seconds(compiled.seconds)
    if compiled.bytes > memory.available_bytes():
        warn(
            f"this takes about {compiled.bytes / 1e9:.1f} GB, and "
            f"{memory.available_bytes() / 1e9:.1f} GB are free: nst-jax plan tells what fits"
        )
    state = program.state
    saved = time.monotonic()
    height, width = inputs.content.shape[:2]
    with memory.out_of_memory_in_words(compiled.bytes, (width, height), plan.width):
        for chunk in _chunks(config, plan, program, log, request):
            state = chunk.state
            _log_chunk(config, plan, chunk, log, seconds)
            on_chunk(plan, chunk)
            if request or time.monotonic() - saved > CHECKPOINT_SECONDS:
                checkpoint.save(checkpoint_path, state, program=number)
                saved = time.monotonic()
            if request:
                break
    if config.keep_state:
        checkpoint.save(checkpoint_path, state, program=number)
    ended = _finish(config, plan, program, state, variants, problems, log, bool(request))
    if not (request or config.keep_state):
        checkpoint_path.unlink(missing_ok=True)
    return ended


def is_end_of(
    record: runlog.RunRecord,
    path: Path,
    config: RunConfig,
    plan: Plan,
    variants: Sequence[Variant],
    problems: Problems,
    inputs: Inputs,
) -> bool:
    """Whether a checkpoint is the state with which the variants of a program ended.

    Args:
      record: the log, of a run whose variants have ended.
      path: the checkpoint.
      config, plan, variants, problems, inputs: as `run`.
    """
    state = checkpoint.load(path, _build(config, plan, variants, problems, inputs).state)
    if not np.isfinite(driver.pictures(state)).all():
        return False
    pictures = _pictures(config, state)[: plan.stop - plan.start]
    return np.array_equal(pictures, record.results()[0][plan.columns])


def _chunks(
    config: RunConfig, plan: Plan, program: _Program, log: RunLog, request: StopRequest
) -> Iterator[driver.Chunk]:
    done = int(np.max(program.state.step))
    totals = log.totals(plan.columns)[:done]
    return driver.run_chunks(
        program.objective,
        program.hyper,
        program.state,
        optimizer=program.optimizer,
        num_steps=config.steps,
        chunk_length=plan.chunk_length,
        driver=plan.driver,
        tolerance=config.tolerance,
        # Lanes beyond the variants repeat the last one.
        totals=np.pad(totals, ((0, 0), (0, plan.width - totals.shape[1])), mode="edge"),
        should_stop=lambda: bool(request),
    )


def _log_chunk(
    config: RunConfig, plan: Plan, chunk: driver.Chunk, log: RunLog, seconds: float
) -> None:
    count = plan.stop - plan.start
    history = jax.tree.map(lambda x: x[:, :count], chunk.history)
    length = len(chunk.seconds)
    done = int(np.max(chunk.state.step))
    log.append(
        runlog.Rows(
            step=np.arange(done - length, done, dtype=np.int32),
            wall_time=np.broadcast_to((seconds + chunk.seconds)[:, None], (length, count)),
            evaluations=history.evaluations,
            grad_norm=history.grad_norm,
            update_norm=history.update_norm,
            **history.terms._asdict(),
        ),
        plan.columns,
    )
    if config.snapshot_every and done % config.snapshot_every == 0:
        pictures = _pictures(config, chunk.state)[:count]
        log.append_snapshot(done // config.snapshot_every - 1, done, pictures, plan.columns)


def _pictures(config: RunConfig, state: driver.State) -> np.ndarray:
    """The images of a state in 8 bits."""
    pictures = images.to_uint8(driver.pictures(state))
    # A compiled step may leave a channel a last bit off the others.
    return images.spread_first_channel(pictures) if config.gray else pictures


def _finish(
    config: RunConfig,
    plan: Plan,
    program: _Program,
    state: driver.State,
    variants: Sequence[Variant],
    problems: Problems,
    log: RunLog,
    interrupted: bool,
) -> list[Variant]:
    """Logs the pictures as they are saved, their losses, and how each variant ended."""
    pictures = _pictures(config, state)
    diverged_steps = np.asarray(state.diverged_step)
    losses = driver.losses_of(program.objective, program.hyper, images.from_uint8(pictures))
    count = plan.stop - plan.start
    final = {term: getattr(losses, term)[:count] for term in runlog.TERMS}
    totals, start = log.totals(plan.columns), log.start(plan.columns)
    ended = [
        _ended(
            variant,
            int(diverged_steps[i]),
            totals[:, i],
            float(final["total"][i]),
            interrupted,
            partial(problems.is_at_minimum, variant, {x: float(start[x][i]) for x in runlog.TERMS}),
        )
        for i, variant in enumerate(variants[plan.columns])
    ]
    log.finish_variants(ended, final=final, images=pictures[:count], variants=plan.columns)
    return ended


def _ended(
    variant: Variant,
    bad_step: int,
    totals: np.ndarray,
    final: float,
    interrupted: bool,
    began_at_minimum: Callable[[], bool],
) -> Variant:
    """A variant has diverged if a value was not finite, or if it ended above its start.

    Clipped pixels keep even absurd rates finite: then the step is the one after which the total
    never again came down to that of the start. Above a minimum any rate ends.
    """
    if bad_step >= 0:
        return replace(variant, status="diverged", diverged_step=bad_step)
    if interrupted:
        return replace(variant, status="interrupted", diverged_step=-1)
    if final > totals[0] and not began_at_minimum():
        last_below = np.flatnonzero(totals <= totals[0])[-1]
        return replace(variant, status="diverged", diverged_step=int(last_below) + 1)
    return replace(variant, status="finished", diverged_step=-1)


def as_json(plans: Sequence[Plan]) -> list[dict]:
    """The plans for the log; `from_json` gives them back."""
    return [asdict(each) for each in plans]


def from_json(plans: list, variants: int, steps: int) -> list[Plan]:
    """The plans of a log, for so many variants and steps.

    Raises:
      ValueError: they are not those of such a run.
    """
    names = {field.name for field in fields(Plan)}
    reached, found = 0, []
    for each in plans:
        if not isinstance(each, dict) or set(each) != names:
            raise ValueError("its plans are of another version of nst_jax")
        driver_name, *numbers = each["driver"], *(each[name] for name in names - {"driver"})
        if driver_name not in get_args(Driver) or any(type(n) is not int for n in numbers):
            raise ValueError(f"{each} is no plan of a program")
        plan = Plan(**each)
        own = plan.stop - plan.start
        # Lanes are rounded up to a multiple of the devices, of which none is idle.
        if (
            plan.start != reached
            or not 1 <= own <= plan.width <= 2 * variants
            or not 1 <= plan.devices <= plan.width
            or not 1 <= plan.chunk_length <= max(steps, 1)
        ):
            raise ValueError(f"{plan} does not fit {variants} variants of {steps} steps")
        reached = plan.stop
        found.append(plan)
    if reached != variants:
        raise ValueError(f"its plans are for {reached} variants, not for {variants}")
    return found
