"""Optimizers as rows of one table, made of optax gradient transformations.

A row, `Optimizer`, says all that the rest of the library asks of an optimizer; nobody asks for one
by its name. Adam, RMSprop, Adagrad, gradient descent and L-BFGS are here; a row of your own does as
well.

Notation: x is the image, g the gradient of the total loss, lr the learning rate, eps `epsilon`, t
the number of the step, counted from 1. All operations are elementwise. A learning rate is a
scalar (), positive unless said otherwise, and may be traced; images and gradients are float32 of
any shape, here (h, w, 3).

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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from nst_jax.choices import OptimizerForm, OptimizerName, check_choice
from nst_jax.scalars import is_number

TransformationFn = Callable[[Any], optax.GradientTransformation]
"""From a learning rate (), which may be traced, to a transformation."""

OptState = Any
"""The state of a transformation for one image: a pytree of arrays."""

Schedule = Callable[[Any], Any]
"""From a step, which is traced, to a learning rate, as those of `optax`."""

EPSILON = 1e-7
"""Keras's default in all three."""

_MEMORY = 10

# In words, and as a test, what a constant of an optimizer may be.
_Range = tuple[str, Callable[[float], bool]]
_BELOW_1: _Range = ("from 0 to below 1", lambda x: 0 <= x < 1)
_RANGES: dict[str, _Range] = {
    "beta_1": _BELOW_1,
    "beta_2": _BELOW_1,
    "decay": _BELOW_1,
    "epsilon": ("above 0", lambda x: 0 < x < np.inf),
    "initial": ("0 or more", lambda x: 0 <= x < np.inf),
    "memory": ("a whole number from 1 to 1000", lambda x: 1 <= x <= 1000 and x == round(x)),
}
_CONSTANTS: dict[str, tuple[str, ...]] = {
    "adam": ("beta_1", "beta_2", "epsilon"),
    "rmsprop": ("decay", "epsilon"),
    "adagrad": ("initial", "epsilon"),
    "sgd": (),
    "lbfgs": ("memory",),
}


def cold(fresh: OptState, old: OptState) -> OptState:
    """Begins anew at the new size: nothing is taken along. See `Optimizer.resize`.

    Args:
      fresh: the state of an optimizer that begins with the resized image.
      old: the state with which it ended at the size before.

    Returns:
      `fresh`.
    """
    del old
    return fresh


def warm(fresh: OptState, old: OptState) -> OptState:
    """Goes on at the new size: what has the image's shape is resized. See `Optimizer.resize`.

    Counts go on, and so does the correction of moments' bias. Interpolation is linear, so that
    second moments stay positive. Not for L-BFGS: the products of its differences are those of the
    size before.

    Args:
      fresh: as `cold`.
      old: as `cold`.

    Returns:
      `old` in the shapes of `fresh`.

    References:
      Crowson, style-transfer-pytorch, 2021, carries the moments of Adam so, the first ones by cubic
      interpolation.
    """
    return jax.tree.map(_resized, fresh, old)


def _resized(like: Array, old: Array) -> Array:
    if like.shape == old.shape:
        return old
    return jax.image.resize(old, like.shape, "linear", precision=jax.lax.Precision.HIGHEST)


class Optimizer(NamedTuple):
    """What a step asks of an optimizer.

    It is a static argument of compiled programs: hashable, and equal to another one of equal
    parts. One made of the same function again compiles nothing.

    Attributes:
      transformation: from a learning rate () to an optax transformation of one image.
      has_rate: whether the rate is used. Without one a sweep needs no rates, a schedule is
        ignored, and logs say 0.
      line_search: whether an update evaluates the objective to find out how far to go. Pixels are
        then clipped at the end of the run alone, variants run one after another, and on a CPU from
        Python (`lbfgs_from_python`). The state has a field `num_linesearch_steps`, as those of
        both of optax's line searches.
      resize: `(fresh, old) -> state`, the state to go on from once the image has another size.
        `fresh` is `init` of the resized image, `old` the state at the size before. The result has
        the structure, shapes and types of `fresh`. Pure, for one image without a leading axis.
        `cold` begins anew, `warm` takes the state along.
      average: the factor d in [0, 1) of the average (`averages`) of its images that a run ends
        with; None: a run ends with the last image.
    """

    transformation: TransformationFn
    has_rate: bool = True
    line_search: bool = False
    resize: Callable[[OptState, OptState], OptState] = cold
    average: float | None = None


