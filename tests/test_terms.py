"""An open objective: the report's as an instance to the bit, terms of one's own, weights."""

import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nst_jax import losses, objective, solve, terms

STYLE = ("shallow", "deep")
OTHERS = {
    "covariance": terms.covariance(STYLE),
    "moments": terms.moments(STYLE),
    "wasserstein": terms.wasserstein(STYLE),
    "shifted_gram": terms.shifted_gram(STYLE),
    "cross_layer_gram": terms.cross_layer_gram(STYLE),
    "adjacent_gram": terms.adjacent_gram(STYLE),
    "laplacian": terms.laplacian(pools=(1, 4)),
    "squares": terms.squared_variation(),
    "powers": terms.power_variation(beta=1.5),
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
    named = objective.report_terms(("deep",), STYLE, convention=convention)
    opened = terms.compose(toy_fn, named, views)
    of_terms = {name: float(weight) for name, weight in weights.terms.items()}
    same = terms.weigh(opened, of_terms)
    total, expected = value(closed, image, weights)
    found, losses_found = value(opened, image, same)
    gradients = gradient(closed, image, weights), gradient(opened, image, same)
    np.testing.assert_allclose(found, total, rtol=0)
    np.testing.assert_allclose(losses_found.terms["content"], expected.terms["content"], rtol=0)
    np.testing.assert_allclose(losses_found.parts["style"], expected.parts["style"], rtol=0)
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=0)


def test_relative_weights_are_those_of_the_report(toy_fn, pictures, views):
    layers = {"content_layers": ("deep",), "style_layers": STYLE}
    targets = objective.compute_targets(toy_fn, *pictures, **layers)
    expected = objective.relative_weights(targets, objective.make_weights(targets))
    opened = terms.compose(toy_fn, objective.report_terms(("deep",), STYLE), views)
    weights = terms.weigh(opened, {"content": 1.0, "style": 1.0, "total_variation": 1.0})
    found = terms.relative(opened, weights, views["content"])
    np.testing.assert_allclose(found.parts["content"], expected.parts["content"], rtol=1e-6)
    np.testing.assert_allclose(found.parts["style"], expected.parts["style"], rtol=1e-6)
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
    named = objective.report_terms(("deep",), STYLE) | OTHERS
    opened = terms.compose(toy_fn, named, views)
    wanted = {name: float(i + 1) for i, name in enumerate(named)}
    total, found = value(opened, image, terms.weigh(opened, wanted))
    assert list(found.terms) == sorted(named)
    expected = sum(wanted[name] * float(found.terms[name]) for name in named)
    np.testing.assert_allclose(total, expected, rtol=1e-5)
    for name, term in named.items():
        assert found.parts[name].shape == (len(term.parts),)
    assert np.isfinite(gradient(opened, image, terms.weigh(opened, wanted))).all()


SUMMED = {name: OTHERS[name] for name in OTHERS if OTHERS[name].references}
SUMMED |= {"content": terms.content(STYLE), "gram": terms.gram(STYLE)}


