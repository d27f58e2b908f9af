"""What a TPU would be given: the step and the scanned chunk, lowered for it on a CPU.

`jax.export` traces and lowers without a device. That XLA's TPU compiler takes the program, and
how fast it is, only a TPU can tell.
"""

import re
from collections import Counter
from functools import partial
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from nst_jax import driver, objective, optimizers, vgg
from nst_jax.choices import CONTENT_LAYERS, STYLE_LAYERS, OptimizerName

LANES, SHAPE, LENGTH = 2, (32, 48, 3), 5
CONVOLUTIONS = [layer.name for layer in vgg.architecture("vgg19") if layer.kind == "conv"]
PROGRAMS = [
    *[("scan", optimizer) for optimizer in get_args(OptimizerName)],
    ("step", "adam"),
    ("step", "lbfgs"),
]


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def problem(request, vgg_params):
    """(precision, objective as shapes, weights): VGG19 with the report's layers."""
    feature_fn = vgg.feature_fn(
        vgg_params, (*STYLE_LAYERS, *CONTENT_LAYERS), precision=request.param
    )
    compute = partial(
        objective.compute_targets, content_layers=CONTENT_LAYERS, style_layers=STYLE_LAYERS
    )
    targets = jax.eval_shape(compute, feature_fn, *[jax.ShapeDtypeStruct(SHAPE, np.float32)] * 2)
    return (
        request.param,
        objective.make_objective(feature_fn, targets),
        objective.make_weights(targets),
    )


def lower(kind, loss, weights, name):
    """The program of a driver, exported for a TPU, and the state that it is for."""
    optimizer = optimizers.named(name)
    hyper, state = driver.abstract_lanes(LANES, SHAPE, weights, optimizer=optimizer)
    arguments = (loss, hyper, state, jax.ShapeDtypeStruct((), np.int32))
    program, static = {
        "scan": (driver._jit_scan.jitted, {"optimizer": optimizer, "length": LENGTH}),
        "step": (driver._jit_step.jitted, {"optimizer": optimizer}),
    }[kind]
    return export.export(program, platforms=["tpu"])(*arguments, **static), state


def lines_with(operation, exported):
    return [line for line in exported.mlir_module().splitlines() if operation in line]


def operands(line):
    """The element types of an operation's two operands and of its result."""
    return re.search(
        r": \(tensor<\S+x(\w+)>, tensor<\S+x(\w+)>\) -> tensor<\S+x(\w+)>", line
    ).groups()


@pytest.mark.parametrize(("kind", "optimizer"), PROGRAMS)
def test_a_program_is_lowered_for_a_tpu(problem, kind, optimizer):
    _, loss, weights = problem
    exported, state = lower(kind, loss, weights, optimizer)
    assert exported.platforms == ("tpu",)
    next_state, history = jax.tree.unflatten(exported.out_tree, exported.out_avals)
    shapes = partial(jax.tree.map, lambda x: (x.shape, x.dtype))
    assert shapes(next_state) == shapes(state)
    rows = (LENGTH, LANES) if kind == "scan" else (LANES,)
    assert history.terms.total.shape == rows
    assert history.terms.parts["style"].shape == (*rows, len(STYLE_LAYERS))
    # Custom calls are code for one platform (LAPACK's), or a way back to Python in every step.
    assert lines_with("custom_call", exported) == []
    assert bool(lines_with("stablehlo.while", exported)) == (
        kind == "scan" or optimizers.named(optimizer).line_search
    )


def test_every_convolution_has_the_precision_asked_for(problem):
    """A TPU multiplies in bfloat16 unless told: "float32" has to say so of each."""
    precision, loss, weights = problem
    exported, _ = lower("step", loss, weights, "adam")
    convolutions = lines_with("stablehlo.convolution", exported)
    # Forward up to the deepest layer, and back to the image.
    count = 2 * (1 + max(map(CONVOLUTIONS.index, (*CONTENT_LAYERS, *STYLE_LAYERS))))
    assert len(convolutions) == count
    assert all(line.count("#stablehlo<precision HIGHEST>") == 2 for line in convolutions)
    # The first layer sees raw pixels: it is never in bfloat16.
    low = count - 2 if precision == "bfloat16" else 0
    expected = Counter({("f32",) * 3: count - low, ("bf16",) * 3: low})
    assert Counter(map(operands, convolutions)) == expected


def test_gram_matrices_are_summed_in_float32(problem):
    precision, loss, weights = problem
    exported, _ = lower("step", loss, weights, "adam")
    products = lines_with("stablehlo.dot_general", exported)
    assert len(products) == 2 * len(STYLE_LAYERS), "forward and back"
    grams = [line for line in products if re.search(r"-> tensor<2x(\d+)x\1xf32>", line)]
    assert len(grams) == len(STYLE_LAYERS)
    for line in products:
        if operands(line)[:2] == ("f32", "f32"):
            assert "precision = [HIGHEST, HIGHEST]" in line
    low = [line for line in grams if operands(line)[:2] == ("bf16", "bf16")]
    # The first layer's features are float32 always.
    assert len(low) == (len(STYLE_LAYERS) - 1 if precision == "bfloat16" else 0)


def test_this_way_of_looking_finds_a_custom_call():
    """Of a decomposition on a CPU, which is LAPACK's."""
    exported = export.export(jax.jit(jnp.linalg.eigh), platforms=["cpu"])(
        jax.ShapeDtypeStruct((3, 3), np.float32)
    )
    assert lines_with("custom_call", exported)
