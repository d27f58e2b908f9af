"""AlexNet and SqueezeNet: golden features of PyTorch, options, and the same promises as VGG's."""

from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nst_jax import alexnet, squeezenet, terms

GOLDEN = Path(__file__).with_name("golden") / "judges.npz"
FORMS = ("caffe", "torchvision")


@cache
def random_params(network):
    """He-normal kernels and small biases, as `golden/make_judges.py` draws them."""
    rng = np.random.RandomState(0)
    params = {}
    for layer, shapes in network.parameter_shapes().items():
        scale = np.float32(np.sqrt(2 / np.prod(shapes["kernel"][:3])))
        kernel = rng.standard_normal(shapes["kernel"]).astype(np.float32) * scale
        bias = rng.standard_normal(shapes["bias"]).astype(np.float32) * np.float32(0.1)
        params[layer] = {"kernel": kernel, "bias": bias}
    return jax.device_put(params)


# Each with the name that its arrays have in the golden file.
NETWORKS = {
    "alexnet": (alexnet, {}),
    "caffe": (squeezenet, {"convention": "caffe"}),
    "torchvision": (squeezenet, {"convention": "torchvision"}),
}


def feature_fn(form, layers=None, params=None):
    network, options = NETWORKS[form]
    params = params or random_params(network)
    return network.feature_fn(params, layers or network.LAYERS, **options)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return dict(file)


@pytest.fixture(scope="module")
def image(golden):
    return jnp.asarray(golden["image"] / np.float32(255))


@pytest.mark.parametrize("form", NETWORKS)
def test_features_are_those_of_pytorch(form, golden, image, relative_error):
    features = jax.jit(feature_fn(form))(image)
    for layer in NETWORKS[form][0].LAYERS:
        x = features[layer]
        assert x.shape[:2] == tuple(golden[f"size/{form}/{layer}"])
        found = jnp.stack([x.mean(axis=(0, 1)), x[0, 0], x[-1, -1]])
        assert relative_error(found, golden[f"{form}/{layer}"]) < 1e-5, layer


@pytest.mark.parametrize("form", FORMS)
def test_logits_are_those_of_pytorch(form, golden, image, relative_error):
    find = jax.jit(squeezenet.class_logits, static_argnames="convention")
    logits = find(random_params(squeezenet), image, convention=form)
    assert logits.shape == (1000,)
    assert relative_error(logits, golden[f"{form}/logits"]) < 1e-5


def test_the_form_of_the_shared_file_is_the_default():
    assert squeezenet.architecture() == squeezenet.architecture("caffe")
    assert squeezenet.architecture() != squeezenet.architecture("torchvision")


@pytest.mark.parametrize(("network", "parameters"), [(alexnet, 2_469_696), (squeezenet, 1_235_496)])
def test_architectures_have_the_published_sizes(network, parameters):
    """Torchvision's counts; of AlexNet without its fully connected layers."""
    shapes = [x for layer in network.parameter_shapes().values() for x in layer.values()]
    assert sum(int(np.prod(shape)) for shape in shapes) == parameters


def test_aliases_keep_the_name_that_was_asked_for(image):
    params = random_params(alexnet)
    features = alexnet.extract_features(params, image, ("relu2", "conv2"))
    assert list(features) == ["relu2", "conv2"]
    assert (features["relu2"] == features["conv2"]).all()
    assert features["conv2"].min() == 0


@pytest.mark.parametrize("name", ["conv6", "pool1", "relu", "block1_conv1", ""])
def test_an_unknown_layer_lists_the_valid_ones(name):
    with pytest.raises(ValueError, match=f"unknown layer '{name}': AlexNet has conv1, conv2, conv"):
        alexnet.feature_fn({}, [name])
    with pytest.raises(ValueError, match=f"unknown layer '{name}': SqueezeNet has conv1, fire2, "):
        squeezenet.feature_fn({}, [name])


@pytest.mark.parametrize("layers", [(), "conv1"])
def test_no_list_of_layers_is_an_error(layers, unchecked):
    with pytest.raises(ValueError, match="`layers` must be a list of at least one layer"):
        alexnet.feature_fn(random_params(alexnet), layers)


def test_an_unknown_convention_lists_the_valid_ones(unchecked):
    with pytest.raises(
        ValueError, match="`convention` must be one of caffe, torchvision, got 'tf'"
    ):
        squeezenet.feature_fn(random_params(squeezenet), convention="tf")


def test_deeper_parameters_may_be_absent_and_others_are_named(image):
    params = {"conv1": random_params(alexnet)["conv1"]}
    assert alexnet.extract_features(params, image, ["conv1"])["conv1"].shape == (18, 21, 64)
    with pytest.raises(ValueError, match="`params` lacks conv2, conv3, which conv3 needs"):
        alexnet.feature_fn(params, ["conv3"])


