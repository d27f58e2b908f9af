"""Coverage-guided fuzzing of the readers of pictures and run logs; no part of the ordinary tests.

    pip install 'nst_jax[fuzz]'
    python tests/fuzz_files.py image|log [seconds]

It starts from small valid files that it makes, and goes on for ten minutes unless told otherwise.
An input that the reader does not read or refuse in one line ends it, and stays in the folder that
it names.

Atheris is libFuzzer for Python: it follows the branches of this library, of Pillow's and of h5py's
Python modules, in which headers are parsed and files refused. The C libraries below them are not
instrumented; they are reached by the inputs that get that far.
"""

import argparse
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["nst_jax", "PIL", "h5py"]):
    import hostile

PICTURES = [kind for kind in hostile.KINDS if hostile.KINDS[kind].read is hostile._read_image]
LARGEST = 2**16


def seeds(what: str, folder: Path) -> int:
    """Fills a folder with small files: valid ones, and the crafted ones of that kind."""
    kinds = PICTURES if what == "image" else ["log", "guarded"]
    makers = [(kind, hostile.KINDS[kind].write) for kind in kinds]
    makers += [(kind, make) for kind, make, _ in hostile.TABLE.values() if kind in kinds]
    for number, (kind, make) in enumerate(makers):
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / f"seed{hostile.KINDS[kind].suffix}"
            make(path)
            if path.is_file() and path.stat().st_size <= LARGEST:
                path.rename(folder / f"{number}{path.suffix}")
    return len(list(folder.iterdir()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("image", "log"))
    parser.add_argument("seconds", nargs="?", type=int, default=600)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    corpus, findings = folder / "corpus", folder / "findings"
    corpus.mkdir()
    findings.mkdir()
    print(f"{seeds(arguments.what, corpus)} seeds; what is found stays in {findings}")
    path = folder / "input"
    warnings.simplefilter("ignore")

    def image(data: bytes) -> None:
        path.write_bytes(data)
        hostile.outcome(hostile._read_image, path)

    def log(data: bytes) -> None:
        path.write_bytes(data)
        # HDF5 is known to hang on some: what it survives is read again here, to be followed.
        if hostile.check("log", path) != "died":
            hostile.outcome(hostile.reading._load, path)

    options = {
        "max_total_time": arguments.seconds,
        "max_len": LARGEST,
        "rss_limit_mb": 4096,
        "timeout": 30,
        "artifact_prefix": f"{findings}/",
    }
    flags = [f"-{name}={value}" for name, value in options.items()]
    atheris.Setup([sys.argv[0], *flags, str(corpus)], {"image": image, "log": log}[arguments.what])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
