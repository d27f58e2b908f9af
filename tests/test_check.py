"""`nst-jax check`: what it finds on this device, and what it would say on others."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from nst_jax import check, weights
from nst_jax.check import measuring, probe, verdict, words
from nst_jax.check.probe import Task
from nst_jax.command import cli

SIZE = 32
# As many as the report has, whose programs compile faster.
SHALLOW_LAYERS = tuple(
    f"block{name}" for name in ("1_conv1", "1_conv2", "2_conv1", "2_conv2", "3_conv1")
)


def in_this_process(task, variables):
    """`measuring.run`, but programs are compiled once for all of them."""
    assert not variables
    answer = {"facts": probe.facts(), "measured": probe.measure(task).to_json()}
    return json.loads(json.dumps(answer))


@pytest.fixture(scope="module")
def report():
    """Of this device, with random weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nst_jax.vgg.fastest_convolutions", lambda precision: "plain")
        patch.setattr(probe, "_MOST_STEPS_A_CHUNK", 2)
        # The steps; what is compared with Keras has the report's layers.
        patch.setattr("nst_jax.runs.estimate.STYLE_LAYERS", SHALLOW_LAYERS)
        patch.setattr("nst_jax.runs.estimate.CONTENT_LAYERS", SHALLOW_LAYERS[-1:])
        patch.setattr(measuring, "run", in_this_process)
        return check.check(SIZE, source="random", say=lambda line: None)


def changed(report, precision, **values):
    """A report in which something else was measured."""
    measured = report.measured[precision]._replace(**values)
    return replace(report, measured={**report.measured, precision: measured})


def failures(report):
    return [each.text for each in check.findings(report) if each.level == "failure"]


def notes(report):
    return [each.text for each in check.findings(report) if each.level == "note"]


def test_this_device_passes(report):
    assert failures(report) == []
    assert check.passed(report)
    assert list(report.measured) == ["float32", "bfloat16"]
    assert report.cosine("float32") == pytest.approx(1)
    assert 0.95 < report.cosine("bfloat16") < 0.9999, "it is another precision"
    for measured in report.measured.values():
        assert measured.size == SIZE
        assert len(measured.chunk_milliseconds) == 5
        assert min(measured.chunk_milliseconds) > 0
        assert measured.peak_bytes > measured.planned_bytes / 4 > 0


def test_the_table_is_for_the_eye(report):
    words = check.in_words(report)
    assert "device: CPU" in words
    assert f"{SIZE} x {SIZE} pixels" in words
    assert "weights: random" in words
    assert "take --precision" in words
    assert words.splitlines()[-1].startswith("passed")
    assert max(map(len, words.partition("\n\n")[2].partition("\n\n")[0].splitlines())) <= 100


def test_the_file_is_for_a_report(report, tmp_path):
    path = tmp_path / "check.json"
    check.write(report, path)
    found = json.loads(path.read_text())
    assert set(found) == {
        *("schema", "created_utc", "seconds", "facts", "weights", "network", "limits"),
        *("measured", "errors", "repeated", "deterministic", "precision", "findings", "passed"),
    }
    assert found["schema"] == words.SCHEMA
    assert found["passed"] is True
    for values in found["measured"].values():
        assert set(values) == {
            *probe.Measured._fields,
            *("milliseconds_a_step", "cosine", "same_bytes"),
        } - {"gradient"}
        assert set(values["parity"]) == set(verdict.LIMITS)
    assert {"versions", "device_kind", "compute_capability", "driver"} <= set(found["facts"])
    # Nothing says where its user keeps things.
    assert str(tmp_path.home()) not in path.read_text()


def test_a_device_that_computes_something_else_fails(report):
    """With the values of bfloat16 for those of float32, as if it had been silently replaced."""
    found = changed(report, "float32", parity=report.measured["bfloat16"].parity)
    said = failures(found)
    assert len(said) == 3
    assert all("does not compute what Keras does" in each for each in said)
    assert "FAILED" in check.in_words(found)


