"""What each statistic of style costs, and how exact the Wasserstein distance is in float32.

    python experiments/statistics_of_style.py

Hardware: two CPU cores, shared with other work. Time: a minute.
Result, trained VGG19: `docs/losses.md` has it.

The value and the gradient of each statistic for the features of one layer are timed beside a whole
step of the report's objective, turn by turn in one process; what is told are medians of ratios
within a turn, because a busy machine slows both. The Wasserstein distance is compared with that of
NumPy in float64 for the same features. Written is section.md.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jaxtyping import Array, Float
from measuring import samples
from pages import statistics_of_style as page
from pages import writing
from pages.statistics_of_style import Cost, Facts

from nst_jax import image as images
from nst_jax import losses, objective, terms, vgg
from nst_jax import weights as network_weights
from nst_jax.choices import CONTENT_LAYERS, STYLE_LAYERS
from nst_jax.system import environment, files
from nst_jax.system.console import exit_code_of, say

LAYERS = ("block1_conv1", "block3_conv1", "block5_conv1")
"""Whose statistics are timed."""
NEXT = {
    "block1_conv1": ("block1_conv1", "block2_conv1"),
    "block3_conv1": ("block3_conv1", "block4_conv1"),
    # None is deeper.
    "block5_conv1": ("block4_conv1", "block5_conv1"),
}
"""The two layers of which a cross-layer statistic is made."""
EPSILON = 1e-4
"""Of the Wasserstein distance: the term's."""
OF_A_LAYER = ("gram", "covariance", "moments", "wasserstein", "shifted_gram")
OF_PIXELS = ("laplacian", "total_variation", "squared_variation", "nine_point_variation")


@dataclass(frozen=True)
class Statistics:
    """Measure the cost of each statistic, and the error of the Wasserstein distance."""

    output_dir: Path = Path("out/statistics")
    """Where the page goes."""
    height: int = 256
    """Of the image in pixels."""
    width: int = 192
    """Of the image in pixels."""
    turns: int = 15
    """How often each program is timed."""
    weights: str | None = None
    """A weights file, or "random" (default: see `nst-jax weights info`)."""


Timed = Callable[[], object]
"""A program with its arguments: runs once, and waits for it."""


def pictures_of(settings: Statistics, feature_fn: Callable) -> dict[str, terms.View]:
    """The portrait at that size, and the painting."""
    longest = max(settings.height, settings.width)
    content = images.load(samples.PORTRAIT, size=longest)[: settings.height, : settings.width]
    style = images.load(samples.PAINTING, size=longest)
    return {"content": terms.view(feature_fn, content), "style": terms.view(feature_fn, style)}


def step_of(feature_fn: Callable, views: dict[str, terms.View]) -> Timed:
    """A whole step: value and gradient of the report's objective."""
    of_terms = objective.report_terms(CONTENT_LAYERS, STYLE_LAYERS)
    composed = terms.compose(feature_fn, of_terms, views)
    weights = terms.weigh(composed, dict.fromkeys(of_terms, 1.0))
    program = jax.jit(
        lambda loss, image, weights: jax.value_and_grad(loss, has_aux=True)(image, weights)
    )
    return lambda: jax.block_until_ready(program(composed, views["content"].image, weights))


def statistic_of(term: terms.Term, views: dict[str, terms.View]) -> Timed:
    """Value and gradient of a term for the features of its layers, or for the pixels."""
    targets = term.init(views)
    content = views["content"]
    given = {x: content.features[x] for x in term.layers} or content.image

    def value(given: dict[str, Array] | Array, targets: object) -> Array:
        is_image = not isinstance(given, dict)
        seen = terms.View(given, {}) if is_image else terms.View(content.image, given)
        return jnp.sum(term.losses_of(targets, seen))

    program = jax.jit(jax.value_and_grad(value))
    return lambda: jax.block_until_ready(program(given, targets))