def adam(
    learning_rate: float | Array,
    *,
    form: OptimizerForm = "keras",
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = EPSILON,
) -> optax.GradientTransformation:
    """Adam.

    m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  with m', v' their bias corrected values

    - `keras`:  x -= lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps)
    - `report`: x -= lr m' / sqrt(v' + eps)

    Args:
      learning_rate: positive, (); may be traced.
      form: "keras" or "report".
      beta_1: of the mean of g, from 0 to below 1.
      beta_2: of the mean of g^2, likewise.
      epsilon: positive.

    Returns:
      A transformation of images of any shape.

    Raises:
      ValueError: an unknown form; the message lists the valid ones.

    References:
      Kingma, Ba, "Adam: A Method for Stochastic Optimization", 2014: `keras` is the variant at
      the end of section 2 ("epsilon hat"), which no option of `optax.adam` gives.
    """
    if _is_keras(form):
        # optax.adam corrects the bias first, and has no option to add epsilon before that.
        return optax.chain(
            _scale_by_adam_epsilon_hat(beta_1, beta_2, epsilon),
            optax.scale_by_learning_rate(learning_rate),
        )
    return optax.adam(learning_rate, b1=beta_1, b2=beta_2, eps=0.0, eps_root=epsilon)


def rmsprop(
    learning_rate: float | Array,
    *,
    form: OptimizerForm = "keras",
    decay: float = 0.9,
    epsilon: float = EPSILON,
) -> optax.GradientTransformation:
    """RMSprop.

    v = decay v + (1 - decay) g^2

    - `keras`:  x -= lr g / sqrt(v + eps)
    - `report`: x -= lr g / (sqrt(v) + eps)

    Args:
      learning_rate: positive, (); may be traced.
      form: "keras" or "report".
      decay: of the mean of g^2, from 0 to below 1.
      epsilon: positive.

    Returns:
      A transformation of images of any shape.

    Raises:
      ValueError: an unknown form; the message lists the valid ones.

    References:
      Tieleman, Hinton, "Lecture 6.5: RMSProp", 2012.
    """
    return optax.rmsprop(learning_rate, decay=decay, eps=epsilon, eps_in_sqrt=_is_keras(form))


def adagrad(
    learning_rate: float | Array,
    *,
    form: OptimizerForm = "keras",
    initial: float | None = None,
    epsilon: float = EPSILON,
) -> optax.GradientTransformation:
    """Adagrad.

    G = G + g^2

    - `keras`:  x -= lr g / sqrt(G + eps), G_0 = 0.1
    - `report`: x -= lr g / (sqrt(G) + eps), G_0 = 0

    Args:
      learning_rate: positive, (); may be traced.
      form: "keras" or "report".
      initial: G_0, 0 or more; None: that of the form.
      epsilon: positive.

    Returns:
      A transformation of images of any shape.

    Raises:
      ValueError: an unknown form; the message lists the valid ones.

    References:
      Duchi, Hazan, Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic
      Optimization", 2011.
    """
    if _is_keras(form):
        # optax has epsilon inside the root, as Keras has, and no option to move it out.
        start = 0.1 if initial is None else initial
        return optax.adagrad(learning_rate, initial_accumulator_value=start, eps=epsilon)
    return optax.chain(
        _scale_by_root_of_sum(initial or 0.0, epsilon), optax.scale_by_learning_rate(learning_rate)
    )


def sgd(
    learning_rate: float | Array, *, form: OptimizerForm = "keras"
) -> optax.GradientTransformation:
    """Plain gradient descent, x -= lr g: the report's "general update rule". One form only.

    Under the report's weights only rates near 1e-10 to 1e-8 descend.

    Args:
      learning_rate: positive, (); may be traced.
      form: "keras" or "report": the same.

    Returns:
      A transformation of images of any shape.

    Raises:
      ValueError: an unknown form; the message lists the valid ones.
    """
    check_choice("form", form, OptimizerForm)
    return optax.sgd(learning_rate)


