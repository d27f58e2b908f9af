"""`nst-jax plan`: what a run will take."""

import re
import subprocess
import sys

import pytest

from nst_jax import cli, estimate, memory


def test_plan_tells_memory_time_and_what_fits(capsys):
    assert cli.main(["plan", "--size", "64", "--variants", "2", "--steps", "10"]) == 0
    out = capsys.readouterr().out
    for words in ("memory at the peak", "ms a step", "largest size", "most variants"):
        assert words in out
    assert "it fits" in out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--size", "15"], "from 16 to"),
        (["--variants", "0"], "at least 1"),
        (["--steps", "0"], "at least 1"),
    ],
)
def test_wrong_numbers_are_refused_in_one_line(options, words, capsys):
    assert cli.main(["plan", *options]) == 1
    err = capsys.readouterr().err.strip()
    assert words in err
    assert "\n" not in err


def test_what_does_not_fit_is_said(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 200_000_000)
    found = estimate.estimate(128, 8)
    assert found.most_variants < 8
    assert found.largest_size < 128
    assert "DOES NOT FIT" in estimate.in_words(found, size=128, variants=8, steps=5)


@pytest.mark.slow
def test_what_is_said_to_fit_does(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 1_000_000_000)
    found = estimate.estimate(128, 2)
    for size, variants in ((128, found.most_variants), (found.largest_size, 2)):
        again = estimate.estimate(size, variants)
        assert 0.85 * again.available < again.program_bytes < 1.02 * again.available


RUN = """
import numpy as np
from nst_jax import driver, estimate, memory, optimizers
size, variants = {size}, {variants}
problem = estimate._Problem("vgg19", "max", "float32")
picture = np.random.default_rng(0).uniform(size=(size, size, 3)).astype(np.float32)
import jax, jax.numpy as jnp
loss = jax.jit(problem._objective)(problem._feature_fn, jnp.asarray(picture))
one = driver.Hyperparameters(np.float32(0.02), estimate._WEIGHTS)
hyper = jax.tree.map(lambda x: np.stack([np.asarray(x)] * variants), one)
factory = optimizers.factory("adam")
state = driver.init_state(np.stack([picture] * variants), factory, hyper)
for chunk in driver.run_chunks(
    loss, hyper, state, factory=factory, num_steps=3, chunk_length=3
):
    pass
print(memory.process_bytes("VmHWM"))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is known on Linux")
@pytest.mark.parametrize(("size", "variants"), [(256, 1), (256, 4), (512, 1)])
def test_the_peak_is_predicted_within_15_percent(size, variants):
    command = [sys.executable, "-c", RUN.format(size=size, variants=variants)]
    measured = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    command = [sys.executable, "-m", "nst_jax", "plan", "--size", str(size)]
    command += ["--variants", str(variants), "--steps", "1"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    predicted = 1e9 * float(re.search(r"at the peak: ([\d.]+) GB", out)[1])
    assert predicted == pytest.approx(measured, rel=0.15)
