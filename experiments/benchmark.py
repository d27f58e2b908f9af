"""How fast a step is, beside the report's own program and PyTorch, and what of the chip it uses.

    make bench                                         # or: python experiments/benchmark.py
    python experiments/benchmark.py --peers PYTHON ...   # interpreters with tensorflow or torch
    python experiments/benchmark.py --write docs/performance.md

Every program runs in a process of its own, on the same pictures and weights; the processes take
turns, so that a slow minute is shared by all, and ratios are medians over the turns. Sizes and
numbers of variants are those that suit the device; --full adds more. Whole commands are timed as
well. Written is benchmark.json, to which --add joins what was measured before, and the tables are
put between the marks of the page that --write names.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from itertools import takewhile
from pathlib import Path
from statistics import median
from typing import Any, Literal

import contenders
import numpy as np
from measuring import samples
import tyro

from nst_jax import backend, environment, files, vgg
from nst_jax import image as images
from nst_jax import weights as network_weights
from nst_jax.choices import Precision
from nst_jax.console import exit_code_of, say

BEGIN, END = "<!-- benchmark: begin -->", "<!-- benchmark: end -->"
# Several programs live at once: none may take a GPU's whole memory for itself.
_SHARED_GPU = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
os.environ.update(_SHARED_GPU)

# OpenMP's threads wait asleep: on cores that others use as well, spinning ones are in the way.
_PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}

_STARTS = 3
_STEPS_OF_A_PICTURE = 250
_NAMES = {
    "nst_jax": "nst_jax",
    "tensorflow": "TensorFlow (the report's program)",
    "torch": "PyTorch, eager",
    "torch_compile": "PyTorch, compiled",
    "torch_passive": "PyTorch, eager, passive wait",
    "torch_compile_passive": "PyTorch, compiled, passive wait",
}
PEERS = ("tensorflow", "torch", "torch_compile")
_PASSIVE_PEERS = ("torch_passive", "torch_compile_passive")

Command = Literal["start", "demo", "sweep"]


@dataclass(frozen=True)
class Benchmark:
    """Time steps of several sizes, numbers of variants and precisions, beside other programs."""

    output_dir: Path = Path("out/bench")
    """Where benchmark.json goes."""
    peers: tuple[str, ...] = (sys.executable,)
    """Interpreters of the other programs: each takes the first that has it, or is left out."""
    sizes: tuple[int, ...] | None = None
    """Only these sizes (default: what suits the device; none: commands alone)."""
    commands: tuple[Command, ...] = ("start", "demo")
    """Whole commands: a run of one step, `make demo`, `make sweep` (a quarter of an hour)."""
    rounds: int = 7
    """Turns that each program has."""
    seconds: float = 2.0
    """About how long a turn is."""
    full: bool = False
    """More sizes and numbers of variants."""
    add: bool = False
    """Keep what benchmark.json has of other sizes and commands."""
    weights: str | None = None
    """A weights file, or "random" (default: see `nst-jax weights info`)."""
    write: Path | None = None
    """A page to put the tables into, between its marks."""


@dataclass(frozen=True)
class Case:
    """What is run side by side: a size with its pictures, ours in each precision, and peers."""

    size: int
    variants: int
    precisions: tuple[Precision, ...]
    peers: tuple[str, ...] = ()


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


@dataclass
class Measured:
    """What benchmark.json holds.

    `runs` have date and command; `commands` the seconds of whole commands: the first time and,
    where that was measured, the second.
    """

    device: str
    versions: dict[str, str]
    runs: list[dict[str, str]] = field(default_factory=list)
    commands: dict[str, list[float]] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)

    def add(self, earlier: "Measured", cases: Sequence[Case]) -> None:
        """Takes over what is not measured anew.

        Raises:
          ValueError: the earlier is of another device or of other versions.
        """
        for name in ("device", "versions"):
            if (old := getattr(earlier, name)) != (new := getattr(self, name)):
                raise ValueError(
                    f"the benchmark to add to has the {name} {old}, but this is {new}: leave out "
                    "--add, or choose another --output-dir"
                )
        anew = {(case.size, case.variants) for case in cases}
        kept = [each for each in earlier.results if (each.size, each.variants) not in anew]
        self.runs = earlier.runs + self.runs
        self.commands = earlier.commands | self.commands
        self.results = kept + self.results


def cases_for(backend: str, *, full: bool) -> list[Case]:
    """What suits the device."""
    if backend == "cpu":
        both: tuple[Precision, ...] = ("float32", "bfloat16")
        peers = PEERS + _PASSIVE_PEERS
        small = [Case(256, 1, both, peers), Case(256, 16, both)]
        large = [Case(512, 1, both, peers), Case(512, 4, both)]
        # Apart, and fewer of them: they are in memory at once.
        huge = [Case(1024, 1, (precision,), PEERS) for precision in both]
        more = [Case(256, 4, both), Case(512, 16, both), Case(1024, 4, both)]
        return small + large + huge + more * full
    every: tuple[Precision, ...] = ("float32", "tf32", "bfloat16")
    sizes, lanes = (256, 512, 1024, 2048), (1, 4, 16, 64)
    fits = {256: 64, 512: 64, 1024: 16, 2048: 4}
    return [
        Case(size, v, every if full or v == 1 else every[2:], PEERS if v == 1 else ())
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
        contender = program.removesuffix("_passive")
        waiting = {} if contender == program else _PASSIVE
        options = ["--variants", str(case.variants), "--precision", precision]
        self._errors = problem.with_name(f"{program}-{precision}.txt")
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [python, str(script), contender, str(problem), *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=os.environ | _SHARED_GPU | waiting,
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


def interpreter_for(peer: str, interpreters: Sequence[str]) -> str | None:
    """The first that can import what a peer needs."""
    module = peer.partition("_")[0]
    return next((python for python in interpreters if can_import(python, module)), None)


@cache
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
    found = {peer: interpreter_for(peer, settings.peers) for peer in case.peers}
    pythons = {"nst_jax": sys.executable} | {peer: p for peer, p in found.items() if p}
    with problem_file(settings, case.size) as (problem, (height, width)):
        workers: list[Worker] = []
        try:
            for precision in case.precisions:
                for program, python in pythons.items():
                    if program == "tensorflow" and precision != "float32":
                        continue
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


def seconds_of_commands(settings: Benchmark) -> dict[str, list[float]]:
    """From the start of a process to its end: the first time, and with what that has compiled.

    Of a run of one step the medians of several; `make demo` and `make sweep` the first time only,
    without the installation.
    """
    pictures = [str(samples.PORTRAIT), str(samples.PAINTING)]
    one_step = ["-m", "nst_jax", "stylize", *pictures, "--size", "256", "--steps", "1", "--force"]
    found = {}
    if "start" in settings.commands:
        for options in ([], ["--precision", "fast"]):
            command = [*one_step, *options]
            starts = [_seconds(settings, command, "--output", 2) for _ in range(_STARTS)]
            words = " ".join(["nst-jax stylize --size 256 --steps 1", *options])
            found[words] = [median(times) for times in zip(*starts, strict=True)]
    for name in ("demo", "sweep"):
        if name in settings.commands:
            script = Path(__file__).with_name(f"{name}.py")
            found[f"make {name}"] = _seconds(settings, [str(script)], "--output-dir", 1)
    return found


def _seconds(settings: Benchmark, words: Sequence[str], output: str, times: int) -> list[float]:
    """Of a command of ours that is run so often, with a cache of compiled programs of its own.

    Args:
      output: its option for where to write, a file or a folder.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, *words, output, str(Path(folder, "out.png"))]
        command += ["--weights", settings.weights] if settings.weights else []
        programs = {"JAX_COMPILATION_CACHE_DIR": folder, "JAX_ENABLE_COMPILATION_CACHE": "true"}
        return [_seconds_of(command, os.environ | programs) for _ in range(times)]


