"""Weight files: HDF5 (ours and Keras's), safetensors and torch state dicts, read by content.

Whatever the file, the result is one plain pytree in one convention,
`{layer: {"kernel": (3, 3, in, out), "bias": (out,)}}` in float32 for an input that is BGR, 0 to
255, minus the ImageNet mean (103.939, 116.779, 123.68).

Files may come from strangers: names, shapes and types are checked before any array is read,
HDF5 links and storage outside the file are refused, and nothing is ever unpickled but by
torch's restricted loader.
"""

import hashlib
import itertools
import os
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from nst_jax import hdf5, trial
from nst_jax.choices import Arch, InputConvention
from nst_jax.files import check_output, reason, replacing

Params = dict[str, dict[str, np.ndarray]]

ARCHS: tuple[Arch, ...] = ("vgg19", "vgg16")
CREDIT = "VGG weights by the Visual Geometry Group, University of Oxford, CC BY 4.0"
INPUT = "BGR, 0 to 255, minus (103.939, 116.779, 123.68)"

_SCHEMA = "nst_jax.weights"
_MAX_OBJECTS = 10_000
# Of an array in double precision, with room; of the header of a safetensors file.
_MAX_BYTES = 2**26
_MAX_HEADER = 2**22
_FLOATS = ("float16", "float32", "float64")
_SAFETENSORS_FLOATS = {"F16": "float16", "F32": "float32", "F64": "float64"}

# `block1_conv1/kernel`, `block1_conv1/block1_conv1_W_1:0`, `model_weights/vgg19/block1_conv1/...`
_BY_NAME = re.compile(r"(?:.+/)?(block\d+_conv\d+)[/.](?:.+/)?(?:\w+_)?(kernel|bias|W|b)(?:_\d+)?")
# Keras 3 (`*.weights.h5`) counts the layers of a kind: `layers/conv2d_3/vars/0`.
_BY_COUNT = re.compile(r"(?:.+/)?conv2d(?:_(\d+))?/vars/([01])")
_BY_INDEX = re.compile(r"(?:.+\.)?features\.(\d+)\.(weight|bias)")
_PARAMETER = {"W": "kernel", "0": "kernel", "weight": "kernel", "b": "bias", "1": "bias"}


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


class _Tensor(NamedTuple):
    """One array of a file, not read yet."""

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]


class _Contents(NamedTuple):
    tensors: dict[str, _Tensor]
    attributes: dict[str, str]


_Key = tuple[str, str]
"""(layer, "kernel" or "bias")."""


def parameter_shapes(arch: Arch = "vgg19") -> dict[str, dict[str, tuple[int, ...]]]:
    """The shapes of a network's parameters, in the order of its layers."""
    # `vgg` brings JAX and Flax, which what only looks for files has no need of.
    from nst_jax.vgg import architecture

    return {
        layer.name: {"kernel": layer.kernel_shape, "bias": (layer.channels,)}
        for layer in architecture(arch)
        if layer.kind == "conv"
    }


def check_file(path: Path, arch: Arch = "vgg19") -> None:
    """Makes sure that a file has every parameter of a network, without reading the arrays.

    Raises:
      ValueError, OSError: as `read_file`.
    """
    with _open(path) as contents:
        _select(contents, arch, path)


def infer_arch(path: Path) -> Arch:
    """Which network a file holds.

    Raises:
      ValueError: neither of them, or not a weight file.
      OSError: the file cannot be read.
    """
    with _open(path) as contents:
        for arch in ARCHS:
            if _fits(contents, arch, path):
                return arch
        try:
            _match(contents, ARCHS[0], path)
        except ValueError as error:
            raise ValueError(f"{error}; {path.name} is no VGG16 either") from None
    raise AssertionError("unreachable")


