"""Adam, RMSprop, Adagrad, gradient descent and L-BFGS as optax gradient transformations.

The three optimizers that the report compares come in two forms, because the rules it prints
(section 4.3) are not the ones its program ran (Keras's):

| form    | `keras` (default: what was run)                 | `report` (what was printed)       |
|---------|-------------------------------------------------|-----------------------------------|
| Adam    | epsilon beside the root, before bias correction | epsilon inside the root, after it |
| RMSprop | epsilon inside the root                         | epsilon beside the root           |
| Adagrad | epsilon inside the root, G_0 = 0.1              | epsilon beside the root, G_0 = 0  |

At the gradients of this problem under the report's weights the forms agree to 4e-7 in a pixel;
with small weights or losses of another scale they differ from the first step on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from nst_jax.choices import OptimizerForm, OptimizerName, check_choice
from nst_jax.scalars import is_number

OptimizerFactory = Callable[[Array], optax.GradientTransformation]
"""From a learning rate, which may be traced, to a transformation."""

Schedule = Callable[[Any], Any]
"""From a step, which is traced, to a learning rate, as those of `optax`."""

EPSILON = 1e-7
"""Keras's default in all three."""


def adam(
    learning_rate: float | Array, *, form: OptimizerForm = "keras"
) -> optax.GradientTransformation:
    """Adam with beta_1 = 0.9, beta_2 = 0.999.

    m = 0.9 m + 0.1 g;  v = 0.999 v + 0.001 g^2;  with m', v' their bias corrected values

    - `keras`:  x -= lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps)
    - `report`: x -= lr m' / sqrt(v' + eps)

    Args:
      learning_rate: positive; may be traced.
      form: "keras" or "report".

    References:
      Kingma, Ba, "Adam: A Method for Stochastic Optimization", 2014: `keras` is the variant at
      the end of section 2 ("epsilon hat"), which no option of `optax.adam` gives.
    """
    if _is_keras(form):
        return optax.chain(
            _scale_by_adam_epsilon_hat(), optax.scale_by_learning_rate(learning_rate)
        )
    return optax.adam(learning_rate, b1=0.9, b2=0.999, eps=0.0, eps_root=EPSILON)


def rmsprop(
    learning_rate: float | Array, *, form: OptimizerForm = "keras"
) -> optax.GradientTransformation:
    """RMSprop with decay 0.9.

    v = 0.9 v + 0.1 g^2

    - `keras`:  x -= lr g / sqrt(v + eps)
    - `report`: x -= lr g / (sqrt(v) + eps)

    Args:
      learning_rate: positive; may be traced.
      form: "keras" or "report".

    References:
      Tieleman, Hinton, "Lecture 6.5: RMSProp", 2012.
    """
    return optax.rmsprop(learning_rate, decay=0.9, eps=EPSILON, eps_in_sqrt=_is_keras(form))


def adagrad(
    learning_rate: float | Array, *, form: OptimizerForm = "keras"
) -> optax.GradientTransformation:
    """Adagrad.

    G = G + g^2

    - `keras`:  x -= lr g / sqrt(G + eps), G_0 = 0.1
    - `report`: x -= lr g / (sqrt(G) + eps), G_0 = 0

    Args:
      learning_rate: positive; may be traced.
      form: "keras" or "report".

    References:
      Duchi, Hazan, Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic
      Optimization", 2011.
    """
    if _is_keras(form):
        return optax.adagrad(learning_rate, initial_accumulator_value=0.1, eps=EPSILON)
    return optax.chain(_scale_by_root_of_sum(), optax.scale_by_learning_rate(learning_rate))


def sgd(
    learning_rate: float | Array, *, form: OptimizerForm = "keras"
) -> optax.GradientTransformation:
    """Plain gradient descent, x -= lr g: the report's "general update rule". One form only.

    Under the report's weights only rates near 1e-10 to 1e-8 descend.
    """
    check_choice("form", form, OptimizerForm)
    return optax.sgd(learning_rate)


def lbfgs() -> optax.GradientTransformationExtraArgs:
    """L-BFGS with optax's zoom line search, as `optax.lbfgs`; it has no learning rate.

    Its `update` needs `value`, `grad` and `value_fn`. Where jit is disabled, to run the line
    search from Python (see `driver`), the direction is compiled all the same.

    References:
      Liu, Nocedal, "On the limited memory BFGS method for large scale optimization", 1989.
    """
    direction = optax.lbfgs(memory_size=10, linesearch=None)

    def update(updates, state, params, **unused):
        del unused
        with jax.disable_jit(False):
            return _lbfgs_direction(updates, state, params)

    return optax.chain(
        optax.GradientTransformationExtraArgs(direction.init, update),
        optax.scale_by_zoom_linesearch(max_linesearch_steps=20, initial_guess_strategy="one"),
    )


@jax.jit
def _lbfgs_direction(updates, state, params):
    return optax.lbfgs(memory_size=10, linesearch=None).update(updates, state, params)


_FIRST_ORDER = {"adam": adam, "rmsprop": rmsprop, "adagrad": adagrad, "sgd": sgd}


@cache
def factory(name: OptimizerName, *, form: OptimizerForm = "keras") -> OptimizerFactory:
    """The optimizer of that name and form as a function of its learning rate.

    The same object for the same arguments: it is a static argument of compiled programs.
    L-BFGS ignores the rate.

    Raises:
      ValueError: an unknown name or form; the message lists the valid ones.
    """
    check_choice("optimizer", name, OptimizerName)
    check_choice("form", form, OptimizerForm)
    if name == "lbfgs":
        return _lbfgs_without_rate
    return partial(_FIRST_ORDER[name], form=form)


