"""What the study measures of its runs, from their logs.

The unit is a pair of pictures; each optimizer has runs by pair, rate and seed. All losses are of
pictures as they would be saved, and are compared at equal numbers of gradient evaluations. A step
of a first-order optimizer is one evaluation. L-BFGS's line search may take several, and its image
leaves [0, 1] on the way: its losses are computed again from the clipped snapshots of its log.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, UInt8

from nst_jax import driver, runs, vgg
from nst_jax import image as images
from nst_jax import weights as network_weights
from nst_jax.config import from_json
from nst_jax.runlog import RunRecord
from nst_jax.terms import Weights

REACHED = 0.05
"""The part of the start's loss at which a run counts as having got there."""
_TERMS = ("total", "content", "style")
# Pictures whose losses are computed at once.
_BATCH = 10


class Runs(NamedTuple):
    """All runs of one optimizer; axes: pair, rate, seed, and gradient evaluations from 0 on.

    Attributes:
      optimizer: its name.
      rates: its learning rates, ascending; one, 0, of L-BFGS.
      total, content, style: losses before their weights; infinite where they are not finite.
      diverged: whether a run ended above its start, or with a value that is not finite.
      pictures: of the first seed after all evaluations, (rate, h, w, 3) a pair.
    """

    optimizer: str
    rates: tuple[float, ...]
    total: Float[np.ndarray, "pair rate seed evaluation"]
    content: Float[np.ndarray, "pair rate seed evaluation"]
    style: Float[np.ndarray, "pair rate seed evaluation"]
    diverged: Bool[np.ndarray, "pair rate seed"]
    pictures: tuple[UInt8[np.ndarray, "rate h w 3"], ...]

    @property
    def relative(self) -> Float[np.ndarray, "pair rate seed evaluation"]:
        """The total in parts of the start's."""
        return self.total / self.total[..., :1]

    @property
    def budget(self) -> int:
        return self.total.shape[-1] - 1


def after(runs: Runs, evaluations: int) -> Float[np.ndarray, "pair rate"]:
    """The total relative to the start's after so many evaluations, median over the seeds."""
    return np.median(runs.relative[..., evaluations], axis=-1)


def area(runs: Runs) -> Float[np.ndarray, "pair rate"]:
    """The mean of log10 of the relative total over the evaluations, median over the seeds.

    The area under the logarithmic curve over its length: how low a run was on the whole. -1 is
    what a run has that is at a tenth of its start's loss all the time.
    """
    curves = np.log10(runs.relative)
    means = np.trapezoid(curves, axis=-1) / runs.budget
    return np.median(means, axis=-1)


def evaluations_to(runs: Runs, part: float = REACHED) -> Float[np.ndarray, "pair rate"]:
    """Evaluations to come down to a part of the start's loss, median over seeds; inf: never."""
    below = runs.relative <= part
    first = np.where(below.any(axis=-1), below.argmax(axis=-1), np.inf)
    return np.median(first, axis=-1)


def runs_of(records: Sequence[RunRecord], *, weights: str | None = None) -> dict[str, Runs]:
    """The runs of each optimizer.

    Args:
      records: sweeps of the same optimizers, rates and seeds over several contents; each may have
        several styles.
      weights: source of the network's weights, for L-BFGS alone.
    """
    result = {}
    for optimizer in dict.fromkeys(v.optimizer for record in records for v in record.variants):
        parts = [
            _of_a_pair(record, style, optimizer, weights)
            for record in records
            for style in record.styles
            if any(v.optimizer == optimizer for v in record.variants)
        ]
        rates, *arrays, pictures = zip(*parts, strict=True)
        result[optimizer] = Runs(optimizer, rates[0], *map(np.stack, arrays), pictures)
    return result


def _of_a_pair(record: RunRecord, style: str, optimizer: str, weights: str | None) -> tuple:
    """Rates, traces (rate, seed, evaluation), diverged (rate, seed), pictures (rate, h, w, 3)."""
    columns = {
        (variant.learning_rate, variant.seed): i
        for i, variant in enumerate(record.variants)
        if (variant.style, variant.optimizer) == (style, optimizer)
    }
    rates = tuple(sorted({rate for rate, _ in columns}))
    seeds = sorted({seed for _, seed in columns})
    trace = _lbfgs_trace(record, weights) if optimizer == "lbfgs" else _first_order_trace(record)
    grid = [[trace(columns[rate, seed]) for seed in seeds] for rate in rates]
    series = [np.array([[each.terms[term] for each in row] for row in grid]) for term in _TERMS]
    diverged = np.array(
        [
            [record.variants[columns[rate, seed]].status == "diverged" for seed in seeds]
            for rate in rates
        ]
    )
    pictures = np.stack([row[0].picture for row in grid])
    return (rates, *series, diverged, pictures)


