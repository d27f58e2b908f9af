"""Files of arrays, told apart by content: HDF5, safetensors, npz, Keras and torch archives.

Files may come from strangers. So names, shapes and types are checked before any array is read, HDF5
links and storage outside the file are refused, and only torch's restricted loader unpickles.
"""

import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from nst_jax.system import hdf5, npz, sandbox
from nst_jax.system.files import absence, reason
from nst_jax.weights import foreign

SCHEMA = "nst_jax.weights"
"""The attribute by which `convert` marks its files."""

_KINDS = "HDF5, safetensors, npz, a .keras archive or a torch state dict"
_MAX_OBJECTS = 10_000
# Bytes of an array, with room: the largest has 19 MB in double precision.
_MAX_BYTES = 2**26
# Bytes of the header of a safetensors file.
_MAX_HEADER = 2**22
_SAFETENSORS_FLOATS = {"F16": "float16", "F32": "float32", "F64": "float64"}
# The name of the weights in a .keras archive.
_KERAS_WEIGHTS = "model.weights.h5"


class Tensor(NamedTuple):
    """One array of a file, not read yet."""

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]


class Contents(NamedTuple):
    """The arrays of a file by their stored names, and what `convert` says of one."""

    tensors: dict[str, Tensor]
    attributes: dict[str, str]


@contextmanager
def opened(path: Path) -> Iterator[Contents]:
    """The contents of a file; its arrays can be read until the block ends.

    Args:
      path: the file; its content decides the kind, not its ending.

    Yields:
      Its arrays, not read yet, and its attributes.

    Raises:
      ValueError: it is of a kind that is not read: the message says what it is and what to do.
      OSError: it is missing, cut or damaged.
    """
    with ExitStack() as stack:
        try:
            contents = stack.enter_context(_reader(path)(path))
        except FileNotFoundError:
            raise FileNotFoundError(f"{path}: {absence(path)}") from None
        except PermissionError as error:
            raise PermissionError(f"{path} cannot be read: {reason(error)}") from error
        except ValueError as error:
            raise _naming(path, error) from error
        except Exception as error:
            # Damaged and hostile files make the libraries raise errors of many kinds.
            raise OSError(
                f"{path} cannot be read: {reason(error)}; if it was copied or downloaded, do so "
                "again"
            ) from error
        yield contents


def _naming(path: Path, error: ValueError) -> ValueError:
    """The error, with the name of the file."""
    named = str(path) in str(error)
    return error if named else ValueError(f"{path}: {reason(error)}")


def _reader(path: Path) -> Callable[[Path], AbstractContextManager[Contents]]:
    if path.exists() and not path.is_file():
        raise ValueError(f"{path}: expected a file with weights, found a folder, device or pipe")
    with path.open("rb") as file:
        head = file.read(foreign.HEAD)
    if not head.startswith(foreign.MATLAB) and h5py.is_hdf5(path):
        return _open_hdf5
    if head[8:9] == b"{":
        return _open_safetensors
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _reader_of_archive(path)
    # Torch's older files are pickles of protocol 2, without an archive around them.
    if head.startswith(b"\x80\x02"):
        return _open_torch
    raise ValueError(f"{path}: expected {_KINDS}, found {foreign.in_words(path, head)}")


def _reader_of_archive(path: Path) -> Callable[[Path], AbstractContextManager[Contents]]:
    if not zipfile.is_zipfile(path):
        raise OSError("a zip archive (npz, .keras, torch) without its end")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if _KERAS_WEIGHTS in names:
        return _open_keras
    if names and all(name.endswith(".npy") for name in names):
        return _open_npz
    if any(name.rpartition("/")[2] == "data.pkl" for name in names):
        return _open_torch
    raise ValueError(f"{path}: expected {_KINDS}, found {foreign.archive_in_words(names)}")


