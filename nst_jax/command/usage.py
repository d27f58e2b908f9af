"""Wrong usage that one line can set right: options of other programs, and pictures left out.

For other mistakes the parser's own words do.
"""

import difflib
import itertools
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

import tyro

_DASHES = "-\N{EN DASH}\N{EM DASH}"
# Our options -> the names of other programs for them. A command has one of a tuple at most.
_ELSEWHERE = {
    ("content", "image"): "i input input-image content-image content-img content-path",
    ("style", "styles"): "style-image style-images style-img style-path",
    ("output", "folder"): "o out outfile output-dir output-file output-image output-path save-path",
    ("steps",): (
        "n iter iters iterations niter n-iter n-iters num-iter num-iters num-iterations max-iter "
        "max-iterations epochs num-epochs n-epochs num-steps n-steps max-steps"
    ),
    ("size",): "image-size img-size imsize max-size max-dim width height end-scale resolution",
    ("style_size",): "style-image-size",
    ("learning_rate", "learning_rates"): "lr rate step-size",
    ("content_weight", "content_weights"): "cw content-loss-weight",
    ("style_weight", "style_weights"): "sw style-loss-weight style-strength",
    ("tv_weight", "tv_weights"): "tv tvw tv-loss-weight total-variation total-variation-weight",
    ("content_layers",): "content-layer",
    ("style_layers",): "style-layer",
    ("objective",): "loss losses",
    ("term_weights",): "term-weight loss-weights",
    ("blend",): "style-blend-weights style-interpolation-weights",
    ("mask",): "masks semantic color-mask content-mask",
    ("style_mask",): "style-masks style-seg",
    ("gray",): "grey grayscale greyscale",
    ("alpha",): "transparent transparency keep-alpha",
    ("depth",): "bit-depth bits output-depth 16bit",
    ("icc",): "icc-profile color-profile profile",
    ("optimizer", "optimizers"): "opt optim",
    ("constants",): "beta1 beta2 adam-beta1 adam-beta2 eps epsilon lbfgs-num-correction",
    ("average",): "avg-decay ema ema-decay",
    ("init", "inits"): "init-image init-img start",
    ("seed", "seeds"): "random-seed manual-seed",
    ("arch",): "model network net backbone",
    ("weights",): "model-file model-path vgg-path checkpoint",
    ("pooling",): "pool",
    ("precision",): "dtype fp16 bf16 half amp",
    ("snapshot_every",): (
        "snapshots frames save-iter save-every print-iter print-iterations checkpoint-iterations"
    ),
    ("figures",): "plot plots",
    ("log",): "run logfile",
    # A sweep has many pictures; its report comes nearest to "the output".
    ("report",): "html o out output output-file output-image",
    ("force",): "f overwrite",
    ("log_level",): "v verbose q quiet silent",
}
# Options that no command has -> the reason, or what to do instead.
_NOWHERE = {
    "cpu gpu gpus multigpu cuda no-cuda use-cuda tpu device devices backend": (
        "JAX takes the fastest device; with JAX_PLATFORMS=cpu in the environment, the CPU"
    ),
    "original-colors original-colours preserve-color preserve-colors keep-colors color-control": (
        "--colors content puts the content's colors back"
    ),
    "content-style-ratio ratio beta": "the ratio is that of --style-weight to --content-weight",
    "normalize-gradients normalize-weights": "--layer-balance relative is nearest to it",
    "proto-file prototxt": "the network's form is that of --arch",
    "resume continue": "write nst-jax resume LOG, of a run with --log",
}
# How the parser names an argument of a command: by our fields, which the user has never seen.
_INTERNAL = re.compile(r"\bcommand\.(?:\w+\.)*(\w+)")


def problem(arguments: Sequence[str], commands: Mapping[str, type]) -> str | None:
    """What is wrong with a command line.

    Args:
      arguments: behind the program's name.
      commands: the dataclass of each command, by its words.

    Returns:
      One line for a person; None if no mistake is known here.
    """
    words = _from_command(arguments)
    if not words or words[0].startswith("-"):
        return None
    name = _command(words, commands)
    if name is None:
        return _no_such_command(words[0], list(dict.fromkeys(each.split()[0] for each in commands)))
    wrong = (_about(word, name, commands) for word in _options(words))
    return next(filter(None, wrong), None) or _twice(words, name, commands[name])


def _twice(words: Sequence[str], name: str, command: type) -> str | None:
    """An option of several values that is written again: the parser would keep the last ones."""
    count = Counter(map(_field, _options(words)))
    for field, kind in get_type_hints(command).items():
        if count[field] > 1 and tuple in (get_origin(kind), *map(get_origin, get_args(kind))):
            option = _written(field)
            return f"nst-jax {name} has {option} twice: write it once, with all that belongs to it"
    return None


def in_words(said: str, arguments: Sequence[str], commands: Mapping[str, type]) -> str:
    """Replaces the parser's message by a line of ours if it uses an internal name.

    Args:
      said: what the parser wrote to standard error.
      arguments: as `problem`.
      commands: as `problem`.

    Returns:
      What the user should read.
    """
    found = _INTERNAL.search(said)
    words = _from_command(arguments)
    name = _command(words, commands)
    if not found or name is None:
        return said
    # After an unknown option the parser misses the files that follow it: blame the option.
    unknown = [word for word in _options(words) if not _is_own(word, commands[name])]
    wrong = f"has no {unknown[0]}" if unknown else f"lacks {_shown(found[1], commands[name])}"
    return f"error: nst-jax {name} {wrong}; expected {form(name, commands[name])}\n"


