"""A run from files to files: the report's seventeen steps, in order.

`stylize_files` and `sweep_files` differ in how many variants they make of their settings and in
what they write at the end; `resume` goes on with either, and `rerun` repeats it. Everything that
can be refused is refused before the optimisation starts.
"""

import json
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import jax
import numpy as np

from nst_jax import backend, compiler, runlog, vgg
from nst_jax import image as images
from nst_jax.config import Config, StylizeConfig, SweepConfig, to_json
from nst_jax.driver import Chunk
from nst_jax.runlog import RunRecord, Variant, checkpoint, comparison, writing
from nst_jax.runlog.writing import RunLog
from nst_jax.runs import extension, inputs, programs, results, resumption
from nst_jax.runs.grid import Share, check_variants, variants_of
from nst_jax.runs.inputs import Inputs, Network
from nst_jax.runs.programs import Plan
from nst_jax.runs.progress import ProgressBar
from nst_jax.runs.results import Outcome
from nst_jax.runs.tensorboard import TensorBoard
from nst_jax.system import environment, files, locks
from nst_jax.system.console import inform, warn
from nst_jax.system.console import say as console_say
from nst_jax.system.interrupts import StopRequest, stop_requests

Say = Callable[[str], None]
WHOLE = Share()


def stylize_files(
    config: StylizeConfig,
    *,
    say: Say = inform,
    progress: bool | None = None,
    on_chunk: Callable[[Chunk], object] = lambda chunk: None,
) -> Outcome:
    """Runs `config`: reads the pictures, optimises, writes picture, log and figures.

    Args:
      config: see `StylizeConfig`.
      say: gets each line for the person.
      progress: show a progress bar on standard error; None: if that is a terminal.
      on_chunk: as `solve.stylize`: called after each chunk of steps, to show the picture so far.

    Returns:
      The outcome, with exit code 0 when done; 1 when a value was not finite, with the last good
      picture saved; 130 or 143 when a signal stopped the run, with the picture so far saved.

    Raises:
      ValueError, OSError: bad input; nothing has been written.
    """
    return _run_files(config, say, progress, on_chunk=on_chunk)


def sweep_files(
    config: SweepConfig,
    *,
    share: Share = WHOLE,
    say: Say = inform,
    progress: bool | None = None,
) -> Outcome:
    """Runs every combination of `config`'s settings into one log.

    Arguments and errors: as `stylize_files`; `share` is which of the combinations.

    Returns:
      The outcome, with exit code 0 when done, also if variants have diverged (the log says
      which); 130 or 143 when a signal stopped the run, and `resume` goes on.
    """
    return _run_files(config, say, progress, share=share)


def resume(
    path: Path,
    *,
    steps: int | None = None,
    force: bool = False,
    say: Say = inform,
    progress: bool | None = None,
) -> Outcome:
    """Goes on with an interrupted or killed run from its last checkpoint, or with a finished one.

    It ends with the bytes of a run that went through, of so many steps from the start, if device
    and versions are the same; if they are not, that is said.

    Args:
      path: the run log.
      steps: in all. If they are others than the run was started with, the old log and its results
        stay as they are, and new ones beside them have this number in their names; steps of which
        no state was kept are run again.
      force: overwrite what is there under the new names.
      say: gets each line for the person.
      progress: as `stylize_files`.

    Raises:
      ValueError, OSError: the log cannot be resumed; its pictures or weights are not those that
        it began with; more steps are done than are asked for, or more would change nothing.
    """
    started = time.perf_counter()
    runlog.load(path)  # what is no log is refused before anything is written beside it
    with stop_requests() as request, locks.held(path):
        record = runlog.load(path)
        if steps not in (None, record.capacity):
            return _extend(record, steps, force, request, say, progress, started)
        if record.status in ("finished", "failed") and all(map(runlog.ended, record.variants)):
            more = "; --steps adds to its steps" if record.status == "finished" else ""
            say(f"{path} is {record.status}: there is nothing to resume{more}")
            return Outcome(0, record)
        writing.check_writable(path)
        run = _prepare_again(record, lambda config: replace(config, log=path), say, request)
        variants = [
            replace(variant, status=logged.status, diverged_step=logged.diverged_step)
            for variant, logged in zip(run.variants, record.variants, strict=True)
        ]
        run = run._replace(variants=variants)
        with RunLog.reopen(path) as log:
            _run_plans(run, log, path, request, say, progress)
        return results.conclude(run.config, path, request, say, started, alpha=run.pictures.alpha)