def lbfgs(*, memory: int = _MEMORY) -> optax.GradientTransformationExtraArgs:
    """L-BFGS with optax's zoom line search; it has no learning rate.

    x += a d, where d = -H g, H is the inverse Hessian that the last differences of x and g let
    expect, and a is a step, 1 at first, that fulfils the strong Wolfe conditions (after twenty
    tries, the best so far).

    Its `update` needs `value`, `grad` and `value_fn`. Where jit is disabled, so that the line
    search runs from Python (see `lbfgs_from_python`), the direction is compiled all the same.

    Args:
      memory: how many differences are kept, each of two images.

    Returns:
      A transformation of images of any shape.

    References:
      Liu, Nocedal, "On the limited memory BFGS method for large scale optimization", 1989.
      Nocedal, Wright, "Numerical Optimization", 2006, algorithms 3.5 and 3.6: the line search.
    """
    direction = optax.lbfgs(memory_size=memory, linesearch=None)

    def update(updates, state, params, **unused):
        del unused
        # The direction takes hundreds of small operations: one by one they cost more than jit does.
        with jax.disable_jit(False):
            return _lbfgs_direction(updates, state, params, memory=memory)

    # 1 is the step of Newton's method: the first try fits wherever the curvature is known.
    return optax.chain(
        optax.GradientTransformationExtraArgs(direction.init, update),
        optax.scale_by_zoom_linesearch(max_linesearch_steps=20, initial_guess_strategy="one"),
    )


# Not inside `lbfgs`, which is made anew in each step: jit finds its programs by the function.
@partial(jax.jit, static_argnames="memory")
def _lbfgs_direction(updates, state, params, *, memory):
    return optax.lbfgs(memory_size=memory, linesearch=None).update(updates, state, params)


def _lbfgs_of_rate(
    learning_rate: Any, *, form: OptimizerForm = "keras", memory: float = _MEMORY
) -> optax.GradientTransformationExtraArgs:
    del learning_rate, form
    return lbfgs(memory=int(memory))


_TABLE = {
    "adam": Optimizer(adam),
    "rmsprop": Optimizer(rmsprop),
    "adagrad": Optimizer(adagrad),
    "sgd": Optimizer(sgd),
    "lbfgs": Optimizer(_lbfgs_of_rate, has_rate=False, line_search=True),
}


def named(
    name: str,
    *,
    form: OptimizerForm = "keras",
    constants: Mapping[str, float] = MappingProxyType({}),
) -> Optimizer:
    """The optimizer of that name, form and constants, the same object each time.

    Args:
      name: one of `choices.OptimizerName`.
      form: "keras" or "report"; gradient descent and L-BFGS have one form only.
      constants: by name, of `constants_of`; the others have the defaults of the functions here.

    Returns:
      What a step asks of it. Rates are the argument of its `transformation`.

    Raises:
      ValueError: an unknown name, form or constant, the message lists the valid ones; a constant
        out of range.
    """
    check_choice("optimizer", name, OptimizerName)
    check_choice("form", form, OptimizerForm)
    for constant, value in constants.items():
        check_constant(constant, value, (name,))
    return _made(name, form, tuple(sorted(constants.items())))


# Made once: compiled programs are found by equality, and a `partial` is equal to itself alone.
@cache
def _made(name: str, form: OptimizerForm, constants: tuple[tuple[str, float], ...]) -> Optimizer:
    row = _TABLE[name]
    rule: Any = row.transformation
    return row._replace(transformation=partial(rule, form=form, **dict(constants)))


def constants_of(name: str) -> tuple[str, ...]:
    """The constants of an optimizer that can be set; of gradient descent none.

    Args:
      name: one of `choices.OptimizerName`.
    """
    return _CONSTANTS[name]


