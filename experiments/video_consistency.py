"""How still the strokes of a painted clip stand, against frames that are painted one by one.

Of three pairs of frames with true flow (MPI-Sintel) the four frames around each are painted twice:
each frame alone, from itself, and as a clip. Told are the root mean square of the difference of
frame 2 and of frame 3 moved by the true flow, where that is known and nothing is hidden, in levels
of 255, and the style loss of both frames.

    python experiments/video_consistency.py VIDEO STYLE OUT [SETTINGS]

VIDEO has the folders sintel_easy, sintel_medium and sintel_hard; SETTINGS are further options of
both commands, such as --steps 100.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from nst_jax import image, motion, runlog

SHOTS = ("easy", "medium", "hard")
FRAMES = tuple(f"frame_{number:04}.png" for number in range(1, 5))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("video", "style", "output"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--shots", nargs="*", default=SHOTS)
    parser.add_argument("--temporal-weights", nargs="*", default=["3"])
    own, settings = parser.parse_known_args()
    print("| shot | painted | difference | of one by one | style loss, of one by one |")
    print("|---|---|---|---|---|")
    for shot in own.shots:
        source = own.video / f"sintel_{shot}"
        print(f"| {shot} | not at all | {difference(source, source):.1f} | | |")
        frames = own.output / shot / "frames"
        frames.mkdir(parents=True, exist_ok=True)
        for name in FRAMES:
            (frames / name).write_bytes((source / name).read_bytes())
        alone = painted("stylize", frames, own.style, own.output / shot / "alone", settings)
        first, still = style_losses(alone), difference(source, alone.folder)
        print(f"| {shot} | one by one | {still:.1f} | 1 | 1 |", flush=True)
        for weight in own.temporal_weights:
            options = [*settings, "--temporal-weight", weight]
            clip = painted(
                "video", frames, own.style, own.output / shot / f"clip-{weight}", options
            )
            found, losses = difference(source, clip.folder), style_losses(clip)
            print(
                f"| {shot} | as a clip, {weight} | {found:.1f} | {found / still:.2f} "
                f"| {np.mean(losses[1:3]) / np.mean(first[1:3]):.2f} |",
                flush=True,
            )


class Painted:
    """A folder of results, and its log."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder.with_name(folder.name + ".h5")


def painted(command: str, frames: Path, style: Path, folder: Path, settings: list[str]) -> Painted:
    """The results of a command, made unless they are there."""
    found = Painted(folder)
    if not found.log.exists():
        words = [command, str(frames), str(style), "--output", str(folder), "--log", str(found.log)]
        subprocess.run([sys.executable, "-m", "nst_jax", *words, *settings], check=True, stdout=2)
    return found


def style_losses(clip: Painted) -> np.ndarray:
    """Of each frame the style loss before its last step."""
    losses = runlog.load(clip.log).rows.losses["style"]
    return losses[-1] if losses.shape[1] > 1 else losses[:, 0].reshape(len(FRAMES), -1)[:, -1]


def difference(source: Path, results: Path) -> float:
    """The root mean square of frame 2 and of frame 3 moved to it, in levels of 255."""
    flow = image.load_flow(source / "flow_0002_to_0003.npz")
    size = flow.shape[:2]
    left_out = (image.load_mask(source / f"{x}_0002.png", *size) for x in ("occlusions", "invalid"))
    counts = 1 - np.maximum(*left_out)
    here, there = (image.load(results / name) for name in FRAMES[1:3])
    moved = np.asarray(motion.warp(jnp.asarray(there), jnp.asarray(flow)))
    squares = np.square(moved - here).mean(axis=-1)
    return float(255 * np.sqrt((counts * squares).sum() / counts.sum()))


if __name__ == "__main__":
    main()
