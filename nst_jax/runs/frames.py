"""The frames of a clip, the flows between them, and the places of their results."""

import hashlib
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from nst_jax import image as images
from nst_jax import motion
from nst_jax.compiler import Program
from nst_jax.config import VideoConfig, stages_of
from nst_jax.runs.contents import in_natural_order
from nst_jax.system import files
from nst_jax.system.console import Say

NO_FLOW = "none"
_RATE = 24.0
_OTHER_FILMS = (".avi", ".gif", ".mkv", ".mov", ".webm")
_PAIR = re.compile(r"(?:.*?\D)?(\d+)(?:_to)?_(\d+)")

_predict = Program(motion.predict)


class Clip(NamedTuple):
    """What a run reads and writes frame by frame.

    Attributes:
      frames: in their order, one at least.
      results: by style one a frame.
      ranges: distances of the earlier frames that tell one, the smallest first; none: nothing does.
      flows: by the positions of two frames, the file of the flow from the one to the other; None:
        it is computed.
      first_steps, more_steps: of the first frame, and of each other.
      films: by style that which is made of the results; none: they are a folder.
      rate: frames a second of a film.
    """

    frames: tuple[Path, ...]
    results: Mapping[str, tuple[Path, ...]]
    ranges: tuple[int, ...]
    flows: Mapping[tuple[int, int], Path] | None
    first_steps: int
    more_steps: int
    films: Mapping[str, Path]
    rate: float

    @property
    def num_steps(self) -> int:
        """Of all frames."""
        return self.stop(len(self.frames) - 1)

    @property
    def folders(self) -> tuple[Path, ...]:
        """Those of the results, one a style."""
        return tuple(own[0].parent for own in self.results.values())

    def stop(self, number: int) -> int:
        """The step of the run at which a frame ends."""
        return self.first_steps + number * self.more_steps

    def hashes(self) -> dict[str, str]:
        """Of all that is read, as attributes of the log."""
        if self.flows:
            flow = _sha256_of_all(self.flows.values())
        else:
            flow = f"OpenCV {images.opencv_version()}" if self.ranges else NO_FLOW
        return {"clip_sha256": _sha256_of_all(self.frames), "flow_sha256": flow}


def _sha256_of_all(paths: Iterable[Path]) -> str:
    """One hash of many files: an attribute of a log has no room for theirs."""
    return hashlib.sha256("".join(map(files.sha256, paths)).encode()).hexdigest()


@contextmanager
def opened(config: VideoConfig, *, say: Say) -> Iterator[Clip]:
    """The clip of a run; the frames of a film lie in a hidden folder until the block ends.

    Args:
      config: resolved.
      say: is told where flow comes from, if it is not read.

    Raises:
      ValueError, OSError: a frame or flow that is missing, damaged, or of another size than the
        first one; one line.
    """
    unpacked = config.output.with_name(f".{config.output.name}.unpacked")
    try:
        if config.content.is_file():
            rate = images.unpack_film(config.content, unpacked)
            if len([*unpacked.iterdir()]) == 1:
                raise ValueError(f"{config.content} is one picture: nst-jax stylize paints it")
            yield _clip(config, unpacked, config.rate or rate, say)
        else:
            yield _clip(config, config.content, config.rate or _RATE, say)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)


def _clip(config: VideoConfig, source: Path, rate: float, say: Say) -> Clip:
    places = _places_of(config)
    frames = _frames_in(source)
    shape = _common_shape(frames)
    specs = stages_of(config)
    return Clip(
        frames=frames,
        results={
            style: tuple(folder / f"{frame.stem}.png" for frame in frames)
            for style, (_, folder) in places.items()
        },
        ranges=_ranges_of(config, len(frames), say),
        flows=_flows_of(config, frames, shape) if _reads_flow(config) else None,
        first_steps=config.steps,
        more_steps=specs[-1].steps if specs else config.steps,
        films={style: film for style, (film, _) in places.items() if film},
        rate=rate,
    )


