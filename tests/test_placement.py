"""One picture on several devices: the same numbers, rows exchanged and never gathered."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from nst_jax import config, placement, runlog, runs
from nst_jax.runlog import checkpoint

ON_DEVICES = """
import collections, json, re
import jax, jax.numpy as jnp, numpy as np
from nst_jax import placement, steps, terms, vgg, weights

layers = ("block1_conv1", "block2_conv1", "block3_conv1")
feature_fn = vgg.feature_fn(weights.random_params(), layers)
rng = np.random.default_rng(0)
content, style, image = (rng.uniform(size=s).astype(np.float32) for s in 3 * ((100, 24, 3),))
of_terms = {"content": terms.content(layers[2:]), "style": terms.gram(layers[:2])}
views = {"content": terms.view(feature_fn, content), "style": terms.view(feature_fn, style)}
objective = terms.compose(feature_fn, of_terms, views)
weights = terms.relative(
    objective, terms.weigh(objective, dict.fromkeys(of_terms, 1.0)), views["content"]
)
(expected, _), gradient = jax.jit(steps.evaluate)(objective, image, weights)

mesh = placement.mesh_of(1, 3, jax.devices())
placed = placement.spread(image[None], mesh, image.shape)
own = placement.of_rows(placement.everywhere(objective, mesh), len(image))
evaluate = jax.jit(jax.vmap(steps.evaluate, in_axes=(None, 0, None)))
compiled = evaluate.lower(own, placed, weights).compile()
(total, _), found = compiled(own, placed, weights)
found = np.asarray(placement.without_filling(found, image.shape))[0]
kinds = re.findall(r" (collective-permute|all-gather|all-reduce)(?:-start)?\\(", compiled.as_text())
print(json.dumps({
    "shape": placed.shape,
    "total": float(abs(total[0] - expected) / expected),
    "gradient": float(np.linalg.norm(found - gradient) / np.linalg.norm(gradient)),
    "kinds": collections.Counter(kinds),
}))
"""

A_RUN = """
import json, sys
from nst_jax import config, driver, runs
settings = config.from_json(json.loads(sys.argv[1]))
driver.default_driver = lambda: sys.argv[2]
sys.exit(runs.stylize_files(settings, progress=False).exit_code)
"""


def on_devices(count, code, *arguments):
    """What a process prints that has so many devices."""
    flags = f"--xla_force_host_platform_device_count={count}"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_rows_on_three_devices_are_exchanged_and_never_gathered():
    found = json.loads(on_devices(3, ON_DEVICES).splitlines()[-1])
    assert found["shape"] == [1, 102, 24, 3]
    assert found["total"] < 1e-6
    assert found["gradient"] < 1e-6
    assert found["kinds"]["collective-permute"] > 0
    assert "all-gather" not in found["kinds"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "driver"), [("adam", "python"), ("adam", "scan"), ("lbfgs", "python")]
)
def test_a_run_on_two_devices_is_that_on_one(stylize, optimizer, driver):
    rng = np.random.default_rng(0)
    picture = stylize.content.with_name("high.png")
    Image.fromarray(rng.integers(0, 255, (71, 20, 3), np.uint8)).save(picture)
    own = replace(
        stylize, content=picture, size=71, steps=4, optimizer=optimizer, stages=("40:2", "71:2")
    )
    one = runs.stylize_files(own, say=lambda line: None, progress=False).record
    two = replace(own, log=own.log.with_name("two.h5"), force=True, keep_state=True)
    on_devices(2, A_RUN, json.dumps(config.to_json(two)), driver)
    found = runlog.load(two.log)
    assert found.attributes["driver"] == driver
    assert json.loads(found.attributes["plans_json"])[0]["row_devices"] == 2
    np.testing.assert_allclose(found.rows.total, one.rows.total, rtol=1e-4)
    assert np.abs(found.images.astype(int) - one.images).max() <= 2
    with np.load(checkpoint.path_of(two.log)) as kept:
        heights = {kept[name].shape[-3] for name in kept if kept[name].ndim > 3}
    assert heights == {71}


def test_a_device_has_rows_enough_or_is_left_out():
    assert placement.row_devices(512, 8) == 8
    assert placement.row_devices(100, 8) == 3
    assert placement.row_devices(20, 8) == 1
