"""The benchmark: what it counts, and that its programs take the same steps."""

import sys
from pathlib import Path

import jax
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "experiments"))

import benchmark

from nst_jax import estimate, vgg
from nst_jax.choices import CONTENT_LAYERS, STYLE_LAYERS


def a_result(program="nst_jax", seconds=(0.1, 0.2, 0.4), **changes):
    values = {
        "program": program,
        "size": 64,
        "height": 60,
        "width": 64,
        "variants": 2,
        "precision": "float32",
        "ready": 3.0,
        "seconds_a_step": seconds,
        "peak_bytes": 10**9,
        "flops_a_step": 2e9,
        "matmul_rate": 1e11,
    }
    return benchmark.Result(**values | changes)


def test_operations_are_those_that_xla_counts(vgg_params):
    counted = benchmark.flops_a_step(64, 64, 1)
    picture = jax.ShapeDtypeStruct((64, 64, 3), np.float32)
    # By the ordinary convolution: Winograd's takes fewer, which is not what is counted.
    feature_fn = vgg.feature_fn(vgg_params, (*STYLE_LAYERS, *CONTENT_LAYERS))
    loss = jax.eval_shape(estimate._objective, feature_fn, picture)
    step = jax.jit(lambda loss, x, w: jax.value_and_grad(loss, has_aux=True)(x, w))
    cost = step.lower(loss, picture, estimate._WEIGHTS).cost_analysis()
    # XLA counts what is elementwise as well, and leaves out the padding of convolutions.
    assert counted == pytest.approx(cost["flops"], rel=0.15)
    assert benchmark.flops_a_step(64, 64, 3) == 3 * counted


def test_ratios_are_medians_of_turns():
    ours, theirs = a_result(), a_result("torch", (0.2, 0.2, 0.2))
    assert benchmark.ratio(theirs, ours) == 1.0
    assert ours.seconds == 0.2
    assert ours.utilisation == pytest.approx(0.1)


def test_a_peer_is_compared_with_ours_of_the_same_case():
    results = [
        a_result(),
        a_result("torch", (0.2, 0.4, 0.8)),
        a_result(precision="bfloat16", seconds=(0.05, 0.1, 0.2)),
        a_result("torch", (0.1, 0.2, 0.4), precision="bfloat16"),
    ]
    lines = benchmark.table(results).splitlines()
    assert [line.count(" 2.00 |") for line in lines] == [0, 0, 0, 1, 0, 1]


def test_the_table_goes_between_the_marks(tmp_path):
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{benchmark.BEGIN}\nold\n{benchmark.END}\nafter\n")
    benchmark.put("new", page)
    assert page.read_text() == f"before\n{benchmark.BEGIN}\n\nnew\n\n{benchmark.END}\nafter\n"
    page.write_text("no marks")
    with pytest.raises(ValueError, match="no lines"):
        benchmark.put("new", page)


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_cases_suit_the_device(backend):
    cases = benchmark.cases_for(backend, full=False)
    assert {(case.size, case.variants) for case in cases} >= {(256, 1), (256, 4), (256, 16)}
    assert all(case.variants == 1 for case in cases if case.peers)
    assert len(benchmark.cases_for(backend, full=True)) >= len(cases)


class Peer:
    """A worker that has started."""

    def __init__(self, program, total, device="cpu", precision="float32"):
        self.program, self.total, self.device, self.precision = program, total, device, precision

    def stop(self):
        pass


def test_a_peer_with_another_loss_or_device_is_left_out(capsys):
    ours = Peer("nst_jax", 100.0)
    good, other, elsewhere = Peer("torch", 100.01), Peer("torch", 120.0), Peer("torch", 100, "gpu")
    workers = [ours, good, other, elsewhere, Peer("torch", 100.0, precision="tf32")]
    benchmark._check_peers(workers)
    assert workers == [ours, good]
    out = capsys.readouterr().out
    assert "its loss is 120, ours 100" in out
    assert "it runs on the gpu, ours on the cpu" in out
    assert "nothing of ours" in out


@pytest.mark.slow
def test_a_program_that_fails_is_left_out_with_its_last_words(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(benchmark._NAMES, "no_such_program", "none")
    monkeypatch.setattr(benchmark, "PEERS", ("no_such_program",))
    monkeypatch.setattr(benchmark, "can_import", lambda *arguments: True)
    settings = benchmark.Benchmark(output_dir=tmp_path, rounds=1, seconds=0.01, weights="random")
    results = benchmark.run(settings, benchmark.Case(32, 1, ("bfloat16",), True))
    assert [result.program for result in results] == ["nst_jax"]
    assert "left out: no_such_program" in capsys.readouterr().out


@pytest.mark.slow
def test_a_benchmark_from_pictures_to_json(tmp_path, monkeypatch):
    monkeypatch.setattr(
        benchmark,
        "cases_for",
        lambda backend, *, full: [benchmark.Case(32, 2, ("float32",), False)],
    )
    monkeypatch.setattr(benchmark, "_STARTS", 1)
    settings = benchmark.Benchmark(
        output_dir=tmp_path, rounds=2, seconds=0.05, weights="random", peers=sys.executable
    )
    results = benchmark.main(settings)
    assert [result.precision for result in results] == ["float32"]
    for result in results:
        assert result.seconds > 0
        assert len(result.seconds_a_step) == 2
        assert result.peak_bytes > 10**8
    assert '"program": "nst_jax"' in (tmp_path / "benchmark.json").read_text()