def _places_of(config: VideoConfig) -> dict[str, tuple[Path | None, Path]]:
    """By style the film that is written, if it is one, and the folder of the results.

    Raises:
      ValueError, OSError: it cannot be written, or two styles have one name; one line.
    """
    output, styles = config.output, config.styles
    film = _check_film(config)
    if not config.more_styles:
        return {str(config.style): (film, output.with_suffix(".frames") if film else output)}
    stems = sorted(style.stem for style in styles)
    if twice := [stem for stem, other in pairwise(stems) if stem == other]:
        raise ValueError(f"two styles would both be painted into {twice[0]}: rename one of them")
    if not film:
        return {str(style): (None, output / style.stem) for style in styles}
    found: dict[str, tuple[Path | None, Path]] = {}
    for style in styles:
        own = output.with_name(f"{output.stem}.{style.stem}{output.suffix}")
        files.check_output(own, force=config.force, suffixes=(images.FILM_SUFFIX,))
        found[str(style)] = own, own.with_suffix(".frames")
    return found


def _check_film(config: VideoConfig) -> Path | None:
    """The film that is written, if it is one."""
    output = config.output
    if output.suffix.lower() == images.FILM_SUFFIX:
        if not images.opencv_version():
            raise ImportError("films are written by OpenCV: pip install 'nst_jax[video]'")
        files.check_output(output, force=config.force, suffixes=(images.FILM_SUFFIX,))
        if config.rate is not None and not 0 < config.rate < 1000:
            raise ValueError(f"--rate must be above 0 and below 1000, got {config.rate}")
        return output
    if output.suffix.lower() in _OTHER_FILMS:
        raise ValueError(f"{output}: films are written as {images.FILM_SUFFIX}")
    if config.rate is not None:
        raise ValueError(f"--rate is of a film that is written, and {output} is a folder")
    return None


def of_first_frame(config: VideoConfig, clip: Clip) -> VideoConfig:
    """The settings of the run as that of its first frame."""
    return of_frame(replace(config, output=clip.results[str(config.style)][0]), clip, 0)


def of_frame(config: VideoConfig, clip: Clip, number: int) -> VideoConfig:
    """The settings under which a frame is read."""
    return replace(config, content=clip.frames[number])


def _frames_in(folder: Path) -> tuple[Path, ...]:
    if not folder.is_dir():
        raise ValueError(f"{folder} must be a folder of frames, or a film: {files.absence(folder)}")
    found = [each for each in folder.iterdir() if each.is_file() and each.name[0] != "."]
    if not found:
        raise ValueError(f"the folder {folder} holds no frame")
    frames = tuple(sorted(found, key=in_natural_order))
    stems = [frame.stem for frame in frames]
    if twice := [stem for stem, other in pairwise(sorted(stems)) if stem == other]:
        raise ValueError(f"{folder} has two frames of the name {twice[0]}: take one of them out")
    numbers = [_number_of(frame) for frame in frames]
    _check_gaps(folder, [number for number in numbers if number is not None])
    return frames


def _number_of(frame: Path) -> int | None:
    found = re.findall(r"\d+", frame.stem)
    return int(found[-1]) if found else None


def _check_gaps(folder: Path, numbers: Sequence[int]) -> None:
    """Refuses numbers of which some are left out."""
    steps = [after - before for before, after in pairwise(numbers)]
    for step, before in zip(steps, numbers, strict=False):
        if step > min(steps) > 0:
            raise ValueError(
                f"{folder}: the frame {before + min(steps)} is missing, between {before} and "
                f"{before + step}"
            )


def _common_shape(frames: Sequence[Path]) -> tuple[int, int]:
    """(h, w) of all frames in their files, each of which is read once."""
    shapes = []
    for frame in frames:
        with images.notes(lambda line: None):
            shapes.append(images.load(frame).shape[:2])
        if shapes[-1] != shapes[0]:
            sizes = [f"{width} x {height}" for height, width in (shapes[-1], shapes[0])]
            raise ValueError(
                f"{frame} has {sizes[0]} pixels, and {frames[0].name} {sizes[1]}: frames of a clip "
                "have one size"
            )
    height, width = shapes[0]
    return height, width


def _reads_flow(config: VideoConfig) -> bool:
    return config.flow is not None and str(config.flow) != NO_FLOW


def _ranges_of(config: VideoConfig, count: int, say: Say) -> tuple[int, ...]:
    ranges = config.ranges
    if (
        not ranges
        or len(set(ranges)) < len(ranges)
        or min(ranges) < 1
        or max(ranges) >= max(count, 2)
    ):
        raise ValueError(
            f"--ranges: expected different distances from 1 up, less than the {count} frames, got "
            f"{', '.join(map(str, ranges)) or 'none'}"
        )
    if _reads_flow(config):
        return tuple(sorted(ranges))
    if config.flow is not None and ranges != (1,):
        raise ValueError("--ranges are of flow, and --flow none has none: leave one of them out")
    version = images.opencv_version()
    if config.flow is None and version:
        say(f"flow: computed by OpenCV {version}")
        return tuple(sorted(ranges))
    why = "as --flow none says" if config.flow else "OpenCV, of nst_jax[video], is not installed"
    say(f"flow: none, {why}: frames start from the last result, without the temporal term")
    return ()


