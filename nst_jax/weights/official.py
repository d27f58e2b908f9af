"""The official weight files: Keras's, which hold the network of the Visual Geometry Group."""

import os
from pathlib import Path
from typing import NamedTuple

import pooch

from nst_jax.choices import Arch
from nst_jax.system import places

URL_VARIABLE = "NST_JAX_WEIGHTS_URL"
"""The environment variable that names an address of the user's own for the official file."""

_HOST = "https://storage.googleapis.com/tensorflow/keras-applications"


class Official(NamedTuple):
    """An official file: its name, its checksum, and the addresses that have it."""

    name: str
    md5: str
    urls: tuple[str, ...]


def _keras_file(arch: str, md5: str) -> Official:
    name = f"{arch}_weights_tf_dim_ordering_tf_kernels_notop.h5"
    return Official(name, md5, (f"{_HOST}/{arch}/{name}",))


FILES = {
    "vgg19": _keras_file("vgg19", "253f8cb515780f3b799900260a226db6"),
    "vgg16": _keras_file("vgg16", "6d6bbae143d832006294945121d1f1fc"),
}
"""The official file of each network."""


def cached_path(arch: Arch) -> Path:
    """Where the official file of a network is kept once it is downloaded: in the user's cache.

    Args:
      arch: "vgg19" or "vgg16".
    """
    return places.cache_folder() / FILES[arch].name


def urls(arch: Arch) -> tuple[str, ...]:
    """The addresses of the official file; an address of the user's own comes first.

    Args:
      arch: "vgg19" or "vgg16".
    """
    official = FILES[arch]
    own = os.environ.get(URL_VARIABLE)
    if not own:
        return official.urls
    return (own + official.name if own.endswith("/") else own, *official.urls)


def problem(path: Path, arch: Arch) -> str | None:
    """Compares a file with the official one.

    Args:
      path: the file.
      arch: "vgg19" or "vgg16".

    Returns:
      Why it is not the official file, in one line; None if it is.
    """
    if not path.exists():
        return f"{path}: no such file"
    expected = FILES[arch].md5
    try:
        md5 = pooch.file_hash(str(path), alg="md5")
    except (ValueError, OSError) as error:
        return str(error)
    return None if md5 == expected else f"{path}: expected the md5 {expected}, got {md5}"
