"""The image that the optimization starts from."""

import math

import numpy as np
from jaxtyping import Float

from nst_jax import pixels
from nst_jax.image import arrays


def initial_image(
    kind: str | Float[np.ndarray, "hk wk 3"],
    content: Float[np.ndarray, "h w 3"],
    style: Float[np.ndarray, "hs ws 3"],
    *,
    seed: int = 0,
    noise: float = 0.0,
    gray: bool = False,
) -> Float[np.ndarray, "h w 3"]:
    """The image that the optimization starts from, as large as the content image.

    Args:
      kind: "content"; "noise", uniform in [0, 1]; "style", the largest central part of the
        style image that has the content's aspect; "blend", the mean of content and that part; or
        an image, of which that part is taken too.
      content: the content image, RGB in [0, 1].
      style: the style image, of any size, RGB in [0, 1].
      seed: of the noise; it changes nothing else.
      noise: standard deviation s >= 0 of the normal noise that is added to any start, which is
        then clipped to [0, 1].
      gray: put the first channel into all three: gray pictures get gray noise.

    Returns:
      A new float32 array. The added noise is independent of the "noise" start: each has its own
      random stream.

    Raises:
      ValueError: an unknown kind, a negative seed, a negative or infinite `noise`, an array that
        is no picture in [0, 1].
    """
    content = np.asarray(pixels.check_picture("content", content))
    style = np.asarray(pixels.check_picture("style", style))
    if not (math.isfinite(noise) and noise >= 0):
        raise ValueError(f"`noise` (={noise}) must be a finite number, 0 or more")
    if seed < 0:
        raise ValueError(f"`seed` (={seed}) must be 0 or more")
    start_rng, noise_rng = np.random.default_rng(seed).spawn(2)
    start = _start(kind, content, style, start_rng)
    if noise:
        start += np.float32(noise) * noise_rng.standard_normal(start.shape, np.float32)
    np.clip(start, 0, 1, out=start)
    return arrays.spread_first_channel(start) if gray else start


def _start(
    kind: str | np.ndarray, content: np.ndarray, style: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    height, width = content.shape[:2]
    if not isinstance(kind, str):
        image = np.asarray(pixels.check_picture("kind", kind))
        return arrays.central_part(image, height, width)
    if kind == "content":
        return content.astype(np.float32)
    if kind == "noise":
        return rng.random(content.shape, np.float32)
    if kind == "style":
        return arrays.central_part(style, height, width)
    if kind == "blend":
        return (content.astype(np.float32) + arrays.central_part(style, height, width)) / 2
    raise ValueError(f"`kind` must be content, noise, style, blend or an image, got {kind!r}")
