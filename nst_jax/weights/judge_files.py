"""Files of judges: AlexNet with LPIPS's linear layers, and SqueezeNet, in any format.

Files of this library's layout are those of `convert`, and those whose names are the same without
its attributes.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nst_jax.choices import JudgeArch, SqueezeNetConvention
from nst_jax.weights.containers import Contents, Tensor, opened
from nst_jax.weights.formats import Params, read_array, read_params
from nst_jax.weights.names import LONGEST, check_type
from nst_jax.weights.parameters import Family, parameter_shapes

_LICENCES: dict[JudgeArch, dict[SqueezeNetConvention, str]] = {
    "alexnet": {
        "torchvision": "AlexNet by torchvision, BSD 3-Clause; LPIPS by Zhang et al., BSD 2-Clause"
    },
    "squeezenet": {
        "torchvision": "SqueezeNet by Iandola et al., trained by torchvision, BSD 3-Clause",
        "caffe": "SqueezeNet by Iandola et al., BSD",
    },
}

# LPIPS's own files count from 0; `lin1` is ours.
_LINEAR = re.compile(r"(?:.+\.)?lin(\d)\.model\.1\.weight")
_OWN_LINEAR = re.compile(r"lin([1-9])")


class JudgeFile(NamedTuple):
    """What a file holds.

    Attributes:
      params: as they are stored.
      lpips: the weights of LPIPS, {"lin1": (64,), ...}; None if the file has none.
      convention: what input the network expects, see `squeezenet.feature_fn`; AlexNet's is always
        "torchvision".
      licence: of the weights.
      provenance: the file they come from.
    """

    params: Params
    lpips: dict[str, np.ndarray] | None
    convention: SqueezeNetConvention
    licence: str
    provenance: str


def read_judge(path: Path, arch: JudgeArch) -> JudgeFile:
    """Reads and checks the weights of a judge in any of the formats.

    Args:
      path: as `formats.read_file`. Fully connected layers are ignored.
      arch: the network that the file must hold.

    Raises:
      ValueError: the file is of another kind, lacks a layer, or one has another shape, type or
        a number that is not finite; or the package that reads the format is not installed.
      OSError: the file is missing, truncated or damaged.
    """
    with opened(path) as contents:
        params, families = read_params(contents, arch, path)
        lpips = _linear_layers(contents, path) if arch == "alexnet" else None
        attributes = contents.attributes
    convention: Any = attributes.get("convention", _convention(arch, families))
    licences = _LICENCES[arch]
    if convention not in licences:
        known = " or ".join(licences)
        raise ValueError(f"{path}: expected the convention {known}, found {convention!r:.60}")
    return JudgeFile(
        params,
        lpips,
        convention,
        attributes.get("licence", licences[convention]),
        attributes.get("source", f"{path.name}, {convention} convention"),
    )


def _convention(arch: JudgeArch, families: frozenset[Family]) -> SqueezeNetConvention:
    """That of a file that does not tell it: our names without attributes are of Caffe's weights."""
    return "caffe" if arch == "squeezenet" and "own" in families else "torchvision"


def read_lpips(path: Path) -> dict[str, np.ndarray]:
    """LPIPS's linear layers for AlexNet: one weight a channel.

    Args:
      path: as `formats.read_file`; LPIPS's own file is `alex.pth`.

    Returns:
      {"lin1": (64,), ..., "lin5": (256,)} in float32.

    Raises:
      ValueError, OSError: as `read_judge`.
    """
    with opened(path) as contents:
        layers = _linear_layers(contents, path)
    if layers is None:
        raise ValueError(f"{path}: expected LPIPS's layers lin0.model.1.weight to lin4, found none")
    return layers


def _linear_layers(contents: Contents, path: Path) -> dict[str, np.ndarray] | None:
    found = {}
    for name, tensor in contents.tensors.items():
        if layer := _linear_layer(name):
            if layer in found:
                raise ValueError(f"{path}: LPIPS's {layer} is ambiguous: {name} is one of two")
            found[layer] = tensor
    if not found:
        return None
    shapes = parameter_shapes("alexnet").values()
    return {
        f"lin{n}": _read_linear(found.get(f"lin{n}"), shape["bias"], f"{path}: LPIPS's lin{n}")
        for n, shape in enumerate(shapes, start=1)
    }


def _linear_layer(name: str) -> str | None:
    """Which layer has that name in a file; None if it is none of LPIPS's."""
    if len(name) > LONGEST:
        return None
    if theirs := _LINEAR.fullmatch(name):
        return f"lin{int(theirs[1]) + 1}"
    return name if _OWN_LINEAR.fullmatch(name) else None


def _read_linear(tensor: Tensor | None, shape: tuple[int, ...], what: str) -> np.ndarray:
    as_kernel = (1, *shape, 1, 1)
    if tensor is None:
        raise ValueError(f"{what} is missing: expected {shape}")
    if tensor.shape not in (shape, as_kernel):
        raise ValueError(f"{what}: expected the shape {shape} or {as_kernel}, found {tensor.shape}")
    check_type(tensor, what)
    return read_array(tensor, what).reshape(shape)
