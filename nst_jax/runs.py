"""A run from files to files: the report's seventeen steps, in order.

`stylize_files` and `sweep_files` differ in how many variants they make of their settings and in
what they write at the end; `resume` goes on with either. Everything that can be refused is
refused before the optimisation starts.
"""

import hashlib
import json
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from nst_jax import (
    checkpoint,
    environment,
    files,
    plotting,
    programs,
    report,
    resumption,
    runlog,
    vgg,
)
from nst_jax import image as images
from nst_jax import weights as network_weights
from nst_jax.config import RunConfig, StylizeConfig, SweepConfig, to_json
from nst_jax.console import say as console_say
from nst_jax.grid import Share, check_variants, variants_of
from nst_jax.interrupts import StopRequest, stop_requests
from nst_jax.programs import Inputs, Plan
from nst_jax.progress import ProgressBar
from nst_jax.runlog import RunLog, RunRecord, Variant

Say = Callable[[str], None]
_STARTS = ("content", "noise", "style")
WHOLE = Share()
_DETERMINISTIC = "--xla_gpu_deterministic_ops=true"
Config = StylizeConfig | SweepConfig


@dataclass(frozen=True)
class Outcome:
    """How a run ended: the exit code of the command, and the run log."""

    exit_code: int
    record: RunRecord


class _Network(NamedTuple):
    feature_fn: Callable
    name: str
    sha256: str


