"""The network against its published table, a slow convolution, and XLA's own pooling."""

from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from nst_jax import compiler, objective, vgg, winograd
from nst_jax.choices import CONTENT_LAYERS, STYLE_LAYERS

CONVOLUTIONS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
SHALLOW = ("block1_conv1", "block1_conv2", "block2_conv1")


@pytest.fixture(scope="module")
def image():
    return jnp.asarray(np.random.default_rng(3).uniform(size=(20, 24, 3)), jnp.float32)


@partial(jax.jit, static_argnums=2, static_argnames=("arch", "pooling", "border", "precision"))
def extract(params, image, layers, **options):
    """`extract_features` compiled once for all tests of one kind."""
    return vgg.extract_features(params, image, layers, **options)


def layers_by_name(arch):
    return {layer.name: layer for layer in vgg.architecture(arch)}


def receptive_field_from_above(arch, name):
    """Pixels that one location sees, by going down from it: 3 x 3 by 1, then 2 x 2 by 2."""
    names = [
        f"block{block}_{layer}"
        for block, count in enumerate(CONVOLUTIONS[arch], start=1)
        for layer in [*(f"conv{i}" for i in range(1, count + 1)), "pool"]
    ]
    side = 1
    for below in reversed(names[: names.index(name) + 1]):
        side = 2 * side if below.endswith("pool") else side + 2
    return side


@pytest.mark.parametrize(
    ("arch", "convolutions", "parameters"),
    [("vgg19", 16, 20_024_384), ("vgg16", 13, 14_714_688)],
)
def test_architecture_has_the_published_size(arch, convolutions, parameters):
    layers = vgg.architecture(arch)
    assert sum(layer.kind == "conv" for layer in layers) == convolutions
    assert sum(layer.kind == "pool" for layer in layers) == 5
    assert sum(layer.num_parameters for layer in layers) == parameters


@pytest.mark.parametrize("arch", ["vgg16", "vgg19"])
def test_module_has_the_parameters_of_the_table(arch):
    module = vgg.VGG(("block5_pool",), arch)
    shapes = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((32, 32, 3)))["params"]
    convolutions = [layer for layer in vgg.architecture(arch) if layer.kind == "conv"]
    assert list(shapes) == [layer.name for layer in convolutions]
    for layer in convolutions:
        assert shapes[layer.name]["kernel"].shape == layer.kernel_shape
        assert shapes[layer.name]["bias"].shape == (layer.channels,)


@pytest.mark.parametrize("arch", ["vgg16", "vgg19"])
def test_receptive_fields_are_those_found_from_above(arch):
    for layer in vgg.architecture(arch):
        assert layer.receptive_field == receptive_field_from_above(arch, layer.name), layer.name


@pytest.mark.parametrize(
    ("arch", "name", "side"),
    [
        ("vgg19", "block1_conv1", 3),
        ("vgg19", "block2_conv1", 10),
        ("vgg19", "block3_conv1", 24),
        ("vgg19", "block5_pool", 268),
        ("vgg16", "block5_pool", 212),
    ],
)
def test_receptive_field_is_the_published_one(arch, name, side):
    assert layers_by_name(arch)[name].receptive_field == side


@pytest.mark.parametrize(("name", "where"), [("block1_conv2", 10), ("block2_conv1", 5)])
def test_a_location_sees_its_receptive_field_and_no_more(vgg_params, image, name, where):
    def one_location(image):
        features = extract(vgg_params, image, (name,), pooling="average")
        return jnp.sum(features[name][where, where])

    seen = np.any(np.asarray(jax.grad(one_location)(image)) != 0, axis=-1)
    side = layers_by_name("vgg19")[name].receptive_field
    assert np.flatnonzero(seen.any(axis=1)).size == side
    assert np.flatnonzero(seen.any(axis=0)).size == side


