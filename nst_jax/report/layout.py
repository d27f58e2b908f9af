"""Where the labels of curves stand: beside their ends, and apart from each other."""

from collections.abc import Sequence

import numpy as np


def spread(positions: Sequence[float], gap: float, *, low: float, high: float) -> list[float]:
    """Ascending positions moved as little as possible to be `gap` apart, from `low` to `high`.

    Args:
      positions: where the curves end, ascending, in any unit.
      gap: between two labels, in that unit.
      low: no label stands below it.
      high: no label stands above it, unless there are more than fit.

    Returns:
      A place for each position, in the same order. The sum of squared moves is the least but
      for the limits.
    """
    # Subtract the gaps: what remains must only ascend, which is isotonic regression. Neighbors
    # that do not ascend are pooled at their mean (pool adjacent violators).
    blocks: list[tuple[float, int]] = []
    for i, position in enumerate(positions):
        mean, count = position - i * gap, 1
        while blocks and blocks[-1][0] > mean:
            before, length = blocks.pop()
            mean = (before * length + mean * count) / (length + count)
            count += length
        blocks.append((mean, count))
    starts = [mean for mean, count in blocks for _ in range(count)]
    room = max(low, high - gap * (len(positions) - 1))
    return [float(np.clip(start, low, room)) + i * gap for i, start in enumerate(starts)]
