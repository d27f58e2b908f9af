"""Weights: formats, conventions, hostile files, the order of places, downloads (loopback only)."""

import hashlib
import http.server
import importlib.util
import io
import itertools
import shutil
import socket
import subprocess
import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pooch
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nst_jax import vgg, weights
from nst_jax.system import places as system_places
from nst_jax.weights import download
from nst_jax.weights import formats as weight_formats
from nst_jax.weights import official as official_files

CHECKOUT = system_places.HOME
REAL = CHECKOUT.parent / "shared" / "weights" / "vgg19_imagenet_notop_keras_layout.h5"
# The positions of the convolutions in torchvision's `features`, read off its printed networks.
TORCH_INDICES = {
    "vgg19": (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34),
    "vgg16": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
}
MEAN_RGB, DEVIATION_RGB = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
# The first numbers of the networks that torchvision and Caffe published (VGG19).
TORCHVISION_TAP, CAFFE_TAP = (-0.0534739, 0.017015, -0.044885), (0.341195, 0.464184, 0.394167)

_architecture = vgg.architecture


def _narrow(arch="vgg19"):
    def width(channels):
        return channels if channels == 3 else channels // 16

    return tuple(
        layer._replace(in_channels=width(layer.in_channels), channels=width(layer.channels))
        for layer in _architecture(arch)
    )


@pytest.fixture
def narrow(monkeypatch):
    """Networks a sixteenth as wide, so that files are small."""
    monkeypatch.setattr(vgg, "architecture", _narrow)


