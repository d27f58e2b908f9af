"""Programs that take the same optimisation steps, each in a process of its own: the benchmark's.

    python experiments/contenders.py NAME PROBLEM.npz --variants 1 --precision float32

PROBLEM.npz holds the pictures `content` and `style` (RGB in [0, 1]) and the weights, `kernel/LAYER`
and `bias/LAYER`. The process answers in lines of JSON: first, without being asked, how long it took
to get ready, the total before the first step and the device; then to each number on its standard
input the seconds a step of so many steps; at the end of the input its peak memory and, if it is
ours, the rate of a matrix product. TensorFlow and PyTorch are imported only by their own
contenders.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

CONTENT_LAYER = "block5_conv2"
STYLE_LAYERS = tuple(f"block{block}_conv1" for block in range(1, 6))
CONTENT_WEIGHT, STYLE_WEIGHT = 1e4, 1e-2
LEARNING_RATE = 0.02
BLOCKS = (2, 2, 4, 4, 2)
"""Convolutions of each block, up to the content layer."""
MEAN_BGR = (103.939, 116.779, 123.68)

Steps = tuple[Callable[[], Any], int]
"""Takes some steps and returns the last total, which may still be under way; how many they are."""


def nst_jax(problem: dict[str, np.ndarray], variants: int, precision: str) -> Steps:
    """Ours: the library's own driver, step by step on a CPU, in scanned chunks elsewhere."""
    import jax
    import jax.numpy as jnp

    from nst_jax import backend, compiler, driver, objective, optimizers, vgg

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
    loss = objective.make_objective(feature_fn, targets)
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


def tensorflow(problem: dict[str, np.ndarray], variants: int, precision: str) -> Steps:
    """The report's program (Chapter 6): `tf.function`, Keras's VGG19 and Adam, a clip."""
    del variants, precision
    import tensorflow as tf

    # What is called float32 is float32.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    vgg = tf.keras.applications.VGG19(include_top=False, weights=None)
    vgg.trainable = False
    for layer in layers():
        vgg.get_layer(layer).set_weights([problem[f"kernel/{layer}"], problem[f"bias/{layer}"]])
    names = (*STYLE_LAYERS, CONTENT_LAYER)
    model = tf.keras.Model([vgg.input], [vgg.get_layer(name).output for name in names])

    def extract(image):
        *style, content = model(tf.keras.applications.vgg19.preprocess_input(image * 255.0))
        grams = [
            tf.linalg.einsum("bijc,bijd->bcd", x, x)
            / tf.cast(tf.shape(x)[1] * tf.shape(x)[2], tf.float32)
            for x in style
        ]
        return grams, content

    wanted = extract(tf.constant(problem["style"][None]))[0]
    kept = extract(tf.constant(problem["content"][None]))[1]
    image = tf.Variable(problem["content"][None])
    optimizer = tf.keras.optimizers.Adam(learning_rate=LEARNING_RATE)

    @tf.function
    def train_step():
        with tf.GradientTape() as tape:
            grams, content = extract(image)
            style = tf.add_n(
                [tf.reduce_mean((a - b) ** 2) for a, b in zip(grams, wanted, strict=True)]
            )
            loss = CONTENT_WEIGHT * tf.reduce_mean((content - kept) ** 2)
            loss += STYLE_WEIGHT / len(STYLE_LAYERS) * style
        optimizer.apply_gradients([(tape.gradient(loss, image), image)])
        image.assign(tf.clip_by_value(image, 0.0, 1.0))
        return loss

    return train_step, 1


def torch(problem: dict[str, np.ndarray], variants: int, precision: str) -> Steps:
    """PyTorch, eager, channels last; bfloat16 by autocast, TF32 by its switch."""
    return _torch(problem, precision, compiled=False)


def torch_compile(problem: dict[str, np.ndarray], variants: int, precision: str) -> Steps:
    """The same under `torch.compile`."""
    return _torch(problem, precision, compiled=True)


