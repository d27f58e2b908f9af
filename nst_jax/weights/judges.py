"""The networks that judge pictures: where their files are, and what was not found.

Files that nobody names are looked for one by one, in

1. `weights/` of the checkout, then `../shared/heldout/` beside it;
2. the user's cache.

A folder that is named, by argument or by `$NST_JAX_JUDGES`, is used alone or is an error. Nothing
is downloaded: a judge that is nowhere is left out.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nst_jax.choices import JudgeArch, SqueezeNetConvention
from nst_jax.system import files, places
from nst_jax.weights import judge_files
from nst_jax.weights.formats import Params
from nst_jax.weights.parameters import JUDGE_ARCHS

JUDGES_VARIABLE = "NST_JAX_JUDGES"
"""The environment variable that names a folder with the files of judges."""

JUDGE_FILES: dict[JudgeArch, str] = {
    "alexnet": "alexnet_lpips.h5",
    "squeezenet": "squeezenet_imagenet.h5",
}
"""The name of each judge's file."""

_TITLES = {"alexnet": "AlexNet, with LPIPS", "squeezenet": "SqueezeNet"}
_CURE = (
    "make it by `nst-jax weights convert` (docs/how-to/weights.md says of what), or name the "
    f"folder that has it by ${JUDGES_VARIABLE}"
)


class JudgeWeights(NamedTuple):
    """Networks for judging pictures, those that were found.

    Attributes:
      alexnet: parameters for `alexnet.feature_fn`.
      lpips: LPIPS's weights of AlexNet's channels, {"lin1": (64,), ..., "lin5": (256,)}.
      squeezenet: parameters for `squeezenet.feature_fn`.
      convention: of `squeezenet`.
      missing: one line for each thing that was not found: what, where it was looked for, what to
        do.
      hashes: SHA-256 of each file that was read, by the name of the network.
    """

    alexnet: Params | None
    lpips: Mapping[str, np.ndarray] | None
    squeezenet: Params | None
    convention: SqueezeNetConvention
    missing: tuple[str, ...]
    hashes: dict[str, str]


def load_judges(source: str | os.PathLike[str] | None = None) -> JudgeWeights:
    """The networks that judge pictures, as far as there are files of them.

    Args:
      source: a folder with `alexnet_lpips.h5` and `squeezenet_imagenet.h5`; None for that which
        `$NST_JAX_JUDGES` names, else the first of the places above that has each.

    Returns:
      What was found, and a line for each that was not.

    Raises:
      ValueError: a file holds something else.
      OSError: a folder that is named is not there; a file is damaged.
    """
    found, without = find_judges(source)
    missing = list(without)
    read = {arch: judge_files.read_judge(path, arch) for arch, path in found.items()}
    alexnet, squeezenet = read.get("alexnet"), read.get("squeezenet")
    if alexnet and alexnet.lpips is None:
        missing.append(_without_lpips(found["alexnet"]))
    return JudgeWeights(
        alexnet.params if alexnet else None,
        alexnet.lpips if alexnet else None,
        squeezenet.params if squeezenet else None,
        squeezenet.convention if squeezenet else "caffe",
        tuple(missing),
        {arch: files.sha256(path) for arch, path in found.items()},
    )


def find_judges(
    source: str | os.PathLike[str] | None = None,
) -> tuple[dict[JudgeArch, Path], tuple[str, ...]]:
    """Which files `load_judges` would read, and a line for each judge that has none.

    Args:
      source: as `load_judges`.

    Raises:
      OSError: a folder that is named is not there.
    """
    folders = _folders(source)
    found, missing = {}, []
    for arch in JUDGE_ARCHS:
        paths = [folder / JUDGE_FILES[arch] for folder in folders]
        if path := next(filter(Path.exists, paths), None):
            found[arch] = path
        else:
            missing.append(_missing(arch, paths))
    return found, tuple(missing)


def _folders(source: str | os.PathLike[str] | None) -> list[Path]:
    """Where to look: the folder that is named, or all the places in their order."""
    if source is not None:
        return [_named(source, "")]
    if variable := os.environ.get(JUDGES_VARIABLE):
        return [_named(variable, f" (named by ${JUDGES_VARIABLE})")]
    checkout = places.checkout()
    own = [checkout / "weights", checkout.parent / "shared" / "heldout"] if checkout else []
    return [*own, places.cache_folder()]


def _named(source: str | os.PathLike[str], by: str) -> Path:
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise NotADirectoryError(f"judges {path}: expected a folder, found a file{by}")
    raise FileNotFoundError(f"judges {path}: no such folder{by}")


def _missing(arch: JudgeArch, paths: Sequence[Path]) -> str:
    folders = ", ".join(str(path.parent) for path in paths)
    return f"{_TITLES[arch]}: no {JUDGE_FILES[arch]} in {folders}; {_CURE}"


def _without_lpips(path: Path) -> str:
    return (
        f"LPIPS: {path} has AlexNet without LPIPS's layers; convert it again, "
        "with --lpips alex.pth (docs/how-to/weights.md)"
    )