@pytest.mark.parametrize(
    ("form", "layers", "side"),
    [
        ("alexnet", ("conv1",), 7),
        ("alexnet", ("relu2", "conv1"), 15),
        ("alexnet", ("conv5",), 31),
        ("caffe", ("conv1",), 1),
        ("caffe", ("conv10",), 29),
        ("torchvision", ("conv1",), 3),
        ("torchvision", ("conv10",), 17),
    ],
)
def test_smallest_image_is_accepted_and_a_smaller_one_refused(form, layers, side, image):
    network, options = NETWORKS[form]
    assert network.smallest_side(layers, **options) == side
    extract = feature_fn(form, layers)
    assert jax.eval_shape(extract, image[:side, :side])[layers[0]].size > 0
    if side > 1:
        with pytest.raises(
            ValueError, match=f"{side} x {side - 1} pixels is too small .* {side} p"
        ):
            extract(image[: side - 1, :side])


@pytest.mark.parametrize("form", NETWORKS)
def test_features_of_a_batch_are_those_of_its_images(form, rng, relative_error):
    batch = jnp.asarray(rng.uniform(size=(2, 2, 33, 36, 3)), jnp.float32)
    extract = jax.jit(feature_fn(form))
    together, mapped = extract(batch), jax.vmap(jax.vmap(extract))(batch)
    for layer, features in together.items():
        assert relative_error(features, mapped[layer]) < 1e-5
        assert relative_error(features[1, 0], extract(batch[1, 0])[layer]) < 1e-5


@pytest.mark.parametrize(("form", "layer"), [("alexnet", 1), ("caffe", 4), ("torchvision", 4)])
def test_gradients_are_those_of_pytorch(form, layer, golden, image, relative_error):
    name = NETWORKS[form][0].LAYERS[layer]

    def loss(extract, image):
        return jnp.mean(extract(image)[name] ** 2)

    gradient = jax.jit(jax.grad(loss, argnums=1))(feature_fn(form, (name,)), image)
    assert relative_error(gradient[::5, ::5], golden[f"{form}/gradient"]) < 1e-4


def test_equal_networks_share_one_compiled_program(image, count_compilations):
    def half(params):
        return jax.tree.map(lambda x: x / 2, params)

    @jax.jit
    def total(extract, image):
        return sum(features.sum() for features in extract(image).values())

    with count_compilations("total") as compiled:
        first = total(feature_fn("alexnet", ("conv2",)), image)
        other = half(random_params(alexnet))
        second = total(feature_fn("alexnet", ("conv2",), other), image)
        total(feature_fn("torchvision", ("fire2",)), image)
        total(feature_fn("torchvision", ("fire2",), half(random_params(squeezenet))), image)
    assert first != second
    assert len(compiled) == 2


def test_parameters_are_no_constants_of_the_program():
    extract = feature_fn("caffe")
    shapes = squeezenet.parameter_shapes()
    assert len(jax.tree.leaves(extract)) == 2 * len(shapes)
    traced = jax.make_jaxpr(lambda extract, x: extract(x))(extract, jnp.zeros((40, 40, 3)))
    assert max((np.size(constant) for constant in traced.consts), default=0) < 10


def test_half_precision_is_computed_in_float32(image):
    features = feature_fn("caffe", ("fire2",))(image.astype(jnp.bfloat16))["fire2"]
    rounded = image.astype(jnp.bfloat16).astype(jnp.float32)
    assert features.dtype == jnp.float32
    assert (features == feature_fn("caffe", ("fire2",))(rounded)["fire2"]).all()


def test_precision_is_asked_of_every_convolution(image):
    for form in NETWORKS:
        text = str(jax.make_jaxpr(feature_fn(form))(image))
        assert text.count("conv_general_dilated[") == text.count("precision=(Precision.HIGHEST")


@pytest.mark.parametrize(("form", "layer"), [("alexnet", "relu2"), ("torchvision", "fire3")])
def test_it_serves_an_objective_as_another_architecture(form, layer, pictures):
    content, style = (jnp.tile(x, (3, 3, 1)) for x in pictures)
    extract = feature_fn(form, (layer,))
    objective = terms.compose(
        extract, {"gram": terms.gram((layer,))}, {"style": terms.view(extract, style)}
    )
    weights = terms.weigh(objective, {"gram": 1.0})
    step = jax.jit(jax.value_and_grad(objective, has_aux=True))
    (total, losses), gradient = step(content, weights)
    assert total == losses.terms["gram"] > 0
    assert jnp.isfinite(gradient).all()
    assert jnp.abs(gradient).max() > 0
