"""The weights of VGG16 and VGG19: found, downloaded, verified, loaded.

`load_params(None)` takes the first of

1. `$NST_JAX_WEIGHTS`, a path or "random";
2. `weights/` of the checkout, then `../shared/weights/` beside it;
3. the user's cache;
4. Keras's official file from its official host, checked by its checksum, kept in the cache.

A source that is named, by argument or variable, is used or is an error; it is never skipped.
The formats are `formats`'s business.

References:
  Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
  2014. The weights are the Visual Geometry Group's, University of Oxford, CC BY 4.0.
"""

import hashlib
import os
import re
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pooch
from tqdm import tqdm

from nst_jax.choices import Arch, InputConvention
from nst_jax.system import files, locks, places
from nst_jax.system.console import informs
from nst_jax.weights.formats import CREDIT, Params, check_file, convert, infer_arch, read_file
from nst_jax.weights.names import parameter_shapes

__all__ = [
    "Resolution",
    "WeightsNotFound",
    "convert",
    "describe",
    "fetch",
    "infer_arch",
    "load_params",
    "params_sha256",
    "random_params",
    "resolve",
    "trained_or_random",
]

Kind = Literal["path", "environment", "checkout", "shared", "cache", "download", "random"]

VARIABLE = "NST_JAX_WEIGHTS"
URL_VARIABLE = "NST_JAX_WEIGHTS_URL"
PATIENCE = 18.0
"""Seconds without an answer after which all attempts at a download together give up; with the
end of each it stays below twenty."""

_HOST = "https://storage.googleapis.com/tensorflow/keras-applications"


class _Official(NamedTuple):
    name: str
    md5: str
    urls: tuple[str, ...]


def _keras_file(arch: str, md5: str) -> _Official:
    name = f"{arch}_weights_tf_dim_ordering_tf_kernels_notop.h5"
    return _Official(name, md5, (f"{_HOST}/{arch}/{name}",))


_OFFICIAL = {
    "vgg19": _keras_file("vgg19", "253f8cb515780f3b799900260a226db6"),
    "vgg16": _keras_file("vgg16", "6d6bbae143d832006294945121d1f1fc"),
}


class WeightsNotFound(FileNotFoundError):
    """No usable weights anywhere; the message says what was tried and what can be done."""


@dataclass(frozen=True)
class Resolution:
    """Which weights would be used, and from where; nothing is read or downloaded for it."""

    kind: Kind
    arch: Arch
    path: Path | None
    """The file; for "download" where it would be kept; None for "random"."""
    tried: tuple[str, ...] = ()
    """The places before it in the order, each with what was wrong."""

    @property
    def name(self) -> str:
        return self.path.name if self.path else "random"

    @property
    def description(self) -> str:
        """One line for people."""
        where = {
            "path": f"{self.path}",
            "environment": f"{self.path} (named by ${VARIABLE})",
            "checkout": f"{self.path} (in the checkout)",
            "shared": f"{self.path} (beside the checkout)",
            "cache": f"{self.path} (downloaded before)",
            "download": f"to be downloaded from {' or '.join(_urls(self.arch))} to {self.path}",
            "random": "random numbers, not a trained network",
        }
        return f"{self.arch}: {where[self.kind]}"


def load_params(
    source: str | os.PathLike[str] | None = None,
    *,
    arch: Arch = "vgg19",
    convention: InputConvention = "auto",
) -> Params:
    """The parameters of a network, for an input that is BGR, 0 to 255, minus the mean.

    Args:
      source: a path in any format of `formats.read_file`, "random", or None for the
        order of the module.
      arch: "vgg19" or "vgg16".
      convention: what input the weights expect, see `formats.read_file`.

    Returns:
      A dict of layers, each with "kernel" (3, 3, in, out) and "bias" (out,), float32 NumPy
      arrays.

    Raises:
      WeightsNotFound: no source was named, nothing was found and nothing could be downloaded.
      ValueError, OSError: the file is missing, damaged, or holds something else.
    """
    found = resolve(source, arch=arch)
    if found.path is None:
        return random_params(arch)
    path = _fetch(arch, found.tried) if found.kind == "download" else found.path
    try:
        return read_file(path, arch, convention=convention).params
    except (ValueError, OSError) as error:
        if found.kind != "environment":
            raise
        kind = ValueError if isinstance(error, ValueError) else OSError
        raise kind(f"{error} (named by ${VARIABLE})") from error


def trained_or_random(
    source: str | None = None, *, arch: Arch = "vgg19", say: Callable[[str], None]
) -> str | None:
    """The source itself, or "random" if no trained weights can be had: for a first look.

    What has to be downloaded is downloaded.

    Args:
      source: as `load_params`, which takes what comes back.
      arch: "vgg19" or "vgg16".
      say: gets what was tried and what can be done, if there are none.

    Raises:
      OSError: the file that is named, by argument or variable, is not there or is a folder.
    """
    found = resolve(source, arch=arch)
    if found.kind == "random":
        return "random"
    if found.kind == "download":
        try:
            _fetch(arch, found.tried)
        except WeightsNotFound as error:
            say(str(error))
            return "random"
    return source


