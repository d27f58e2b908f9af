"""The benchmark: what it counts, and that its programs take the same steps."""

import sys
from pathlib import Path

import jax
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "experiments"))

import benchmark
from pages import benchmark as page
from timing import cases, commands, results, turns, worker

from nst_jax import vgg
from nst_jax.choices import CONTENT_LAYERS, STYLE_LAYERS
from nst_jax.runs import estimate


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
    return results.Result(**values | changes)


def test_operations_are_those_that_xla_counts(vgg_params):
    counted = cases.flops_a_step(64, 64, 1)
    picture = jax.ShapeDtypeStruct((64, 64, 3), np.float32)
    # By the ordinary convolution: Winograd's takes fewer, which is not what is counted.
    feature_fn = vgg.feature_fn(vgg_params, (*STYLE_LAYERS, *CONTENT_LAYERS))
    loss = jax.eval_shape(estimate._objective, feature_fn, picture)
    step = jax.jit(lambda loss, x, w: jax.value_and_grad(loss, has_aux=True)(x, w))
    cost = step.lower(loss, picture, estimate._WEIGHTS).cost_analysis()
    # XLA counts what is elementwise as well, and leaves out the padding of convolutions.
    assert counted == pytest.approx(cost["flops"], rel=0.15)
    assert cases.flops_a_step(64, 64, 3) == 3 * counted


def test_ratios_are_medians_of_turns():
    ours, theirs = a_result(), a_result("torch", (0.2, 0.2, 0.2))
    assert results.ratio(theirs, ours) == 1.0
    assert ours.seconds == 0.2
    assert ours.utilisation == pytest.approx(0.1)


def test_a_peer_is_compared_with_ours_of_the_same_case():
    found = [
        a_result(),
        a_result("torch", (0.2, 0.4, 0.8)),
        a_result(precision="bfloat16", seconds=(0.05, 0.1, 0.2)),
        a_result("torch", (0.2, 0.4, 0.8), precision="bfloat16"),
    ]
    assert [each.against for each in page.compared(found)] == [None, 2, None, 4]


def test_the_table_goes_between_the_marks(tmp_path):
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{benchmark.BEGIN}\nold\n{benchmark.END}\nafter\n")
    benchmark.put("new", page)
    assert page.read_text() == f"before\n{benchmark.BEGIN}\n\nnew\n\n{benchmark.END}\nafter\n"
    page.write_text("no marks")
    with pytest.raises(ValueError, match="no lines"):
        benchmark.put("new", page)


def test_a_picture_by_the_fastest_form_of_each_program():
    found = [
        a_result(variants=1, seconds=(0.2,)),
        a_result(variants=1, precision="bfloat16", seconds=(0.1,), ready=5.0),
        a_result("torch", (0.4,), variants=1),
        a_result("torch_compile_passive", (0.36,), variants=1, ready=10.0),
        a_result("torch", (0.01,), variants=4),
    ]
    (picture,) = page.pictures(found)
    # Getting ready and 250 steps: 5 + 25 and 3 + 50 of ours; 103 and 100 of PyTorch's.
    assert picture == page.Picture(64, 60, (30, 53, None, None, 100), 100 / 30)
    measured = results.Measured("CPU", {"jax": "1"}, results=found[:4])
    text = page.page(measured)
    assert "\n| 64 x 60 | 30 s | 53 s |  |  | 100 s | 3.33 |\n" in text
    assert "Whole commands" not in text
    measured.commands = {"make demo": [1.25], "nst-jax": [2.0, 1.0]}
    text = page.page(measured)
    assert "\n| `make demo` | 1.2 |  |\n| `nst-jax` | 2.0 | 1.0 |\n\n### Made by" in text


