"""Weights of judges: converting the published files, and where files are looked for."""

from itertools import count

import h5py
import numpy as np
import pytest

from nst_jax import alexnet, squeezenet, weights
from nst_jax.command import cli
from nst_jax.system import files
from nst_jax.system import places as system_places

NETWORKS = {"alexnet": alexnet, "squeezenet": squeezenet}
SHARED = system_places.HOME.parent / "shared" / "heldout"
# Torchvision's names of the layers, read off its printed networks.
TORCH_NAMES = {
    "alexnet": [f"features.{i}" for i in (0, 3, 6, 8, 10)],
    "squeezenet": [
        "features.0",
        *(
            f"features.{i}.{part}"
            for i in (3, 4, 6, 7, 9, 10, 11, 12)
            for part in ("squeeze", "expand1x1", "expand3x3")
        ),
        "classifier.1",
    ],
}


@pytest.fixture(scope="module")
def params():
    """Parameters of both networks that are all different numbers, cheaply."""

    def filled(shape, start):
        return (np.arange(start, start + np.prod(shape)) % 1009).astype(np.float32).reshape(shape)

    starts = count()
    return {
        arch: {
            layer: {name: filled(shape, next(starts)) for name, shape in shapes.items()}
            for layer, shapes in network.parameter_shapes().items()
        }
        for arch, network in NETWORKS.items()
    }


@pytest.fixture(scope="module")
def lpips(params):
    return {
        f"lin{n}": layer["bias"] / 8 for n, layer in enumerate(params["alexnet"].values(), start=1)
    }


def torch_state(params, arch):
    """The arrays as torchvision's network has them, with its names and its order of axes."""
    state = {}
    for name, layer in zip(TORCH_NAMES[arch], params[arch].values(), strict=True):
        state[f"{name}.weight"] = layer["kernel"].transpose(3, 2, 0, 1)
        state[f"{name}.bias"] = layer["bias"]
    if arch == "alexnet":
        state["classifier.1.weight"] = np.ones((2, 3), np.float32)
    return state


def lpips_state(lpips):
    return {
        f"lin{n}.model.1.weight": values.reshape(1, -1, 1, 1)
        for n, values in enumerate(lpips.values())
    }


def write_npz(path, state):
    np.savez(path, **state)
    return path


