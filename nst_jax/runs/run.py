"""A run from files to files: the report's seventeen steps, in order.

`stylize_files` and `sweep_files` differ in how many variants they make of their settings and in
what they write at the end. Everything that can be refused is refused before the optimisation
starts.
"""

import json
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from nst_jax import image as images
from nst_jax import runlog
from nst_jax.config import PLACES, Config, StylizeConfig, SweepConfig, resolved
from nst_jax.driver import Chunk
from nst_jax.runlog import Variant, checkpoint
from nst_jax.runlog.writing import RunLog
from nst_jax.runs import contents, elsewhere, judging, plans, programs, results
from nst_jax.runs.checks import check_config, check_outputs
from nst_jax.runs.grid import SHARE, WHOLE, Share
from nst_jax.runs.objectives import CONTENT
from nst_jax.runs.plans import Plan
from nst_jax.runs.preparation import Run, prepare
from nst_jax.runs.problem import Stage
from nst_jax.runs.progress import ProgressBar
from nst_jax.runs.results import Outcome
from nst_jax.runs.tensorboard import TensorBoard
from nst_jax.system import environment, locks
from nst_jax.system.cluster import ALONE, Team
from nst_jax.system.console import Say, inform
from nst_jax.system.interrupts import StopRequest, stop_requests

OnChunk = Callable[[Chunk], object]


def stylize_files(
    config: StylizeConfig,
    *,
    say: Say = inform,
    progress: bool | None = None,
    on_chunk: OnChunk = lambda chunk: None,
    team: Team = ALONE,
) -> Outcome:
    """Runs `config`: reads the pictures, optimises, writes picture, log and figures.

    Args:
      config: see `StylizeConfig`.
      say: gets each line for the person.
      progress: show a progress bar on standard error; None: if that is a terminal.
      on_chunk: as `solve.stylize`: called after each chunk of steps, to show the picture so far.
      team: the processes that compute this run, each the same; see `together`.

    Returns:
      The outcome, with exit code 0 when done; 1 when a value was not finite, with the last good
      picture saved; 130 or 143 when a signal stopped the run, with the picture so far saved.

    Raises:
      ValueError, OSError: bad input; nothing has been written.
    """
    return _run_files(config, WHOLE, team, say, progress, on_chunk)


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
    return _run_files(config, share, ALONE, say, progress, lambda chunk: None)


def _run_files(
    config: Config,
    share: Share,
    team: Team,
    say: Say,
    progress: bool | None,
    on_chunk: OnChunk,
) -> Outcome:
    started = time.perf_counter()
    with team.together() as begin:
        config = elsewhere.placed(contents.listed(resolved(config), say=say), team)
        check_config(config)
        check_outputs(config)
        with stop_requests() as request, _log_path(config.log) as path, locks.held(path):
            run = prepare(config, share=share, team=team, say=say, request=request)
            planning = time.perf_counter()
            run = run.planned()
            planning = time.perf_counter() - planning
            say(plan_line(run))
            request.check()
            begin(facts_of(run))
            request = team.shared(request)
            # Those of an earlier run with the same name.
            checkpoint.remove(path)
            with create_log(run, path) as log:
                # What fits into memory is known from the compiled program.
                log.add_compile_seconds(planning)
                run_programs(run, log, path, request, progress, on_chunk)
            return results.conclude(run.outputs, path, request, say, started, alphas=run.alphas)


@contextmanager
def _log_path(log: Path | None) -> Iterator[Path]:
    """Where the run is logged: without --log in a temporary file, so that all runs are alike."""
    if log:
        yield log
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "run.h5"


def facts_of(run: Run) -> dict[str, str]:
    """What has to be the same in all processes that compute a run, by what a person calls it."""
    where = environment.describe()
    settings = {name: value for name, value in run.settings.items() if name not in PLACES}
    return {
        **{name.removesuffix("_sha256"): value for name, value in run.hashes.items()},
        "settings": json.dumps(settings),
        "set of package versions": where["versions_json"],
        "kind of device": f"{where['backend']} {where['device_kind']}",
        "plan": json.dumps([run.network.form, run.division, plans.as_json(run.plans)]),
    }


def plan_line(run: Run) -> str:
    """What is about to be run, in words."""
    # Of the longest side: contents of other shapes are as large.
    sizes = [str(max(map(max, stage.problems.shapes))) for stage in run.stages]
    stages = f", in stages of {', '.join(sizes)}" if len(sizes) > 1 else ""
    what = f"optimising {_shapes_in_words(run)}{stages}: {run.schedule.steps} steps of "
    if len(run.variants) == 1:
        return what + run.variants[0].label + _spread_in_words(run)
    count = len(run.plans)
    widest, devices = (max(getattr(plan, x) for plan in run.plans) for x in ("width", "devices"))
    where = "one program" if count == 1 else f"{count} programs of {widest} at most"
    if devices > 1:
        where += f", on {devices} devices"
    return f"{what}{len(run.variants)} variants in {where}{_spread_in_words(run)}"


def _spread_in_words(run: Run) -> str:
    if run.team.count == 1:
        return ""
    taken, available = max(plan.row_devices for plan in run.plans), len(run.team.devices)
    devices = f"{taken} of {available}" if taken < available else f"{taken}"
    return f", rows spread over {devices} devices in {run.team.count} processes"


