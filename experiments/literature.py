"""The report's literature, tried: networks, statistics of style, and Gatys's own choices.

    python experiments/literature.py networks pictures/      # VGG19, VGG16, AlexNet, SqueezeNet
    python experiments/literature.py statistics pictures/    # Gram matrix and others
    python experiments/literature.py gatys pictures/         # layers, start, pooling, normalization

Hardware: two CPU cores; time: a quarter of an hour a part. `pictures/` holds the files that
`painting/pairs.py` names; `docs/literature.md` has the result.

Twelve pairs are painted in each way of a part, from the same start by as many steps of Adam, and
judged by metrics. The first way is compared with the others pair by pair. Written are the pictures,
a sheet of each pair and table.md; a picture that is there is not painted again.
"""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import jax
import numpy as np
import tyro
from painting import paired_table, sheets
from painting.pairs import UNTOUCHED_PAIRS, files_of
from painting.ways import PARTS, Painter, Setting, Way

from nst_jax import compiler, metrics, steps
from nst_jax import image as images
from nst_jax.choices import PrecisionSetting
from nst_jax.runs import judging
from nst_jax.system import files
from nst_jax.system.console import exit_code_of, note, say

_ROUNDS = 7


@dataclass(frozen=True)
class Literature:
    """Paint twelve pairs in several ways that differ in one choice, and judge them."""

    part: tyro.conf.Positional[Literal["networks", "statistics", "gatys"]]
    """What is varied."""
    pictures: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="PICTURES")]
    """The folder of contents and styles."""
    output_dir: Path = Path("out/literature")
    """Where pictures, sheets and table go."""
    size: int = 128
    """Longest side in pixels."""
    steps: int = 100
    """Of Adam; an evaluation each."""
    pairs: tuple[str, ...] = tuple(UNTOUCHED_PAIRS)
    """Which, of those that `painting/pairs.py` names."""
    precision: PrecisionSetting = "fast"
    """Of the convolutions of a VGG; the other networks compute in float32."""
    weights: str | None = None
    """A file of VGG19, or "random" for both VGGs (default: see `nst-jax weights info`)."""
    vgg16_weights: str | None = None
    """A file of VGG16 (default: see `nst-jax weights info --arch vgg16`)."""
    judges: Path | None = None
    """The folder of AlexNet and SqueezeNet (default: see `nst-jax metrics --help`)."""

    @property
    def folder(self) -> Path:
        """Of this part and size."""
        return self.output_dir / f"{self.part}-{self.size}"

    @property
    def ways(self) -> Mapping[str, Way]:
        """That are compared, by name."""
        return PARTS[self.part]


Pair = tuple[np.ndarray, np.ndarray]


def pairs_of(settings: Literature) -> dict[str, Pair]:
    """Content and style of each pair."""
    if unknown := [name for name in settings.pairs if name not in UNTOUCHED_PAIRS]:
        raise ValueError(f"there is no pair {unknown[0]!r}: give {', '.join(UNTOUCHED_PAIRS)}")
    found = {}
    for name in settings.pairs:
        both = files_of(UNTOUCHED_PAIRS[name], settings.pictures, settings.output_dir / "cropped")
        content, style = (images.load(path, size=settings.size, enlarge=True) for path in both)
        found[name] = content, style
    return found


def painter_of(settings: Literature, pairs: Mapping[str, Pair]) -> Painter:
    """Of the networks that are set."""
    random = settings.weights if settings.weights == "random" else None
    weights = {"vgg19": settings.weights, "vgg16": settings.vgg16_weights or random}
    shown = [picture for pair in pairs.values() for picture in pair]
    return Painter(Setting(settings.steps, weights, settings.judges, shown, settings.precision))


def painted(
    settings: Literature, painter: Painter, pairs: Mapping[str, Pair]
) -> dict[str, dict[str, np.ndarray]]:
    """The picture of each pair in each way, `{way: {pair: picture}}`."""
    return {
        name: {
            pair: _painted(settings.folder / f"{pair}.{name}.png", painter, way, *both)
            for pair, both in pairs.items()
        }
        for name, way in settings.ways.items()
    }