def read_file(
    path: Path, arch: Arch = "vgg19", *, convention: InputConvention = "auto"
) -> WeightFile:
    """Reads and checks the weights of a network in any of the formats.

    Args:
      path: HDF5 (`convert`'s or Keras's), safetensors or a torch state dict. Layers that are
        not convolutions are ignored.
      arch: the network that the file must hold.
      convention: the input that the stored weights expect. "caffe" is BGR, 0 to 255, minus the
        mean (Keras, Caffe and its ports); "torchvision" RGB in [0, 1] with mean
        (.485, .456, .406) and deviation (.229, .224, .225); "caffe_rgb" RGB, 0 to 255, minus
        the mean. "auto": layers under Keras's names are "caffe"; networks under torchvision's
        names are told apart by the first numbers of the published ones.

    Returns:
      The parameters in float32, in the convention of `INPUT`, and their origin.

    Raises:
      ValueError: the file is of another kind, lacks a layer, or one has another shape, type or
        a number that is not finite; or "auto" does not know the network; or the package that
        reads the format is not installed.
      OSError: the file is missing, truncated or damaged.
    """
    with _open(path) as contents:
        selected = _select(contents, arch, path)
        params: Params = {layer: {} for layer in parameter_shapes(arch)}
        for (layer, parameter), tensor in selected.items():
            params[layer][parameter] = _read(tensor, f"{path}: {layer} {parameter}")
        torch_names = any(map(_BY_INDEX.fullmatch, contents.tensors))
        attributes = contents.attributes
    first = params["block1_conv1"]
    if convention == "auto":
        convention = _recognize(first["kernel"], path) if torch_names else "caffe"
    params["block1_conv1"] = _to_caffe(first["kernel"], first["bias"], convention)
    licence = attributes.get("licence", _PREPARATIONS[convention].licence)
    provenance = attributes.get("source", f"{path.name}, {convention} convention")
    return WeightFile(params, convention, licence, provenance)


def write_file(path: Path, params: Params, *, attributes: dict[str, str]) -> None:
    """Writes parameters as HDF5, one dataset a parameter, whole or not at all."""
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update({"schema": _SCHEMA, "convention": INPUT, **attributes})
        for layer, parameters in params.items():
            for name, value in parameters.items():
                file[f"{layer}/{name}"] = np.asarray(value, np.float32)


def convert(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    arch: Arch | None = None,
    convention: InputConvention = "auto",
) -> Path:
    """Converts a weight file of any format to this library's HDF5.

    Args:
      source: as `read_file`.
      destination: ends in .h5 or .hdf5; replaced, if it exists, when all has gone well.
      arch: inferred from the file if None.
      convention: as `read_file`.

    Returns:
      The path of the converted file.

    Raises:
      ValueError, OSError: as `read_file`, or the destination cannot be written.
    """
    source, destination = Path(source), Path(destination)
    arch = arch or infer_arch(source)
    weights = read_file(source, arch, convention=convention)
    check_output(destination, force=True, suffixes=(".h5", ".hdf5"))
    attributes = {
        "arch": arch,
        "source": weights.provenance,
        "source_sha256": file_sha256(source),
        "licence": weights.licence,
    }
    write_file(destination, weights.params, attributes=attributes)
    return destination


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Names and shapes


def _key(name: str, arch: Arch) -> _Key | None:
    """Which parameter an array of that name is; None if it is none of a convolution.

    A layer that the network does not have keeps a name of its own, to be reported.
    """
    if name.startswith("optimizer"):
        return None
    if match := _BY_NAME.fullmatch(name.removesuffix(":0")):
        layer, parameter = match.groups()
    elif match := _BY_COUNT.fullmatch(name):
        position, parameter = int(match[1] or 0), match[2]
        layer = dict(enumerate(parameter_shapes(arch))).get(position, f"convolution {position}")
    elif match := _BY_INDEX.fullmatch(name):
        layer = _torch_layers(arch).get(int(match[1]), f"features.{match[1]}")
        parameter = match[2]
    else:
        return None
    return layer, _PARAMETER.get(parameter, parameter)


def _torch_layers(arch: Arch) -> dict[int, str]:
    """Index in torchvision's `features` -> layer: ReLU and pooling count there too."""
    from nst_jax.vgg import architecture

    layers = architecture(arch)
    sizes = (2 if layer.kind == "conv" else 1 for layer in layers)
    indices = itertools.accumulate(sizes, initial=0)
    return {i: layer.name for i, layer in zip(indices, layers, strict=False)}


