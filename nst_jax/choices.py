"""The choices that a run is made of, by name. Plain Python: the command line needs no JAX.

A type here is the single list of what is valid; `check_choice` refuses the rest.
"""

from typing import Any, Literal, get_args

Arch = Literal["vgg16", "vgg19"]
Pooling = Literal["max", "average"]
Border = Literal["zeros", "reflect"]
Precision = Literal["float32", "tf32", "bfloat16"]
PrecisionSetting = Literal["float32", "tf32", "bfloat16", "fast"]
Convolutions = Literal["plain", "winograd", "onednn"]
Convention = Literal["report", "gatys"]
Normalization = Literal["locations", "none"]
OptimizerName = Literal["adam", "rmsprop", "adagrad", "sgd", "lbfgs"]
OptimizerForm = Literal["keras", "report"]
LayerBalance = Literal["equal", "relative"]
Driver = Literal["python", "scan"]
InputConvention = Literal["auto", "torchvision", "caffe", "caffe_rgb"]
PresetName = Literal["painterly"]
Alpha = Literal["white", "keep"]
LogLevel = Literal["debug", "info", "warning", "error"]

# The report, section 4.1.
CONTENT_LAYERS = ("block5_conv2",)
STYLE_LAYERS = tuple(f"block{n}_conv1" for n in range(1, 6))


def check_choice(name: str, value: object, choices: Any) -> None:
    """Refuses a value that is not in a `Literal` type.

    Raises:
      ValueError: the message lists the valid ones.
    """
    valid = get_args(choices)
    if value not in valid:
        raise ValueError(f"`{name}` must be one of {', '.join(valid)}, got {value!r}")
