"""A clip from files to files: frame after frame into one log, each from what the last ones tell.

Frames are parts of one run, as stages are: a step of the run is one of a frame, and the log has the
rows of all. What goes from frame to frame are the results as they were written, so that a run that
was killed goes on from them to the same bytes.
"""

import json
import time
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from nst_jax import driver
from nst_jax import image as images
from nst_jax.config import PLACES, TEMPORAL, VideoConfig, at_last_stage, resolved, to_json
from nst_jax.runlog import checkpoint
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
            run = prepared(prepare(first, say=say, request=request), config, clip).planned()
            say(_in_words(run, clip))
            request.check()
            checkpoint.remove(path)
            with create_log(run, path) as log:
                for each in clip.results:
                    each.unlink(missing_ok=True)
                paint(run, first, clip, log, request, progress)
            return conclude(run, clip, path, request, say, started)


def _check_results(config: VideoConfig, clip: Clip, path: Path) -> None:
    """Refuses a folder in which something else lies than results that may be replaced."""
    folder = clip.results[0].parent
    if folder.resolve() == config.content.resolve():
        raise ValueError(f"{folder} is the folder of the frames: write the results elsewhere")
    files.check_folder(folder)
    if path.exists() and not config.force:
        raise FileExistsError(
            f"{path} exists: nst-jax resume {path} goes on with its run, --force begins anew"
        )
    own = set(clip.results) if config.force else set()
    if others := sorted(set(folder.iterdir()) - own):
        raise ValueError(
            f"the folder {folder} is for the frames alone, and holds {others[0].name}: give "
            "another folder, or empty it"
        )


def prepared(run: Run, config: VideoConfig, clip: Clip) -> Run:
    """The run of a whole clip, of that of its first frame."""
    (variant,) = run.variants
    # The scale of losses is the objective's: a number would mean another thing in each.
    scale = sum(run.problem.scales(variant).values())
    weights = {**variant.weights, TEMPORAL: variant.weights[TEMPORAL] * scale}
    return run._replace(
        variants=(replace(variant, weights=weights),),
        schedule=Schedule(clip.num_steps),
        outputs=run.outputs._replace(pictures=()),
        settings=to_json(config),
        hashes={**run.hashes, **clip.hashes()},
    )


def _in_words(run: Run, clip: Clip) -> str:
    height, width, _ = run.problem.shape
    count, label = len(clip.frames), run.variants[0].label
    steps = f"{clip.first_steps} steps of {label}"
    if clip.more_steps != clip.first_steps:
        steps += f" for the first one, {clip.more_steps} for each other"
    return f"optimising {count} frames of {width} x {height} pixels: {steps}"


def conclude(
    run: Run, clip: Clip, path: Path, request: StopRequest, say: Say, started: float
) -> Outcome:
    """Says how a run ended."""
    count = sum(each.exists() for each in clip.results)
    if clip.film and clip.film.exists():
        say(f"wrote {clip.film}, {clip.rate:g} frames a second")
    say(f"{count} of {len(clip.results)} frames are in {clip.results[0].parent}")
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
    variant, (plan,) = run.variants[0], run.plans
    begin = _painted(clip, log, plan.columns)
    place, shape = checkpoint.path_of(Path(str(config.log))), run.problem.shape
    with ProgressBar(run.schedule.steps, run.variants, progress) as bar:
        bar.pass_over(clip.stop(begin - 1) if begin else 0)
        sink = programs.Sink(log, place, False, bar.show, shape)
        # The last frame may be there, and the run have been killed before its end.
        for number in range(min(begin, len(clip.frames) - 1), len(clip.frames)):
            course = _course(run, config, clip, number)
            program, state = programs.run_stages(course, run.schedule, sink, request)
            if request or np.any(np.asarray(state.diverged_step) >= 0):
                break
            _save(program, state, clip.results[number], run)
    (variant,) = programs.finish(program, state, sink, bool(request))
    if not request:
        place.unlink(missing_ok=True)
    failed = results.bad_term(log.rows(), variant)
    # Before the log says that all is done: a kill meanwhile is made up for by `resume`.
    if clip.film and not (failed or request):
        images.write_film(clip.film, clip.results, rate=clip.rate)
    log.finish("failed" if failed else "interrupted" if request else "finished")


def _painted(clip: Clip, log: RunLog, columns: slice) -> int:
    """How many frames from the first on have all their rows, and their result."""
    rows = len(log.totals(columns))
    found = (
        number
        for number, result in enumerate(clip.results)
        if rows < clip.stop(number) or not result.exists()
    )
    return next(found, len(clip.results))


def _course(run: Run, config: VideoConfig, clip: Clip, number: int) -> list[programs.Program]:
    """The stages of a frame: of the first one those of the run, of each other the last of them."""
    (plan,), variant = run.plans, run.variants[0]
    if number == 0:
        return [
            programs.build(stage, run.method, plan, [variant], number=0) for stage in run.stages
        ]
    own = frames.of_frame(config, clip, number)
    variant = replace(variant, content=str(own.content))
    read = {number: _pictures(own)}
    if clip.flows is None:
        for earlier in (number - distance for distance in clip.ranges if distance <= number):
            read[earlier] = _pictures(frames.of_frame(config, clip, earlier))
    known = frames.predict(clip, number, {each: own.content for each, own in read.items()})
    pictures = with_prediction(read[number], *known)
    stage = Stage(
        problems_of_frame(run, at_last_stage(own), {variant.content: pictures}),
        clip.stop(number - 1),
        clip.stop(number),
        run.stages[-1].rate,
        run.stages[-1].weights,
    )
    program = programs.build(stage, run.method, plan, [variant], number=number)
    state = driver.init_state(known.picture[None], program.optimizer, program.hyper)
    step = jnp.full_like(state.step, stage.begin)
    return [program._replace(state=state._replace(step=step))]


def _pictures(config: VideoConfig) -> Pictures:
    """The pictures of a frame, without a word: all frames are alike."""

    def quiet(line: object) -> None:
        del line

    return load_pictures(at_last_stage(config), variants_of(config), say=quiet)[str(config.content)]


def _save(program: programs.Program, state: driver.State, path: Path, run: Run) -> None:
    """Writes the result of a frame; the same picture has the same bytes."""
    settings = {k: str(v) for k, v in run.settings.items() if v is not None and k not in PLACES}
    metadata = {
        "Software": f"nst_jax {__version__}",
        "nst_jax.settings": json.dumps(settings),
        "nst_jax.frame": Path(program.variants[0].content).name,
    }
    (picture,) = program.problem.colored(program.problem.in_8_bits(state))
    images.save(path, picture, metadata=metadata)
