"""How fast a step is, beside the report's own program and PyTorch, and what of the chip it uses.

    make bench                                         # or: python experiments/benchmark.py
    python experiments/benchmark.py --peers PYTHON     # an interpreter with tensorflow or torch
    python experiments/benchmark.py --write docs/performance.md

Every program runs in a process of its own, on the same pictures and weights; the processes take
turns, so that a slow minute is shared by all, and ratios are medians over the turns. Sizes and
numbers of variants are those that suit the device; --full adds more. Written is benchmark.json,
and the table is put between the marks of the page that --write names.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import contenders
import jax
import numpy as np
import samples
import tyro

from nst_jax import environment, files, vgg
from nst_jax import image as images
from nst_jax import weights as network_weights
from nst_jax.choices import Precision
from nst_jax.console import exit_code_of, say

BEGIN, END = "<!-- benchmark: begin -->", "<!-- benchmark: end -->"
# Several programs live at once: none may take a GPU's whole memory for itself.
_SHARED_GPU = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
os.environ.update(_SHARED_GPU)

_STARTS = 3
PEERS = ("tensorflow", "torch", "torch_compile")
_NAMES = {
    "nst_jax": "nst_jax",
    "tensorflow": "TensorFlow (the report's program)",
    "torch": "PyTorch, eager",
    "torch_compile": "PyTorch, compiled",
}


@dataclass(frozen=True)
class Benchmark:
    """Time steps of several sizes, numbers of variants and precisions, beside other programs."""

    output_dir: Path = Path("out/bench")
    """Where benchmark.json goes."""
    peers: str = sys.executable
    """Interpreter of the other programs; those that it cannot import are left out."""
    sizes: tuple[int, ...] = ()
    """Only these sizes (default: what suits the device)."""
    rounds: int = 7
    """Turns that each program has."""
    seconds: float = 2.0
    """About how long a turn is."""
    full: bool = False
    """More sizes and numbers of variants."""
    weights: str | None = None
    """A weights file, or "random" (default: see `nst-jax weights info`)."""
    write: Path | None = None
    """A page to put the table into, between its marks."""


@dataclass(frozen=True)
class Case:
    """What is run side by side: a size with its pictures, and one or more programs."""

    size: int
    variants: int
    precisions: tuple[Precision, ...]
    peers: bool


@dataclass(frozen=True)
class Result:
    """A program in a case.

    `seconds_a_step` are its turns, a step of all its variants each; `ready` is the time to build,
    compile and take the first step.
    """

    program: str
    size: int
    height: int
    width: int
    variants: int
    precision: Precision
    ready: float
    seconds_a_step: tuple[float, ...]
    peak_bytes: int
    flops_a_step: float
    matmul_rate: float

    @property
    def seconds(self) -> float:
        return median(self.seconds_a_step)

    @property
    def utilisation(self) -> float:
        """Model FLOPs a second over the rate of a large matrix product in the same precision."""
        return self.flops_a_step / self.seconds / self.matmul_rate


def cases_for(backend: str, *, full: bool) -> list[Case]:
    """What suits the device."""
    if backend == "cpu":
        small = [Case(256, v, ("float32",), v == 1) for v in (1, 4, 16)]
        low = [Case(256, 1, ("bfloat16",), True)]
        large = [Case(512, 1, ("float32",), True), Case(512, 4, ("float32",), False)]
        huge = [Case(1024, 1, ("float32",), full)]
        return small + low + large + huge + [Case(512, 16, ("float32",), False)] * full
    every = ("float32", "tf32", "bfloat16")
    sizes, lanes = (256, 512, 1024, 2048), (1, 4, 16, 64)
    fits = {256: 64, 512: 64, 1024: 16, 2048: 4}
    return [
        Case(size, v, every if full or v == 1 else every[2:], v == 1)
        for size in sizes
        for v in lanes
        if v <= fits[size]
    ]


def flops_a_step(height: int, width: int, variants: int) -> float:
    """Multiplications and additions of a step, from the shapes of the layers.

    A convolution once forward and once backward to its input (the weights are fixed), and the
    Gram matrices with their gradients; what is elementwise is not counted.
    """
    total = 0
    for layer in vgg.architecture():
        if layer.name not in contenders.layers():
            continue
        h, w, channels = layer.output_shape(height, width)
        total += 2 * (2 * 9 * layer.in_channels * channels * h * w)
        if layer.name in contenders.STYLE_LAYERS:
            total += 2 * (2 * h * w * channels**2)
    return float(variants * total)


class Worker:
    """A contender in its own process.

    Raises:
      RuntimeError: from every method, if the process has ended; its last words are told.
    """

    def __init__(self, python: str, program: str, problem: Path, case: Case, precision: Precision):
        script = Path(contenders.__file__)
        options = ["--variants", str(case.variants), "--precision", precision]
        self._errors = problem.with_name(f"{program}-{precision}.txt")
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [python, str(script), program, str(problem), *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=os.environ | _SHARED_GPU,
            )
        self.program, self.precision = program, precision
        self.times: list[float] = []

    def start(self) -> None:
        """Waits until the program has taken its first step."""
        answer = self._answer()
        self.ready, self.total, self.device = (answer[x] for x in ("ready", "total", "device"))

    def turn(self, seconds: float) -> None:
        """Takes steps for about so long."""
        steps = max(1, round(seconds / self.times[-1])) if self.times else 1
        self._say(str(steps))
        self.times.append(self._answer()["seconds_a_step"])

    def finish(self) -> None:
        """Ends the process, and learns its peak memory."""
        self._process.stdin.close()
        answer = self._answer()
        self.peak_bytes, self.matmul_rate = answer["peak_bytes"], answer["matmul_rate"]
        self._process.wait()

    def stop(self) -> None:
        """Ends the process if it has not ended, and closes what it wrote to."""
        with self._process:
            self._process.kill()

    def _say(self, line: str) -> None:
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _answer(self) -> dict[str, Any]:
        for line in self._process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        self._process.wait()
        words = self._errors.read_text(errors="replace").split("\n")
        last = next((word for word in reversed(words) if word.strip()), "no word")
        raise RuntimeError(f"{self.program} in {self.precision} has ended: {last[:200]}")


def can_import(python: str, module: str) -> bool:
    """Whether an interpreter has a package."""
    code = f"import importlib.util as u, sys; sys.exit(u.find_spec({module!r}) is None)"
    return subprocess.run([python, "-c", code], check=False).returncode == 0


@contextlib.contextmanager
def problem_file(settings: Benchmark, size: int) -> Iterator[tuple[Path, tuple[int, int]]]:
    """Pictures and weights as all programs read them; the content's height and width."""
    params = network_weights.load_params(settings.weights)
    content = images.load(samples.PORTRAIT, size=size, enlarge=True)
    style = images.load(samples.PAINTING, size=size, enlarge=True)
    arrays = {"content": content, "style": style}
    for layer in contenders.layers():
        arrays |= {
            f"{part}/{layer}": np.asarray(params[layer][part]) for part in ("kernel", "bias")
        }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "problem.npz"
        np.savez(path, **arrays)
        yield path, content.shape[:2]


