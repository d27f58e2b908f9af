"""Which array of a file is which parameter of a network: by its name, or by shapes and order.

Known names are Keras's (`block1_conv1/kernel`), torchvision's (`features.0.weight`) and Caffe's
(`conv1_1_W`), behind any prefix. In a file without them, kernels whose names differ by numbers
alone are taken in the order of the numbers, if all their shapes are those of the network.
"""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from nst_jax.choices import Arch
from nst_jax.weights.containers import Contents, Tensor

ARCHS: tuple[Arch, ...] = ("vgg19", "vgg16")

_FLOATS = ("float16", "float32", "float64")

# `block1_conv1/kernel`, `block1_conv1/block1_conv1_W_1:0`, `model_weights/vgg19/block1_conv1/...`,
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
_EXAMPLES = "block1_conv1/kernel (Keras), features.0.weight (torchvision), conv1_1_W (Caffe)"
# Height, width and input channels of fully connected layers that are written as convolutions.
_CLASSIFIER = ((7, 7, 512), (1, 1, 4096))

# No program writes longer names; a regular expression might take very long for one.
_LONGEST = 300

Key = tuple[str, str]
"""(layer, "kernel" or "bias")."""


class Match(NamedTuple):
    """The arrays of a network's parameters.

    Attributes:
      tensors: by layer and parameter.
      is_keras: the names are Keras's, so that the input convention is known to be "caffe".
    """

    tensors: dict[Key, Tensor]
    is_keras: bool


def parameter_shapes(arch: Arch = "vgg19") -> dict[str, dict[str, tuple[int, ...]]]:
    """The shapes of a network's parameters, in the order of its layers.

    Args:
      arch: "vgg19" or "vgg16".

    Returns:
      For each convolution "kernel" (3, 3, in, out) and "bias" (out,).
    """
    # `vgg` brings JAX and Flax; who only looks for files does without them.
    from nst_jax.vgg import architecture

    return {
        layer.name: {"kernel": layer.kernel_shape, "bias": (layer.channels,)}
        for layer in architecture(arch)
        if layer.kind == "conv"
    }


def select(contents: Contents, arch: Arch, path: Path) -> Match:
    """The arrays of a network's parameters; everything about them but the values is checked.

    Args:
      contents: of the file.
      arch: the network that the file must hold.
      path: of the file, for errors.

    Raises:
      ValueError: the file lacks a layer, or one has another shape or type; the message names the
        other network, if the file holds that one.
    """
    try:
        return match(contents, arch, path)
    except ValueError as error:
        for other in ARCHS:
            if other != arch and fits(contents, other, path):
                raise ValueError(f"{error}; the file holds {other}: use --arch {other}") from None
        raise


def fits(contents: Contents, arch: Arch, path: Path) -> bool:
    """Whether a file holds a network; arguments as `select`."""
    try:
        match(contents, arch, path)
    except ValueError:
        return False
    return True


def match(contents: Contents, arch: Arch, path: Path) -> Match:
    """As `select`, but the error does not look whether the file holds the other network.

    Raises:
      ValueError: as `select`.
    """
    found: dict[Key, Tensor] = {}
    names: dict[Key, str] = {}
    for name, tensor in contents.tensors.items():
        if name.endswith("running_mean"):
            raise ValueError(f"{path}: networks with batch normalization are not supported")
        key = _key(name, arch)
        if key in found:
            raise ValueError(f"{path}: {' '.join(key)} is ambiguous: {names[key]} and {name}")
        if key:
            found[key] = tensor if _is_keras(name) else _upright(tensor)
            names[key] = name
    if not found:
        found = _in_order(contents.tensors, arch)
    if not found:
        raise ValueError(f"{path}: {_unknown(contents.tensors, arch)}")
    _check(found, arch, path)
    return Match(found, any(map(_is_keras, names.values())))


def _check(found: Mapping[Key, Tensor], arch: Arch, path: Path) -> None:
    for layer, shapes in parameter_shapes(arch).items():
        for parameter, shape in shapes.items():
            what = f"{path}: {layer} {parameter}"
            if (layer, parameter) not in found:
                raise ValueError(f"{what} is missing: expected {shape}")
            tensor = found[layer, parameter]
            if tensor.shape != shape:
                raise ValueError(f"{what}: expected the shape {shape}, found {tensor.shape}")
            if tensor.dtype not in _FLOATS:
                raise ValueError(f"{what}: expected {' or '.join(_FLOATS)}, found {tensor.dtype}")
    surplus = sorted({layer for layer, _ in found} - set(parameter_shapes(arch)))
    if surplus:
        raise ValueError(f"{path}: expected {arch}, found {', '.join(surplus)}, which it lacks")


