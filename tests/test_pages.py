"""The pages of the experiments: their words, and the facts that they are filled with."""

import sys
from pathlib import Path

import jinja2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "experiments"))

from measuring import measures, tuning, yardstick
from measuring.records import Origin
from pages import features, losses, study, words, writing

ORIGIN = Origin("H100", None, "float32", "2026-01-02", "0.12", is_random=False)


@pytest.fixture
def template(monkeypatch):
    """Renders a text as a page's template, with facts."""

    def rendered(text, **facts):
        loader = jinja2.DictLoader({"page.md.jinja": text})
        monkeypatch.setattr(words._TEMPLATES, "loader", loader)
        words._TEMPLATES.cache.clear()
        return words.render("page", **facts)

    yield rendered
    words._TEMPLATES.cache.clear()


def test_an_indented_line_goes_on_with_the_line_before(template):
    assert template("# A\n\n- one\n  two\n    three\n- four\n\n\n\nfive\n") == (
        "# A\n\n- one two three\n- four\n\nfive"
    )


def test_a_missing_fact_is_an_error(template):
    with pytest.raises(jinja2.UndefinedError, match="'seconds' is undefined"):
        template("{{ seconds | digits }}")


def test_numbers_are_written_as_asked_for(template):
    text = "{{ x | digits }} {{ x | digits(2) }} {{ x | decimals(1) }} {{ x | signed(1) }}"
    assert template(text, x=0.123456789) == "0.123457 0.12 0.1 +0.1"
    assert template("{{ x | percent }}, {{ x | percent(1) }}", x=0.1234) == "12.3 %, 1e+01 %"
    assert template("{{ x | loss }} {{ y | loss }}", x=123456.0, y=np.nan) == "1.235e+05 diverged"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "H100, 2026-01-02, jax 0.12"),
        ({"cores": 2}, "a CPU with 2 cores, 2026-01-02, jax 0.12"),
        ({"precision": "bfloat16"}, "H100, bfloat16, 2026-01-02, jax 0.12"),
        (
            {"is_random": True},
            "H100, 2026-01-02, jax 0.12; **the network's weights are random: the numbers mean "
            "nothing**",
        ),
    ],
)
def test_an_origin_in_words(changes, text):
    assert words.render("origin", origin=ORIGIN._replace(**changes)) == text


def test_joined_sections_have_their_figures_and_short_lines(tmp_path):
    section = tmp_path / "out" / "section.md"
    section.parent.mkdir()
    section.write_text(f"## One\n\n![a](a.png)\n\n- {'word ' * 40}\n\n| {'cell ' * 40} |")
    section.with_name("a.png").write_bytes(b"picture")
    page = tmp_path / "docs" / "page.md"
    writing.join([section], page, "# Title\n\nPreface.")
    text = page.read_text()
    assert text.startswith("# Title\n\nPreface.\n\n## One\n\n![a](images/page/a.png)\n\n- word")
    assert (page.parent / "images/page/a.png").read_bytes() == b"picture"
    long = [line for line in text.splitlines() if len(line) > 110]
    assert [line[0] for line in long] == ["|"]


# The study


def runs_of(left, *, rates, seeds=1, budget=4):
    """Runs that fall evenly in the logarithm to what is left, (pair, rate), of their start."""
    left = np.asarray(left, np.float64)
    falls = left[:, :, None, None] ** (np.arange(budget + 1) / budget)
    total = 1e6 * np.repeat(falls, seeds, axis=2)
    pictures = tuple(np.zeros((len(rates), 4, 4, 3), np.uint8) for _ in left)
    return measures.Runs("any", rates, total, total / 1e5, total, total[..., -1] > 1e6, pictures)


@pytest.fixture
def stages():
    """Four pairs; the first optimizer is best in all of them, the next two are alike."""
    rates = (0.01, 0.03, 0.1)
    pairs = np.array([1.0, 1.1, 1.2, 1.3])[:, None]

    def stage(budget):
        return tuning.Stage(
            {
                "adam": runs_of(pairs * [0.2, 0.1, 0.4], rates=rates, budget=budget),
                "rmsprop": runs_of(pairs * [0.5, 0.4, 0.3], rates=rates, budget=budget),
                "adagrad": runs_of(pairs * [0.45, 0.31, 0.6], rates=rates, budget=budget),
                "lbfgs": runs_of(pairs * [0.05], rates=(0.0,), budget=budget),
            },
            [],
        )

    return stage(4), stage(8)


def test_facts_of_a_stage(stages):
    facts = study.stage_facts(stages[0])
    assert (facts.budget, facts.seeds, facts.pairs) == (4, 1, 4)
    assert [each.name for each in facts.standings] == ["L-BFGS", "Adam", "RMSprop", "Adagrad"]
    adam = facts.standings[1]
    assert adam.rates == ((0.03, 4),)
    assert facts.standings[0].rates == ()
    assert adam.left.median == pytest.approx(0.115)
    # A fifth after three of four evaluations in two pairs, after four in two; a twentieth never.
    assert adam.to_fifth == (3.5, 4)
    assert adam.to_twentieth == (None, 0)
    assert len(facts.duels) == 6
    assert [duel.second for duel in facts.neighbors] == ["Adam", "RMSprop", "Adagrad"]
    assert (facts.lead.first, facts.lead.second) == ("L-BFGS", "Adam")
    assert (facts.lead_of_report.first, facts.lead_of_report.second) == ("Adam", "RMSprop")
    # Four pairs are too few to decide anything.
    assert not any(duel.is_decided for duel in facts.duels)


def test_facts_of_the_rates(stages):
    facts = study.rate_facts(*stages)
    assert facts.budgets == (1, 2, 4, 8)
    adam, rmsprop, _ = facts.optimizers
    assert adam.best[-1].rate == 0.03
    assert (adam.lower, adam.higher) == pytest.approx((2, 4))
    assert rmsprop.higher is None
    assert facts.costs == pytest.approx([2, 4, 4 / 3, 45 / 31, 60 / 31])
    assert [name for name, _ in facts.common] == ["Adam", "Adagrad", "RMSprop"]
    assert [name for name, _ in facts.own] == ["Adam", "RMSprop", "Adagrad"]
    assert not facts.is_same_order
    assert facts.common_factor == pytest.approx(4)
    assert facts.own_factor == pytest.approx(3.1)
    assert facts.usual == (("Adam", 0.03), ("RMSprop", 0.1), ("Adagrad", 0.03))
    # With twice the evaluations the part that is left is squared.
    assert facts.doubled[0][1] == pytest.approx(np.sqrt(0.115), rel=1e-3)
    assert facts.pairs_that_fell == (4, 4, 4)


# What the network sees, and the choices of the loss


def test_pictures_alike_correlate():
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert features.correlation(picture, picture) == pytest.approx(1)
    assert features.correlation(picture, 255 - picture) == pytest.approx(-1)


def test_the_group_that_moves_a_yardstick_most_is_first():
    def setting(group, style, content):
        return losses.Setting(group, "any", yardstick.Yardstick(style, content, 1.0))

    groups = {
        "weak": [setting("weak", 1.0, 2.0), setting("weak", 2.0, 1.0)],
        "strong": [setting("strong", 1.0, 8.0), setting("strong", 1.0, 2.0)],
    }
    assert losses.spreads(groups) == (("strong", 1.0, 4.0), ("weak", 2.0, 2.0))