def _flows_of(
    config: VideoConfig, frames: Sequence[Path], shape: tuple[int, int]
) -> dict[tuple[int, int], Path]:
    """The files of flow that the frames need, each read once."""
    folder = Path(str(config.flow))
    if config.crop:
        raise ValueError("--flow DIR is of whole frames: leave it or --crop out")
    if not folder.is_dir():
        raise ValueError(f"--flow {folder} must be a folder of flows, or none")
    there = _by_numbers(folder)
    numbers = [_number_of(frame) for frame in frames]
    found = {}
    for later in range(len(frames)):
        for earlier in (later - distance for distance in config.ranges if distance <= later):
            for pair in ((later, earlier), (earlier, later)):
                found[pair] = _file_of(there, folder, *(numbers[each] for each in pair))
    for path in found.values():
        if (other := images.load_flow(path).shape[:2]) != shape:
            raise ValueError(
                f"{path} is of {other[1]} x {other[0]} pixels, and the frames have {shape[1]} x "
                f"{shape[0]}"
            )
    return found


def _by_numbers(folder: Path) -> dict[tuple[int, int], Path]:
    found: dict[tuple[int, int], Path] = {}
    for path in sorted(folder.iterdir()):
        numbers = _PAIR.fullmatch(path.stem)
        if path.suffix.lower() not in images.FLOW_SUFFIXES or not numbers:
            continue
        pair = int(numbers[1]), int(numbers[2])
        if pair in found:
            raise ValueError(f"{path} and {found[pair].name} are one flow: take one of them out")
        found[pair] = path
    return found


def _file_of(
    there: Mapping[tuple[int, int], Path], folder: Path, one: int | None, other: int | None
) -> Path:
    if one is None or other is None:
        raise ValueError("--flow DIR names flows by the numbers of frames, which these have not")
    if (one, other) not in there:
        raise ValueError(
            f"--flow {folder} has no flow from frame {one} to {other}: expected a file as "
            f"flow_{one:04}_to_{other:04}.flo or .npz"
        )
    return there[one, other]


class Prediction(NamedTuple):
    """What earlier results tell of a frame: by style the picture; where it is reliable, 0 or 1."""

    pictures: Mapping[str, Float[np.ndarray, "h w 3"]]
    where: Float[np.ndarray, "h w"]


def predict(clip: Clip, number: int, read: Mapping[int, Float[np.ndarray, "h w 3"]]) -> Prediction:
    """What earlier results tell of a frame; of frames that would lie before the first one nothing.

    Args:
      clip: of the run.
      number: of the frame, from 1 up.
      read: by their numbers the frame and those before it as they are read, as far as flow is
        computed of them.
    """
    last = {style: images.load(own[number - 1]) for style, own in clip.results.items()}
    shape = next(iter(last.values())).shape
    if not clip.ranges:
        return Prediction(last, np.zeros(shape[:2], np.float32))
    earlier = [number - distance for distance in clip.ranges]
    unknown = np.full((*shape[:2], 2), np.nan, np.float32)
    backward, forward = (
        [_flow(clip, *pair, read, shape) if min(pair) >= 0 else unknown for pair in pairs]
        for pairs in ([(number, each) for each in earlier], [(each, number) for each in earlier])
    )
    told = {}
    for style, own in clip.results.items():
        results = [images.load(own[each]) if each >= 0 else last[style] for each in earlier]
        told[style], where = jax.device_get(_predict(results, backward, forward))
    return Prediction(told, where)


def _flow(
    clip: Clip, one: int, other: int, read: Mapping[int, np.ndarray], shape: tuple[int, ...]
) -> np.ndarray:
    if clip.flows is None:
        return images.compute_flow(read[one], read[other])
    flow = images.load_flow(clip.flows[one, other])
    if flow.shape[:2] == shape[:2]:
        return flow
    return np.asarray(motion.resize(jax.numpy.asarray(flow), *shape[:2]))