_WANTED = "`optimizer` must be a name or a function from a learning rate to a transformation"
_BY_NAME = "; L-BFGS goes by its name, optimizer='lbfgs'"


def as_factory(optimizer: OptimizerName | OptimizerFactory) -> OptimizerFactory:
    """The optimizer of that name, or the function itself.

    Raises:
      ValueError: an unknown name; a transformation that has its rate already, or anything else
        that is no function.
    """
    if isinstance(optimizer, str):
        return factory(optimizer)
    if isinstance(optimizer, optax.GradientTransformation):
        raise ValueError(
            f"{_WANTED}, got a transformation: give optimizer=optax.adam, learning_rate=0.02 in "
            "place of optimizer=optax.adam(0.02)"
        )
    if not callable(optimizer):
        raise ValueError(f"{_WANTED}, got {type(optimizer).__name__}")
    if not isinstance(optimizer, Scheduled):
        _check_makes_transformations(optimizer)
    return optimizer


def _check_makes_transformations(optimizer: OptimizerFactory) -> None:
    try:
        made = optimizer(jnp.float32(0.02))
    except TypeError as error:
        raise ValueError(f"{_WANTED}, got one that takes no rate: {error}{_BY_NAME}") from error
    if not (hasattr(made, "init") and hasattr(made, "update")):
        raise ValueError(f"{_WANTED}, got one that gives {type(made).__name__}")


@dataclass(frozen=True)
class Scheduled:
    """An optimizer whose rate follows a schedule; its learning rate is a factor on it.

    Equal parts make equal optimizers, so that the same ones again are not compiled again.

    Attributes:
      factory: the optimizer as a function of its learning rate.
      schedule: from the number of steps done to a rate.
    """

    factory: OptimizerFactory
    schedule: Schedule

    def __call__(self, learning_rate: Array) -> optax.GradientTransformationExtraArgs:
        def of_rate(rate: Array) -> optax.GradientTransformation:
            return self.factory(rate)

        return optax.inject_hyperparams(of_rate)(
            rate=lambda count: learning_rate * self.schedule(count)
        )


def scheduled(
    optimizer: OptimizerName | OptimizerFactory, schedule: Schedule, *, num_steps: int
) -> OptimizerFactory:
    """The optimizer with its rate from a schedule; L-BFGS, which has no rate, as it is.

    Args:
      optimizer: a name, or a function from a learning rate to a transformation.
      schedule: from the number of steps done, which is traced, to a rate.
      num_steps: of the run.

    Raises:
      ValueError: as `as_factory`; a rate is no number from 0 up, or the schedule asks for the value
        of a step.
    """
    made = as_factory(optimizer)
    _check_schedule(schedule, num_steps)
    return made if is_lbfgs(made) else Scheduled(made, schedule)


def _check_schedule(schedule: Schedule, num_steps: int) -> None:
    try:
        _check_rate(schedule(0), 0)
        rates = np.asarray(jax.vmap(schedule)(jnp.arange(num_steps)))
    except TypeError as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            "`learning_rate` must be a number or a function of a step that JAX can trace "
            f"(jnp.where in place of if): {reason}"
        ) from error
    for step in np.flatnonzero(~((rates >= 0) & (rates < np.inf)))[:1]:
        _check_rate(rates[step].item(), step)


def _check_rate(rate: Any, step: int) -> None:
    if not (is_number(rate) and 0 <= float(rate) < np.inf):
        raise ValueError(
            "`learning_rate` must be a number or a function from a step to a number, 0 or more; "
            f"for step {step} it gives {rate!r:.100}"
        )


def _lbfgs_without_rate(learning_rate: Array) -> optax.GradientTransformationExtraArgs:
    del learning_rate
    return lbfgs()


def is_lbfgs(factory: OptimizerFactory) -> bool:
    """Whether the steps of this optimizer hold a line search."""
    return factory is _lbfgs_without_rate


def _is_keras(form: str) -> bool:
    check_choice("form", form, OptimizerForm)
    return form == "keras"


def _scale_by_adam_epsilon_hat(b1: float = 0.9, b2: float = 0.999) -> optax.GradientTransformation:
    """Keras's Adam: epsilon is added to the root of the second moment before its correction."""

    def init(params):
        zeros = optax.tree.zeros_like(params)
        return optax.ScaleByAdamState(count=jnp.zeros([], jnp.int32), mu=zeros, nu=zeros)

    def update(updates, state, params=None):
        del params
        mu = optax.tree.update_moment(updates, state.mu, b1, 1)
        nu = optax.tree.update_moment(updates, state.nu, b2, 2)
        count = state.count + 1
        correction = jnp.sqrt(1 - b2**count) / (1 - b1**count)
        updates = jax.tree.map(lambda m, v: correction * m / (jnp.sqrt(v) + EPSILON), mu, nu)
        return updates, optax.ScaleByAdamState(count=count, mu=mu, nu=nu)

    return optax.GradientTransformation(init, update)


def _scale_by_root_of_sum() -> optax.GradientTransformation:
    """The report's Adagrad: g / (sqrt(G) + eps), where optax has epsilon inside the root."""

    def init(params):
        return optax.ScaleByRssState(sum_of_squares=optax.tree.zeros_like(params))

    def update(updates, state, params=None):
        del params
        sums = jax.tree.map(lambda g, s: s + g * g, updates, state.sum_of_squares)
        updates = jax.tree.map(lambda g, s: g / (jnp.sqrt(s) + EPSILON), updates, sums)
        return updates, optax.ScaleByRssState(sum_of_squares=sums)

    return optax.GradientTransformation(init, update)
