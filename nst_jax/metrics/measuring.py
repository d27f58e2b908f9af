"""All metrics of one image at once."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from nst_jax import pixels
from nst_jax.metrics import classification, fidelity, flaws, patches, perceptual, style, table

SMALLEST_SIDE = 31
"""Of a picture that can be judged, in pixels: AlexNet sees nothing of a smaller one."""


class Judges(NamedTuple):
    """The networks that judge; without one, its metrics are left out.

    Attributes:
      alexnet: from an image to its features, see `alexnet.feature_fn`.
      linear: LPIPS's weights of AlexNet's channels, by layer.
      squeezenet: from an image to conv10, see `squeezenet.feature_fn`.
    """

    alexnet: jax.tree_util.Partial | None = None
    linear: Mapping[str, Array] | None = None
    squeezenet: jax.tree_util.Partial | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics that they allow, in the order of `METRICS`."""
        networks = {"alexnet": self.alexnet, "squeezenet": self.squeezenet, None: self}
        return tuple(
            name
            for name, metric in table.METRICS.items()
            if networks[metric.judge] is not None and (name != "lpips" or self.linear is not None)
        )


def measure(
    image: Float[Array | np.ndarray, "h w 3"],
    content: Float[Array | np.ndarray, "h w 3"],
    painting: Float[Array | np.ndarray, "h2 w2 3"],
    judges: Judges = Judges(),  # noqa: B008 (it is immutable)
) -> dict[str, float]:
    """Every metric of an image that the judges allow.

    One program for each two shapes; it holds no weights.

    Args:
      image: RGB in [0, 1], `SMALLEST_SIDE` pixels at least each way.
      content: of the same size.
      painting: the style picture, `SMALLEST_SIDE` at least each way. Take it in the size in which
        its strokes were taken: metrics compare pixels with pixels.
      judges: the networks.

    Returns:
      By the names of `METRICS`, in its order. Infinite: the ratio of the content itself (`psnr`),
      of a gray style (`chroma_speckle`); NaN: a ratio of nothing to nothing.

    Raises:
      ValueError: an array that is no picture, too small, or of another size than the content.
    """
    for name, picture in (("image", image), ("content", content), ("painting", painting)):
        check_size(name, pixels.check_picture(name, picture).shape)
    if image.shape != content.shape:
        sizes = [f"{x.shape[1]} x {x.shape[0]}" for x in (image, content)]
        raise ValueError(f"`content` must have the size of `image`, {sizes[0]}, got {sizes[1]}")
    found = _measure(*map(jnp.asarray, (image, content, painting)), judges)
    return {name: float(found[name]) for name in judges.names}


def check_size(name: str, shape: tuple[int, ...]) -> None:
    """Refuses a picture that is too small to be judged.

    Args:
      name: of the picture, for the error.
      shape: (h, w, 3).

    Raises:
      ValueError: one line.
    """
    if min(shape[:2]) < SMALLEST_SIDE:
        raise ValueError(
            f"{name} has {shape[1]} x {shape[0]} pixels: metrics need {SMALLEST_SIDE} at least "
            "each way"
        )


@jax.jit
def _measure(image: Array, content: Array, painting: Array, judges: Judges) -> dict[str, Array]:
    return {
        "ssim": fidelity.ssim(image, content),
        "psnr": fidelity.psnr(image, content),
        **_by_features(image, content, painting, judges),
        **_by_classes(image, content, judges),
        "patch_distance": patches.patch_distance(image, painting),
        "chroma_speckle": flaws.chroma_speckle(image, painting),
        "border_saturation": flaws.border_saturation(image),
    }


def _by_features(image: Array, content: Array, painting: Array, judges: Judges) -> dict[str, Array]:
    if judges.alexnet is None:
        return {}
    features, kept, wanted = map(judges.alexnet, (image, content, painting))
    distances = style.style_distances(features, wanted)
    found = {f"style_distance_{layer}": each for layer, each in distances.items()}
    found["style_distance"] = jnp.mean(jnp.stack(list(distances.values())))
    if judges.linear is not None:
        found["lpips"] = perceptual.lpips(features, kept, judges.linear)
    return found


def _by_classes(image: Array, content: Array, judges: Judges) -> dict[str, Array]:
    if judges.squeezenet is None:
        return {}
    logits = [classification.class_logits(x, judges.squeezenet) for x in (image, content)]
    seen = classification.recognition(*logits)
    return {"class_agreement": seen.agreement, "class_probability": seen.probability}