def statistics_of(views: dict[str, terms.View]) -> dict[tuple[str, str], Timed]:
    """By kind and layer; pixels have the layer "image"."""
    of_layers = {
        (kind, layer): terms.named(kind, layers=(layer,)) for kind in OF_A_LAYER for layer in LAYERS
    }
    of_pairs = {("adjacent_gram", layer): terms.adjacent_gram(pair) for layer, pair in NEXT.items()}
    of_pixels = {(kind, terms.IMAGE): terms.named(kind) for kind in OF_PIXELS}
    every = of_layers | of_pairs | of_pixels
    return {name: statistic_of(term, views) for name, term in every.items()}


def seconds_of(timed: Timed) -> float:
    """Of one run."""
    start = time.perf_counter()
    timed()
    return time.perf_counter() - start


def costs_of(
    step: Timed, statistics: dict[tuple[str, str], Timed], turns: int
) -> tuple[list[Cost], float]:
    """The cost of each statistic in parts of a step, and the seconds of a step: medians."""
    for program in (step, *statistics.values()):
        # Compiles.
        program()
    steps, ratios = [], {name: [] for name in statistics}
    for _ in range(turns):
        steps.append(seconds_of(step))
        for name, program in statistics.items():
            ratios[name].append(seconds_of(program) / steps[-1])
    costs = [Cost(*name, float(np.median(found))) for name, found in ratios.items()]
    return costs, float(np.median(steps))


def errors_of(views: dict[str, terms.View]) -> dict[str, float]:
    """Of the Wasserstein distance of each layer in float32, relative to NumPy's in float64."""
    errors = {}
    for layer in STYLE_LAYERS:
        features, style = (views[name].features[layer] for name in ("content", "style"))
        target = losses.normal(losses.covariance_sums(style))
        found = losses.wasserstein_distance(
            losses.covariance_sums(features), target, epsilon=EPSILON
        )
        expected = wasserstein_in_float64(np.asarray(features), np.asarray(style))
        errors[layer] = abs(float(found) / expected - 1)
    return errors


def wasserstein_in_float64(
    features: Float[np.ndarray, "h w channel"], style: Float[np.ndarray, "h2 w2 channel"]
) -> float:
    """The formula of `losses.wasserstein_distance`, by eigenvalues."""
    (mean, covariance), (target_mean, target) = map(_mean_and_covariance, (features, style))
    values, vectors = np.linalg.eigh(target)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    variance = np.trace(target) / len(mean)
    between = np.linalg.eigvalsh(root @ covariance @ root / variance**2)
    common = variance * np.sum(np.sqrt(np.maximum(between, 0) + EPSILON))
    distance = np.sum((mean - target_mean) ** 2) + np.trace(covariance) + np.trace(target)
    return float((distance - 2 * common) / len(mean))


def _mean_and_covariance(features: Float[np.ndarray, "h w channel"]) -> tuple:
    flat = features.reshape(-1, features.shape[-1]).astype(np.float64)
    return flat.mean(axis=0), np.cov(flat.T, bias=True)


def main(settings: Statistics) -> Path:
    """Measures everything.

    Returns:
      The path of section.md.
    """
    files.check_folder(settings.output_dir)
    layers = tuple(dict.fromkeys((*STYLE_LAYERS, *CONTENT_LAYERS)))
    feature_fn = vgg.feature_fn(network_weights.load_params(settings.weights), layers)
    views = pictures_of(settings, feature_fn)
    costs, step = costs_of(step_of(feature_fn, views), statistics_of(views), settings.turns)
    path = settings.output_dir / "section.md"
    facts = Facts(
        costs=costs,
        errors=errors_of(views),
        step=step,
        layers=LAYERS,
        width=settings.width,
        height=settings.height,
        turns=settings.turns,
        device=environment.device_line(),
        date=datetime.now(UTC).date().isoformat(),
        jax=jax.__version__,
    )
    writing.write(path, page.section(facts), {})
    say(f"wrote {path}")
    return path


def command() -> int:
    main(tyro.cli(Statistics, config=(tyro.conf.FlagCreatePairsOff,)))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(command))