@pytest.mark.parametrize("name", SUMMED)
def test_sums_of_two_halves_of_a_picture_are_those_of_the_whole(toy_fn, views, image, name):
    features = toy_fn(image) | {terms.IMAGE: image}
    upper = {x: jnp.zeros(f.shape[:2]).at[: len(f) // 2].set(1) for x, f in features.items()}
    lower = {x: 1 - weight for x, weight in upper.items()}
    term = SUMMED[name]
    targets = term.init(views)
    whole, first, second = (
        term.measure(targets, terms.View(image, features, where)) for where in (None, upper, lower)
    )

    def compare(a, b, c):
        np.testing.assert_allclose(a + b, c, rtol=1e-4, atol=1e-5)
        assert np.any(np.asarray(a) != np.asarray(c))

    jax.tree.map(compare, first, second, whole)


@pytest.mark.parametrize("name", [x for x in SUMMED if "style" in SUMMED[x].references])
def test_a_region_is_a_picture_of_its_own(toy_fn, views, image, name):
    """Features of the upper half alone, as if the picture ended there; also of the style."""
    features = toy_fn(image)
    half = {x: jnp.zeros(f.shape[:2]).at[: len(f) // 2].set(1) for x, f in features.items()}
    cut = {x: f[: len(f) // 2] for x, f in features.items()}
    views["upper"] = terms.View(image, features, half)
    views["cut"] = terms.View(image[:8], cut)
    make = getattr(terms, name)
    of_region, of_cut = make(STYLE, region="upper"), make(STYLE)

    def loss(term, pictures, seen):
        targets = term.init(pictures)
        return term.losses_of(targets, seen)

    expected = loss(of_cut, views, views["cut"])
    np.testing.assert_allclose(
        loss(of_region, views, terms.View(image, features)), expected, rtol=1e-4
    )
    upper, alone = make(STYLE, reference="upper"), make(STYLE, reference="cut")
    np.testing.assert_allclose(
        loss(upper, views, views["style"]), loss(alone, views, views["style"]), rtol=1e-4
    )


def test_a_blend_of_one_picture_is_that_picture_in_a_row(views):
    style = views["style"]
    found = terms.blend([style], [2.0])
    for layer, features in style.features.items():
        channels = features.shape[-1]
        np.testing.assert_array_equal(
            found.features[layer], features.reshape(1, -1, channels), err_msg=layer
        )
        np.testing.assert_allclose(found.where[layer].sum(), 1, rtol=1e-6)


def test_parts_of_pairs_are_named_by_both_layers():
    names = ("block1_conv1", "block2_conv1", "block3_conv1")
    adjacent = terms.adjacent_gram(names)
    assert adjacent.parts == ("block1_conv1_block2_conv1", "block2_conv1_block3_conv1")
    assert terms.cross_layer_gram(names).parts == (
        "block1_conv1_block2_conv1",
        "block1_conv1_block3_conv1",
        "block2_conv1_block3_conv1",
    )
    assert adjacent.layers == names


def test_how_far_a_term_looks():
    assert terms.shifted_gram(STYLE, shifts=((0, 3), (2, 1))).reach == 3
    assert terms.laplacian(pools=(2, 4)).reach == 11
    assert terms.gram(STYLE).reach == 0


def test_maps_are_the_second_kind_of_result(toy_fn, views, image):
    """Projections of features are no sums: they are sorted when all are there."""
    rng = np.random.default_rng(3)
    directions = jnp.asarray(rng.normal(size=(6, 5)), jnp.float32)

    def maps(targets, seen):
        return {"deep": jnp.einsum("hwi,ij->hwj", seen.features["deep"], directions)}

    def loss(target, results):
        count, found = results
        assert count.shape == ()
        return jnp.mean(jnp.square(jnp.sort(found["deep"].reshape(-1, 5), axis=0) - target))[None]

    sliced = terms.Term(
        init=lambda pictures: jnp.sort(
            maps(None, pictures["content"])["deep"].reshape(-1, 5), axis=0
        ),
        measure=lambda target, seen: jnp.asarray(seen.features["deep"][..., 0].size),
        loss=loss,
        parts=("deep",),
        layers=("deep",),
        references=("content",),
        maps=maps,
    )
    opened = terms.compose(toy_fn, {"sliced": sliced}, views)
    weights = terms.weigh(opened, {"sliced": 1.0})
    # The order of the locations does not count.
    assert value(opened, views["content"].image[::-1], weights)[0] < 1e-10
    total, _ = value(opened, image, weights)
    projections = np.asarray(toy_fn(image)["deep"] @ directions).reshape(-1, 5)
    target = np.asarray(views["content"].features["deep"] @ directions).reshape(-1, 5)
    expected = np.mean((np.sort(projections, axis=0) - np.sort(target, axis=0)) ** 2)
    np.testing.assert_allclose(total, expected, rtol=1e-4)
    assert np.any(gradient(opened, image, weights) != 0)


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
    named = objective.report_terms(("deep",), STYLE)
    first = terms.compose(toy_fn, named, views)
    wanted = {"content": 1.0, "style": 1.0, "total_variation": 1.0}
    compiled = jax.jit(lambda loss, image, weights: loss(image, weights)[0])
    compiled(first, image, terms.weigh(first, wanted))
    content, style = pictures
    other = {"content": terms.view(toy_fn, content / 2), "style": terms.view(toy_fn, style / 2)}
    again = terms.compose(toy_fn, objective.report_terms(("deep",), STYLE), other)
    compiled(again, image, terms.weigh(again, wanted | {"style": 3.0}, {"style": [1.0, 0.0]}))
    assert compiled._cache_size() == 1


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({}, "must be a dict of one term at least"),
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
    # Two lanes round otherwise than one, and Adam divides by the gradient.
    np.testing.assert_allclose(swept.image[0], result.image, atol=1e-5)
    assert np.abs(swept.image[1] - swept.image[0]).max() > 1e-3
    wrong = weights._replace(parts=weights.parts | {"style": np.ones((3, 2), np.float32)})
    with pytest.raises(ValueError, match=r"`parts\.style` must have 1 axes, or 2 of which"):
        solve.sweep(opened, image, wrong, learning_rates=[0.02, 0.02])


# By the names of their kinds


def test_variants_of_one_program_may_have_targets_of_their_own(toy_fn, views, image, pictures):
    made = {"content": terms.content(("deep",)), "style": terms.gram(("shallow", "deep"))}
    others = {**views, "style": terms.view(toy_fn, pictures[1][::-1, :10] ** 3)}
    one, other = (terms.compose(toy_fn, made, seen) for seen in (views, others))
    weights = terms.weigh(one, {"content": 1.0, "style": 2.0})
    own = [{"style": terms.targets_of(each)["style"]} for each in (one, other)]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *(weights._replace(targets=x) for x in own))
    totals, _ = jax.vmap(one, (None, 0))(image, stacked)
    expected = [each(image, weights)[0] for each in (one, other)]
    assert abs(expected[0] / expected[1] - 1) > 1e-3
    np.testing.assert_allclose(totals, expected, rtol=1e-5)
    with pytest.raises(ValueError, match="give an objective of these targets instead"):
        solve.stylize(one, image, weights._replace(targets=own[1]), num_steps=1)


def test_each_kind_has_its_constructor():
    for kind, constructor in terms.KINDS.items():
        assert constructor is getattr(terms, kind)
        layers = STYLE if "layers" in inspect.signature(constructor).parameters else ()
        term = terms.named(kind, layers=layers)
        assert term is (constructor(layers) if layers else constructor())
        assert all(re.fullmatch("[a-z0-9_]{1,40}", part) for part in term.parts)


def test_options_are_those_of_the_constructor():
    """Lists of TOML and JSON are tuples, and the term that is made of them is found again."""
    made = terms.named(
        "shifted_gram",
        layers=["deep"],
        reference="night",
        region="sky",
        options={"shifts": [[0, 2], [2, 0]]},
    )
    again = terms.shifted_gram(("deep",), shifts=((0, 2), (2, 0)), reference="night", region="sky")
    assert made is again
    assert made.references == ("night", "sky")
    assert terms.named("laplacian", options={"pools": [2, 8]}).parts == ("pool2", "pool8")


OWN = """
from nst_jax import terms

def blue(reference="style", *, strength=1.0, region=None):
    assert (reference, strength, region) == ("night", 2, None)
    return terms.total_variation()

def needs(size):
    return terms.total_variation()

def number():
    return 3

def by_position(size, /):
    return terms.total_variation()

NUMBER = 3
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """Modules of a user's: one that is well, and one that cannot be imported."""
    (tmp_path / "own_terms.py").write_text(OWN)
    (tmp_path / "broken_terms.py").write_text("raise RuntimeError('not\\ntoday')")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("own_module")
def test_a_function_of_one_s_own_is_a_kind():
    made = terms.named("own_terms:blue", reference="night", options={"strength": 2})
    assert made is terms.total_variation()


@pytest.mark.usefixtures("unchecked", "own_module")
@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        ("grm", {}, "no kind of term 'grm': did you mean gram"),
        ("zzz", {}, "no kind of term 'zzz': give content, gram, .* or package.module:function"),
        ("gram", {}, "the kind gram needs layers, got none"),
        ("gram", {"layers": "deep"}, r"must be a list of layers, got 'deep': give \['deep'\]"),
        ("gram", {"layers": [3]}, "must be a tuple of names, got"),
        ("gram", {"layers": ["deep", "deep"]}, "different names"),
        ("adjacent_gram", {"layers": ["deep"]}, "2 or more different names"),
        ("total_variation", {"layers": ["deep"]}, "total_variation has no layers: leave it out"),
        ("total_variation", {"reference": "style"}, "total_variation has no reference"),
        ("laplacian", {"region": "sky"}, "laplacian has no region"),
        ("power_variation", {"options": {"beta": 0.5}}, "`beta` must be a number from 1 to 8"),
        ("total_variation", {"options": {"size": 3}}, "no option 'size': it has none"),
        ("wasserstein", {"layers": STYLE, "options": {"eps": 3}}, "it has epsilon, steps"),
        ("gram", {"layers": STYLE, "options": {"layers": 3}}, "no option 'layers'"),
        ("gram", {"layers": STYLE, "options": {"convention": "x"}}, "must be one of report, gatys"),
        ("gram", {"layers": STYLE, "options": {"convention": {}}}, "a number, a word or a list"),
        ("wasserstein", {"layers": STYLE, "options": {"epsilon": 0}}, "`epsilon` must be a finite"),
        ("wasserstein", {"layers": STYLE, "options": {"epsilon": "1"}}, "`epsilon` must be"),
        ("wasserstein", {"layers": STYLE, "options": {"epsilon": 1e39}}, "`epsilon` must be"),
        ("wasserstein", {"layers": STYLE, "options": {"steps": 2.5}}, "`steps` must be a whole"),
        ("moments", {"layers": STYLE, "options": {"moment_weights": [1]}}, "must be 4 finite"),
        ("moments", {"layers": STYLE, "options": {"moment_weights": [0] * 4}}, "must be 4 finite"),
        (
            "shifted_gram",
            {"layers": STYLE, "options": {"shifts": [1, 2]}},
            "must be different pairs",
        ),
        (
            "shifted_gram",
            {"layers": STYLE, "options": {"shifts": [[0, 0]]}},
            "must be different pairs",
        ),
        (
            "laplacian",
            {"options": {"pools": []}},
            "`pools` must be different whole numbers from 1 up",
        ),
        (
            "laplacian",
            {"options": {"pools": [0]}},
            "`pools` must be different whole numbers from 1 up",
        ),
        ("missing_terms:x", {}, "cannot import the term 'missing_terms:x': ModuleNotFoundError"),
        ("own_terms:missing", {}, "cannot import the term 'own_terms:missing': AttributeError"),
        ("broken_terms:x", {}, "cannot import the term 'broken_terms:x': RuntimeError: not today"),
        (":x", {}, "cannot import the term ':x'"),
        ("own_terms:NUMBER", {}, "must be a function that returns a Term, got 3"),
        ("own_terms:number", {}, r"must return a nst_jax.terms.Term, got 3"),
        ("own_terms:needs", {}, "needs the option 'size'"),
        ("own_terms:by_position", {}, "by_position failed: TypeError"),
        ("own_terms:blue", {"layers": STYLE}, "has no layers"),
        ("own_terms:blue", {"options": {"hue": 1}}, "no option 'hue': it has strength"),
    ],
)
def test_what_no_term_can_be_made_of_is_refused_in_one_line(kind, given, words):
    with pytest.raises(ValueError, match=words) as refused:
        terms.named(kind, **given)
    assert "\n" not in str(refused.value)
