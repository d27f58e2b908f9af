"""How much of the content's pixels an image keeps: SSIM and PSNR.

Both compare pixel with pixel, so they punish every stylization: the best value is that of an image
that was not painted at all. They mean something beside a distance from the style alone.
"""

from collections.abc import Sequence
from functools import partial

import dm_pix
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nst_jax.losses.arithmetic import at_least_float32
from nst_jax.metrics.colors import luma


@jax.jit
def ssim(
    image: Float[Array, "*batch h w 3"], content: Float[Array, "*#batch h w 3"]
) -> Float[Array, "*batch"]:
    """The structural similarity of the lumas, a mean over all windows.

    (2 m m' + c_1) (2 s'' + c_2) / ((m^2 + m'^2 + c_1) (s^2 + s'^2 + c_2)),  c_1 = 0.01^2,
    c_2 = 0.03^2, with means m, variances s^2 and covariance s'' of Gaussian windows of 11 x 11
    pixels and deviation 1.5 that lie wholly in the image.

    Args:
      image: RGB in [0, 1], (..., h, w, 3), at least 11 x 11.
      content: of the same size.

    Returns:
      From -1 to 1; 1 of the content itself.

    References:
      Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to
      structural similarity", 2004, equation 13 and section III-C.
    """
    structure: Array = _of_each(dm_pix.ssim)(*map(luma, _wide(image, content)))
    return structure


@jax.jit
def psnr(
    image: Float[Array, "*batch h w 3"], content: Float[Array, "*#batch h w 3"]
) -> Float[Array, "*batch"]:
    """The peak signal-to-noise ratio, -10 log10 of the mean square difference of all values.

    Args:
      image: RGB in [0, 1], (..., h, w, 3).
      content: of the same size.

    Returns:
      In decibels; infinite of the content itself.
    """
    ratio: Array = _of_each(dm_pix.psnr)(*_wide(image, content))
    return ratio


# Of itself dm-pix takes one axis of a batch at most.
_of_each = partial(jnp.vectorize, signature="(h,w,c),(h,w,c)->()")


def _wide(*pictures: Array) -> Sequence[Array]:
    """Both in float32 or wider, with the axes of the batch that one may lack."""
    return jnp.broadcast_arrays(*map(at_least_float32, pictures))
