"""Other people's JAX code: each test plays a user who takes one part of the library and no more."""

import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import nst_jax
from nst_jax import losses, terms, vgg
from nst_jax.optimizers import Optimizer

LAYERS = ("relu1_1", "relu2_1")


@pytest.fixture(scope="module")
def features(vgg_params):
    """The two first blocks of VGG19, as a function of an image or a batch."""
    return vgg.feature_fn(vgg_params, LAYERS)


@pytest.fixture(scope="module")
def photos():
    """A batch of smooth pictures, (4, 24, 24, 3)."""
    coarse = np.random.default_rng(3).uniform(size=(4, 4, 4, 3))
    return jax.image.resize(jnp.asarray(coarse, jnp.float32), (4, 24, 24, 3), "cubic").clip(0, 1)


# Losses in a training loop


class Stylizer(nn.Module):
    """A small image-to-image network in linen."""

    @nn.compact
    def __call__(self, images):
        x = nn.relu(nn.Conv(8, (3, 3))(images))
        return nn.sigmoid(nn.Conv(3, (3, 3))(x))


class NnxStylizer(nnx.Module):
    """The same in nnx."""

    def __init__(self, rngs):
        self.first = nnx.Conv(3, 8, (3, 3), rngs=rngs)
        self.last = nnx.Conv(8, 3, (3, 3), rngs=rngs)

    def __call__(self, images):
        return nnx.sigmoid(self.last(nnx.relu(self.first(images))))


def perceptual_loss(features, target_grams, outputs, images):
    """Johnson et al. 2016: content of each image of a batch, style of one picture."""
    of_outputs, of_images = features(outputs), features(images)
    content = losses.content_loss(of_outputs["relu2_1"], of_images["relu2_1"])
    style = sum(losses.style_loss(of_outputs[name], gram) for name, gram in target_grams.items())
    return jnp.mean(content + 1e-3 * style + 1e-4 * losses.total_variation(outputs))


def grams_of(features, picture):
    return {name: losses.gram_matrix(x) for name, x in features(picture).items()}


def test_a_linen_network_is_trained_by_the_losses(features, photos):
    network, optimizer = Stylizer(), optax.adam(1e-2)
    params = network.init(jax.random.key(0), photos[:1])
    target_grams = grams_of(features, photos[3])

    @jax.jit
    def train_step(features, target_grams, params, opt_state, images):
        def loss_fn(params):
            return perceptual_loss(features, target_grams, network.apply(params, images), images)

        loss, grads = jax.value_and_grad(loss_fn)(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, loss

    opt_state, history = optimizer.init(params), []
    for _ in range(8):
        params, opt_state, loss = train_step(features, target_grams, params, opt_state, photos[:2])
        history.append(float(loss))
    assert history[-1] < 0.9 * history[0]


def test_an_nnx_network_is_trained_by_the_losses(features, photos):
    network = NnxStylizer(nnx.Rngs(0))
    optimizer = nnx.Optimizer(network, optax.adam(1e-2), wrt=nnx.Param)
    target_grams = grams_of(features, photos[3])

    @nnx.jit
    def train_step(network, optimizer, images):
        loss, grads = nnx.value_and_grad(
            lambda network: perceptual_loss(features, target_grams, network(images), images)
        )(network)
        optimizer.update(network, grads)
        return loss

    history = [float(train_step(network, optimizer, photos[:2])) for _ in range(8)]
    assert history[-1] < 0.9 * history[0]


# Terms in a training loop

WANTED = {
    "content": terms.content(("deep",)),
    "style": terms.gram(("shallow", "deep")),
    "wasserstein": terms.wasserstein(("deep",)),
    "smooth": terms.total_variation(),
}


def loss_of_terms(features, content, style, image):
    """All in one: the targets are made where the loss is."""
    views = {"content": terms.view(features, content), "style": terms.view(features, style)}
    objective = terms.compose(features, WANTED, views)
    return objective(image, terms.weigh(objective, dict.fromkeys(WANTED, 1.0) | {"smooth": 1e-3}))


def test_a_batch_by_vmap_is_one_picture_after_another(toy_fn, photos):
    """Each with a content and a style of its own."""
    contents, styles = photos[::-1], photos[:, :12] ** 2
    of_each = jax.vmap(loss_of_terms, in_axes=(None, 0, 0, 0))
    _, together = jax.jit(of_each)(toy_fn, contents, styles, photos)
    one = jax.jit(loss_of_terms)
    alone = [one(toy_fn, *each)[1] for each in zip(contents, styles, photos, strict=True)]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *alone)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4), together, stacked)
    assert len(np.unique(together.terms["style"])) == len(photos)


