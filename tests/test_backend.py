"""What keeps JAX from a device is one line with what to do; whoever asks for one asks there."""

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from nst_jax import backend, solve, terms, vgg
from nst_jax.command import cli

ROOT = Path(__file__).resolve().parents[1]

# By what JAX says in such a case, and JAX_PLATFORMS: words of the line.
FAILURES = {
    ("", "cuda"): ["JAX_PLATFORMS=cuda asks for: there is none", "nst_jax[cuda]"],
    (
        "Unable to initialize backend 'abacus': Backend 'abacus' is not in the list of known "
        "backends: ['cpu', 'tpu']. (set JAX_PLATFORMS='' to automatically choose an available "
        "backend)",
        "abacus",
    ): [": Backend 'abacus' is not in the list", "the platforms are cpu, cuda and tpu"],
    (
        "Unable to initialize backend 'cuda': FAILED_PRECONDITION: No visible GPU devices. (you "
        "may need to uninstall the failing plugin package, or set JAX_PLATFORMS=cpu to skip this "
        "backend.)",
        "",
    ): ["No visible GPU devices; see that nvidia-smi lists a GPU"],
    (
        "Unable to initialize backend 'tpu': ABORTED: The TPU is already in use by process with "
        "pid 7. Not attempting to load libtpu.so in this process.",
        "",
    ): ["in use by process with pid 7", "another process holds it: end that one"],
    ("UNAVAILABLE: open(/dev/vfio/0): Device or resource busy", "tpu"): [
        "another process holds it"
    ],
    (
        "INTERNAL: Mismatched PJRT plugin PJRT API version (0.70) and framework PJRT API version\n"
        "0x00007f stack of C++",
        "",
    ): ["have to be of one version", "pip install --upgrade"],
    ("RESOURCE_EXHAUSTED: CUDA_ERROR_OUT_OF_MEMORY: out of memory", "cuda"): [
        "holds its memory",
        "XLA_PYTHON_CLIENT_PREALLOCATE=false",
    ],
    ("Backend 'cpu' provides no devices.", "cpu"): [
        "asks for: Backend 'cpu' provides no devices; "
    ],
}


@pytest.mark.parametrize(("said", "wanted"), FAILURES)
def test_a_failure_is_one_line_with_what_to_do(said, wanted):
    line = backend._in_words(said, wanted)
    assert "\n" not in line
    assert "0x" not in line
    assert line.startswith("JAX cannot start ")
    assert all(words in line for words in FAILURES[said, wanted])
    assert line.count("JAX_PLATFORMS=cpu") == 1
    assert "to automatically choose" not in line


@pytest.fixture
def no_device(monkeypatch):
    """JAX as it is where it finds no device: not started, and an error without a message."""

    def fail():
        raise AssertionError

    monkeypatch.setattr(jax, "local_devices", fail)
    backend.start.cache_clear()
    yield
    backend.start.cache_clear()


WEIGHTS = terms.Weights({"bright": np.float32(1)}, {"bright": np.ones(1, np.float32)})


@pytest.mark.usefixtures("no_device")
@pytest.mark.parametrize(
    "ask",
    [
        backend.platform,
        backend.devices,
        backend.devices_of_all_processes,
        lambda: vgg.feature_fn({"block1_conv1": {}}, ["relu1_1"]),
        lambda: solve.stylize(lambda *_: None, np.zeros((8, 8, 3), np.float32), WEIGHTS),
    ],
)
def test_whoever_asks_is_told(ask, unchecked):
    with pytest.raises(RuntimeError, match=r"^JAX cannot start a device: there is none; "):
        ask()


@pytest.mark.usefixtures("no_device")
@pytest.mark.parametrize("command", ["stylize", "sweep", "plan", "features"])
def test_every_command_says_it_in_one_line(command, sweep, tmp_path, capsys):
    pictures = [str(sweep.content), str(sweep.styles[0])]
    random = ["--weights", "random"]
    options = {
        "stylize": [*pictures, "--output", str(tmp_path / "out.png"), *random],
        "sweep": [*pictures, "--log", str(tmp_path / "sweep.h5"), *random],
        "plan": [],
        "features": [pictures[0], "--output", str(tmp_path / "maps"), *random],
    }
    assert cli.main([command, *options[command]]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: JAX cannot start a device: ")


def test_a_platform_that_is_not_there_in_a_real_process(sweep):
    pictures = [str(sweep.content), str(sweep.styles[0])]
    command = [sys.executable, "-m", "nst_jax", "stylize", *pictures, "--output", "never.png"]
    environ = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    done = subprocess.run(
        [*command, "--weights", "random"],
        env=environ | {"JAX_PLATFORMS": "abacus"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: JAX cannot start the device that JAX_PLATFORMS=abacus asks for")


def test_a_plugin_that_is_passed_over_is_one_line(caplog, monkeypatch):
    logger = logging.getLogger("jax._src.xla_bridge")

    def start_with_trouble():
        try:
            raise RuntimeError("cuDNN is too old\nat line 7")
        except RuntimeError:
            logger.exception("Jax plugin %s failed", "cuda")

    monkeypatch.setattr(jax, "local_devices", start_with_trouble)
    backend.start.cache_clear()
    backend.start()
    backend.start.cache_clear()
    assert caplog.messages == ["Jax plugin cuda failed: cuDNN is too old"]
    assert caplog.records[0].exc_info is None
    assert not logger.filters


def test_devices_are_asked_for_in_one_place():
    asks = re.compile(r"jax\.(local_devices|devices|(local_)?device_count|default_backend)\(")
    files = [*ROOT.glob("nst_jax/**/*.py"), *ROOT.glob("experiments/**/*.py")]
    asking = [path.name for path in files if asks.search(path.read_text())]
    assert asking == ["backend.py"]
