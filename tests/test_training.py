"""Training of networks that paint in one pass: photographs, goal, steps, going on, comparison."""

import json
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import jax
import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "experiments"))

import feedforward as script
from training import comparison, photographs, problem

from nst_jax import config, feedforward, image, runs, terms, weights

TERMS = """
layer_balance = "relative"
[terms.content]
kind = "content"
layers = ["block1_conv2"]
weight = 0.5
[terms.style]
kind = "gram"
layers = ["block1_conv1", "block2_conv1"]
layer_weights = [2.0, 1.0]
[terms.smooth]
kind = "squared_variation"
weight = 0.1
"""


@pytest.fixture
def folder(tmp_path):
    """Five photographs, one of them upright only by its EXIF, and a list of three."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for i, name in enumerate(("a.jpg", "b.png", "c.png", "more/d.png", "more/e.png")):
        coarse = Image.fromarray(rng.integers(0, 255, (4, 4, 3), np.uint8))
        coarse.resize((24 + i, 20), Image.Resampling.BICUBIC).save(folder / name)
    (folder / "train.txt").write_text("a.jpg\nc.png\nmore/d.png\n")
    return folder


@pytest.fixture
def archive(folder):
    """The same in a zip archive."""
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as file:
        for each in sorted(folder.rglob("*.*")):
            file.write(each, each.relative_to(folder))
    return path


@pytest.fixture
def settings(folder, tmp_path):
    """A training that takes a second, most of which is compiling."""
    (tmp_path / "terms.toml").write_text(TERMS)
    Image.open(folder / "b.png").resize((40, 40)).save(tmp_path / "painting.png")
    return script.Train(
        style=tmp_path / "painting.png",
        photographs=folder,
        output=tmp_path / "out" / "net.h5",
        objective=str(tmp_path / "terms.toml"),
        size=16,
        steps=4,
        batch=2,
        width=2,
        residuals=1,
        weights="random",
        samples=(folder / "b.png",),
        sample_every=2,
        sample_size=20,
        learning_rate=0.01,
    )


def test_photographs_of_a_folder_and_of_an_archive_are_the_same(folder, archive):
    for source in (folder, archive):
        assert photographs.found(source, "train.txt").names == ("a.jpg", "c.png", "more/d.png")
        every = photographs.found(source)
        assert every.names == ("a.jpg", "b.png", "c.png", "more/d.png", "more/e.png")
        square = every.square(1, 20)
        # Of 25 x 20 pixels the central ones, as they are.
        exact = image.load(folder / "b.png")[:, 2:22]
        assert square.shape == (20, 20, 3)
        assert np.abs(square - exact).mean() < 0.03


@pytest.mark.parametrize(
    ("source", "listed", "said"),
    [
        ("nowhere", None, "nowhere: no such folder or archive"),
        ("photos/b.png", None, "b.png is neither a folder nor a zip archive"),
        ("photos/none", None, "none holds no pictures"),
        ("photos", "test.txt", "has no list 'test.txt'"),
        ("photos", "wrong.txt", "lacks z.png, which its list 'wrong.txt' names"),
    ],
)
def test_what_holds_no_photographs_is_refused(folder, source, listed, said):
    (folder / "none").mkdir()
    (folder / "wrong.txt").write_text("a.jpg\nz.png\n")
    with pytest.raises((ValueError, OSError), match=said):
        photographs.found(folder.parent / source, listed)


def test_each_turn_has_every_photograph_once_whatever_the_first_step(folder):
    found = photographs.found(folder)
    numbers = [photographs.number_of(found, i, seed=1) for i in range(15)]
    turns = [numbers[i : i + 5] for i in (0, 5, 10)]
    assert all(sorted(turn) == [0, 1, 2, 3, 4] for turn in turns)
    assert turns[0] != turns[1]
    whole = list(photographs.batches(found, size=8, batch=2, seed=1, first=0, stop=4))
    rest = list(photographs.batches(found, size=8, batch=2, seed=1, first=3, stop=4))
    np.testing.assert_array_equal(whole[3], rest[0])
    np.testing.assert_array_equal(whole[3][0], found.square(numbers[6], 8))


def test_a_photograph_that_is_none_is_named(folder):
    (folder / "f.png").write_text("no picture")
    found = photographs.found(folder)
    with pytest.raises(ValueError, match=r"f\.png is no picture"):
        found.square(found.names.index("f.png"), 8)


@pytest.mark.usefixtures("quick_to_compile")
def test_the_goal_of_a_photograph_is_that_of_stylize(settings, folder, tmp_path):
    photo = tmp_path / "square.png"
    found = photographs.found(folder)
    image.save(photo, found.square(0, 16))
    style = problem.style_of(settings.stylize, say=lambda line: None)
    goal = problem.goal_of(settings.stylize, style, say=lambda line: None)
    own, own_weights = jax.jit(problem.objective_of)(goal, image.load(photo))
    painted = found.square(2, 16)
    total, losses = own(painted, own_weights)

    same = config.resolved(replace(settings.stylize, content=photo))
    (variant,) = runs.grid.variants_of(same)
    pictures = runs.load_pictures(same, [variant], say=lambda line: None)[str(photo)]
    there = runs.problem_of(same, goal.feature_fn, pictures, say=lambda line: None)
    expected, of_terms = there.objectives[variant.style](painted, there.weights(variant))
    np.testing.assert_allclose(total, expected, rtol=1e-5)
    for name, loss in of_terms.terms.items():
        np.testing.assert_allclose(losses.terms[name], loss, rtol=1e-5)


def test_a_term_of_photograph_and_painting_together_is_refused():
    both = terms.content(("block1_conv1",))._replace(references=("content", "style"))
    with pytest.raises(ValueError, match="the term 'both' reads content and style"):
        problem._check({"both": both})


@pytest.fixture
def trained(settings, quick_to_compile):
    script.train(settings)
    return settings


def rows_of(settings):
    with h5py.File(settings.log) as file:
        return {name: values[()] for name, values in file["rows"].items() if name != "seconds"}


def test_training_goes_on_to_the_same_bytes_and_to_a_network_that_paints(trained, capsys):
    network = weights.load_feedforward(trained.output)
    assert network.form == "resize"
    assert network.attributes["style"] == "painting.png"
    assert json.loads(network.attributes["settings"])["steps"] == 4
    assert network.architecture == trained.architecture
    rows = rows_of(trained)
    assert set(rows) == {"total", "content", "style", "style:0", "style:1", "smooth"}
    assert all(len(values) == 4 and np.isfinite(values).all() for values in rows.values())
    assert rows["total"][-1] < rows["total"][0]
    pictures = {path.name for path in trained.output.with_suffix("").iterdir()}
    assert pictures == {"b-000002.jpg", "b-000004.jpg"}

    parts = replace(trained, output=trained.output.with_name("parts.h5"))
    script.train(replace(parts, steps=3))
    script.train(parts)
    again = weights.load_feedforward(parts.output)
    jax.tree.map(np.testing.assert_array_equal, again.params, network.params)
    for name, values in rows_of(parts).items():
        np.testing.assert_array_equal(values, rows[name])
    assert "going on from step 3" in capsys.readouterr().out

    with pytest.raises(ValueError, match=r"trained with learning_rate 0\.01, not 0\.02"):
        script.train(replace(trained, learning_rate=0.02))
    with pytest.raises(ValueError, match="has 4 steps already"):
        script.train(replace(trained, steps=3))
    trained.log.unlink()
    with pytest.raises(FileExistsError, match="--fresh overwrites it"):
        script.train(trained)


@pytest.mark.usefixtures("quick_to_compile")
def test_networks_are_compared_with_optimization(settings, tmp_path):
    architecture = feedforward.Architecture(width=2, residuals=0)
    for name in ("one", "two"):
        params = jax.tree.map(np.asarray, feedforward.init_params(len(name), architecture))
        network = weights.Feedforward(params, "resize")
        weights.save_feedforward(tmp_path / f"{name}.h5", network)
    compare = script.Compare(
        style=settings.style,
        photographs=settings.photographs,
        objective=settings.objective,
        size=32,
        weights="random",
        networks=(tmp_path / "one.h5", tmp_path / "two.h5"),
        output_dir=tmp_path / "compared",
        count=2,
        steps=3,
        judges=tmp_path,
    )
    assert script.compare(compare) == tmp_path / "compared" / "table.md"
    rows = compare.output_dir.joinpath("table.md").read_text().splitlines()
    assert [row.split(" | ")[0] for row in rows[2:]] == ["| one", "| two", "| Adam"]
    numbers = json.loads(compare.output_dir.joinpath("numbers.json").read_text())
    assert len(numbers) == len([*compare.output_dir.glob("sheet-*.png")]) == 2
    for of_photo in numbers.values():
        assert of_photo["Adam"]["worth"] == 3
        assert of_photo["one"]["worth"] in (None, 1, 2, 3)
    with pytest.raises(ValueError, match="need 31 at least"):
        script.compare(replace(compare, size=16))
    with pytest.raises(ValueError, match="two ways would be called one"):
        script.compare(replace(compare, networks=(tmp_path / "one.h5",) * 2))


def test_what_a_loss_is_worth():
    course = np.array([4.0, 2.0, 3.0, 1.0])
    assert [comparison.worth_of(total, course) for total in (5.0, 2.0, 1.5, 0.5)] == [1, 2, 4, None]


def test_a_table_has_each_way_and_what_it_is_worth():
    def painted(total, worth):
        picture = np.zeros((4, 4, 3), np.float32)
        return comparison.Painted(picture, 0.5, total, worth, {"ssim": 0.25})

    rows = [
        {"net": painted(2.0, 30), "Adam": painted(1.0, 200)},
        {"net": painted(4.0, None), "Adam": painted(1.0, 200)},
    ]
    assert comparison.table(rows).splitlines()[2:] == [
        "| net | 0.5 | 3 | over all (30 to over all) | 0.25 |",
        "| Adam | 0.5 | 1 | 200 (200 to 200) | 0.25 |",
    ]


def test_wrong_settings_are_refused_before_work(settings):
    with pytest.raises(ValueError, match="--batch must be at least 1, got 0"):
        script.train(replace(settings, batch=0))
    with pytest.raises(ValueError, match="--learning-rate must be positive"):
        script.train(replace(settings, learning_rate=-1.0))
    with pytest.raises(ValueError, match=r"--seed must be at least 0, got -1"):
        script.train(replace(settings, seed=-1))
    with pytest.raises(OSError, match=r"nowhere\.png"):
        script.train(replace(settings, samples=(Path("nowhere.png"),)))
    with pytest.raises(ValueError, match=r"must be one of \.h5"):
        script.train(replace(settings, output=Path("net.npz")))
