"""Pictures that an installation brings along: a public-domain portrait and the bundled painting."""

from importlib import resources
from pathlib import Path

from matplotlib import cbook

from nst_jax.image import reading, writing
from nst_jax.system import files

PORTRAIT = Path(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
PAINTING = Path(str(resources.files("nst_jax") / "data" / "painting.png"))


def write(folder: Path, *, force: bool = False) -> list[Path]:
    """Writes them as portrait.jpg and painting.jpg.

    Args:
      folder: where they go; it is made if need be.
      force: overwrite existing files.

    Returns:
      The two files, the portrait first.

    Raises:
      OSError: one of them exists, or cannot be written; one line.
    """
    written = {folder / "portrait.jpg": PORTRAIT, folder / "painting.jpg": PAINTING}
    for path in written:
        files.check_output(path, force=force)
    for path, source in written.items():
        writing.save(path, reading.load(source))
    return list(written)
