"""Time to quality: ways, courses, when a target was reached, and the page."""

import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "experiments"))

import time_to_quality
from measuring import contest, courses, ways
from pages import time_to_quality as quality_page

from nst_jax import image as images
from nst_jax import optimizers
from nst_jax.terms import Losses


def adam(rate):
    return ways.stepping(optimizers.named("adam"), rate)


def a_course(totals, *, every=10, a_second=10.0, target=0.0):
    """A course that is looked at every so many evaluations."""
    evaluations = every * np.arange(len(totals))
    settings = {
        "size": 8,
        "every": every,
        "target": target,
        "device": "CPU",
        "jax": "0",
        "network": "x",
    }
    return courses.Course(
        settings, "2026-01-02", 1.5, tuple(evaluations.tolist()),
        tuple((evaluations / a_second).tolist()), tuple(totals),
    )  # fmt: skip


# When a target was reached


def test_an_even_fall_is_reached_between_two_looks():
    course = a_course(np.exp(-0.1 * 10 * np.arange(6)))
    when = courses.reached(course, np.exp(-0.1 * 37))
    assert when.evaluations == pytest.approx(37)
    assert when.seconds == pytest.approx(3.7)
    assert courses.reached(course, course.totals[3]).evaluations == pytest.approx(30)
    assert courses.reached(course, 1.0) == (0, 0)


def test_what_was_never_reached_is_infinite():
    assert courses.reached(a_course([4.0, 2.0, 3.0]), 1.9) == courses.NEVER


def test_a_rise_in_between_counts_as_the_best_so_far():
    # From 2 to 0.5, the best before, two looks later: half way in the logarithm at 1.
    assert courses.reached(a_course([4.0, 2.0, 3.0, 0.5]), 1.0).evaluations == pytest.approx(25)


# Ways and courses


@pytest.fixture
def problem(toy_objective):
    objective, weights, content = toy_objective
    small = images.resize(np.asarray(content), 8, 10)
    targets = {"objective": objective, "weights": weights}
    coarse = ways.Problem(jax.tree_util.Partial(_distance), weights, small, lambda: None)
    return ways.Problem(**targets, start=np.asarray(content), coarse=lambda: coarse)


def _distance(image, weights):
    """From what is darker than black: least at the bound."""
    total = ((image + 0.5) ** 2).sum() * weights.terms["style"] / weights.terms["style"]
    return total, Losses(total, {"content": total, "style": total}, {})


@pytest.fixture
def looks():
    """What a look has seen; it says to go on up to 25 evaluations."""
    seen = []

    def look(place):
        seen.append(place)
        return place.evaluations < 25

    return seen, look


@pytest.mark.parametrize(
    "way", [adam(0.02), ways.stepping(optimizers.named("lbfgs")), ways.bounded]
)
def test_a_way_goes_down_until_the_look_has_seen_enough(problem, looks, way):
    seen, look = looks
    end = way(problem, 100, look)
    evaluations = [place.evaluations for place in seen]
    assert evaluations == sorted(set(evaluations))
    assert 25 <= end.evaluations == evaluations[-1] < 60
    for place in seen:
        assert place.image.min() >= 0
        assert place.image.max() <= 1
    totals = [float(problem.objective(place.image, problem.weights)[0]) for place in (seen[0], end)]
    assert totals[1] < totals[0] < float(problem.objective(problem.start, problem.weights)[0])


@pytest.mark.parametrize("way", [adam(0.02), ways.bounded, ways.projected])
def test_a_way_ends_with_its_budget(problem, way):
    assert 20 <= way(problem, 20, lambda place: True).evaluations < 30


def test_bounds_are_reached_and_an_early_end_is_looked_at(problem, looks):
    seen, look = looks
    end = ways.bounded(problem.coarse(), 100, look)
    np.testing.assert_array_equal(end.image, 0)
    assert end.evaluations < ways.EVERY
    assert seen == [end]


def test_a_projected_step_leaves_what_is_at_its_bound(problem, looks):
    _, look = looks
    end = ways.projected(problem.coarse(), 15, look)
    np.testing.assert_array_equal(end.image, 0)


def test_a_step_that_goes_too_far_is_shortened(problem):
    """With a gradient that is far too large the first step would end at the bounds."""
    place = problem.coarse()
    steep = jax.tree_util.Partial(_steep)
    start = np.full_like(place.start, 0.5)
    end = ways.projected(place._replace(objective=steep, start=start), 40, lambda place: True)
    np.testing.assert_allclose(end.image, 0.4, atol=1e-3)


def _steep(image, weights):
    one = weights.terms["style"] / weights.terms["style"]
    total = 1e6 * ((image - 0.4) ** 2).sum() ** 0.75 * one
    return total, Losses(total, {"content": total, "style": total}, {})


