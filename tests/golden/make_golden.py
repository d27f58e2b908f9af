"""Makes the golden files of the tests with TensorFlow, an oracle independent of this library.

The program below is that of the report (Chapter 6, which follows the TensorFlow tutorial on
neural style transfer): VGG19 to ``block5_conv2``, Gram matrices over the number of locations,
means of squares, content weight 1e4, style weight 1e-2 averaged over five layers, no total
variation, Keras 3 optimizers, and a clip to [0, 1] after every update.

Versions that made the present files: TensorFlow 2.21.0, Keras 3.15.1, numpy 2.4.6, Pillow 13.0.0,
Python 3.11 (each file's own: ``meta``).

How to run (in a virtual environment of its own: tensorflow-cpu and pillow)::

    python tests/golden/make_golden.py updates
    python tests/golden/make_golden.py random
    python tests/golden/make_golden.py vgg16
    python tests/golden/make_golden.py vgg16-real --weights PATH
    python tests/golden/make_golden.py check
    python tests/golden/make_golden.py real --weights PATH --content PATH --style PATH

``random`` and ``check`` read the bundled painting and draw the weights (see ``random_weights``);
``real`` reads a Keras "notop" weight file and two pictures, ``vgg16-real`` one of VGG16. Each
writes NAME.npz beside this script (``check.npz``, which the package brings, into
``nst_jax/check/``), or into ``--out FOLDER``.

Arrays of ``real.npz`` and ``random.npz`` (float32 pictures are RGB in [0, 1]; o is an optimizer):

- ``meta``: versions, settings, date and command, as JSON.
- ``content`` (61, 75, 3), ``style`` (54, 70, 3): uint8 pictures. The program sees them / 255.
- ``noise`` (61, 75, 3): ``RandomState(1).uniform``, as float32.
- ``activation_names``, ``activation_mean``, ``activation_std``, ``activation_scale`` (16,): the
  convolutions after their ReLU at ``noise``; float64 mean, standard deviation, largest value.
- ``content_loss`` (), ``style_layers`` (5,), ``style_layer_losses`` (5,): unweighted, at ``noise``.
- ``total`` (), ``gradient`` (61, 75, 3): the weighted total at ``noise`` and its gradient.
- ``path_steps`` (6,), ``path/o/images`` (6, 61, 75, 3), ``path/o/totals`` (6,): Keras's own images
  after so many steps at rate 0.02 from the content picture, and the total at these images.
- ``free/START/o`` (40,): total before update 0 .. 39, from START ``content`` or ``noise``; rates in
  ``RATES``. ``free/START_no_onednn/o``: the same by a process without oneDNN.
- ``pooling/image``, ``pooling/total``, ``pooling/gradient``: a saturated picture with two flat
  colors, where max pooling meets ties. ``pooling_no_onednn/...``: the same without oneDNN.

Arrays of ``vgg16.npz`` and ``vgg16-real.npz`` (VGG16 with random and with ImageNet's weights):
``noise`` and the activations as above, of 13 convolutions; ``deepest`` (3, 4, 512): that of
``block5_conv3``; ``parameters`` (): their number.

Arrays of ``check.npz`` (VGG19 with random weights), for `nst-jax check`:

- ``content`` (37, 45, 3), ``style`` (35, 41, 3), ``noise`` (37, 45, 3): uint8 pictures. No
  flat region: how max pooling resolves its ties depends on the device.
- ``layers`` (6,), ``scale`` (6,), ``features/LAYER`` (channels,): the program's layers, the largest
  value of each at ``noise``, and its channels at the middle location.
- ``content_loss``, ``style_layers``, ``style_layer_losses``, ``total``, ``gradient``: as above.

Arrays of ``updates.npz`` (update rules alone; S is a gradient scale: 1e-6, 1e-3, 1 or 1e4):

- ``x0`` (64,), ``gradients/S`` (40, 64): start and recorded gradients, float32.
- ``o/S`` (40, 64): x after each update of optimizer o at rate 0.02, not clipped.
"""

import argparse
import datetime
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