@pytest.fixture
def places(tmp_path, monkeypatch, narrow):
    """An empty checkout and an empty cache; no variables."""
    checkout = tmp_path / "checkout"
    (checkout / "weights").mkdir(parents=True)
    (tmp_path / "shared" / "weights").mkdir(parents=True)
    monkeypatch.setattr(system_places, "checkout", lambda: checkout)
    monkeypatch.setattr(system_places, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.delenv("NST_JAX_WEIGHTS", raising=False)
    monkeypatch.delenv("NST_JAX_WEIGHTS_URL", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path


def write_keras(path, params, pattern="{layer}/{layer}_{letter}_1:0"):
    path.parent.mkdir(exist_ok=True)
    with h5py.File(path, "w") as file:
        for layer, parameters in params.items():
            for name, value in parameters.items():
                letter = {"kernel": "W", "bias": "b"}[name]
                file[pattern.format(layer=layer, name=name, letter=letter)] = value
    return path


def torch_state(params, arch="vgg19"):
    state = {}
    for index, parameters in zip(TORCH_INDICES[arch], params.values(), strict=True):
        kernel = np.ascontiguousarray(parameters["kernel"].transpose(3, 2, 0, 1))
        state[f"features.{index}.weight"] = kernel
        state[f"features.{index}.bias"] = parameters["bias"]
    return state


def write_safetensors(path, tensors):
    pytest.importorskip("safetensors.numpy").save_file(tensors, path)
    return path


def assert_equal(params, expected):
    assert list(params) == list(expected)
    for layer in expected:
        for name in ("kernel", "bias"):
            assert params[layer][name].dtype == np.float32
            np.testing.assert_array_equal(params[layer][name], expected[layer][name])


# Random weights and hashes


def test_random_stream_is_frozen():
    rng = np.random.RandomState(0)
    params = weights.random_params("vgg16")
    for layer in vgg.architecture("vgg16"):
        if layer.kind == "conv":
            kernel = rng.standard_normal(layer.kernel_shape).astype("f4")
            kernel = kernel * np.float32(np.sqrt(2 / (9 * layer.in_channels)))
            np.testing.assert_array_equal(params[layer.name]["kernel"], kernel)
            bias = rng.standard_normal((layer.channels,)).astype("f4") * np.float32(0.1)
            np.testing.assert_array_equal(params[layer.name]["bias"], bias)


def test_random_vgg19_and_its_hash():
    params = weights.random_params()
    assert sum(value.size for layer in params.values() for value in layer.values()) == 20024384
    # NumPy's RandomState is frozen; a change here means that every golden file changes.
    digest = "90377356c6b6dbb4135c268a68fd0a9456d49265c16d61150e959da848c3b9ed"
    assert weights.params_sha256(params) == digest


def test_params_hash_depends_on_names_shapes_and_values_only(narrow):
    params = weights.random_params()
    digest = weights.params_sha256(params)
    backwards = {layer: dict(reversed(p.items())) for layer, p in reversed(params.items())}
    assert weights.params_sha256(backwards) == digest
    assert weights.params_sha256(weights.random_params(seed=1)) != digest
    params["block1_conv1"]["bias"] = params["block1_conv1"]["bias"][:, None]
    assert weights.params_sha256(params) != digest


# Formats


@pytest.mark.parametrize("arch", ["vgg19", "vgg16"])
@pytest.mark.parametrize(
    "pattern",
    [
        "{layer}/{name}",
        "{layer}/{layer}_{letter}_1:0",
        "{layer}/{layer}/{name}:0",
        "model_weights/{layer}/{layer}/{name}",
        "model_weights/vgg19/{layer}/{name}:0",
    ],
)
def test_hdf5_layouts(narrow, tmp_path, arch, pattern):
    params = weights.random_params(arch)
    path = write_keras(tmp_path / "x.bin", params, pattern)
    with h5py.File(path, "a") as file:
        file["fc1/fc1/kernel:0"] = np.ones((4, 4), np.float32)
        file["optimizer_weights/adam/block1_conv1/kernel"] = np.ones(3)
    assert_equal(weights.load_params(path, arch=arch), params)
    assert weights.infer_arch(path) == arch


@pytest.mark.parametrize("arch", ["vgg19", "vgg16"])
def test_keras_3_counts_layers(narrow, tmp_path, arch):
    params = weights.random_params(arch)
    path = tmp_path / "x.weights.h5"
    with h5py.File(path, "w") as file:
        for i, parameters in enumerate(params.values()):
            layer = f"layers/conv2d_{i}" if i else "layers/conv2d"
            file[f"{layer}/vars/0"] = parameters["kernel"]
            file[f"{layer}/vars/1"] = parameters["bias"]
    assert_equal(weights.load_params(path, arch=arch), params)
    assert weights.infer_arch(path) == arch


@pytest.mark.parametrize("dtype", ["f8", ">f4", "f2"])
def test_other_floats_become_float32(narrow, tmp_path, dtype):
    params = weights.random_params()
    stored = {
        layer: {name: value.astype(dtype) for name, value in p.items()}
        for layer, p in params.items()
    }
    path = write_keras(tmp_path / "x.h5", stored)
    loaded = weights.load_params(path)["block2_conv1"]["kernel"]
    assert loaded.dtype == np.float32
    np.testing.assert_allclose(loaded, params["block2_conv1"]["kernel"], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("separator", ["/", "."])
def test_safetensors_with_our_names(narrow, tmp_path, separator):
    params = weights.random_params()
    tensors = {
        f"{layer}{separator}{name}": value
        for layer, p in params.items()
        for name, value in p.items()
    }
    path = write_safetensors(tmp_path / "x", tensors)
    assert_equal(weights.load_params(path), params)


@pytest.mark.parametrize("arch", ["vgg19", "vgg16"])
def test_safetensors_with_torch_names(narrow, tmp_path, arch):
    params = weights.random_params(arch)
    state = torch_state(params, arch) | {"classifier.0.weight": np.ones((2, 2), np.float32)}
    path = write_safetensors(tmp_path / "x.safetensors", state)
    assert_equal(weights.load_params(path, arch=arch, convention="caffe"), params)
    assert weights.infer_arch(path) == arch


def test_safetensors_type_without_a_numpy_equal(narrow, tmp_path):
    state = torch_state(weights.random_params())
    path = write_safetensors(tmp_path / "x.safetensors", state)
    data = path.read_bytes()
    # Same bytes, another name of the type, in the first tensor of the header.
    half = data.replace(b'"F32"', b'"I32"', 1)
    path.write_bytes(half)
    with pytest.raises(ValueError, match=r"expected float16 or float32 or float64, found I32"):
        weights.load_params(path, convention="caffe")


def test_safetensors_truncated(narrow, tmp_path):
    path = write_safetensors(tmp_path / "x.safetensors", torch_state(weights.random_params()))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(OSError, match=r"x\.safetensors cannot be read"):
        weights.load_params(path)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("legacy", [False, True])
def test_torch_state_dict(narrow, tmp_path, nested, legacy):
    torch = pytest.importorskip("torch")
    params = weights.random_params()
    state = {name: torch.from_numpy(value) for name, value in torch_state(params).items()}
    path = tmp_path / "x.pth"
    torch.save(
        {"state_dict": state, "epoch": 3} if nested else state,
        path,
        _use_new_zipfile_serialization=not legacy,
    )
    assert_equal(weights.load_params(path, convention="caffe"), params)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(OSError, match=r"x\.pth cannot be read"):
        weights.load_params(path)


def test_torch_file_with_code_is_refused(tmp_path):
    torch = pytest.importorskip("torch")

    path = tmp_path / "x.pth"
    torch.save({"features.0.weight": Path("x")}, path)
    with pytest.raises(OSError, match=r"x\.pth cannot be read: Weights only load failed"):
        weights.load_params(path)


@pytest.mark.parametrize(
    ("module", "head", "line"),
    [
        ("torch", b"\x80\x02", r"x looks like a torch .*: pip install 'nst_jax\[torch\]'"),
        ("safetensors", b"8" * 8 + b"{}", r"x is a safe.*: pip install 'nst_jax\[safetensors\]'"),
    ],
)
def test_missing_package_is_one_line(tmp_path, monkeypatch, module, head, line):
    monkeypatch.setitem(sys.modules, module, None)
    path = tmp_path / "x"
    path.write_bytes(head)
    with pytest.raises(ValueError, match=line):
        weights.load_params(path)


# npz and Keras archives


def by_caffe(params, kernel="W", bias="b", separator="_", order=(0, 1, 2, 3)):
    """The same under Caffe's names, which TensorFlow and Chainer programs keep."""
    state = {}
    for layer, parameters in params.items():
        name = layer.removeprefix("block").replace("_conv", "_")
        state[f"conv{name}{separator}{kernel}"] = parameters["kernel"].transpose(order)
        state[f"conv{name}{separator}{bias}"] = parameters["bias"]
    return state


@pytest.mark.parametrize("arch", ["vgg19", "vgg16"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    "names",
    [
        {},
        {"kernel": "weights", "bias": "biases", "separator": "/"},
        # Chainer's and torch's axes.
        {"separator": "/", "order": (3, 2, 0, 1)},
        {"kernel": "weight", "bias": "bias", "separator": ".", "order": (3, 2, 0, 1)},
    ],
)
def test_npz_with_the_names_of_caffe(narrow, tmp_path, arch, save, names):
    params = weights.random_params(arch)
    params["block1_conv1"]["kernel"][0, 0, :, 0] = CAFFE_TAP
    path = tmp_path / "vgg_weights.npz"
    save(path, **by_caffe(params, **names), fc6_W=np.ones((5, 7)), fc6_b=np.ones(7))
    assert_equal(weights.load_params(path, arch=arch), params)
    assert weights.infer_arch(path) == arch


def test_npz_with_the_names_of_keras(narrow, tmp_path):
    params = weights.random_params()
    path = tmp_path / "x.npz"
    np.savez(
        path, **{f"{layer}/{n}": value for layer, p in params.items() for n, value in p.items()}
    )
    assert_equal(weights.load_params(path), params)


def test_npz_of_an_rgb_network_is_recognized(narrow, tmp_path):
    params = _first_layer(CAFFE_TAP[::-1])
    path = tmp_path / "x.npz"
    np.savez(path, **by_caffe(params))
    first = weights.load_params(path)["block1_conv1"]["kernel"]
    np.testing.assert_allclose(first, params["block1_conv1"]["kernel"][:, :, ::-1], rtol=1e-6)


def test_npz_with_pickled_objects_is_refused(narrow, tmp_path):
    path = tmp_path / "x.npz"
    state = by_caffe(_first_layer(CAFFE_TAP))
    np.savez(path, **state | {"conv1_1_b": np.array([Path("x")] * 4, object)})
    with pytest.raises(ValueError, match=r"block1_conv1 bias: expected .*, found object"):
        weights.load_params(path)


def test_npz_with_a_part_of_a_network_says_what_is_missing(tmp_path):
    path = tmp_path / "vgg16_weights.npz"
    np.savez(path, conv1_1_W=np.zeros((3, 3, 3, 64), np.float32))
    with pytest.raises(ValueError, match=r"weights\.npz: block1_conv1 bias is missing"):
        weights.load_params(path, arch="vgg16")


def write_archive(path, **members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "."), data)
    return path


@pytest.mark.parametrize("pattern", ["layers/{layer}/vars/{number}", "{layer}/{name}"])
def test_the_weights_in_a_keras_archive(narrow, tmp_path, pattern):
    params = weights.random_params()
    inner = tmp_path / "inner.h5"
    with h5py.File(inner, "w") as file:
        for layer, parameters in params.items():
            for number, (name, value) in enumerate(parameters.items()):
                file[pattern.format(layer=layer, name=name, number=number)] = value
    members = {"metadata__json": "{}", "config__json": "{}"}
    path = write_archive(tmp_path / "vgg19.keras", **members, model__weights__h5=inner.read_bytes())
    assert_equal(weights.load_params(path), params)
    assert weights.infer_arch(path) == "vgg19"


def test_archives_that_hold_no_weights_say_what_they_hold(tmp_path):
    path = write_archive(tmp_path / "x.keras", model__weights__h5=b"\x89HDF\r\n\x1a\n")
    with pytest.raises(OSError, match=r"x\.keras cannot be read: .*downloaded, do so again$"):
        weights.load_params(path)
    path = write_archive(tmp_path / "x.zip", vgg19__h5=b"", readme="")
    with pytest.raises(ValueError, match=r"a zip archive of 'vgg19\.h5', 'readme': unpack it"):
        weights.load_params(path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(OSError, match=r"x\.zip cannot be read: a zip archive .* without its end"):
        weights.load_params(path)


# Other names


def renamed(params, arch, pattern):
    """Torch's arrays under other names, by the index in torchvision's `features` and a count."""
    state = torch_state(params, arch)
    slices = {index: 1 + sum(index > each for each in (1, 6, 11, 20)) for index in range(40)}
    names = {}
    for name, value in state.items():
        index, parameter = name.split(".")[1:]
        count = TORCH_INDICES[arch].index(int(index))
        where = {"i": index, "slice": slices[int(index)], "count": count, "parameter": parameter}
        names[pattern.format(**where)] = value
    return names


@pytest.mark.parametrize("arch", ["vgg19", "vgg16"])
@pytest.mark.parametrize(
    "pattern",
    [
        "{i}.{parameter}",
        "slice{slice}.{i}.{parameter}",
        "module.features.{i}.{parameter}",
        "vgg.features.{i}.{parameter}",
        "conv{count}.{parameter}",
        "{parameter}s/{count}",
    ],
)
def test_a_network_under_other_names_is_recognized_by_shapes_and_order(
    narrow, tmp_path, arch, pattern
):
    params = weights.random_params(arch)
    params["block1_conv1"]["kernel"][0, 0, :, 0] = CAFFE_TAP
    state = renamed(params, arch, pattern)
    # safetensors sorts its names: 10 before 2.
    path = write_safetensors(tmp_path / "x.safetensors", state)
    assert_equal(weights.load_params(path, arch=arch), params)
    assert weights.infer_arch(path) == arch
    # Beside a classifier of matrices, or of convolutions.
    state |= {
        "classifier.0.weight": np.ones((9, 8), np.float32),
        "classifier.0.bias": np.ones(9, np.float32),
        "fc7.weight": np.ones((2, 4096, 1, 1), np.float32),
    }
    path = write_safetensors(tmp_path / "y.safetensors", state)
    if pattern != "{parameter}s/{count}":
        assert_equal(weights.load_params(path, arch=arch), params)


def test_arrays_that_are_only_numbered(narrow, tmp_path):
    params = _first_layer(CAFFE_TAP)
    path = tmp_path / "x.npz"
    np.savez(path, *[value for p in params.values() for value in p.values()])
    assert_equal(weights.load_params(path), params)


def test_numbered_layers_of_a_torch_file(narrow, tmp_path):
    torch = pytest.importorskip("torch")
    params = _first_layer(CAFFE_TAP)
    state = {
        number: {name: torch.from_numpy(value) for name, value in p.items()}
        for number, p in enumerate(params.values())
    }
    torch.save(state, tmp_path / "x.pt")
    assert_equal(weights.load_params(tmp_path / "x.pt"), params)


def _without_a_layer(state):
    del state["4.weight"], state["4.bias"]


def _with_another_at_the_start(state):
    state["00.weight"] = np.ones((3, 3, 1, 1), np.float32)


def _of_unlike_names(state):
    state["first.weight"] = state.pop("0.weight")


@pytest.mark.parametrize("change", [_without_a_layer, _with_another_at_the_start, _of_unlike_names])
def test_what_is_not_certain_is_not_guessed(narrow, tmp_path, change):
    state = renamed(_first_layer(CAFFE_TAP), "vgg19", "{count}.{parameter}")
    change(state)
    path = write_safetensors(tmp_path / "x.safetensors", state)
    with pytest.raises(
        ValueError,
        match=r"x\.safetensors: no convolution has a known name.*block1_conv1/kernel \(Keras\), "
        r"features\.0\.weight .*, found '0+\.(weight|bias)', .* and \d+ more",
    ) as caught:
        weights.load_params(path)
    assert "\n" not in str(caught.value)


def test_the_names_found_are_shown_as_text(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, **{"two\nlines": np.ones(3), "x" * 500: np.ones(3)})
    with pytest.raises(ValueError, match=r"found 'two\\nlines', 'x{59}$"):
        weights.load_params(path)
    np.savez(path)
    with pytest.raises(ValueError, match="an empty zip archive: download it again"):
        weights.load_params(path)


# Conventions


def _valid_convolution(image, kernel, bias):
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3), axis=(0, 1))
    return np.einsum("hwcyx,yxco->hwo", windows, kernel.astype(float)) + bias


def _first_layer(tap, seed=0):
    params = weights.random_params("vgg19", seed)
    params["block1_conv1"]["kernel"][0, 0, :, 0] = tap
    return params


@pytest.mark.parametrize("seed", [0, 1])
def test_torchvision_convention_is_an_affine_change(narrow, tmp_path, seed):
    params = _first_layer(TORCHVISION_TAP, seed)
    path = write_safetensors(tmp_path / "x.safetensors", torch_state(params))
    loaded = weights.load_params(path)
    image = np.random.default_rng(seed).random((9, 11, 3))

    first = params["block1_conv1"]
    normalized = (image - MEAN_RGB) / DEVIATION_RGB
    theirs = _valid_convolution(normalized, first["kernel"], first["bias"])
    first = loaded["block1_conv1"]
    pixels = image[..., ::-1] * 255 - (103.939, 116.779, 123.68)
    ours = _valid_convolution(pixels, first["kernel"], first["bias"])
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    # The offset of the two means is real: without it in the bias the equality fails.
    shifted = ours - first["bias"] + params["block1_conv1"]["bias"]
    assert np.abs(shifted - theirs).max() > 1e-4

    del params["block1_conv1"], loaded["block1_conv1"]
    assert_equal(loaded, params)


def test_reversed_caffe_convention(narrow, tmp_path):
    params = _first_layer(CAFFE_TAP[::-1])
    path = write_safetensors(tmp_path / "x.safetensors", torch_state(params))
    first, loaded = params["block1_conv1"], weights.load_params(path)["block1_conv1"]
    np.testing.assert_allclose(loaded["kernel"], first["kernel"][:, :, ::-1], rtol=1e-6)
    flat = np.zeros((3, 3, 3))
    offset = np.array([123, 117, 104]) - (123.68, 116.779, 103.939)
    np.testing.assert_allclose(
        _valid_convolution(flat, loaded["kernel"], loaded["bias"]),
        _valid_convolution(flat - offset, first["kernel"], first["bias"]),
        atol=2e-3,
    )


def test_ports_of_caffe_are_recognized(narrow, tmp_path):
    params = _first_layer(CAFFE_TAP)
    path = write_safetensors(tmp_path / "x.safetensors", torch_state(params))
    assert_equal(weights.load_params(path), params)


def test_unknown_network_under_torch_names_is_not_guessed(narrow, tmp_path):
    path = write_safetensors(tmp_path / "x.safetensors", torch_state(weights.random_params()))
    with pytest.raises(ValueError, match=r"input convention is unknown.*--convention torchvision"):
        weights.load_params(path)


# Files that must be refused


def _drop(file):
    del file["block3_conv2/kernel"]


def _reshape(file):
    del file["block1_conv2/kernel"]
    file["block1_conv2/kernel"] = np.ones((3, 3, 4, 5), np.float32)


def _integers(file):
    del file["block1_conv1/bias"]
    file["block1_conv1/bias"] = np.arange(4)


def _not_finite(file):
    file["block2_conv1/kernel"][0, 0, 0, :2] = np.nan, np.inf


def _ambiguous(file):
    file["model_weights/block1_conv1/bias"] = np.ones(4, np.float32)


def _batch_normalization(file):
    file["features.1.running_mean"] = np.ones(4, np.float32)


def _soft_link(file):
    file.move("block1_conv1/kernel", "elsewhere")
    file["block1_conv1/kernel"] = h5py.SoftLink("/elsewhere")


def _external_link(file):
    del file["block1_conv1"]
    file["block1_conv1"] = h5py.ExternalLink("/etc/hostname", "/")


def _external_storage(file):
    del file["block1_conv1/bias"]
    file["block1_conv1"].create_dataset(
        "bias", (4,), "f4", external=[("/etc/hostname", 0, h5py.h5f.UNLIMITED)]
    )


def _virtual(file):
    del file["block1_conv1/bias"]
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", (4,))
    file.create_virtual_dataset("block1_conv1/bias", layout)


def _giant(file):
    del file["block5_conv4/kernel"]
    file.create_dataset("block5_conv4/kernel", (3, 3, 10**6, 10**6), "f4", chunks=(1, 1, 8, 8))


def _loop(file):
    file["block1_conv1/again"] = file["block1_conv1"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_drop, r"x\.h5: block3_conv2 kernel is missing: expected \(3, 3, 16, 16\)"),
        (_reshape, r"block1_conv2 kernel: .*\(3, 3, 4, 4\), found \(3, 3, 4, 5\)"),
        (_integers, r"block1_conv1 bias: expected .*float32.*, found int64"),
        (_not_finite, r"block2_conv1 kernel: expected finite numbers, found 2 that are not"),
        (_ambiguous, r"block1_conv1 bias is ambiguous: .*block1_conv1/bias"),
        (_batch_normalization, r"batch normalization"),
        (_soft_link, r"block1_conv1/kernel is a link"),
        (_external_link, r"block1_conv1 is a link"),
        (_external_storage, r"block1_conv1/bias keeps its data in another file"),
        (_virtual, r"block1_conv1/bias keeps its data in another file"),
        (_giant, r"block5_conv4 kernel: .*\(3, 3, 32, 32\), found \(3, 3, 1000000, 1000000\)"),
        (_loop, r"more than 10000 objects"),
    ],
)
def test_damaged_hdf5(narrow, tmp_path, damage, message):
    path = write_keras(tmp_path / "x.h5", weights.random_params(), "{layer}/{name}")
    with h5py.File(path, "a") as file:
        damage(file)
    with pytest.raises(ValueError, match=message) as caught:
        weights.load_params(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [100, 5000, -10])