@contextmanager
def _open_hdf5(path: Path) -> Iterator[Contents]:
    # HDF5 cannot lock a file in a read-only folder, as shared ones often are.
    with h5py.File(path, "r", locking=False) as file:
        tensors = {
            name: Tensor(
                dataset.shape or (), hdf5.dtype_name(dataset), partial(_read_hdf5, dataset)
            )
            for name, dataset in hdf5.datasets(file, _MAX_OBJECTS)
        }
        attributes = {}
        if "schema" in file.attrs:
            sandbox.try_first(path, _attributes)
            attributes = _attributes(path)
        yield Contents(tensors, attributes)


def _read_hdf5(dataset: h5py.Dataset) -> np.ndarray:
    # The shape has been compared with the parameter's; a giant chunk may still be in the way.
    hdf5.check_stored(dataset, _MAX_BYTES)
    return hdf5.read(dataset)


def _attributes(path: Path) -> dict[str, str]:
    """What `convert` wrote into its own file; nothing for a file of another program."""
    with h5py.File(path, "r", locking=False) as file:
        if hdf5.attribute(file, "schema") != SCHEMA:
            return {}
        return {name: str(hdf5.attribute(file, name)) for name in file.attrs}


@contextmanager
def _open_keras(path: Path) -> Iterator[Contents]:
    _check_stored(path, "Keras")
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / _KERAS_WEIGHTS
        with (
            zipfile.ZipFile(path) as archive,
            archive.open(_KERAS_WEIGHTS) as member,
            weights.open("wb") as file,
        ):
            shutil.copyfileobj(member, file)
        with _open_hdf5(weights) as contents:
            yield contents


@contextmanager
def _open_npz(path: Path) -> Iterator[Contents]:
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        if len(names) > _MAX_OBJECTS:
            raise ValueError(f"more than {_MAX_OBJECTS} arrays, not a weight file")
        entries = {name: npz.entry(archive, name) for name in names}
        tensors = {
            name: Tensor(entry.shape, entry.dtype.name, entry.read)
            for name, entry in entries.items()
        }
        yield Contents(tensors, {})


@contextmanager
def _open_safetensors(path: Path) -> Iterator[Contents]:
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
            tensors[name] = Tensor(
                tuple(info.get_shape()),
                _SAFETENSORS_FLOATS.get(dtype, dtype),
                partial(file.get_tensor, name),
            )
        yield Contents(tensors, {})


@contextmanager
def _open_torch(path: Path) -> Iterator[Contents]:
    try:
        import torch
    except ImportError:
        raise ValueError(
            f"{path} looks like a torch state dict: pip install 'nst_jax[torch]' to read it"
        ) from None
    state = _state_dict(path)
    tensors = {
        name: Tensor(
            tuple(value.shape),
            str(value.dtype).removeprefix("torch."),
            value.detach().numpy,
        )
        for name, value in _flat(state)
        if isinstance(value, torch.Tensor)
    }
    yield Contents(tensors, {})


def _state_dict(path: Path) -> dict:
    import torch

    if zipfile.is_zipfile(path):
        _check_stored(path, "torch")
    try:
        with warnings.catch_warnings():
            # Torch warns of old pickles; what it cannot read becomes an error anyway.
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # The first sentence only: the next one tells how to run the code in the file after all.
        first = reason(error).partition(". ")[0]
        raise OSError(
            f"{first}; expected a plain, whole state dict, as torch.save(model.state_dict(), "
            "PATH) writes it"
        ) from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict):
        raise ValueError(f"{path}: expected a state dict, found {type(state).__name__}")
    return state


def _flat(state: dict) -> Iterator[tuple[str, object]]:
    """The entries of a state dict; a dict within it gives its name to its entries."""
    for name, value in state.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{inner}", each) for inner, each in value.items())
        else:
            yield str(name), value


def _check_stored(path: Path, writer: str) -> None:
    """Refuses an archive that unpacks to more bytes than it has: it may be a bomb."""
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > path.stat().st_size:
        raise ValueError(f"{path} unpacks to {unpacked:,} bytes; {writer} compresses nothing")
