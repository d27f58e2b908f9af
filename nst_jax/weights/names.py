"""Which array of a file is which parameter of a network: by its name, or by shapes and order.

Known names are those of `vgg_names` and `judge_names`, behind any prefix. In a file without them,
kernels whose names differ by numbers alone are taken in the order of the numbers, if all their
shapes are those of the network.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from nst_jax.choices import AnyArch
from nst_jax.weights import judge_names, vgg_names
from nst_jax.weights.containers import Contents, Tensor
from nst_jax.weights.parameters import ARCHS, Family, Key, Named, parameter_shapes

FLOATS = ("float16", "float32", "float64")
"""The types of numbers that are read."""

# Height, width and input channels of fully connected layers that are written as convolutions.
_CLASSIFIER = ((7, 7, 512), (1, 1, 4096))

# Families whose kernels are (height, width, in, out) whatever their shape.
_UPRIGHT = ("own", "keras")

# No program writes longer names; a regular expression might take very long for one.
LONGEST = 300
"""Characters of a name."""


class Match(NamedTuple):
    """The arrays of a network's parameters.

    Attributes:
      tensors: by layer and parameter.
      families: whose names they have, which tells what input the network expects; none of arrays
        that were found by shapes and order.
    """

    tensors: dict[Key, Tensor]
    families: frozenset[Family]


def select(contents: Contents, arch: AnyArch, path: Path) -> Match:
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
        for other in ARCHS if arch in ARCHS else ():
            if other != arch and fits(contents, other, path):
                raise ValueError(f"{error}; the file holds {other}: use --arch {other}") from None
        raise


def fits(contents: Contents, arch: AnyArch, path: Path) -> bool:
    """Whether a file holds a network; arguments as `select`."""
    try:
        match(contents, arch, path)
    except ValueError:
        return False
    return True


def match(contents: Contents, arch: AnyArch, path: Path) -> Match:
    """As `select`, but the error does not look whether the file holds the other network.

    Raises:
      ValueError: as `select`.
    """
    found: dict[Key, Tensor] = {}
    names: dict[Key, str] = {}
    families: set[Family] = set()
    for name, tensor in contents.tensors.items():
        if name.endswith("running_mean"):
            raise ValueError(f"{path}: networks with batch normalization are not supported")
        named = _named(name, arch)
        if named is None:
            continue
        key, family = named
        if key in found:
            raise ValueError(f"{path}: {' '.join(key)} is ambiguous: {names[key]} and {name}")
        found[key] = tensor if family in _UPRIGHT else _upright(tensor)
        names[key] = name
        families.add(family)
    if not found:
        found = _in_order(contents.tensors, arch)
    if not found:
        raise ValueError(f"{path}: {_unknown(contents.tensors, arch)}")
    _check(found, arch, path)
    return Match(found, frozenset(families))


def _check(found: Mapping[Key, Tensor], arch: AnyArch, path: Path) -> None:
    for layer, shapes in parameter_shapes(arch).items():
        for parameter, shape in shapes.items():
            what = f"{path}: {layer} {parameter}"
            if (layer, parameter) not in found:
                raise ValueError(f"{what} is missing: expected {shape}")
            tensor = found[layer, parameter]
            if tensor.shape != shape:
                raise ValueError(f"{what}: expected the shape {shape}, found {tensor.shape}")
            check_type(tensor, what)
    surplus = sorted({layer for layer, _ in found} - set(parameter_shapes(arch)))
    if surplus:
        raise ValueError(f"{path}: expected {arch}, found {', '.join(surplus)}, which it lacks")


def check_type(tensor: Tensor, what: str) -> None:
    """Refuses an array of other numbers than `FLOATS`.

    Args:
      tensor: not read yet.
      what: the file and the array, for the error.

    Raises:
      ValueError: one line that says what was found.
    """
    if tensor.dtype not in FLOATS:
        raise ValueError(f"{what}: expected {' or '.join(FLOATS)}, found {tensor.dtype}")


# By names


def _named(name: str, arch: AnyArch) -> Named | None:
    """Which parameter has that name; None if it belongs to no convolution."""
    if name.startswith("optimizer") or len(name) > LONGEST:
        return None
    name = name.removesuffix(":0")
    if arch == "alexnet" or arch == "squeezenet":
        return judge_names.named(name, arch)
    return vgg_names.named(name, arch)


def _upright(tensor: Tensor) -> Tensor:
    """A kernel as (height, width, in, out): torch has (out, in, height, width)."""
    if len(tensor.shape) != 4 or max(tensor.shape[2:]) >= max(tensor.shape[:2]):
        return tensor
    o, i, h, w = tensor.shape
    return tensor._replace(shape=(h, w, i, o), read=lambda: tensor.read().transpose(2, 3, 1, 0))


# By shapes and order


def _in_order(tensors: Mapping[str, Tensor], arch: AnyArch) -> dict[Key, Tensor]:
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


def _unknown(names: Iterable[str], arch: AnyArch) -> str:
    found = sorted(names, key=_by_numbers)
    examples = vgg_names.EXAMPLES if arch in ARCHS else judge_names.EXAMPLES
    if not found:
        return "it holds no arrays"
    some = ", ".join(f"{name!r:.60}" for name in found[:4])
    more = f" and {len(found) - 4} more" if len(found) > 4 else ""
    return (
        f"no convolution has a known name, and shapes and order are not those of {arch}: expected "
        f"names such as {examples}, found {some}{more}"
    )