def _torch(problem: dict[str, np.ndarray], precision: str, *, compiled: bool) -> Steps:
    import torch
    import torch.nn.functional as F

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = True

    def on_device(array):
        return torch.tensor(np.ascontiguousarray(array), device=device)

    def as_image(array):
        image = on_device(array.transpose(2, 0, 1)[None])
        return image.to(memory_format=torch.channels_last)

    mean = torch.tensor(MEAN_BGR, device=device).reshape(1, 3, 1, 1)
    weights = {
        layer: (
            on_device(problem[f"kernel/{layer}"].transpose(3, 2, 0, 1)).to(
                memory_format=torch.channels_last
            ),
            on_device(problem[f"bias/{layer}"]),
        )
        for layer in layers()
    }

    def gram_of(flat):
        # Products in the layer's own precision, sums and result in float32, as ours.
        with torch.autocast(device, enabled=False):
            return (flat @ flat.transpose(1, 2)).float() / flat.shape[2]

    def extract(image):
        x, grams = image.flip(1) * 255 - mean, []
        for block, count in enumerate(BLOCKS, start=1):
            for conv in range(1, count + 1):
                name = f"block{block}_conv{conv}"
                x = F.relu(F.conv2d(x, *weights[name], padding=1))
                if name in STYLE_LAYERS:
                    grams.append(gram_of(x.flatten(2)))
            if block < len(BLOCKS):
                x = F.max_pool2d(x, 2)
        return grams, x.float()

    def loss_of(image):
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
            grams, content = extract(image)
        style = sum(F.mse_loss(a, b) for a, b in zip(grams, wanted, strict=True))
        return CONTENT_WEIGHT * F.mse_loss(content, kept) + STYLE_WEIGHT / len(grams) * style

    with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
        wanted = extract(as_image(problem["style"]))[0]
        kept = extract(as_image(problem["content"]))[1]
    image = as_image(problem["content"]).requires_grad_()
    optimizer = torch.optim.Adam([image], lr=LEARNING_RATE, eps=1e-7)
    loss_of = torch.compile(loss_of) if compiled else loss_of

    def step():
        optimizer.zero_grad()
        loss = loss_of(image)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            image.clamp_(0, 1)
        return loss.detach()

    return step, 1


CONTENDERS = {each.__name__: each for each in (nst_jax, tensorflow, torch, torch_compile)}


def layers() -> list[str]:
    """Names of the convolutions up to the content layer."""
    return [
        f"block{block}_conv{conv}"
        for block, count in enumerate(BLOCKS, start=1)
        for conv in range(1, count + 1)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=CONTENDERS)
    parser.add_argument("problem")
    parser.add_argument("--variants", type=int, default=1)
    parser.add_argument("--precision", default="float32")
    arguments = parser.parse_args()
    with np.load(arguments.problem) as arrays:
        problem = dict(arrays)
    began = time.perf_counter()
    step, length = CONTENDERS[arguments.name](problem, arguments.variants, arguments.precision)
    first = float(step())
    answer(
        ready=time.perf_counter() - began,
        total=first if length == 1 else None,
        device=device_of(arguments.name),
    )
    for line in sys.stdin:
        calls = -(-int(line) // length)
        began = time.perf_counter()
        for _ in range(calls):
            last = step()
        float(last)
        answer(seconds_a_step=(time.perf_counter() - began) / (calls * length))
    ours = arguments.name == "nst_jax"
    answer(
        peak_bytes=device_peak(arguments.name) or host_peak(),
        matmul_rate=matmul_rate(arguments.precision) if ours else None,
    )


def host_peak() -> int | None:
    """Of this process alone: `getrusage` would count its parent's as well."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def matmul_rate(precision: str) -> float:
    """FLOPs a second of a large matrix product by JAX on this device: the median of several."""
    import jax
    import jax.numpy as jnp

    from nst_jax import backend, compiler

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


def device_of(name: str) -> str:
    """cpu or gpu (tpu), as the framework would have it."""
    if name == "nst_jax":
        from nst_jax import backend

        return backend.platform()
    if name == "tensorflow":
        import tensorflow as tf

        return "gpu" if tf.config.list_physical_devices("GPU") else "cpu"
    import torch

    return "gpu" if torch.cuda.is_available() else "cpu"


def device_peak(name: str) -> int | None:
    """Of an accelerator, where the framework tells."""
    if name == "nst_jax":
        from nst_jax import backend

        return (backend.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    if name.startswith("torch"):
        import torch

        return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    return None


def answer(**values: float | None) -> None:
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    main()
