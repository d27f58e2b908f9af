"""What the benchmark has measured, and the file that keeps it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from nst_jax.choices import Precision
from nst_jax.system import files
from timing.cases import Case


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


def ratio(result: Result, ours: Result) -> float:
    """How many times as long as ours a step takes: the median over the turns."""
    return median(
        theirs / mine
        for theirs, mine in zip(result.seconds_a_step, ours.seconds_a_step, strict=True)
    )


def read(path: Path) -> Measured:
    """From benchmark.json."""
    found = json.loads(path.read_text(encoding="utf-8"))
    results = [
        Result(**each | {"seconds_a_step": tuple(each["seconds_a_step"])})
        for each in found.pop("results")
    ]
    return Measured(**found, results=results)


def save(measured: Measured, path: Path) -> None:
    """Into benchmark.json."""
    with files.replacing(path) as temporary:
        temporary.write_text(json.dumps(asdict(measured), indent=1), encoding="utf-8")