@pytest.mark.parametrize("name", ["content", "style", "wasserstein"])
def test_gradients_flow_through_the_targets(toy_fn, photos, name):
    """To the picture of which they are made: against differences along the gradient."""
    reference = "content" if name == "content" else "style"

    @jax.jit
    def loss(picture):
        views = {reference: terms.view(toy_fn, picture)}
        objective = terms.compose(toy_fn, {name: WANTED[name]}, views)
        return objective(photos[0], terms.weigh(objective, {name: 1.0}))[0]

    gradient = jax.grad(loss)(photos[1])
    size = jnp.linalg.norm(gradient)
    ahead, behind = (loss(photos[1] + sign * 0.1 * gradient / size) for sign in (1, -1))
    assert size > 0
    np.testing.assert_allclose((ahead - behind) / 0.2, size, rtol=2e-2)


def test_features_in_bfloat16_have_losses_in_float32(toy_fn, photos):
    """Also of their targets; and a gradient of the type of the picture."""

    @partial(jax.jit, static_argnums=0)
    def evaluate(kind):
        def features(image):
            return jax.tree.map(lambda x: x.astype(kind), toy_fn(image))

        loss = partial(loss_of_terms, features, *photos[1:3])
        return jax.value_and_grad(loss, has_aux=True)(photos[0])

    (_, found), gradient = evaluate("bfloat16")
    (_, expected), of_float32 = evaluate("float32")
    assert {x.dtype for x in (*jax.tree.leaves(found), gradient)} == {jnp.dtype("float32")}
    for term in WANTED:
        np.testing.assert_allclose(found.terms[term], expected.terms[term], rtol=3e-2)
    cosine = jnp.vdot(gradient, of_float32) / jnp.linalg.norm(gradient)
    assert cosine > 0.99 * jnp.linalg.norm(of_float32)


PAGE = Path(__file__).resolve().parents[1] / "docs" / "how-to" / "perceptual-loss.md"
COMPARED = """
import json, sys
of_one, of_all = (
    train_step(params, opt_state, features, x, painting, weights) for x in (photos, photos_spread)
)
errors = jax.tree.map(lambda a, b: float(abs(a - b).max() / (abs(b).max() + 1e-9)), of_all, of_one)
print(json.dumps({
    "devices": len(photos_spread.sharding.device_set),
    "error": max(jax.tree.leaves((errors[0], errors[2]))),
    "libraries": [x for x in ("PIL", "flax", "h5py", "matplotlib", "tqdm") if x in sys.modules],
}))
"""


@pytest.mark.slow
def test_a_batch_on_four_devices_is_that_on_one():
    """The page of the training loop, as a program; it brings nothing but JAX and optax."""
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([*blocks, COMPARED])],
        capture_output=True,
        text=True,
        env=os.environ | flags | {"PYTHONPATH": str(PAGE.parents[2])},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["devices"], found["libraries"]) == (4, [])
    assert found["error"] < 1e-3


# Gradients to something that is not a picture


def render(scene):
    """Soft disks on gray: differentiable in their centers, radii and colors."""
    rows, columns = jnp.mgrid[0:1:24j, 0:1:24j]
    picture = jnp.full((24, 24, 3), 0.5)
    for center, radius, color in zip(
        scene["centers"], scene["radii"], scene["colors"], strict=True
    ):
        distance = jnp.hypot(rows - center[0], columns - center[1])
        inside = jax.nn.sigmoid((radius - distance) * 30)[:, :, None]
        picture = picture * (1 - inside) + color[None, None, :] * inside
    return picture


@pytest.fixture
def scene(rng):
    return {
        "centers": jnp.asarray(rng.uniform(0.2, 0.8, (3, 2)), jnp.float32),
        "radii": jnp.asarray([0.15, 0.25, 0.35]),
        "colors": jnp.asarray(rng.uniform(size=(3, 3)), jnp.float32),
    }


