"""What one process finds out about this device in one precision: `nst-jax check` starts several.

Each precision gets a process of its own, for four reasons: the peak of memory is that of a process;
a TPU belongs to one process at a time; equal bytes have to come from two processes; and if one
crashes, the others still tell what they found.
"""

import hashlib
import json
import os
import sys
import time
from importlib import resources
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

import jax
import numpy as np

from nst_jax import backend, compiler, driver, objective, vgg, weights
from nst_jax.choices import CONTENT_LAYERS, STYLE_LAYERS, Precision
from nst_jax.runs import estimate
from nst_jax.system import environment, files, hardware, memory

# Chunks of a run, and the steps of each; slow steps get shorter chunks.
_CHUNKS = 3
_MOST_STEPS_A_CHUNK = 20
# Sides of the picture in pixels, by the backend; then for all others.
_SIZES = {"cpu": 256}
_SIZE = 512


class Task(NamedTuple):
    """What to find out.

    Attributes:
      precision: of the convolutions.
      size: side of the picture for memory and time; None: what suits the device.
      weights: file of trained ones, for the gradient; None: there is none.
      parity: compare with the golden tensors as well.
    """

    precision: Precision
    size: int | None = None
    weights: str | None = None
    parity: bool = True


class Parity(NamedTuple):
    """How far the values are from those of Keras, with random weights; None: not finite.

    Attributes:
      features: largest difference over the largest value of the layer, of all layers.
      loss_terms: largest relative difference of content, style layers and total.
      gradient: L2 norm of the difference over that of Keras's gradient.
    """

    features: float | None
    loss_terms: float | None
    gradient: float | None