def _match(contents: _Contents, arch: Arch, path: Path) -> dict[_Key, _Tensor]:
    """The tensors of a network's parameters; everything about them but the values is checked."""
    found: dict[_Key, _Tensor] = {}
    names: dict[_Key, str] = {}
    for name, tensor in contents.tensors.items():
        if name.endswith("running_mean"):
            raise ValueError(f"{path}: networks with batch normalization are not supported")
        key = _key(name, arch)
        if key in found:
            raise ValueError(f"{path}: {' '.join(key)} is ambiguous: {names[key]} and {name}")
        if key:
            # torch stores kernels as (out, in, height, width).
            if _BY_INDEX.fullmatch(name) and len(tensor.shape) == 4:
                tensor = _transposed(tensor)
            found[key], names[key] = tensor, name
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
    return found


def _transposed(tensor: _Tensor) -> _Tensor:
    o, i, h, w = tensor.shape
    return tensor._replace(shape=(h, w, i, o), read=lambda: tensor.read().transpose(2, 3, 1, 0))


def _fits(contents: _Contents, arch: Arch, path: Path) -> bool:
    try:
        _match(contents, arch, path)
    except ValueError:
        return False
    return True


def _select(contents: _Contents, arch: Arch, path: Path) -> dict[_Key, _Tensor]:
    """`_match`, whose error names the network that the file does hold."""
    try:
        return _match(contents, arch, path)
    except ValueError as error:
        for other in ARCHS:
            if other != arch and _fits(contents, other, path):
                raise ValueError(f"{error}; the file holds {other}: use --arch {other}") from None
        raise


def _read(tensor: _Tensor, what: str) -> np.ndarray:
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
    """The convention of a published network.

    The scale of the first kernel does not tell: torchvision trained its networks anew, and
    theirs (rms of some tenths) is that of the Caffe ones, whose inputs are sixty times larger.
    """
    tap = kernel[0, 0, :, 0]
    for convention, preparation in _PREPARATIONS.items():
        if any(np.allclose(tap, known, rtol=0.01, atol=1e-3) for known in preparation.known):
            return convention
    raise ValueError(
        f"{path}: not one of the published networks, so its input convention is unknown: "
        "convert it by `python weights/convert.py`, with --convention torchvision (RGB in "
        "[0, 1], normalized) or --convention caffe (BGR, 0 to 255, minus the mean)"
    )


def _to_caffe(
    kernel: np.ndarray, bias: np.ndarray, convention: InputConvention
) -> dict[str, np.ndarray]:
    """The first layer for an input in the one convention: x -> (x + mean' - mean) / deviation.

    Exact but at the border: zero padding stands for the mean color, and the two means differ by
    up to half a gray level (torchvision's) of 255.
    """
    if convention == "caffe":
        return {"kernel": kernel, "bias": bias}
    preparation = _PREPARATIONS[convention]
    order = slice(None, None, -1 if preparation.reverse else 1)
    scaled = kernel[:, :, order].astype(np.float64) / np.array(preparation.deviation)[:, None]
    offset = np.subtract(_PREPARATIONS["caffe"].mean, preparation.mean)
    shifted = bias + np.einsum("hwio,i->o", scaled, offset)
    return {"kernel": scaled.astype(np.float32), "bias": shifted.astype(np.float32)}


# Formats


@contextmanager
def _open(path: Path) -> Iterator[_Contents]:
    """The arrays of a file by their stored names; readable until the block ends."""
    with ExitStack() as stack:
        try:
            contents = stack.enter_context(_reader(path)(path))
        except FileNotFoundError:
            raise FileNotFoundError(f"{path}: no such file") from None
        except ValueError as error:
            raise _naming(path, error) from error
        except Exception as error:
            # Damaged and hostile files make the libraries raise errors of many kinds.
            raise OSError(f"{path} cannot be read: {reason(error)}") from error
        yield contents


