"""The study of the report's literature: ways to paint, tables, a small study from end to end."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from nst_jax import terms

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "experiments"))

import literature
from painting import paired_table, ways
from painting.pairs import UNTOUCHED_PAIRS
from painting.ways import Way


@pytest.fixture
def pictures(tmp_path, rng):
    """A folder with the pictures of two pairs."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("dogs", "hills"):
        for file in (UNTOUCHED_PAIRS[name].content, UNTOUCHED_PAIRS[name].style):
            coarse = rng.integers(0, 255, (6, 8, 3), np.uint8)
            Image.fromarray(coarse).resize((80, 60)).save(folder / file)
    return folder


@pytest.mark.parametrize("part", ways.PARTS)
def test_each_way_of_a_part_is_another_one_and_has_terms(part):
    assert len(set(ways.PARTS[part].values())) == len(ways.PARTS[part])
    for way in ways.PARTS[part].values():
        assert terms.named(way.statistic, layers=way.layers.style).layers == way.layers.style


def test_a_normalized_network_has_the_mean_one_in_each_channel(toy_fn, pictures, rng):
    shown = [jnp.asarray(rng.uniform(size=size), jnp.float32) for size in 2 * ((8, 6, 3),)]

    def features(image):
        return jax.tree.map(jax.nn.relu, toy_fn(image))

    means = ways.means_of(features, shown)
    divided = [ways._divided(features, means, picture) for picture in shown]
    for layer, mean in means.items():
        found = np.mean([each[layer] for each in divided], axis=(0, 1, 2))
        silent = [not np.any([features(x)[layer][..., c] for x in shown]) for c in range(len(mean))]
        np.testing.assert_allclose(found, np.where(silent, 0, 1), rtol=1e-5)


def test_the_first_way_is_compared_with_each_other():
    def judged(factor):
        return {f"pair {i}": {"psnr": 10.0 + i - factor, "ssim": 0.5} for i in range(8)}

    lines = paired_table.table({"first": judged(0), "worse": judged(3)}).splitlines()
    assert lines[2].startswith("| 1 - SSIM | first | 0.5 (0.5 to 0.5)")
    # 3 dB are twice the squared error; the least p of eight pairs is 2 / 2^8.
    assert lines[5] == "|  | worse | " + lines[5].split(" | ")[
        2
    ] + " | 0.501 (0.501 to 0.501) | " + ("8 of 8 | **0.0078** |")


@pytest.mark.slow
@pytest.mark.usefixtures("quick_to_compile")
def test_a_study_paints_what_is_missing_and_ends_in_a_table(pictures, tmp_path, monkeypatch):
    few = ways.Layers(("block1_conv1", "block2_conv1"), "block2_conv1")
    monkeypatch.setitem(ways.LAYERS, "vgg19", few)
    two = {"base": Way(), "noise": Way(start="noise", normalized=True)}
    monkeypatch.setitem(literature.PARTS, "networks", two)
    settings = literature.Literature(
        "networks",
        pictures,
        output_dir=tmp_path / "out",
        size=48,
        steps=1,
        pairs=("dogs", "hills"),
        weights="random",
        judges=tmp_path,
    )
    text = literature.main(settings).read_text()
    painted = settings.folder / "dogs.noise.png"
    first = painted.stat().st_mtime_ns
    assert literature.main(settings).read_text().splitlines()[:8] == text.splitlines()[:8]
    assert painted.stat().st_mtime_ns == first
    assert {"sheet-dogs.png", "sheet-hills.png"} < {path.name for path in settings.folder.iterdir()}
    assert "under noise" in text
    with pytest.raises(ValueError, match="there is no pair 'cats'"):
        literature.pairs_of(literature.Literature("gatys", pictures, pairs=("cats",)))