def _shapes_in_words(run: Run) -> str:
    shapes = [f"{width} x {height}" for height, width, _ in run.stages[-1].problems.shapes]
    pixels = f"{shapes[0]} pixels" if len(shapes) == 1 else f"{len(shapes)} shapes"
    return f"{len(run.pictures)} pictures of {pixels}" if len(run.pictures) > 1 else pixels


def create_log(run: Run, path: Path, origin: Mapping[str, str] = MappingProxyType({})) -> RunLog:
    """The log of a run that is about to begin.

    Args:
      run: planned.
      path: where.
      origin: further attributes, of a run that goes on from another log.
    """
    steps, every = run.schedule.steps, run.schedule.snapshot_every
    first = run.problem.pictures
    # Styles that go with one content are logged as they are used. A share of several may have one.
    styles = first.own_colors if run.settings["contents"] else first.styles
    return RunLog.create(
        path,
        attributes={**_attributes(run), **origin},
        config=run.settings,
        variants=run.variants,
        parts=run.problem.parts,
        part_weights=_part_weights(run),
        contents=_in_8_bits({name: own.content for name, own in run.pictures.items()}),
        styles=_in_8_bits(styles),
        references=_in_8_bits(first.references),
        masks=_in_8_bits(first.masks[CONTENT]),
        metrics=run.panel.judges.names if run.panel else (),
        stages=_logged(run.stages),
        num_steps=steps,
        num_snapshots=steps // every if every else 0,
        chunk_length=run.plans[0].chunk_length,
        depth=run.outputs.depth,
    )


def _attributes(run: Run) -> dict[str, Any]:
    """Where a run is made, of what, and how."""
    return {
        **environment.describe(),
        "processes": run.team.count,
        **run.hashes,
        "command": shlex.join(["nst-jax", *sys.argv[1:]]),
        "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "driver": run.plans[0].driver,
        **run.network.form._asdict(),
        **run.division._asdict(),
        "seed": run.variants[0].seed,
        **dict(zip(SHARE, run.share, strict=True)),
        "variants_per_program": max(plan.width for plan in run.plans),
        "plans_json": json.dumps(plans.as_json(run.plans)),
        "weights_name": run.network.name,
        "terms_json": json.dumps({name: asdict(spec) for name, spec in run.terms.items()}),
    }


def _logged(stages: Sequence[Stage]) -> list[runlog.LoggedStage]:
    """Several stages as the log has them; a run of one size has none."""
    if len(stages) == 1:
        return []
    pictures = [stage.problems.pictures.values() for stage in stages]
    sizes = [runlog.largest(picture.content for picture in own) for own in pictures]
    return [
        runlog.LoggedStage(*size, stage.stop) for size, stage in zip(sizes, stages, strict=True)
    ]


def _in_8_bits(pictures: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: images.to_uint8(picture) for name, picture in pictures.items()}


def _part_weights(run: Run) -> dict[str, np.ndarray]:
    """By term, the weights of the parts in each variant; of terms with several."""
    first, problems = run.problem, run.stages[-1].problems
    # What is relative to the targets is another weight for each content.
    is_shared = first.layer_balance == "equal"
    weights = [
        (first if is_shared else problems[variant.content]).weights(variant).parts
        for variant in run.variants
    ]
    several = [term for term, names in first.parts.items() if len(names) > 1]
    return {term: np.stack([np.asarray(each[term]) for each in weights]) for term in several}


def run_programs(
    run: Run,
    log: RunLog,
    path: Path,
    request: StopRequest,
    progress: bool | None,
    on_chunk: OnChunk = lambda chunk: None,
) -> None:
    """Runs the programs that have not ended yet, one after another.

    Args:
      run: planned.
      log: of the run, open.
      path: of the log; the checkpoints lie beside it.
      request: of a signal.
      progress: show a progress bar; None: on a terminal.
      on_chunk: told of each chunk.
    """
    variants = list(run.variants)
    steps, outputs = run.schedule.steps, run.outputs
    with (
        ProgressBar(steps, variants, progress) as bar,
        TensorBoard(outputs.tensorboard, variants, steps, run.share) as board,
    ):

        def show(plan: Plan, chunk: Chunk) -> None:
            bar.show(plan, chunk)
            board.show(plan, chunk)
            on_chunk(chunk)

        for number, plan in enumerate(run.plans):
            if all(map(runlog.ended, variants[plan.columns])):
                bar.skip(plan)
            else:
                course = _course(run, variants, number)
                place, shape = checkpoint.path_of(path, number), course[-1].problem.shape
                sink = programs.Sink(log, place, outputs.keep_state, show, shape)
                variants[plan.columns] = programs.run(course, run.schedule, sink, request)
            _save_pictures(run, log, plan)
            if request:
                break
    if run.panel and not request:
        judging.judge(log, variants, run.pictures, run.panel.judges, request)
    if outputs.picture and results.bad_term(log.rows(), variants[0]):
        log.finish("failed")
    else:
        log.finish("interrupted" if request else "finished")


def _course(run: Run, variants: Sequence[Variant], number: int) -> list[programs.Program]:
    """The stages of a program."""
    plan = run.plans[number]
    return [
        programs.build(stage, run.method, plan, variants, number=number, team=run.team)
        for stage in run.stages
    ]


def _save_pictures(run: Run, log: RunLog, plan: Plan) -> None:
    """Those of several that a program has ended: what is done is there, whatever comes later."""
    if len(run.outputs.pictures) > 1:
        columns = range(plan.start, plan.stop)
        results.save_pictures(run.outputs, log.record(), columns, run.alphas)
