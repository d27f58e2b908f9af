"""How still the strokes of a painted clip stand, against frames that are painted one by one.

Of three pairs of frames with true flow (MPI-Sintel) the four frames around each are painted each
alone, from itself, and as a clip, with flow by OpenCV; and the two frames of the pair as a clip
with the true flow. Told are the root mean square of the difference of frame 2 and of frame 3 moved
by the true flow, in levels of 255, and the style loss of both frames: where frame 3 shows the
point, and where the flows can also be relied on by the test of Ruder et al., which leaves out the
borders of what moves.

    python experiments/video_consistency.py VIDEO STYLE OUT [SETTINGS]

VIDEO has the folders sintel_easy, sintel_medium and sintel_hard; SETTINGS are further options of
both commands, such as --steps 100.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from nst_jax import image, motion, runlog

SHOTS = ("easy", "medium", "hard")
FRAMES = tuple(f"frame_{number:04}.png" for number in range(1, 5))
PAIR = FRAMES[1:3]


class Painted(NamedTuple):
    """A folder of results, and the style loss of each before its last step, by its name."""

    folder: Path
    style_losses: dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("video", "style", "output"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--shots", nargs="*", default=SHOTS)
    parser.add_argument("--temporal-weights", nargs="*", default=["6"])
    own, settings = parser.parse_known_args()
    print("| shot | painted | seen | of one by one | reliable | of one by one | style loss |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for shot in own.shots:
        compare(own.video / f"sintel_{shot}", own.style, own.output / shot, own, settings)


def compare(
    source: Path, style: Path, output: Path, own: argparse.Namespace, settings: list[str]
) -> None:
    """Prints the rows of a shot."""
    shot = output.name
    print(_row(shot, "not at all", difference(source, source), None, None))
    alone = painted("stylize", FRAMES, source, style, output / "alone", settings)
    still, losses = difference(source, alone.folder), _mean_loss(alone)
    print(_row("", "one by one", still, still, 1), flush=True)
    flows = output / "flows"
    write_flows(source, flows)
    for weight in own.temporal_weights:
        for by, frames, options in (
            ("flow by OpenCV", FRAMES, []),
            ("true flow", PAIR, ["--flow", str(flows)]),
        ):
            folder = output / f"{by.replace(' ', '-')}-{weight}"
            options = [*options, *settings, "--temporal-weight", weight]
            clip = painted("video", frames, source, style, folder, options)
            words = f"as a clip, {by}, `--temporal-weight {weight}`"
            found = difference(source, clip.folder)
            print(_row("", words, found, still, _mean_loss(clip) / losses), flush=True)


def _row(
    shot: str,
    words: str,
    found: tuple[float, ...],
    still: tuple[float, ...] | None,
    loss: float | None,
) -> str:
    ratios = [f"{x / y:.2f}" for x, y in zip(found, still, strict=True)] if still else ["", ""]
    pairs = [f"{x:.1f} | {ratio}" for x, ratio in zip(found, ratios, strict=True)]
    return f"| {shot} | {words} | {' | '.join(pairs)} | {'' if loss is None else f'{loss:.2f}'} |"


def painted(
    command: str,
    frames: Sequence[str],
    source: Path,
    style: Path,
    folder: Path,
    settings: list[str],
) -> Painted:
    """The results of a command, made unless they are there."""
    log, taken = folder.with_suffix(".h5"), folder.with_suffix(".frames")
    if not log.exists():
        taken.mkdir(parents=True, exist_ok=True)
        for name in frames:
            shutil.copyfile(source / name, taken / name)
        words = [command, str(taken), str(style), "--output", str(folder), "--log", str(log)]
        subprocess.run([sys.executable, "-m", "nst_jax", *words, *settings], check=True, stdout=2)
    losses = runlog.load(log).rows.losses["style"]
    last = losses[-1] if losses.shape[1] > 1 else losses[:, 0].reshape(len(frames), -1)[:, -1]
    return Painted(folder, dict(zip(frames, map(float, last), strict=True)))


def _mean_loss(results: Painted) -> float:
    return float(np.mean([results.style_losses[name] for name in PAIR]))


def difference(source: Path, results: Path) -> tuple[float, float]:
    """The root mean square of frame 2 and of frame 3 moved to it, in levels of 255.

    Returns:
      Over what frame 3 shows, and over what is reliable of it.
    """
    flow, is_seen = true_flow(source)
    back = flow_back(flow, is_seen)
    is_reliable = np.asarray(motion.reliability(jnp.asarray(flow), jnp.asarray(back))) > 0
    here, there = (image.load(results / name) for name in PAIR)
    moved = np.asarray(motion.warp(jnp.asarray(there), jnp.asarray(flow)))
    squares = np.square(moved - here).mean(axis=-1)
    seen, reliable = (
        float(255 * np.sqrt(squares[x].mean())) for x in (is_seen, is_seen & is_reliable)
    )
    return seen, reliable


def true_flow(source: Path) -> tuple[np.ndarray, np.ndarray]:
    """From frame 2 to 3, and where it is known and leads to a point that frame 3 shows."""
    flow = image.load_flow(source / "flow_0002_to_0003.npz")
    left_out = [
        image.load_mask(source / f"{x}_0002.png", *flow.shape[:2])
        for x in ("occlusions", "invalid")
    ]
    return flow, np.maximum(*left_out) == 0


def flow_back(flow: np.ndarray, is_seen: np.ndarray) -> np.ndarray:
    """From frame 3 to 2: the motions of the points that come near a pixel, the other way.

    Not a number where hardly one does: frame 2 did not show what is there.
    """
    height, width = flow.shape[:2]
    rows, columns = np.nonzero(is_seen)
    vectors = flow[rows, columns]
    x, y = columns + vectors[:, 0], rows + vectors[:, 1]
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    sums, weights = np.zeros((height, width, 2)), np.zeros((height, width))
    for beside, down in product((0, 1), (0, 1)):
        column, row = left + beside, top + down
        weight = (1 - np.abs(x - column)) * (1 - np.abs(y - row))
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        at = row[inside], column[inside]
        np.add.at(sums, at, -weight[inside, None] * vectors[inside])
        np.add.at(weights, at, weight[inside])
    with np.errstate(invalid="ignore", divide="ignore"):
        back = np.where(weights[..., None] > 0.5, sums / weights[..., None], np.nan)
    return back.astype(np.float32)


def write_flows(source: Path, folder: Path) -> None:
    """The true flow and the one back, for `nst-jax video --flow`."""
    flow, is_seen = true_flow(source)
    folder.mkdir(parents=True, exist_ok=True)
    image.save_flow(folder / "forward_0002_to_0003.flo", flow)
    image.save_flow(folder / "backward_0003_to_0002.flo", flow_back(flow, is_seen))


if __name__ == "__main__":
    main()
