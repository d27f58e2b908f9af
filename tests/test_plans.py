"""Which variants share a program, and what planning them takes."""

from itertools import pairwise

import numpy as np
import pytest

from nst_jax import driver, terms
from nst_jax.runlog import Variant
from nst_jax.runs import plans
from nst_jax.runs.problem import Method, Pictures, Problems, Schedule, make_problem


def variant(optimizer="adam", rate=0.1, style="a"):
    return Variant(
        label=f"{optimizer} {rate} {style}",
        optimizer=optimizer,
        learning_rate=rate,
        weights={"content": 1.0, "style": 1.0},
        style=style,
        init="content",
        seed=0,
    )


@pytest.fixture
def problems(toy_fn, pictures):
    content, style = map(np.asarray, pictures)
    styles = {"a": style, "b": style / 2}
    named = {"content": terms.content(("deep",)), "style": terms.gram(("shallow",))}
    one = np.ones(1, np.float32)

    def make(own):
        return make_problem(toy_fn, own, named, dict.fromkeys(named, one))

    return Problems({"": Pictures(content, styles, {})}, make)


def planned(problems, variants, batch):
    return plans.plan(problems, Method(), Schedule(4), variants, batch=batch)


def test_programs_are_of_one_optimizer_and_style_in_batches_of_equal_width(problems):
    variants = [variant(rate=rate / 10) for rate in range(1, 6)]
    variants += [variant(style="b"), variant("lbfgs", 0.0, "b"), variant("lbfgs", 0.0, "b")]
    found = planned(problems, variants, batch=2)
    assert [(each.start, each.stop, each.width) for each in found] == [
        *((0, 2, 2), (2, 4, 2), (4, 5, 2)),
        *((5, 6, 1), (6, 8, 2)),
    ]
    assert all(one.stop == other.start for one, other in pairwise(found))
    assert plans.from_json(plans.as_json(found), len(variants), 4) == found


def test_memory_is_asked_for_only_where_the_batch_is_open(problems, monkeypatch):
    """To ask compiles the step: a single run would pay for what it does not need."""
    asked = []

    def step_bytes(*arguments, **options):
        asked.append(arguments)
        return 1

    monkeypatch.setattr(driver, "step_bytes", step_bytes)
    planned(problems, [variant()], batch=1)
    planned(problems, [variant("lbfgs", 0.0)], batch=None)
    assert not asked
    (plan,) = planned(problems, [variant(), variant(rate=0.2)], batch=None)
    assert asked
    assert plan.width == 2
