"""Colors of one picture on another: the content's kept, or the style's brought to them.

References:
  Gatys, Bethge, Hertzmann, Shechtman, "Preserving Color in Neural Artistic Style Transfer", 2016,
  which describes both ways, and optimizing the luminance alone.
"""

import numpy as np
from jaxtyping import Float

from nst_jax import pixels
from nst_jax.image.arrays import bands

# From red, green and blue to Y and its differences from blue and red (ITU-R BT.601).
_LUMA = np.array([0.299, 0.587, 0.114])
_TO_YCC = np.stack(
    [
        _LUMA,
        ([0, 0, 1] - _LUMA) / (2 - 2 * _LUMA[2]),
        ([1, 0, 0] - _LUMA) / (2 - 2 * _LUMA[0]),
    ]
)
_FROM_YCC = np.linalg.inv(_TO_YCC)
# Added to the variance of each color: a picture of one color has none. A level of 8 bits, squared.
_LEAST_VARIANCE = 1 / 255**2


def with_colors_of(
    image: Float[np.ndarray, "*batch h w 3"], colors: Float[np.ndarray, "h w 3"]
) -> Float[np.ndarray, "*batch h w 3"]:
    """The light of one picture with the colors of another: its luma Y, their C_B and C_R.

    Args:
      image: RGB in [0, 1], (..., h, w, 3).
      colors: of the same size.

    Returns:
      A new float32 array, clipped to [0, 1]: what is very light or dark has less color.

    Raises:
      ValueError: an array is no picture in [0, 1].
    """
    image = np.asarray(pixels.check_picture("image", image, batch=True))
    colors = np.asarray(pixels.check_picture("colors", colors))
    found = np.empty(np.broadcast_shapes(image.shape, colors.shape), np.float32)
    for rows in bands(colors.shape):
        part = image[..., rows, :, :]
        components = np.broadcast_to(colors[rows] @ _TO_YCC.T, part.shape).copy()
        components[..., 0] = part @ _LUMA
        found[..., rows, :, :] = np.clip(components @ _FROM_YCC.T, 0, 1)
    return found


def match_colors(
    image: Float[np.ndarray, "h w 3"], target: Float[np.ndarray, "h2 w2 3"]
) -> Float[np.ndarray, "h w 3"]:
    """A picture with the mean and the covariance of another's colors.

    x' = T (x - m) + m',  T = C^(-1/2) (C^(1/2) C' C^(1/2))^(1/2) C^(-1/2)

    Of all linear maps that do it, this one changes colors the least.

    Args:
      image: RGB in [0, 1], with the mean m and the covariance C.
      target: of any size, with m' and C'.

    Returns:
      A new float32 array, clipped to [0, 1].

    Raises:
      ValueError: an array is no picture in [0, 1].
    """
    image = np.asarray(pixels.check_picture("image", image))
    target = np.asarray(pixels.check_picture("target", target))
    (mean, covariance), (wanted_mean, wanted) = _moments(image), _moments(target)
    root = _power(covariance, 0.5)
    inverse = _power(covariance, -0.5)
    change = inverse @ _power(root @ wanted @ root, 0.5) @ inverse
    found = np.empty(image.shape, np.float32)
    for rows in bands(image.shape):
        found[rows] = np.clip((image[rows] - mean) @ change + wanted_mean, 0, 1)
    return found


def _moments(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the colors, in float64."""
    parts = [image[rows].reshape(-1, 3) for rows in bands(image.shape)]
    count = len(image) * image.shape[1]
    mean = sum(part.sum(axis=0, dtype=np.float64) for part in parts) / count
    products = sum((part - mean).T @ (part - mean) for part in parts)
    return mean, products / count + _LEAST_VARIANCE * np.eye(3)


def _power(matrix: np.ndarray, exponent: float) -> np.ndarray:
    """Of a symmetric matrix with positive eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * values**exponent) @ vectors.T