def check_constant(constant: str, value: float, optimizers: Sequence[str]) -> None:
    """Refuses a constant that none of some optimizers has, or a value out of its range.

    Args:
      constant: its name.
      value: what it shall be.
      optimizers: names of `choices.OptimizerName`.

    Raises:
      ValueError: one line, which lists the constants that there are.
    """
    valid = {name: constants_of(name) for name in dict.fromkeys(optimizers)}
    if not any(constant in each for each in valid.values()):
        there_are = "; ".join(
            f"{name}: {', '.join(each) or 'none'}" for name, each in valid.items()
        )
        raise ValueError(f"there is no constant {constant!r} here; there are of {there_are}")
    words, is_valid = _RANGES[constant]
    # Programs compute in float32, where 1e-50 is 0 and 1 - 1e-9 is 1.
    with np.errstate(over="ignore", under="ignore"):
        rounded = float(np.float32(value))
    if not is_valid(rounded):
        raise ValueError(f"the constant {constant} must be {words}, got {value!r}")


def averaged(optimizer: Optimizer, factor: float | None) -> Optimizer:
    """The optimizer whose runs end with an average of their images, see `averages.update`.

    Args:
      optimizer: any.
      factor: d in [0, 1); None: the optimizer as it is.

    Raises:
      ValueError: the factor is none.
    """
    if factor is None:
        return optimizer
    if not (is_number(factor) and 0 <= factor < 1):
        raise ValueError(f"the average must have a factor from 0 up, below 1, got {factor!r}")
    return optimizer._replace(average=float(factor))


_WANTED = "`optimizer` must be a name or a function from a learning rate to a transformation"
_BY_NAME = "; L-BFGS goes by its name, optimizer='lbfgs'"


def as_optimizer(optimizer: OptimizerName | TransformationFn | Optimizer) -> Optimizer:
    """What a caller may give for an optimizer, as an `Optimizer`.

    Args:
      optimizer: a name of `choices.OptimizerName`; a function from a learning rate to a
        transformation, which is taken for one with a rate and without a line search; or an
        `Optimizer`.

    Returns:
      The optimizer; for the same argument an equal one.

    Raises:
      ValueError: an unknown name; a transformation that has its rate already, or anything else
        that is no function; a line search whose state does not count its steps.
    """
    if isinstance(optimizer, str):
        return named(optimizer)
    if not isinstance(optimizer, Optimizer):
        optimizer = Optimizer(optimizer)
    made = _made_by(optimizer.transformation)
    if optimizer.line_search:
        _check_counts_its_steps(made)
    return averaged(optimizer, optimizer.average)


def _made_by(transformation: TransformationFn) -> optax.GradientTransformation:
    """What the function gives for some rate, checked."""
    # The commonest mistake, because optax's own loops want it so.
    if isinstance(transformation, optax.GradientTransformation):
        raise ValueError(
            f"{_WANTED}, got a transformation: give optimizer=optax.adam, learning_rate=0.02 in "
            "place of optimizer=optax.adam(0.02)"
        )
    if not callable(transformation):
        raise ValueError(f"{_WANTED}, got {type(transformation).__name__}")
    try:
        made = transformation(jnp.float32(0.02))
    # Python's for a wrong number of arguments; any other error is the function's own affair.
    except TypeError as error:
        raise ValueError(f"{_WANTED}, got one that takes no rate: {error}{_BY_NAME}") from error
    if not (hasattr(made, "init") and hasattr(made, "update")):
        raise ValueError(f"{_WANTED}, got one that gives {type(made).__name__}")
    return made


def _check_counts_its_steps(made: optax.GradientTransformation) -> None:
    state = jax.eval_shape(made.init, jax.ShapeDtypeStruct((1, 1, 3), jnp.float32))
    if optax.tree.get(state, "num_linesearch_steps") is None:
        raise ValueError(
            "an optimizer with `line_search` must have `num_linesearch_steps` in its state, as "
            "optax.lbfgs() has; this one has not: leave `line_search` out"
        )


@dataclass(frozen=True)
class Scheduled:
    """The `TransformationFn` whose rate follows a schedule; its learning rate is a factor on it.

    rate of step t = learning_rate schedule(t - 1)

    Equal parts make equal functions, so that the same ones again are not compiled again.

    Attributes:
      transformation: from a learning rate () to a transformation.
      schedule: from the number of steps done () to a rate.
    """

    transformation: TransformationFn
    schedule: Schedule

    def __call__(self, learning_rate: Array) -> optax.GradientTransformationExtraArgs:
        # optax goes by the argument's name: `rate` here, whatever the function calls it.
        def of_rate(rate: Array) -> optax.GradientTransformation:
            return self.transformation(rate)

        return optax.inject_hyperparams(of_rate)(
            rate=lambda count: learning_rate * self.schedule(count)
        )


