"""Networks that paint in one pass: trained for one style, and compared with optimization.

    python experiments/feedforward.py train painting.jpg photographs.zip --output wave.h5
    python experiments/feedforward.py compare painting.jpg photographs.zip --networks wave.h5

Hardware: any; on a GPU --size 256 --steps 40000 is Johnson et al.'s training. On two CPU cores
--size 128 --width 16 --precision fast takes about a second a step of four photographs.

`photographs` is a folder or a zip archive. Training writes wave.h5, for `nst-jax apply`, and beside
it wave.training.h5, the log of every step with the state from which the same command goes on; and
pictures of how far it is. Whether a network may be passed on depends on the terms of its
photographs, and of the painting: its file has a note of them.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import optax
import tyro
from measuring.samples import PORTRAIT
from tqdm import tqdm
from training import comparison, photographs, problem, steps

from nst_jax import config, feedforward, metrics, weights
from nst_jax import image as images
from nst_jax.choices import Arch, Pooling, Precision, PrecisionSetting
from nst_jax.config import StylizeConfig
from nst_jax.feedforward import Architecture
from nst_jax.system import environment, files
from nst_jax.system.console import exit_code_of, say
from nst_jax.terms import Losses

OBJECTIVE = Path(__file__).parent / "training" / "objective.toml"
CHECKPOINT_SECONDS = 60.0
# Settings with which an interrupted training may go on differently.
_FREE = ("output", "steps", "licence", "sample_every", "samples", "sample_size", "fresh")


def _argument(metavar: str) -> Any:
    return tyro.conf.arg(metavar=metavar)


@dataclass(frozen=True, kw_only=True)
class _Goal:
    style: Annotated[tyro.conf.Positional[Path], _argument("STYLE")]
    """The painting whose style is learned."""
    photographs: Annotated[tyro.conf.Positional[Path], _argument("PHOTOGRAPHS")]
    """A folder or a zip archive."""
    listed: str | None = None
    """The name of a text in it that lists the photographs to take (default: all)."""
    size: int = 256
    """Side of the photographs in pixels: of each the largest central square."""
    style_size: int | None = None
    """Longest side of the painting (default: as --size)."""
    objective: str = str(OBJECTIVE)
    """What is minimized, as in `stylize`: a name or a file of terms."""
    arch: Arch = "vgg19"
    """The network whose features are compared."""
    pooling: Pooling = "max"
    """As in `stylize`."""
    weights: str | None = None
    """Its weights: a file, or "random" (default: see `nst-jax weights info`)."""
    precision: PrecisionSetting = "float32"
    """Of its convolutions, as in `stylize`."""
    seed: int = 0
    """Of the first parameters and of the order of the photographs."""

    @property
    def stylize(self) -> StylizeConfig:
        """The same goal as `stylize` would have it."""
        return StylizeConfig(
            content=self.photographs,
            style=self.style,
            output=Path("picture.png"),
            size=self.size,
            style_size=self.style_size,
            objective=self.objective,
            arch=self.arch,
            pooling=self.pooling,
            weights=self.weights,
            precision=self.precision,
        )


@dataclass(frozen=True, kw_only=True)
class Train(_Goal):
    """Train a network for one style, or go on with a training."""

    output: Path = Path("out/feedforward/network.h5")
    """The network (HDF5)."""
    steps: int = 2000
    """In all."""
    batch: int = 4
    """Photographs a step."""
    learning_rate: float = 1e-3
    """Of Adam."""
    width: int = 32
    """Channels of the first layer: 32 is Johnson et al.'s, 16 takes a third of the time."""
    residuals: int = 5
    """Residual blocks."""
    network_precision: Precision = "float32"
    """Of the convolutions of the network that is trained."""
    licence: str = "not stated: it depends on the terms of its photographs and painting"
    """Under which the network may be used; a note in its file."""
    sample_every: int = 250
    """Paint the samples after every so many steps (0: at the end alone)."""
    samples: tuple[Path, ...] = (PORTRAIT,)
    """Pictures that are painted on the way."""
    sample_size: int = 256
    """Their longest side in pixels."""
    fresh: bool = False
    """Begin anew, whatever is there."""

    @property
    def architecture(self) -> Architecture:
        """Of the network that is trained."""
        return Architecture(width=self.width, residuals=self.residuals)

    @property
    def log(self) -> Path:
        """The log and the state."""
        return self.output.with_suffix(".training.h5")

    def plain(self, goal: problem.Goal) -> dict[str, Any]:
        """What makes the network, with hashes in the place of files."""
        kept = {name: value for name, value in asdict(self).items() if name not in _FREE}
        objective = config.resolved(self.stylize)
        terms = {name: asdict(spec) for name, spec in config.terms_of(objective).items()}
        plain = {
            **{name: x.name if isinstance(x, Path) else x for name, x in kept.items()},
            "objective": {"layer_balance": config.layer_balance_of(objective), "terms": terms},
            "style_sha256": files.sha256(self.style),
            "weights_sha256": goal.sha256,
        }
        # As it comes back from the log: tuples are lists there.
        return json.loads(json.dumps(plain))


