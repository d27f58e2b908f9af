"""What a network is trained for: the objective of each photograph, with one style."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array

from nst_jax import config, runs, terms, vgg
from nst_jax import image as images
from nst_jax.config import StylizeConfig
from nst_jax.system.console import Say
from nst_jax.terms import FeatureFn, Term, View, Weights

CONTENT, STYLE = "content", "style"


# Other targets and weights run the same program.
@partial(
    jax.tree_util.register_dataclass,
    data_fields=["feature_fn", "targets", "weights"],
    meta_fields=["terms", "is_relative", "sha256"],
)
@dataclass(frozen=True)
class Goal:
    """What is the same for all photographs.

    Attributes:
      terms: by name.
      is_relative: whether each part counts relative to its target, see `terms.relative`.
      feature_fn: of the network whose features are compared.
      targets: of the terms that do not read the photograph, by name.
      weights: of terms and parts.
      sha256: of the weights of that network.
    """

    terms: tuple[tuple[str, Term], ...]
    is_relative: bool
    feature_fn: FeatureFn
    targets: Mapping[str, Any]
    weights: Weights
    sha256: str


def style_of(settings: StylizeConfig, *, say: Say) -> np.ndarray:
    """The painting, RGB in [0, 1]; arguments and errors as `goal_of`."""
    with images.notes(say):
        return images.load(settings.style, size=settings.longest_sides[1])


def goal_of(settings: StylizeConfig, style: np.ndarray, *, say: Say) -> Goal:
    """The goal of a training, by the words of `stylize`.

    Args:
      settings: of which no picture is read.
      style: of `style_of`.
      say: gets the line that says where the network's weights are from.

    Raises:
      ValueError, OSError: bad settings or files; one line.
    """
    settings = config.resolved(settings)
    made = runs.make_terms(settings)
    _check(made)
    form = vgg.fastest_form(settings.precision)
    network = runs.load_network(settings, form, say=say)
    stored = {name: term for name, term in made.items() if CONTENT not in term.references}
    targets = jax.jit(lambda fn, x: terms.targets_from(stored, {STYLE: terms.view(fn, x)}))(
        network.feature_fn, jnp.asarray(style)
    )
    specs = config.terms_of(settings)
    weights = terms.weigh(
        terms.of_targets(network.feature_fn, made, {}),
        {name: values[0] for name, values in config.weights_of(settings).items()},
        {name: spec.layer_weights for name, spec in specs.items() if spec.layer_weights},
    )
    is_relative = config.layer_balance_of(settings) == "relative"
    return Goal(
        tuple(made.items()), is_relative, network.feature_fn, targets, weights, network.sha256
    )


def _check(made: Mapping[str, Term]) -> None:
    for name, term in made.items():
        if set(term.references) not in ({CONTENT}, {STYLE}, set()):
            raise ValueError(
                f"the term {name!r} reads {' and '.join(term.references)}: a network is trained "
                "for terms of the photograph or of the painting alone"
            )


def objective_of(goal: Goal, photograph: Array) -> tuple[Partial, Weights]:
    """What `stylize` would minimize for one photograph, and the weights.

    Args:
      goal: see `goal_of`.
      photograph: RGB in [0, 1], (h, w, 3).
    """
    seen = terms.view(goal.feature_fn, photograph)
    made = dict(goal.terms)
    targets = {
        name: goal.targets[name] if name in goal.targets else term.init({CONTENT: seen})
        for name, term in goal.terms
    }
    weights = goal.weights
    if goal.is_relative:
        weights = weights._replace(parts=_relative(goal, targets, seen))
    return terms.of_targets(goal.feature_fn, made, targets), weights


def _relative(goal: Goal, targets: Mapping[str, Any], seen: View) -> dict[str, Array]:
    """As `terms.relative`, for a photograph that is traced."""
    zeros = jax.tree.map(jnp.zeros_like, dict(seen.features))
    # Of features that are constants of the program XLA:CPU computes Gram matrices that are not a
    # number, in one process and not in the next (jaxlib 0.12, 2026-11).
    nothing = seen._replace(features=jax.lax.optimization_barrier(zeros))
    parts = dict(goal.weights.parts)
    for name, term in goal.terms:
        if term.layers:
            scale = term.losses_of(targets[name], nothing)
            parts[name] = parts[name] / jnp.where(scale > 0, scale, 1)
    return parts
