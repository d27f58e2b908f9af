"""Converts weights of any known format to the library's HDF5.

    python weights/convert.py SOURCE [DESTINATION] [--arch NAME] [--convention NAME] [--lpips PATH]

SOURCE is Keras's HDF5 or .keras, npz, safetensors, or a torch state dict. DESTINATION is
weights/vgg19.h5 (or vgg16.h5, or the name of a judge's file) of this checkout if left out: there
the library finds it by itself.
The network is inferred from the file. The convention, i.e. which input the stored weights expect,
is inferred for the published networks and Keras's names; others need --convention.
"""

import argparse
import sys
from pathlib import Path
from typing import get_args

from nst_jax import weights
from nst_jax.choices import AnyArch, InputConvention


def main(arguments: list[str] | None = None) -> Path:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("destination", type=Path, nargs="?")
    parser.add_argument("--arch", choices=get_args(AnyArch))
    parser.add_argument("--convention", choices=get_args(InputConvention), default="auto")
    parser.add_argument("--lpips", type=Path, help="LPIPS's layers for AlexNet (alex.pth)")
    args = parser.parse_args(arguments)
    try:
        arch = args.arch or weights.infer_arch(args.source)
        name = weights.JUDGE_FILES.get(arch, f"{arch}.h5")
        destination = args.destination or Path(__file__).parent / name
        options = {"convention": args.convention, "lpips": args.lpips}
        return weights.convert(args.source, destination, arch=arch, **options)
    except (ValueError, OSError) as error:
        sys.exit(f"convert.py: {error}")


if __name__ == "__main__":
    print(main())