def _seconds_of(command: Sequence[str], variables: Mapping[str, str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=variables)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:4])} failed: {done.stderr.strip()[-200:]}")
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
            f"{_NAMES[each.program]} | {_milliseconds(each.seconds)} | "
            f"{each.variants / each.seconds:.3g} | {compared} | {100 * each.utilisation:.0f} % | "
            f"{each.ready:.1f} | {each.peak_bytes / 1e9:.2f} |"
        )
    return "\n".join(lines)


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.0f}" if seconds >= 1 else f"{1e3 * seconds:.4g}"


_COLUMNS: dict[str, tuple[str, Precision]] = {
    "nst_jax, bfloat16": ("nst_jax", "bfloat16"),
    "nst_jax, float32": ("nst_jax", "float32"),
    "TensorFlow, float32": ("tensorflow", "float32"),
    "PyTorch, bfloat16": ("torch", "bfloat16"),
    "PyTorch, float32": ("torch", "float32"),
}


def seconds_of_a_picture(result: Result) -> float:
    """Getting ready and as many steps as `nst-jax stylize` takes, from arrays to an array."""
    return result.ready + _STEPS_OF_A_PICTURE * result.seconds


def pictures_table(results: Sequence[Result]) -> str:
    """Seconds of a picture by the fastest form of each program."""
    lines = [
        f"| size | {' | '.join(_COLUMNS)} | best of the others / ours |",
        f"|---|{'---:|' * (len(_COLUMNS) + 1)}",
    ]
    singles = [each for each in results if each.variants == 1]
    for size in dict.fromkeys(each.size for each in singles):
        of_size = [each for each in singles if each.size == size]
        best = {
            column: min(
                (
                    seconds_of_a_picture(each)
                    for each in of_size
                    if each.program.startswith(program) and each.precision == precision
                ),
                default=None,
            )
            for column, (program, precision) in _COLUMNS.items()
        }
        cells = [f"{seconds:.0f} s" if seconds else "" for seconds in best.values()]
        ours = [x for column, x in best.items() if x and column.startswith("nst_jax")]
        theirs = [x for column, x in best.items() if x and not column.startswith("nst_jax")]
        ahead = f"{min(theirs) / min(ours):.2f}" if ours and theirs else ""
        shape = f"{of_size[0].width} x {of_size[0].height}"
        lines.append(f"| {shape} | {' | '.join(cells)} | {ahead} |")
    return "\n".join(lines)


