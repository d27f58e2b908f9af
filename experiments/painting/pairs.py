"""The pairs of pictures on which recipes are compared."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from nst_jax.image.samples import PORTRAIT

# Contents of one shape share compiled programs.
_SHAPE = (4, 3)


class Pair(NamedTuple):
    """A content and a style by their files.

    Attributes:
      content: a name in the folder of pictures; None: the portrait that matplotlib brings along.
      style: a name in that folder.
      top: where the cut of 4 : 3 lies in a picture that is higher: 0 at its top, 1 at its bottom.
    """

    content: str | None
    style: str
    top: float = 0.5


SEARCHED_PAIRS: Mapping[str, Pair] = {
    "portrait": Pair(None, "style_vangogh_starry_night.jpg", top=0.1),
    "coffee": Pair("content_coffee.png", "style_munch_the_scream.jpg"),
    "cat": Pair("content_chelsea_cat.png", "style_hokusai_great_wave.jpg"),
}
"""On which the recipe was looked for."""

UNTOUCHED_PAIRS: Mapping[str, Pair] = {
    "astronaut": Pair("astronaut.png", "style_matisse_woman_with_hat.jpg", top=0.0),
    "astronaut-squares": Pair("astronaut.png", "style_delaunay_metzinger.jpg", top=0.0),
    "rocket": Pair("content_rocket.jpg", "style_kandinsky_composition_viii.jpg"),
    "fig": Pair("Picture_0B_by_freespace.jpg", "style_picabia_udnie.jpg"),
    "brushes": Pair("Picture_1A_by_freespace.jpg", "style_leger_contrast_of_forms.jpg"),
    "wine": Pair("Wine_by_Jakkub_Mede.jpg", "style_vangogh_cafe_terrace.jpg", top=0.35),
    "dogs": Pair("friends_by_Aitzol_Berasategi.jpg", "style_klimt_adele_bloch_bauer.jpg", top=0.35),
    "hills": Pair("aitzgorri_by_Aitzol_Berasategi.jpg", "style_seurat_port_en_bessin.jpg"),
    "stream": Pair("life_by_Aitzol_Berasategi.jpg", "style_vangogh_irises.jpg"),
    "mountains": Pair("picosdeeuropa_by_Aitzol_Berasategi.jpg", "style_monet_water_lilies.jpg"),
    "dandelions": Pair("seeding_by_Clements_Engelhardt.jpg", "style_sakai_hoitsu_flowers.jpg"),
    "sunset": Pair("sunset_by_Aitzol_Berasategi.jpg", "style_werefkin_autumn_school.jpg"),
}
"""On which it was judged: nobody had seen a picture of them before."""

# Strips of another color are at the edges of the photographs of these paintings.
_CROPS = {"style_munch_the_scream.jpg": (0, 0, 1130, 1528)}


def files_of(pair: Pair, folder: Path, cropped: Path) -> tuple[Path, Path]:
    """Content and style of a pair, the content cut to 4 : 3.

    Args:
      pair: whose.
      folder: where the pictures are.
      cropped: gets what is cut out.

    Raises:
      FileNotFoundError: the folder lacks one; one line.
    """
    content = PORTRAIT if pair.content is None else folder / pair.content
    style = folder / pair.style
    if missing := [path.name for path in (content, style) if not path.is_file()]:
        raise FileNotFoundError(f"{folder} lacks {', '.join(missing)}")
    if pair.style in _CROPS:
        style = _cut_out(style, _CROPS[pair.style], cropped)
    with Image.open(content) as picture:
        return _cut_out(content, _box(*picture.size, pair.top), cropped), style


def _box(width: int, height: int, top: float) -> tuple[int, int, int, int]:
    """The largest cut of 4 : 3, as left, upper, right, lower."""
    across, down = _SHAPE
    if width * down > height * across:
        cut = height * across // down
        left = (width - cut) // 2
        return left, 0, left + cut, height
    cut = width * down // across
    upper = round((height - cut) * top)
    return 0, upper, width, upper + cut


def _cut_out(path: Path, box: tuple[int, int, int, int], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    cut = folder / f"{path.stem}.png"
    with Image.open(path) as picture:
        picture.convert("RGB").crop(box).save(cut)
    return cut