class Measured(NamedTuple):
    """Memory and time of steps of Adam at one size, and the parity.

    Attributes:
      size: side of the picture, in pixels.
      convolutions: the algorithm of the deep layers.
      driver: "python" or "scan".
      chunk_length: steps a chunk.
      chunk_milliseconds: a step, of each chunk but the first, which compiles.
      ready_seconds: from the weights to the end of the first chunk: compiling, mostly.
      planned_bytes: the peak by the account of `nst-jax plan`.
      peak_bytes: what the device says, or on a CPU the process; 0: it does not say.
      digests: SHA-256 of picture and losses of two runs of the same settings.
      parity: None if not asked for.
      gradient: at the golden picture, of the trained network if there is one.
    """

    size: int
    convolutions: str
    driver: str
    chunk_length: int
    chunk_milliseconds: list[float]
    ready_seconds: float
    planned_bytes: int
    peak_bytes: int
    digests: list[str]
    parity: Parity | None
    gradient: list[float]

    @property
    def milliseconds(self) -> float:
        """A step: the median over the chunks."""
        return median(self.chunk_milliseconds)

    def to_json(self) -> dict[str, Any]:
        """The same as plain values, for `from_json`."""
        return {**self._asdict(), "parity": self.parity and self.parity._asdict()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Measured":
        """The inverse of `to_json`.

        Args:
          values: of `to_json`.
        """
        parity = values["parity"]
        return cls(**{**values, "parity": Parity(**parity) if parity else None})


def measure(task: Task) -> Measured:
    """Runs steps, then compares with the golden tensors.

    Args:
      task: what to find out.

    Returns:
      Memory, time, digests, and what the task asks for besides.

    Raises:
      MemoryError: with the sizes that fit.
    """
    random = weights.random_params()
    size = task.size or _SIZES.get(backend.platform(), _SIZE)
    # The peak of memory counts from the start of the process, so the steps come first.
    steps = _run(random, task.precision, size)
    parity, gradient = None, np.zeros(0)
    if task.parity:
        parity, gradient = _compare(random, task.precision)
    if task.parity and task.weights:
        gradient = _evaluate(weights.load_params(task.weights), task.precision)[2]
    return Measured(
        size=size,
        convolutions=vgg.fastest_convolutions(task.precision),
        driver=driver.default_driver(),
        parity=parity,
        gradient=np.ravel(gradient).tolist(),
        **steps,
    )


def _run(params: weights.Params, precision: Precision, size: int) -> dict[str, Any]:
    """Two runs of the same settings, and what they take."""
    start = time.perf_counter()
    problem = estimate.Problem(params, arch="vgg19", pooling="max", precision=precision)
    planned = problem.bytes(size, 1)
    with memory.out_of_memory_in_words(planned, (size, size), lanes=1):
        loss = problem.compile_objective(size)()
        planned += problem.other_bytes()
        length = problem.chunk_length(loss, size, most=_MOST_STEPS_A_CHUNK)
        ready = time.perf_counter() - start
        runs = [_chunks(problem, loss, size, length) for _ in range(2)]
    times = [[0.0, *ends] for ends, _ in runs]
    spans = [[after - before for before, after in pairwise(ends)] for ends in times]
    return {
        "chunk_length": length,
        "chunk_milliseconds": [1e3 * span / length for span in [*spans[0][1:], *spans[1]]],
        "ready_seconds": ready + spans[0][0],
        "planned_bytes": planned,
        "peak_bytes": memory.peak_bytes(),
        "digests": [digest for _, digest in runs],
    }


def _chunks(problem: estimate.Problem, loss, size: int, length: int) -> tuple[list[float], str]:
    """The ends of the chunks of a run, in seconds, and its digest."""
    digest, ends = hashlib.sha256(), []
    for chunk in problem.chunks(loss, size, count=_CHUNKS, length=length):
        ends.append(float(chunk.seconds[-1]))
        digest.update(chunk.history.terms.total.tobytes())
        # Read the last state only: the next chunk has overwritten each state before it.
        if len(ends) == _CHUNKS:
            digest.update(driver.pictures(chunk.state).tobytes())
    return ends, digest.hexdigest()


def golden() -> dict[str, np.ndarray]:
    """The golden tensors of Keras, by name: see `tests/golden/make_golden.py`."""
    with (resources.files("nst_jax.check") / "check.npz").open("rb") as file:
        return dict(np.load(file))


def _losses_and_gradient(feature_fn, content, style, image):
    targets = objective.compute_targets(
        feature_fn, content, style, content_layers=CONTENT_LAYERS, style_layers=STYLE_LAYERS
    )
    loss = objective.make_objective(feature_fn, targets)
    loss_weights = objective.make_weights(targets, total_variation=0.0)
    (_, terms), gradient = jax.value_and_grad(loss, has_aux=True)(image, loss_weights)
    return feature_fn(image), terms, gradient


_program = compiler.Program(_losses_and_gradient)


def _evaluate(params: weights.Params, precision: Precision) -> tuple[Any, ...]:
    """Features, loss terms and gradient at the golden picture, by the report's program."""
    feature_fn = vgg.feature_fn(
        params,
        (*STYLE_LAYERS, *CONTENT_LAYERS),
        precision=precision,
        convolutions=vgg.fastest_convolutions(precision),
    )
    pictures = (golden()[name].astype(np.float32) / 255 for name in ("content", "style", "noise"))
    return jax.device_get(_program(feature_fn, *pictures))


def _compare(params: weights.Params, precision: Precision) -> tuple[Parity, np.ndarray]:
    """The parity, and the gradient."""
    expected = golden()
    features, terms, gradient = _evaluate(params, precision)
    off = []
    for name, scale in zip(expected["layers"], expected["scale"], strict=True):
        height, width, _ = features[name].shape
        column = features[name][height // 2, width // 2].astype(np.float64)
        off.append(np.max(np.abs(column - expected[f"features/{name}"])) / scale)
    of_keras = [expected["content_loss"], *expected["style_layer_losses"], expected["total"]]
    ours = np.array([terms.terms["content"], *terms.parts["style"], terms.total], np.float64)
    difference = gradient.astype(np.float64) - expected["gradient"]
    return Parity(
        _finite(np.max(off)),
        _finite(np.max(np.abs(ours / of_keras - 1))),
        _finite(np.linalg.norm(difference) / np.linalg.norm(expected["gradient"])),
    ), gradient


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def facts() -> dict[str, Any]:
    """What the device and the software are, as plain values.

    Returns:
      The facts of `environment.describe` but the process, those of `hardware.describe`, and the
      precision that "fast" stands for.
    """
    described = environment.describe()
    del described["pid"]
    described["versions"] = json.loads(described.pop("versions_json"))
    return {
        **described,
        **hardware.describe(),
        "device": environment.device_line(),
        "fastest_precision": vgg.resolve_precision("fast"),
        "unused_gpu": environment.unused_gpu(),
    }


def main() -> None:
    """Does the task of the only argument; prints `facts`, `measured` or `error` as a JSON line."""
    answer: dict[str, Any] = {}
    try:
        task = Task(**json.loads(sys.argv[1]))
        answer["facts"] = facts()
        answer["measured"] = measure(task).to_json()
    # The table tells every error, whatever its kind.
    except Exception as error:
        answer["error"] = files.reason(error)
    print(json.dumps(answer), flush=True)
    # Skip the ordinary exit: the libraries of a failed device may hang in it.
    os._exit(0)


if __name__ == "__main__":
    main()