def _painted(
    path: Path, painter: Painter, way: Way, content: np.ndarray, style: np.ndarray
) -> np.ndarray:
    if not path.exists():
        say(path.stem)
        images.save(path, painter.paint(way, content, style))
    return images.load(path)


def judged(
    settings: Literature,
    pairs: Mapping[str, Pair],
    pictures: Mapping[str, Mapping[str, np.ndarray]],
) -> dict[str, dict[str, dict[str, float]]]:
    """What the metrics say of each picture, `{way: {pair: {metric: value}}}`."""
    judges = judging.load_panel(settings.judges, say=note).judges
    return {
        way: {pair: metrics.measure(own[pair], *both, judges) for pair, both in pairs.items()}
        for way, own in pictures.items()
    }


def losses_under(
    settings: Literature,
    painter: Painter,
    pairs: Mapping[str, Pair],
    pictures: Mapping[str, Mapping[str, np.ndarray]],
) -> dict[str, dict[str, float]]:
    """The loss of each way's pictures under the objective of each, `{painted by: {under: ratio}}`.

    In parts of the loss of the content picture; the median over pairs.
    """

    def ratio(under: Way, picture: np.ndarray, pair: str) -> float:
        objective, weights = painter.ready(under, *pairs[pair])
        found, start = (float(objective(x, weights)[0]) for x in (picture, pairs[pair][0]))
        return found / start

    return {
        by: {
            name: float(np.median([ratio(under, own[pair], pair) for pair in pairs]))
            for name, under in settings.ways.items()
        }
        for by, own in pictures.items()
    }


def costs(settings: Literature, painter: Painter, pair: Pair) -> dict[str, tuple[float, float]]:
    """Seconds and megabytes of an evaluation with its gradient, by way.

    Turn by turn in one process: what slows the machine slows all.
    """
    ready = {name: painter.ready(way, *pair) for name, way in settings.ways.items()}
    evaluate = compiler.Program(steps.evaluate)
    compiled = {
        name: evaluate.lower(own.objective, pair[0], own.weights).compile()
        for name, own in ready.items()
    }
    seconds = {name: [] for name in ready}
    for name, own in [*ready.items()] * _ROUNDS:
        began = time.perf_counter()
        jax.block_until_ready(compiled[name](own.objective, pair[0], own.weights))
        seconds[name].append(time.perf_counter() - began)
    return {
        name: (float(np.median(each[1:])), _megabytes(compiled[name]))
        for name, each in seconds.items()
    }


def _megabytes(compiled: jax.stages.Compiled) -> float:
    analysis = compiled.memory_analysis()
    return (analysis.temp_size_in_bytes + analysis.argument_size_in_bytes) / 1e6


def draw_sheets(
    settings: Literature,
    pairs: Mapping[str, Pair],
    pictures: Mapping[str, Mapping[str, np.ndarray]],
) -> None:
    """Writes a sheet of each pair: content, style, and the picture of each way."""
    for pair, originals in pairs.items():
        painted = {way: own[pair] for way, own in pictures.items()}
        sheets.draw(settings.folder / f"sheet-{pair}.png", originals, painted)


def main(settings: Literature) -> Path:
    """Paints, judges, and writes sheets and table.

    Returns:
      The path of the table.
    """
    files.check_folder(settings.folder)
    pairs = pairs_of(settings)
    painter = painter_of(settings, pairs)
    pictures = painted(settings, painter, pairs)
    draw_sheets(settings, pairs, pictures)
    sections = [paired_table.table(judged(settings, pairs, pictures))]
    if settings.part == "networks":
        sections.append(paired_table.matrix(losses_under(settings, painter, pairs, pictures)))
        sections.append(paired_table.costs(costs(settings, painter, next(iter(pairs.values())))))
    path = settings.folder / "table.md"
    path.write_text("\n".join(sections), encoding="utf-8")
    say(f"wrote {path}")
    return path


def command() -> int:
    main(tyro.cli(Literature, config=(tyro.conf.FlagCreatePairsOff,)))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(command))
