"""What the tests share: a strict JAX, small pictures, two networks, a count of compilations."""

import atexit
import contextlib
import gc
import os
import shutil
import tempfile
from collections import Counter
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import jax
import jax.monitoring
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from PIL import Image

# Workers and the processes that tests start compile each program once for all of them; neither the
# user's cache nor what an earlier session has compiled plays a part.
CACHE = "NST_JAX_TEST_CACHE"
if CACHE not in os.environ:
    os.environ[CACHE] = tempfile.mkdtemp(prefix="nst_jax-tests-")
    atexit.register(shutil.rmtree, os.environ[CACHE], ignore_errors=True)
for name, value in (
    ("jax_compilation_cache_dir", os.environ[CACHE]),
    ("jax_persistent_cache_min_compile_time_secs", 0.2),
):
    os.environ[name.upper()] = str(value)
    jax.config.update(name, value)
# Arrays whose ranks differ are broadcast by accident more often than on purpose.
jax.config.update("jax_numpy_rank_promotion", "raise")

_MOST_MAPPED = 25_000

# The modules of nst_jax are imported inside fixtures: the hook that checks their annotations is
# installed after this file has been read.


def pytest_addoption(parser):
    parser.addoption("--torture", action="store_true", help="repeat what is random far more often")


def pytest_collection_modifyitems(items):
    """A worker takes a file as a whole: those that take long go first, so that all end together."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture(scope="module", autouse=True)
def programs_are_dropped_in_time():
    """Linux maps 65,530 pieces of memory for a process at most, each compiled program takes some.

    One more is a segmentation fault of the compiler.
    """
    yield
    mapped = Path("/proc/self/maps")
    if mapped.exists() and mapped.read_bytes().count(b"\n") > _MOST_MAPPED:
        jax.clear_caches()
        gc.collect()


@pytest.fixture(scope="session")
def times(request):
    """`times(ordinary, torture)`: how often to repeat something, with and without --torture."""
    return lambda ordinary, torture: torture if request.config.getoption("--torture") else ordinary


@pytest.fixture
def rng():
    """A seeded generator."""
    return np.random.default_rng(0)


@pytest.fixture
def pictures(rng):
    """A content and a style picture of different sizes, RGB in [0, 1]."""
    content = rng.uniform(size=(16, 20, 3)).astype(np.float32)
    style = rng.uniform(size=(18, 14, 3)).astype(np.float32) ** 2
    return jnp.asarray(content), jnp.asarray(style)


@pytest.fixture(scope="session", autouse=True)
def random_weights_drawn_once():
    """Drawing a whole network takes longer than a small run with it: tests get copies."""
    from nst_jax import weights
    from nst_jax.weights import loading
    from nst_jax.weights.parameters import parameter_shapes

    draw = loading.random_params
    kept = cache(lambda arch, seed, shapes: draw(arch, seed))

    def random_params(arch="vgg19", seed=0):
        # Some tests narrow the networks.
        params = kept(arch, seed, repr(parameter_shapes(arch)))
        return {
            layer: {name: value.copy() for name, value in parameters.items()}
            for layer, parameters in params.items()
        }

    with pytest.MonkeyPatch.context() as patch:
        for module in (weights, loading):
            patch.setattr(module, "random_params", random_params)
        yield


@pytest.fixture(scope="session")
def vgg_params():
    """The random VGG19 that the golden file `random.npz` was made with."""
    from nst_jax import weights

    return jax.device_put(weights.random_params(arch="vgg19", seed=0))


@pytest.fixture(scope="session")
def weight_file(tmp_path_factory):
    """The random VGG19 as a file: a process reads it in a tenth of the time that drawing takes."""
    from nst_jax import weights
    from nst_jax.weights import formats

    path = tmp_path_factory.mktemp("weights") / "random.h5"
    formats.write_file(path, weights.random_params(), attributes={})
    return path


@pytest.fixture(scope="session")
def toy_params():
    """The weights of `toy_features`."""
    rng = np.random.default_rng(1)
    return {
        "shallow": jnp.asarray(rng.normal(size=(3, 4)), jnp.float32),
        "deep": jnp.asarray(rng.normal(size=(4, 6)), jnp.float32),
    }


def toy_features(params, image):
    """Two smooth layers, the second of half the size; no bias: a black image has no features."""
    shallow = jnp.tanh(jnp.einsum("...i,ij->...j", image, params["shallow"]))
    *batch, height, width, channels = shallow.shape
    windows = shallow.reshape(*batch, height // 2, 2, width // 2, 2, channels)
    pooled = windows.mean(axis=(-4, -2))
    deep = jnp.tanh(jnp.einsum("...i,ij->...j", pooled, params["deep"]))
    return {"shallow": shallow, "deep": deep}


@pytest.fixture
def toy_fn(toy_params):
    """A feature function with the layers `shallow` and `deep`, as a pytree."""
    return jax.tree_util.Partial(toy_features, toy_params)


@pytest.fixture
def toy_objective(toy_fn, pictures):
    """(objective, weights, content picture): cheap, smooth, with all three terms."""
    from nst_jax import objective

    targets = objective.compute_targets(
        toy_fn, *pictures, content_layers=("deep",), style_layers=("shallow", "deep")
    )
    weights = objective.make_weights(targets, content=1.0, style=20.0, total_variation=1e-4)
    return objective.make_objective(toy_fn, targets), weights, pictures[0]


@pytest.fixture
def sweep(tmp_path):
    """Settings: two optimizers of two rates on small pictures and shallow layers, from noise."""
    from nst_jax import config

    rng = np.random.default_rng(0)
    for name, shape in (("c.png", (24, 28)), ("s.png", (26, 22)), ("t.png", (22, 30))):
        coarse = Image.fromarray(rng.integers(0, 255, (4, 4, 3), np.uint8))
        coarse.resize(shape[::-1], Image.Resampling.BICUBIC).save(tmp_path / name)
    return config.SweepConfig(
        content=tmp_path / "c.png",
        styles=(tmp_path / "s.png",),
        log=tmp_path / "sweep.h5",
        size="full",
        steps=6,
        optimizers=("adam", "adagrad"),
        learning_rates=("0.02", "0.1"),
        inits=("noise",),
        tv_weights=(0.0,),
        weights="random",
        content_layers=("relu2_1",),
        style_layers=("relu1_1", "relu2_1"),
        force=True,
    )


@pytest.fixture
def quick_to_start(sweep, weight_file):
    """`sweep` for processes, which share neither weights nor programs: a file, and one layer."""
    layers = {name: ("relu1_1",) for name in ("content_layers", "style_layers")}
    return replace(sweep, weights=str(weight_file), **layers)


@pytest.fixture
def stylize(sweep):
    """Settings of a single run on the pictures of `sweep`."""
    from nst_jax import config

    shared = {
        name: getattr(sweep, name) for name in ("content", "size", "weights", "steps", "force")
    }
    layers = {name: getattr(sweep, name) for name in ("content_layers", "style_layers")}
    return config.StylizeConfig(
        style=sweep.styles[0],
        output=sweep.log.with_name("out.png"),
        log=sweep.log.with_name("run.h5"),
        init="noise",
        seed=3,
        **shared,
        **layers,
    )


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A real browser, see `browser.Browser`."""
    from browser import CHROMIUM, Browser

    if not CHROMIUM:
        pytest.skip("Chromium is not installed")
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def quick_to_compile(monkeypatch):
    """The ordinary convolution on a CPU too, whose programs compile in half the time.

    A few small steps take less time than the compiler needs to make them faster.
    """
    monkeypatch.setattr("nst_jax.vgg.fastest_convolutions", lambda precision: "plain")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def shallow():
    """Settings of a run with shallow layers instead: its programs compile in a second."""
    return partial(replace, content_layers=("relu2_1",), style_layers=("relu1_1", "relu2_1"))


@pytest.fixture
def unchecked(monkeypatch):
    """Annotations unchecked, as they are for users: a wrong option reaches the library."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@contextlib.contextmanager
def _count_compilations(name=None):
    """Collects the names of the programs that XLA compiles; of `jit(name)` alone if given."""
    compiled = []

    def listen(event, duration, *, fun_name="", **_):
        del duration
        wanted = name is None or fun_name == f"jit({name})"
        if event == "/jax/core/compile/backend_compile_duration" and wanted:
            compiled.append(fun_name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield compiled
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


@pytest.fixture
def count_compilations():
    """`with count_compilations("step") as compiled:` then `len(compiled)`."""
    return _count_compilations


@pytest.fixture
def relative_error():
    """The largest difference of two arrays, relative to the largest of the second."""
    return partial(_relative_error)


def _relative_error(actual, expected):
    actual, expected = (np.asarray(x, np.float64) for x in (actual, expected))
    assert actual.shape == expected.shape
    return np.max(np.abs(actual - expected)) / np.max(np.abs(expected))