def test_a_renderer_s_parameters_have_a_gradient(features, photos, scene):
    target = losses.gram_matrix(features(photos[0])["relu1_1"])

    @jax.jit
    def style_of(scene):
        return losses.style_loss(features(render(scene))["relu1_1"], target)

    gradient = jax.grad(style_of)(scene)
    direction = jax.tree.map(lambda g: g / optax.tree.norm(gradient), gradient)
    ahead, behind = (
        style_of(jax.tree.map(lambda x, d, s=sign: x + s * 1e-3 * d, scene, direction))
        for sign in (1, -1)
    )
    numerical = (ahead - behind) / 2e-3
    np.testing.assert_allclose(numerical, optax.tree.norm(gradient), rtol=2e-2)
    assert all(jnp.any(g != 0) for g in jax.tree.leaves(gradient))


# Several styles, several rates


def test_vmap_over_styles_is_one_style_after_another(features, photos):
    content, styles = photos[0], photos[1:]
    options = {"content_layers": ("relu2_1",), "style_layers": LAYERS}

    def gradient_of(style):
        targets = nst_jax.compute_targets(features, content, style, **options)
        loss = nst_jax.make_objective(features, targets)
        return jax.grad(loss, has_aux=True)(photos[0] ** 2, nst_jax.make_weights(targets))

    together, terms = jax.jit(jax.vmap(gradient_of))(styles)
    for i, style in enumerate(styles):
        alone, terms_alone = gradient_of(style)
        np.testing.assert_allclose(together[i], alone, rtol=1e-3, atol=1e-4 * jnp.abs(alone).max())
        np.testing.assert_allclose(terms.total[i], terms_alone.total, rtol=1e-5)
    assert len(np.unique(terms.terms["style"])) == len(styles)


def test_styles_of_different_sizes_share_a_program(toy_fn, pictures, count_compilations):
    """Gram matrices have one size whatever that of the pictures: targets stack."""
    content, style = pictures
    compute = partial(nst_jax.compute_targets, content_layers=("deep",), style_layers=("shallow",))
    targets = [compute(toy_fn, content, x) for x in (style, style[:10], content[:, :8])]
    weights = nst_jax.make_weights(targets[0])

    @jax.jit
    def total(targets, image):
        return nst_jax.make_objective(toy_fn, targets)(image, weights)[0]

    stacked = jax.tree.map(lambda *x: jnp.stack(x), *targets)
    together = jax.vmap(total, in_axes=(0, None))(stacked, content)
    with count_compilations("total") as compiled:
        alone = [total(each, content) for each in targets]
    assert len(compiled) == 1
    np.testing.assert_allclose(together, alone, rtol=1e-6)


def test_a_sweep_is_its_single_runs(toy_objective):
    loss, weights, image = toy_objective
    rates = [0.01, 0.05, 0.2]
    together = nst_jax.sweep(loss, image, weights, learning_rates=rates, num_steps=5)
    assert together.image.shape == (3, *image.shape)
    for i, rate in enumerate(rates):
        alone = nst_jax.stylize(loss, image, weights, learning_rate=rate, num_steps=5)
        np.testing.assert_allclose(
            together.history.terms.total[:, i], alone.history.terms.total, rtol=1e-5
        )


def test_a_sweep_from_a_picture_of_bytes_is_refused(toy_objective, unchecked):
    loss, weights, image = toy_objective
    with pytest.raises(ValueError, match="must be of floats"):
        nst_jax.sweep(loss, np.zeros(image.shape, np.uint8), weights, learning_rates=[0.1])


def test_a_sweep_has_weights_and_starts_of_its_own_for_each_variant(toy_objective):
    loss, weights, image = toy_objective
    styles, starts = [1.0, 30.0], jnp.stack([image, image / 2])
    together = nst_jax.sweep(
        loss,
        starts,
        weights.with_terms(style=jnp.array(styles)),
        learning_rates=[0.05, 0.05],
        num_steps=3,
    )
    for i, style in enumerate(styles):
        _, terms = loss(starts[i], weights.with_terms(style=np.float32(style)))
        np.testing.assert_allclose(together.history.terms.total[0, i], terms.total, rtol=1e-5)


