"""Going on with the run of a log, and repeating it: `resume` and `rerun`."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from nst_jax import runlog
from nst_jax.config import Config, VideoConfig
from nst_jax.runlog import RunRecord, checkpoint, comparison, upgrading, writing
from nst_jax.runlog.writing import RunLog
from nst_jax.runs import (
    elsewhere,
    extension,
    frames,
    inputs,
    plans,
    programs,
    results,
    resumption,
    video,
)
from nst_jax.runs.checks import LOG_SUFFIXES, check_config, check_outputs
from nst_jax.runs.plans import Plan
from nst_jax.runs.preparation import Run, prepare
from nst_jax.runs.results import Outcome
from nst_jax.runs.run import create_log, facts_of, plan_line, run_programs
from nst_jax.system import console, environment, files, locks
from nst_jax.system.cluster import ALONE, Begin, Team
from nst_jax.system.console import Say, inform
from nst_jax.system.interrupts import StopRequest, stop_requests


def resume(
    path: Path,
    *,
    steps: int | None = None,
    force: bool = False,
    own_terms: bool = False,
    say: Say = inform,
    progress: bool | None = None,
    team: Team = ALONE,
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
      own_terms: import the functions that the log names as terms; without it such a log is refused.
      say: gets each line for the person.
      progress: as `stylize_files`.
      team: the processes that compute this run, each with a log of its own, of the same bytes.

    Raises:
      ValueError, OSError: the log cannot be resumed; its pictures or weights are not those that
        it began with; more steps are done than are asked for, or more would change nothing.
    """
    started = time.perf_counter()
    runlog.load(path)  # what is no log is refused before anything is written beside it
    with team.together() as begin, stop_requests() as request, locks.held(path):
        record = runlog.load(path)
        if record.config.get("command") == "video" and steps not in (None, record.capacity):
            raise ValueError(
                f"{path} is of a video, whose frames all have their steps: leave --steps out"
            )
        if steps not in (None, record.capacity):
            given = (record, steps, force, own_terms, team, begin)
            return _extend(*given, request, say, progress, started)
        if record.is_over:
            more = "; --steps adds to its steps" if record.status == "finished" else ""
            say(f"{path} is {record.status}: there is nothing to resume{more}")
            return Outcome(0, record)
        writing.check_writable(path)
        if record.config.get("command") == "video":
            return _resume_video(record, own_terms, request, say, progress, started)
        run = _prepare_again(
            record,
            lambda config: elsewhere.placed(replace(config, log=path), team),
            say,
            request,
            own_terms=own_terms,
            team=team,
        )
        variants = [
            replace(variant, status=logged.status, diverged_step=logged.diverged_step)
            for variant, logged in zip(run.variants, record.variants, strict=True)
        ]
        run = run._replace(variants=variants)
        _check_same_terms(record, run)
        begin(facts_of(run))
        request = team.shared(request)
        upgrading.upgrade(record, run.problem.parts)
        with RunLog.reopen(path) as log:
            run_programs(run, log, path, request, progress)
        return results.conclude(run.outputs, path, request, say, started, alphas=run.alphas)


def _resume_video(
    record: RunRecord,
    own_terms: bool,
    request: StopRequest,
    say: Say,
    progress: bool | None,
    started: float,
) -> Outcome:
    """Goes on with the frames that are not there yet."""
    path = record.path
    with resumption.about(path):
        config = resumption.read(record, own_terms=own_terms).config
        if not isinstance(config, VideoConfig):
            raise ValueError("its settings are those of no video")
    config = replace(config, log=path, force=True)
    with frames.opened(config, say=say) as clip:
        if clip.num_steps != record.capacity:
            raise ValueError(
                f"{path} cannot be used: it has room for {record.capacity} steps, not for "
                f"{clip.num_steps}"
            )
        first = frames.of_first_frame(config, clip)
        run = _prepare_again(record, lambda _: first, say, request, own_terms=own_terms)
        run = video.prepared(run, config, clip)
        inputs.check_same(record, run.hashes)
        _check_same_terms(record, run)
        with RunLog.reopen(path) as log:
            video.paint(run, first, clip, log, request, progress)
        return video.conclude(run, clip, path, request, say, started)