def form(name: str, command: type) -> str:
    """How a command is called, with all arguments that it needs.

    Args:
      name: the words of the command.
      command: its dataclass.
    """
    needed = [field.name for field in fields(command) if field.default is MISSING]
    return " ".join(["nst-jax", name, *(_shown(field, command) for field in needed)])


def given(arguments: Sequence[str]) -> set[str]:
    """The settings that a command line names.

    Args:
      arguments: behind the program's name.

    Returns:
      Fields of the command's dataclass.
    """
    return {_field(word) for word in _options(arguments) if word.startswith("--")}


def options(settings: Mapping[str, Any]) -> str:
    """Settings as a command line would give them.

    Args:
      settings: values, tuples of values, or True of what is on without a value, by field.
    """
    words = ([_written(name), *_values(value)] for name, value in settings.items())
    return shlex.join(itertools.chain(*words))


def _values(value: Any) -> list[str]:
    if value is True:
        return []
    return list(map(str, value)) if isinstance(value, tuple) else [str(value)]


def _from_command(arguments: Sequence[str]) -> list[str]:
    """The arguments without `--log-level`, which may come first."""
    words = list(arguments)
    if words and words[0].startswith("--log-level"):
        return words[1 if "=" in words[0] else 2 :]
    return words


def _command(words: Sequence[str], commands: Mapping[str, type]) -> str | None:
    """The name of the command that a command line begins with."""
    return next((name for name in commands if words[: name.count(" ") + 1] == name.split()), None)


def _no_such_command(word: str, names: Sequence[str]) -> str | None:
    if word in names:
        return None
    close = difflib.get_close_matches(word, names, n=1)
    hint = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(names)}"
    return f"there is no command {word!r}; {hint}"


def _options(words: Sequence[str]) -> Iterator[str]:
    """The options among them, without values; behind a bare `--` there are none."""
    for word in itertools.takewhile(lambda word: word != "--", words):
        if word[:1] in tuple(_DASHES):
            yield word.partition("=")[0]


def _field(option: str) -> str:
    return option.lstrip(_DASHES).replace("-", "_").lower()


def _about(option: str, name: str, commands: Mapping[str, type]) -> str | None:
    """What to write instead of an option that the command does not have."""
    command = commands[name]
    if _is_own(option, command):
        return None
    hint = _hint(_field(option), _own(command), form(name, command))
    hint = hint or _elsewhere(option, commands)
    return hint and f"nst-jax {name} has no {option}: {hint}"


def _elsewhere(option: str, commands: Mapping[str, type]) -> str | None:
    """Which commands have an option."""
    owners = [name for name, command in commands.items() if _is_own(option, command)]
    return f"it is an option of nst-jax {' and '.join(owners)}" if owners else None


def _is_own(option: str, command: type) -> bool:
    shown = _own(command).get(_field(option), "")
    return option == "-h" or option.replace("_", "-") == shown.partition(" ")[0]


@cache
def _own(command: type) -> dict[str, str]:
    """The arguments of a command as the help shows them, by field."""
    shown = {field.name: _shown(field.name, command) for field in fields(command)}
    return {"help": "--help", "log_level": "--log-level", **shown}


def _hint(wanted: str, own: Mapping[str, str], how: str) -> str | None:
    """What to write instead.

    Args:
      wanted: the option that was given, as a field would be called.
      own: the command's arguments as they are shown, by field.
      how: to call the command.
    """
    meant = [names for names, elsewhere in _ELSEWHERE.items() if wanted in _fields(elsewhere)]
    meant += [names for names in _ELSEWHERE if wanted in names]
    shown = [own[name] for names in [*meant, (wanted,)] for name in names if name in own]
    if shown:
        return f"write {shown[0]}" if shown[0][0] == "-" else f"it comes without an option: {how}"
    return next((why for names, why in _NOWHERE.items() if wanted in _fields(names)), None)


def _written(field: str) -> str:
    return "--" + field.replace("_", "-")


def _fields(names: str) -> set[str]:
    return set(names.replace("-", "_").split())


def _shown(name: str, command: type) -> str:
    """An argument as the help shows it."""
    kind: Any = get_type_hints(command, include_extras=True)[name]
    metadata = getattr(kind, "__metadata__", ())
    metavars = [each.metavar for each in metadata if getattr(each, "metavar", None)]
    if tyro.conf.Positional in metadata:
        return metavars[0]
    option = _written(name)
    if kind is bool:
        return option
    return f"{option} {metavars[0] if metavars else _metavar(kind)}"


def _metavar(kind: Any) -> str:
    """The placeholder of a value in the help, as the parser makes it from a type."""
    choices = get_args(kind)
    if not choices:
        return kind.__name__.upper()
    return "|".join(map(str, choices)) if get_origin(kind) is Literal else _metavar(choices[0])
