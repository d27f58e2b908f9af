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

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path

import tyro
from pages import benchmark as page
from timing import commands, results, turns
from timing.cases import Case, cases_for
from timing.commands import Command
from timing.results import Measured
from timing.worker import SHARED_GPU, interpreter_for

from nst_jax import backend
from nst_jax.system import environment, files
from nst_jax.system.console import exit_code_of, say

BEGIN, END = "<!-- benchmark: begin -->", "<!-- benchmark: end -->"
os.environ.update(SHARED_GPU)


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


def cases_of(settings: Benchmark) -> list[Case]:
    """What suits the device, of the sizes that are asked for."""
    cases = cases_for(backend.platform(), full=settings.full)
    return [case for case in cases if settings.sizes is None or case.size in settings.sizes]


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
    cases = cases_of(settings)
    measured = describe(settings)
    if not (cases or settings.commands):
        measured.runs.clear()  # the page alone is written anew
    path = settings.output_dir / "benchmark.json"
    if settings.add and path.exists():
        measured.add(results.read(path), cases)
    measured.commands |= commands.seconds_of(settings.commands, settings.weights)
    results.save(measured, path)
    for case in cases:
        say(f"{case.size} px, {case.variants} variants, {', '.join(case.precisions)}")
        measured.results += turns.run(
            case,
            settings.peers,
            settings.weights,
            rounds=settings.rounds,
            seconds=settings.seconds,
        )
        results.save(measured, path)
    text = page.page(measured)
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


def command() -> int:
    main(tyro.cli(Benchmark, config=(tyro.conf.FlagCreatePairsOff,)))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(command))
