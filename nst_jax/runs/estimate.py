"""What a run will take, before it starts: memory by the compiler's account, time by a short try.

A picture is taken for a square of its longest side, the most that it can be.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from nst_jax import backend, compiler, driver, objective, optimizers, strips, terms, vgg, weights
from nst_jax.choices import CONTENT_LAYERS, STYLE_LAYERS, Arch, Pooling, Precision
from nst_jax.steps import Hyperparameters, single
from nst_jax.strips import ROWS
from nst_jax.system import environment, memory
from nst_jax.terms import FeatureFn, Objective, View, Weights

_TRIED_SIZE = 512
_TRIED_STEPS = 2
_MOST_PIXELS = 32_000
_MOST_VARIANTS = 10_000
_WEIGHTS = Weights(
    {"content": np.float32(1e4), "style": np.float32(1e-2), "total_variation": np.float32(0)},
    {
        "content": np.ones(len(CONTENT_LAYERS), np.float32),
        "style": np.full(len(STYLE_LAYERS), 1 / len(STYLE_LAYERS), np.float32),
        "total_variation": np.ones(1, np.float32),
    },
)


class Estimate(NamedTuple):
    """What a run of some variants of one size takes on this device.

    Attributes:
      program_bytes: of the program with its arguments, on one device.
      rematerialized_bytes: of the program with --rematerialize.
      strips_bytes: of the programs in strips, one variant at a time.
      process_bytes: on a CPU, of the rest of the process; else 0.
      available: bytes that a program may take, four fifths of what is free.
      seconds_a_step: of all variants together.
      largest_size: that fits with so many variants.
      most_variants: that fit with this size.
    """

    program_bytes: int
    rematerialized_bytes: int
    strips_bytes: int
    process_bytes: int
    available: int
    seconds_a_step: float
    largest_size: int
    most_variants: int


def estimate(
    size: int,
    variants: int = 1,
    *,
    arch: Arch = "vgg19",
    pooling: Pooling = "max",
    precision: Precision = "float32",
) -> Estimate:
    """What a run takes with the report's layers and Adam.

    Other first-order optimizers take no more; L-BFGS takes several evaluations a step and about
    fifty images a variant besides.

    Args:
      size: of the picture, in pixels.
      variants: in one program.
      arch, pooling, precision: of the network, see `vgg.extract_features`.

    Raises:
      ValueError: a size or number out of its range.
    """
    check_size(size, arch)
    if not 1 <= variants <= _MOST_VARIANTS:
        raise ValueError(
            f"the number of variants must be from 1 to {_MOST_VARIANTS}, got {variants}"
        )
    available = memory.available_bytes()
    params = weights.random_params(arch=arch)
    problem = Problem(params, arch=arch, pooling=pooling, precision=precision)
    needed = problem.bytes(size, variants)
    tried = min(size, _TRIED_SIZE)
    make_objective = problem.compile_objective(tried)
    present = problem.other_bytes()
    # Time goes with the pixels.
    seconds = problem.seconds_a_step(make_objective(), tried) * variants * (size / tried) ** 2
    return Estimate(
        program_bytes=needed,
        rematerialized_bytes=problem.rematerialized().bytes(size, variants),
        strips_bytes=problem.in_strips(ROWS).bytes(size, 1),
        process_bytes=present,
        available=available,
        seconds_a_step=seconds,
        largest_size=_largest_size(problem, size, variants, needed, available),
        most_variants=_most_variants(problem, size, variants, needed, available),
    )


def check_size(size: int, arch: Arch = "vgg19") -> None:
    """Refuses a size at which the report's layers cannot be had."""
    least = vgg.smallest_side((*CONTENT_LAYERS, *STYLE_LAYERS), arch)
    if not least <= size <= _MOST_PIXELS:
        raise ValueError(f"the size must be from {least} to {_MOST_PIXELS}, got {size}")


def _largest_size(problem: "Problem", size: int, variants: int, needed: int, available: int) -> int:
    """Memory is a straight line over the number of pixels."""
    other = 2 * size
    slope = (needed - problem.bytes(other, variants)) / (size**2 - other**2)
    pixels = size**2 + (available - needed) / max(slope, 1e-9)
    return int(min(np.sqrt(max(pixels, 0)), _MOST_PIXELS))


