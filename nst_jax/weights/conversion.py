"""Converts weight files of any format and network to this library's HDF5."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nst_jax.choices import AnyArch, InputConvention, JudgeArch
from nst_jax.system.files import check_output, sha256
from nst_jax.weights import judge_files
from nst_jax.weights.formats import Params, infer_arch, read_file, write_file


class _Converted(NamedTuple):
    """What goes into the new file."""

    params: Params
    attributes: dict[str, str]
    vectors: dict[str, np.ndarray]


def convert(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    arch: AnyArch | None = None,
    convention: InputConvention = "auto",
    lpips: str | os.PathLike[str] | None = None,
) -> Path:
    """Converts a weight file of any format to this library's HDF5.

    Args:
      source: as `formats.read_file`.
      destination: ends in .h5 or .hdf5; replaced, if it exists, when all has gone well.
      arch: inferred from the file if None.
      convention: of a VGG, as `formats.read_file`; that of a judge is told by its names.
      lpips: a file with LPIPS's linear layers for AlexNet, which the new file gets as well.

    Returns:
      The path of the converted file.

    Raises:
      ValueError, OSError: as `formats.read_file`, or the destination cannot be written; an option
        of another network.
    """
    source, destination = Path(source), Path(destination)
    arch = arch or infer_arch(source)
    if lpips is not None and arch != "alexnet":
        raise ValueError(f"LPIPS's layers go with alexnet, and {source} is read as {arch}")
    if arch == "alexnet" or arch == "squeezenet":
        converted = _judge(source, arch, convention, Path(lpips) if lpips is not None else None)
    else:
        weights = read_file(source, arch, convention=convention)
        attributes = {"source": weights.provenance, "licence": weights.licence}
        converted = _Converted(weights.params, attributes, {})
    check_output(destination, force=True, suffixes=(".h5", ".hdf5"))
    attributes = {"arch": arch, "source_sha256": sha256(source), **converted.attributes}
    write_file(destination, converted.params, attributes=attributes, vectors=converted.vectors)
    return destination


def _judge(
    source: Path, arch: JudgeArch, convention: InputConvention, lpips: Path | None
) -> _Converted:
    if convention != "auto":
        raise ValueError(
            f"a convention is for vgg19 and vgg16; that of {arch} is told by its names"
        )
    judge = judge_files.read_judge(source, arch)
    attributes = {
        "source": judge.provenance,
        "licence": judge.licence,
        "convention": judge.convention,
    }
    layers = judge.lpips
    if lpips is not None:
        layers = judge_files.read_lpips(lpips)
        attributes["lpips_sha256"] = sha256(lpips)
    return _Converted(judge.params, attributes, layers or {})