def test_a_falling_rate_ends_at_zero(problem):
    way = ways.stepping(ways.cosine(20), 0.02)
    seen = []
    way(problem, 40, lambda place: seen.append(place.image) or True)
    assert np.abs(seen[1] - seen[0]).max() > 1e-3
    np.testing.assert_allclose(seen[2], seen[1], atol=1e-7)


def test_coarse_evaluations_count_by_their_pixels(problem, looks):
    seen, look = looks
    end = ways.coarse_to_fine(adam(0.02), 40)(problem, 100, look)
    assert seen[0].evaluations == pytest.approx(40 * 8 * 10 / (16 * 20))
    assert seen[0].image.shape == problem.start.shape
    assert [place.evaluations for place in seen] == [10, 20, 30]
    assert end.evaluations == 30


def test_the_clock_stands_while_the_image_is_judged(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(courses.time, "perf_counter", lambda: now[0])

    def way(problem, budget, look):
        for i in range(1, budget + 1):
            now[0] += 2
            if not look(ways.Place(problem.start, i)):
                return None
        return None

    def judge(image):
        now[0] += 100
        return next(totals)

    totals = iter([9.0, 5.0, 4.0, 3.0, 2.0])
    start = ways.Problem(None, None, np.zeros((2, 2, 3)), lambda: None)
    course = courses.course_of(way, start, 10, judge, 3.5, {"a": 1})
    assert course.ready == 4
    assert course.evaluations == (0, 1, 2, 3)
    assert course.seconds == (0, 2, 4, 6)
    assert course.totals == (9, 5, 4, 3)


def test_a_course_is_kept_for_its_settings(tmp_path):
    course = a_course([3.0, 1.0])
    path = tmp_path / "pair" / "way.json"
    assert courses.kept(path, course.settings) is None
    courses.keep(course, path)
    assert courses.kept(path, course.settings) == course
    assert courses.kept(path, course.settings | {"jax": "1"}) is None


# From contenders to the page


@pytest.fixture
def settings(tmp_path, monkeypatch, problem):
    """Two small and two large pairs of a toy, in two precisions that are the same."""
    contenders = [
        time_to_quality.Contender("Adam 0.02", adam(0.02), "float32", 30),
        time_to_quality.Contender("Adam 0.05", adam(0.05), "bfloat16", 40),
        time_to_quality.Contender("Adam 0.0001", adam(1e-4), "bfloat16", 10),
    ]
    pairs = [
        time_to_quality.Pair(Path(f"content_{name}.png"), Path("style_waves.png"))
        for name in ("cat", "dog")
    ]
    replaced = {
        "small_contenders": lambda fast: contenders,
        "large_contenders": lambda fast: contenders[:2],
        "pairs_of": lambda settings: pairs,
        "problem_of": lambda config: problem,
        "_conditions": lambda settings, plan, pair: {
            "size": plan.size, "every": 10, "device": "CPU", "jax": "0", "network": "random",
        },
    }  # fmt: skip
    for name, value in replaced.items():
        monkeypatch.setattr(time_to_quality, name, value)
    return time_to_quality.TimeToQuality(
        output_dir=tmp_path / "out", page=tmp_path / "docs" / "page.md", large_pairs=2
    )


def test_an_interrupted_comparison_goes_on_to_its_page(settings, monkeypatch, capsys):
    made = []
    course_of = courses.course_of

    def interrupted(*args):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(course_of(*args))
        return made[-1]

    monkeypatch.setattr(courses, "course_of", interrupted)
    assert time_to_quality.main(replace(settings, minutes=0)) is None
    assert not made
    with pytest.raises(KeyboardInterrupt):
        time_to_quality.main(settings)
    first = {path: path.read_bytes() for path in settings.output_dir.rglob("*.json")}
    assert len(first) == 2

    monkeypatch.setattr(courses, "course_of", course_of)
    section = time_to_quality.main(settings)
    assert len(list(settings.output_dir.rglob("*.json"))) == 2 * 3 + 2 * 2
    assert all(path.read_bytes() == content for path, content in first.items())
    text = section.read_text()
    assert "weights are random" in text
    assert "nan" not in text
    assert "| Adam 0.05 | bfloat16 | 2 of 2 |" in text
    assert "| Adam 0.0001 | bfloat16 | 0 of 2; else at" in text
    page = settings.page.read_text()
    assert page.startswith("# Time to quality\n\nHow soon")
    assert (settings.page.parent / "images/page/quality_256.png").stat().st_size > 1000

    monkeypatch.setattr(courses, "course_of", None)
    assert time_to_quality.main(settings).read_text() == text


def test_each_pair_is_judged_by_the_way_chosen_on_the_others():
    names = ("reference", "often first", "once first")
    ends = np.array([[1.0, 2.0, 4.0], [1.0, 2.0, 4.0], [1.0, 8.0, 4.0], [1.0, 2.0, 4.0]])
    gone = [
        [a_course([1.0, 0.1], a_second=speed, target=0.1 * (speed > 1)) for speed in pair]
        for pair in ends
    ]
    stage = contest.Stage(
        [contest.Gone(name, "float32", 10) for name in names], [("a", "b")] * 4, gone
    )
    results = contest.results_of(stage)
    np.testing.assert_allclose(results[1].seconds, 10 / ends[:, 1])
    assert [each.count for each in results] == [4, 4, 4]
    choice, factors = contest.chosen_on_the_others(results)
    assert choice == [2, 2, 2, 2]
    np.testing.assert_allclose(factors, 4)


def test_one_pair_is_refused(tmp_path):
    with pytest.raises(ValueError, match="two pairs of each size"):
        time_to_quality.main(time_to_quality.TimeToQuality(output_dir=tmp_path, pairs=1))


def test_a_way_that_was_not_there_everywhere_is_not_compared():
    gone = [[a_course([4.0, 1.0]), a_course([4.0, end])] for end in (0.5, 1.25, 1.5)]
    stage = contest.Stage(
        [contest.Gone(name, "float32", 10) for name in "ab"], [("a", "b")] * 3, gone
    )
    facts = quality_page.stage_facts(stage)
    first, other = facts.rows
    assert (first.reached, first.ended, first.evaluations) == (3, None, (10, 10, 10))
    assert (other.reached, other.ended) == (1, (1.25, 1.5))
    assert other.evaluations == other.seconds == (None, None, None)
    assert first.against is other.against is None
    assert facts.chosen == ("a", "float32", 3)
    text = quality_page.section(stage, stage)
    assert "| b | float32 | 1 of 3; else at 1.250 to 1.500 | - |  | 100 | - |  |  |" in text


def test_budgets_dates_and_precisions_are_those_of_all_courses():
    courses_of = [[a_course([4.0, 1.0]), a_course([4.0, 1.0])] for _ in range(2)]
    ways_of = [contest.Gone("a", "float32", 10), contest.Gone("b", "float32", 5)]
    small = contest.Stage(ways_of, [("a", "b")] * 2, courses_of)
    later = [[replace(each, date="2026-01-03", ready=9.0) for each in pair] for pair in courses_of]
    large = contest.Stage([contest.Gone("a", "bfloat16", 10), ways_of[1]], small.pairs, later)
    facts = quality_page.facts(small, large)
    assert (facts.most, facts.fewer, facts.ready) == (10, (("b", 5),), 9.0)
    assert facts.origin.date == "2026-01-02 to 2026-01-03"
    # Two comparisons of four signs of two differences would be certain.
    assert facts.small.smallest_p == 0.5
    text = quality_page.section(small, large)
    assert "in float32 (8 px) and in bfloat16 (8 px, where float32 would take too long)." in text
    assert "after 10 (b: 5) evaluations" in text


@pytest.mark.slow
@pytest.mark.usefixtures("quick_to_compile")
def test_a_problem_is_the_report_s_and_has_a_coarse_one(tmp_path, rng, shallow):
    pair = time_to_quality.Pair(tmp_path / "c.png", tmp_path / "s.png")
    for path in pair:
        images.save(path, rng.uniform(size=(40, 48, 3)).astype(np.float32))
    config = shallow(time_to_quality.config_of(pair, 48, "float32", "random"))
    problem = time_to_quality.problem_of(config)
    assert problem.start.shape == (40, 48, 3)
    assert problem.coarse().start.shape == (20, 24, 3)
    assert problem.coarse() is problem.coarse()
    assert float(problem.weights.terms["total_variation"]) == 0
    total = time_to_quality.judge_of(problem)(problem.start)
    assert total == pytest.approx(float(problem.objective(problem.start, problem.weights)[0]))


def test_the_first_pairs_have_every_picture(tmp_path, monkeypatch):
    contents, styles = (tuple(Path(name) for name in names) for names in ("abc", "xyz"))
    monkeypatch.setattr(
        time_to_quality.samples, "study_pictures", lambda folder, cropped: (contents, styles)
    )
    pairs = time_to_quality.pairs_of(time_to_quality.TimeToQuality(output_dir=tmp_path))
    assert len(set(pairs)) == 9
    for count, times in ((3, 1), (6, 2)):
        for pictures in zip(*pairs[:count], strict=True):
            assert all(pictures.count(picture) == times for picture in set(pictures))
