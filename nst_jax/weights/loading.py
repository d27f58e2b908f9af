"""The parameters of a network in memory: of a file, or random; and facts about them.

References:
  Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
  2014. The weights are the Visual Geometry Group's, University of Oxford, CC BY 4.0.
"""

import hashlib
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from nst_jax.choices import Arch, InputConvention
from nst_jax.system import files
from nst_jax.weights import download, official
from nst_jax.weights.finding import VARIABLE, Resolution, resolve
from nst_jax.weights.formats import CREDIT, Params, read_file
from nst_jax.weights.parameters import parameter_shapes


def load_params(
    source: str | os.PathLike[str] | None = None,
    *,
    arch: Arch = "vgg19",
    convention: InputConvention = "auto",
) -> Params:
    """The parameters of a network, for an input that is BGR, 0 to 255, minus the mean.

    Args:
      source: a path in any format of `formats.read_file`, "random", or None for the first of
        the places that `finding` lists; what is nowhere is downloaded.
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
    downloads = found.kind == "download"
    path = download.fetch_after(arch, found.tried) if downloads else found.path
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
      source: as `load_params`.
      arch: "vgg19" or "vgg16".
      say: gets what was tried and what can be done, if there are none.

    Returns:
      A source for `load_params`.

    Raises:
      OSError: the file that is named, by argument or variable, is not there or is a folder.
    """
    found = resolve(source, arch=arch)
    if found.kind == "random":
        return "random"
    if found.kind == "download":
        try:
            download.fetch_after(arch, found.tried)
        except download.WeightsNotFound as error:
            say(str(error))
            return "random"
    return source


def describe(resolution: Resolution) -> dict[str, str | int | None]:
    """Facts about weights, for people and for logs; reads the whole file if there is one.

    Args:
      resolution: of `resolve`.

    Returns:
      name, arch, kind, path, file_sha256, params_sha256, parameters, licence, provenance;
      both hashes are None for a file that is not downloaded yet.

    Raises:
      ValueError, OSError: as `load_params`, for a file that is there.
    """
    path = resolution.path
    if path is None:
        params = random_params(resolution.arch)
        return _facts(
            resolution,
            params_sha256=params_sha256(params),
            licence="none",
            provenance="random numbers, seed 0",
        )
    if resolution.kind == "download":
        return _facts(resolution)
    weights = read_file(path, resolution.arch)
    hashes = {"file_sha256": files.sha256(path), "params_sha256": params_sha256(weights.params)}
    if resolution.kind == "cache":
        return _facts(resolution, **hashes)
    return _facts(resolution, **hashes, licence=weights.licence, provenance=weights.provenance)


def _facts(resolution: Resolution, **known: Any) -> dict[str, str | int | None]:
    """All facts in their order; those of the official file where they are not known better."""
    arch, path = resolution.arch, resolution.path
    shapes = [shape for layer in parameter_shapes(arch).values() for shape in layer.values()]
    return {
        "name": resolution.name,
        "arch": arch,
        "kind": resolution.kind,
        "path": str(path) if path else None,
        "file_sha256": None,
        "params_sha256": None,
        "parameters": sum(int(np.prod(shape)) for shape in shapes),
        "licence": CREDIT,
        "provenance": f"Keras's official file, md5 {official.FILES[arch].md5}",
        **known,
    }


def params_sha256(params: Params) -> str:
    """Hashes the layers' names, shapes and float32 values, whatever file they came from.

    Args:
      params: the layers, each a dict of arrays.

    Returns:
      SHA-256 in hexadecimal digits.
    """
    digest = hashlib.sha256()
    for layer in sorted(params):
        for name in sorted(params[layer]):
            value = np.ascontiguousarray(params[layer][name], "<f4")
            digest.update(f"{layer}/{name}{value.shape}".encode())
            digest.update(value.data)
    return digest.hexdigest()


def random_params(arch: Arch = "vgg19", seed: int = 0) -> Params:
    """He-normal kernels and small biases: an untrained network, for tests and for trying out.

    Golden files depend on its values, so the stream must never change: NumPy has frozen its
    legacy generator.

    Args:
      arch: "vgg19" or "vgg16".
      seed: of the random numbers.

    Returns:
      As `load_params`.

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
