"""Ours: the library's own driver, step by step on a CPU, in scanned chunks elsewhere."""

import time
from statistics import median

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax import backend, compiler, driver, objective, optimizers, terms, vgg
from timing.problem import CONTENT_LAYER, LEARNING_RATE, STYLE_LAYERS, Problem, Steps, layers


def steps(problem: Problem, variants: int, precision: str) -> Steps:
    """Steps of Adam with so many learning rates at once."""
    targets, loss = _objective_of(problem, precision)
    weights = objective.make_weights(targets, total_variation=0.0)
    rates = np.linspace(LEARNING_RATE, LEARNING_RATE / 2, variants, dtype=np.float32)
    hyper = jax.tree.map(
        lambda *lanes: jnp.stack([jnp.asarray(lane, jnp.float32) for lane in lanes]),
        *(driver.Hyperparameters(rate, weights) for rate in rates),
    )
    optimizer = optimizers.named("adam")
    start = np.repeat(problem["content"][None], variants, axis=0)
    state = driver.init_state(start, optimizer, hyper)
    length = 1 if backend.platform() == "cpu" else 20
    chunks = driver.run_chunks(
        loss, hyper, state, optimizer=optimizer, num_steps=driver.MAX_STEPS, chunk_length=length
    )
    return (lambda: next(chunks).history.terms.total[-1, 0]), length


def _objective_of(
    problem: Problem, precision: str
) -> tuple[objective.ReportTargets, terms.Objective]:
    params = {
        layer: {"kernel": problem[f"kernel/{layer}"], "bias": problem[f"bias/{layer}"]}
        for layer in layers()
    }
    feature_fn = vgg.feature_fn(
        params,
        (*STYLE_LAYERS, CONTENT_LAYER),
        precision=precision,
        convolutions=vgg.fastest_convolutions(precision),
    )
    targets = compiler.Program(
        objective.compute_targets, static_argnames=("content_layers", "style_layers", "convention")
    )(
        feature_fn,
        problem["content"],
        problem["style"],
        content_layers=(CONTENT_LAYER,),
        style_layers=STYLE_LAYERS,
    )
    return targets, objective.make_objective(feature_fn, targets)


def device() -> str:
    """cpu, gpu or tpu."""
    return backend.platform()


def peak_bytes() -> int | None:
    """Of an accelerator."""
    return (backend.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")


def matmul_rate(precision: str) -> float:
    """FLOPs a second of a large matrix product on this device: the median of several."""
    size = 2048 if backend.platform() == "cpu" else 8192
    dtype = jnp.bfloat16 if precision == "bfloat16" else jnp.float32
    how = {"float32": "highest", "tf32": "high", "bfloat16": "default"}[precision]
    a, b = (jax.random.normal(jax.random.key(i), (size, size), dtype) for i in range(2))
    product = compiler.Program(lambda a, b: jnp.matmul(a, b, precision=how))
    product(a, b).block_until_ready()
    times = []
    for _ in range(7):
        began = time.perf_counter()
        product(a, b).block_until_ready()
        times.append(time.perf_counter() - began)
    return 2 * size**3 / median(times)