@pytest.mark.parametrize(
    ("rates", "change", "message"),
    [
        ([], {}, "a list of at least one"),
        (0.1, {}, "a list of at least one"),
        ([0.1, -1.0], {}, "the learning rate must be positive"),
        ([0.1, 0.2], {"style": np.ones(3)}, "the 2 learning rates, got the shape \\(3,\\)"),
        ([0.1], {"style": np.float32(-1)}, r"`terms\.style` must be finite and not negative"),
        ([0.1], {"content": np.float32("nan")}, r"`terms\.content` must be finite and not"),
    ],
)
def test_a_sweep_refuses_what_is_not_one_a_variant(
    toy_objective, rates, change, message, unchecked
):
    loss, weights, image = toy_objective
    with pytest.raises(ValueError, match=message):
        nst_jax.sweep(loss, image, weights.with_terms(**change), learning_rates=rates)


@pytest.mark.parametrize(
    ("rates", "parts", "message"),
    [
        ([0.1, 0.2], np.ones((3, 2)), r"`parts\.style` must have 1 axes"),
        ([0.1], np.ones(1), "has 2 parts and needs as many weights"),
        ([0.1], np.ones(3), "has 2 parts and needs as many weights"),
    ],
)
def test_a_sweep_refuses_other_weights_of_layers(toy_objective, rates, parts, message):
    loss, weights, image = toy_objective
    other = weights._replace(parts={**weights.parts, "style": parts})
    with pytest.raises(ValueError, match=message):
        nst_jax.sweep(loss, image, other, learning_rates=rates)


# Optimizers of one's own


def clipped(rate):
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))


def scheduled(rate):
    return optax.adam(optax.cosine_decay_schedule(rate, decay_steps=20))


def sign_with_momentum(rate):
    return optax.chain(
        optax.trace(0.9),
        optax.stateless(lambda g, _: jax.tree.map(jnp.sign, g)),
        optax.scale(-rate),
    )


def polyak(rate):
    """Takes the value of the objective as well as its gradient."""
    return optax.polyak_sgd(max_learning_rate=5000 * rate)


@pytest.mark.parametrize("chain", [clipped, scheduled, sign_with_momentum, polyak])
def test_any_optax_chain_descends_alone_and_in_a_sweep(chain, toy_objective):
    loss, weights, image = toy_objective
    start = 1 - image
    alone = nst_jax.stylize(loss, start, weights, optimizer=chain, learning_rate=0.02, num_steps=20)
    total = alone.history.terms.total
    assert total[-1] < 0.8 * total[0]
    together = nst_jax.sweep(
        loss, start, weights, optimizer=chain, learning_rates=[0.02, 0.005], num_steps=20
    )
    np.testing.assert_allclose(together.history.terms.total[:5, 0], total[:5], rtol=1e-5)


COSINE = optax.cosine_decay_schedule(0.05, decay_steps=8)


@pytest.mark.parametrize("driver", ["python", "scan"])
@pytest.mark.parametrize("optimizer", ["rmsprop", sign_with_momentum])
def test_a_schedule_is_a_learning_rate(optimizer, driver, toy_objective):
    """Also where the optimizer itself takes numbers alone."""
    loss, weights, image = toy_objective
    solve = partial(
        nst_jax.stylize, loss, 1 - image, weights, optimizer=optimizer, driver=driver, num_steps=5
    )
    constant, number = solve(learning_rate=lambda step: 0.02), solve(learning_rate=0.02)
    np.testing.assert_allclose(constant.image, number.image, atol=1e-5)
    stops = solve(learning_rate=lambda step: jnp.where(step < 2, 0.02, 0.0)).history
    np.testing.assert_allclose(stops.update_norm[:2], number.history.update_norm[:2], rtol=1e-4)
    np.testing.assert_array_equal(stops.update_norm[2:], np.zeros(3))


def test_a_schedule_that_is_given_again_is_not_compiled_again(toy_objective, count_compilations):
    loss, weights, image = toy_objective
    nst_jax.stylize(loss, image, weights, learning_rate=COSINE, num_steps=2)
    with count_compilations("step_variants") as compiled:
        nst_jax.stylize(loss, image, weights, learning_rate=COSINE, num_steps=2)
    assert not compiled