def resolve(source: str | os.PathLike[str] | None = None, *, arch: Arch = "vgg19") -> Resolution:
    """Which weights `load_params` would use; downloads nothing.

    A file in the checkout that cannot be used is passed over with a warning. Arguments: as
    `load_params`.

    Raises:
      ValueError: an unknown `arch`.
      OSError: the file that is named, by argument or variable, is not there or is a folder.
    """
    if arch not in _OFFICIAL:
        raise ValueError(f"`arch` must be one of {', '.join(_OFFICIAL)}, got {arch!r}")
    if source is not None:
        return _named(source, "path", arch)
    if variable := os.environ.get(VARIABLE):
        return _named(variable, "environment", arch)
    tried: list[str] = []
    for kind, path in _places(arch):
        problem = _problem(kind, path, arch)
        if problem is None:
            return Resolution(kind, arch, path, tuple(tried))
        tried.append(problem)
        if kind == "checkout" and path.exists():
            warnings.warn(f"weights passed over: {problem}", stacklevel=2)
    return Resolution("download", arch, places.cache_folder() / _OFFICIAL[arch].name, tuple(tried))


def describe(resolution: Resolution) -> dict[str, str | int | None]:
    """Facts about weights, for people and for logs; reads the whole file if there is one.

    Returns:
      name, arch, kind, path, file_sha256, params_sha256, parameters, licence, provenance;
      both hashes are None for a file that is not downloaded yet.

    Raises:
      ValueError, OSError: as `load_params`, for a file that is there.
    """
    arch, path = resolution.arch, resolution.path
    facts = {
        "name": resolution.name,
        "arch": arch,
        "kind": resolution.kind,
        "path": str(path) if path else None,
        "file_sha256": None,
        "params_sha256": None,
        "parameters": sum(
            int(np.prod(shape))
            for shapes in parameter_shapes(arch).values()
            for shape in shapes.values()
        ),
        "licence": CREDIT,
        "provenance": f"Keras's official file, md5 {_OFFICIAL[arch].md5}",
    }
    if path is None:
        params = random_params(arch)
        facts |= {"licence": "none", "provenance": "random numbers, seed 0"}
        return facts | {"params_sha256": params_sha256(params)}
    if resolution.kind == "download":
        return facts
    weights = read_file(path, arch)
    if resolution.kind != "cache":
        facts |= {"licence": weights.licence, "provenance": weights.provenance}
    return facts | {
        "file_sha256": files.sha256(path),
        "params_sha256": params_sha256(weights.params),
    }


def params_sha256(params: Params) -> str:
    """A hash of the layers' names, shapes and float32 values, whatever file they came from."""
    digest = hashlib.sha256()
    for layer in sorted(params):
        for name in sorted(params[layer]):
            value = np.ascontiguousarray(params[layer][name], "<f4")
            digest.update(f"{layer}/{name}{value.shape}".encode())
            digest.update(value.data)
    return digest.hexdigest()


def random_params(arch: Arch = "vgg19", seed: int = 0) -> Params:
    """He-normal kernels and small biases: an untrained network, for tests and for trying out.

    The stream is frozen (NumPy's legacy generator): golden files depend on its values.

    References:
      He et al., "Delving Deep into Rectifiers", ICCV 2015, section 2.2.
    """
    rng = np.random.RandomState(seed)
    params = {}
    for layer, shapes in parameter_shapes(arch).items():
        scale = np.float32(np.sqrt(2 / (9 * shapes["kernel"][2])))
        kernel = rng.standard_normal(shapes["kernel"]).astype(np.float32) * scale
        bias = rng.standard_normal(shapes["bias"]).astype(np.float32) * np.float32(0.1)
        params[layer] = {"kernel": kernel, "bias": bias}
    return params


def fetch(arch: Arch = "vgg19") -> Path:
    """The official file in the user's cache, downloaded if it is not there.

    It takes its place there only when it is whole and its checksum is right, so that several
    processes may do this at once.

    Raises:
      WeightsNotFound: no address gave it; the message says why.
    """
    return _fetch(arch, ())


# Finding


def _named(source: str | os.PathLike[str], kind: Kind, arch: Arch) -> Resolution:
    if source == "random":
        return Resolution("random", arch, None)
    path = Path(source).expanduser()
    by = f" (named by ${VARIABLE})" if kind == "environment" else ""
    if path.is_dir():
        raise IsADirectoryError(f"weights {path}: expected a file, found a folder{by}")
    if not path.exists():
        raise FileNotFoundError(f"weights {path}: {files.absence(path)}{by}")
    return Resolution(kind, arch, path)


def _places(arch: Arch) -> Iterator[tuple[Kind, Path]]:
    """The files to look for without being told, in order."""
    official = _OFFICIAL[arch]
    checkout = places.checkout()
    if checkout:
        yield "checkout", checkout / "weights" / f"{arch}.h5"
        yield "checkout", checkout / "weights" / official.name
        shared = checkout.parent / "shared" / "weights"
        for path in sorted(shared.glob("*.h5")) or [shared / "*.h5"]:
            yield "shared", path
    yield "cache", places.cache_folder() / official.name


