"""The study of recipes: pictures, sheets without names, and the table of what a judge gave."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nst_jax import runs
from nst_jax.config import resolved, stages_of

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "experiments"))

import recipe
from painting import comparison, pairs, recipes, sheets


@pytest.fixture
def pictures(tmp_path):
    """A folder with every picture that a pair names, each of another size."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    every = [*pairs.SEARCHED_PAIRS.values(), *pairs.UNTOUCHED_PAIRS.values()]
    names = sorted({name for pair in every for name in (pair.content, pair.style) if name})
    for i, name in enumerate(names):
        Image.new("RGB", (60 + i, 50), (4 * i, 90, 120)).save(folder / name)
    return folder


@pytest.mark.parametrize("name", [*recipes.SEARCHED, *recipes.COMPARED])
def test_every_recipe_is_a_valid_run_that_ends_at_its_size(name):
    every = recipes.SEARCHED | recipes.COMPARED
    config = every[name].config(Path("c.png"), Path("s.png"), Path("out.png"), size=128)
    config = resolved(config)
    runs.check_config(config)
    assert not config.stages or stages_of(config)[-1].size == 128


def test_the_preset_is_the_recipe_that_the_search_found():
    found, preset = (
        each["painterly"].config(Path("c.png"), Path("s.png"), Path("out.png"), size=512)
        for each in (recipes.SEARCHED, recipes.COMPARED)
    )
    assert stages_of(found) == stages_of(preset)
    kept = ("learning_rate", "average", "layer_balance", "pooling", "border", "precision")
    assert {name: getattr(found, name) for name in kept} == {
        name: getattr(preset, name) for name in kept
    }
    for ours, theirs in zip(found.terms.values(), preset.terms.values(), strict=True):
        assert replace(ours, layer_weights=()) == replace(theirs, layer_weights=())
        np.testing.assert_allclose(ours.layer_weights, theirs.layer_weights, atol=1e-6)


def test_every_content_is_cut_to_one_shape(pictures, tmp_path):
    for pair in (*pairs.SEARCHED_PAIRS.values(), *pairs.UNTOUCHED_PAIRS.values()):
        content, style = pairs.files_of(pair, pictures, tmp_path / "cut")
        with Image.open(content) as picture:
            assert abs(picture.width / picture.height - 4 / 3) < 0.03
        assert style.is_file()


def test_a_picture_that_is_missing_is_named(pictures, tmp_path):
    (pictures / "style_hokusai_great_wave.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks style_hokusai_great_wave\.jpg"):
        pairs.files_of(pairs.SEARCHED_PAIRS["cat"], pictures, tmp_path)


def test_letters_are_in_another_order_on_each_sheet_and_the_same_each_time():
    names = [*recipes.SEARCHED]
    keys = [sheets.shuffled(names, pair) for pair in ("cat", "coffee", "cat")]
    assert keys[0] == keys[2] != keys[1]
    assert all(sorted(key.values()) == sorted(names) for key in keys)


def test_scores_come_back_to_the_recipes(tmp_path):
    keys = {"cat": {"A": "ours", "B": "theirs"}, "coffee": {"A": "theirs", "B": "ours"}}
    path = tmp_path / "scores.csv"
    path.write_text("pair,letter,score\ncat,A,4\ncat,B,3\ncoffee,A,3\ncoffee,B,3.5\n")
    scores = sheets.scores(path, keys)
    assert scores == {"ours": {"cat": 4, "coffee": 3.5}, "theirs": {"cat": 3, "coffee": 3}}
    values = {"chroma_speckle": 1.0, "ssim": 0.5}
    measured = {name: {"cat": values, "coffee": values} for name in scores}
    rows = comparison.table(scores, measured).splitlines()
    assert rows[2:] == ["| ours | 3.75 | 0, 0 | 1 | 0.5 |", "| theirs | 3.00 | 0, 2 | 1 | 0.5 |"]
    path.write_text("pair,letter,score\ncat,C,4\n")
    with pytest.raises(ValueError, match="no sheet cat with C"):
        sheets.scores(path, keys)


@pytest.mark.slow
@pytest.mark.usefixtures("quick_to_compile")
def test_a_study_paints_what_is_missing_and_ends_in_a_table(pictures, tmp_path, monkeypatch):
    tiny = recipes.Recipe(statistic="gram", layer_weights=(1, 1), stages=("24:1", "48:1"))
    monkeypatch.setattr(recipe, "SEARCHED", {"tiny": tiny, "again": tiny})
    settings = recipe.Study(
        "search", pictures, output_dir=tmp_path / "out", size=48, pairs=("cat",), weights="random"
    )
    recipe.main(settings)
    painted = settings.folder / "cat.tiny.png"
    first = painted.stat().st_mtime_ns
    (key,) = json.loads((settings.folder / "key.json").read_text()).values()
    assert set(key.values()) == {"tiny", "again"}
    (settings.folder / "scores.csv").write_text("pair,letter,score\ncat,A,4\ncat,B,3\n")
    recipe.main(settings)
    assert painted.stat().st_mtime_ns == first
    with pytest.raises(ValueError, match="is of other recipes"):
        recipe.main(replace(settings, recipes=("again",)))
    assert len((settings.folder / "table.md").read_text().splitlines()) == 4
