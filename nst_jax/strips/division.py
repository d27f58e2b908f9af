"""Which pictures are computed whole, and which in strips."""

from collections.abc import Callable
from typing import NamedTuple

from nst_jax import vgg
from nst_jax.choices import Precision

ROWS = 128
"""Of a strip, where nobody says it: its overlap is then a sixteenth."""
# Bytes of a step for each value of the layers' activations, by the compiler's account between 512
# and 1024 pixels: 6.4 (report) and 7.7 (painterly) in float32, 2.2 and 5.3 in bfloat16.
_BYTES_A_VALUE = {"bfloat16": 5.5}
_MOST_BYTES_A_VALUE = 8.0


class Division(NamedTuple):
    """What a run has to repeat for the same bytes, however much memory is free later.

    Attributes:
      strip_rows: of a strip, see `in_strips`; 0: all pictures are computed whole.
      whole_pixels: of the largest picture that is computed whole all the same.
    """

    strip_rows: int = 0
    whole_pixels: int = 0

    def rows_for(self, *shapes: tuple[int, ...]) -> int | None:
        """The rows of a strip for the largest of pictures (h, w, 3); None: they are whole."""
        pixels = max(height * width for height, width, *_ in shapes)
        return self.strip_rows if self.strip_rows and pixels > self.whole_pixels else None


def division_for(features_of: Callable, precision: Precision, available: int) -> Division:
    """The division of a network whose pictures may take so many bytes.

    By what the layers hold, and not by a try: a small picture needs no compilation for it.

    Args:
      features_of: of `vgg.feature_fn`.
      precision: of its convolutions.
      available: bytes that a program may take.

    Raises:
      ValueError: the network is another one.
    """
    found = vgg.anatomy(features_of)
    deepest = max(found.rows.index(layer) for layer in found.layers.values())
    values = sum(row.channels / row.stride**2 for row in found.rows[: deepest + 1])
    a_pixel = values * _BYTES_A_VALUE.get(precision, _MOST_BYTES_A_VALUE)
    return Division(ROWS, int(available / a_pixel))