def stylize_files(
    config: StylizeConfig, *, say: Say = console_say, progress: bool | None = None
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
    return _run_files(config, say, progress)


def sweep_files(
    config: SweepConfig,
    *,
    share: Share = WHOLE,
    say: Say = console_say,
    progress: bool | None = None,
) -> Outcome:
    """Runs every combination of `config`'s settings into one log.

    Arguments and errors: as `stylize_files`; `share` is which of the combinations.

    Returns:
      The outcome: exit code 0 when done, also if variants have diverged (the log says which);
      130 or 143 when a signal stopped the run: `resume` goes on.
    """
    return _run_files(config, say, progress, share)


def resume(path: Path, *, say: Say = console_say, progress: bool | None = None) -> Outcome:
    """Goes on with an interrupted or killed run from its last checkpoint.

    It ends with the bytes of an uninterrupted run if device and versions are the same; if they
    are not, that is said.

    Args:
      path: the run log.
      say: gets each line for the person.
      progress: as `stylize_files`.

    Raises:
      ValueError, OSError: the log cannot be resumed; its pictures or weights are not those that
        it began with.
    """
    started = time.perf_counter()
    record = runlog.load(path)
    if record.status in ("finished", "failed") and all(map(runlog.ended, record.variants)):
        say(f"{path} is {record.status}: there is nothing to resume")
        return Outcome(0, record)
    with resumption.about(path):
        config, share, plans = resumption.read(record)
        config = replace(config, log=path)
        check_config(config)
        # A log from elsewhere decides where results go: at least no input is overwritten, and
        # nothing but pictures and pages.
        check_outputs(replace(config, force=True))
    with stop_requests() as request:
        run = _prepare(config, share, say, request)
        _check_same(record, _hashes(config, run.network))
        if run.inputs.content.shape != record.content.shape:
            raise ValueError(f"{path} cannot be resumed: its content has another size")
        for difference in environment.differences(record.attributes):
            say(f"note: {difference}: the bytes may differ from those of an uninterrupted run")
        variants = [
            replace(variant, status=logged.status, diverged_step=logged.diverged_step)
            for variant, logged in zip(run.variants, record.variants, strict=True)
        ]
        run = run._replace(variants=variants, plans=plans)
        with RunLog.reopen(path) as log:
            _run_plans(run, log, path, request, say, progress)
        return _conclude(config, path, request, say, started)


class _Run(NamedTuple):
    """Everything that is ready before the first step."""

    config: Config
    share: Share
    variants: Sequence[Variant]
    inputs: Inputs
    network: _Network
    problems: programs.Problems
    plans: Sequence[Plan]


def _run_files(config: Config, say: Say, progress: bool | None, share: Share = WHOLE) -> Outcome:
    started = time.perf_counter()
    check_config(config)
    check_outputs(config)
    with stop_requests() as request, _log_path(config) as path:
        run = _prepare(config, share, say, request)
        planning = time.perf_counter()
        run = _with_plans(run)
        planning = time.perf_counter() - planning
        say(_plan_line(run))
        request.check()
        # One of an earlier run with the same name.
        checkpoint.path_of(path).unlink(missing_ok=True)
        with _create_log(run, path) as log:
            # What fits into memory is known from the compiled program.
            log.add_compile_seconds(planning)
            _run_plans(run, log, path, request, say, progress)
        return _conclude(config, path, request, say, started)


def _prepare(config: Config, share: Share, say: Say, request: StopRequest) -> _Run:
    prepare_device(config)
    variants = variants_of(config)[share.columns]
    inputs = _load_inputs(config, variants, say)
    say(f"device: {environment.device_line()}")
    if warning := environment.unused_gpu():
        say(f"WARNING: {warning}")
    request.check()
    network = _load_network(config, say)
    request.check()
    problems = programs.make_problems(config, network.feature_fn, inputs)
    # An interpreter that ends while XLA computes would crash.
    jax.block_until_ready(problems.objectives)
    request.check()
    return _Run(config, share, variants, inputs, network, problems, plans=())


def _with_plans(run: _Run) -> _Run:
    batch = run.config.batch if isinstance(run.config, SweepConfig) else 1
    plans = programs.plan(run.config, run.variants, run.problems, run.inputs, batch=batch)
    return run._replace(plans=plans)


def check_config(config: Config) -> None:
    """Refuses settings that are wrong whatever the pictures are.

    Raises:
      ValueError: one line that names the setting, what was expected and what came.
    """
    for name, value, least in (
        ("size", config.size, 1),
        ("style size", config.size if config.style_size is None else config.style_size, 1),
        ("snapshot period", config.snapshot_every, 0),
        ("initial noise", config.init_noise, 0),
        ("batch", 1 if getattr(config, "batch", None) is None else config.batch, 1),
    ):
        if not least <= value < np.inf:
            raise ValueError(f"the {name} must be at least {least}, got {value}")
    for layer in (*config.content_layers, *config.style_layers):
        vgg.canonical_name(layer, config.arch)
    if not (*config.content_layers, *config.style_layers):
        raise ValueError("there is nothing to match: name a content layer or a style layer")
    if config.snapshot_every and not config.log:
        raise ValueError("snapshots are kept in the run log: give --log with --snapshot-every")
    if config.snapshot_every > config.steps:
        raise ValueError(
            f"the snapshot period must be at most the number of steps, {config.steps}, got "
            f"{config.snapshot_every}"
        )
    check_variants(variants_of(config), config)


def check_outputs(config: Config) -> None:
    """Refuses results that cannot be written, or would overwrite something.

    Raises:
      ValueError, OSError: one line that names the file.
    """
    outputs = [(config.log, (".h5", ".hdf5"))] if config.log else []
    if isinstance(config, SweepConfig):
        if config.report:
            outputs.append((config.report, (".html",)))
    else:
        outputs.append((config.output, images.SUFFIXES))
        if config.figures:
            outputs += [(config.figures / name, (".png",)) for name in plotting.RUN_FIGURES]
    taken = {path.resolve(): "an input" for path in _input_paths(config)}
    for path, _ in outputs:
        if use := taken.get(path.resolve()):
            raise ValueError(f"{path} is {use}; write the result somewhere else")
        taken[path.resolve()] = "named for two results"
    for path, suffixes in outputs:
        files.check_output(path, force=config.force, suffixes=suffixes)


def _input_paths(config: Config) -> list[Path]:
    """All files that a run reads."""
    inits = {variant.init for variant in variants_of(config)} - set(_STARTS)
    named = [Path(config.weights)] if config.weights not in (None, "random") else []
    return [config.content, *_styles(config), *map(Path, sorted(inits)), *named]


def _styles(config: Config) -> tuple[Path, ...]:
    return config.styles if isinstance(config, SweepConfig) else (config.style,)


def _load_inputs(config: Config, variants: Sequence[Variant], say: Say) -> Inputs:
    with images.notes(say):
        content = images.load(config.content, size=config.size, enlarge=config.enlarge)
        size = config.size if config.style_size is None else config.style_size
        styles = {
            variant.style: images.load(Path(variant.style), size=size, enlarge=config.enlarge)
            for variant in {variant.style: variant for variant in variants}.values()
        }
        inits = {variant.init for variant in variants} - set(_STARTS)
        longest = max(content.shape[:2])
        starts = {
            init: images.load(_init_path(init), size=longest, enlarge=True)
            for init in sorted(inits)
        }
    _check_sizes(config, {str(config.content): content, **styles})
    return Inputs(content, styles, starts)


def _check_sizes(config: RunConfig, pictures: dict[str, np.ndarray]) -> None:
    layers = (*config.content_layers, *config.style_layers)
    deepest = max(layers, key=lambda layer: vgg.smallest_side([layer], config.arch))
    side = vgg.smallest_side([deepest], config.arch)
    for path, picture in pictures.items():
        height, width = picture.shape[:2]
        if min(height, width) < side:
            raise ValueError(
                f"{path} is too small: {width} x {height} pixels at this size, but "
                f"{deepest} needs at least {side} on each side; use a larger picture, --size, "
                "--enlarge, or no layer so deep"
            )


def _init_path(text: str) -> Path:
    path = Path(text)
    if not path.exists():
        raise ValueError(
            f"the start must be content, noise, style or a picture, and {text!r} is no file"
        )
    return path


def prepare_device(config: Config) -> None:
    """What has to come before JAX starts its backend."""
    flags = os.environ.get("XLA_FLAGS", "")
    if config.deterministic and _DETERMINISTIC not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_DETERMINISTIC}".strip()