# Both are read once, when TensorFlow is imported. oneDNN is not on by default on every machine.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import PIL
import tensorflow as tf
from PIL import Image

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "nst_jax" / "check"
PAINTING = HERE.parents[1] / "nst_jax" / "data" / "painting.png"

STYLE_LAYERS = [f"block{block}_conv1" for block in range(1, 6)]
CONTENT_LAYER = "block5_conv2"
CONTENT_WEIGHT = 1e4
STYLE_WEIGHT = 1e-2

CONTENT_SIZE = (75, 61)  # Pillow's order: width, height; odd, so that pooling drops an edge
STYLE_SIZE = (70, 54)
CHECK_SIZES = ((45, 37), (41, 35))  # of the small ones that the package brings

NUM_STEPS = 40
PATH_STEPS = (0, 1, 2, 5, 20, 39)
RATES = {
    "content": {"adam": 0.02, "rmsprop": 0.02, "adagrad": 0.02},
    "noise": {"adam": 0.02, "rmsprop": 0.001, "adagrad": 0.02},
}
OPTIMIZERS = {
    "adam": keras.optimizers.Adam,
    "rmsprop": keras.optimizers.RMSprop,
    "adagrad": keras.optimizers.Adagrad,
    "sgd": keras.optimizers.SGD,
}
NAMES = ("real", "random", "vgg16", "vgg16-real", "updates", "check")
GRADIENT_SCALES = ("1e-6", "1e-3", "1", "1e4")


def conv_names(vgg):
    """Names of the convolutions, shallowest first."""
    return [layer.name for layer in vgg.layers if "_conv" in layer.name]


def random_weights(vgg):
    """Draws He-scaled kernels and small biases for every convolution, in order."""
    rng = np.random.RandomState(0)
    for name in conv_names(vgg):
        layer = vgg.get_layer(name)
        shape = tuple(layer.kernel.shape)
        std = np.float32(np.sqrt(2 / (9 * shape[2])))
        kernel = rng.standard_normal(shape).astype(np.float32) * std
        bias = rng.standard_normal(shape[3:]).astype(np.float32) * np.float32(0.1)
        layer.set_weights([kernel, bias])


def load_vgg(weights):
    """VGG19 without its head, from the weight file at `weights` or with random weights if None."""
    vgg = tf.keras.applications.VGG19(include_top=False, weights=weights)
    vgg.trainable = False
    if weights is None:
        random_weights(vgg)
    return vgg


def vgg_layers(vgg, names):
    """Model from a network input to the activations of `names`."""
    return tf.keras.Model([vgg.input], [vgg.get_layer(name).output for name in names])


def preprocess(image):
    """RGB in [0, 1], with or without a batch axis, to a batch of network input."""
    batch = tf.reshape(image, tf.concat([[-1], tf.shape(image)[-3:]], 0))
    return tf.keras.applications.vgg19.preprocess_input(batch * 255.0)


def gram_matrix(features):
    """Inner products of the channels over the number of locations, as in the report."""
    result = tf.linalg.einsum("bijc,bijd->bcd", features, features)
    shape = tf.shape(features)
    return result / tf.cast(shape[1] * shape[2], tf.float32)


