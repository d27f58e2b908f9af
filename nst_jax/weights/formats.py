"""Weight files: VGG16 and VGG19 as anyone has written them, in one convention; judges as they are.

Whatever the file, the result is one plain pytree in one convention,
`{layer: {"kernel": (3, 3, in, out), "bias": (out,)}}` in float32 for an input that is BGR, 0 to
255, minus the ImageNet mean (103.939, 116.779, 123.68).

`containers` opens the file, `names` finds the parameters in it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from nst_jax.choices import AnyArch, Arch, InputConvention
from nst_jax.system.files import reason, replacing
from nst_jax.weights import names as weight_names
from nst_jax.weights.containers import SCHEMA, Contents, Tensor, opened
from nst_jax.weights.parameters import ARCHS, JUDGE_ARCHS, Family, parameter_shapes

Params = dict[str, dict[str, np.ndarray]]
"""{layer: {"kernel": (3, 3, in, out), "bias": (out,)}} in float32."""

CREDIT = "VGG weights by the Visual Geometry Group, University of Oxford, CC BY 4.0"
INPUT = "BGR, 0 to 255, minus (103.939, 116.779, 123.68)"


class _Preparation(NamedTuple):
    """How pixels (BGR, 0 to 255) become the input of a network: (pixels - mean) / deviation."""

    reverse: bool
    """The network takes RGB."""
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    known: tuple[tuple[float, float, float], ...]
    """The first filter's first tap, over the input channels, in the published networks."""
    licence: str


_PREPARATIONS: dict[InputConvention, _Preparation] = {
    "caffe": _Preparation(
        False,
        (103.939, 116.779, 123.68),
        (1, 1, 1),
        ((0.4295, 0.5504, 0.4800), (0.3412, 0.4642, 0.3942)),
        CREDIT,
    ),
    # torchvision's IMAGENET1K_FEATURES: Oxford's VGG16 with its input channels reversed.
    "caffe_rgb": _Preparation(
        True,
        (255 * 0.40784, 255 * 0.45882, 255 * 0.48235),
        (1, 1, 1),
        ((0.4800, 0.5504, 0.4295), (0.3942, 0.4642, 0.3412)),
        CREDIT,
    ),
    "torchvision": _Preparation(
        True,
        (255 * 0.406, 255 * 0.456, 255 * 0.485),
        (255 * 0.225, 255 * 0.224, 255 * 0.229),
        ((-0.5537, 0.1755, 0.3130), (-0.0535, 0.0170, -0.0449)),
        "VGG weights trained by torchvision, BSD 3-Clause",
    ),
}


class WeightFile(NamedTuple):
    """What a file holds: parameters in the one convention, and where they come from."""

    params: Params
    convention: str
    """The convention they were stored in."""
    licence: str
    provenance: str


def check_file(path: Path, arch: Arch = "vgg19") -> None:
    """Makes sure that a file has every parameter of a network, without reading the arrays.

    Args:
      path: the file, in any of the formats.
      arch: the network that it must hold.

    Raises:
      ValueError, OSError: as `read_file`.
    """
    with opened(path) as contents:
        weight_names.select(contents, arch, path)


def infer_arch(path: Path) -> AnyArch:
    """Which network a file holds.

    Args:
      path: the file, in any of the formats.

    Returns:
      "vgg19" or "vgg16"; or "alexnet" or "squeezenet", the judges.

    Raises:
      ValueError: none of them, or not a weight file.
      OSError: the file cannot be read.
    """
    with opened(path) as contents:
        for arch in (*ARCHS, *JUDGE_ARCHS):
            if weight_names.fits(contents, arch, path):
                return arch
        try:
            weight_names.match(contents, ARCHS[0], path)
        except ValueError as error:
            others = "no VGG16 either, and neither AlexNet nor SqueezeNet"
            raise ValueError(f"{error}; {path.name} is {others}") from None
    raise AssertionError("unreachable")


def read_file(
    path: Path, arch: Arch = "vgg19", *, convention: InputConvention = "auto"
) -> WeightFile:
    """Reads and checks the weights of a network in any of the formats.

    Args:
      path: HDF5 (`convert`'s or Keras's), a .keras archive, npz, safetensors or a torch state
        dict. Layers that are not convolutions are ignored.
      arch: the network that the file must hold.
      convention: the input that the stored weights expect. "caffe" is BGR, 0 to 255, minus the
        mean (Keras, Caffe and its ports); "torchvision" RGB in [0, 1] with mean
        (.485, .456, .406) and deviation (.229, .224, .225); "caffe_rgb" RGB, 0 to 255, minus
        the mean. "auto": layers under Keras's names are "caffe"; networks under other names are
        told apart by the first numbers of the published ones.

    Returns:
      The parameters in float32, in the convention of `INPUT`, and their origin.

    Raises:
      ValueError: the file is of another kind, lacks a layer, or one has another shape, type or
        a number that is not finite; or "auto" does not know the network; or the package that
        reads the format is not installed.
      OSError: the file is missing, truncated or damaged.
    """
    with opened(path) as contents:
        params, families = read_params(contents, arch, path)
        attributes = contents.attributes
    first = params["block1_conv1"]
    if convention == "auto":
        convention = "caffe" if "keras" in families else _recognize(first["kernel"], path)
    params["block1_conv1"] = _to_caffe(first["kernel"], first["bias"], convention)
    licence = attributes.get("licence", _PREPARATIONS[convention].licence)
    provenance = attributes.get("source", f"{path.name}, {convention} convention")
    return WeightFile(params, convention, licence, provenance)