def limits_table(results: Sequence[Result]) -> str:
    """What ordinary convolutions and Gram matrices would take at the rate of a matrix product."""
    lines = [
        "| precision | size | matrix product, GFLOP/s | a step at that rate, ms | ours, ms |",
        "|---|---|---:|---:|---:|",
    ]
    lines += [
        f"| {each.precision} | {each.width} x {each.height} | {each.matmul_rate / 1e9:.4g} | "
        f"{_milliseconds(each.flops_a_step / each.matmul_rate)} | {_milliseconds(each.seconds)} |"
        for each in sorted(results, key=lambda each: each.precision, reverse=True)
        if each.program == "nst_jax" and each.variants == 1
    ]
    return "\n".join(lines)


def commands_table(commands: Mapping[str, Sequence[float]]) -> str:
    """Seconds of whole commands."""
    lines = ["| command | the first time, s | again, s |", "|---|---:|---:|"]
    for command, times in commands.items():
        first, again, *_ = [*(f"{seconds:.1f}" for seconds in times), ""]
        lines.append(f"| `{command}` | {first} | {again} |")
    return "\n".join(lines)


def page(measured: Measured) -> str:
    """The tables with how they were made."""
    versions = ", ".join(f"{name} {version}" for name, version in measured.versions.items())
    dates = ", ".join(dict.fromkeys(run["date"] for run in measured.runs))
    ran = "\n".join(run["command"] for run in measured.runs)
    results = sorted(measured.results, key=lambda each: (each.size, each.variants))
    return "\n\n".join(
        [
            f"On {measured.device}, {dates}; {versions}.",
            f"Seconds of a picture: getting ready, compiling included, and {_STEPS_OF_A_PICTURE} "
            "times a step, each program in its fastest form:",
            pictures_table(results),
            "### Limits",
            limits_table(results),
            "### All programs",
            table(results),
            *(["### Whole commands", commands_table(measured.commands)] * bool(measured.commands)),
            "### Made by",
            f"```sh\n{ran}\n```",
        ]
    )