@pytest.mark.parametrize("arch", ["vgg16", "vgg19"])
def test_stride_doubles_after_each_block(arch):
    for layer in vgg.architecture(arch):
        block = int(layer.name[len("block")])
        assert layer.stride == 2 ** (block if layer.kind == "pool" else block - 1)


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("relu4_2", "block4_conv2"),
        ("conv4_2", "block4_conv2"),
        ("block4_conv2", "block4_conv2"),
        ("relu1_1", "block1_conv1"),
        ("pool3", "block3_pool"),
        ("block3_pool", "block3_pool"),
    ],
)
def test_layers_have_the_names_of_keras_and_of_the_papers(alias, name):
    assert vgg.canonical_name(alias) == name


@pytest.mark.parametrize(
    ("name", "arch"),
    [
        ("relu6_1", "vgg19"),
        ("block1_conv3", "vgg19"),
        ("relu3_4", "vgg16"),
        ("pool6", "vgg19"),
        ("relu4_2 ", "vgg19"),
        ("Block4_conv2", "vgg19"),
        ("fc1", "vgg19"),
        ("", "vgg19"),
    ],
)
def test_an_unknown_layer_lists_the_valid_ones(name, arch):
    with pytest.raises(ValueError, match=r"block1_conv1, .*block5_pool") as error:
        vgg.canonical_name(name, arch)
    assert repr(name) in str(error.value)


def test_vgg16_does_not_offer_layers_of_vgg19():
    with pytest.raises(ValueError, match="vgg16 has") as error:
        vgg.canonical_name("block5_conv4", "vgg16")
    assert "block5_conv3" in str(error.value)
    assert "block3_conv4," not in str(error.value)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("option", "valid"),
    [
        ({"arch": "vgg13"}, "vgg16, vgg19"),
        ({"pooling": "median"}, "max, average"),
        ({"border": "wrap"}, "zeros, edge, reflect"),
        ({"precision": "float16"}, "float32, tf32, bfloat16"),
    ],
)
def test_an_unknown_option_lists_the_valid_ones(vgg_params, option, valid):
    with pytest.raises(ValueError, match=valid):
        vgg.feature_fn(vgg_params, ["relu1_1"], **option)


def test_no_layer_is_an_error(vgg_params):
    with pytest.raises(ValueError, match="at least one layer"):
        vgg.feature_fn(vgg_params, [])


def slow_convolution(x, kernel, bias):
    """3 x 3, zero padding, ReLU, in float64: a sum over the nine taps."""
    height, width, _ = x.shape
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    result = np.zeros((height, width, kernel.shape[-1])) + bias
    for i in range(3):
        for j in range(3):
            result += padded[i : i + height, j : j + width] @ kernel[i, j].astype(np.float64)
    return np.maximum(result, 0)


def test_features_are_those_of_a_slow_convolution(vgg_params, image, relative_error):
    """Also fixes the input: RGB in [0, 1] becomes BGR times 255 (not 256) minus the mean."""
    pixels = np.asarray(image, np.float64)
    red, green, blue = np.moveaxis(pixels * 255, -1, 0)
    x = np.stack([blue - 103.939, green - 116.779, red - 123.68], axis=-1)
    features = extract(vgg_params, image, SHALLOW[:2])
    for name in SHALLOW[:2]:
        x = slow_convolution(x, *(np.asarray(vgg_params[name][k]) for k in ("kernel", "bias")))
        assert relative_error(features[name], x) < 1e-6


def test_mean_color_of_imagenet_becomes_zero():
    mean = jnp.asarray([123.68, 116.779, 103.939]) / 255
    result = vgg.preprocess(jnp.broadcast_to(mean, (1, 1, 3)))
    np.testing.assert_allclose(result, np.zeros((1, 1, 3)), atol=1e-4)


def test_features_are_taken_after_relu(vgg_params, image):
    features = extract(vgg_params, image, SHALLOW)
    for value in features.values():
        assert value.min() == 0


@pytest.mark.parametrize("deepest", [1, 2, 3])
def test_nothing_above_the_deepest_layer_is_computed(vgg_params, image, deepest):
    def extract(image):
        return vgg.extract_features(vgg_params, image, SHALLOW[:deepest])

    jaxpr = str(jax.make_jaxpr(extract)(image))
    assert jaxpr.count("conv_general_dilated[") == deepest