def test_truncated_hdf5(narrow, tmp_path, keep):
    path = write_keras(tmp_path / "x.h5", weights.random_params())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(OSError, match=r"x\.h5 cannot be read: .*truncated") as caught:
        weights.load_params(path)
    assert "\n" not in str(caught.value)


def test_damaged_data_names_the_layer(narrow, tmp_path):
    path = write_keras(tmp_path / "x.h5", weights.random_params(), "{layer}/{name}")
    with h5py.File(path, "a") as file:
        value = file["block2_conv1/kernel"][()]
        del file["block2_conv1/kernel"]
        file.create_dataset("block2_conv1/kernel", data=value, compression="gzip")
        at = file["block2_conv1/kernel"].id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[at : at + 64] = bytes(64)
    path.write_bytes(data)
    with pytest.raises(OSError, match=r"x\.h5: block2_conv1 kernel cannot be read: "):
        weights.load_params(path)


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 80134624\n"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.h5", b"", r"an empty file: download it again"),
        ("x.h5", LFS, r"a Git LFS pointer.*git lfs pull"),
        ("x.h5", b"/annex/objects/MD5-s1--0", r"a git-annex pointer.*git annex get"),
        ("x.h5", b"\n<!DOCTYPE html><html>", r"a web page.*: download the file itself"),
        ("x.h5", b"<?xml version='1.0'?><Error>", r"XML.*: download the file itself"),
        ("x.h5", b'{"message": "Not Found"}', r"text in JSON"),
        ("x.h5", bytes(64), r"zeros, as a broken download leaves them"),
        ("x.mat", b"MATLAB 5.0 MAT-file, Platform", r"a MATLAB file.*nst-jax weights fetch"),
        ("x.caffemodel", b"\n\x14VGG_ILSVRC_19_layers", r"a Caffe model.*nst-jax weights fetch"),
        ("x.t7", b"\4\0\0\0\1\0\0\0\3\0\0\0V 1", r"a Lua Torch file"),
        ("x.onnx", b"\x08\x07\x12\x07pytorch", r"an ONNX model.*numpy\.savez"),
        ("x", b"\x1c\0\0\0TFL3", r"a TensorFlow Lite model"),
        ("saved_model.pb", b"\x08\x01\x12", r"a TensorFlow graph"),
        ("vgg.ckpt.data-00000-of-00001", b"\x01\x02", r"a TensorFlow checkpoint"),
        ("vgg19.npy", b"\x93NUMPY\x01\0", r"one NumPy array, or pickled .*: it may hold code"),
        ("vgg19.pkl", b"\x80\x04\x95", r"a Python pickle: it may hold code"),
        ("x.tar.gz", b"\x1f\x8b\x08", r"a gzip archive: unpack it"),
        ("x.h5", b"404: Not Found", r"text, as a host sends .*: download the file itself"),
        ("x.h5", b"Entry not found\n", r"text, as a host sends .*: download the file itself"),
        ("x.h5", b"\x89PNG\r\n\x1a\n", r"a picture: name the file of weights"),
        ("vgg19.pkl", b"(dp0\nVparam", r"a Python pickle: it may hold code"),
        ("x.h5", b"hello", r"a file that begins with b'hello'"),
    ],
)
def test_what_is_not_read_is_named_with_a_cure(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}: expected HDF5, .*, found {words}") as caught:
        weights.load_params(path)
    assert "\n" not in str(caught.value)