def rerun(
    path: Path,
    *,
    new_log: Path | None = None,
    force: bool = False,
    say: Say = inform,
    answer: Say = console_say,
    progress: bool | None = None,
) -> Outcome:
    """Repeats a run from its log alone, and compares what comes out.

    The bytes are the same if device and versions are; what differs is said.

    Args:
      path: the run log; its pictures and weights have to be where it names them.
      new_log: where to keep the log of the repetition; None: nowhere.
      force: overwrite it.
      say: gets each line about what happens on the way.
      answer: gets what differs, and the verdict.
      progress: as `stylize_files`.

    Returns:
      The outcome, with exit code 0 if the bytes are the same, 1 if not; 130 or 143 when a
      signal stopped the run. The record is that of the repetition.

    Raises:
      ValueError, OSError: the run cannot be repeated; its pictures or weights are not those that
        it began with.
    """
    record = runlog.load(path)
    if new_log:
        files.check_output(new_log, force=force, suffixes=results.LOG_SUFFIXES)
        if new_log.resolve() == path.resolve():
            raise ValueError(f"{new_log} is the log of the run itself; give another one")
    with tempfile.TemporaryDirectory() as folder, stop_requests() as request:
        path_of_log = new_log or Path(folder) / "run.h5"
        with locks.held(path_of_log):
            elsewhere = partial(_with_results_in, Path(folder), path_of_log)
            run = _prepare_again(record, elsewhere, say, request)
            say(_plan_line(run))
            with _create_log(run, path_of_log) as log:
                _run_plans(run, log, path_of_log, request, say, progress)
            again = runlog.load(path_of_log)
    found = comparison.differences(record, again)
    for line in found:
        answer(line)
    if request:
        return Outcome(request.exit_code, again)
    answer(f"{path}: " + ("other bytes" if found else "the same bytes"))
    return Outcome(1 if found else 0, again)


def _with_results_in(folder: Path, log: Path, config: Config) -> Config:
    """The same run with its log there, and whatever else it writes in a folder."""
    config = replace(config, log=log, tensorboard=None, keep_state=False)
    if isinstance(config, SweepConfig):
        return replace(config, report=None)
    return replace(config, output=folder / "out.png", figures=None)


class _Run(NamedTuple):
    """Everything that is ready before the first step."""

    config: Config
    share: Share
    variants: Sequence[Variant]
    pictures: Inputs
    network: Network
    problems: programs.Problems
    plans: Sequence[Plan]


def _run_files(
    config: Config,
    say: Say,
    progress: bool | None,
    *,
    share: Share = WHOLE,
    on_chunk: Callable[[Chunk], object] = lambda chunk: None,
) -> Outcome:
    started = time.perf_counter()
    check_config(config)
    results.check_outputs(config)
    with stop_requests() as request, _log_path(config) as path, locks.held(path):
        run = _prepare(config, share, say, request)
        planning = time.perf_counter()
        run = _with_plans(run)
        planning = time.perf_counter() - planning
        say(_plan_line(run))
        request.check()
        # Those of an earlier run with the same name.
        checkpoint.remove(path)
        with _create_log(run, path) as log:
            # What fits into memory is known from the compiled program.
            log.add_compile_seconds(planning)
            _run_plans(run, log, path, request, say, progress, on_chunk)
        return results.conclude(config, path, request, say, started, alpha=run.pictures.alpha)


def _extend(
    record: RunRecord,
    steps: int,
    force: bool,
    request: StopRequest,
    say: Say,
    progress: bool | None,
    started: float,
) -> Outcome:
    """Goes on with a run in a new log, which can itself be resumed from the start on."""
    with resumption.about(record.path):
        config = resumption.read(record).config
        path = extension.beside(record.path, config.steps, steps)
        config = replace(extension.extended(record, config, steps), log=path, force=force)
    check_config(config)
    results.check_outputs(config)
    with locks.held(path):
        run = _prepare_again(record, lambda _: config, say, request)
        states, run = _with_more_steps(record, run)
        say(f"{path} goes on from {record.path}")
        _say_repetition(record, [p for n, p in enumerate(run.plans) if n not in states], say)
        say(_plan_line(run))
        request.check()
        checkpoint.remove(path)
        with _create_log(run, path, extension.origin(record)) as log:
            # Of a program the rows first: it is started anew until its state is there.
            for number, state in states.items():
                columns = run.plans[number].columns
                log.take_over(record, columns, columns)
                checkpoint.copy(state, checkpoint.path_of(path, number))
            _run_plans(run, log, path, request, say, progress)
        return results.conclude(config, path, request, say, started, alpha=run.pictures.alpha)


