"""Programs of a case side by side: the same problem, in turns, so that a slow minute is shared."""

import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from measuring import samples

from nst_jax import image as images
from nst_jax import weights as network_weights
from nst_jax.choices import Precision
from nst_jax.system.console import say
from timing.cases import Case, flops_a_step
from timing.problem import layers
from timing.results import Result
from timing.worker import Worker, interpreter_for


@contextlib.contextmanager
def problem_file(weights: str | None, size: int) -> Iterator[tuple[Path, tuple[int, int]]]:
    """Pictures and weights as all programs read them; the content's height and width."""
    params = network_weights.load_params(weights)
    content = images.load(samples.PORTRAIT, size=size, enlarge=True)
    style = images.load(samples.PAINTING, size=size, enlarge=True)
    arrays = {"content": content, "style": style}
    for layer in layers():
        arrays |= {
            f"{part}/{layer}": np.asarray(params[layer][part]) for part in ("kernel", "bias")
        }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "problem.npz"
        np.savez(path, **arrays)
        yield path, content.shape[:2]


def run(
    case: Case, interpreters: Sequence[str], weights: str | None, *, rounds: int, seconds: float
) -> list[Result]:
    """Runs the programs of a case in turns; one that fails is left out, and that is said.

    Args:
      case: what is run.
      interpreters: of the peers; see `worker.interpreter_for`.
      weights: source of the network's weights.
      rounds: turns that each program has.
      seconds: about how long a turn is.
    """
    found = {peer: interpreter_for(peer, interpreters) for peer in case.peers}
    pythons = {"nst_jax": sys.executable} | {peer: p for peer, p in found.items() if p}
    with problem_file(weights, case.size) as (problem, shape):
        workers: list[Worker] = []
        try:
            for precision, program in _programs(case, pythons):
                workers.append(Worker(pythons[program], program, problem, case, precision))
                # One after another: two that compile at once would wait for each other.
                _left_out_if_failed(workers, workers[-1], Worker.start)
            _check_peers(workers)
            _take_turns(workers, rounds, seconds)
            return _results(workers, case, shape)
        finally:
            for worker in workers:
                worker.stop()


def _programs(case: Case, pythons: Mapping[str, str]) -> Iterator[tuple[Precision, str]]:
    """The report's program has float32 alone."""
    for precision in case.precisions:
        for program in pythons:
            if program != "tensorflow" or precision == "float32":
                yield precision, program


def _take_turns(workers: list[Worker], rounds: int, seconds: float) -> None:
    # The first turn is of one step, to know how many make a turn.
    for _ in range(rounds + 1):
        for worker in list(workers):
            _left_out_if_failed(workers, worker, lambda w: w.turn(seconds))
    for worker in list(workers):
        _left_out_if_failed(workers, worker, Worker.finish)


def _results(workers: Sequence[Worker], case: Case, shape: tuple[int, int]) -> list[Result]:
    """Of the programs in whose precision ours has measured the rate of a matrix product."""
    rates = {w.precision: w.matmul_rate for w in workers if w.program == "nst_jax"}
    height, width = shape
    return [
        Result(
            program=worker.program,
            size=case.size,
            height=height,
            width=width,
            variants=case.variants,
            precision=worker.precision,
            ready=worker.ready,
            seconds_a_step=tuple(worker.times[1:]),
            peak_bytes=worker.peak_bytes,
            flops_a_step=flops_a_step(height, width, case.variants),
            matmul_rate=rates[worker.precision],
        )
        for worker in workers
        if worker.precision in rates
    ]


def _left_out_if_failed(
    workers: list[Worker], worker: Worker, act: Callable[[Worker], None]
) -> None:
    try:
        act(worker)
    except RuntimeError as error:
        say(f"left out: {error}")
        worker.stop()
        workers.remove(worker)


def _check_peers(workers: list[Worker]) -> None:
    """Leaves out a peer on another device, or with another loss than ours."""
    for worker in list(workers):
        ours = next(
            (w for w in workers if (w.program, w.precision) == ("nst_jax", worker.precision)), None
        )
        problem = _problem_of(worker, ours)
        if problem:
            say(f"left out: {worker.program} in {worker.precision}, because {problem}")
            worker.stop()
            workers.remove(worker)


def _problem_of(worker: Worker, ours: Worker | None) -> str | None:
    """Why a peer cannot be compared with ours, if it cannot."""
    if ours is None:
        return "there is nothing of ours to compare it with"
    if worker.device != ours.device:
        return f"it runs on the {worker.device}, ours on the {ours.device}"
    if None in (worker.total, ours.total):
        return None
    allowed = 1e-3 if worker.precision == "float32" else 0.1
    if abs(worker.total - ours.total) > allowed * abs(ours.total):
        return f"its loss is {worker.total:g}, ours {ours.total:g}"
    return None
