"""The names that files have for the parameters of VGG16 and VGG19: Keras's, torchvision's, Caffe's.

`names` removes what TensorFlow and others put behind a name.
"""

import itertools
import re

from nst_jax.choices import Arch
from nst_jax.weights.parameters import Family, Key, Named, parameter_shapes

EXAMPLES = "block1_conv1/kernel (Keras), features.0.weight (torchvision), conv1_1_W (Caffe)"

# `block1_conv1/kernel`, `block1_conv1/block1_conv1_W_1`, `model_weights/vgg19/block1_conv1/...`,
# `layers/block1_conv1/vars/0`.
_KERAS = re.compile(
    r"(?:.+[/.])?(block\d+_conv\d+)[/.](?:.+/)?(?:\w+_)?(kernel|bias|W|b|(?<=vars/)[01])(?:_\d+)?"
)
# Keras 3 (`*.weights.h5`) counts the layers of a kind: `layers/conv2d_3/vars/0`.
_KERAS_COUNT = re.compile(r"(?:.+/)?conv2d(?:_(\d+))?/vars/([01])")
_TORCH = re.compile(r"(?:.+\.)?features\.(\d+)\.(weight|bias)")
# `conv1_1_W`, `vgg_16/conv1/conv1_1/weights`, `conv1_1.bias`.
_CAFFE = re.compile(r"(?:.+[/.])?conv(\d)_(\d)[/._](W|weights?|filters?|kernel|b|bias(?:es)?)")
_PARAMETER = {
    **dict.fromkeys(("W", "0", "weight", "weights", "filter", "filters"), "kernel"),
    **dict.fromkeys(("b", "1", "biases"), "bias"),
}


def named(name: str, arch: Arch) -> Named | None:
    """Which parameter has that name; None if it belongs to no convolution.

    A layer that the network does not have keeps a name of its own, for the error.

    Args:
      name: of an array in a file.
      arch: "vgg19" or "vgg16".
    """
    if found := _KERAS.fullmatch(name):
        return _named(found[1], found[2], "keras")
    if found := _KERAS_COUNT.fullmatch(name):
        position = int(found[1] or 0)
        layer = dict(enumerate(parameter_shapes(arch))).get(position, f"convolution {position}")
        return _named(layer, found[2], "keras")
    if found := _TORCH.fullmatch(name):
        layer = _torch_layers(arch).get(int(found[1]), f"features.{found[1]}")
        return _named(layer, found[2], "torchvision")
    if found := _CAFFE.fullmatch(name):
        return _named(f"block{found[1]}_conv{found[2]}", found[3], "caffe")
    return None


def _named(layer: str, parameter: str, family: Family) -> Named:
    key: Key = (layer, _PARAMETER.get(parameter, parameter))
    return Named(key, family)


def _torch_layers(arch: Arch) -> dict[int, str]:
    """Layers by their index in torchvision's `features`, which counts ReLU and pooling too."""
    from nst_jax.vgg import architecture

    layers = architecture(arch)
    sizes = (2 if layer.kind == "conv" else 1 for layer in layers)
    indices = itertools.accumulate(sizes, initial=0)
    return {i: layer.name for i, layer in zip(indices, layers, strict=False)}