def _with_more_steps(record: RunRecord, run: _Run) -> tuple[dict[int, Path], _Run]:
    """The states from which programs of a log can go on, by their numbers, and the new run."""
    rest = (run.config, run.variants, run.problems, run.pictures)
    plans = programs.plan_again(run.plans, *rest)
    states = {}
    for number, (old, new) in enumerate(zip(run.plans, plans, strict=True)):
        path = checkpoint.path_of(record.path, number)
        # Where convergence is looked for follows from the chunks.
        is_same = run.config.tolerance is None or old.chunk_length == new.chunk_length
        if is_same and checkpoint.program_of(path) == number:
            has_ended = all(map(runlog.ended, record.variants[new.columns]))
            if has_ended and not programs.is_end_of(record, path, run.config, new, *rest[1:]):
                raise checkpoint.OtherRun(path)
            states[number] = path
    return states, run._replace(plans=plans)


def _say_repetition(record: RunRecord, anew: Sequence[Plan], say: Say) -> None:
    steps = record.steps_done
    if lost := sum(int(steps[plan.columns].max(initial=0)) > 0 for plan in anew):
        whose = f"{lost} programs" if lost > 1 else "the program"
        say(f"{whose} kept no state (--keep-state does): the steps that are done are run again")


def _prepare(
    config: Config,
    share: Share,
    say: Say,
    request: StopRequest,
    *,
    form: vgg.Form | None = None,
) -> _Run:
    """Reads what a run needs; `form` is that of a run to repeat, else what is fastest."""
    prepare_device(config)
    variants = variants_of(config)[share.columns]
    pictures = inputs.load_pictures(config, variants, say)
    say(f"device: {environment.device_line()}")
    if warning := environment.unused_gpu():
        warn(warning)
    request.check()
    form = form or vgg.fastest_form(config.precision)
    _say_form(form, say)
    network = inputs.load_network(config, form, say)
    request.check()
    problems = programs.make_problems(config, network.feature_fn, pictures)
    # An interpreter that ends while XLA computes would crash.
    jax.block_until_ready(problems.objectives)
    request.check()
    return _Run(config, share, variants, pictures, network, problems, plans=())


def _say_form(form: vgg.Form, say: Say) -> None:
    """What is not the default; and where a precision that was asked for is slower than it."""
    if form.precision != "float32":
        how = " by oneDNN" if form.convolutions == "onednn" else ""
        say(f"convolutions in {form.precision}{how}")
    if form == ("bfloat16", "plain") and backend.platform() == "cpu":
        obstacle = compiler.obstacle_to_bfloat16() or "the run that is repeated was plain"
        warn(f"bfloat16 is slower than float32 here: {obstacle}")


def _prepare_again(
    record: RunRecord, place: Callable[[Config], Config], say: Say, request: StopRequest
) -> _Run:
    """The run of a log, with the programs that it had; refused if its inputs have changed.

    Args:
      record: the log.
      place: gives its settings with the places of the results.
      say: gets each line for the person.
      request: of a signal.
    """
    with resumption.about(record.path):
        config, share, plans, form = resumption.read(record)
        config = place(config)
        check_config(config)
        # A log from elsewhere decides where results go: at least no input is overwritten.
        results.check_outputs(replace(config, force=True))
        resumption.check_form(form)
    run = _prepare(config, share, say, request, form=form)
    inputs.check_same(record, inputs.hashes(config, run.network))
    if run.pictures.content.shape != record.content.shape:
        raise ValueError(f"{record.path} cannot be used: its content has another size")
    for difference in environment.differences(record.attributes):
        say(f"note: {difference}: the bytes may differ from those of the run that was logged")
    return run._replace(plans=plans)


def _with_plans(run: _Run) -> _Run:
    batch = run.config.batch if isinstance(run.config, SweepConfig) else 1
    plans = programs.plan(run.config, run.variants, run.problems, run.pictures, batch=batch)
    return run._replace(plans=plans)


