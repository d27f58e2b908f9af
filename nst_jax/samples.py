"""Pictures that an installation brings along: a public-domain portrait and the bundled painting."""

from importlib import resources
from pathlib import Path

from matplotlib import cbook

PORTRAIT = Path(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
PAINTING = Path(str(resources.files("nst_jax") / "data" / "painting.png"))
