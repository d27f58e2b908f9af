"""Makes the run logs of version 1 in `v1/`, which today's code has to read and to go on with.

Needs the last version of the project that wrote them (commit d69863c) in the path:

    PYTHONPATH=OLD_CHECKOUT python tests/golden/make_logs_v1.py

Written are two pictures, a finished run, a sweep of which a variant diverged, and an interrupted
run with its checkpoint.
"""

import os
import signal
from pathlib import Path

import numpy as np

from nst_jax import config, image, runlog, runs

FOLDER = Path(__file__).parent / "v1"
LAYERS = {"content_layers": ("block2_conv1",), "style_layers": ("block1_conv1", "block2_conv1")}


def stop(chunk):
    """As Ctrl-C does, after the first chunk of steps."""
    os.kill(os.getpid(), signal.SIGINT)


def main():
    assert runlog.SCHEMA_VERSION == 1, "this is not the version that wrote logs of version 1"
    os.chdir(FOLDER)
    rng = np.random.default_rng(0)
    for name, shape in (("content", (20, 24, 3)), ("style", (18, 16, 3))):
        image.save(f"{name}.png", rng.integers(0, 256, shape, dtype=np.uint8))
    pair = {"content": Path("content.png"), "weights": "random", "force": True, **LAYERS}
    single = config.StylizeConfig(
        style=Path("style.png"),
        output=Path("out.png"),
        log=Path("single.h5"),
        steps=6,
        learning_rate=0.002,
        **pair,
    )
    runs.stylize_files(single)
    sweep = config.SweepConfig(
        styles=(Path("style.png"),),
        log=Path("sweep.h5"),
        steps=6,
        optimizers=("adam", "rmsprop"),
        learning_rates=("0.01", "1e6"),
        tv_weights=(0.0, 30.0),
        **pair,
    )
    runs.sweep_files(sweep)
    interrupted = config.StylizeConfig(
        style=Path("style.png"),
        output=Path("out.png"),
        log=Path("interrupted.h5"),
        steps=40,
        snapshot_every=4,
        **pair,
    )
    runs.stylize_files(interrupted, on_chunk=stop)
    Path("out.png").unlink()


if __name__ == "__main__":
    main()