def test_a_measured_case_replaces_the_earlier_one_and_others_stay():
    def measured(*found, **changes):
        values = {"device": "CPU", "versions": {"jax": "1"}, "results": list(found)}
        return results.Measured(**values | changes)

    stays, goes = a_result(size=32), a_result()
    earlier = measured(stays, goes, runs=[{"command": "a"}], commands={"make demo": [1.0]})
    new = measured(runs=[{"command": "b"}], commands={"make sweep": [2.0]})
    new.add(earlier, [cases.Case(64, 2, ("float32",))])
    assert new.results == [stays]
    assert [run["command"] for run in new.runs] == ["a", "b"]
    assert new.commands == {"make demo": [1.0], "make sweep": [2.0]}
    with pytest.raises(ValueError, match=r"versions.*leave out --add"):
        measured(versions={"jax": "2"}).add(earlier, [])


def test_each_peer_takes_the_first_interpreter_that_has_it(monkeypatch):
    found = {("a", "tensorflow"), ("b", "tensorflow"), ("b", "torch")}
    monkeypatch.setattr(worker, "can_import", lambda *asked: asked in found)
    assert worker.interpreter_for("tensorflow", ("a", "b")) == "a"
    assert worker.interpreter_for("torch_compile_passive", ("a", "b")) == "b"
    assert worker.interpreter_for("torch", ("a",)) is None


def test_a_passive_peer_is_told_to_wait_asleep(tmp_path, monkeypatch):
    asked = {}

    def started(command, *, env, **options):
        asked.update(name=command[2], policy=env.get("OMP_WAIT_POLICY"))

    monkeypatch.setattr(worker.subprocess, "Popen", started)
    case = cases.Case(32, 1, ("bfloat16",))
    for program, policy in (("torch_compile_passive", "PASSIVE"), ("torch_compile", None)):
        monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
        worker.Worker("python", program, tmp_path / "problem.npz", case, "bfloat16")
        assert asked == {"name": "torch_compile", "policy": policy}


def test_the_command_on_the_page_names_no_folder_of_the_interpreters():
    words = ["--peers", "/a/python", "/b/python", "--sizes", "256"]
    wanted = ["--peers", "PYTHON", "PYTHON", "--sizes", "256"]
    assert benchmark._without_peers(words) == wanted
    assert benchmark._without_peers(words[3:]) == words[3:]


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_cases_suit_the_device(backend):
    found = cases.cases_for(backend, full=False)
    assert {(case.size, case.variants) for case in found} >= {(256, 1), (256, 16), (512, 4)}
    assert all(case.variants == 1 for case in found if case.peers)
    assert len(cases.cases_for(backend, full=True)) >= len(found)


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
    turns._check_peers(workers)
    assert workers == [ours, good]
    out = capsys.readouterr().out
    assert "its loss is 120, ours 100" in out
    assert "it runs on the gpu, ours on the cpu" in out
    assert "nothing of ours" in out


@pytest.mark.slow
def test_a_benchmark_from_pictures_to_json(tmp_path, monkeypatch, capsys):
    """And a program that fails is left out with its last words."""
    case = cases.Case(32, 2, ("bfloat16",), ("no_such_program",))
    monkeypatch.setattr(benchmark, "cases_for", lambda backend, *, full: [case])
    monkeypatch.setattr(worker, "can_import", lambda *arguments: True)
    monkeypatch.setattr(commands, "STARTS", 1)
    seconds_of = commands._seconds_of
    # The commands as they are, but of a small picture and layers that compile in a second.
    small = ["--size", "32", "--content-layers", "relu1_1", "--style-layers", "relu1_1"]
    monkeypatch.setattr(
        commands,
        "_seconds_of",
        lambda command, variables: seconds_of([*command, *small], variables),
    )
    settings = benchmark.Benchmark(
        output_dir=tmp_path, rounds=2, seconds=0.05, weights="random", commands=("start",)
    )
    measured = benchmark.main(settings)
    found = [(result.program, result.precision) for result in measured.results]
    assert found == [("nst_jax", "bfloat16")]
    assert "left out: no_such_program" in capsys.readouterr().out
    assert len(measured.commands) == 2  # in float32, and what is fast
    assert all(len(times) == 2 for times in measured.commands.values())
    assert results.read(tmp_path / "benchmark.json") == measured
    for result in measured.results:
        assert result.seconds > 0
        assert len(result.seconds_a_step) == 2
        assert result.peak_bytes > 10**8
    assert '"program": "nst_jax"' in (tmp_path / "benchmark.json").read_text()