# By names


def _key(name: str, arch: Arch) -> Key | None:
    """Which parameter has that name; None if it belongs to no convolution.

    A layer that the network does not have keeps a name of its own, for the error.
    """
    if name.startswith("optimizer") or len(name) > _LONGEST:
        return None
    name = name.removesuffix(":0")
    if found := _KERAS.fullmatch(name):
        layer, parameter = found.groups()
    elif found := _KERAS_COUNT.fullmatch(name):
        position, parameter = int(found[1] or 0), found[2]
        layer = dict(enumerate(parameter_shapes(arch))).get(position, f"convolution {position}")
    elif found := _TORCH.fullmatch(name):
        layer = _torch_layers(arch).get(int(found[1]), f"features.{found[1]}")
        parameter = found[2]
    elif found := _CAFFE.fullmatch(name):
        layer, parameter = f"block{found[1]}_conv{found[2]}", found[3]
    else:
        return None
    return layer, _PARAMETER.get(parameter, parameter)


def _is_keras(name: str) -> bool:
    name = name.removesuffix(":0")
    return bool(_KERAS.fullmatch(name) or _KERAS_COUNT.fullmatch(name))


def _torch_layers(arch: Arch) -> dict[int, str]:
    """Layers by their index in torchvision's `features`, which counts ReLU and pooling too."""
    from nst_jax.vgg import architecture

    layers = architecture(arch)
    sizes = (2 if layer.kind == "conv" else 1 for layer in layers)
    indices = itertools.accumulate(sizes, initial=0)
    return {i: layer.name for i, layer in zip(indices, layers, strict=False)}


def _upright(tensor: Tensor) -> Tensor:
    """A kernel as (height, width, in, out): torch has (out, in, height, width)."""
    if len(tensor.shape) != 4 or max(tensor.shape[2:]) >= max(tensor.shape[:2]):
        return tensor
    o, i, h, w = tensor.shape
    return tensor._replace(shape=(h, w, i, o), read=lambda: tensor.read().transpose(2, 3, 1, 0))


# By shapes and order


def _in_order(tensors: Mapping[str, Tensor], arch: Arch) -> dict[Key, Tensor]:
    """The parameters of a network under unknown names; none if anything is uncertain."""
    shapes = parameter_shapes(arch)
    names = sorted(tensors, key=_by_numbers)
    kernels = {name: _upright(tensors[name]) for name in names if len(tensors[name].shape) == 4}
    kernels = {name: each for name, each in kernels.items() if not _is_of_classifier(each)}
    if len({_pattern(name) for name in kernels}) != 1:
        return {}
    if [each.shape for each in kernels.values()] != [each["kernel"] for each in shapes.values()]:
        return {}
    biases = _biases([name for name in names if len(tensors[name].shape) == 1], list(kernels))
    found = {(layer, "kernel"): each for layer, each in zip(shapes, kernels.values(), strict=True)}
    return found | {
        (layer, "bias"): tensors[name] for layer, name in zip(shapes, biases, strict=False)
    }


def _biases(names: Sequence[str], kernels: Sequence[str]) -> list[str]:
    """The bias of each kernel.

    It is the one whose name differs in the last part alone; if they have none, the biases follow
    the order of the kernels.
    """
    beside = {_stem(name): name for name in names}
    if len({_stem(name) for name in kernels} & set(beside)) == len(kernels):
        return [beside[_stem(name)] for name in kernels]
    first = list(names[: len(kernels)])
    return first if len(set(map(_pattern, first))) == 1 else []


def _stem(name: str) -> str:
    return re.split(r"[/._](?=[^/._]*$)", name.removesuffix(":0"))[0]


def _is_of_classifier(kernel: Tensor) -> bool:
    return kernel.shape[:3] in _CLASSIFIER


def _pattern(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def _by_numbers(name: str) -> list[tuple[int, str]]:
    """A key that sorts conv10 behind conv9."""
    # Of numbers without leading zeros the longer one is larger; that takes no conversion.
    parts = (part.lstrip("0") if part.isdecimal() else part for part in re.split(r"(\d+)", name))
    return [(len(part) if number % 2 else 0, part) for number, part in enumerate(parts)]


def _unknown(names: Iterable[str], arch: Arch) -> str:
    found = sorted(names, key=_by_numbers)
    if not found:
        return "it holds no arrays"
    some = ", ".join(f"{name!r:.60}" for name in found[:4])
    more = f" and {len(found) - 4} more" if len(found) > 4 else ""
    return (
        f"no convolution has a known name, and shapes and order are not those of {arch}: expected "
        f"names such as {_EXAMPLES}, found {some}{more}"
    )