@given(data=st.binary(max_size=64), head=st.sampled_from([b"\x89HDF\r\n\x1a\n", b"8" * 8 + b"{"]))
@settings(max_examples=50, deadline=None)
def test_garbage_is_an_ordinary_error(tmp_path_factory, data, head):
    path = tmp_path_factory.getbasetemp() / "garbage"
    path.write_bytes(head + data)
    with pytest.raises((ValueError, OSError), match="garbage"):
        weights.load_params(path)


@pytest.mark.parametrize(("held", "asked"), list(itertools.permutations(TORCH_INDICES)))
@pytest.mark.parametrize("torch_names", [False, True])
def test_the_other_network_is_named(narrow, tmp_path, held, asked, torch_names):
    params, path = weights.random_params(held), tmp_path / "x.h5"
    if torch_names:
        write_safetensors(path, torch_state(params, held))
    else:
        write_keras(path, params)
    with pytest.raises(ValueError, match=f"the file holds {held}: use --arch {held}"):
        weights.load_params(path, arch=asked, convention="caffe")


def test_infer_arch_of_neither(narrow, tmp_path):
    path = write_keras(tmp_path / "x.h5", {"block1_conv1": {"bias": np.ones(4)}})
    with pytest.raises(ValueError, match=r"block1_conv1 kernel is missing.*no VGG16 either"):
        weights.infer_arch(path)


