"""Strips of rows: the losses, gradients and targets of the whole, in less memory."""

from dataclasses import replace
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nst_jax import driver, optimizers, runs, steps, strips, terms, vgg
from nst_jax.strips import from_python
from nst_jax.strips.sections import Section, sections_of, strips_of
from nst_jax.system import memory

LAYERS = ("block1_conv1", "block2_conv1", "block2_conv2", "block3_conv1")
TERMS = {
    "content": terms.content(("block2_conv2",)),
    "style": terms.gram(LAYERS[:2] + LAYERS[3:]),
    "covariance": terms.covariance(("relu2_1",)),
    "shifted": terms.shifted_gram(("block1_conv1",), shifts=((2, 1),)),
    "moments": terms.moments(("block3_conv1",)),
    "pixels": terms.squared_variation(),
}


def picture(seed, height, width):
    return np.random.default_rng(seed).uniform(size=(height, width, 3)).astype(np.float32)


def relative_error(found, expected):
    return np.linalg.norm(np.asarray(found) - np.asarray(expected)) / np.linalg.norm(expected)


@pytest.fixture(scope="module")
def problem_of(vgg_params):
    """`problem_of(height, width, terms)`: objective, weights and an image."""

    def problem_of(height, width, of_terms=TERMS, **options):
        layers = tuple(dict.fromkeys(x for term in of_terms.values() for x in term.layers))
        feature_fn = vgg.feature_fn(vgg_params, layers, **options)
        views = {
            "content": terms.view(feature_fn, picture(0, height, width)),
            "style": terms.view(feature_fn, picture(1, 24, 20) ** 2),
        }
        objective = terms.compose(feature_fn, of_terms, views)
        weights = terms.weigh(objective, dict.fromkeys(of_terms, 1.0))
        return (
            objective,
            terms.relative(objective, weights, views["content"]),
            picture(2, height, width),
        )

    return problem_of


def check(problem, rows, tolerance=1e-6):
    objective, weights, image = problem
    (_, expected), gradient = jax.jit(steps.evaluate)(objective, image, weights)
    (_, found), own = from_python.evaluate(objective, jnp.asarray(image), weights, rows=rows)
    # Of the loss of an image without features, by which the weights divide: a distance of things
    # that are nearly alike has fewer digits of its own.
    for name, part in expected.parts.items():
        error = np.abs(found.parts[name] - part) * weights.parts[name]
        np.testing.assert_array_less(error, tolerance, err_msg=name)
    np.testing.assert_allclose(found.total, expected.total, rtol=tolerance)
    assert relative_error(own, gradient) < tolerance


@pytest.mark.parametrize(
    ("height", "width", "rows", "options"),
    [
        (37, 21, 8, {}),
        (24, 16, 1, {"pooling": "average", "border": "reflect"}),
        (16, 19, 64, {"border": "edge"}),
    ],
    ids=["odd sides", "one row", "lower than a strip"],
)
def test_strips_have_the_losses_and_the_gradient_of_the_whole(
    problem_of, height, width, rows, options
):
    check(problem_of(height, width, **options), rows)


def test_the_fast_forms_of_a_cpu_are_as_near_as_they_round(problem_of):
    few = {"content": TERMS["content"], "style": terms.gram(LAYERS[3:])}
    check(problem_of(37, 21, few, convolutions="winograd"), 8, tolerance=1e-5)


def test_a_distance_of_covariances_is_as_near_as_its_roots_allow(problem_of):
    check(problem_of(37, 21, {"style": terms.wasserstein(LAYERS[:2])}), 8, tolerance=2e-4)


def test_layers_that_a_term_needs_at_once_are_computed_at_once(problem_of):
    crossed = {"crossed": terms.cross_layer_gram(("block1_conv1", "block2_conv1"))}
    problem = problem_of(26, 17, crossed | {"style": TERMS["style"]})
    anatomy = vgg.anatomy(terms.feature_fn_of(problem[0]))
    assert [cut.first_block for cut in sections_of(anatomy, terms.terms_of(problem[0]))] == [1, 3]
    check(problem, 8)


def sorted_values():
    """A term of one's own that is no sum: the values of a channel in their order."""
    layer = "block2_conv1"

    def init(pictures):
        return jnp.sort(pictures["content"].features[layer][..., 0].ravel())

    def loss(targets, measured):
        _, maps = measured
        return jnp.mean(jnp.square(jnp.sort(maps[layer].ravel()) - targets))[None]

    return terms.Term(
        init,
        lambda targets, seen: (),
        loss,
        ("values",),
        (layer,),
        ("content",),
        maps=lambda targets, seen: {layer: seen.features[layer][..., 0]},
    )


def test_what_is_no_sum_is_put_together(problem_of):
    # A sort takes the differences of neighbors, which have few digits.
    check(problem_of(37, 21, {"values": sorted_values(), "style": TERMS["style"]}), 8, 1e-5)


def test_targets_of_variants_are_refused(problem_of):
    objective, weights, image = problem_of(16, 16, {"style": TERMS["style"]})
    targets = terms.targets_of(objective)
    with pytest.raises(ValueError, match="in strips has targets of its own"):
        strips.in_strips(objective, 8)(image, weights._replace(targets=targets))


def test_a_term_that_reads_features_and_pixels_is_refused_by_name(problem_of):
    both = terms.Term(
        lambda pictures: (),
        lambda targets, seen: jnp.mean(seen.image) + jnp.mean(seen.features["block1_conv1"]),
        lambda targets, sums: sums[None],
        ("both",),
        ("block1_conv1",),
    )
    objective, weights, image = problem_of(16, 16, {"mine": both})
    with pytest.raises(ValueError, match="'mine' reads features and pixels"):
        strips.in_strips(objective, 8)(image, weights)