class Program:
    """The report's program: extractor, targets, total and train step."""

    def __init__(self, vgg, content, style):
        """Computes the targets of the float32 pictures `content` and `style`."""
        self.extractor = vgg_layers(vgg, [*STYLE_LAYERS, CONTENT_LAYER])
        self.content_target = self.extract(content)[1]
        self.style_targets = self.extract(style)[0]

    def extract(self, image):
        """Gram matrices of the style layers, and the content activation."""
        *style, content = self.extractor(preprocess(image))
        return [gram_matrix(features) for features in style], content

    def terms(self, image):
        """Unweighted content loss (), style loss of each layer (5,), and the total ()."""
        grams, content = self.extract(image)
        content_loss = tf.reduce_mean((content - self.content_target) ** 2)
        pairs = zip(grams, self.style_targets, strict=True)
        style_losses = tf.stack([tf.reduce_mean((gram - target) ** 2) for gram, target in pairs])
        style_loss = tf.add_n(tf.unstack(style_losses)) * (STYLE_WEIGHT / len(STYLE_LAYERS))
        return content_loss, style_losses, style_loss + CONTENT_WEIGHT * content_loss

    @tf.function
    def evaluate(self, image):
        """The terms at `image`, and the gradient of the total."""
        with tf.GradientTape() as tape:
            tape.watch(image)
            terms = self.terms(image)
        return *terms, tape.gradient(terms[-1], image)

    def make_train_step(self, optimizer, variable):
        """The report's train step: returns the total before the update."""
        optimizer.build([variable])

        @tf.function
        def train_step():
            with tf.GradientTape() as tape:
                loss = self.terms(variable)[-1]
            grad = tape.gradient(loss, variable)
            optimizer.apply_gradients([(grad, variable)])
            variable.assign(tf.clip_by_value(variable, 0.0, 1.0))
            return loss

        return train_step

    def run(self, optimizer, start):
        """Runs `NUM_STEPS` steps; returns their totals and the images after `PATH_STEPS` steps."""
        variable = tf.Variable(start)
        train_step = self.make_train_step(optimizer, variable)
        totals, images = [], []
        for step in range(NUM_STEPS):
            if step in PATH_STEPS:
                images.append(variable.numpy())
            totals.append(train_step().numpy())
        return np.stack(totals), np.stack(images)