# Converting


def test_convert(narrow, tmp_path):
    params = _first_layer(TORCHVISION_TAP)
    source = write_safetensors(tmp_path / "x.safetensors", torch_state(params))
    path = weights.convert(source, tmp_path / "new" / "vgg19.h5")
    assert_equal(weights.load_params(path), weights.load_params(source))
    with h5py.File(path) as file:
        attributes = dict(file.attrs)
        assert file["block1_conv1/kernel"].shape == (3, 3, 3, 4)
    assert attributes == {
        "schema": "nst_jax.weights",
        "convention": "BGR, 0 to 255, minus (103.939, 116.779, 123.68)",
        "arch": "vgg19",
        "source": "x.safetensors, torchvision convention",
        "source_sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        "licence": "VGG weights trained by torchvision, BSD 3-Clause",
    }
    facts = weights.describe(weights.resolve(path))
    assert facts["provenance"] == attributes["source"]
    assert facts["licence"] == attributes["licence"]
    assert list(path.parent.iterdir()) == [path]


def test_failed_conversion_leaves_the_old_file(narrow, tmp_path):
    source = write_keras(tmp_path / "x.h5", weights.random_params("vgg16"))
    destination = tmp_path / "y.h5"
    destination.write_text("old")
    with pytest.raises(ValueError, match="the file holds vgg16"):
        weights.convert(source, destination, arch="vgg19")
    assert destination.read_text() == "old"
    with pytest.raises(ValueError, match=r"its ending must be one of \.h5"):
        weights.convert(source, tmp_path / "y.npz")


