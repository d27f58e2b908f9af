"""`nst-jax plan`: what a run will take."""

import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from nst_jax import weights
from nst_jax.command import cli
from nst_jax.runs import capacity, estimate
from nst_jax.system import memory


@pytest.mark.usefixtures("quick_to_compile")
def test_plan_tells_memory_time_and_what_fits_does(monkeypatch, capsys):
    available = 1_000_000_000
    monkeypatch.setattr(memory, "available_bytes", lambda: available)
    assert cli.main(["plan", "--size", "128", "--variants", "2", "--steps", "10"]) == 0
    out = capsys.readouterr().out
    words_said = ("memory at the peak", "--rematerialize the program takes", "--strips 128 one")
    for words in (*words_said, "ms a step"):
        assert words in out
    assert "it fits" in out
    largest_size = int(re.search(r"largest size .*: (\d+) pixels", out)[1])
    most_variants = int(re.search(r"most variants .*: (\d+);", out)[1])
    params = weights.random_params()
    problem = estimate.Problem(params, arch="vgg19", pooling="max", precision="float32")
    for size, variants in ((128, most_variants), (largest_size, 2)):
        assert 0.85 * available < problem.bytes(size, variants) < 1.02 * available


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
size, variants, estimate.STYLE_LAYERS = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
estimate.CONTENT_LAYERS = estimate.STYLE_LAYERS[-1:]
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
    # As many as the report has, whose programs compile faster.
    layers = [f"block{name}" for name in ("1_conv1", "1_conv2", "2_conv1", "2_conv2", "3_conv1")]
    # Compiling takes memory too.
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "false")
    picture = str(tmp_path / "square.png")
    Image.fromarray(rng.integers(0, 255, (size, size, 3), np.uint8)).save(picture)
    run = [sys.executable, "-m", "nst_jax", "sweep", picture, picture, "--steps", "2"]
    run += ["--log", str(tmp_path / "run.h5"), "--size", str(size), "--weights", "random"]
    run += ["--style-layers", *layers, "--content-layers", layers[-1]]
    run += ["--optimizers", "adam", "--learning-rates", *(f"0.0{i + 1}" for i in range(variants))]
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *run], capture_output=True, text=True, check=True
    )
    measured = int(done.stdout)
    plan = [sys.executable, "-c", PLAN, str(size), str(variants), *layers]
    predicted = int(subprocess.run(plan, capture_output=True, text=True, check=True).stdout)
    # Within a few percent on a quiet machine; what the heap keeps differs from one to the next.
    assert predicted == pytest.approx(measured, rel=0.25)


@pytest.mark.usefixtures("quick_to_compile")
def test_the_table_tells_the_largest_square_of_each_device(monkeypatch, capsys):
    monkeypatch.setattr(capacity, "Problem", Straight)
    assert cli.main(["plan", "--table"]) == 0
    out = capsys.readouterr().out
    # Four fifths of 8 GB, less 10 MB, at 1 kB a pixel.
    assert "| 8 GB | 2527 | " in out
    assert "| 80 GB | 7999 | " in out
