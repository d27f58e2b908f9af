"""Whether a classifier still sees in an image what it saw in the content."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_TRAINED_SIDE = 227


class Recognition(NamedTuple):
    """What becomes of the content's class.

    Attributes:
      agreement: 1 if the likeliest class is still that of the content, else 0.
      probability: that the classifier gives to the content's class in the image.
    """

    agreement: Float[Array, "*batch"]
    probability: Float[Array, "*batch"]


@jax.jit
def class_logits(
    image: Float[Array, "*batch h w 3"], classifier: jax.tree_util.Partial
) -> Float[Array, "*batch classes"]:
    """What SqueezeNet says of a picture of any size, brought to the size of its training.

    Args:
      image: RGB in [0, 1], (..., h, w, 3). It is seen as a whole, with its shorter side at 227
        pixels: the mean over locations takes any aspect.
      classifier: `squeezenet.feature_fn` of the layer conv10.
    """
    *batch, height, width, channels = image.shape
    scale = _TRAINED_SIDE / min(height, width)
    shape = (*batch, round(height * scale), round(width * scale), channels)
    # The filter rings beyond [0, 1] only for cubic kernels; this one stays within.
    resized = jax.image.resize(image, shape, "linear")
    logits: Array = jnp.mean(classifier(resized)["conv10"], axis=(-3, -2))
    return logits


@jax.jit
def recognition(
    logits: Float[Array, "*batch classes"], content_logits: Float[Array, "*batch classes"]
) -> Recognition:
    """Compares what a classifier says of an image with what it says of the content.

    Args:
      logits: of the image, (..., class).
      content_logits: of the content.
    """
    expected = jnp.argmax(content_logits, axis=-1, keepdims=True)
    agrees = jnp.argmax(logits, axis=-1, keepdims=True) == expected
    probabilities = jnp.take_along_axis(jax.nn.softmax(logits), expected, axis=-1)
    return Recognition(agrees[..., 0].astype(logits.dtype), probabilities[..., 0])
