"""`nst-jax plan`: what a run will take."""

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


class Straight(estimate.Problem):
    """Memory as a straight line over pixels and variants; nothing is compiled."""

    def bytes(self, size, variants):
        return 10_000_000 + 1000 * size**2 * variants

    def compile_objective(self, size):
        return lambda: None

    def other_bytes(self):
        return 30_000_000

    def seconds_a_step(self, loss, size):
        return 0.1


@pytest.mark.usefixtures("quick_to_compile")
def test_what_does_not_fit_is_said(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 60_000_000)
    monkeypatch.setattr(estimate, "Problem", Straight)
    found = estimate.estimate(128, 8)
    assert found.most_variants == 3  # 50 MB, of 16.4 MB each
    assert found.largest_size == 79  # 50 MB, of 8 kB a pixel
    words = estimate.in_words(found, size=128, variants=8, steps=5)
    assert "DOES NOT FIT" in words
    # The program and the rest of the process.
    assert f"at the peak: {(10e6 + 8000 * 128**2 + 30e6) / 1e9:.2f} GB" in words


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

# What `nst-jax plan` tells, without its other questions, each of which takes a compilation.
PLAN = """
import sys
from nst_jax import weights
from nst_jax.runs import estimate
size, variants = map(int, sys.argv[1:])
problem = estimate.Problem(
    weights.random_params(), arch="vgg19", pooling="max", precision="float32"
)
needed = problem.bytes(size, variants)
problem.compile_objective(size)
print(needed + problem.other_bytes())
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
    plan = [sys.executable, "-c", PLAN, str(size), str(variants)]
    predicted = int(subprocess.run(plan, capture_output=True, text=True, check=True).stdout)
    # Within a few percent on a quiet machine; what the heap keeps differs from one to the next.
    assert predicted == pytest.approx(measured, rel=0.25)
