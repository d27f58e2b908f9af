"""Table 1 of the report: its rows, figures and observations."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "experiments"))

import table1
from measuring import rows
from pages import table1 as page
from pages.table1_figures import FIGURES


def some_rows(alone=None, noise=0.0):
    """The report's rows with times of ours: `alone` seconds a step by optimizer and rate."""
    alone = alone or {}
    found = []
    for row in rows.TABLE_1:
        seconds = alone.get((row.optimizer, row.learning_rate), 0.1)
        repeats = (seconds * (1 - noise / 2), seconds, seconds * (1 + noise / 2))
        found.append(rows.Row(row, row.steps, 1e5, 2e5, repeats, share=0.05 * row.steps))
    return found


def test_report_steps_scale_with_the_sweep():
    assert [rows.scaled(n, 2500) for n in (250, 500, 2500)] == [250, 500, 2500]
    assert [rows.scaled(n, 250) for n in (250, 500, 2500)] == [25, 50, 250]
    assert [rows.scaled(n, 1) for n in (250, 500, 2500)] == [1, 1, 1]


def test_epoch_means_are_of_five_steps_and_drop_an_unfinished_epoch():
    np.testing.assert_array_equal(rows.epoch_means(np.arange(12.0)), [2, 7])
    assert rows.epoch_means(np.arange(4.0)).shape == (0,)


def test_every_curve_and_row_is_a_variant_of_the_sweep():
    from nst_jax.runs import grid

    variants = grid.variants_of(table1.config_of(table1.Table1()))
    have = {(variant.optimizer, variant.learning_rate) for variant in variants}
    assert len(variants) == len(have) == 6
    assert {(row.optimizer, row.learning_rate) for row in rows.TABLE_1} <= have
    assert {curve for plot in FIGURES.values() for curve in plot.curves} <= have
    assert {variant.weights["total_variation"] for variant in variants} == {0.0}


def test_the_report_contradicts_its_first_and_third_observation():
    def fastest(steps):
        found = [r for r in rows.TABLE_1 if r.steps == steps and r.learning_rate == 0.02]
        return min(found, key=lambda row: row.seconds).optimizer

    assert [fastest(steps) for steps in (250, 500, 2500)] == ["adagrad", "rmsprop", "rmsprop"]
    judgement = page.judge(some_rows())
    assert judgement.adagrad_ahead == pytest.approx(30.6 - 30.4)
    assert judgement.adagrad == (58.1, 151.8)
    assert judgement.rmsprop == (57.2, 149.6)


def test_judgement_compares_differences_with_the_noise_of_repeats():
    slow_adagrad = {("adagrad", 0.02): 0.11, ("adagrad", 0.1): 0.11}
    quiet, noisy = (page.judge(some_rows(slow_adagrad, noise)) for noise in (0.02, 0.3))
    assert (quiet.noise.ours, noisy.noise.ours) == pytest.approx((2.0, 35.3), abs=0.05)
    assert quiet.three.ours == pytest.approx(10)
    assert quiet.two.ours == pytest.approx(10)
    # 152.9 over 149.6, 30.4 over 30.2; in ours the rate makes no difference.
    assert quiet.lower_rmsprop == pytest.approx((2.2, 0.0), abs=0.05)
    assert quiet.lower_adagrad == pytest.approx((0.7, 0.0), abs=0.05)
    assert quiet.noise.report == quiet.lower_rmsprop.report
    assert quiet.report_longer == pytest.approx((10, 151.6 / 30.6))
    assert quiet.our_longer == pytest.approx((10, 10))


def test_table_has_the_report_rows_in_order_and_marks_a_diverged_one():
    found = some_rows()
    found[2] = found[2]._replace(total=float("nan"))
    lines = page.table(found).splitlines()[2:]
    assert len(lines) == 10
    assert lines[0].startswith("| Adam | 0.02 | 50 | 250 | 30.6 | 1e+05 | 2e+05 | 25 | 12.5 |")
    assert "diverged" in lines[2]


def test_too_few_repeats_are_refused(tmp_path):
    with pytest.raises(ValueError, match="--alone-repeats must be at least 2"):
        table1.main(table1.Table1(output_dir=tmp_path, alone_repeats=1))


@pytest.mark.slow
def test_table_is_made_from_one_log_which_is_used_again(tmp_path, monkeypatch):
    from nst_jax import runlog

    config_of = table1.config_of
    first = {"content_layers": ("relu1_1",), "style_layers": ("relu1_1",)}
    monkeypatch.setattr(table1, "config_of", lambda settings: replace(config_of(settings), **first))
    settings = table1.Table1(
        output_dir=tmp_path,
        size=32,
        steps=25,
        alone_steps=2,
        alone_repeats=2,
        weights="random",
    )
    path = table1.main(settings)
    record = runlog.load(tmp_path / "table1.h5")
    assert record.status == "finished"
    text = path.read_text()
    assert "32 pixels" in text
    assert "our choice" in text
    assert "weights are random" in text
    assert "nan" not in text
    verdicts = re.findall(r"^\d\. \*.+\* (\w+)", text, re.MULTILINE)
    assert verdicts == ["Contradicted", "Holds", "Contradicted", "Not", "Holds"]

    cells = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| A")]
    cells += [line.strip("| ").split(" | ") for line in text.splitlines() if line[:3] == "| R"]
    assert len(cells) == 10
    columns = {(v.optimizer, v.learning_rate): i for i, v in enumerate(record.variants)}
    for optimizer, rate, epochs, steps, _, total, mean, alone, share in cells:
        assert int(steps) in (2, 5, 25)
        assert float(epochs) == int(steps) / 5
        column = columns[optimizer.lower(), float(rate)]
        assert float(total) == float(f"{record.rows.total[int(steps) - 1, column]:.4g}")
        last = record.rows.total[max(int(steps) - 5, 0) : int(steps), column]
        assert float(mean) == pytest.approx(last.mean(), rel=1e-3)
        # Two variants a program.
        seconds = record.rows.wall_time[int(steps) - 1, column] / 2
        assert float(share) == pytest.approx(seconds, rel=1e-2)
        assert float(alone) > 0
    for name in FIGURES:
        assert (tmp_path / name).stat().st_size > 10_000
        assert re.search(rf"!\[.+\]\({name}\)", text)

    def not_again(*args, **kwargs):
        raise AssertionError("ran again")

    monkeypatch.setattr("nst_jax.runs.sweep_files", not_again)
    monkeypatch.setattr("nst_jax.runs.resume", not_again)
    assert table1.main(settings).read_text() == text
    other = table1.Table1(output_dir=tmp_path, size=64, steps=25, weights="random")
    with pytest.raises(ValueError, match="other settings; give another --output-dir"):
        table1.main(other)