def test_another_network_and_no_rows_are_refused(problem_of, toy_objective):
    with pytest.raises(ValueError, match="must be of vgg"):
        strips.in_strips(toy_objective[0], 8)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        strips.in_strips(problem_of(16, 16)[0], 0)


def test_a_gray_image_stays_gray(problem_of):
    objective, weights, image = problem_of(20, 16, {"style": terms.gram(LAYERS[:2])})
    check((terms.in_gray(objective), weights, image), 8)


def test_strips_cover_all_rows_once_and_begin_where_poolings_do():
    section = Section(1, (("block1_conv1", 1),), ("block1_pool", 2), halo=2, step=2)
    for height in range(1, 40):
        for rows in (1, 4, 7):
            length, found = strips_of(section, height, rows)
            assert [own.begin for own in found[1:]] == [own.stop for own in found[:-1]]
            assert (found[0].begin, found[-1].stop) == (0, height)
            for own in found:
                assert own.start % 2 == 0
                assert 0 <= own.start <= height - length
                assert own.start == 0 or own.begin - own.start >= 2
                end = own.start + length
                assert end == height or end - own.stop >= 2
            assert all(a.start <= b.start for a, b in pairwise(found))


@pytest.mark.parametrize("name", ["adam", "lbfgs"])
def test_steps_are_those_of_the_whole(problem_of, name):
    objective, weights, image = problem_of(20, 17, {"style": TERMS["style"]})
    optimizer = optimizers.named(name)
    hyper = jax.tree.map(
        lambda x: np.stack([x, x]), steps.Hyperparameters(np.float32(0.02), weights)
    )
    run = partial(
        driver.run_chunks, optimizer=optimizer, num_steps=3, chunk_length=3, driver="python"
    )

    def totals(of_run):
        state = driver.init_state(np.stack([image, image[::-1]]), optimizer, hyper)
        (chunk,) = run(of_run, hyper, state)
        return chunk.history.terms.total

    np.testing.assert_allclose(totals(strips.in_strips(objective, 8)), totals(objective), rtol=1e-4)


def test_one_differentiable_function_has_the_same_gradient(problem_of):
    objective, weights, image = problem_of(37, 21)
    expected = jax.jit(steps.evaluate)(objective, image, weights)
    found = jax.jit(steps.evaluate)(strips.in_strips(objective, 8), image, weights)
    np.testing.assert_allclose(found[0][0], expected[0][0], rtol=1e-6)
    assert relative_error(found[1], expected[1]) < 1e-6


def test_a_step_takes_less_memory(problem_of):
    objective, weights, _ = problem_of(256, 32, {"style": TERMS["style"]})
    optimizer = optimizers.named("adam")
    lanes = driver.abstract_lanes(1, (256, 32, 3), weights, optimizer=optimizer)
    whole, own = (
        driver.step_bytes(each, *lanes, optimizer=optimizer)
        for each in (objective, strips.in_strips(objective, 8))
    )
    constant = sum(x.nbytes for x in jax.tree.leaves(objective))
    assert own - constant < (whole - constant) / 2


def test_targets_of_sums_and_of_the_whole_are_those_of_whole_pictures(vgg_params):
    feature_fn = vgg.feature_fn(vgg_params, (*LAYERS, "relu2_1"))
    images = {
        "content": picture(0, 37, 21),
        "style": picture(1, 24, 20),
        "other": picture(3, 18, 26),
    }
    views = {name: terms.view(feature_fn, each) for name, each in images.items()}
    shares = terms.shared([views["style"], views["other"]], [2, 1])
    # A blend is for statistics of single locations.
    own = {name: term for name, term in TERMS.items() if name != "shifted"}
    expected = terms.targets_from(own, views | {"style": terms.in_a_row(shares)})
    pieces = {"content": [views["content"]], "style": shares}
    without = {name: [each._replace(features={}) for each in own] for name, own in pieces.items()}
    found = strips.targets_of(feature_fn, own, without, rows=8)
    for (path, one), other in zip(
        jax.tree.leaves_with_path(expected), jax.tree.leaves(found), strict=True
    ):
        assert relative_error(other, one) < 2e-6, jax.tree_util.keystr(path)


def test_a_run_computes_in_strips_what_does_not_fit_and_is_repeated_so(stylize, monkeypatch):
    """How much was free at first is in the log, and is not asked for again."""
    monkeypatch.setattr(memory, "available_bytes", lambda: 8 * 176 * 400)
    staged = replace(stylize, size=28, stages=("16:2", "28:2"))
    lines: list[str] = []
    record = runs.stylize_files(staged, say=lines.append, progress=False).record
    assert "in strips of 128 rows, which take less memory: each is computed twice" in lines
    assert record.attributes["strip_rows"] == 128
    assert record.attributes["whole_pixels"] == 400
    whole = replace(staged, strips="off", log=staged.log.with_name("whole.h5"), force=True)
    expected = runs.stylize_files(whole, say=lines.append, progress=False).record
    np.testing.assert_array_equal(record.rows.total[:2], expected.rows.total[:2])
    np.testing.assert_allclose(record.rows.total[2:], expected.rows.total[2:], rtol=1e-4)
    monkeypatch.setattr(memory, "available_bytes", lambda: 2**40)
    assert runs.rerun(staged.log, say=lines.append, progress=False).exit_code == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"strips": 0}, "number of rows of a strip must be at least 1, got 0"),
        ({"strips": 8, "rematerialize": True}, "activations twice already"),
    ],
)
def test_strips_that_cannot_be_are_refused_before_work(stylize, settings, words):
    with pytest.raises(ValueError, match=words):
        runs.stylize_files(replace(stylize, **settings), progress=False)
    assert not stylize.output.exists()
