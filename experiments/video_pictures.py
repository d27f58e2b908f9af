"""The pictures of the page on videos: a clip and the same frames one by one, still and moving.

    nst-jax video frames/ style.jpg --output clip/ ...
    nst-jax stylize frames/ style.jpg --output alone/ ...
    python experiments/video_pictures.py alone/ clip/ docs/images/video

Writes sheet.jpg, four frames of each, and clip.webp, an animation: above one by one, below as a
clip.
"""

import sys
from pathlib import Path

from PIL import Image

SHOWN = 4
GAP = 4
MILLISECONDS = 120


def main(alone: Path, clip: Path, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    rows = [sorted(folder.glob("*.png")) for folder in (alone, clip)]
    steps = [round(i * (len(rows[0]) - 1) / (SHOWN - 1)) for i in range(SHOWN)]
    columns = [stacked([Image.open(row[i]).convert("RGB") for i in steps]) for row in rows]
    sheet = Image.new("RGB", (2 * columns[0].width + GAP, columns[0].height), "white")
    for i, column in enumerate(columns):
        sheet.paste(column, (i * (column.width + GAP), 0))
    sheet.save(output / "sheet.jpg", quality=88)
    pairs = zip(*rows, strict=True)
    moving = [stacked([Image.open(path).convert("RGB") for path in pair]) for pair in pairs]
    # There and back, so that the end is no jump.
    loop = [*moving, *moving[-2:0:-1]]
    loop[0].save(
        output / "clip.webp",
        save_all=True,
        append_images=loop[1:],
        duration=MILLISECONDS,
        loop=0,
        quality=70,
        method=6,
    )


def stacked(pictures: list[Image.Image]) -> Image.Image:
    """Pictures of one size, one below the other."""
    width, height = pictures[0].size
    sheet = Image.new("RGB", (width, len(pictures) * (height + GAP) - GAP), "white")
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (0, i * (height + GAP)))
    return sheet


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
