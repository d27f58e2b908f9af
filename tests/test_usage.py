"""Wrong usage: a line that says what to write, in the words of the documentation."""

import re
import shlex
from dataclasses import fields

import pytest

from nst_jax.command import cli, commands, usage

COMMANDS = commands.by_words()


def wrong(command: str, capsys) -> str:
    """What is said of a command line that is refused."""
    with pytest.raises(SystemExit) as exit_info:
        cli.main(shlex.split(command))
    assert exit_info.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("stylize c.png s.png -o out.png", "has no -o: write --output PATH"),
        ("stylize c.png s.png --out=out.png", "has no --out: write --output PATH"),
        ("stylize c.png s.png -output out.png", "has no -output: write --output PATH"),
        ("stylize c.png s.png —output out.png", "has no —output: write --output PATH"),
        ("stylize c.png s.png --iterations 500", "has no --iterations: write --steps INT"),
        ("stylize c.png s.png --epochs 10", "has no --epochs: write --steps INT"),
        ("stylize c.png s.png -num_iterations 9", "has no -num_iterations: write --steps INT"),
        ("stylize c.png s.png --lr 0.1", "has no --lr: write --learning-rate FLOAT"),
        ("stylize c.png s.png --image-size 256", "has no --image-size: write --size "),
        ("stylize c.png s.png --style-image-size 2", "write --style-size INT"),
        ("stylize --content-image c.png", "comes without an option: nst-jax stylize CONTENT STYLE"),
        ("stylize --style s.png", "comes without an option: nst-jax stylize CONTENT STYLE"),
        ("stylize c.png s.png --gpu 0", "JAX_PLATFORMS=cpu"),
        ("stylize c.png s.png --cpu", "JAX_PLATFORMS=cpu"),
        (
            "stylize c.png s.png --original_colors",
            "--colors content puts the content's colors back",
        ),
        ("stylize c.png s.png --optimizers adam", "has no --optimizers: write --optimizer adam|"),
        ("sweep c.png s.png --lr 0.1", "has no --lr: write --learning-rates STR"),
        ("sweep c.png s.png --style-weight 1", "has no --style-weight: write --style-weights FL"),
        ("sweep c.png s.png -o out.png", "has no -o: write --report PATH"),
        ("plan --iterations 7", "nst-jax plan has no --iterations: write --steps INT"),
        ("resume --log run.h5", "comes without an option: nst-jax resume LOG"),
        (
            "weights convert a b.h5 --model vgg16",
            "convert has no --model: write --arch vgg16|vgg19",
        ),
        ("--log-level error report run.h5 -f", "report has no -f: write --force"),
        ("stylize c.png s.png --niter 9", "has no --niter: write --steps INT"),
        ("stylize c.png s.png --greyscale", "has no --greyscale: write --gray"),
        ("stylize c.png s.png --frames 9", "has no --frames: write --snapshot-every INT"),
        ("stylize c.png s.png -style_blend_weights 1,2", "write --blend NAME=WEIGHT"),
        ("stylize c.png s.png --semantic m.png", "write --mask NAME=PATH"),
        ("stylize c.png s.png --picture a=1 --picture b=2", "has --picture twice: write it once"),
        ("stylize c.png s.png --resume run.h5", "write nst-jax resume LOG"),
        ("stylize c.png s.png --metrics", "it is an option of nst-jax sweep"),
        ("sweep c.png s.png --log l.h5 --alpha keep", "it is an option of nst-jax stylize"),
        ("resume run.h5 --preset painterly", "it is an option of nst-jax stylize and sweep"),
    ],
)
def test_a_name_of_another_program_gets_the_one_here(command, said, capsys):
    line = wrong(command, capsys)
    assert line.startswith("error: nst-jax ")
    assert line.count("\n") == 1
    assert said in line


@pytest.mark.parametrize(
    "command",
    [
        "stylize --help",
        "stylize c.png s.png --output o.png --style_weight 1 --learning-rate=0.1 --tolerance -1",
        "sweep c.png s.png --log r.h5 --seeds -1 0",
        "weights info -h",
        "resume -- --run.h5",
        "--tyro-print-completion bash",
        "--log-level error",
        "weights",
        "",
    ],
)
def test_what_is_documented_is_no_mistake(command):
    assert usage.problem(shlex.split(command), COMMANDS) is None


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_known_under_its_own_name(name):
    for field in fields(COMMANDS[name]):
        shown = usage._shown(field.name, COMMANDS[name])
        if shown.startswith("--"):
            assert usage.problem([*name.split(), shown.split()[0]], COMMANDS) is None


def test_hints_lead_to_what_some_command_has():
    known = {field.name for command in COMMANDS.values() for field in fields(command)}
    for names in usage._ELSEWHERE:
        assert set(names) <= known | {"log_level"}


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("stylize --bogus", "has no --bogus; expected nst-jax stylize CONTENT STYLE --output PATH"),
        ("stylize c.png --bogus s.png", "has no --bogus; expected nst-jax stylize CONTENT STYLE"),
        ("sweep --bogus", "has no --bogus; expected nst-jax sweep CONTENT STYLE --log PATH"),
        ("show --bogus", "has no --bogus; expected nst-jax show LOG"),
        ("features --bogus", "has no --bogus; expected nst-jax features IMAGE --output PATH"),
        ("weights convert a.pth --bogus", "expected nst-jax weights convert SOURCE DESTINATION"),
    ],
)
def test_an_unknown_option_before_a_file_is_told_with_the_form(command, said, capsys):
    line = wrong(command, capsys)
    assert line.startswith("error: nst-jax ")
    assert line.count("\n") == 1
    assert said in line


@pytest.mark.parametrize("command", ["", "weights", *COMMANDS])
def test_no_message_names_anything_internal(command, capsys):
    for rest in ("", "--no-such-option 1", "--steps many", "one --no-such-option"):
        if f"{command} {rest}".strip() in (
            "plan",
            "check",
            "objective",
            "weights info",
            "weights fetch",
            "metrics",
            "presets",
        ):
            continue  # which are whole, or refused by the command itself
        assert not re.search(r"\bcommand\.|action\.", wrong(f"{command} {rest}", capsys))


def test_settings_are_told_as_options():
    told = usage.options({"style_size": 80, "content_layers": ("a", "b c"), "learning_rate": 0.01})
    assert told == "--style-size 80 --content-layers a 'b c' --learning-rate 0.01"


def test_what_the_user_has_set_is_known():
    command = "stylize c.png s.png --style_weight 3 --size=64 --force -- --steps"
    assert usage.given(shlex.split(command)) == {"style_weight", "size", "force"}
