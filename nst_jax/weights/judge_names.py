"""The names that files have for the parameters of AlexNet and SqueezeNet: torchvision's, or ours.

Our own are those of the parameters with a slash (`conv1/kernel`, `fire2/squeeze1x1/bias`).
"""

import re

from nst_jax.choices import JudgeArch
from nst_jax.weights.parameters import Named, parameter_shapes

EXAMPLES = "features.0.weight (torchvision), conv1/kernel"

# Indices in torchvision's `features`, which counts ReLU, pooling and dropout too.
_ALEXNET = {f"features.{i}": f"conv{n}" for n, i in enumerate((0, 3, 6, 8, 10), start=1)}
_FIRES = {i: f"fire{n}" for n, i in enumerate((3, 4, 6, 7, 9, 10, 11, 12), start=2)}
_PARTS = {"squeeze": "squeeze1x1", "expand1x1": "expand1x1", "expand3x3": "expand3x3"}
_TORCH: dict[JudgeArch, dict[str, str]] = {
    "alexnet": _ALEXNET,
    "squeezenet": {
        "features.0": "conv1",
        **{
            f"features.{i}.{theirs}": f"{fire}/{ours}"
            for i, fire in _FIRES.items()
            for theirs, ours in _PARTS.items()
        },
        "classifier.1": "conv10",
    },
}
_TORCH_NAME = re.compile(r"(?:.+\.)?((?:features|classifier)\.[\w.]+)\.(weight|bias)")
_PARAMETER = {"weight": "kernel", "bias": "bias"}


def named(name: str, arch: JudgeArch) -> Named | None:
    """Which parameter has that name; None if it belongs to no convolution.

    A layer of `features` that the network does not have keeps a name of its own, for the error.
    AlexNet's fully connected layers, and its linear layers for LPIPS, are none.

    Args:
      name: of an array in a file.
      arch: "alexnet" or "squeezenet".
    """
    layer, _, parameter = name.rpartition("/")
    if layer in parameter_shapes(arch) and parameter in _PARAMETER.values():
        return Named((layer, parameter), "own")
    found = _TORCH_NAME.fullmatch(name)
    if not found:
        return None
    theirs, parameter = found[1], _PARAMETER[found[2]]
    if theirs not in _TORCH[arch] and theirs.startswith("classifier"):
        return None
    return Named((_TORCH[arch].get(theirs, theirs), parameter), "torchvision")