def test_convert_script(narrow, tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("convert", CHECKOUT / "weights" / "convert.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    source = write_keras(tmp_path / "x.h5", weights.random_params("vgg16"))
    path = script.main([str(source), str(tmp_path / "y.h5")])
    assert_equal(weights.load_params(path, arch="vgg16"), weights.random_params("vgg16"))
    with pytest.raises(SystemExit, match=r"convert\.py: .*z\.h5: no such file"):
        script.main([str(tmp_path / "z.h5")])


# The order of places


def test_order_of_places(places, monkeypatch):
    official = official_files.FILES["vgg19"]
    params = [weights.random_params(seed=seed) for seed in range(5)]
    cached = write_keras(places / "cache" / official.name, params[0])
    md5 = hashlib.md5(cached.read_bytes()).hexdigest()
    monkeypatch.setitem(official_files.FILES, "vgg19", official._replace(md5=md5))
    shared = places / "shared" / "weights"
    # Found by what it holds, not by its name; one of another network is passed over.
    write_keras(shared / "a.h5", weights.random_params("vgg16"))
    checkout = places / "checkout" / "weights"
    order = [
        ("cache", cached),
        ("shared", shared / "b.h5"),
        ("checkout", checkout / official.name),
        ("checkout", checkout / "vgg19.h5"),
        ("environment", places / "named.h5"),
    ]
    for (kind, path), expected in zip(order, params, strict=True):
        if kind != "cache":
            write_keras(path, expected)
        if kind == "environment":
            monkeypatch.setenv("NST_JAX_WEIGHTS", str(path))
        found = weights.resolve()
        assert (found.kind, found.path, found.name) == (kind, path, path.name)
        assert str(path) in found.description
        assert_equal(weights.load_params(), expected)
    explicit = weights.resolve(shared / "b.h5")
    assert (explicit.kind, explicit.path) == ("path", shared / "b.h5")
    assert_equal(weights.load_params(shared / "b.h5"), params[1])


def test_random_by_argument_and_by_variable(places, monkeypatch):
    assert_equal(weights.load_params("random"), weights.random_params())
    monkeypatch.setenv("NST_JAX_WEIGHTS", "random")
    assert weights.resolve().kind == "random"
    assert weights.resolve().name == "random"
    assert_equal(weights.load_params(arch="vgg16"), weights.random_params("vgg16"))


def test_named_sources_are_never_skipped(places, monkeypatch):
    write_keras(places / "checkout" / "weights" / "vgg19.h5", weights.random_params())
    with pytest.raises(FileNotFoundError, match=r"nowhere\.h5: no such file$"):
        weights.load_params(places / "nowhere.h5")
    with pytest.raises(IsADirectoryError, match="expected a file, found a folder"):
        weights.load_params(places)
    monkeypatch.setenv("NST_JAX_WEIGHTS", str(places / "nowhere.h5"))
    with pytest.raises(FileNotFoundError, match=r"named by \$NST_JAX_WEIGHTS"):
        weights.load_params()
    (places / "broken.h5").write_text("broken")
    monkeypatch.setenv("NST_JAX_WEIGHTS", str(places / "broken.h5"))
    with pytest.raises(ValueError, match=r"begins with b'broken' \(named by \$NST_JAX_WEIGHTS\)"):
        weights.load_params()


def test_broken_file_in_the_checkout_is_passed_over_with_a_warning(places):
    (places / "checkout" / "weights" / "vgg19.h5").write_text("broken")
    path = write_keras(places / "shared" / "weights" / "x.h5", weights.random_params())
    with pytest.warns(UserWarning, match=r"passed over: .*vgg19\.h5: expected HDF5"):
        found = weights.resolve()
    assert found.path == path
    assert len(found.tried) == 2


def test_describe(places):
    path = write_keras(places / "x.h5", weights.random_params())
    facts = weights.describe(weights.resolve(path))
    assert facts["file_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert facts["params_sha256"] == weights.params_sha256(weights.random_params())
    assert facts["licence"].endswith("University of Oxford, CC BY 4.0")
    assert facts["parameters"] == sum(layer.num_parameters for layer in _narrow())
    assert weights.describe(weights.resolve("random"))["licence"] == "none"
    absent = weights.describe(weights.resolve())
    assert absent["kind"] == "download"
    assert absent["file_sha256"] is None
    assert "https://storage.googleapis.com" in weights.resolve().description


def test_looking_for_weights_does_not_import_jax(tmp_path):
    code = (
        "import sys; from nst_jax import weights; weights.resolve('random');"
        "print([name for name in ('jax', 'flax', 'torch', 'requests') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=CHECKOUT)
    assert answer.stdout.strip() == b"[]"


def test_package_outside_a_checkout(tmp_path, monkeypatch):
    assert system_places.checkout() == CHECKOUT
    monkeypatch.setattr(system_places, "HOME", tmp_path / "site")
    assert system_places.checkout() is None


# Downloads


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        if target := self.server.moved.get(self.path):
            self.send_response(302)
            self.send_header("Location", target)
            self.end_headers()
            return
        status, length, body = self.server.answer
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        for start in range(0, len(body), 1 << 16):
            self.wfile.write(body[start : start + (1 << 16)])
            time.sleep(self.server.pause)

    def log_message(self, format, *args):
        pass


@pytest.fixture
def server(places, monkeypatch):
    """A host whose `answer` is (status, declared length, body); the official file is `.body`."""
    params = weights.random_params()
    body = write_keras(places / "source" / "x.h5", params).read_bytes()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as host:
        host.answer, host.asked, host.body, host.params = (200, len(body), body), [], body, params
        host.pause, host.moved = 0, {}
        host.url = f"http://127.0.0.1:{host.server_port}/vgg19.h5"
        official = official_files.Official("vgg19.h5", hashlib.md5(body).hexdigest(), (host.url,))
        monkeypatch.setitem(official_files.FILES, "vgg19", official)
        thread = threading.Thread(target=host.serve_forever, args=(0.01,))
        thread.start()
        yield host
        host.shutdown()
        thread.join()


def _cached(places):
    return sorted(path.name for path in (places / "cache").glob("**/*"))


def test_download(places, server):
    assert weights.resolve().kind == "download"
    assert server.asked == []
    assert_equal(weights.load_params(), server.params)
    assert _cached(places) == ["vgg19.h5"]
    assert weights.resolve().kind == "cache"
    assert weights.describe(weights.resolve())["provenance"].startswith("Keras's official file")
    assert weights.fetch() == places / "cache" / "vgg19.h5"
    assert_equal(weights.load_params(), server.params)
    assert server.asked == ["/vgg19.h5"]


def test_random_weights_where_no_trained_ones_can_be_had(places, server, monkeypatch):
    said = []
    server.answer = (404, 0, b"")
    assert weights.trained_or_random(say=said.append) == "random"
    assert "no weights for vgg19; tried" in said[0]
    server.answer = (200, len(server.body), server.body)
    assert weights.trained_or_random(say=said.append) is None
    assert _cached(places) == ["vgg19.h5"]
    named = str(places / "cache" / "vgg19.h5")
    assert weights.trained_or_random(named, say=said.append) == named
    with pytest.raises(FileNotFoundError, match="no such file"):
        weights.trained_or_random("nowhere.h5", say=said.append)
    monkeypatch.setenv("NST_JAX_WEIGHTS", "random")
    assert weights.trained_or_random(say=said.append) == "random"
    assert len(said) == 1


def test_damaged_cache_is_downloaded_again(places, server):
    path = places / "cache" / "vgg19.h5"
    path.parent.mkdir()
    path.write_bytes(server.body[:-1])
    assert "expected the md5" in weights.resolve().tried[-1]
    assert weights.fetch() == path
    assert path.read_bytes() == server.body


@pytest.mark.parametrize(("level", "announced"), [("info", True), ("warning", False)])
def test_a_download_is_announced_where_one_wants_to_know(
    level, announced, places, server, monkeypatch
):
    said = io.StringIO()
    monkeypatch.setattr("nst_jax.system.console._level", level)
    monkeypatch.setattr(pooch.get_logger().handlers[0], "stream", said)
    weights.fetch()
    assert (server.url in said.getvalue()) == announced


def test_redirects_are_followed_and_one_without_end_is_given_up(places, server):
    server.moved = {"/vgg19.h5": "/a", "/a": "/b"}
    assert weights.fetch().read_bytes() == server.body
    assert server.asked == ["/vgg19.h5", "/a", "/b"]
    (places / "cache" / "vgg19.h5").unlink()
    server.moved["/b"] = "/a"
    with pytest.raises(weights.WeightsNotFound, match="redirects"):
        weights.fetch()
    assert _cached(places) == []


def test_several_that_download_at_once_download_once(places, server):
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: weights.fetch(), range(4)))
    assert set(paths) == {places / "cache" / "vgg19.h5"}
    assert paths[0].read_bytes() == server.body
    assert server.asked == ["/vgg19.h5"]
    assert _cached(places) == ["vgg19.h5"]


def test_wrong_checksum_never_reaches_the_cache(places, server):
    server.answer = (200, 5, b"wrong")
    wrong, right = hashlib.md5(b"wrong").hexdigest(), hashlib.md5(server.body).hexdigest()
    with pytest.raises(weights.WeightsNotFound, match=f"expected md5:{right} but got {wrong}"):
        weights.fetch()
    assert _cached(places) == []


def test_nothing_found_says_what_was_tried_and_what_to_do(places, server):
    server.answer = (404, 0, b"")
    with pytest.raises(FileNotFoundError) as caught:
        weights.load_params()
    lines = str(caught.value).splitlines()
    assert lines[0] == "no weights for vgg19; tried"
    assert [line.strip() for line in lines[1:5]] == [
        f"{places}/checkout/weights/vgg19.h5: no such file",
        f"{places}/checkout/weights/vgg19.h5: no such file",
        f"{places}/shared/weights/*.h5: no such file",
        f"{places}/cache/vgg19.h5: no such file",
    ]
    assert lines[5].strip().startswith(f"{server.url}: 404 Client Error")
    for way in ("--weights PATH", "NST_JAX_WEIGHTS", "--weights random"):
        assert way in lines[6]
    assert _cached(places) == []


def test_a_cache_that_cannot_be_written_is_named(places, server):
    (places / "cache").write_text("a file in the way")
    with pytest.raises(weights.WeightsNotFound) as caught:
        weights.fetch()
    assert f"cannot write into the folder {places}/cache" in str(caught.value)
    assert "XDG_CACHE_HOME" in str(caught.value)
    assert weights.trained_or_random(say=lambda line: None) == "random"
    assert server.asked == []


def test_truncated_download(places, server):
    server.answer = (200, len(server.body), server.body[:1000])
    with pytest.raises(weights.WeightsNotFound, match=r"IncompleteRead|expected md5"):
        weights.fetch()
    assert _cached(places) == []


def test_own_address_comes_first(places, server, monkeypatch):
    official = official_files.FILES["vgg19"]
    monkeypatch.setitem(official_files.FILES, "vgg19", official._replace(urls=("http://[::1]:1/",)))
    monkeypatch.setenv("NST_JAX_WEIGHTS_URL", server.url.removesuffix("vgg19.h5"))
    assert server.url in weights.resolve().description
    assert_equal(weights.load_params(), server.params)


def test_second_address_is_tried(places, server, monkeypatch):
    monkeypatch.setenv("NST_JAX_WEIGHTS_URL", server.url + ".missing")
    answers = iter([(404, 0, b""), server.answer])
    monkeypatch.setattr(type(server), "answer", property(lambda _: next(answers)), raising=False)
    server.__dict__.pop("answer")
    assert weights.fetch().read_bytes() == server.body
    assert server.asked == ["/vgg19.h5.missing", "/vgg19.h5"]


def test_refused_connection(places, server, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/x"
    official = official_files.FILES["vgg19"]
    monkeypatch.setitem(official_files.FILES, "vgg19", official._replace(urls=(url,)))
    with pytest.raises(weights.WeightsNotFound) as caught:
        weights.fetch()
    attempt = str(caught.value).splitlines()[1].strip()
    # Each layer of libraries wraps the address around the reason; it is told once.
    assert attempt.count(str(port)) == 1
    assert attempt.startswith(f"{url}: ")
    assert attempt.endswith("Connection refused")


def test_silent_host_is_given_up(places, server, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x"
        official = official_files.FILES["vgg19"]
        monkeypatch.setitem(official_files.FILES, "vgg19", official._replace(urls=(url, url)))
        monkeypatch.setattr(download, "PATIENCE", 0.6)
        start = time.monotonic()
        with pytest.raises(weights.WeightsNotFound, match=r"no answer|[Tt]imed out"):
            weights.fetch()
        assert time.monotonic() - start < 5
    assert _cached(places) == []


def test_slow_host_is_not_given_up(places, server, monkeypatch):
    server.pause, patience = 0.15, 0.5
    monkeypatch.setattr(download, "PATIENCE", patience)
    start = time.monotonic()
    assert weights.fetch().read_bytes() == server.body
    assert time.monotonic() - start > patience


def test_host_that_stops_halfway_is_given_up(places, server, monkeypatch):
    server.answer = (200, len(server.body), server.body[: 1 << 16])
    server.pause = 1.5
    monkeypatch.setattr(download, "PATIENCE", 0.3)
    with pytest.raises(weights.WeightsNotFound, match=r"no answer|[Tt]imed out"):
        weights.fetch()
    assert _cached(places) == []


def test_name_lookup_that_hangs_is_given_up(places, server, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(10) and [])
    monkeypatch.setattr(download, "PATIENCE", 0.3)
    start = time.monotonic()
    with pytest.raises(weights.WeightsNotFound, match=r"no answer for 0\.3 seconds"):
        weights.fetch()
    assert time.monotonic() - start < 5
    release.set()


def test_patience_bounds_all_attempts_together():
    assert max(len(official.urls) for official in official_files.FILES.values()) == 1
    # An address of the user's own may come first; each attempt may take a second to end.
    assert download.PATIENCE + 2 <= 20


# The real network


def test_official_files_are_keras_own():
    vgg19, vgg16 = official_files.FILES["vgg19"], official_files.FILES["vgg16"]
    assert vgg19.md5 == "253f8cb515780f3b799900260a226db6"
    assert vgg16.md5 == "6d6bbae143d832006294945121d1f1fc"
    folder = "https://storage.googleapis.com/tensorflow/keras-applications"
    for arch, official in official_files.FILES.items():
        assert official.name == f"{arch}_weights_tf_dim_ordering_tf_kernels_notop.h5"
        assert official.urls == (f"{folder}/{arch}/{official.name}",)


@pytest.mark.skipif(not REAL.exists(), reason="the real weights are not beside the checkout")
def test_real_weights(tmp_path):
    assert weights.infer_arch(REAL) == "vgg19"
    params = weights.load_params(REAL)
    np.testing.assert_allclose(params["block1_conv1"]["bias"][:2], [0.7301776, 0.0649363], 1e-6)
    # Under torch's names the same network is recognized as a port of Caffe's.
    assert weight_formats._recognize(params["block1_conv1"]["kernel"], REAL) == "caffe"
    copy = shutil.copy(REAL, tmp_path / "x.h5")
    converted = weights.convert(copy, tmp_path / "vgg19.h5")
    assert weights.params_sha256(weights.load_params(converted)) == weights.params_sha256(params)
