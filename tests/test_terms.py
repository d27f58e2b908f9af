"""An open objective: the report's as an instance to the bit, terms of one's own, weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nst_jax import losses, objective, solve, terms

STYLE = ("shallow", "deep")
OTHERS = {
    "moments": terms.moments(STYLE),
    "wasserstein": terms.wasserstein(STYLE),
    "squares": terms.squared_variation(),
    "nine points": terms.nine_point_variation(),
}


@pytest.fixture
def image(rng):
    return jnp.asarray(rng.uniform(size=(16, 20, 3)), jnp.float32)


@pytest.fixture
def views(toy_fn, pictures):
    content, style = pictures
    return {"content": terms.view(toy_fn, content), "style": terms.view(toy_fn, style)}


value = jax.jit(lambda loss, image, weights: loss(image, weights))
gradient = jax.jit(lambda loss, image, weights: jax.grad(loss, has_aux=True)(image, weights)[0])


@pytest.mark.parametrize("convention", ["report", "gatys"])
def test_the_objective_of_the_report_is_an_instance(toy_fn, pictures, views, image, convention):
    layers = {"content_layers": ("deep",), "style_layers": STYLE}
    targets = objective.compute_targets(toy_fn, *pictures, **layers, convention=convention)
    closed = objective.make_objective(toy_fn, targets)
    weights = objective.make_weights(targets)
    opened = terms.compose(toy_fn, terms.report(("deep",), STYLE, convention=convention), views)
    of_terms = {
        "content": weights.content,
        "style": weights.style,
        "total_variation": weights.total_variation,
    }
    of_terms = {name: float(weight) for name, weight in of_terms.items()}
    same = terms.weigh(opened, of_terms)
    total, expected = value(closed, image, weights)
    found, losses_found = value(opened, image, same)
    gradients = gradient(closed, image, weights), gradient(opened, image, same)
    # Published weights of gatys belong to plain sums: the same up to their rounding.
    close = {"rtol": 0} if convention == "report" else {"rtol": 1e-5}
    np.testing.assert_allclose(found, total, **close)
    np.testing.assert_allclose(losses_found.terms["content"], expected.content, **close)
    np.testing.assert_allclose(losses_found.parts["style"], expected.style_per_layer, **close)
    scale = float(jnp.abs(gradients[0]).max())
    np.testing.assert_allclose(gradients[1], gradients[0], atol=close["rtol"] * scale, **close)


def test_relative_weights_are_those_of_the_report(toy_fn, pictures, views):
    layers = {"content_layers": ("deep",), "style_layers": STYLE}
    targets = objective.compute_targets(toy_fn, *pictures, **layers)
    expected = objective.relative_weights(targets, objective.make_weights(targets))
    opened = terms.compose(toy_fn, terms.report(("deep",), STYLE), views)
    weights = terms.weigh(opened, {"content": 1.0, "style": 1.0, "total_variation": 1.0})
    found = terms.relative(opened, weights, views["content"])
    np.testing.assert_allclose(found.parts["content"], expected.content_layers, rtol=1e-6)
    np.testing.assert_allclose(found.parts["style"], expected.style_layers, rtol=1e-6)
    np.testing.assert_array_equal(found.parts["total_variation"], [1.0])


def test_the_style_has_its_own_statistics(toy_fn, views):
    named = {name: each for name, each in OTHERS.items() if each.layers}
    opened = terms.compose(toy_fn, named, views)
    weights = terms.weigh(opened, dict.fromkeys(named, 1.0))
    _, itself = value(opened, views["style"].image, weights)
    _, other = value(opened, views["content"].image, weights)
    for name in named:
        # These features fill four of six dimensions. In the other two the root of the Wasserstein
        # distance is that of the little that is added: a hundredth of the variance.
        assert abs(itself.terms[name]) < 3e-2 * other.terms[name]


def test_all_terms_in_one_objective(toy_fn, views, image):
    named = terms.report(("deep",), STYLE) | OTHERS
    opened = terms.compose(toy_fn, named, views)
    wanted = {name: float(i + 1) for i, name in enumerate(named)}
    total, found = value(opened, image, terms.weigh(opened, wanted))
    assert list(found.terms) == sorted(named)
    expected = sum(wanted[name] * float(found.terms[name]) for name in named)
    np.testing.assert_allclose(total, expected, rtol=1e-5)
    for name, term in named.items():
        assert found.parts[name].shape == (len(term.parts),)
    assert np.isfinite(gradient(opened, image, terms.weigh(opened, wanted))).all()


def test_weights_of_locations_choose_a_part_of_the_picture(toy_fn, views, image):
    """Features of the upper half alone, as if the picture ended there."""
    features = toy_fn(image)
    half = {x: jnp.zeros(f.shape[:2]).at[: len(f) // 2].set(1) for x, f in features.items()}
    cut = {x: f[: len(f) // 2] for x, f in features.items()}
    for term in (terms.gram(STYLE), terms.moments(STYLE), terms.wasserstein(STYLE)):
        targets = term.init(views)
        chosen = term.measure(targets, terms.View(image, features, half))
        alone = term.measure(targets, terms.View(image, cut))
        np.testing.assert_allclose(term.loss(targets, chosen), term.loss(targets, alone), rtol=1e-4)
        # Sums of both halves are those of the whole.
        rest = {x: 1 - w for x, w in half.items()}
        other = term.measure(targets, terms.View(image, features, rest))
        whole = term.measure(targets, terms.View(image, features))
        jax.tree.map(
            lambda a, b, c: np.testing.assert_allclose(a + b, c, rtol=1e-4, atol=1e-5),
            chosen,
            other,
            whole,
        )


def test_a_term_of_one_s_own_needs_nothing_of_ours(toy_fn, views, image):
    """How far the mean color is from that of the style."""
    own = terms.Term(
        init=lambda pictures: jnp.mean(pictures["style"].image, axis=(0, 1)),
        measure=lambda target, seen: (jnp.sum(seen.image, axis=(0, 1)), seen.image[..., 0].size),
        loss=lambda target, sums: jnp.sum(jnp.square(sums[0] / sums[1] - target))[None],
        parts=("color",),
        references=("style",),
    )
    opened = terms.compose(toy_fn, {"content": terms.content(("deep",)), "color": own}, views)
    weights = terms.weigh(opened, {"content": 0.0, "color": 2.0})
    total, found = value(opened, image, weights)
    expected = np.sum(
        (np.mean(image, axis=(0, 1)) - np.mean(views["style"].image, axis=(0, 1))) ** 2
    )
    np.testing.assert_allclose(found.terms["color"], expected, rtol=1e-4)
    np.testing.assert_allclose(total, 2 * expected, rtol=1e-4)


def test_other_pictures_and_weights_compile_nothing(toy_fn, views, image, pictures):
    named = terms.report(("deep",), STYLE)
    first = terms.compose(toy_fn, named, views)
    wanted = {"content": 1.0, "style": 1.0, "total_variation": 1.0}
    compiled = jax.jit(lambda loss, image, weights: loss(image, weights)[0])
    compiled(first, image, terms.weigh(first, wanted))
    content, style = pictures
    other = {"content": terms.view(toy_fn, content / 2), "style": terms.view(toy_fn, style / 2)}
    again = terms.compose(toy_fn, terms.report(("deep",), STYLE), other)
    compiled(again, image, terms.weigh(again, wanted | {"style": 3.0}, {"style": [1.0, 0.0]}))
    assert compiled._cache_size() == 1


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({}, "needs a term at least"),
        ({"style": terms.gram(STYLE, reference="night")}, "refers to the picture 'night', got"),
        ({"style": terms.gram(("block9",))}, "reads the layer 'block9', the network gives"),
    ],
)
def test_terms_that_cannot_be_made_are_refused(toy_fn, views, named, words):
    with pytest.raises(ValueError, match=words):
        terms.compose(toy_fn, named, views)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("of_terms", "of_parts", "words"),
    [
        ({"style": 1.0}, None, "the term 'smooth' has no weight"),
        ({"style": 1.0, "smooth": 1.0, "tv": 1.0}, None, "there is no term 'tv' to weigh: style"),
        ({"style": 1.0, "smooth": 1.0}, {"tv": [1.0]}, "there is no term 'tv' to weigh: style"),
        ({"style": -1.0, "smooth": 1.0}, None, "'style' must be finite and not negative, got -1.0"),
        ({"style": 1e39, "smooth": 1.0}, None, "'style' must be finite and not negative"),
        ({"style": "1", "smooth": 1.0}, None, "'style' must be a number, got '1'"),
        ({"style": 1.0, "smooth": 1.0}, {"style": [1.0]}, "'style' must be 2 weights, got"),
        ({"style": 0.0, "smooth": 0.0}, None, "all weights are zero"),
    ],
)
def test_weights_that_cannot_be_are_refused(toy_fn, views, of_terms, of_parts, words):
    named = {"style": terms.gram(STYLE), "smooth": terms.total_variation()}
    opened = terms.compose(toy_fn, named, views)
    with pytest.raises(ValueError, match=words):
        terms.weigh(opened, of_terms, of_parts)


def test_too_few_weights_of_parts_are_refused(toy_fn, views, image):
    opened = terms.compose(toy_fn, {"style": terms.gram(STYLE)}, views)
    weights = terms.Weights({"style": jnp.float32(1)}, {"style": jnp.ones(1)})
    with pytest.raises(ValueError, match="has 2 parts and needs as many weights"):
        opened(image, weights)


def test_a_plain_function_has_no_terms(toy_objective):
    with pytest.raises(ValueError, match="must be one that terms"):
        terms.terms_of(jax.tree_util.Partial(lambda image, weights: (0.0, None)))


def test_gram_sums_are_the_gram_matrix(rng):
    features = jnp.asarray(rng.normal(size=(4, 5, 3)), jnp.float32)
    sums = losses.gram_sums(features)
    np.testing.assert_array_equal(sums.products / sums.weight, losses.gram_matrix(features))


def test_an_open_objective_is_optimized(toy_fn, views, image):
    named = {"content": terms.content(("deep",)), "style": terms.wasserstein(STYLE)}
    opened = terms.compose(toy_fn, named, views)
    weights = terms.weigh(opened, {"content": 0.1, "style": 1.0})
    result = solve.stylize(opened, image, weights, num_steps=4)
    assert result.history.terms.parts["style"].shape == (4, 2)
    assert result.history.terms.total[-1] < result.history.terms.total[0]
    several = weights._replace(terms=weights.terms | {"style": np.float32([1, 2])})
    swept = solve.sweep(opened, image, several, learning_rates=[0.02, 0.02], num_steps=4)
    np.testing.assert_allclose(swept.image[0], result.image, atol=1e-6)
    assert np.abs(swept.image[1] - swept.image[0]).max() > 1e-3
    wrong = weights._replace(parts=weights.parts | {"style": np.ones((3, 2), np.float32)})
    with pytest.raises(ValueError, match=r"`parts\.style` must have 1 axes, or 2 of which"):
        solve.sweep(opened, image, wrong, learning_rates=[0.02, 0.02])