@dataclass(frozen=True, kw_only=True)
class Compare(_Goal):
    """Compare networks with optimization on photographs that they have not seen."""

    networks: tuple[Path, ...]
    """Of this style."""
    output_dir: Path = Path("out/feedforward/compared")
    """Where table.md, numbers.json and the pictures go."""
    count: int = 8
    """Photographs."""
    steps: int = 200
    """Of Adam, from the photograph."""
    learning_rate: float = 0.03
    """Of Adam."""
    judges: Path | None = None
    """The folder of the judges (default: see `nst-jax metrics --help`)."""


def train(settings: Train) -> Path:
    """Trains, from where a training of these settings has stopped.

    Returns:
      The path of the network.
    """
    _check(settings)
    found = photographs.found(settings.photographs, settings.listed)
    say(f"device: {environment.device_line()}; {len(found.names)} photographs")
    style = problem.style_of(settings.stylize, say=say)
    goal = problem.goal_of(settings.stylize, style, say=say)
    optimizer = optax.adam(settings.learning_rate)
    begun = steps.begun(settings.seed, settings.architecture, optimizer)
    plain = settings.plain(goal)
    recorded = _recorded(settings, begun, plain)
    step = steps.stepping(optimizer, settings.architecture, settings.network_precision)
    bar = tqdm(total=settings.steps, initial=recorded.steps, unit="step", disable=None)
    further = _training(settings, recorded, partial(step, goal=goal), found, bar)
    with bar:
        for recorded in further:
            _save(settings, recorded, plain)
            if _is_sample(settings, recorded.steps):
                _paint_samples(settings, recorded)
    say(
        f"{recorded.steps} steps of {settings.batch} photographs, "
        f"{np.median(recorded.rows['seconds']):.2f} s a step: wrote {settings.output}, "
        f"{settings.log}"
    )
    return settings.output


def _training(
    settings: Train,
    recorded: steps.Recorded,
    step: Callable[..., tuple[steps.State, Losses]],
    found: photographs.Photographs,
    bar: tqdm,
) -> Iterator[steps.Recorded]:
    """How far it is: after each minute, at each sample, and at the end.

    Raises:
      ValueError: a loss is not finite; what was recorded last is without it.
    """
    coming = photographs.batches(
        found,
        size=settings.size,
        batch=settings.batch,
        seed=settings.seed,
        first=recorded.steps,
        stop=settings.steps,
    )
    state, new, saved = recorded.state, [], time.monotonic()
    for batch in coming:
        started = time.perf_counter()
        state, losses = step(state, photographs=batch)
        losses = jax.device_get(losses)
        new.append(steps.row_of(losses, time.perf_counter() - started))
        done = recorded.steps + len(new)
        if not np.isfinite(new[-1]["total"]):
            raise ValueError(f"the loss is not finite in step {done}: give a lower --learning-rate")
        bar.set_postfix_str(f"total {new[-1]['total']:.4g}", refresh=False)
        bar.update()
        if _is_sample(settings, done) or time.monotonic() - saved > CHECKPOINT_SECONDS:
            yield steps.Recorded(state, steps.appended(recorded.rows, new))
            saved = time.monotonic()


def _is_sample(settings: Train, done: int) -> bool:
    every = settings.sample_every
    return done == settings.steps or bool(every and done % every == 0)