@pytest.mark.parametrize("driver", ["python", "scan"])
def test_a_line_search_of_ones_own(driver, toy_objective):
    """Another of optax's, with which the picture is clipped at the end alone."""
    loss, weights, image = toy_objective
    search = optax.scale_by_backtracking_linesearch(max_backtracking_steps=9)
    descent = Optimizer(
        lambda rate: optax.chain(optax.sgd(1.0), search), has_rate=False, line_search=True
    )
    result = nst_jax.stylize(
        loss, 1 - image, weights, optimizer=descent, driver=driver, num_steps=3
    )
    assert result.history.evaluations.max() > 1
    assert np.all(np.diff(result.history.terms.total) < 0)


def test_lbfgs_ignores_a_schedule_as_it_does_a_rate(toy_objective):
    loss, weights, image = toy_objective
    results = [
        nst_jax.stylize(loss, image, weights, optimizer="lbfgs", learning_rate=rate, num_steps=2)
        for rate in (COSINE, 0.02)
    ]
    np.testing.assert_array_equal(results[0].image, results[1].image)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": optax.adam(0.02)}, "optimizer=optax.adam, learning_rate=0.02 in place of"),
        ({"optimizer": optax.chain(optax.clip(1.0))}, "got a transformation"),
        ({"optimizer": optax.adam(0.02), "learning_rate": COSINE}, "got a transformation"),
        ({"optimizer": Optimizer(optax.adam(0.02))}, "got a transformation"),
        ({"optimizer": 0.02}, "a name or a function from a learning rate .* got float"),
        ({"learning_rate": optax.adam}, "for step 0 it gives GradientTransformation"),
        ({"learning_rate": lambda step: -1.0}, "for step 0 it gives -1.0"),
        ({"learning_rate": lambda step: 1.0 - step}, "for step 2 it gives -1.0"),
        ({"learning_rate": lambda step: None}, "for step 0 it gives None"),
        ({"learning_rate": lambda step: jnp.where(step == 1, -1.0, 0.1)}, "step 1 it gives -1.0"),
        ({"learning_rate": lambda step: 0.1 if step < 2 else 0.0}, r"jnp\.where in place of if"),
        ({"learning_rate": lambda: 0.1}, "a function of a step"),
        ({"learning_rate": "0.02"}, "the learning rate must be positive and finite, got '0.02'"),
        ({"learning_rate": [0.1, 0.2]}, r"the learning rate must be .* got \[0.1, 0.2\]"),
        ({"learning_rate": COSINE, "num_steps": "3"}, "the number of steps"),
        ({"tolerance": "0.1"}, "the tolerance must be finite"),
        ({"optimizer": nst_jax.optimizers.lbfgs}, "takes no rate: .* optimizer='lbfgs'"),
        ({"optimizer": lambda rate: optax.adam}, "got one that gives function"),
        ({"optimizer": lambda rate: None}, "got one that gives NoneType"),
        ({"weights": {"content": 1.0}}, "make_weights or terms.weigh gives, got dict"),
    ],
)
def test_a_near_miss_gets_the_right_form(toy_objective, options, message):
    loss, weights, image = toy_objective
    with pytest.raises(ValueError, match=message) as caught:
        nst_jax.stylize(loss, image, **{"weights": weights, "num_steps": 3} | options)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("rates", [COSINE, [COSINE, 0.02]])
def test_a_sweep_says_where_a_schedule_belongs(toy_objective, rates):
    loss, weights, image = toy_objective
    with pytest.raises(ValueError, match=r"optimizer=lambda rate: optax\.adam"):
        nst_jax.sweep(loss, image, weights, learning_rates=rates)


def twice(rate):
    """Keeps the image in its state, two times."""
    return optax.GradientTransformation(
        lambda image: (image, image),
        lambda g, state, _: (jax.tree.map(lambda x: -rate * x, g), state),
    )