def write_own(folder, arch, params, vectors=()):
    """A file of the layout of the converted ones, without their attributes."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / weights.JUDGE_FILES[arch]
    with h5py.File(path, "w") as file:
        for layer, values in params[arch].items():
            for name, value in values.items():
                file[f"{layer}/{name}"] = value
        for name, value in dict(vectors).items():
            file[name] = value
    return path


@pytest.fixture
def places(tmp_path, monkeypatch):
    """An empty checkout and an empty cache; no variable."""
    monkeypatch.setattr(system_places, "checkout", lambda: tmp_path / "checkout")
    monkeypatch.setattr(system_places, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.delenv("NST_JAX_JUDGES", raising=False)
    return tmp_path


def assert_same(found, expected):
    assert list(found) == list(expected)
    for layer, values in expected.items():
        assert set(found[layer]) == set(values)
        for name, value in values.items():
            assert found[layer][name].dtype == np.float32
            assert found[layer][name].tobytes() == value.tobytes(), (layer, name)


# Converting


def test_torchvision_files_become_judges_with_the_same_bytes(places, params, lpips):
    folder = places / "judges"
    folder.mkdir()
    alex = write_npz(places / "a.npz", torch_state(params, "alexnet"))
    linear = write_npz(places / "l.npz", lpips_state(lpips))
    squeeze = write_npz(places / "s.npz", torch_state(params, "squeezenet"))
    new = {arch: folder / name for arch, name in weights.JUDGE_FILES.items()}
    convert = f"weights convert {alex} {new['alexnet']} --lpips {linear}"
    assert cli.main(convert.split()) == 0
    assert cli.main(f"weights convert {squeeze} {new['squeezenet']}".split()) == 0

    judges = weights.load_judges(folder)
    assert_same(judges.alexnet, params["alexnet"])
    assert_same(judges.squeezenet, params["squeezenet"])
    assert {name: x.tobytes() for name, x in judges.lpips.items()} == {
        name: x.tobytes() for name, x in lpips.items()
    }
    assert judges.convention == "torchvision"
    assert judges.missing == ()
    assert judges.hashes == {arch: files.sha256(path) for arch, path in new.items()}
    with h5py.File(new["alexnet"]) as file:
        attributes = dict(file.attrs)
    assert attributes == {
        "schema": "nst_jax.weights",
        "arch": "alexnet",
        "convention": "torchvision",
        "licence": "AlexNet by torchvision, BSD 3-Clause; LPIPS by Zhang et al., BSD 2-Clause",
        "source": "a.npz, torchvision convention",
        "source_sha256": files.sha256(alex),
        "lpips_sha256": files.sha256(linear),
    }


def test_without_lpips_the_judge_has_none_and_it_is_said(places, params):
    path = write_npz(places / "a.npz", torch_state(params, "alexnet"))
    weights.convert(path, places / "alexnet_lpips.h5")
    judges = weights.load_judges(places)
    assert judges.alexnet is not None
    assert judges.lpips is None
    assert judges.squeezenet is None
    assert judges.missing[0].startswith("SqueezeNet: no squeezenet_imagenet.h5 in ")
    assert "has AlexNet without LPIPS's layers; convert it again, with --lpips" in judges.missing[1]


def test_converting_a_judge_again_keeps_all_of_it(places, params, lpips):
    path = write_own(places, "alexnet", params, lpips)
    again = weights.convert(path, places / "again" / "alexnet_lpips.h5")
    judges = weights.load_judges(again.parent)
    assert_same(judges.alexnet, params["alexnet"])
    assert list(judges.lpips) == list(lpips)
    weights.convert(
        write_own(places, "squeezenet", params), again.parent / "squeezenet_imagenet.h5"
    )
    assert weights.load_judges(again.parent).convention == "caffe"


@pytest.mark.parametrize("arch", NETWORKS)
def test_torch_files_are_read(tmp_path, params, arch):
    torch = pytest.importorskip("torch")
    state = {
        name: torch.from_numpy(np.ascontiguousarray(value))
        for name, value in torch_state(params, arch).items()
    }
    torch.save(state, tmp_path / "x.pth")
    weights.convert(tmp_path / "x.pth", tmp_path / weights.JUDGE_FILES[arch])
    assert_same(getattr(weights.load_judges(tmp_path), arch), params[arch])


@pytest.mark.parametrize("arch", NETWORKS)
def test_the_network_is_found_out_behind_any_prefix(tmp_path, params, arch):
    state = {f"module.{name}": value for name, value in torch_state(params, arch).items()}
    assert weights.infer_arch(write_npz(tmp_path / "x.npz", state)) == arch


def test_lpips_goes_with_alexnet_alone(tmp_path, params, lpips):
    path = write_npz(tmp_path / "s.npz", torch_state(params, "squeezenet"))
    linear = write_npz(tmp_path / "l.npz", lpips_state(lpips))
    with pytest.raises(ValueError, match=r"LPIPS's layers go with alexnet, .*s\.npz is read as sq"):
        weights.convert(path, tmp_path / "x.h5", lpips=linear)
    assert not (tmp_path / "x.h5").exists()


def test_a_convention_is_for_vgg_alone(tmp_path, params):
    path = write_npz(tmp_path / "s.npz", torch_state(params, "squeezenet"))
    with pytest.raises(ValueError, match="a convention is for vgg19 and vgg16; that of squeezenet"):
        weights.convert(path, tmp_path / "x.h5", convention="caffe")


@pytest.mark.parametrize(
    ("arch", "name", "value", "message"),
    [
        ("alexnet", "features.3.bias", None, r"conv2 bias is missing: expected \(192,\)"),
        (
            "alexnet",
            "features.0.weight",
            np.zeros((64, 3, 3, 3)),
            r"conv1 kernel: .*\(11, 11, 3, 6",
        ),
        (
            "alexnet",
            "features.13.weight",
            np.zeros((2, 2, 3, 3)),
            "alexnet, found features.13, whi",
        ),
        ("alexnet", "features.0.bias", np.full(64, np.nan), "conv1 bias: .* found 64 that are not"),
        (
            "alexnet",
            "features.0.bias",
            np.zeros(64, int),
            "conv1 bias: expected float16 or .* int64",
        ),
        ("squeezenet", "features.3.squeeze.bias", None, "fire2/squeeze1x1 bias is missing"),
        ("squeezenet", "classifier.1.bias", np.zeros(2), r"conv10 bias: expected .* found \(2,\)"),
    ],
)
def test_what_is_wrong_with_a_network_is_told_in_one_line(
    tmp_path, params, arch, name, value, message
):
    state = torch_state(params, arch)
    state = {k: v for k, v in state.items() if k != name} | ({} if value is None else {name: value})
    path = write_npz(tmp_path / "x.npz", state)
    with pytest.raises(ValueError, match=rf"^\S+x\.npz: .*{message}[^\n]*$"):
        weights.convert(path, tmp_path / "x.h5", arch=arch)
    assert not (tmp_path / "x.h5").exists()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("lin1.model.1.weight", None, r"LPIPS's lin2 is missing: expected \(192,\)"),
        ("lin0.model.1.weight", np.zeros((1, 9, 1, 1)), r"lin1: expected .*found \(1, 9, 1, 1\)"),
        ("lin1", np.zeros(64), "LPIPS's lin1 is ambiguous"),
        ("lin4.model.1.weight", np.zeros(256, int), "lin5: expected float16 or .*, found int64"),
    ],
)
def test_what_is_wrong_with_lpips_is_told_in_one_line(
    tmp_path, params, lpips, name, value, message
):
    path = write_npz(tmp_path / "a.npz", torch_state(params, "alexnet"))
    state = lpips_state(lpips)
    state = {k: v for k, v in state.items() if k != name} | ({} if value is None else {name: value})
    linear = write_npz(tmp_path / "l.npz", state)
    with pytest.raises(ValueError, match=rf"^\S+l\.npz: .*{message}[^\n]*$"):
        weights.convert(path, tmp_path / "x.h5", lpips=linear)
    with pytest.raises(ValueError, match=r"a\.npz: expected LPIPS's layers .*, found none"):
        weights.convert(path, tmp_path / "x.h5", lpips=path)


def test_an_unknown_file_is_told_the_names_of_judges(tmp_path):
    path = write_npz(tmp_path / "x.npz", {"kernels": np.zeros((3, 3, 2, 2))})
    with pytest.raises(
        ValueError, match=r"features\.0\.weight \(torchvision\), conv1/kernel, found"
    ):
        weights.convert(path, tmp_path / "x.h5", arch="squeezenet")
    with pytest.raises(ValueError, match="neither AlexNet nor SqueezeNet"):
        weights.infer_arch(path)


# Places


def test_each_file_is_looked_for_in_all_places_in_their_order(places, params, monkeypatch):
    first = places / "checkout" / "weights"
    order = [first, places / "shared" / "heldout", places / "cache"]
    written = {folder: write_own(folder, "squeezenet", params) for folder in order}
    write_own(order[-1], "alexnet", params)
    for n, folder in enumerate(order):
        with h5py.File(written[folder], "r+") as file:
            file["conv1/bias"][0] = n
    for n, folder in enumerate(order):
        judges = weights.load_judges()
        assert judges.squeezenet["conv1"]["bias"][0] == n
        assert judges.hashes["squeezenet"] == files.sha256(written[folder])
        assert judges.alexnet is not None
        written[folder].unlink()
    judges = weights.load_judges()
    assert judges.squeezenet is None
    assert "squeezenet" not in judges.hashes
    assert all(str(folder) in judges.missing[0] for folder in order)
    monkeypatch.setattr(system_places, "checkout", lambda: None)
    assert str(first) not in weights.load_judges().missing[0]


def test_nothing_anywhere_is_no_error(places):
    judges = weights.load_judges()
    assert judges[:3] == (None, None, None)
    assert len(judges.missing) == 2
    for line, name in zip(judges.missing, weights.JUDGE_FILES.values(), strict=True):
        assert name in line
        assert "nst-jax weights convert" in line
        assert "$NST_JAX_JUDGES" in line
        assert "\n" not in line


def test_a_folder_that_is_named_is_used_alone(places, params, monkeypatch):
    write_own(places / "cache", "squeezenet", params)
    write_own(places / "variable", "alexnet", params)
    (places / "argument").mkdir()
    monkeypatch.setenv("NST_JAX_JUDGES", str(places / "variable"))
    judges = weights.load_judges()
    assert judges.alexnet is not None
    assert judges.squeezenet is None
    assert weights.load_judges(places / "argument").alexnet is None


def test_a_folder_that_is_named_has_to_be_there(places, monkeypatch):
    monkeypatch.setenv("NST_JAX_JUDGES", str(places / "variable"))
    with pytest.raises(FileNotFoundError, match=r"no such folder \(named by \$NST_JAX_JUDGES\)$"):
        weights.load_judges()
    with pytest.raises(FileNotFoundError, match=r"argument: no such folder$"):
        weights.load_judges(places / "argument")
    (places / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError, match="file: expected a folder, found a file"):
        weights.load_judges(str(places / "file"))


def test_a_damaged_file_is_an_error_of_one_line(places, params):
    path = write_own(places / "cache", "squeezenet", params)
    path.write_bytes(path.read_bytes()[:4096])
    with pytest.raises(OSError, match=r"^\S+squeezenet_imagenet\.h5 cannot be read: [^\n]+$"):
        weights.load_judges()


def test_a_convention_that_is_none_is_refused(places, params):
    squeeze = write_npz(places / "s.npz", torch_state(params, "squeezenet"))
    path = weights.convert(squeeze, places / "squeezenet_imagenet.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["convention"] = "other"
    with pytest.raises(ValueError, match="expected the convention torchvision or caffe, found"):
        weights.load_judges(places)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the files of judges are not here")
def test_the_shared_files_are_judges():
    judges = weights.load_judges(SHARED)
    assert judges.missing == ()
    assert judges.convention == "caffe"
    assert {name: x.shape for name, x in judges.lpips.items()}["lin3"] == (384,)
    assert judges.hashes["alexnet"].startswith("04fb0715e04f")
    assert judges.alexnet["conv1"]["kernel"].shape == (11, 11, 3, 64)
