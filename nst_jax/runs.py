"""A run from files to files: the report's seventeen steps, in order.

Everything that can be refused is refused before the optimisation starts.
"""

import hashlib
import json
import os
import shlex
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from nst_jax import driver, environment, files, optimizers, plotting, runlog, vgg
from nst_jax import image as images
from nst_jax import weights as network_weights
from nst_jax.choices import Driver
from nst_jax.config import StylizeConfig
from nst_jax.interrupts import StopRequest, stop_requests
from nst_jax.objective import (
    DEFAULT_WEIGHTS,
    LossWeights,
    Objective,
    check_weights,
    compute_targets,
    make_objective,
    make_weights,
    relative_weights,
)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """How a run ended: the exit code of the command, a line for the person, and what is left."""

    exit_code: int
    message: str
    record: runlog.RunRecord


class _Pictures(NamedTuple):
    content: np.ndarray
    style: np.ndarray
    start: np.ndarray


class _Problem(NamedTuple):
    objective: Objective
    weights: LossWeights
    weights_name: str
    weights_sha256: str


def stylize_files(
    config: StylizeConfig, *, say: Say = print, progress: bool | None = None
) -> Outcome:
    """Runs `config`: reads the pictures, optimises, writes picture, log and figures.

    Args:
      config: see `StylizeConfig`.
      say: gets each line for the person.
      progress: show a progress bar on standard error; None: if that is a terminal.

    Returns:
      The outcome: exit code 0 when done; 1 when a value was not finite, with the last good
      picture saved; 130 or 143 when a signal stopped the run, with the picture so far saved.

    Raises:
      ValueError, OSError: bad input; nothing has been written.
    """
    started = time.perf_counter()
    if config.deterministic:
        _make_deterministic()
    check_config(config)
    _check_outputs(config)
    pictures = _load_pictures(config, say)
    say(f"device: {environment.device_line()}")
    if warning := environment.unused_gpu():
        say(f"WARNING: {warning}")
    problem = _build_problem(config, pictures, say)
    say(_plan_line(config, pictures))
    program = _prepare(config, pictures, problem)
    with stop_requests() as request, _log_path(config) as path:
        outcome = _run(config, pictures, program, path, request, progress)
        _write_results(config, outcome.record)
    steps, seconds = len(outcome.record.rows.step), time.perf_counter() - started
    summary = f"{outcome.message}: {steps} of {config.steps} steps, {seconds:.1f} s"
    if outcome.exit_code == 1:
        print(f"error: {summary}", file=sys.stderr)
    else:
        say(summary)
    say(
        "wrote "
        + ", ".join(str(path) for path in (config.output, config.log, config.figures) if path)
    )
    return outcome


def check_config(config: StylizeConfig) -> None:
    """Refuses settings that are wrong whatever the pictures are.

    Raises:
      ValueError: one line that names the setting, what was expected and what came.
    """
    driver.check_settings(
        num_steps=config.steps, learning_rate=config.learning_rate, tolerance=config.tolerance
    )
    check_weights(*_term_weights(config))
    for name, value, least in (
        ("size", config.size, 1),
        ("style size", config.style_size or config.size, 1),
        ("snapshot period", config.snapshot_every, 0),
        ("seed", config.seed, 0),
        ("initial noise", config.init_noise, 0),
    ):
        if not least <= value < np.inf:
            raise ValueError(f"the {name} must be at least {least}, got {value}")
    for layer in (*config.content_layers, *config.style_layers):
        vgg.canonical_name(layer, config.arch)
    if config.snapshot_every and not config.log:
        raise ValueError("snapshots are kept in the run log: give --log with --snapshot-every")


def _term_weights(config: StylizeConfig) -> tuple[float, float, float]:
    """Content, style and total variation weight, the convention's defaults filled in."""
    content, style = DEFAULT_WEIGHTS[config.convention]
    return (
        content if config.content_weight is None else config.content_weight,
        style if config.style_weight is None else config.style_weight,
        config.tv_weight,
    )


def _check_outputs(config: StylizeConfig) -> None:
    outputs = {config.output: images.SUFFIXES}
    if config.log:
        outputs[config.log] = (".h5", ".hdf5")
    if config.figures:
        files.check_folder(config.figures)
        outputs |= {config.figures / name: (".png",) for name in ("losses.png", "overview.png")}
    inputs = {path.resolve() for path in (config.content, config.style)}
    for path, suffixes in outputs.items():
        if path.resolve() in inputs:
            raise ValueError(f"{path} is an input; write the result somewhere else")
        files.check_output(path, force=config.force, suffixes=suffixes)