def _load_network(config: RunConfig, say: Say) -> _Network:
    source = network_weights.resolve(config.weights, arch=config.arch)
    params = network_weights.load_params(config.weights, arch=config.arch)
    say(f"weights: {source.description}")
    layers = programs.layers_of((*config.content_layers, *config.style_layers), config)
    feature_fn = vgg.feature_fn(
        params,
        layers,
        arch=config.arch,
        pooling=config.pooling,
        precision=config.precision,
        winograd=vgg.winograd_pays(config.precision),
    )
    return _Network(feature_fn, source.name, network_weights.params_sha256(params))


def _plan_line(run: _Run) -> str:
    height, width = run.inputs.content.shape[:2]
    what = f"optimising {width} x {height} pixels: {run.config.steps} steps of "
    if len(run.variants) == 1:
        return what + run.variants[0].label
    widest = max(plan.width for plan in run.plans)
    return (
        f"{what}{len(run.variants)} variants in {len(run.plans)} programs of {widest} at most, "
        f"on {max(plan.devices for plan in run.plans)} device(s)"
    )


def _create_log(run: _Run, path: Path) -> RunLog:
    config = run.config
    return RunLog.create(
        path,
        attributes={
            **environment.describe(),
            **_hashes(config, run.network),
            "command": shlex.join(["nst-jax", *sys.argv[1:]]),
            "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
            "driver": run.plans[0].driver,
            "precision": config.precision,
            "seed": run.variants[0].seed,
            **dict(zip(resumption.SHARE, run.share, strict=True)),
            "variants_per_program": max(plan.width for plan in run.plans),
            "plans_json": json.dumps(programs.as_json(run.plans)),
            "weights_name": run.network.name,
        },
        config=to_json(config),
        variants=run.variants,
        style_layers=programs.layers_of(config.style_layers, config),
        content=images.to_uint8(run.inputs.content),
        styles={name: images.to_uint8(style) for name, style in run.inputs.styles.items()},
        num_steps=config.steps,
        num_snapshots=config.steps // config.snapshot_every if config.snapshot_every else 0,
        chunk_length=run.plans[0].chunk_length,
    )


def _hashes(config: Config, network: _Network) -> dict[str, str]:
    return {**_picture_hashes(config), "weights_sha256": network.sha256}