def read_params(contents: Contents, arch: AnyArch, path: Path) -> tuple[Params, frozenset[Family]]:
    """The parameters of a network as they are stored, in float32.

    Args:
      contents: of the file.
      arch: the network that the file must hold.
      path: of the file, for errors.

    Returns:
      The parameters, and whose names they have there.

    Raises:
      ValueError: the file lacks a layer, or one has another shape, type or a number that is not
        finite.
      OSError: the file is damaged.
    """
    selected = weight_names.select(contents, arch, path)
    params: Params = {layer: {} for layer in parameter_shapes(arch)}
    for (layer, parameter), tensor in selected.tensors.items():
        params[layer][parameter] = read_array(tensor, f"{path}: {layer} {parameter}")
    return params, selected.families


def write_file(
    path: Path,
    params: Params,
    *,
    attributes: dict[str, str],
    vectors: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Writes parameters as HDF5, one dataset a parameter, whole or not at all.

    Args:
      path: the file; replaced if it exists.
      params: in the convention of `INPUT`, unless the attribute "convention" tells another.
      attributes: texts for the root of the file.
      vectors: more arrays, for the root of the file.

    Raises:
      OSError: the file cannot be written.
    """
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update({"schema": SCHEMA, "convention": INPUT, **attributes})
        for layer, parameters in params.items():
            for name, value in parameters.items():
                file[f"{layer}/{name}"] = np.asarray(value, np.float32)
        for name, value in (vectors or {}).items():
            file[name] = np.asarray(value, np.float32)


def read_array(tensor: Tensor, what: str) -> np.ndarray:
    """The numbers of an array in float32.

    Args:
      tensor: of a file that is open.
      what: the file and the array, for errors.

    Raises:
      ValueError: a number is not finite.
      OSError: the file is damaged there.
    """
    try:
        with np.errstate(over="ignore"):
            value = np.ascontiguousarray(tensor.read(), np.float32)
    except Exception as error:
        raise OSError(f"{what} cannot be read: {reason(error)}") from error
    bad = value.size - np.count_nonzero(np.isfinite(value))
    if bad:
        raise ValueError(f"{what}: expected finite numbers, found {bad} that are not")
    return value


# Conventions


def _recognize(kernel: np.ndarray, path: Path) -> InputConvention:
    """The convention of a published network, by the first numbers of its first kernel.

    The scale of the kernel does not tell. Inputs of the Caffe networks are sixty times larger
    than torchvision's, yet the kernels of both have an rms of some tenths: torchvision trained
    its networks anew.
    """
    tap = kernel[0, 0, :, 0]
    for convention, preparation in _PREPARATIONS.items():
        if any(np.allclose(tap, known, rtol=0.01, atol=1e-3) for known in preparation.known):
            return convention
    raise ValueError(
        f"{path}: not one of the published networks, so its input convention is unknown: "
        "convert it by `nst-jax weights convert`, with --convention torchvision (RGB in "
        "[0, 1], normalized) or --convention caffe (BGR, 0 to 255, minus the mean)"
    )


def _to_caffe(
    kernel: np.ndarray, bias: np.ndarray, convention: InputConvention
) -> dict[str, np.ndarray]:
    """Rewrites the first layer for an input in the convention of `INPUT`.

    The layer expects (pixel - mean) / deviation and gets x = pixel - mean', so the preparation
    (x + mean' - mean) / deviation goes into its kernel and bias. This is exact but at the border:
    there zeros are padded, which stand for the mean color, and the two means differ by up to half
    a gray level of 255 (torchvision's).
    """
    if convention == "caffe":
        return {"kernel": kernel, "bias": bias}
    preparation = _PREPARATIONS[convention]
    order = slice(None, None, -1 if preparation.reverse else 1)
    scaled = kernel[:, :, order].astype(np.float64) / np.array(preparation.deviation)[:, None]
    offset = np.subtract(_PREPARATIONS["caffe"].mean, preparation.mean)
    shifted = bias + np.einsum("hwio,i->o", scaled, offset)
    return {"kernel": scaled.astype(np.float32), "bias": shifted.astype(np.float32)}