def rerun(
    path: Path,
    *,
    new_log: Path | None = None,
    force: bool = False,
    own_terms: bool = False,
    say: Say = inform,
    answer: Say = console.say,
    progress: bool | None = None,
) -> Outcome:
    """Repeats a run from its log alone, and compares what comes out.

    The bytes are the same if device and versions are; what differs is said.

    Args:
      path: the run log; its pictures and weights have to be where it names them.
      new_log: where to keep the log of the repetition; None: nowhere.
      force: overwrite it.
      own_terms: as `resume`.
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
    if record.config.get("command") == "video":
        raise ValueError(f"{path} is of a video, which rerun does not repeat: nst-jax video does")
    if new_log:
        files.check_output(new_log, force=force, suffixes=LOG_SUFFIXES)
        if new_log.resolve() == path.resolve():
            raise ValueError(f"{new_log} is the log of the run itself; give another one")
    with tempfile.TemporaryDirectory() as folder, stop_requests() as request:
        path_of_log = new_log or Path(folder) / "run.h5"
        with locks.held(path_of_log):
            place = partial(elsewhere.results_in, Path(folder), path_of_log)
            run = _prepare_again(record, place, say, request, own_terms=own_terms)
            say(plan_line(run))
            with create_log(run, path_of_log) as log:
                run_programs(run, log, path_of_log, request, progress)
            again = runlog.load(path_of_log)
    found = comparison.differences(record, again)
    for line in found:
        answer(line)
    if request:
        return Outcome(request.exit_code, again)
    answer(f"{path}: " + ("other bytes" if found else "the same bytes"))
    return Outcome(1 if found else 0, again)


def _check_same_shapes(record: RunRecord, run: Run) -> None:
    """Refuses to go on with contents of other sizes."""
    for name, picture in record.contents.items():
        if name not in run.pictures or run.pictures[name].content.shape != picture.shape:
            raise ValueError(f"{record.path} cannot be used: its content has another size")


def _check_same_terms(record: RunRecord, run: Run) -> None:
    """Refuses to write terms into a log that has no place for them."""
    if tuple(run.problem.terms) != record.terms:
        raise ValueError(
            f"{record.path} cannot be gone on with: its terms are {', '.join(record.terms)}, its "
            f"settings make {', '.join(run.problem.terms)}; nst-jax rerun repeats it"
        )


def _extend(
    record: RunRecord,
    steps: int,
    force: bool,
    own_terms: bool,
    team: Team,
    begin: Begin,
    request: StopRequest,
    say: Say,
    progress: bool | None,
    started: float,
) -> Outcome:
    """Goes on with a run in a new log, which can itself be resumed from the start on."""
    with resumption.about(record.path):
        config = resumption.read(record, own_terms=own_terms).config
        path = extension.beside(record.path, config.steps, steps)
        config = extension.extended(record, config, steps)
        config = elsewhere.placed(replace(config, log=path, force=force), team)
    check_config(config)
    check_outputs(config)
    with locks.held(path):
        run = _prepare_again(record, lambda _: config, say, request, own_terms=own_terms, team=team)
        _check_same_terms(record, run)
        states, run = _with_more_steps(record, run)
        say(f"{path} goes on from {record.path}")
        _say_repetition(record, [p for n, p in enumerate(run.plans) if n not in states], say)
        say(plan_line(run))
        request.check()
        begin(facts_of(run))
        request = team.shared(request)
        checkpoint.remove(path)
        with create_log(run, path, extension.origin(record)) as log:
            # Of a program the rows first: it is started anew until its state is there.
            for number, state in states.items():
                columns = run.plans[number].columns
                log.take_over(record, columns, columns)
                checkpoint.copy(state, checkpoint.path_of(path, number))
            run_programs(run, log, path, request, progress)
        return results.conclude(run.outputs, path, request, say, started, alphas=run.alphas)


def _with_more_steps(record: RunRecord, run: Run) -> tuple[dict[int, Path], Run]:
    """The states from which programs of a log can go on, by their numbers, and the new run."""
    problems = run.stages[-1].problems
    new_plans = plans.plan_again(run.plans, problems, run.method, run.schedule, run.variants)
    states = {}
    for number, (old, new) in enumerate(zip(run.plans, new_plans, strict=True)):
        path = checkpoint.path_of(record.path, number)
        # Where convergence is looked for follows from the chunks.
        is_same = run.schedule.tolerance is None or old.chunk_length == new.chunk_length
        if is_same and checkpoint.program_of(path) == number:
            if all(map(runlog.ended, record.variants[new.columns])):
                parts = (run.stages[-1], run.method, new, run.variants)
                program = programs.build(*parts, number=number)
                if not programs.is_end_of(record, path, program):
                    raise checkpoint.OtherRun(path)
            states[number] = path
    return states, run._replace(plans=new_plans)


def _say_repetition(record: RunRecord, anew: Sequence[Plan], say: Say) -> None:
    steps = record.steps_done
    if lost := sum(int(steps[plan.columns].max(initial=0)) > 0 for plan in anew):
        whose = f"{lost} programs" if lost > 1 else "the program"
        say(f"{whose} kept no state (--keep-state does): the steps that are done are run again")


def _prepare_again(
    record: RunRecord,
    place: Callable[[Config], Config],
    say: Say,
    request: StopRequest,
    *,
    own_terms: bool,
    team: Team = ALONE,
) -> Run:
    """The run of a log, with the programs that it had; refused if its inputs have changed.

    Args:
      record: the log.
      place: gives its settings with the places of the results.
      say: gets each line for the person.
      request: of a signal.
      own_terms: see `resume`.
      team: the processes that compute it.
    """
    with resumption.about(record.path):
        config, share, old_plans, form, division = resumption.read(record, own_terms=own_terms)
        config = place(config)
        check_config(config)
        # A log from elsewhere decides where results go: at least no input is overwritten.
        check_outputs(replace(config, force=True))
        resumption.check_form(form)
    run = prepare(
        config, share=share, form=form, division=division, team=team, say=say, request=request
    )
    inputs.check_same(record, run.hashes)
    _check_same_shapes(record, run)
    differences = environment.differences(record.attributes)
    if (count := record.attributes.get("processes", 1)) != team.count:
        differences.append(f"processes was {count}, is {team.count}")
    for difference in differences:
        say(f"note: {difference}: the bytes may differ from those of the run that was logged")
    return run._replace(plans=old_plans)
