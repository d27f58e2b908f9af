"""`nst-jax plan`: what a run will take."""

import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from nst_jax import weights
from nst_jax.command import cli
from nst_jax.runs import estimate
from nst_jax.system import memory


@pytest.mark.usefixtures("quick_to_compile")
def test_plan_tells_memory_time_and_what_fits(capsys):
    assert cli.main(["plan", "--size", "64", "--variants", "2", "--steps", "10"]) == 0
    out = capsys.readouterr().out
    for words in (
        "memory at the peak",
        "--rematerialize the program takes",
        "ms a step",
        "largest size",
        "most variants",
    ):
        assert words in out
    assert "it fits" in out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--size", "15"], "from 16 to"),
        (["--variants", "0"], "from 1 to"),
        (["--steps", "0"], "at least 1"),
    ],
)
def test_wrong_numbers_are_refused_in_one_line(options, words, capsys):
    assert cli.main(["plan", *options]) == 1
    err = capsys.readouterr().err.strip()
    assert words in err
    assert "\n" not in err


@pytest.mark.usefixtures("quick_to_compile")
def test_what_does_not_fit_is_said(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 200_000_000)
    found = estimate.estimate(128, 8)
    assert found.most_variants < 8
    assert found.largest_size < 128
    assert "DOES NOT FIT" in estimate.in_words(found, size=128, variants=8, steps=5)


@pytest.mark.slow
@pytest.mark.usefixtures("quick_to_compile")
def test_what_is_said_to_fit_does(monkeypatch):
    available = 1_000_000_000
    monkeypatch.setattr(memory, "available_bytes", lambda: available)
    found = estimate.estimate(128, 2)
    params = weights.random_params()
    problem = estimate.Problem(params, arch="vgg19", pooling="max", precision="float32")
    for size, variants in ((128, found.most_variants), (found.largest_size, 2)):
        assert 0.85 * available < problem.bytes(size, variants) < 1.02 * available


# In a process of its own: the peak of children is at least that of the process that starts them.
PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, capture_output=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is known on Linux")
def test_the_peak_of_a_run_is_predicted(tmp_path, rng, monkeypatch):
    size, variants = 192, 3
    # Compiling takes memory too.
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "false")
    picture = str(tmp_path / "square.png")
    Image.fromarray(rng.integers(0, 255, (size, size, 3), np.uint8)).save(picture)
    run = [sys.executable, "-m", "nst_jax", "sweep", picture, picture, "--steps", "2"]
    run += ["--log", str(tmp_path / "run.h5"), "--size", str(size), "--weights", "random"]
    run += ["--optimizers", "adam", "--learning-rates", *(f"0.0{i + 1}" for i in range(variants))]
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *run], capture_output=True, text=True, check=True
    )
    measured = int(done.stdout)
    command = [sys.executable, "-m", "nst_jax", "plan", "--size", str(size)]
    command += ["--variants", str(variants), "--steps", "1"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    predicted = 1e9 * float(re.search(r"at the peak: ([\d.]+) GB", out)[1])
    # Within a few percent on a quiet machine; what the heap keeps differs from one to the next.
    assert predicted == pytest.approx(measured, rel=0.25)