def _problem(kind: Kind, path: Path, arch: Arch) -> str | None:
    """Why a file is of no use, or None."""
    if not path.exists():
        return f"{path}: no such file"
    try:
        if kind == "cache":
            return _checksum_problem(path, _OFFICIAL[arch].md5)
        check_file(path, arch)
    except (ValueError, OSError) as error:
        return str(error)
    return None


def _checksum_problem(path: Path, expected: str) -> str | None:
    md5 = pooch.file_hash(str(path), alg="md5")
    return None if md5 == expected else f"{path}: expected the md5 {expected}, got {md5}"


# Downloading


def _urls(arch: Arch) -> tuple[str, ...]:
    """The addresses of the official file; an address of the user's own comes first."""
    official = _OFFICIAL[arch]
    own = os.environ.get(URL_VARIABLE)
    if not own:
        return official.urls
    return (own + official.name if own.endswith("/") else own, *official.urls)


def _fetch(arch: Arch, tried: Sequence[str]) -> Path:
    path = places.cache_folder() / _OFFICIAL[arch].name
    if _is_whole(path, arch):
        return path
    try:
        files.check_folder(path.parent)
    except OSError as error:
        raise _not_found(arch, [*tried, f"{error} (XDG_CACHE_HOME names another)"]) from error
    with locks.held(path, wait=True):
        # Another process may have fetched it meanwhile.
        return path if _is_whole(path, arch) else _fetch_anew(arch, tried)


def _is_whole(path: Path, arch: Arch) -> bool:
    return path.exists() and _problem("cache", path, arch) is None


def _fetch_anew(arch: Arch, tried: Sequence[str]) -> Path:
    attempts = list(tried)
    urls = _urls(arch)
    for url in urls:
        try:
            return _download(url, _OFFICIAL[arch], PATIENCE / len(urls))
        # requests' errors are OSErrors; a wrong checksum is a ValueError.
        except (OSError, ValueError) as error:
            attempts.append(f"{url}: {_reason(error)}")
    raise _not_found(arch, attempts)


def _not_found(arch: Arch, attempts: Sequence[str]) -> WeightsNotFound:
    return WeightsNotFound(
        "\n  ".join([f"no weights for {arch}; tried", *attempts])
        + "\nDownload the file where there is a network, and name it by --weights PATH or by the "
        f"environment variable {VARIABLE}; any {arch.upper()} in HDF5, npz, safetensors or torch "
        "format will do. For a preview, take an untrained network by --weights random."
    )


def _reason(error: Exception) -> str:
    """What went wrong, without the address, which `requests` wraps around it several times."""
    innermost = getattr(error.args[0] if error.args else None, "reason", None) or error
    return re.sub(r"HTTPS?Connection(Pool)?\([^)]*\): ", "", str(innermost))


class _Progress(tqdm):
    """A progress bar that knows when the last bytes came, and ends a download given up."""

    given_up = False

    def __init__(self, **kwargs):
        self.last_news = time.monotonic()
        super().__init__(**kwargs)

    def __bool__(self) -> bool:
        # tqdm's bar of unknown length is false, which pooch would take for no bar at all.
        return True

    def update(self, n: int = 1) -> bool | None:
        if self.given_up:
            raise TimeoutError("given up")
        self.last_news = time.monotonic()
        return super().update(n)


def _download(url: str, official: _Official, patience: float) -> Path:
    """One attempt; pooch checks the sum of a temporary file and moves it into the cache.

    It runs in a thread because no timeout of `requests` covers the look-up of the name, or a
    host with several addresses that all keep silent.

    Raises:
      OSError, ValueError: no answer for `patience` seconds, an error, or a wrong checksum.
    """
    outcome: Future[str] = Future()
    pooch.get_logger().disabled = not informs()
    # No bar where standard error is not a terminal.
    disable = None if informs() else True
    progress = _Progress(desc=official.name, unit="B", unit_scale=True, delay=0.2, disable=disable)
    responses = []

    def work() -> None:
        downloader = pooch.HTTPDownloader(
            progressbar=progress,
            chunk_size=1 << 14,
            timeout=patience,
            hooks={"response": lambda response, **_: responses.append(response)},
        )
        try:
            path = pooch.retrieve(
                url,
                f"md5:{official.md5}",
                official.name,
                places.cache_folder(),
                downloader=downloader,
            )
            outcome.set_result(path)
        except BaseException as error:
            outcome.set_exception(error)
        finally:
            # pooch leaves the connection of a failed download open.
            for response in responses:
                response.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while not wait([outcome], timeout=0.05).done:
            if time.monotonic() - progress.last_news > patience:
                raise TimeoutError(f"no answer for {patience:g} seconds")
        return Path(outcome.result())
    finally:
        # Also after Ctrl-C: the thread removes its temporary file, if it gets to it.
        progress.given_up = True
        thread.join(timeout=1)
        progress.close()
