"""A program in a process of its own, which answers in lines of JSON; see `contenders.py`."""

import json
import os
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from nst_jax.choices import Precision
from timing.cases import PASSIVE, Case

_SCRIPT = Path(__file__).parents[1] / "contenders.py"

# Several programs live at once: none may take a GPU's whole memory for itself.
SHARED_GPU = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}

# OpenMP's threads wait asleep: on cores that others use as well, spinning ones are in the way.
_ASLEEP = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}


class Worker:
    """A contender in its own process.

    Raises:
      RuntimeError: from every method, if the process has ended; its last words are told.
    """

    def __init__(self, python: str, program: str, problem: Path, case: Case, precision: Precision):
        contender = program.removesuffix(PASSIVE)
        waiting = {} if contender == program else _ASLEEP
        options = ["--variants", str(case.variants), "--precision", precision]
        self._errors = problem.with_name(f"{program}-{precision}.txt")
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [python, str(_SCRIPT), contender, str(problem), *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=os.environ | SHARED_GPU | waiting,
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