def test_deeper_parameters_may_be_absent(vgg_params, image):
    shallow = {name: vgg_params[name] for name in SHALLOW[:2]}
    features = extract(shallow, image, ("relu1_2",))
    full = extract(vgg_params, image, ("relu1_2",))
    np.testing.assert_array_equal(features["relu1_2"], full["relu1_2"])


def test_feature_fn_holds_no_parameters_that_it_does_not_need(vgg_params):
    leaves = jax.tree.leaves(vgg.feature_fn(vgg_params, ["relu2_1"]))
    assert len(leaves) == 2 * 3


def test_parameters_may_be_numpy_arrays(vgg_params, image):
    arrays = {"block1_conv1": {k: np.asarray(x) for k, x in vgg_params["block1_conv1"].items()}}
    features = extract(arrays, image, ("relu1_1",))["relu1_1"]
    expected = extract(vgg_params, image, ("relu1_1",))["relu1_1"]
    np.testing.assert_array_equal(features, expected)


def test_a_missing_parameter_is_named(vgg_params):
    incomplete = {name: vgg_params[name] for name in ("block1_conv1", "block2_conv1")}
    with pytest.raises(ValueError, match="lacks block1_conv2,"):
        vgg.feature_fn(incomplete, ["relu2_1"])


def test_features_have_the_names_that_were_asked_for(vgg_params, image):
    names = ("relu1_1", "block1_conv1", "pool1", "conv1_2")
    features = vgg.extract_features(vgg_params, image, names)
    assert tuple(features) == names
    np.testing.assert_array_equal(features["relu1_1"], features["block1_conv1"])


@pytest.mark.parametrize("batch", [(1,), (2,), (2, 2)])
def test_features_of_a_batch_are_those_of_its_images(vgg_params, rng, batch, relative_error):
    images = jnp.asarray(rng.uniform(size=(*batch, 9, 8, 3)), jnp.float32)
    together = extract(vgg_params, images, SHALLOW)
    for index in np.ndindex(batch):
        alone = extract(vgg_params, images[index], SHALLOW)
        for name in SHALLOW:
            assert relative_error(together[name][index], alone[name]) < 1e-6


