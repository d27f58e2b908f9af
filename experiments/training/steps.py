"""Steps of a training: one program, its state, and the file that both go on from."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from nst_jax import feedforward
from nst_jax.choices import Precision
from nst_jax.compiler import Program
from nst_jax.feedforward import Architecture
from nst_jax.system import environment, files
from nst_jax.terms import Losses
from training.problem import Goal, objective_of

SCHEMA = "nst_jax.training"


class State(NamedTuple):
    """What a training goes on from: parameters of the network, and of its optimizer."""

    params: Any
    optimizer: Any


class Recorded(NamedTuple):
    """A training so far.

    Attributes:
      state: after its last step.
      rows: means over the photographs of each step by name, the steps first: "total", terms, their
        parts as "style/0", and "seconds".
    """

    state: State
    rows: dict[str, np.ndarray]

    @property
    def steps(self) -> int:
        """Those that are done."""
        return len(self.rows["total"])


def begun(seed: int, architecture: Architecture, optimizer: optax.GradientTransformation) -> State:
    """The state before the first step."""
    params = feedforward.init_params(seed, architecture)
    return State(params, optimizer.init(params))


def stepping(
    optimizer: optax.GradientTransformation, architecture: Architecture, precision: Precision
) -> Callable[[State, Goal, Array], tuple[State, Losses]]:
    """The program of a step: (state, goal, photographs (b, h, w, 3)) -> state, mean losses.

    Args:
      optimizer: of the parameters.
      architecture: of the network.
      precision: of the network's convolutions.
    """

    def loss(params: Any, goal: Goal, photographs: Array) -> tuple[Array, Losses]:
        painted = feedforward.paint(params, photographs, architecture, precision=precision)
        totals, found = jax.vmap(_loss_of, (None, 0, 0))(goal, photographs, painted)
        return jnp.mean(totals), jax.tree.map(lambda each: jnp.mean(each, axis=0), found)

    def train(state: State, goal: Goal, photographs: Array) -> tuple[State, Losses]:
        gradient, found = jax.grad(loss, has_aux=True)(state.params, goal, photographs)
        updates, own = optimizer.update(gradient, state.optimizer, state.params)
        return State(optax.apply_updates(state.params, updates), own), found

    return Program(train, donate_argnums=0)


def _loss_of(goal: Goal, photograph: Array, painted: Array) -> tuple[Array, Losses]:
    objective, weights = objective_of(goal, photograph)
    return objective(painted, weights)


def row_of(found: Losses, seconds: float) -> dict[str, float]:
    """The numbers of a step by name: the total, terms, parts by their places, and seconds."""
    parts = {
        f"{name}/{i}": float(each)
        for name, own in found.parts.items()
        for i, each in enumerate(own)
        if len(own) > 1
    }
    terms = {name: float(each) for name, each in found.terms.items()}
    return {"total": float(found.total), **terms, **parts, "seconds": seconds}


def save(path: Path, recorded: Recorded, settings: Mapping[str, Any]) -> None:
    """Writes a training, whole or not at all: its log, and the state that goes with it.

    Args:
      path: the file (HDF5).
      recorded: so far.
      settings: as plain values.
    """
    with files.replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update({**environment.describe(), "schema": SCHEMA})
        file.attrs["settings_json"] = json.dumps(settings)
        for name, values in recorded.rows.items():
            file[f"rows/{name.replace('/', ':')}"] = values
        for i, leaf in enumerate(jax.tree.leaves(recorded.state)):
            file[f"state/{i}"] = np.asarray(leaf)


def load(path: Path, like: State, settings: Mapping[str, Any]) -> Recorded:
    """Reads a training that goes on.

    Args:
      path: of `save`; one's own: it is not read as a stranger's.
      like: a state of the same structure.
      settings: that it must have been started with.

    Raises:
      ValueError: it is of other settings, or no training; one line.
    """
    with h5py.File(path, "r") as file:
        if file.attrs.get("schema") != SCHEMA:
            raise ValueError(f"{path} is no training: give another --output")
        _check_same(path, json.loads(file.attrs["settings_json"]), settings)
        rows = {name.replace(":", "/"): values[()] for name, values in file["rows"].items()}
        leaves, structure = jax.tree.flatten(like)
        read = [jnp.asarray(file[f"state/{i}"][()]) for i in range(len(leaves))]
    return Recorded(jax.tree.unflatten(structure, read), rows)


def _check_same(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for name in {**before, **now}:
        if before.get(name) != now.get(name):
            raise ValueError(
                f"{path} was trained with {name} {before.get(name)}, not {now.get(name)}: give the "
                "same settings, another --output, or --fresh"
            )


def appended(rows: Mapping[str, np.ndarray], new: list[dict[str, float]]) -> dict[str, np.ndarray]:
    """Rows with those of further steps behind them."""
    if not new:
        return dict(rows)
    return {
        name: np.concatenate([rows.get(name, np.zeros(0)), [row[name] for row in new]])
        for name in new[0]
    }