def compare(settings: Compare) -> Path:
    """Paints photographs by networks and by optimization.

    Returns:
      The path of the table.
    """
    metrics.check_size("--size", (settings.size, settings.size, 3))
    found = photographs.found(settings.photographs, settings.listed)
    networks = comparison.networks_of(settings.networks)
    files.check_folder(settings.output_dir)
    style = problem.style_of(settings.stylize, say=say)
    metrics.check_size(str(settings.style), style.shape)
    goal = problem.goal_of(settings.stylize, style, say=say)
    # A fixed choice of the seed: the first ones of a folder are often alike.
    count = min(settings.count, len(found.names))
    numbers = sorted(photographs.number_of(found, i, settings.seed) for i in range(count))
    rows = comparison.compare(
        goal,
        found,
        style,
        networks,
        size=settings.size,
        numbers=numbers,
        num_steps=settings.steps,
        learning_rate=settings.learning_rate,
        judges=comparison.load_judges(settings.judges),
    )
    comparison.write(settings.output_dir, rows, found, numbers, settings.size)
    path = settings.output_dir / "table.md"
    say(f"wrote {path}, numbers.json and {len(rows)} sheets")
    return path


def _check(settings: Train) -> None:
    least = {"size": 1, "steps": 1, "batch": 1, "width": 1, "residuals": 0, "seed": 0}
    for name, number in least.items():
        if getattr(settings, name) < number:
            raise ValueError(f"--{name} must be at least {number}, got {getattr(settings, name)}")
    if not 0 < settings.learning_rate < np.inf:
        raise ValueError(f"--learning-rate must be positive, got {settings.learning_rate}")
    for path in settings.samples:
        _sample(path, settings.sample_size)
    for path in (settings.output, settings.log):
        files.check_output(path, force=True, suffixes=(".h5",))


def _recorded(settings: Train, begun: steps.State, plain: Mapping[str, Any]) -> steps.Recorded:
    """What is there of a training, or one without a step."""
    if settings.fresh or not settings.log.exists():
        if settings.output.exists() and not settings.fresh:
            raise FileExistsError(f"{settings.output} exists; --fresh overwrites it")
        return steps.Recorded(begun, {"total": np.zeros(0)})
    recorded = steps.load(settings.log, begun, plain)
    if recorded.steps > settings.steps:
        raise ValueError(f"{settings.log} has {recorded.steps} steps already: give more --steps")
    say(f"going on from step {recorded.steps}")
    return recorded


def _save(settings: Train, recorded: steps.Recorded, plain: Mapping[str, Any]) -> None:
    """Writes log, state and network."""
    steps.save(settings.log, recorded, plain)
    attributes = {
        "style": settings.style.name,
        "style_sha256": plain["style_sha256"],
        "objective": json.dumps(plain["objective"]),
        "settings": json.dumps({**plain, "steps": recorded.steps}),
        "licence": settings.licence,
        "source": "experiments/feedforward.py",
    }
    params = jax.tree.map(np.asarray, recorded.state.params)
    weights.save_feedforward(settings.output, weights.Feedforward(params, "resize", attributes))


def _paint_samples(settings: Train, recorded: steps.Recorded) -> None:
    """Writes each sample beside what the network makes of it."""
    folder = settings.output.with_suffix("")
    paint = feedforward.paint_fn(recorded.state.params, settings.architecture)
    for path in settings.samples:
        photo = _sample(path, settings.sample_size)
        painted = np.clip(_PAINT(paint, photo), 0, 1)
        pair = np.concatenate([photo, painted], axis=1)
        images.save(folder / f"{path.stem}-{recorded.steps:06}.jpg", pair)


def _sample(path: Path, size: int) -> np.ndarray:
    with images.notes(lambda line: None):
        return images.load(path, size=size)


_PAINT = jax.jit(lambda paint, photo: paint(photo))


def command() -> int:
    settings = tyro.extras.subcommand_cli_from_dict(
        {"train": Train, "compare": Compare}, config=(tyro.conf.FlagCreatePairsOff,)
    )
    environment.keep_compiled_programs()
    if isinstance(settings, Train):
        train(settings)
    else:
        compare(settings)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(command))