def saturated(content):
    """`content` at six times its contrast, its left third painted in two flat colors."""
    image = np.clip((content - 0.5) * 6 + 0.5, 0, 1).astype(np.float32)
    height, width, _ = image.shape
    image[: height // 2, : width // 3] = (0.8, 0.3, 0.2)
    image[height // 2 :, : width // 3] = (0.1, 0.4, 0.9)
    return image


def as_float(picture):
    """A uint8 picture as float32 in [0, 1]."""
    return picture.astype(np.float32) / np.float32(255)


def load_pictures(args, sizes=(CONTENT_SIZE, STYLE_SIZE)):
    """The uint8 pictures `content` and `style` at two sizes."""
    if args.name == "real":
        content, style = Image.open(args.content), Image.open(args.style)
    else:
        style = Image.open(PAINTING)
        content = style.crop((0, 0, style.width * 2 // 3, style.height * 2 // 3))
    content, style = (
        np.asarray(picture.convert("RGB").resize(size, Image.Resampling.LANCZOS))
        for picture, size in zip((content, style), sizes, strict=True)
    )
    return {"content": content, "style": style}


def noise_image():
    """Uniform noise of the content picture's size."""
    width, height = CONTENT_SIZE
    return np.random.RandomState(1).uniform(size=(height, width, 3)).astype(np.float32)


def activation_arrays(vgg, image):
    """Statistics in float64 of the float32 activations of all convolutions at `image`."""
    names = conv_names(vgg)
    activations = vgg_layers(vgg, names)(preprocess(image))
    values = [activation.numpy().astype(np.float64) for activation in activations]
    return {
        "activation_names": np.array(names),
        "activation_mean": np.array([value.mean() for value in values]),
        "activation_std": np.array([value.std() for value in values]),
        "activation_scale": np.array([np.abs(value).max() for value in values]),
    }


def noise_arrays(program, image):
    """Losses and gradient at `image`."""
    content_loss, style_losses, total, gradient = program.evaluate(tf.constant(image))
    return {
        "noise": image,
        "content_loss": content_loss.numpy(),
        "style_layers": np.array(STYLE_LAYERS),
        "style_layer_losses": style_losses.numpy(),
        "total": total.numpy(),
        "gradient": gradient.numpy(),
    }


def pooling_arrays(program, content):
    """Total and gradient at the saturated picture."""
    image = saturated(content)
    *_, total, gradient = program.evaluate(tf.constant(image))
    return {
        "pooling/image": image,
        "pooling/total": total.numpy(),
        "pooling/gradient": gradient.numpy(),
    }


def total_at(program, image):
    """The total at one float32 picture."""
    return program.evaluate(tf.constant(image))[2].numpy()


def trace_arrays(program, starts):
    """Free traces from each start, and the images on the way from the content picture."""
    arrays = {"path_steps": np.array(PATH_STEPS)}
    for start, rates in RATES.items():
        for name, rate in rates.items():
            totals, images = program.run(OPTIMIZERS[name](learning_rate=rate), starts[start])
            arrays[f"free/{start}/{name}"] = totals
            if start == "content":
                arrays[f"path/{name}/images"] = images
                arrays[f"path/{name}/totals"] = np.stack(
                    [total_at(program, image) for image in images]
                )
    return arrays


def without_onednn(key):
    """Name of array `key` made without oneDNN: free/noise/adam to free/noise_no_onednn/adam."""
    return "_no_onednn/".join(key.rsplit("/", 1))


def arrays_without_onednn(args):
    """Runs this command again without oneDNN; returns its traces and pooling arrays."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, *sys.argv[1:], "--out", folder, "--no-onednn"]
        subprocess.run(command, env=os.environ | {"TF_ENABLE_ONEDNN_OPTS": "0"}, check=True)
        with np.load(Path(folder) / f"{args.name}.npz") as arrays:
            return {
                without_onednn(key): arrays[key]
                for key in arrays.files
                if key.startswith(("free/", "pooling/"))
            }


def network_arrays(args):
    """All arrays of ``real.npz`` or ``random.npz``."""
    vgg = load_vgg(args.weights if args.name == "real" else None)
    pictures = load_pictures(args)
    content, style = as_float(pictures["content"]), as_float(pictures["style"])
    noise = noise_image()
    program = Program(vgg, content, style)
    arrays = pictures | activation_arrays(vgg, noise) | noise_arrays(program, noise)
    arrays |= pooling_arrays(program, content)
    arrays |= trace_arrays(program, {"content": content, "noise": noise})
    return arrays if args.no_onednn else arrays | arrays_without_onednn(args)


def vgg16_arrays(weights=None):
    """All arrays of ``vgg16.npz``, or with a weight file of ``vgg16-real.npz``."""
    vgg = tf.keras.applications.VGG16(include_top=False, weights=weights)
    if weights is None:
        random_weights(vgg)
    noise = noise_image()
    deepest = vgg_layers(vgg, conv_names(vgg)[-1:])(preprocess(noise))
    return activation_arrays(vgg, noise) | {
        "noise": noise,
        "deepest": np.asarray(deepest[0] if isinstance(deepest, list) else deepest)[0],
        "parameters": np.array(vgg.count_params()),
    }


def recorded_gradients(index):
    """Gradients (40, 64) of scale number `index`, with exact zeros."""
    gradients = np.random.RandomState(2 + index).standard_normal((NUM_STEPS, 64))
    gradients[:, 5] = 0  # a coordinate that never moves
    gradients[0, 10:13] = 0  # one whose first gradient is zero
    gradients[3::7, 20:24] = 0
    return (float(GRADIENT_SCALES[index]) * gradients).astype(np.float32)


def trajectory(optimizer, x0, gradients):
    """`x0` after each update of `optimizer` by `gradients`, without clipping."""
    variable = tf.Variable(x0)
    steps = []
    for gradient in gradients:
        optimizer.apply_gradients([(tf.constant(gradient), variable)])
        steps.append(variable.numpy())
    return np.stack(steps)


def update_arrays():
    """All arrays of ``updates.npz``."""
    x0 = np.random.RandomState(9).uniform(size=64).astype(np.float32)
    arrays = {"x0": x0}
    for index, scale in enumerate(GRADIENT_SCALES):
        gradients = recorded_gradients(index)
        arrays[f"gradients/{scale}"] = gradients
        for name, optimizer in OPTIMIZERS.items():
            arrays[f"{name}/{scale}"] = trajectory(optimizer(learning_rate=0.02), x0, gradients)
    return arrays


def column_arrays(vgg, image):
    """All channels of some layers at the middle of `image`, and the largest value of each layer."""
    names = [*STYLE_LAYERS, CONTENT_LAYER]
    layers = [np.asarray(layer)[0] for layer in vgg_layers(vgg, names)(preprocess(image))]
    columns = {
        f"features/{name}": layer[layer.shape[0] // 2, layer.shape[1] // 2]
        for name, layer in zip(names, layers, strict=True)
    }
    return {
        "layers": np.array(names),
        "scale": np.array([np.abs(x).max() for x in layers]),
    } | columns


def check_arrays(args):
    """All arrays of ``check.npz``."""
    vgg = load_vgg(None)
    pictures = load_pictures(args, CHECK_SIZES)
    program = Program(vgg, as_float(pictures["content"]), as_float(pictures["style"]))
    image = np.random.RandomState(1).randint(0, 256, pictures["content"].shape).astype(np.uint8)
    losses = noise_arrays(program, as_float(image))
    return pictures | column_arrays(vgg, as_float(image)) | losses | {"noise": image}


def sha256(path):
    """Hexadecimal SHA-256 of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def input_files(args):
    """The files that `args.name` is made from."""
    if args.name == "real":
        return [args.weights, args.content, args.style]
    if args.name == "vgg16-real":
        return [args.weights]
    return [PAINTING] if args.name in ("random", "check") else []


def make_command(args):
    """The command that makes this file, with the names of the input files but not their folders."""
    words = ["python tests/golden/make_golden.py", args.name]
    options = {"real": ("weights", "content", "style"), "vgg16-real": ("weights",)}
    for option in options.get(args.name, ()):
        words += [f"--{option}", Path(getattr(args, option)).name]
    return " ".join(words)


def make_meta(args):
    """Versions, settings, date and command as a JSON string."""
    meta = {
        "command": make_command(args),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "pillow": PIL.__version__,
        "python": platform.python_version(),
        "TF_ENABLE_ONEDNN_OPTS": os.environ["TF_ENABLE_ONEDNN_OPTS"],
        "cpus": len(os.sched_getaffinity(0)),
        "sha256": {Path(path).name: sha256(path) for path in input_files(args)},
    }
    settings = {
        "content_weight": CONTENT_WEIGHT,
        "style_weight": STYLE_WEIGHT,
        "total_variation_weight": 0,
        "learning_rates": RATES,
    }
    if args.name == "check":
        del settings["learning_rates"]
    return json.dumps(meta if args.name in ("vgg16", "vgg16-real", "updates") else meta | settings)


def spread(one, other):
    """Largest relative difference over the first five steps, and over all."""
    difference = np.abs(one - other) / np.abs(other)
    return difference[:5].max(), difference.max()


def print_summary(arrays, path):
    """Prints every array, then how far the traces with and without oneDNN differ."""
    for key, value in arrays.items():
        print(f"{key:34} {value.dtype!s:8} {value.shape}")
    for key in arrays:
        if without_onednn(key) in arrays and key.startswith("free/"):
            five, forty = spread(arrays[without_onednn(key)], arrays[key])
            first, last = arrays[key][[0, -1]]
            print(f"{key:34} {first:.4e} to {last:.4e}; no oneDNN {five:.1e} / {forty:.1e}")
    print(f"{path.name}: {path.stat().st_size} bytes")


def parse_args():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--weights", help="Keras weight file without its head (real, vgg16-real)")
    parser.add_argument("--content", help="content picture (real)")
    parser.add_argument("--style", help="style picture (real)")
    parser.add_argument("--out", type=Path, help="folder of the .npz file")
    parser.add_argument("--no-onednn", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.name == "real" and not (args.weights and args.content and args.style):
        parser.error("real needs --weights, --content and --style")
    if args.name == "vgg16-real" and not args.weights:
        parser.error("vgg16-real needs --weights")
    return args


def main():
    """Makes one golden file."""
    args = parse_args()
    makers = {"updates": update_arrays, "vgg16": vgg16_arrays}
    makers["vgg16-real"] = lambda: vgg16_arrays(args.weights)
    makers["check"] = lambda: check_arrays(args)
    arrays = makers[args.name]() if args.name in makers else network_arrays(args)
    path = (args.out or (DATA if args.name == "check" else HERE)) / f"{args.name}.npz"
    np.savez_compressed(path, meta=np.array(make_meta(args)), **arrays)
    if not args.no_onednn:
        print_summary(arrays, path)


if __name__ == "__main__":
    main()