def _load_pictures(config: StylizeConfig, say: Say) -> _Pictures:
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        content = images.load(config.content, size=config.size, enlarge=config.enlarge)
        style_size = config.style_size or config.size
        style = images.load(config.style, size=style_size, enlarge=config.enlarge)
        kind = config.init
        if kind not in ("content", "noise", "style"):
            kind = images.load(_init_path(kind), size=max(content.shape[:2]), enlarge=True)
        start = images.initial_image(
            kind, content, style, seed=config.seed, noise=config.init_noise
        )
    for note in notes:
        if issubclass(note.category, images.ImageWarning):
            say(f"note: {note.message}")
    layers = (*config.content_layers, *config.style_layers)
    side = vgg.smallest_side(layers, config.arch)
    for path, picture in ((config.content, content), (config.style, style)):
        height, width = picture.shape[:2]
        if min(height, width) < side:
            raise ValueError(
                f"{path} is too small: {width} x {height} pixels at this size, but "
                f"{', '.join(layers)} need at least {side} on each side; use a larger picture, "
                "--size, --enlarge, or fewer deep layers"
            )
    return _Pictures(content, style, start)


def _init_path(text: str) -> Path:
    path = Path(text)
    if not path.exists():
        raise ValueError(
            f"the start must be content, noise, style or a picture, and {text!r} is no file"
        )
    return path


def _make_deterministic() -> None:
    """Has to come before JAX starts its backend."""
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".strip()


def _build_problem(config: StylizeConfig, pictures: _Pictures, say: Say) -> _Problem:
    source = network_weights.resolve(config.weights, arch=config.arch)
    params = network_weights.load_params(config.weights, arch=config.arch)
    say(f"weights: {source.description}")
    content_layers = _canonical(config.content_layers, config.arch)
    style_layers = _canonical(config.style_layers, config.arch)
    feature_fn = vgg.feature_fn(
        jax.device_put(params),
        tuple(dict.fromkeys((*content_layers, *style_layers))),
        arch=config.arch,
        pooling=config.pooling,
        precision=config.precision,
    )
    targets = jax.jit(
        compute_targets, static_argnames=("content_layers", "style_layers", "convention")
    )(
        feature_fn,
        pictures.content,
        pictures.style,
        content_layers=content_layers,
        style_layers=style_layers,
        convention=config.convention,
    )
    content, style, variation = _term_weights(config)
    weights = make_weights(targets, content=content, style=style, total_variation=variation)
    if config.layer_balance == "relative":
        weights = relative_weights(targets, weights)
    return _Problem(
        make_objective(feature_fn, targets),
        weights,
        source.name,
        network_weights.params_sha256(params),
    )


def _canonical(layers: tuple[str, ...], arch: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(vgg.canonical_name(layer, arch) for layer in layers))


def _plan_line(config: StylizeConfig, pictures: _Pictures) -> str:
    height, width = pictures.content.shape[:2]
    rate = "" if config.optimizer == "lbfgs" else f" at {config.learning_rate:g}"
    return f"optimising {width} x {height} pixels: {config.steps} steps of {config.optimizer}{rate}"


class _Program(NamedTuple):
    """A compiled optimisation, ready to run."""

    problem: _Problem
    factory: optimizers.OptimizerFactory
    hyper: driver.Hyperparameters
    state: driver.State
    driver: Driver
    chunk_length: int
    compile_seconds: float


def _prepare(config: StylizeConfig, pictures: _Pictures, problem: _Problem) -> _Program:
    factory = optimizers.factory(config.optimizer, form=config.optimizer_form)
    rate = np.float32(config.learning_rate)
    hyper = driver.single(driver.Hyperparameters(rate, problem.weights))
    state = driver.init_state(pictures.start[None], factory, hyper)
    mode = driver.default_driver()
    chunk_length = driver.default_chunk_length(
        problem.objective,
        hyper,
        state,
        factory=factory,
        num_steps=config.steps,
        snapshot_every=config.snapshot_every,
    )
    compile_seconds = driver.compile_ahead(
        problem.objective, hyper, state, factory=factory, chunk_length=chunk_length, driver=mode
    )
    return _Program(problem, factory, hyper, state, mode, chunk_length, compile_seconds)


def _run(
    config: StylizeConfig,
    pictures: _Pictures,
    program: _Program,
    path: Path,
    request: StopRequest,
    progress: bool | None,
) -> Outcome:
    """Runs the steps into the run log at `path`."""
    variant = _variant(config)
    with runlog.RunLog.create(
        path,
        attributes=_attributes(config, program),
        config=_as_json(config),
        variants=[variant],
        style_layers=_canonical(config.style_layers, config.arch),
        content=images.to_uint8(pictures.content),
        style=images.to_uint8(pictures.style),
        num_steps=config.steps,
        num_snapshots=config.steps // config.snapshot_every if config.snapshot_every else 0,
        chunk_length=program.chunk_length,
    ) as log:
        state, last = _log_chunks(config, program, log, request, progress)
        bad_term = _first_bad_term(last)
        status = "failed" if bad_term else "interrupted" if request else "finished"
        picture = images.to_uint8(driver.pictures(state))
        objective = program.problem.objective
        final = driver.losses_of(objective, program.hyper, images.from_uint8(picture))
        diverged_step = int(state.diverged_step[0])
        ended = replace(
            variant, status="diverged" if bad_term else status, diverged_step=diverged_step
        )
        log.finish(
            status,
            [ended],
            final={term: getattr(final, term) for term in runlog.TERMS},
            images=picture,
        )
    message = {"finished": "done", "interrupted": "interrupted"}.get(
        status,
        f"stopped, because {bad_term} was not finite in step {diverged_step}; the last good "
        "picture is kept; try a smaller --learning-rate or smaller weights",
    )
    exit_code = 1 if bad_term else request.exit_code if request else 0
    return Outcome(exit_code, message, runlog.load(path))


