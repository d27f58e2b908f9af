"""The choices that a run is made of, by name.

Each type here is the only list of what is valid: the command line offers it, type checkers know it,
and `check_choice` refuses the rest. Plain Python, so that `nst-jax --help` does not wait for JAX.
"""

from typing import Any, Literal, get_args

Arch = Literal["vgg16", "vgg19"]
"""The network, see `vgg.architecture`."""
JudgeArch = Literal["alexnet", "squeezenet"]
"""A network that judges pictures, see `weights.load_judges`."""
AnyArch = Literal["vgg16", "vgg19", "alexnet", "squeezenet"]
"""A network whose weights are converted, see `weights.convert`."""
Pooling = Literal["max", "average"]
"""How a block of the network hands on: "max", as it was trained, or "average", as Gatys et al."""
Border = Literal["zeros", "edge", "reflect"]
"""What the network sees beyond the image."""
Precision = Literal["float32", "tf32", "bfloat16"]
"""In what the convolutions multiply: 23, 10 or 7 bits of mantissa."""
PrecisionSetting = Literal["float32", "tf32", "bfloat16", "fast"]
"""A precision, or the fastest good one of the device, see `vgg.resolve_precision`."""
Convolutions = Literal["plain", "winograd", "onednn"]
"""The algorithm of the convolutions, see `vgg.feature_fn`."""
Convention = Literal["report", "gatys"]
"""The scale of the losses, see `losses`."""
Normalization = Literal["locations", "none"]
"""What a Gram matrix is divided by, see `losses.gram_matrix`."""
FeedforwardForm = Literal["resize", "lengstrom"]
"""How a network that paints in one pass is built, see `feedforward.FORMS`."""
OptimizerName = Literal["adam", "rmsprop", "adagrad", "sgd", "lbfgs"]
OptimizerForm = Literal["keras", "report"]
"""An update as Keras computes it, or as the report prints it."""
LayerBalance = Literal["equal", "relative"]
"""Layers by their losses as they are, or each relative to its own scale."""
Strips = int | Literal["auto", "off"]
"""Rows of a strip; auto: of pictures that do not fit whole; off: of none."""
Driver = Literal["python", "scan"]
"""What repeats the steps: a loop in Python, or one within the program."""
InputConvention = Literal["auto", "torchvision", "caffe", "caffe_rgb"]
"""The pixels for which the weights of a network were trained."""
SqueezeNetConvention = Literal["caffe", "torchvision"]
"""The form of SqueezeNet for which weights were trained, see `squeezenet.architecture`."""
Colors = Literal["style", "content", "luminance", "matched"]
"""Whose colors a result has, see `config.RunConfig.colors`."""
Alpha = Literal["white", "keep"]
"""What becomes of a picture's transparency: laid on white, or put back at the end."""
Depth = Literal[8, 16]
"""Bits of each color in the file of a result."""
Icc = Literal["srgb", "keep"]
"""The color profile of a result: sRGB, or that of its content."""
LogLevel = Literal["debug", "info", "warning", "error"]

MOST_TERMS = 64
"""Terms of an objective, and pictures and regions that they read."""
CONTENT_LAYERS = ("block5_conv2",)
"""The layer of the content term, by the report, section 4.1."""
STYLE_LAYERS = tuple(f"block{n}_conv1" for n in range(1, 6))
"""The layers of the style term, by the report, section 4.1."""


def check_choice(name: str, value: object, choices: Any) -> None:
    """Refuses a value that is not in a `Literal` type.

    Args:
      name: of the argument, for the error.
      value: what was given.
      choices: a type of this module.

    Raises:
      ValueError: the message lists the valid ones.
    """
    valid = get_args(choices)
    if value not in valid:
        raise ValueError(f"`{name}` must be one of {', '.join(valid)}, got {value!r}")
