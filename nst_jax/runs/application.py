"""A network that paints in one pass, applied to files: pictures into a folder."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array
from tqdm import tqdm

from nst_jax import feedforward, strips, vgg, weights
from nst_jax import image as images
from nst_jax.choices import Alpha, Precision, PrecisionSetting, Strips
from nst_jax.compiler import Program
from nst_jax.runs import contents, inputs
from nst_jax.strips import Division
from nst_jax.system import environment, files, memory
from nst_jax.system.console import Say, inform, informs
from nst_jax.system.interrupts import StopRequest, stop_requests
from nst_jax.version import __version__


class Application(NamedTuple):
    """How pictures are painted.

    Attributes:
      size: longest side in pixels; None: as in the file.
      suffix: ending of the results, whose names are those of the pictures.
      alpha: what becomes of a picture's transparency.
      precision: of the convolutions.
      strips: compute a picture in strips of so many rows, none, or one that does not fit whole.
      force: overwrite existing files.
    """

    size: int | None = None
    suffix: str = ".png"
    alpha: Alpha = "white"
    precision: PrecisionSetting = "float32"
    strips: Strips = "auto"
    force: bool = False


class _Task(NamedTuple):
    """A picture of so many rows and columns, and where its painting goes."""

    picture: Path
    result: Path
    shape: tuple[int, int, int]


def apply_files(
    network: Path,
    pictures: Sequence[Path],
    output: Path,
    settings: Application = Application(),  # noqa: B008 (it is immutable)
    *,
    say: Say = inform,
    progress: bool | None = None,
) -> int:
    """Paints pictures by a network, each into a file of its name.

    Everything that can be refused is refused before the first one is painted.

    Args:
      network: a file of `weights.load_feedforward`.
      pictures: files and folders; of a folder its pictures in natural order, without what is none.
      output: the folder of the results.
      settings: how.
      say: gets each line for the person.
      progress: show a progress bar on standard error; None: if that is a terminal.

    Returns:
      The exit code: 0 when done, 130 or 143 when a signal has ended it after the present picture.

    Raises:
      ValueError, OSError: bad input; nothing has been written.
      MemoryError: the largest picture does not fit; one line that says what would.
    """
    with stop_requests() as request:
        found = weights.load_feedforward(network)
        tasks = _tasks(pictures, output, settings, say)
        painter = _painter_of(found, settings)
        say(f"device: {environment.device_line()}")
        licence = found.attributes.get("licence", "of no licence that its file names")
        say(f"network: {network}: {_style_of(found)}; {licence}")
        largest = max((task.shape for task in tasks), key=_pixels)
        painter = painter._replace(division=_division_of(painter, largest, settings.strips))
        if rows := painter.division.rows_for(largest):
            say(f"in strips of {rows} rows, which take less memory")
        origin = {"style": _style_of(found), "sha256": files.sha256(network)}
        metadata = {
            "Software": f"nst_jax {__version__}",
            "nst_jax.network": json.dumps(origin),
        }
        return _run(tasks, painter, metadata, settings, request, say, progress)


def _tasks(pictures: Sequence[Path], output: Path, settings: Application, say: Say) -> list[_Task]:
    """What is to be painted.

    Raises:
      ValueError, OSError: one line that names the picture or result.
    """
    if not pictures:
        raise ValueError("there is nothing to paint: name pictures or folders after the network")
    if settings.size is not None and settings.size < feedforward.SMALLEST_SIDE:
        raise ValueError(
            f"the size must be at least {feedforward.SMALLEST_SIDE}, got {settings.size}"
        )
    if isinstance(settings.strips, int):
        strips.check_rows(settings.strips)
    if output.suffix.lower() in images.SUFFIXES:
        raise ValueError(f"--output {output} is one picture: give a folder")

    def check(path: Path) -> None:
        with images.notes(lambda line: None):
            _read(path, settings)

    found = [path for each in pictures for path in contents.pictures_in(each, check, say)]
    results = [output / f"{path.stem}{settings.suffix}" for path in found]
    contents.check_distinct(found, results)
    taken = {path.resolve() for path in found}
    for result in results:
        if result.resolve() in taken:
            raise ValueError(f"{result} is a picture to paint; give another folder as --output")
        if settings.alpha == "keep":
            images.check_takes_alpha(result)
        files.check_output(result, force=settings.force, suffixes=images.SUFFIXES)
    return [
        _Task(path, result, shape)
        for path, result, shape in zip(found, results, _shapes(found, settings, say), strict=True)
    ]


def _shapes(
    found: Sequence[Path], settings: Application, say: Say
) -> Iterator[tuple[int, int, int]]:
    """Of the pictures, with what their owner may not expect said once."""
    for path in found:
        with images.notes(say):
            picture, alpha = _read(path, settings)
        inputs.say_transparency(str(path), alpha is not None, settings.alpha, say)
        yield picture.shape


def _read(path: Path, settings: Application) -> tuple[np.ndarray, np.ndarray | None]:
    picture, alpha = images.load_with_alpha(path, size=settings.size)
    if min(picture.shape[:2]) < feedforward.SMALLEST_SIDE:
        height, width = picture.shape[:2]
        raise ValueError(
            f"{path} is too small: {width} x {height} pixels, and a network needs at least "
            f"{feedforward.SMALLEST_SIDE} on each side"
        )
    return picture, alpha


def _style_of(found: weights.Feedforward) -> str:
    return found.attributes.get("style", "a style that its file does not name")


def _painted(paint: Callable[[Array], Array], picture: Array) -> Array:
    return paint(picture)


_PROGRAM = Program(_painted)


class _Painter(NamedTuple):
    """A network, and how it paints pictures: whole, by one program a shape, or in strips."""

    network: weights.Feedforward
    precision: Precision
    paint: Partial
    programs: dict[tuple[int, ...], jax.stages.Compiled]
    division: Division = Division()

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """The painting of a picture."""
        if rows := self.division.rows_for(picture.shape):
            options: Any = {"rows": rows, "precision": self.precision}
            return strips.paint(self.network.params, picture, self.network.architecture, **options)
        return np.asarray(self.program(picture.shape)(self.paint, picture))

    def program(self, shape: tuple[int, ...]) -> jax.stages.Compiled:
        """Of whole pictures of a shape."""
        if shape not in self.programs:
            picture = jax.ShapeDtypeStruct(shape, np.float32)
            self.programs[shape] = _PROGRAM.lower(self.paint, picture).compile()
        return self.programs[shape]


def _painter_of(network: weights.Feedforward, settings: Application) -> _Painter:
    precision = vgg.resolve_precision(settings.precision)
    paint = feedforward.paint_fn(network.params, network.architecture, precision=precision)
    return _Painter(network, precision, paint, {})


def _division_of(painter: _Painter, largest: tuple[int, ...], chosen: Strips) -> Division:
    """Which pictures are computed in strips, as the settings say or by what is free.

    Raises:
      MemoryError: the largest picture does not fit; one line that says what would.
    """
    if isinstance(chosen, int):
        division = Division(chosen)
    else:
        analysis = painter.program(largest).memory_analysis()
        needed = analysis.temp_size_in_bytes + analysis.argument_size_in_bytes if analysis else 0
        available = memory.available_bytes()
        if needed <= available:
            return Division()
        if chosen == "off":
            raise _too_large(largest, needed, available)
        # Activations are nearly all of it, and go with the pixels.
        division = Division(strips.ROWS, int(_pixels(largest) * available / needed))
    architecture, precision = painter.network.architecture, painter.precision
    needed = strips.host_bytes(largest, architecture, precision=precision)
    if needed > memory.available_host_bytes():
        raise _too_large(largest, needed, memory.available_host_bytes())
    return division


def _pixels(shape: tuple[int, ...]) -> int:
    return shape[0] * shape[1]


def _too_large(shape: tuple[int, ...], needed: int, available: int) -> MemoryError:
    """What a CPU would not say: there the process would be killed."""
    height, width = shape[:2]
    size = int(max(height, width) * (0.9 * available / needed) ** 0.5)
    return MemoryError(
        f"{width} x {height} pixels take about {needed / 1e9:.1f} GB, and "
        f"{available / 1e9:.1f} GB may be used: try --size {size}"
    )


def _run(
    tasks: Sequence[_Task],
    painter: _Painter,
    metadata: dict[str, str],
    settings: Application,
    request: StopRequest,
    say: Say,
    progress: bool | None,
) -> int:
    """Paints, and says how long it took."""
    seconds = []
    shown = progress if progress is not None or informs() else False
    disable = None if shown is None else not shown
    for task in tqdm(tasks, unit="picture", disable=disable):
        if request:
            break
        with images.notes(lambda line: None):
            picture, alpha = _read(task.picture, settings)
        started = time.perf_counter()
        painted = painter(picture)
        seconds.append(time.perf_counter() - started)
        kept = alpha if settings.alpha == "keep" else None
        images.save(task.result, painted, alpha=kept, metadata=metadata)
    say(
        f"painted {len(seconds)} of {len(tasks)} pictures into {tasks[0].result.parent}: "
        f"{np.mean(seconds) if seconds else 0:.2f} s a picture"
    )
    return request.exit_code if request else 0