def run(settings: Benchmark, case: Case) -> list[Result]:
    """Runs the programs of a case in turns; one that fails is left out, and that is said."""
    peers = [p for p in PEERS if case.peers and can_import(settings.peers, p.partition("_")[0])]
    with problem_file(settings, case.size) as (problem, (height, width)):
        workers: list[Worker] = []
        try:
            for precision in case.precisions:
                for program in ("nst_jax", *peers):
                    if program == "tensorflow" and precision != "float32":
                        continue
                    python = sys.executable if program == "nst_jax" else settings.peers
                    workers.append(Worker(python, program, problem, case, precision))
                    # One after another: two that compile at once would wait for each other.
                    _left_out_if_failed(workers, workers[-1], Worker.start)
            _check_peers(workers)
            for _ in range(settings.rounds + 1):
                for worker in list(workers):
                    _left_out_if_failed(workers, worker, lambda w: w.turn(settings.seconds))
            for worker in list(workers):
                _left_out_if_failed(workers, worker, Worker.finish)
            rates = {w.precision: w.matmul_rate for w in workers if w.program == "nst_jax"}
            return [
                Result(
                    program=worker.program,
                    size=case.size,
                    height=height,
                    width=width,
                    variants=case.variants,
                    precision=worker.precision,
                    ready=worker.ready,
                    # The first turn is of one step, to know how many make a turn.
                    seconds_a_step=tuple(worker.times[1:]),
                    peak_bytes=worker.peak_bytes,
                    flops_a_step=flops_a_step(height, width, case.variants),
                    matmul_rate=rates[worker.precision],
                )
                for worker in workers
                if worker.precision in rates
            ]
        finally:
            for worker in workers:
                worker.stop()


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
        problem = None
        if ours is None:
            problem = "there is nothing of ours to compare it with"
        elif worker.device != ours.device:
            problem = f"it runs on the {worker.device}, ours on the {ours.device}"
        elif None not in (worker.total, ours.total):
            allowed = 1e-3 if worker.precision == "float32" else 0.1
            if abs(worker.total - ours.total) > allowed * abs(ours.total):
                problem = f"its loss is {worker.total:g}, ours {ours.total:g}"
        if problem:
            say(f"left out: {worker.program} in {worker.precision}, because {problem}")
            worker.stop()
            workers.remove(worker)


def seconds_to_first_step(settings: Benchmark) -> tuple[float, float]:
    """From the start of a process to the end of a run of one step, 256 px: medians of three.

    The first time, and again with the programs that the first has compiled.
    """
    times = []
    for _ in range(_STARTS):
        with tempfile.TemporaryDirectory() as folder:
            times.append([_seconds_of_one_step(settings, Path(folder)) for _ in range(2)])
    first, again = zip(*times, strict=True)
    return median(first), median(again)


