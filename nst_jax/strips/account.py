"""What steps in strips take: their programs compiled, and the memory at its fullest moment."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.tree_util import Partial

from nst_jax import terms
from nst_jax.optimizers import Optimizer
from nst_jax.steps import Hyperparameters, State, evaluate
from nst_jax.strips import from_python, measuring, stepping
from nst_jax.strips.measuring import Cut, Measured
from nst_jax.strips.sections import Strip, strips_of
from nst_jax.terms import Objective


def compile_all(
    objective: Objective, hyper: Hyperparameters, state: State, *, optimizer: Optimizer
) -> int:
    """Compiles the programs of the steps, which then find them.

    Args:
      objective: of `in_strips`; shapes are enough, as for all that follows.
      hyper: leading axis v.
      state: leading axis v.
      optimizer: static.

    Returns:
      Bytes at the fullest moment of a step, arguments included, by the compiler's own account.

    Raises:
      RuntimeError: the compiler for this device does not tell.
    """
    image, weights = _of_one_lane((state.image, hyper.weights))
    whole, rows = stepping.opened(objective)
    moments = [*_evaluation(whole, image, weights, rows)]
    if not optimizer.line_search:
        evaluated = jax.eval_shape(evaluate, whole, image, weights)
        count = state.image.shape[0]
        lanes = jax.tree.map(lambda x: _shape((count, *x.shape), x.dtype), evaluated)
        update = stepping.jit_update.lower(
            lanes, hyper.learning_rate, state, _shape((), np.int32), optimizer=optimizer
        )
        moments.append(_bytes(lanes) + temporary_bytes(update.compile()))
    return _bytes((objective, hyper, state)) + max(moments)


def temporary_bytes(compiled: jax.stages.Compiled) -> int:
    """What a program takes beside its arguments and its result.

    Raises:
      RuntimeError: the compiler for this device does not tell.
    """
    analysis = compiled.memory_analysis()
    if analysis is None:
        raise RuntimeError("the compiler for this device does not tell what a program takes")
    return int(analysis.temp_size_in_bytes)


def _shape(shape: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def _of_one_lane(tree: Any) -> Any:
    return jax.tree.map(lambda x: _shape(x.shape[1:], x.dtype), tree)


def _bytes(tree: Any) -> int:
    return sum(int(np.prod(x.shape)) * np.dtype(x.dtype).itemsize for x in jax.tree.leaves(tree))


def _evaluation(whole: Partial, image: Any, weights: Any, rows: int) -> Iterator[int]:
    """Bytes of each moment of an evaluation, beside the objective and the state."""
    own = {name: term for name, term in terms.terms_of(whole).items() if term.layers}
    targets = terms.targets_of(whole)
    cuts = measuring.cuts_of(terms.feature_fn_of(whole), own) if own else []
    inputs, found = [jax.eval_shape(from_python.prepare, whole, image)], []
    for cut in cuts:
        found.append(_shapes_of_section(cut, targets, inputs[-1], rows))
        inputs.append(found[-1][1].output)
    sums = measuring.merged([each for each, _ in found], own)
    maps = measuring.merged_maps(found)
    between = from_python.jit_between.lower(whole, image, sums, maps, weights)
    # The lane's image is cut out of the state, and the pixels have a gradient of their own.
    pictures = 2 * _bytes(image)
    yield pictures + _bytes(inputs) + temporary_bytes(between.compile())
    cotangents = between.out_info[1]
    for i, cut in enumerate(cuts):
        of_measured = from_python.cotangents_of_cut(cut, cotangents, inputs[i + 1])
        there = pictures + _bytes(inputs[: i + 1]) + _bytes(found[i])
        yield there + _most_of_section(cut, targets, inputs[i], found[i], of_measured, rows)
    finish = from_python.jit_finish.lower(whole, image, inputs[0] if cuts else None, image)
    yield pictures + _bytes(inputs[0]) + temporary_bytes(finish.compile())


def _shapes_of_section(cut: Cut, targets: Mapping[str, Any], x: Any, rows: int) -> Measured:
    length, _ = strips_of(cut.section, x.shape[0], rows)
    begin = partial(from_python.begin, **cut.static(length))
    return jax.eval_shape(begin, cut.network, from_python.targets_of_cut(cut, targets), x)


def _most_of_section(
    cut: Cut,
    targets: Mapping[str, Any],
    x: Any,
    found: Measured,
    of_measured: Measured,
    rows: int,
) -> int:
    """Temporary bytes of the passes over a section, with the gradient by its input."""
    length, _ = strips_of(cut.section, x.shape[0], rows)
    static, strip = cut.static(length), Strip(0, 0, 0)
    arguments = cut.network, from_python.targets_of_cut(cut, targets), x, strip
    first = from_python.jit_forward.lower(found, *arguments, **static)
    second = from_python.jit_backward.lower(x, *arguments, of_measured, **static)
    return max(temporary_bytes(first.compile()), _bytes(x) + temporary_bytes(second.compile()))