def scheduled(
    optimizer: OptimizerName | TransformationFn | Optimizer, schedule: Schedule, *, num_steps: int
) -> Optimizer:
    """The optimizer with its rate from a schedule; one that has no rate, as it is.

    Args:
      optimizer: as that of `as_optimizer`.
      schedule: from the number of steps done (), which is traced, to a rate from 0 up.
      num_steps: of the run.

    Returns:
      An optimizer whose own learning rate is a factor on that of the schedule.

    Raises:
      ValueError: as `as_optimizer`; a rate is no number from 0 up, or the schedule asks for the
        value of a step.
    """
    made = as_optimizer(optimizer)
    _check_schedule(schedule, num_steps)
    if not made.has_rate:
        return made
    transformation = Scheduled(made.transformation, schedule)
    return made._replace(transformation=transformation, resize=_ScheduledResize(made.resize))


@dataclass(frozen=True)
class _ScheduledResize:
    """`Optimizer.resize` under a schedule, which counts the steps of all sizes.

    Attributes:
      resize: of the optimizer itself.
    """

    resize: Callable[[OptState, OptState], OptState]

    def __call__(self, fresh: Any, old: Any) -> Any:
        inner = self.resize(fresh.inner_state, old.inner_state)
        # A new state would begin at the schedule's first rate again.
        return old._replace(inner_state=inner)


def _check_schedule(schedule: Schedule, num_steps: int) -> None:
    try:
        _check_rate(schedule(0), 0)
        # All steps at once, because a bad rate of the last one would spoil the whole run.
        rates = np.asarray(jax.vmap(schedule)(jnp.arange(num_steps)))
    # JAX's for a tracer that is asked for its value, as `if step < 9` does.
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


def _is_keras(form: str) -> bool:
    check_choice("form", form, OptimizerForm)
    return form == "keras"


def _scale_by_adam_epsilon_hat(
    b1: float, b2: float, epsilon: float
) -> optax.GradientTransformation:
    """Keras's Adam: epsilon is added to the root of the second moment before its correction.

    m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
    update = sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps)
    """

    def init(params):
        zeros = optax.tree.zeros_like(params)
        return optax.ScaleByAdamState(count=jnp.zeros([], jnp.int32), mu=zeros, nu=zeros)

    def update(updates, state, params=None):
        del params
        mu = optax.tree.update_moment(updates, state.mu, b1, 1)
        nu = optax.tree.update_moment(updates, state.nu, b2, 2)
        count = state.count + 1
        # As Keras computes it: 1 - b2^t keeps five digits in float32 at first.
        correction = jnp.sqrt(1 - b2**count) / (1 - b1**count)
        updates = jax.tree.map(lambda m, v: correction * m / (jnp.sqrt(v) + epsilon), mu, nu)
        return updates, optax.ScaleByAdamState(count=count, mu=mu, nu=nu)

    return optax.GradientTransformation(init, update)


def _scale_by_root_of_sum(initial: float, epsilon: float) -> optax.GradientTransformation:
    """The report's Adagrad: g / (sqrt(G) + eps), where optax has epsilon inside the root."""

    def init(params):
        start = jax.tree.map(lambda x: jnp.full_like(x, initial), params)
        return optax.ScaleByRssState(sum_of_squares=start)

    def update(updates, state, params=None):
        del params
        sums = jax.tree.map(lambda g, s: s + g * g, updates, state.sum_of_squares)
        # A pixel that never had a gradient stays where it is: 0 / (0 + eps) is 0.
        updates = jax.tree.map(lambda g, s: g / (jnp.sqrt(s) + epsilon), updates, sums)
        return updates, optax.ScaleByRssState(sum_of_squares=sums)

    return optax.GradientTransformation(init, update)
