"""Ways down a loss: optimizers that run alone, and what else brings an image there sooner.

A way shows its image from time to time, and goes on for as long as whoever looks says so.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float
from scipy import optimize

from nst_jax import driver, optimizers, steps
from nst_jax import image as images
from nst_jax.compiler import Program
from nst_jax.optimizers import Optimizer
from nst_jax.terms import Objective, Weights

EVERY = 10
"""Evaluations between two looks at the image, about: a line search is not cut short."""
MEMORY = 20
"""Differences of gradients that the forms of L-BFGS with bounds keep: ten take more evaluations."""


class Problem(NamedTuple):
    """What is minimised from where.

    `coarse` makes the problem of the same pictures at half the size.
    """

    objective: Objective
    weights: Weights
    start: Float[np.ndarray, "h w 3"]
    coarse: "Callable[[], Problem]"

    @property
    def pixels(self) -> int:
        return self.start.shape[0] * self.start.shape[1]


class Place(NamedTuple):
    """An image in [0, 1], and the evaluations of the gradient that led there.

    Those of a coarse problem count by their pixels.
    """

    image: Float[np.ndarray, "h w 3"]
    evaluations: float


Look = Callable[[Place], bool]
"""Sees where a way has come to, and says whether to go on."""

Way = Callable[[Problem, int, Look], Place]
"""From a problem, at most so many evaluations (of each size), and who looks."""


def stepping(optimizer: Optimizer, rate: float = 0.0) -> Way:
    """The library's own steps: `driver.run_chunks`.

    Args:
      optimizer: of the steps.
      rate: ignored by an optimizer that has none.
    """

    def way(problem: Problem, budget: int, look: Look) -> Place:
        hyper = steps.single(steps.Hyperparameters(rate, problem.weights))
        state = steps.init_state(problem.start[None], optimizer, hyper)
        place = Place(problem.start, 0)
        for chunk in driver.run_chunks(
            problem.objective,
            hyper,
            state,
            optimizer=optimizer,
            num_steps=budget,
            chunk_length=EVERY,
        ):
            evaluations = place.evaluations + int(chunk.history.evaluations.sum())
            place = Place(driver.pictures(chunk.state)[0], evaluations)
            if not look(place) or evaluations >= budget:
                break
        return place

    return way


def cosine(length: int) -> Optimizer:
    """Adam whose rate falls to 0 along half a cosine within so many steps.

    Source: Loshchilov and Hutter (2017), "SGDR: Stochastic Gradient Descent with Warm Restarts".
    """
    decay = optax.scale_by_schedule(optax.cosine_decay_schedule(1.0, length))
    return Optimizer(lambda rate: optax.chain(optimizers.adam(rate), decay))


def bounded(problem: Problem, budget: int, look: Look) -> Place:
    """L-BFGS-B: pixels stay in [0, 1] on the way, and the curvature is of those that may move.

    Source: Byrd, Lu, Nocedal and Zhu (1995), "A limited memory algorithm for bound constrained
    optimization", in SciPy.
    """
    spent, place = 0, Place(problem.start, 0)

    def evaluate(pixels: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal spent
        spent += 1
        image = pixels.reshape(problem.start.shape).astype(np.float32)
        (total, _), gradient = _evaluate(problem.objective, image, problem.weights)
        return float(total), np.asarray(gradient, np.float64).ravel()

    def go_on(pixels: np.ndarray) -> bool:
        nonlocal place
        image = np.clip(pixels.reshape(problem.start.shape).astype(np.float32), 0, 1)
        place = Place(image, spent)
        return look(place) and spent < budget

    def callback(intermediate_result: optimize.OptimizeResult) -> None:
        if spent - place.evaluations >= min(EVERY, budget) and not go_on(intermediate_result.x):
            raise StopIteration

    ended = optimize.minimize(
        evaluate,
        problem.start.ravel().astype(np.float64),
        jac=True,
        method="L-BFGS-B",
        bounds=optimize.Bounds(0, 1),
        callback=callback,
        # It shall end when the look says so, not when it finds that little is gained.
        options={"maxcor": MEMORY, "maxfun": 2 * budget, "ftol": 0, "gtol": 0},
    )
    if spent > place.evaluations:
        go_on(ended.x)
    return place


_evaluate = Program(steps.evaluate)


def projected(problem: Problem, budget: int, look: Look) -> Place:
    """L-BFGS on the pixels that may move: those at a bound that would leave it stay there.

    The direction is optax's for the gradient of the others; the step along it is clipped to
    [0, 1], and shortened until the loss falls enough (Armijo). Compiled, a step takes next to
    nothing beside an evaluation, while that of L-BFGS-B takes as long as one.

    Source: Bertsekas (1982), "Projected Newton methods for optimization problems with simple
    constraints"; Schmidt, Kim and Sra (2011), "Projected Newton-type methods in machine learning".
    """
    spent, place = 1, Place(problem.start, 0)
    image, memory = jnp.asarray(problem.start), _direction_of.init(problem.start)
    (total, _), gradient = _evaluate(problem.objective, image, problem.weights)
    while spent < budget:
        direction, memory = _downhill(image, gradient, memory)
        step = 1.0
        while spent < budget:
            moved, slope = _move(image, direction, step, gradient)
            (new, _), new_gradient = _evaluate(problem.objective, moved, problem.weights)
            spent += 1
            if new <= total + _ENOUGH * slope:
                image, total, gradient = moved, new, new_gradient
                break
            if step < _SHORTEST:  # along the gradient alone the next step has to find something
                memory = _direction_of.init(image)
                break
            # Where the parabola through both losses is lowest.
            step *= float(np.clip(-slope / (2 * (new - total - slope)), 0.1, 0.5))
        if spent - place.evaluations >= EVERY or spent >= budget:
            place = Place(np.asarray(image), spent)
            if not look(place):
                break
    return place


# The part of the fall that the slope promises.
_ENOUGH = 1e-4
_SHORTEST = 1e-4
_direction_of = optax.lbfgs(memory_size=MEMORY, linesearch=None)


@jax.jit
def _downhill(image, gradient, memory):
    free = ~((image <= 0) & (gradient > 0) | (image >= 1) & (gradient < 0))
    direction, memory = _direction_of.update(jnp.where(free, gradient, 0), memory, image)
    return jnp.where(free, direction, 0), memory


@jax.jit
def _move(image, direction, step, gradient):
    moved = jnp.clip(image + step * direction, 0, 1)
    return moved, jnp.vdot(gradient, moved - image)


def coarse_to_fine(way: Way, evaluations: int) -> Way:
    """A way on the coarse problem for so many evaluations, then on from its image enlarged."""

    def both(problem: Problem, budget: int, look: Look) -> Place:
        coarse = problem.coarse()
        image, spent = way(coarse, min(evaluations, budget), lambda place: True)
        spent *= coarse.pixels / problem.pixels
        start = Place(images.resize(image, *problem.start.shape[:2]), spent)
        if not look(start):
            return start

        def with_coarse(place: Place) -> Place:
            return place._replace(evaluations=spent + place.evaluations)

        fine = problem._replace(start=start.image)
        return with_coarse(way(fine, budget, lambda place: look(with_coarse(place))))

    return both