def _log_chunks(
    config: StylizeConfig,
    program: _Program,
    log: runlog.RunLog,
    request: StopRequest,
    progress: bool | None,
) -> tuple[driver.State, driver.History]:
    """Runs until the end or a signal; returns the last state and the last chunk's rows."""
    done = 0
    bar = tqdm(total=config.steps, unit="step", disable=None if progress is None else not progress)
    with bar:
        for chunk in driver.run_chunks(
            program.problem.objective,
            program.hyper,
            program.state,
            factory=program.factory,
            num_steps=config.steps,
            chunk_length=program.chunk_length,
            driver=program.driver,
            tolerance=config.tolerance,
        ):
            log.append(_rows(chunk, done))
            length = len(chunk.seconds)
            done += length
            if config.snapshot_every and done % config.snapshot_every == 0:
                log.append_snapshot(done, images.to_uint8(driver.pictures(chunk.state)))
            bar.set_postfix(loss=f"{chunk.history.terms.total[-1, 0]:.4g}", refresh=False)
            bar.update(length)
            if request:
                break
    return chunk.state, chunk.history


def _rows(chunk: driver.Chunk, first: int) -> runlog.Rows:
    return runlog.Rows(
        step=np.arange(first, first + len(chunk.seconds), dtype=np.int32),
        wall_time=np.broadcast_to(chunk.seconds[:, None], chunk.history.grad_norm.shape),
        evaluations=chunk.history.evaluations,
        grad_norm=chunk.history.grad_norm,
        update_norm=chunk.history.update_norm,
        **chunk.history.terms._asdict(),
    )


def _first_bad_term(history: driver.History) -> str | None:
    """The first value that was not finite in the last chunk of a single run, by name."""
    series = {
        **history.terms._asdict(),
        "gradient": history.grad_norm,
        "update": history.update_norm,
    }
    series["style"] = np.where(
        np.isfinite(history.terms.style_per_layer).all(-1), series["style"], np.nan
    )
    del series["style_per_layer"]
    # The total is the sum of the terms: it is named only if none of them is at fault.
    series["total"] = series.pop("total")
    for row in range(len(history.grad_norm)):
        for name, values in series.items():
            if not np.isfinite(values[row]).all():
                return f"the {name.replace('_', ' ')}"
    return None


def _variant(config: StylizeConfig) -> runlog.Variant:
    content, style, variation = _term_weights(config)
    return runlog.Variant(
        label=f"{config.optimizer} {config.learning_rate:g}",
        optimizer=config.optimizer,
        learning_rate=config.learning_rate,
        content_weight=content,
        style_weight=style,
        tv_weight=variation,
        style=config.style.name,
        init=config.init,
        seed=config.seed,
    )


def _attributes(config: StylizeConfig, program: _Program) -> dict[str, Any]:
    return {
        **environment.describe(),
        "command": shlex.join(["nst-jax", *sys.argv[1:]]),
        "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "driver": program.driver,
        "precision": config.precision,
        "seed": config.seed,
        "variants_per_program": 1,
        "compile_seconds": program.compile_seconds,
        "content_sha256": _sha256(config.content),
        "style_sha256": _sha256(config.style),
        "weights_name": program.problem.weights_name,
        "weights_sha256": program.problem.weights_sha256,
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _as_json(config: StylizeConfig) -> dict[str, Any]:
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in asdict(config).items()
    }


@contextmanager
def _log_path(config: StylizeConfig) -> Iterator[Path]:
    """Where the run is logged: without --log in a temporary file, so that all runs are alike."""
    if config.log:
        yield config.log
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "run.h5"


def _write_results(config: StylizeConfig, record: runlog.RunRecord) -> None:
    settings = {k: str(v) for k, v in record.config.items() if v is not None}
    metadata = {
        "Software": "nst_jax " + json.loads(record.attributes["versions_json"])["nst_jax"],
        "nst_jax.settings": json.dumps(settings),
        "nst_jax.final_losses": json.dumps({k: float(v[0]) for k, v in record.final.items()}),
        "nst_jax.steps": str(len(record.rows.step)),
    }
    images.save(config.output, images.from_uint8(record.images[0]), metadata=metadata)
    if config.figures:
        plotting.save_run_figures(record, config.figures)
