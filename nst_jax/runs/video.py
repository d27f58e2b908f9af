"""A clip from files to files: frame after frame into one log, each from what the last ones tell.

Frames are parts of one run, as stages are: a step of the run is one of a frame, and the log has the
rows of all. What goes from frame to frame are the results as they were written, so that a run that
was killed goes on from them to the same bytes.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from nst_jax import driver
from nst_jax import image as images
from nst_jax.config import PLACES, TEMPORAL, VideoConfig, at_last_stage, resolved, to_json
from nst_jax.runlog import Variant, checkpoint
from nst_jax.runlog.writing import RunLog
from nst_jax.runs import frames, programs, results
from nst_jax.runs.checks import check_config, check_outputs
from nst_jax.runs.frames import Clip
from nst_jax.runs.grid import variants_of
from nst_jax.runs.preparation import (
    Run,
    load_pictures,
    prepare,
    problems_of_frame,
    with_prediction,
)
from nst_jax.runs.problem import Pictures, Schedule, Stage
from nst_jax.runs.progress import ProgressBar
from nst_jax.runs.results import Outcome
from nst_jax.runs.run import create_log
from nst_jax.system import files, locks
from nst_jax.system.console import Say, inform
from nst_jax.system.interrupts import StopRequest, stop_requests
from nst_jax.version import __version__


def video_files(config: VideoConfig, *, say: Say = inform, progress: bool | None = None) -> Outcome:
    """Runs `config`: paints the frames of a clip, one after another, and logs it.

    Args:
      config: see `VideoConfig`.
      say: gets each line for the person.
      progress: show a progress bar on standard error; None: if that is a terminal.

    Returns:
      The outcome, with exit code 0 when done; 1 when a value was not finite, with the frames
      before that one saved; 130 or 143 when a signal stopped the run, and `resume` goes on.

    Raises:
      ValueError, OSError: bad input; nothing has been written.
    """
    started = time.perf_counter()
    config = resolved(config)
    config = replace(config, log=config.log or config.output.with_name(config.output.name + ".h5"))
    path = Path(str(config.log))
    with frames.opened(config, say=say) as clip:
        first = frames.of_first_frame(config, clip)
        check_config(first)
        _check_results(config, clip, path)
        check_outputs(first)
        with stop_requests() as request, locks.held(path):
            run = prepared(prepare(first, say=say, request=request), config, clip)
            run = run.planned(across_styles=True)
            say(_in_words(run, clip))
            request.check()
            checkpoint.remove(path)
            with create_log(run, path) as log:
                for each in chain.from_iterable(clip.results.values()):
                    each.unlink(missing_ok=True)
                paint(run, first, clip, log, request, progress)
            return conclude(run, clip, path, request, say, started)


def _check_results(config: VideoConfig, clip: Clip, path: Path) -> None:
    """Refuses a folder in which something else lies than results that may be replaced."""
    for folder in clip.folders:
        if folder.resolve() == config.content.resolve():
            raise ValueError(f"{folder} is the folder of the frames: write the results elsewhere")
        files.check_folder(folder)
    if path.exists() and not config.force:
        raise FileExistsError(
            f"{path} exists: nst-jax resume {path} goes on with its run, --force begins anew"
        )
    for folder, pictures in zip(clip.folders, clip.results.values(), strict=True):
        own = set(pictures) if config.force else set()
        if others := sorted(set(folder.iterdir()) - own):
            raise ValueError(
                f"the folder {folder} is for the frames alone, and holds {others[0].name}: give "
                "another folder, or empty it"
            )


def prepared(run: Run, config: VideoConfig, clip: Clip) -> Run:
    """The run of a whole clip, of that of its first frame."""
    return run._replace(
        variants=tuple(_with_scaled_weight(variant, run) for variant in run.variants),
        batch=None if config.more_styles else run.batch,
        schedule=Schedule(clip.num_steps),
        outputs=run.outputs._replace(pictures=()),
        settings=to_json(config),
        hashes={**run.hashes, **clip.hashes()},
    )


def _with_scaled_weight(variant: Variant, run: Run) -> Variant:
    # The scale of losses is the objective's: a number would mean another thing in each.
    scale = sum(run.problem.scales(variant).values())
    weights = {**variant.weights, TEMPORAL: variant.weights[TEMPORAL] * scale}
    return replace(variant, weights=weights)


def _in_words(run: Run, clip: Clip) -> str:
    height, width, _ = run.problem.shape
    count, styles, variant = len(clip.frames), len(run.variants), run.variants[0]
    how = variant.label if styles == 1 else variant.optimizer
    steps = f"{clip.first_steps} steps of {how}"
    if clip.more_steps != clip.first_steps:
        steps += f" for the first one, {clip.more_steps} for each other"
    ways = f" in {styles} styles" if styles > 1 else ""
    return f"optimising {count} frames of {width} x {height} pixels{ways}: {steps}"


def conclude(
    run: Run, clip: Clip, path: Path, request: StopRequest, say: Say, started: float
) -> Outcome:
    """Says how a run ended."""
    for film in clip.films.values():
        if film.exists():
            say(f"wrote {film}, {clip.rate:g} frames a second")
    for folder, own in zip(clip.folders, clip.results.values(), strict=True):
        say(f"{sum(each.exists() for each in own)} of {len(own)} frames are in {folder}")
    return results.conclude(run.outputs, path, request, say, started, alphas={})


def paint(
    run: Run,
    config: VideoConfig,
    clip: Clip,
    log: RunLog,
    request: StopRequest,
    progress: bool | None,
) -> None:
    """Paints the frames that are not there yet.

    Args:
      run: planned.
      config: of its first frame.
      clip: of the run.
      log: of the run, open.
      request: of a signal.
      progress: show a progress bar; None: on a terminal.
    """
    begin = _painted(run, clip, log)
    place, shape = checkpoint.path_of(Path(str(config.log))), run.problem.shape
    with ProgressBar(run.schedule.steps, run.variants, progress) as bar:
        bar.pass_over(clip.stop(begin - 1) * len(run.variants) if begin else 0)
        sink = programs.Sink(log, place, False, bar.show, shape)
        # The last frame may be there, and the run have been killed before its end.
        for number in range(min(begin, len(clip.frames) - 1), len(clip.frames)):
            painted = _paint_frame(run, config, clip, number, sink, request)
            has_failed = any(_has_diverged(state) for _, state in painted)
            if request or has_failed:
                break
    for program, state in painted:
        programs.finish(program, state, sink, bool(request))
    if not request:
        place.unlink(missing_ok=True)
    # Before the log says that all is done: a kill meanwhile is made up for by `resume`.
    if not (has_failed or request):
        for style, film in clip.films.items():
            images.write_film(film, clip.results[style], rate=clip.rate)
    log.finish("failed" if has_failed else "interrupted" if request else "finished")


def _painted(run: Run, clip: Clip, log: RunLog) -> int:
    """How many frames from the first on have all their rows, and their results."""
    rows = min(len(log.totals(plan.columns)) for plan in run.plans)
    found = (
        number
        for number in range(len(clip.frames))
        if rows < clip.stop(number)
        or not all(own[number].exists() for own in clip.results.values())
    )
    return next(found, len(clip.frames))


def _paint_frame(
    run: Run,
    config: VideoConfig,
    clip: Clip,
    number: int,
    sink: programs.Sink,
    request: StopRequest,
) -> list[tuple[programs.Program, driver.State]]:
    """Paints a frame, and saves what is done: its programs, each with its last state."""
    painted = []
    stages, variants, starts = run.stages, run.variants, None
    if number:
        stage, starts = _stage_of(run, config, clip, number)
        stages = [stage]
        variants = [replace(each, content=str(clip.frames[number])) for each in variants]
    for i, plan in enumerate(run.plans):
        mark = number * len(run.plans) + i
        course = [
            programs.build(stage, run.method, plan, variants, number=mark) for stage in stages
        ]
        if starts:
            course = [_begun(course[0], starts)]
        program, state = programs.run_stages(course, run.schedule, sink, request)
        painted.append((program, state))
        if request or _has_diverged(state):
            break
        _save(program, state, clip, number, run)
    return painted


def _has_diverged(state: driver.State) -> bool:
    return bool(np.any(np.asarray(state.diverged_step) >= 0))


def _stage_of(
    run: Run, config: VideoConfig, clip: Clip, number: int
) -> tuple[Stage, Mapping[str, np.ndarray]]:
    """What is minimised for a frame after the first one: the last stage; and where it begins."""
    own = frames.of_frame(config, clip, number)
    read = {number: _pictures(own)}
    if clip.flows is None:
        for earlier in (number - distance for distance in clip.ranges if distance <= number):
            read[earlier] = _pictures(frames.of_frame(config, clip, earlier))
    known = frames.predict(clip, number, {each: own.content for each, own in read.items()})
    pictures = {str(own.content): with_prediction(read[number], *known)}
    stage = Stage(
        problems_of_frame(run, at_last_stage(own), pictures),
        clip.stop(number - 1),
        clip.stop(number),
        run.stages[-1].rate,
        run.stages[-1].weights,
    )
    return stage, known.pictures


def _begun(program: programs.Program, starts: Mapping[str, np.ndarray]) -> programs.Program:
    """A program whose lanes begin at pictures, by style."""
    own = [starts[variant.style] for variant in program.variants]
    lanes = own + [own[-1]] * (program.plan.width - len(own))
    state = driver.init_state(np.stack(lanes), program.optimizer, program.hyper)
    step = jnp.full_like(state.step, program.stage.begin)
    return program._replace(state=state._replace(step=step))


def _pictures(config: VideoConfig) -> Pictures:
    """The pictures of a frame, without a word: all frames are alike."""

    def quiet(line: object) -> None:
        del line

    return load_pictures(at_last_stage(config), variants_of(config), say=quiet)[str(config.content)]


def _save(
    program: programs.Program, state: driver.State, clip: Clip, number: int, run: Run
) -> None:
    """Writes the results of a frame; the same picture has the same bytes."""
    settings = {k: str(v) for k, v in run.settings.items() if v is not None and k not in PLACES}
    metadata = {
        "Software": f"nst_jax {__version__}",
        "nst_jax.settings": json.dumps(settings),
        "nst_jax.frame": Path(program.variants[0].content).name,
    }
    pictures = program.problem.colored(program.problem.in_8_bits(state))
    # Lanes beyond the variants repeat the last one.
    for variant, picture in zip(program.variants, pictures, strict=False):
        images.save(clip.results[variant.style][number], picture, metadata=metadata)
