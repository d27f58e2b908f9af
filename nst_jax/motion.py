"""Motion between the frames of a clip: a picture moved by a flow, and where that can be relied on.

A flow from A to B says of each pixel p of A where its point is in B: at p + flow(p). So A is told
from B by looking up B there. With the flows both ways it is known where the two contradict each
other: at points that one of the frames does not show, and at the borders of what moves.

References:
  Ruder, Dosovitskiy, Brox, "Artistic Style Transfer for Videos", GCPR 2016, sections 4.1 to 4.3.
"""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Flow = Float[Array, "h w 2"]
"""(x, y) in pixels; not a number where it is not known."""


def warp(picture: Float[Array, "h w c"], flow: Flow) -> Float[Array, "h w c"]:
    """A picture moved: v(p) = u(p + flow(p)), between pixels by cubic convolution.

    Linear weights would soften the strokes a little with each frame, until after ten of them little
    of their grain were left.

    Args:
      picture: u, what is looked up.
      flow: from the frame that is wanted to that of `picture`.

    Returns:
      v, of the size of the flow, beside edges a little beyond the values of u. Beyond the border
      are the outermost pixels; where the flow is not known the picture is not moved.

    References:
      Keys, "Cubic convolution interpolation for digital image processing", IEEE Transactions on
      Acoustics, Speech, and Signal Processing 29 (1981), equation 15.
    """
    return _looked_up(picture, flow, _cubic)


def _looked_up(
    picture: Float[Array, "h w c"],
    flow: Flow,
    weights_of: Callable[[Float[Array, "h w"]], Mapping[int, Float[Array, "h w"]]],
) -> Float[Array, "h w c"]:
    """A picture moved, by the weights of the pixels around each point."""
    x, y = _places(jnp.where(jnp.isfinite(flow), flow, 0))
    height, width = picture.shape[:2]
    x, y = jnp.clip(x, 0, width - 1), jnp.clip(y, 0, height - 1)
    left, top = jnp.floor(x).astype(jnp.int32), jnp.floor(y).astype(jnp.int32)
    moved = jnp.zeros((*flow.shape[:2], picture.shape[2]), picture.dtype)
    for down, of_row in weights_of(y - top).items():
        row = jnp.clip(top + down, 0, height - 1)
        for beside, of_column in weights_of(x - left).items():
            column = jnp.clip(left + beside, 0, width - 1)
            moved += (of_row * of_column)[..., None] * picture[row, column]
    return moved


def _linear(fraction: Float[Array, "h w"]) -> dict[int, Float[Array, "h w"]]:
    return {0: 1 - fraction, 1: fraction}


def _cubic(fraction: Float[Array, "h w"]) -> dict[int, Float[Array, "h w"]]:
    """Keys's kernel at -1 - t, -t, 1 - t and 2 - t."""
    t = fraction
    return {
        -1: t * (t * (2 - t) - 1) / 2,
        0: (t * t * (3 * t - 5) + 2) / 2,
        1: t * (t * (4 - 3 * t) + 1) / 2,
        2: t * t * (t - 1) / 2,
    }


def _places(flow: Flow) -> tuple[Float[Array, "h w"], Float[Array, "h w"]]:
    """The columns and rows to which a flow leads."""
    height, width = flow.shape[:2]
    rows, columns = jnp.mgrid[:height, :width]
    return columns + flow[..., 0], rows + flow[..., 1]


def reliability(backward: Flow, forward: Flow) -> Float[Array, "h w"]:
    """Where a frame is told by an earlier one: 1, or 0 where it is not.

    With the backward flow b, from the frame to the earlier one, and the forward flow f moved to
    the frame, f'(p) = f(p + b(p)), a pixel does not count

    - if it was not to be seen: |f' + b|^2 > 0.01 (|f'|^2 + |b|^2) + 0.5,
    - at a border of motion: |grad b_x|^2 + |grad b_y|^2 > 0.01 |b|^2 + 0.002,
    - if it comes from beyond the picture, or either flow is not known there.

    Args:
      backward: b.
      forward: f, from the earlier frame to this one.

    References:
      Ruder, Dosovitskiy, Brox 2016, equations 5 and 6, after Sundaram, Brox, Keutzer, ECCV 2010.
    """
    # Cubic weights would carry what is not known farther, and swing over at borders of motion.
    moved = _looked_up(_with_unknown(forward), backward, _linear)
    squares = _squares(moved) + _squares(backward)
    is_seen = _squares(moved + backward) <= 0.01 * squares + 0.5
    down, beside = jnp.gradient(backward, axis=(0, 1))
    slopes = _squares(down) + _squares(beside)
    is_within = slopes <= 0.01 * _squares(backward) + 0.002
    x, y = _places(backward)
    height, width = backward.shape[:2]
    is_inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    # Comparisons with what is not a number are false.
    return (is_seen & is_within & is_inside).astype(jnp.float32)


def _with_unknown(flow: Flow) -> Flow:
    """A flow that is not known in one direction is known in neither."""
    return jnp.where(jnp.isfinite(flow).all(axis=-1, keepdims=True), flow, jnp.nan)


def _squares(vectors: Float[Array, "h w 2"]) -> Float[Array, "h w"]:
    return jnp.sum(jnp.square(vectors), axis=-1)


def predict(
    pictures: Sequence[Float[Array, "h w 3"]],
    backward: Sequence[Flow],
    forward: Sequence[Flow],
) -> tuple[Float[Array, "h w 3"], Float[Array, "h w"]]:
    """A frame as earlier results tell it, and where they can be relied on.

    Each pixel is that of the latest frame that tells it: a point that was hidden for a while has
    its color again that it had before. With reliabilities of 0 and 1 this is the long-term
    consistency of the paper, whose weights c_long = max(c_j - sum of c of all later frames, 0) are
    1 for that frame alone.

    Args:
      pictures: results of earlier frames, the latest one first, one at least.
      backward: from the frame to each of them.
      forward: from each of them to the frame.

    Returns:
      The prediction, and its reliability, 0 or 1. Where no frame tells a pixel, it is that of the
      latest one.

    References:
      Ruder, Dosovitskiy, Brox 2016, equations 9 and 10.
    """
    moved = [
        jnp.clip(warp(picture, flow), 0, 1)
        for picture, flow in zip(pictures, backward, strict=True)
    ]
    counts = [reliability(*flows) for flows in zip(backward, forward, strict=True)]
    picture, count = moved[0], counts[0]
    for older, own in zip(moved[1:], counts[1:], strict=True):
        picture = jnp.where((count == 0)[..., None] & (own > 0)[..., None], older, picture)
        count = jnp.maximum(count, own)
    return picture, count


def resize(flow: Flow, height: int, width: int) -> Float[Array, "h2 w2 2"]:
    """A flow of a picture of another size.

    Args:
      flow: in pixels of its own size.
      height: of the other picture.
      width: of the other picture.

    Returns:
      (height, width, 2), in pixels of that one; not known where any of the pixels is not that it
      is made of.
    """
    factors = jnp.array([width / flow.shape[1], height / flow.shape[0]], jnp.float32)
    return jax.image.resize(flow, (height, width, 2), "linear") * factors[None, None]