def _most_variants(
    problem: "Problem", size: int, variants: int, needed: int, available: int
) -> int:
    """Memory is a straight line over the number of lanes as well."""
    other = 1 if variants > 1 else 2
    lane = (needed - problem.bytes(size, other)) / (variants - other)
    return max(0, int(variants + (available - needed) // max(lane, 1)))


class Problem:
    """Steps of Adam with the report's layers, on squares of noise.

    Random weights do: they are as large and as fast as trained ones.
    """

    def __init__(
        self,
        params: weights.Params,
        *,
        precision: Precision,
        rows: int | None = None,
        **options: Any,
    ):
        """Args: `rows`: of a strip, or None; `options`: of `vgg.feature_fn`."""
        self._params, self._rows = params, rows
        options = {"convolutions": vgg.fastest_convolutions(precision), **options}
        self._options = {"precision": precision, **options}
        self._feature_fn = vgg.feature_fn(
            params,
            (*STYLE_LAYERS, *CONTENT_LAYERS),
            **self._options,
        )
        self._optimizer = optimizers.named("adam")

    def rematerialized(self) -> "Problem":
        """The same with activations that are computed twice."""
        return Problem(self._params, **self._options, rematerialize=True)

    def in_strips(self, rows: int) -> "Problem":
        """The same in strips of so many rows."""
        return Problem(self._params, **self._options, rows=rows)

    def other_bytes(self) -> int:
        """On a CPU what the process holds by now beside the network, an argument; elsewhere 0.

        To be asked once an objective has been compiled, as in a run.
        """
        if backend.platform() != "cpu":
            return 0
        network = sum(leaf.nbytes for leaf in jax.tree.leaves(self._feature_fn))
        return memory.process_bytes() - network

    def bytes(self, size: int, variants: int) -> int:
        """Of the program, arguments included."""
        shape = (size, size, 3)
        picture = jax.ShapeDtypeStruct(shape, np.float32)
        loss = self._divided(jax.eval_shape(_objective, self._feature_fn, picture))
        lanes = driver.abstract_lanes(variants, shape, _WEIGHTS, optimizer=self._optimizer)
        return driver.step_bytes(loss, *lanes, optimizer=self._optimizer)

    def compile_objective(self, size: int) -> Callable[[], Objective]:
        """What gives the objective of a picture of noise: its targets are another program."""
        if self._rows:
            return partial(self._objective_in_strips, _noise(size))
        arguments = self._feature_fn, _noise(size)
        compiled = compiler.Program(_targets).lower(*arguments).compile()
        return lambda: objective.make_objective(self._feature_fn, compiled(*arguments))

    def _objective_in_strips(self, picture: np.ndarray) -> Objective:
        own = objective.report_terms(CONTENT_LAYERS, STYLE_LAYERS)
        pieces = [View(picture, {})]
        read = {"content": pieces, "style": pieces}
        targets = strips.targets_of(self._feature_fn, own, read, rows=self._rows or ROWS)
        return self._divided(terms.of_targets(self._feature_fn, own, targets))

    def _divided(self, loss: Any) -> Objective:
        return strips.in_strips(loss, self._rows) if self._rows else loss

    def seconds_a_step(self, loss: Objective, size: int) -> float:
        """From some steps of one variant."""
        chunks = self.chunks(loss, size, count=2, length=_TRIED_STEPS)
        # The first chunk compiles.
        ends = [float(chunk.seconds[-1]) for chunk in chunks]
        return (ends[1] - ends[0]) / _TRIED_STEPS

    def chunks(
        self, loss: Objective, size: int, *, count: int, length: int
    ) -> Iterator[driver.Chunk]:
        """So many chunks of so many steps of one variant, by the driver of this device."""
        hyper = single(Hyperparameters(np.float32(0.02), _WEIGHTS))
        return driver.run_chunks(
            loss,
            hyper,
            driver.init_state(_noise(size)[None], self._optimizer, hyper),
            optimizer=self._optimizer,
            num_steps=count * length,
            chunk_length=length,
        )

    def chunk_length(self, loss: Objective, size: int, *, most: int) -> int:
        """Steps of a chunk, as many as a run of `most` steps has."""
        lanes = driver.abstract_lanes(1, (size, size, 3), _WEIGHTS, optimizer=self._optimizer)
        return driver.default_chunk_length(loss, *lanes, optimizer=self._optimizer, num_steps=most)


def _noise(size: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(size=(size, size, 3)).astype(np.float32)


def _objective(feature_fn: FeatureFn, picture: jax.Array) -> Objective:
    return objective.make_objective(feature_fn, _targets(feature_fn, picture))


# Without the network, of which a program would return a copy.
def _targets(feature_fn: FeatureFn, picture: jax.Array) -> objective.ReportTargets:
    return objective.compute_targets(
        feature_fn,
        picture,
        picture,
        content_layers=CONTENT_LAYERS,
        style_layers=STYLE_LAYERS,
    )


def in_words(found: Estimate, *, size: int, variants: int, steps: int) -> str:
    """An estimate for a person."""
    fits = found.program_bytes <= found.available
    peak = found.program_bytes + found.process_bytes
    seconds = found.seconds_a_step
    lines = [
        f"device: {environment.device_line()}",
        f"{variants} variant{'s' * (variants > 1)} of {size} x {size} pixels, {steps} steps",
        f"memory at the peak: {peak / 1e9:.2f} GB; the program may take "
        f"{found.available / 1e9:.2f} GB and takes {found.program_bytes / 1e9:.2f} GB: "
        f"{'it fits' if fits else 'IT DOES NOT FIT'}",
        f"with --rematerialize the program takes {found.rematerialized_bytes / 1e9:.2f} GB",
        f"with --strips {ROWS} one variant takes {found.strips_bytes / 1e9:.2f} GB"
        f"{'' if fits else ': stylize and sweep choose that by themselves'}",
        f"time: {1e3 * seconds:.4g} ms a step, {_duration(steps * seconds)} in all",
        f"largest size with so many variants: {found.largest_size} pixels",
        f"most variants in one program of this size: {found.most_variants}; a sweep runs more in "
        "batches",
    ]
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"