def check_config(config: Config) -> None:
    """Refuses settings that are wrong whatever the pictures are.

    Raises:
      ValueError: one line that names the setting, what was expected and what came.
    """
    size, style_size = config.longest_sides
    for name, value, least in (
        ("size", size, 1),
        ("style size", style_size, 1),
        ("snapshot period", config.snapshot_every, 0),
        ("initial noise", config.init_noise, 0),
        ("batch", getattr(config, "batch", None), 1),
    ):
        if value is not None and not least <= value < np.inf:
            raise ValueError(f"the {name} must be at least {least}, got {value}")
    if config.enlarge and size is None and style_size is None:
        raise ValueError("there is nothing to enlarge to: give a size in pixels, or no --enlarge")
    for layer in (*config.content_layers, *config.style_layers):
        vgg.canonical_name(layer, config.arch)
    if isinstance(config, SweepConfig) and not config.styles:
        raise ValueError("there is no style picture: name one or more after the content")
    if not (*config.content_layers, *config.style_layers):
        raise ValueError("there is nothing to match: name a content layer or a style layer")
    if config.snapshot_every and not config.log:
        raise ValueError("snapshots are kept in the run log: give --log with --snapshot-every")
    if config.keep_state and not config.log:
        raise ValueError("the state is kept beside the run log: give --log with --keep-state")
    if config.keep_state and isinstance(config, SweepConfig) and config.distributed:
        raise ValueError(
            "--keep-state keeps nothing of a --distributed sweep: leave one of them out"
        )
    check_variants(variants_of(config), config)
    if config.snapshot_every > config.steps:
        raise ValueError(
            f"the snapshot period must be at most the number of steps, {config.steps}, got "
            f"{config.snapshot_every}"
        )


def prepare_device(config: Config) -> None:
    """What has to come before JAX starts its backend."""
    if config.deterministic:
        os.environ |= environment.deterministic()


def _plan_line(run: _Run) -> str:
    height, width = run.pictures.content.shape[:2]
    what = f"optimising {width} x {height} pixels: {run.config.steps} steps of "
    if len(run.variants) == 1:
        return what + run.variants[0].label
    count = len(run.plans)
    widest, devices = (max(getattr(plan, x) for plan in run.plans) for x in ("width", "devices"))
    where = "one program" if count == 1 else f"{count} programs of {widest} at most"
    if devices > 1:
        where += f", on {devices} devices"
    return f"{what}{len(run.variants)} variants in {where}"


def _create_log(run: _Run, path: Path, origin: Mapping[str, str] = MappingProxyType({})) -> RunLog:
    config = run.config
    return RunLog.create(
        path,
        attributes={
            **environment.describe(),
            **inputs.hashes(config, run.network),
            "command": shlex.join(["nst-jax", *sys.argv[1:]]),
            "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
            "driver": run.plans[0].driver,
            **run.network.form._asdict(),
            "seed": run.variants[0].seed,
            **dict(zip(resumption.SHARE, run.share, strict=True)),
            "variants_per_program": max(plan.width for plan in run.plans),
            "plans_json": json.dumps(programs.as_json(run.plans)),
            "weights_name": run.network.name,
            **origin,
        },
        config=to_json(config),
        variants=run.variants,
        style_layers=inputs.layers_of(config.style_layers, config.arch),
        content=images.to_uint8(run.pictures.content),
        styles={name: images.to_uint8(style) for name, style in run.pictures.styles.items()},
        num_steps=config.steps,
        num_snapshots=config.steps // config.snapshot_every if config.snapshot_every else 0,
        chunk_length=run.plans[0].chunk_length,
    )


def _run_plans(
    run: _Run,
    log: RunLog,
    path: Path,
    request: StopRequest,
    say: Say,
    progress: bool | None,
    on_chunk: Callable[[Chunk], object] = lambda chunk: None,
) -> None:
    """Runs the programs that have not ended yet, one after another."""
    variants = list(run.variants)
    steps = run.config.steps
    with (
        ProgressBar(steps, variants, progress) as bar,
        TensorBoard(run.config.tensorboard, variants, steps, run.share) as board,
    ):

        def show(plan: Plan, chunk: Chunk) -> None:
            bar.show(plan, chunk)
            board.show(plan, chunk)
            on_chunk(chunk)

        for number, plan in enumerate(run.plans):
            if all(map(runlog.ended, variants[plan.columns])):
                bar.skip(plan)
                continue
            variants[plan.columns] = programs.run(
                run.config,
                plan,
                variants,
                run.problems,
                run.pictures,
                log,
                number=number,
                checkpoint_path=checkpoint.path_of(path, number),
                request=request,
                on_chunk=show,
            )
            if request:
                break
    single = isinstance(run.config, StylizeConfig)
    if single and results.bad_term(log.rows(), variants[0]):
        log.finish("failed")
    else:
        log.finish("interrupted" if request else "finished")


@contextmanager
def _log_path(config: Config) -> Iterator[Path]:
    """Where the run is logged: without --log in a temporary file, so that all runs are alike."""
    if config.log:
        yield config.log
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "run.h5"