@pytest.mark.parametrize("driver", ["python", "scan"])
@pytest.mark.parametrize("chain", [optax.contrib.prodigy, twice])
def test_an_optimizer_may_keep_the_image_and_the_caller_keeps_its_own(chain, driver, toy_objective):
    """The state is donated: what is in it may be neither the caller's nor there twice."""
    loss, weights, image = toy_objective
    images = jnp.stack([image])
    nst_jax.sweep(
        loss, images, weights, learning_rates=[0.1], optimizer=chain, num_steps=2, driver=driver
    )
    assert not images.is_deleted()


# Features of one's own


def gradients_and_blur(image):
    """No network at all: edges, and a picture of a quarter of the size."""
    vertical = image[1:, :-1] - image[:-1, :-1]
    horizontal = image[:-1, 1:] - image[:-1, :-1]
    small = jax.image.resize(image, (image.shape[0] // 4, image.shape[1] // 4, 3), "linear")
    return {"edges": jnp.concatenate([vertical, horizontal], axis=-1), "small": small}


def test_any_function_to_a_dict_serves_as_features(pictures):
    content, style = pictures
    targets = nst_jax.compute_targets(
        gradients_and_blur, content, style, content_layers=["small"], style_layers=["edges"]
    )
    loss = nst_jax.make_objective(gradients_and_blur, targets)
    weights = nst_jax.make_weights(targets, content=1.0, style=100.0, total_variation=0.0)
    result = nst_jax.stylize(loss, content, weights, num_steps=40)
    edges = losses.gram_matrix(gradients_and_blur(result.image)["edges"])
    before = losses.gram_matrix(gradients_and_blur(content)["edges"])
    target = targets.style["edges"]
    assert jnp.linalg.norm(edges - target) < 0.5 * jnp.linalg.norm(before - target)


def darker(loss, image, weights):
    """A term of one's own: an objective is any function to (total, terms)."""
    total, terms = loss(image, weights)
    total = total + 20 * jnp.mean(image)
    return total, terms._replace(total=total)


@pytest.mark.parametrize("wrap", [partial, jax.tree_util.Partial])
def test_a_term_of_one_s_own_joins_the_objective(toy_objective, wrap):
    """With Partial, network and targets stay arguments; a plain function works too."""
    loss, weights, image = toy_objective
    plain, dark = (
        nst_jax.stylize(objective, image, weights, num_steps=20)
        for objective in (loss, wrap(darker, loss))
    )
    assert dark.image.mean() < plain.image.mean() - 0.05


# Second derivatives


def test_the_hessian_of_a_loss_is_symmetric_and_true(rng):
    features = jnp.asarray(rng.normal(size=(2, 3, 2)), jnp.float32)
    target = losses.gram_matrix(jnp.asarray(rng.normal(size=(3, 3, 2)), jnp.float32))
    loss = partial(losses.style_loss, target_gram=target)
    hessian = jax.hessian(loss)(features).reshape(features.size, features.size)
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-5)
    backward = jax.jacrev(jax.grad(loss))(features).reshape(features.size, features.size)
    np.testing.assert_allclose(hessian, backward, atol=1e-5)


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_hessian_vector_products_go_through_the_network(vgg_params, photos, pooling, rng):
    """Forward over reverse, as Newton methods and curvature studies take it.

    Differences of gradients cannot check it: between them lie kinks of ReLUs, whose jumps the
    second derivative does not see. Reverse over reverse is another way through the rules.
    """
    features = vgg.feature_fn(vgg_params, ["relu2_1"], pooling=pooling)
    target = losses.gram_matrix(features(photos[1])["relu2_1"])
    u, v = jnp.asarray(rng.normal(size=(2, *photos[0].shape)), jnp.float32)

    @jax.jit
    def products(image):
        gradient = jax.grad(lambda x: losses.style_loss(features(x)["relu2_1"], target))
        forward = jax.jvp(gradient, (image,), (v,))[1]
        backward = jax.grad(lambda x: jnp.vdot(gradient(x), v))(image)
        return forward, backward, jax.jvp(gradient, (image,), (u,))[1]

    forward, backward, other = products(photos[0])
    scale = float(jnp.abs(forward).max())
    assert scale > 0
    np.testing.assert_allclose(forward, backward, atol=1e-4 * scale)
    size = float(jnp.linalg.norm(u) * jnp.linalg.norm(forward))
    np.testing.assert_allclose(jnp.vdot(u, forward), jnp.vdot(v, other), atol=1e-4 * size)