def _naming(path: Path, error: ValueError) -> ValueError:
    """The error, with the name of the file."""
    named = str(path) in str(error)
    return error if named else ValueError(f"{path}: {reason(error)}")


def _reader(path: Path) -> Callable[[Path], AbstractContextManager[_Contents]]:
    if path.exists() and not path.is_file():
        raise ValueError(f"{path}: expected a file with weights, found a folder, device or pipe")
    with path.open("rb") as file:
        head = file.read(16)
    if h5py.is_hdf5(path):
        return _open_hdf5
    if head[8:9] == b"{":
        return _open_safetensors
    # A zip archive, and the pickle protocol of older torch files.
    if head.startswith((b"PK\x03\x04", b"\x80\x02")):
        return _open_torch
    raise ValueError(
        f"{path}: expected HDF5, safetensors or a torch state dict, found a file that begins "
        f"with {head!r}"
    )


@contextmanager
def _open_hdf5(path: Path) -> Iterator[_Contents]:
    # Without locking, because shared folders are often read-only.
    with h5py.File(path, "r", locking=False) as file:
        tensors = {
            name: _Tensor(
                dataset.shape or (), hdf5.dtype_name(dataset), partial(_read_hdf5, dataset)
            )
            for name, dataset in hdf5.datasets(file, _MAX_OBJECTS)
        }
        attributes = {}
        if "schema" in file.attrs:
            trial.try_first(path, _attributes)
            attributes = _attributes(path)
        yield _Contents(tensors, attributes)


def _read_hdf5(dataset: h5py.Dataset) -> np.ndarray:
    # Its shape is that of a parameter; what is left to refuse are giant chunks.
    hdf5.check_stored(dataset, _MAX_BYTES)
    return hdf5.read(dataset)


def _attributes(path: Path) -> dict[str, str]:
    """What `convert` says of a file of its own; of other files nothing."""
    with h5py.File(path, "r", locking=False) as file:
        if hdf5.attribute(file, "schema") != _SCHEMA:
            return {}
        return {name: str(hdf5.attribute(file, name)) for name in file.attrs}


@contextmanager
def _open_safetensors(path: Path) -> Iterator[_Contents]:
    try:
        from safetensors import safe_open
    except ImportError:
        raise ValueError(
            f"{path} is a safetensors file: pip install 'nst_jax[safetensors]' to read it"
        ) from None
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    if header > _MAX_HEADER:
        raise ValueError(f"{path}: its header of {header:,} bytes is not that of a weight file")
    with safe_open(path, framework="numpy") as file:
        tensors = {}
        for name in file.keys():  # noqa: SIM118 (it is not a dict)
            info = file.get_slice(name)
            dtype = info.get_dtype()
            tensors[name] = _Tensor(
                tuple(info.get_shape()),
                _SAFETENSORS_FLOATS.get(dtype, dtype),
                partial(file.get_tensor, name),
            )
        yield _Contents(tensors, {})


@contextmanager
def _open_torch(path: Path) -> Iterator[_Contents]:
    try:
        import torch
    except ImportError:
        raise ValueError(
            f"{path} looks like a torch state dict: pip install 'nst_jax[torch]' to read it"
        ) from None
    _check_zip(path)
    try:
        with warnings.catch_warnings():
            # Of pickles that torch finds odd.
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # What torch goes on to say is how to run the code in the file after all.
        first = reason(error).partition(". ")[0]
        raise OSError(f"{first}; expected a plain, whole state dict") from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict):
        raise ValueError(f"{path}: expected a state dict, found {type(state).__name__}")
    tensors = {
        str(name): _Tensor(
            tuple(value.shape),
            str(value.dtype).removeprefix("torch."),
            value.detach().numpy,
        )
        for name, value in state.items()
        if isinstance(value, torch.Tensor)
    }
    yield _Contents(tensors, {})


def _check_zip(path: Path) -> None:
    """Refuses a torch archive that unpacks to more than it takes: torch compresses nothing."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > path.stat().st_size:
        raise ValueError(f"{path} unpacks to {unpacked:,} bytes; torch compresses nothing")