def test_features_that_are_slightly_wrong_are_found(report):
    params = weights.random_params()
    kernel = params["block4_conv1"]["kernel"] * np.float32(1.0001)
    wrong = {**params, "block4_conv1": {**params["block4_conv1"], "kernel": kernel}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nst_jax.vgg.fastest_convolutions", lambda precision: "plain")
        parity, _ = probe._compare(wrong, "float32")
    assert any("features" in each for each in failures(changed(report, "float32", parity=parity)))


def test_what_is_not_finite_fails(report):
    broken = changed(
        report, "float32", parity=probe.Parity(None, 0.0, 0.0), gradient=[float("nan")] * 3
    )
    broken = changed(broken, "bfloat16", gradient=[1.0] * 3)
    assert "not finite" in failures(broken)[0]
    json.dumps(check.to_json(broken), allow_nan=False)


def test_a_gradient_that_points_elsewhere_fails_and_is_not_advised(report):
    gradient = list(reversed(report.measured["float32"].gradient))
    found = changed(report, "bfloat16", gradient=gradient, chunk_milliseconds=[1e-3])
    assert found.precision == "float32"
    assert any("do not use --precision bfloat16" in each for each in failures(found))


@pytest.mark.parametrize(("gain", "taken"), [(2.0, "bfloat16"), (1.05, "float32")])
def test_the_precision_to_take_is_clearly_faster(gain, taken, report):
    time = report.measured["float32"].milliseconds / gain
    found = changed(report, "bfloat16", chunk_milliseconds=[time])
    assert found.precision == taken
    assert f"take --precision {taken}" in check.in_words(found)
    for fast in ("float32", "bfloat16"):
        found = replace(found, facts={**found.facts, "fastest_precision": fast})
        assert any("--precision fast" in each for each in notes(found)) == (taken != fast)
        assert ("fast stands for it" in check.in_words(found)) == (taken == fast)


def other_bytes(report, backend):
    found = changed(report, "float32", digests=["one", "other"])
    return replace(found, facts={**report.facts, "backend": backend})


def test_other_bytes_fail_where_they_are_promised(report):
    assert any("other bytes in float32" in each for each in failures(other_bytes(report, "cpu")))
    # In another process, though not in this one.
    found = replace(report, repeated=report.repeated._replace(digests=["other"] * 2))
    assert any("other bytes in float32" in each for each in failures(found))


def test_a_gpu_may_give_other_bytes_unless_told_otherwise(report):
    found = other_bytes(report, "gpu")
    assert failures(found) != [], "--deterministic was not tried"
    strict = report.repeated._replace(digests=["same", "same"])
    told = replace(found, deterministic=strict)
    assert failures(told) == []
    assert any("--deterministic the same" in each for each in notes(told))
    still = replace(found, deterministic=strict._replace(digests=["one", "other"]))
    assert any("--deterministic too" in each for each in failures(still))


def test_a_plan_far_from_the_peak_is_noted(report):
    peak = 2 * report.measured["float32"].planned_bytes
    found = changed(report, "float32", peak_bytes=peak)
    assert any("nst-jax plan" in each and "float32" in each for each in notes(found))
    assert not any(
        "float32 `nst" in each for each in notes(changed(found, "float32", peak_bytes=0))
    )


def test_a_precision_that_does_not_run_is_told(monkeypatch, capsys, report):
    def run(task, variables):
        answer = {"facts": {**report.facts, "backend": "gpu"}}
        if task.precision != "float32":
            return {**answer, "error": "no such matrix unit"}
        return {**answer, "measured": report.measured["float32"].to_json()}

    monkeypatch.setattr(measuring, "run", run)
    assert cli.main(["check", "--size", "32", "--weights", "random"]) == 0
    out = capsys.readouterr().out
    assert "note: tf32: no such matrix unit" in out
    assert "note: bfloat16: no" in out


def test_float32_that_does_not_run_twice_fails(monkeypatch, report):
    def run(task, variables):
        answer = {"facts": report.facts}
        if not task.parity:
            return {**answer, "error": "gone"}
        return {**answer, "measured": report.measured[task.precision].to_json()}

    monkeypatch.setattr(measuring, "run", run)
    found = check.check(SIZE, source="random", say=lambda line: None)
    assert failures(found) == ["float32 once more: gone"]


def test_a_gpu_is_asked_with_deterministic_if_bytes_differ(monkeypatch, report):
    asked = []

    def run(task, variables):
        asked.append((task.precision, variables.get("XLA_FLAGS", "")))
        one = report.measured["float32"]._replace(digests=[str(len(asked))] * 2)
        return {"facts": {**report.facts, "backend": "gpu"}, "measured": one.to_json()}

    monkeypatch.setattr(measuring, "run", run)
    found = check.check(SIZE, source="random", say=lambda line: None)
    assert [precision for precision, _ in asked] == ["float32", "tf32", "bfloat16"] + 2 * [
        "float32"
    ]
    assert ["deterministic" in flags for _, flags in asked] == [False] * 4 + [True]
    assert failures(found) == []


def test_a_device_that_does_not_run_at_all_fails(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(measuring, "run", lambda task, variables: {"error": "no device"})
    path = tmp_path / "check.json"
    assert cli.main(["check", "--weights", "random", "--output", str(path)]) == 1
    assert "FAILED: float32: no device" in capsys.readouterr().out
    assert json.loads(path.read_text())["passed"] is False


def test_a_process_that_dies_or_hangs_is_told(monkeypatch, tmp_path):
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho last words >&2\nkill -9 $$\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    answer = measuring.run(Task("float32", SIZE), {})
    assert answer == {"error": "its process ended with -9: last words"}
    script.write_text("#!/bin/sh\nexec sleep 20\n")
    monkeypatch.setattr(measuring, "PATIENCE", 0.2)
    assert "try a smaller --size" in measuring.run(Task("float32", SIZE), {})["error"]


def test_another_process_answers_in_words(report):
    """Of this device; what is measured there takes longer: `make wheel` runs the command."""
    answer = measuring.run(Task("float16", SIZE), {})
    assert set(answer["facts"]) == set(report.facts)
    for name in ("device", "processor", "versions"):
        assert answer["facts"][name] == report.facts[name]
    assert "`precision` must be one of" in answer["error"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--size", "8"], "the size must be"),
        (["--weights", "missing.h5"], "missing.h5"),
        (["--output", "check.txt"], "its ending must be one of .json"),
    ],
)
def test_mistakes_are_refused_before_the_work(options, words, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(measuring, "run", lambda task, variables: pytest.fail("it began"))
    assert cli.main(["check", *options]) == 1
    err = capsys.readouterr().err.strip()
    assert words in err
    assert "\n" not in err
