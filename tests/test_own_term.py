"""A term of a user's own, by `--term`: a fourth term is in all that shows terms, unasked for."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from nst_jax import report, runlog, runs
from nst_jax.command import cli, inspection
from nst_jax.report import plotting, tables
from nst_jax.runs import tensorboard

MODULE = '''
from functools import cache
import jax.numpy as jnp
from nst_jax import terms

@cache
def warmth(*, aim=0.5):
    """How far the mean of red less blue is from an aim."""

    def measure(target, seen):
        return jnp.sum(seen.image[..., 0] - seen.image[..., 2]), seen.image[..., 0].size

    def loss(target, sums):
        return jnp.square(sums[0] / sums[1] - target)[None]

    return terms.Term(lambda pictures: jnp.float32(aim), measure, loss, parts=(terms.IMAGE,))

def number():
    return 3

def failing():
    raise ValueError("no such thing")

def style():
    return warmth()
'''


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch, quick_to_compile):
    """The module `own_terms`, which Python finds in this test and in no other."""
    (tmp_path / "own_terms.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("own_terms", None)


def check_log(record):
    assert record.terms == ("content", "style", "total_variation", "warmth")
    warmth = record.rows.losses["warmth"]
    weights = record.variants[0].weights
    assert weights["warmth"] == 100.0
    total = sum(weights[name] * record.rows.losses[name][:, 0] for name in record.terms)
    np.testing.assert_allclose(total, record.rows.total[:, 0], rtol=1e-4)
    # The variant with the greater weight comes nearer to the aim.
    assert warmth[-1, 1] < warmth[-1, 0] < warmth[0, 0]
    assert record.final["warmth"].shape == (2,)


def check_tables(record):
    assert [variant.label for variant in record.variants] == [
        "adam 0.02 warmth 100",
        "adam 0.02 warmth 1e+06",
    ]
    columns = {(column.group, column.title): column for column in tables.variants(record)}
    assert columns["weights", "warmth"].texts == ["100", "1e6"]
    np.testing.assert_array_equal(columns["final loss", "warmth"].values, record.final["warmth"])


def check_words(record):
    assert "warmth" in report.render(record)
    shown = inspection.show(record.path)
    assert "own_terms:warmth" in shown
    assert "adam 0.02 warmth 100" in shown


def check_board(record, folder):
    from test_tensorboard import scalars_of

    for i, of_variant in enumerate(sorted(folder.iterdir())):
        written = scalars_of(of_variant)["loss/warmth"]
        np.testing.assert_array_equal(list(written.values()), record.rows.losses["warmth"][:, i])


@pytest.mark.slow
def test_a_sweep_shows_the_fourth_term_everywhere(sweep, tmp_path):
    has_board = tensorboard.find_spec("tensorboardX")
    board = tmp_path / "board" if has_board else None
    settings = replace(
        sweep,
        optimizers=("adam",),
        learning_rates=("0.02",),
        steps=4,
        term=("own_terms:warmth",),
        term_weights=("warmth=1e2,1e6",),
        tensorboard=board,
    )
    record = runs.sweep_files(settings, say=lambda line: None, progress=False).record
    check_log(record)
    check_tables(record)
    check_words(record)
    if board:
        check_board(record, board)


def of_command(settings, *more):
    """The arguments of `nst-jax stylize` for a run of a term of one's own."""
    return [
        *("stylize", str(settings.content), str(settings.style)),
        *("--output", str(settings.output), "--log", str(settings.log), "--steps", "4"),
        *("--size", "full", "--weights", "random", "--init", "noise"),
        *("--content-layers", "relu2_1", "--style-layers", "relu1_1", "relu2_1"),
        *more,
    ]


@pytest.mark.slow
def test_a_log_of_own_terms_runs_on_request_alone(stylize, capsys):
    """By `rerun`, whose exit code tells that the bytes are the same, and by `resume`."""
    arguments = ["--term", "own_terms:warmth", "--term-weights", "warmth=1e6"]
    assert cli.main(of_command(stylize, *arguments)) == 0
    log = str(stylize.log)
    record = runlog.load(stylize.log)
    texts = [text.get_text() for text in plotting.loss_curves(record).axes[0].texts]
    assert "warmth" in texts
    page = report.render(record)
    assert "term-warmth" in page
    for again in (["rerun", log], ["resume", log, "--steps", "5"]):
        # What the log names is not imported before its owner has said so.
        del sys.modules["own_terms"]
        capsys.readouterr()
        assert cli.main(again) == 1
        said = capsys.readouterr().err
        assert "terms own_terms:warmth are functions" in said
        assert "--own-terms" in said
        assert said.count("\n") == 1
        assert "own_terms" not in sys.modules
        assert cli.main([*again, "--own-terms"]) == 0
    longer = runlog.load(stylize.log.with_name("run-5.h5"))
    assert longer.rows.losses["warmth"].shape == (5, 1)
    np.testing.assert_array_equal(longer.rows.total[:4], record.rows.total)


def test_a_file_gives_it_a_name_options_and_a_weight(stylize, tmp_path):
    (tmp_path / "mine.toml").write_text(
        '[terms.style]\nkind = "gram"\nlayers = ["relu1_1", "relu2_1"]\nweight = 1.0\n'
        '[terms.red]\nkind = "own_terms:warmth"\nweight = 1e3\noptions = {aim = 1.0}\n'
    )
    settings = replace(
        stylize,
        objective=str(tmp_path / "mine.toml"),
        steps=2,
        content_layers=None,
        style_layers=None,
        own_terms=True,
    )
    record = runs.stylize_files(settings, say=lambda line: None, progress=False).record
    assert record.terms == ("style", "red")
    start = runlog.load(stylize.log).rows.losses["red"][0, 0]
    # Noise has as much red as blue: the aim is 1 away.
    assert start == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize(
    ("term", "words"),
    [
        ("own_terms:absent", "cannot import the term 'own_terms:absent'"),
        ("no_such_module:term", "No module named 'no_such_module'"),
        ("own_terms:number", "must return a nst_jax.terms.Term, got 3"),
        ("own_terms:failing", "no such thing"),
        ("own_terms:style", "the objective has a term 'style' already: rename one"),
        ("warmth", "there is no kind of term 'warmth'"),
    ],
)
def test_what_gives_no_term_is_refused_before_the_start(stylize, term, words):
    settings = replace(stylize, term=(term,))
    with pytest.raises(ValueError, match=words) as caught:
        runs.stylize_files(settings, progress=False)
    assert "\n" not in str(caught.value)
    assert not stylize.log.exists()