@pytest.mark.parametrize("size", [(17, 23), (16, 19), (33, 18)])
def test_pooling_of_odd_sizes_rounds_down(vgg_params, size):
    names = ["block1_conv1", "block2_conv1", "block3_conv1", "block4_conv1", "block5_conv1"]
    fn = vgg.feature_fn(vgg_params, names)
    shapes = jax.eval_shape(fn, jax.ShapeDtypeStruct((*size, 3), jnp.float32))
    for block, name in enumerate(names):
        expected = (size[0] // 2**block, size[1] // 2**block)
        assert shapes[name].shape[:2] == expected
        assert shapes[name].shape == layers_by_name("vgg19")[name].output_shape(*size)


@pytest.mark.parametrize(
    ("layer", "side"), [("relu1_1", 1), ("relu3_1", 4), ("relu5_1", 16), ("pool5", 32)]
)
def test_smallest_image_is_accepted_and_a_smaller_one_refused(vgg_params, layer, side):
    assert vgg.smallest_side(["relu1_1", layer]) == side
    fn = vgg.feature_fn(vgg_params, ["relu1_1", layer])
    shapes = jax.eval_shape(fn, jnp.zeros((side, side + 3, 3)))
    assert min(shapes[layer].shape) == 1
    # Without any pixel it is no picture at all.
    reason = f"at least {side} pixels" if side > 1 else r"got the shape \(4, 0, 3\)"
    with pytest.raises(ValueError, match=reason):
        jax.eval_shape(fn, jnp.zeros((side + 3, side - 1, 3)))


def reduce_window_max(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (2, 2, 1), (2, 2, 1), "VALID")


def pooling_arrays():
    rng = np.random.default_rng(4)
    return {
        "random": rng.normal(size=(6, 8, 3)),
        "odd": rng.normal(size=(7, 9, 3)),
        "flat": np.full((6, 8, 3), 0.5),
        "zero": np.zeros((5, 6, 3)),
        "saturated": np.clip(rng.normal(size=(7, 8, 3)) * 3, 0, 1),
        "few values": rng.integers(0, 3, size=(12, 13, 4)),
        "infinite": np.where(rng.uniform(size=(6, 6, 2)) < 0.3, np.inf, rng.normal(size=(6, 6, 2))),
    }


@pytest.mark.parametrize("kind", pooling_arrays())
def test_max_pool_is_reduce_window(kind):
    x = jnp.asarray(pooling_arrays()[kind], jnp.float32)
    np.testing.assert_array_equal(vgg.max_pool(x), reduce_window_max(x))


@pytest.mark.parametrize("kind", pooling_arrays())
def test_gradient_of_max_pool_sends_a_tie_to_its_first_element(kind, rng):
    """Known defect elsewhere: `reshape` and `max` share the gradient of a tie."""
    x = jnp.asarray(pooling_arrays()[kind], jnp.float32)
    cotangent = jnp.asarray(rng.normal(size=vgg.max_pool(x).shape), jnp.float32)
    actual, expected = (
        jax.jit(lambda x, cotangent, pool=pool: jax.vjp(pool, x)[1](cotangent)[0])(x, cotangent)
        for pool in (vgg.max_pool, reduce_window_max)
    )
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("size", [(6, 8), (7, 9)])
def test_average_pool_is_the_mean_of_each_window(rng, size):
    x = rng.normal(size=(*size, 3)).astype(np.float32)
    expected = [[x[i : i + 2, j : j + 2].mean((0, 1)) for j in range(0, 7, 2)] for i in (0, 2, 4)]
    pooled = vgg.average_pool(jnp.asarray(x))
    np.testing.assert_allclose(pooled, np.array(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pool", [vgg.max_pool, vgg.average_pool])
def test_pooling_keeps_leading_axes(rng, pool):
    x = jnp.asarray(rng.normal(size=(2, 3, 5, 6, 4)), jnp.float32)
    pooled = pool(x)
    assert pooled.shape == (2, 3, 2, 3, 4)
    np.testing.assert_array_equal(pooled[1, 2], pool(x[1, 2]))


def test_average_pooling_changes_the_features_above_it_only(vgg_params, image):
    of_max = extract(vgg_params, image, SHALLOW, pooling="max")
    of_average = extract(vgg_params, image, SHALLOW, pooling="average")
    np.testing.assert_array_equal(of_max["block1_conv2"], of_average["block1_conv2"])
    assert not np.allclose(of_max["block2_conv1"], of_average["block2_conv1"], rtol=0.1)


def test_max_pooling_is_the_default(vgg_params, image):
    default = extract(vgg_params, image, ("pool1",))["pool1"]
    named = extract(vgg_params, image, ("pool1",), pooling="max")["pool1"]
    np.testing.assert_array_equal(default, named)


def test_zeros_beyond_the_border_are_the_default(vgg_params, image):
    default = extract(vgg_params, image, SHALLOW[:1])[SHALLOW[0]]
    named = extract(vgg_params, image, SHALLOW[:1], border="zeros")[SHALLOW[0]]
    np.testing.assert_array_equal(default, named)


FORMS = [("plain", "float32"), ("winograd", "float32"), ("onednn", "bfloat16")]


@pytest.mark.parametrize(("convolutions", "precision"), FORMS)
def test_beyond_a_reflected_border_is_the_image_again(vgg_params, image, convolutions, precision):
    wider = jnp.pad(image, [(16, 16), (16, 16), (0, 0)], mode="reflect")
    fn = partial(vgg.feature_fn, vgg_params, ["relu1_1"])
    options = {"convolutions": convolutions, "precision": precision}
    reflected = fn(border="reflect", **options)(image)["relu1_1"]
    np.testing.assert_array_equal(reflected, fn(**options)(wider)["relu1_1"])


@pytest.mark.parametrize(("convolutions", "precision"), FORMS)
def test_the_first_layer_alone_sees_the_edge_once_more(
    vgg_params, image, convolutions, precision, relative_error
):
    options = {"convolutions": convolutions, "precision": precision, "border": "edge"}
    found = vgg.feature_fn(vgg_params, ["relu1_1", "relu1_2"], **options)(image)
    first, second = (
        [np.asarray(vgg_params[name][each]) for each in ("kernel", "bias")] for name in SHALLOW[:2]
    )
    pixels = np.pad(np.asarray(vgg.preprocess(image)), [(1, 1), (1, 1), (0, 0)], mode="edge")
    expected = slow_convolution(pixels, *first)[1:-1, 1:-1]
    tolerance = 1e-6 if precision == "float32" else 0.02
    assert relative_error(found["relu1_1"], expected) < tolerance
    assert relative_error(found["relu1_2"], slow_convolution(expected, *second)) < tolerance


@pytest.mark.parametrize(("convolutions", "precision"), FORMS)
def test_the_gradient_of_the_edge_is_that_of_an_image_padded_before(
    vgg_params, image, convolutions, precision, relative_error
):
    options = {"convolutions": convolutions, "precision": precision, "border": "edge"}
    fn = vgg.feature_fn(vgg_params, ["relu1_1"], **options)
    kernel, bias = (vgg_params["block1_conv1"][name] for name in ("kernel", "bias"))

    def independent(image):
        x = jnp.pad(vgg.preprocess(image), [(1, 1), (1, 1), (0, 0)], mode="edge")[None]
        rows = lax.conv_general_dilated(
            x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return jnp.sum(jax.nn.relu(rows[0] + bias[None, None]) ** 2)

    found = jax.grad(lambda image: jnp.sum(fn(image)["relu1_1"].astype(jnp.float32) ** 2))(image)
    tolerance = 1e-5 if precision == "float32" else 0.02
    assert relative_error(found, jax.grad(independent)(image)) < tolerance


def test_a_reflected_border_may_be_wider_than_the_image(vgg_params, image):
    small = image[:2, :3]
    found = extract(vgg_params, small, ("pool1",), border="reflect")["pool1"]
    assert found.shape == (17, 17, 64)
    assert np.all(np.isfinite(found))


def test_vgg16_and_vgg19_share_their_first_blocks_only(vgg_params, image):
    names = ("block3_conv3", "block3_pool")
    vgg16 = extract(vgg_params, image, names, arch="vgg16")
    vgg19 = extract(vgg_params, image, names, arch="vgg19")
    np.testing.assert_allclose(vgg16[names[0]], vgg19[names[0]], rtol=1e-5)
    assert not np.allclose(vgg16[names[1]], vgg19[names[1]], rtol=0.1)


def test_bfloat16_keeps_the_first_layer_in_float32(vgg_params, image):
    features = extract(vgg_params, image, SHALLOW, precision="bfloat16")
    exact = extract(vgg_params, image, SHALLOW[:1])
    assert [features[name].dtype for name in SHALLOW] == [jnp.float32, jnp.bfloat16, jnp.bfloat16]
    np.testing.assert_array_equal(features[SHALLOW[0]], exact[SHALLOW[0]])


def gradients_at_noise(params, precision):
    """Gradients of the content term alone and of the style term alone."""
    rng = np.random.default_rng(5)
    content, style, noise = (
        jnp.asarray(rng.uniform(size=(32, 32, 3)) ** power, jnp.float32) for power in (1, 2, 1)
    )
    fn = vgg.feature_fn(params, (*STYLE_LAYERS, *CONTENT_LAYERS), precision=precision)
    layers = {"content_layers": CONTENT_LAYERS, "style_layers": STYLE_LAYERS}
    targets = jax.jit(partial(objective.compute_targets, **layers))(fn, content, style)
    gradient = jax.jit(lambda loss, *args: jax.grad(loss, has_aux=True)(*args)[0])
    loss = objective.make_objective(fn, targets)
    return {
        term: np.asarray(gradient(loss, noise, weights), np.float64).ravel()
        for term, weights in {
            "content": objective.make_weights(targets, style=0.0, total_variation=0.0),
            "style": objective.make_weights(targets, content=0.0, total_variation=0.0),
        }.items()
    }


@pytest.mark.slow
def test_gradients_in_bfloat16_point_where_those_in_float32_do(vgg_params):
    """Random weights are the hard case: the deep features of any two pictures are nearly equal,
    and eight bits must hold their difference. Trained ones: see test_golden.
    """
    exact = gradients_at_noise(vgg_params, "float32")
    rough = gradients_at_noise(vgg_params, "bfloat16")
    for term, least in {"content": 0.95, "style": 0.99}.items():
        norms = np.linalg.norm(exact[term]) * np.linalg.norm(rough[term])
        cosine = exact[term] @ rough[term] / norms
        assert least <= cosine < 1 - 1e-9, term


def test_tf32_stays_close_to_float32(vgg_params, image, relative_error):
    tf32 = extract(vgg_params, image, SHALLOW, precision="tf32")
    float32 = extract(vgg_params, image, SHALLOW)
    for name in SHALLOW:
        assert tf32[name].dtype == jnp.float32
        assert relative_error(tf32[name], float32[name]) < 1e-2


@pytest.mark.parametrize(("precision", "expected"), [("float32", "HIGHEST"), ("tf32", "HIGH")])
def test_precision_is_asked_of_every_convolution(vgg_params, image, precision, expected):
    """Left to itself JAX takes TF32 on a GPU and bfloat16 on a TPU."""

    def extract(image):
        return vgg.extract_features(vgg_params, image, SHALLOW, precision=precision)

    program = jax.jit(extract).lower(image).as_text()
    convolutions = [line for line in program.splitlines() if "stablehlo.convolution" in line]
    assert len(convolutions) == 3
    for line in convolutions:
        assert line.count(f"#stablehlo<precision {expected}>") == 2


def test_equal_networks_share_one_compiled_program(vgg_params, image, count_compilations):
    def shallow_features(fn, image):
        return fn(image)

    jitted = jax.jit(shallow_features)
    other_params = jax.tree.map(lambda x: x * 1.5, vgg_params)
    other_image = image / 2
    with count_compilations("shallow_features") as compiled:
        for params in (vgg_params, other_params):
            for picture in (image, other_image):
                jitted(vgg.feature_fn(params, ["relu1_1", "relu1_2"]), picture)
        assert len(compiled) == 1
        jitted(vgg.feature_fn(vgg_params, ["relu1_2"]), image)
    assert len(compiled) == 2


def test_parameters_are_no_constants_of_the_program(vgg_params, image):
    def shallow_features(fn, image):
        return fn(image)

    fn = vgg.feature_fn(vgg_params, ["relu1_2"])
    jaxpr = jax.make_jaxpr(shallow_features)(fn, image)
    assert all(np.size(constant) <= 3 for constant in jaxpr.consts)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_a_picture_of_integers_is_refused(dtype, vgg_params, unchecked):
    """Bytes times 255 wrap around, unseen."""
    picture = np.zeros((16, 16, 3), dtype)
    with pytest.raises(ValueError, match=f"of floats from 0 to 1, got {picture.dtype}"):
        vgg.extract_features(vgg_params, picture, ["relu1_1"])


def test_winograd_gives_the_same_features(vgg_params, image):
    layers = ["relu3_1", "relu4_2"]
    plain = vgg.feature_fn(vgg_params, layers)(image)
    fast = vgg.feature_fn(vgg_params, layers, convolutions="winograd")
    for name, features in fast(image).items():
        scale = float(jnp.max(plain[name]))
        np.testing.assert_allclose(features, plain[name], atol=1e-5 * scale)
    by_winograd = {
        name for name, layer in fast.args[0].items() if isinstance(layer.backward, winograd.Kernel)
    }
    shallow = {"block1_conv1", "block1_conv2", "block2_conv1"}
    assert by_winograd == fast.args[0].keys() - shallow


def test_bfloat16_features_come_in_it_from_every_layer(vgg_params, image):
    layers = ["relu1_1", "relu2_2", "pool2"]
    features = vgg.feature_fn(vgg_params, layers, precision="bfloat16", convolutions="onednn")(
        image
    )
    plain = vgg.feature_fn(vgg_params, layers, precision="bfloat16")(image)
    for name in layers:
        assert features[name].dtype == jnp.bfloat16
        expected = np.asarray(plain[name], np.float32)
        actual = np.asarray(features[name], np.float32)
        np.testing.assert_allclose(actual, expected, atol=0.02 * expected.max())


def test_which_convolutions_are_fastest(monkeypatch, unchecked):
    assert vgg.fastest_convolutions("float32") == "winograd"
    assert vgg.fastest_convolutions("tf32") == "plain"
    for obstacle, form, precision in ((None, "onednn", "bfloat16"), ("", "plain", "float32")):
        monkeypatch.setattr(compiler, "obstacle_to_bfloat16", lambda obstacle=obstacle: obstacle)
        assert vgg.fastest_convolutions("bfloat16") == form
        assert vgg.resolve_precision("fast") == precision
    assert vgg.resolve_precision("tf32") == "tf32"
    with pytest.raises(ValueError, match="float32, tf32, bfloat16, fast, got 'float16'"):
        vgg.resolve_precision("float16")


@pytest.mark.parametrize(
    ("capability", "precision"), [("9.0", "bfloat16"), ("7.5", "float32"), ("gfx90a", "float32")]
)
@pytest.mark.usefixtures("unchecked")
def test_fast_on_a_gpu_asks_for_its_capability(capability, precision, monkeypatch):
    gpu = SimpleNamespace(platform="gpu", compute_capability=capability)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "local_devices", lambda: [gpu])
    assert vgg.resolve_precision("fast") == precision
    assert vgg.fastest_convolutions(precision) == "plain"


@pytest.mark.parametrize(
    ("convolutions", "precision"), [("winograd", "bfloat16"), ("onednn", "tf32")]
)
def test_fast_convolutions_are_for_one_precision(vgg_params, convolutions, precision):
    with pytest.raises(ValueError, match=f"got the precision '{precision}'"):
        vgg.feature_fn(vgg_params, ["relu3_1"], precision=precision, convolutions=convolutions)


@pytest.mark.parametrize("convolutions", ["plain", "winograd"])
def test_rematerialized_features_have_the_same_gradient(vgg_params, image, convolutions):
    layers = ["relu1_1", "relu3_1"]

    def energy(feature_fn, image):
        return sum(jnp.sum(x**2) for x in feature_fn(image).values())

    plain, twice = (
        vgg.feature_fn(vgg_params, layers, convolutions=convolutions, rematerialize=each)
        for each in (False, True)
    )
    gradient = jax.jit(jax.grad(energy, argnums=1))
    expected = gradient(plain, image)
    scale = float(jnp.max(jnp.abs(expected)))
    np.testing.assert_allclose(gradient(twice, image), expected, atol=1e-5 * scale)


def test_rematerialized_features_keep_the_pooled_ones_alone(vgg_params, image, capsys):
    def energy(feature_fn, image):
        return jnp.sum(feature_fn(image)["relu3_1"])

    def kept(rematerialize):
        feature_fn = vgg.feature_fn(vgg_params, ["relu3_1"], rematerialize=rematerialize)
        jax.ad_checkpoint.print_saved_residuals(energy, feature_fn, image)
        lines = capsys.readouterr().out.splitlines()
        return [line for line in lines if "from the argument" not in line]

    assert sum("named 'pooled'" in line for line in kept(True)) == 2
    # Besides, the input and a constant.
    assert len(kept(True)) == 4
    assert len(kept(False)) > 10
