"""The pictures of the experiments: those of the library, and three pairs of the study's own."""

from pathlib import Path

from PIL import Image

from nst_jax.image.samples import PAINTING, PORTRAIT

__all__ = ["CONTENTS", "PAINTING", "PORTRAIT", "STYLES", "study_pictures"]

CONTENTS = ("content_chelsea_cat.png", "content_coffee.png", "content_rocket.jpg")
STYLES = (
    "style_hokusai_great_wave.jpg",
    "style_munch_the_scream.jpg",
    "style_vangogh_starry_night.jpg",
)
# A strip of another color is at the right edge of the photograph of this painting.
_CROPS = {"style_munch_the_scream.jpg": (0, 0, 1130, 1528)}


def study_pictures(folder: Path, cropped: Path) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Three contents and three styles; crops are written into a folder of their own."""
    missing = [name for name in (*CONTENTS, *STYLES) if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{folder} lacks {', '.join(missing)}")
    styles = []
    for name in STYLES:
        path = folder / name
        if name in _CROPS:
            cropped.mkdir(parents=True, exist_ok=True)
            path = cropped / f"{path.stem}.png"
            with Image.open(folder / name) as picture:
                picture.crop(_CROPS[name]).save(path)
        styles.append(path)
    return tuple(folder / name for name in CONTENTS), tuple(styles)
