"""The parameters of a network: what they are called here, and their shapes."""

from typing import Literal, NamedTuple

from nst_jax.choices import AnyArch, Arch, JudgeArch

ARCHS: tuple[Arch, ...] = ("vgg19", "vgg16")
JUDGE_ARCHS: tuple[JudgeArch, ...] = ("alexnet", "squeezenet")

Key = tuple[str, str]
"""(layer, "kernel" or "bias")."""

Family = Literal["own", "keras", "torchvision", "caffe"]
"""Whose names a file has: of the converted files of judges, or of the program that wrote it."""


class Named(NamedTuple):
    """Which parameter has a name, and in whose manner it is named."""

    key: Key
    family: Family


def parameter_shapes(arch: AnyArch = "vgg19") -> dict[str, dict[str, tuple[int, ...]]]:
    """The shapes of a network's parameters, in the order of its layers.

    Args:
      arch: a VGG or a judge.

    Returns:
      For each convolution "kernel" (h, w, in, out) and "bias" (out,).
    """
    # The networks bring JAX and Flax; who only looks for files does without them.
    from nst_jax import alexnet, squeezenet, vgg

    if arch == "alexnet":
        return alexnet.parameter_shapes()
    if arch == "squeezenet":
        return squeezenet.parameter_shapes()
    return {
        layer.name: {"kernel": layer.kernel_shape, "bias": (layer.channels,)}
        for layer in vgg.architecture(arch)
        if layer.kind == "conv"
    }
