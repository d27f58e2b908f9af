"""What all programs of the benchmark minimise: the report's loss, up to its content layer."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

CONTENT_LAYER = "block5_conv2"
STYLE_LAYERS = tuple(f"block{block}_conv1" for block in range(1, 6))
CONTENT_WEIGHT, STYLE_WEIGHT = 1e4, 1e-2
LEARNING_RATE = 0.02
BLOCKS = (2, 2, 4, 4, 2)
"""Convolutions of each block, up to the content layer."""

Problem = Mapping[str, np.ndarray]
"""The pictures `content` and `style`, and the weights `kernel/LAYER` and `bias/LAYER`."""

Steps = tuple[Callable[[], Any], int]
"""Takes some steps and returns the last total, which may still be under way; how many they are."""


def layers() -> list[str]:
    """Names of the convolutions up to the content layer."""
    return [
        f"block{block}_conv{conv}"
        for block, count in enumerate(BLOCKS, start=1)
        for conv in range(1, count + 1)
    ]