def _picture_hashes(config: Config) -> dict[str, str]:
    return {
        "content_sha256": _sha256(config.content),
        "style_sha256": ",".join(_sha256(path) for path in _styles(config)),
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_same_pictures(record: RunRecord, config: Config) -> None:
    """Refuses a log whose pictures are not those that its settings name any more.

    Raises:
      ValueError: one line that names the picture.
    """
    _check_same(record, _picture_hashes(config))


def _check_same(record: RunRecord, hashes: dict[str, str]) -> None:
    for name, value in hashes.items():
        if record.attributes[name] != value:
            raise ValueError(
                f"{record.path} cannot be used: its {name.removesuffix('_sha256')} has "
                "changed since it began"
            )


def _run_plans(
    run: _Run, log: RunLog, path: Path, request: StopRequest, say: Say, progress: bool | None
) -> None:
    """Runs the programs that have not ended yet, one after another."""
    variants = list(run.variants)
    with ProgressBar(run.config.steps, variants, progress) as bar:
        for number, plan in enumerate(run.plans):
            if all(map(runlog.ended, variants[plan.columns])):
                bar.skip(plan)
                continue
            variants[plan.columns] = programs.run(
                run.config,
                plan,
                variants,
                run.problems,
                run.inputs,
                log,
                number=number,
                checkpoint_path=checkpoint.path_of(path),
                request=request,
                on_chunk=bar.show,
                say=say,
            )
            if request:
                break
    single = isinstance(run.config, StylizeConfig)
    if single and _bad_term(log.rows(), variants[0]):
        log.finish("failed")
    else:
        log.finish("interrupted" if request else "finished")


def _bad_term(rows: runlog.Rows, variant: Variant) -> str | None:
    """The term that ended a run early, or None."""
    if variant.status != "diverged":
        return None
    return runlog.first_bad_term(rows, 0, variant.diverged_step)


@contextmanager
def _log_path(config: Config) -> Iterator[Path]:
    """Where the run is logged: without --log in a temporary file, so that all runs are alike."""
    if config.log:
        yield config.log
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "run.h5"


def _conclude(
    config: Config, path: Path, request: StopRequest, say: Say, started: float
) -> Outcome:
    """Writes what a run leaves beside its log, and says how it ended."""
    record = runlog.load(path)
    written = [config.log] if config.log else []
    if isinstance(config, StylizeConfig):
        _save_picture(config, record)
        written.insert(0, config.output)
        if config.figures:
            plotting.save_run_figures(record, config.figures)
            written.append(config.figures)
    elif config.report:
        report.write(record, config.report)
        written.append(config.report)
    exit_code = 1 if record.status == "failed" else request.exit_code if request else 0
    seconds = time.perf_counter() - started
    message = f"{_ending(record, config)}, {seconds:.1f} s"
    if exit_code == 1:
        print(f"error: {message}", file=sys.stderr)
    else:
        say(message)
    say("wrote " + ", ".join(map(str, written)))
    if request and config.log:
        say(f"to go on: nst-jax resume {config.log}")
    return Outcome(exit_code, record)


def _ending(record: RunRecord, config: Config) -> str:
    diverged = [variant for variant in record.variants if variant.status == "diverged"]
    if len(record.variants) > 1:
        note = f", {len(diverged)} of them diverged" if diverged else ""
        ended = sum(map(runlog.ended, record.variants))
        word = "done" if record.status == "finished" else record.status
        return f"{word}: {ended} of {len(record.variants)} variants{note}"
    steps = f"{record.steps_done[0]} of {config.steps} steps"
    if record.status == "failed":
        variant = record.variants[0]
        term = (_bad_term(record.rows, variant) or "").replace("_", " ")
        return (
            f"stopped after {steps}, because the {term} was not finite in step "
            f"{variant.diverged_step}; the last good picture is kept; try a smaller "
            "--learning-rate or smaller weights"
        )
    if diverged:
        return f"done: {steps}, but the loss ended above its start: try a smaller --learning-rate"
    if record.status == "finished" and record.steps_done[0] < config.steps:
        return f"done: converged after {steps}"
    return f"{'done' if record.status == 'finished' else record.status}: {steps}"


def _save_picture(config: StylizeConfig, record: RunRecord) -> None:
    # What has no influence on the picture is left out: the same picture, the same bytes.
    beside = {"output", "log", "figures", "force", "snapshot_every"}
    settings = {k: str(v) for k, v in record.config.items() if v is not None and k not in beside}
    metadata = {
        "Software": "nst_jax " + json.loads(record.attributes["versions_json"])["nst_jax"],
        "nst_jax.settings": json.dumps(settings),
        "nst_jax.final_losses": json.dumps({k: float(v[0]) for k, v in record.final.items()}),
        "nst_jax.steps": str(record.steps_done[0]),
    }
    images.save(config.output, images.from_uint8(record.images[0]), metadata=metadata)