def _seconds_of_one_step(settings: Benchmark, folder: Path) -> float:
    command = [sys.executable, "-m", "nst_jax", "stylize", "--force"]
    command += [str(samples.PORTRAIT), str(samples.PAINTING), "--size", "256"]
    command += ["--steps", "1", "--output", str(folder / "out.png")]
    command += ["--weights", settings.weights] if settings.weights else []
    cache = {"JAX_COMPILATION_CACHE_DIR": str(folder), "JAX_ENABLE_COMPILATION_CACHE": "true"}
    began = time.perf_counter()
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=os.environ | cache
    )
    if done.returncode:
        raise RuntimeError(f"nst-jax stylize failed: {done.stderr.strip()[-200:]}")
    return time.perf_counter() - began


def ratio(result: Result, ours: Result) -> float:
    """How many times as long as ours a step takes: the median over the turns."""
    return median(
        theirs / mine
        for theirs, mine in zip(result.seconds_a_step, ours.seconds_a_step, strict=True)
    )


def table(results: Sequence[Result]) -> str:
    """All results in Markdown."""
    lines = [
        "| size | variants | precision | program | ms a step | variant-steps a second | "
        "time against ours | of the matrix rate | ready after, s | peak, GB |",
        "|---|---:|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for each in results:
        ours = next(
            other
            for other in results
            if other.program == "nst_jax"
            and (other.size, other.variants, other.precision)
            == (each.size, each.variants, each.precision)
        )
        compared = "" if each is ours else f"{ratio(each, ours):.2f}"
        lines.append(
            f"| {each.width} x {each.height} | {each.variants} | {each.precision} | "
            f"{_NAMES[each.program]} | {1e3 * each.seconds:.4g} | "
            f"{each.variants / each.seconds:.3g} | {compared} | {100 * each.utilisation:.0f} % | "
            f"{each.ready:.1f} | {each.peak_bytes / 1e9:.2f} |"
        )
    return "\n".join(lines)


def page(results: Sequence[Result], described: Mapping[str, Any]) -> str:
    """The table with how it was made."""
    rates = {each.precision: each.matmul_rate for each in results}
    listed = ", ".join(f"{name} {rate / 1e9:.4g}" for name, rate in rates.items())
    versions = ", ".join(f"{name} {version}" for name, version in described["versions"].items())
    first, again = described["seconds_to_first_step"]
    return "\n\n".join(
        [
            f"On {described['device']}, {described['date']}; {versions}; `{described['command']}`. "
            f"Rates of a large matrix product, GFLOP/s: {listed}.",
            table(results),
            "From the start of the process to the end of `nst-jax stylize --size 256 --steps 1`: "
            f"{first:.1f} s the first time, {again:.1f} s with the programs that it has compiled "
            "(medians of three).",
        ]
    )


def describe(settings: Benchmark) -> dict[str, Any]:
    """Device, date, versions and command."""
    versions = json.loads(environment.describe()["versions_json"])
    kept = {name: versions[name] for name in ("nst_jax", "jax", "jaxlib")}
    for module in ("tensorflow", "torch"):
        if can_import(settings.peers, module):
            code = f"import importlib.metadata as m; print(m.version({module!r}))"
            for name in (module, f"{module}_cpu"):
                done = subprocess.run(
                    [settings.peers, "-c", code.replace(module, name)],
                    capture_output=True,
                    text=True,
                    check=False,
                )
                if done.returncode == 0:
                    kept[module] = done.stdout.strip()
                    break
    words = ["PYTHON" if before == "--peers" else word for before, word in pairwise(sys.argv)]
    return {
        "device": environment.device_line(),
        "date": datetime.now(UTC).date().isoformat(),
        "versions": kept,
        "command": " ".join(["python experiments/benchmark.py", *words]),
    }


def put(text: str, path: Path) -> None:
    """Replaces what stands between the marks of a page.

    Raises:
      ValueError: the page has no such marks.
    """
    before, after = _marked(path)
    with files.replacing(path) as temporary:
        temporary.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def main(settings: Benchmark) -> list[Result]:
    """Runs all cases, and writes what came of them."""
    files.check_folder(settings.output_dir)
    if settings.write:
        _marked(settings.write)
    cases = [
        case
        for case in cases_for(jax.default_backend(), full=settings.full)
        if not settings.sizes or case.size in settings.sizes
    ]
    described = {**describe(settings), "seconds_to_first_step": seconds_to_first_step(settings)}
    results: list[Result] = []
    for case in cases:
        say(f"{case.size} px, {case.variants} variants, {', '.join(case.precisions)}")
        results += run(settings, case)
        _save(settings, results, described)
    text = page(results, described)
    say(text)
    if settings.write:
        put(text, settings.write)
    return results


def _marked(path: Path) -> tuple[str, str]:
    """What stands before and behind the marks."""
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{path} has no lines {BEGIN} and {END} to put the table between")
    return before, after


def _save(settings: Benchmark, results: Sequence[Result], described: Mapping[str, Any]) -> None:
    path = settings.output_dir / "benchmark.json"
    found = {**described, "results": [asdict(result) for result in results]}
    with files.replacing(path) as temporary:
        temporary.write_text(json.dumps(found, indent=1), encoding="utf-8")


def command() -> int:
    main(tyro.cli(Benchmark, config=(tyro.conf.FlagCreatePairsOff,)))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(command))
