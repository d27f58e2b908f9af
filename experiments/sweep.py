"""Every variant at once: the report's grid and more, in one log and one page.

    make sweep                                        # or: python experiments/sweep.py
    make sweep ARGS="--size 256 --steps 500 --optimizers adam lbfgs"

On a GPU or TPU: 512 px, 2500 steps, every row of the report's Table 1 and more learning rates.
On a CPU: 96 px and 250 steps, which end within fifteen minutes on two cores (256 px by
`--precision fast` where it is bfloat16 by oneDNN: docs/performance.md). Everything goes to
out/sweep/: sweep.h5, sweep.html, losses.png, overview.png. Interrupted, the next call goes on
where it stopped; --fresh starts again.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro
from measuring import samples

from nst_jax import backend, presets, runlog, runs
from nst_jax.choices import OptimizerName, PrecisionSetting
from nst_jax.command import inspection
from nst_jax.config import SweepConfig, from_json
from nst_jax.system import environment
from nst_jax.system.console import exit_code_of, say

_RATES = tuple(presets.load("report").sweep["learning_rates"])


@dataclass(frozen=True)
class Sweep:
    """Run the study on the demo's pictures, sized to the machine."""

    output_dir: Path = Path("out/sweep")
    """Where log, page and figures go."""
    size: int | None = None
    """Longest side in pixels (default: 512 on an accelerator, 96 on a CPU)."""
    steps: int | None = None
    """Steps of each variant (default: 2500 on an accelerator, 250 on a CPU)."""
    optimizers: tuple[OptimizerName, ...] = ("adam", "rmsprop", "adagrad")
    """What is compared."""
    learning_rates: tuple[str, ...] = _RATES
    """Rates of each optimizer."""
    seeds: tuple[int, ...] = (0,)
    """Of the noise added to the start."""
    init_noise: float = 0.0
    """Standard deviation of that noise."""
    precision: PrecisionSetting = "float32"
    """Of the convolutions, as in `nst-jax sweep`; float32 reproduces the report."""
    weights: str | None = None
    """A weights file, or random ones (default: see `nst-jax weights info`)."""
    fresh: bool = False
    """Start again, even if an interrupted sweep could go on."""
    allow_cpu: bool = False
    """Use the CPU of a machine that has a GPU."""


def config_of(sweep: Sweep, *, accelerator: bool) -> SweepConfig:
    """The sweep that fits the machine; total variation 0, as in the report's program."""
    size, steps = (512, 2500) if accelerator else (96, 250)
    return SweepConfig(
        content=samples.PORTRAIT,
        styles=(samples.PAINTING,),
        log=sweep.output_dir / "sweep.h5",
        report=sweep.output_dir / "sweep.html",
        size=size if sweep.size is None else sweep.size,
        steps=steps if sweep.steps is None else sweep.steps,
        optimizers=sweep.optimizers,
        learning_rates=sweep.learning_rates,
        tv_weights=(0.0,),
        seeds=sweep.seeds,
        init_noise=sweep.init_noise,
        precision=sweep.precision,
        weights=sweep.weights,
        force=True,
    )


def can_resume(config: SweepConfig) -> bool:
    """Whether the log of an unfinished sweep with the same settings is there."""
    if not config.log.exists():
        return False
    record = runlog.load(config.log)
    return record.status != "finished" and from_json(record.config) == config


def main(sweep: Sweep) -> int:
    warning = environment.unused_gpu()
    if warning and not sweep.allow_cpu:
        raise ValueError(f"{warning}; --allow-cpu goes on without it")
    config = config_of(sweep, accelerator=backend.platform() != "cpu")
    say(f"size: {config.size} px, steps: {config.steps}")
    if not sweep.fresh and can_resume(config):
        say(f"going on with {config.log}")
        outcome = runs.resume(config.log)
    else:
        outcome = runs.sweep_files(config)
    if outcome.exit_code == 0:
        inspection.plot(config.log, sweep.output_dir, force=True)
    return outcome.exit_code


if __name__ == "__main__":
    settings = tyro.cli(Sweep, config=(tyro.conf.FlagCreatePairsOff,))
    sys.exit(exit_code_of(lambda: main(settings)))