def describe(settings: Benchmark) -> Measured:
    """Device, date, versions and command; nothing measured."""
    versions = json.loads(environment.describe()["versions_json"])
    kept = {name: versions[name] for name in ("nst_jax", "jax", "jaxlib")}
    for module in ("tensorflow", "torch"):
        if python := interpreter_for(module, settings.peers):
            kept[module] = _version(python, module)
    command = " ".join(["python experiments/benchmark.py", *_without_peers(sys.argv[1:])])
    run = {"date": datetime.now(UTC).date().isoformat(), "command": command}
    return Measured(environment.device_line(), kept, [run])


def _version(python: str, module: str) -> str:
    """Of a package that an interpreter has, perhaps as its build for CPUs."""
    for name in (module, f"{module}_cpu"):
        code = f"import importlib.metadata as m; print(m.version({name!r}))"
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.strip()
    return "unknown"


def _without_peers(words: Sequence[str]) -> list[str]:
    """A command line with PYTHON for the interpreters, which are another's folders."""
    if "--peers" not in words:
        return list(words)
    begin = words.index("--peers") + 1
    count = len(list(takewhile(lambda word: not word.startswith("-"), words[begin:])))
    return [*words[:begin], *["PYTHON"] * count, *words[begin + count :]]


def put(text: str, path: Path) -> None:
    """Replaces what stands between the marks of a page.

    Raises:
      ValueError: the page has no such marks.
    """
    before, after = _marked(path)
    with files.replacing(path) as temporary:
        temporary.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def main(settings: Benchmark) -> Measured:
    """Runs all cases, and writes what came of them."""
    files.check_folder(settings.output_dir)
    if settings.write:
        _marked(settings.write)
    cases = [
        case
        for case in cases_for(backend.platform(), full=settings.full)
        if settings.sizes is None or case.size in settings.sizes
    ]
    measured = describe(settings)
    if not (cases or settings.commands):
        measured.runs.clear()  # the page alone is written anew
    path = settings.output_dir / "benchmark.json"
    if settings.add and path.exists():
        measured.add(_read(path), cases)
    measured.commands |= seconds_of_commands(settings)
    _save(measured, path)
    for case in cases:
        say(f"{case.size} px, {case.variants} variants, {', '.join(case.precisions)}")
        measured.results += run(settings, case)
        _save(measured, path)
    text = page(measured)
    say(text)
    if settings.write:
        put(text, settings.write)
    return measured


def _marked(path: Path) -> tuple[str, str]:
    """What stands before and behind the marks."""
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{path} has no lines {BEGIN} and {END} to put the table between")
    return before, after


def _read(path: Path) -> Measured:
    found = json.loads(path.read_text(encoding="utf-8"))
    results = [
        Result(**each | {"seconds_a_step": tuple(each["seconds_a_step"])})
        for each in found.pop("results")
    ]
    return Measured(**found, results=results)


def _save(measured: Measured, path: Path) -> None:
    with files.replacing(path) as temporary:
        temporary.write_text(json.dumps(asdict(measured), indent=1), encoding="utf-8")


def command() -> int:
    main(tyro.cli(Benchmark, config=(tyro.conf.FlagCreatePairsOff,)))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(command))
