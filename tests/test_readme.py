"""The README's Python code runs as it stands, but for the number of steps."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

README = Path(__file__).resolve().parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def test_the_readme_has_its_two_examples():
    assert len(BLOCKS) == 2


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_readme_example_runs(number, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NST_JAX_WEIGHTS", "random")
    noise = np.random.default_rng(0).integers(0, 255, (2, 40, 48, 3), np.uint8)
    for name, picture in zip(("portrait.jpg", "painting.jpg"), noise, strict=True):
        Image.fromarray(picture).save(tmp_path / name)
    code = BLOCKS[number].replace("num_steps=250", "num_steps=5")
    scope: dict = {}
    exec(compile(code, f"README.md, example {number + 1}", "exec"), scope)
    if "result" in scope:
        with Image.open(tmp_path / "out.png") as saved:
            assert saved.size == (48, 40)
        assert scope["result"].history.terms.total.shape == (5,)
    else:
        assert scope["gradient"].shape == scope["features"].shape
        assert scope["variation"].shape == (8,)


def test_the_readme_names_only_commands_that_exist():
    from nst_jax import cli

    for command in re.findall(r"`nst-jax (\w+)", README.read_text()):
        with pytest.raises(SystemExit) as exit_info:
            cli.main([command, "--help"])
        assert exit_info.value.code == 0
