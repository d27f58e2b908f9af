"""What is timed: sizes, numbers of variants, precisions and programs."""

from dataclasses import dataclass

from nst_jax import vgg
from nst_jax.choices import Precision
from timing.problem import STYLE_LAYERS, layers

PEERS = ("tensorflow", "torch", "torch_compile")
PASSIVE = "_passive"
"""Ends the name of a peer whose threads wait asleep."""
_PASSIVE_PEERS = ("torch_passive", "torch_compile_passive")


@dataclass(frozen=True)
class Case:
    """What is run side by side: a size with its pictures, ours in each precision, and peers."""

    size: int
    variants: int
    precisions: tuple[Precision, ...]
    peers: tuple[str, ...] = ()


def cases_for(backend: str, *, full: bool) -> list[Case]:
    """What suits the device."""
    if backend == "cpu":
        both: tuple[Precision, ...] = ("float32", "bfloat16")
        peers = PEERS + _PASSIVE_PEERS
        small = [Case(256, 1, both, peers), Case(256, 16, both)]
        large = [Case(512, 1, both, peers), Case(512, 4, both)]
        # Apart, and fewer of them: they are in memory at once.
        huge = [Case(1024, 1, (precision,), PEERS) for precision in both]
        more = [Case(256, 4, both), Case(512, 16, both), Case(1024, 4, both)]
        return small + large + huge + more * full
    every: tuple[Precision, ...] = ("float32", "tf32", "bfloat16")
    sizes, lanes = (256, 512, 1024, 2048), (1, 4, 16, 64)
    fits = {256: 64, 512: 64, 1024: 16, 2048: 4}
    return [
        Case(size, v, every if full or v == 1 else every[2:], PEERS if v == 1 else ())
        for size in sizes
        for v in lanes
        if v <= fits[size]
    ]


def flops_a_step(height: int, width: int, variants: int) -> float:
    """Multiplications and additions of a step, from the shapes of the layers.

    A convolution once forward and once backward to its input (the weights are fixed), and the
    Gram matrices with their gradients; what is elementwise is not counted.
    """
    total = 0
    for layer in vgg.architecture():
        if layer.name not in layers():
            continue
        h, w, channels = layer.output_shape(height, width)
        total += 2 * (2 * 9 * layer.in_channels * channels * h * w)
        if layer.name in STYLE_LAYERS:
            total += 2 * (2 * h * w * channels**2)
    return float(variants * total)