class _Trace(NamedTuple):
    """A run: each term after 0, 1, ... evaluations, and the picture after all of them."""

    terms: dict[str, Float[np.ndarray, "evaluation"]]
    picture: UInt8[np.ndarray, "h w 3"]


def _first_order_trace(record: RunRecord) -> Callable[[int], _Trace]:
    def trace(column: int) -> _Trace:
        # Row i is of the image before update i: after the last update that is the saved picture.
        terms = {
            term: np.append(record.rows.losses[term][:, column], record.final[term][column])
            for term in _TERMS
        }
        # A run that stays at its last good picture has not ended well.
        bad = np.maximum.accumulate(~np.isfinite(terms["total"]))
        terms = {term: np.where(bad, np.inf, values) for term, values in terms.items()}
        return _Trace(terms, record.images[column])

    return trace


def _lbfgs_trace(record: RunRecord, weights: str | None) -> Callable[[int], _Trace]:
    losses = _losses_of_pictures(record, weights)
    budget = record.config["steps"]

    def trace(column: int) -> _Trace:
        spent = np.cumsum(np.maximum(record.rows.evaluations[:, column], 0))
        # How many steps are paid for by each number of evaluations.
        steps = np.searchsorted(spent, np.arange(budget + 1), side="right")
        steps = np.minimum(steps, len(record.snapshot_steps))
        after = losses(column)
        terms = {
            term: np.append(record.rows.losses[term][0, column], after[term])[steps]
            for term in _TERMS
        }
        pictures = [record.content, *record.snapshots[:, column]]
        return _Trace(terms, pictures[steps[-1]])

    return trace


def _losses_of_pictures(
    record: RunRecord, weights: str | None
) -> Callable[[int], dict[str, np.ndarray]]:
    """The losses of each snapshot of a variant."""
    config = from_json(record.config)
    styles = {name: images.from_uint8(style) for name, style in record.styles.items()}
    pictures = runs.Pictures(images.from_uint8(record.content), styles, {})
    layers = runs.layers_of(runs.make_terms(config))
    problem = runs.problem_of(config, _feature_fn(weights, layers, config.arch), pictures)

    def losses(column: int) -> dict[str, np.ndarray]:
        variant = record.variants[column]
        snapshots = images.from_uint8(record.snapshots[:, column])
        found = [
            driver.losses_of(
                problem.objectives[variant.style],
                _lanes(problem.weights(variant), len(part)),
                part,
            )
            for part in np.array_split(snapshots, range(_BATCH, len(snapshots), _BATCH))
        ]
        series = [{"total": each.total, **each.terms} for each in found]
        return {term: np.concatenate([each[term] for each in series]) for term in _TERMS}

    return losses


def _lanes(weights: Weights, count: int) -> driver.Hyperparameters:
    """The same weights for so many pictures at once."""
    return jax.tree.map(
        lambda x: np.broadcast_to(np.asarray(x, np.float32), (count, *np.shape(x))),
        driver.Hyperparameters(np.float32(0), weights),
    )


@cache
def _feature_fn(weights: str | None, layers: tuple[str, ...], arch: str) -> Callable:
    return vgg.feature_fn(network_weights.load_params(weights, arch=arch), layers, arch=arch)


def names_of_pairs(records: Sequence[RunRecord]) -> list[tuple[str, str]]:
    """Content and style of each pair, in words, in the order of the runs."""
    return [
        (in_words(record.config["content"]), in_words(style))
        for record in records
        for style in record.styles
    ]


def in_words(path: str) -> str:
    """`style_munch_the_scream.jpg` becomes "munch the scream"."""
    stem = path.replace("\\", "/").rsplit("/", 1)[-1].rsplit(".", 1)[0]
    return stem.removeprefix("content_").removeprefix("style_").replace("_", " ")
