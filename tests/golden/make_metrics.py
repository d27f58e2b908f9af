"""Makes metrics.json: what independent programs say of two small pictures.

    pip install numpy scipy scikit-image && python make_metrics.py

SSIM and PSNR by scikit-image, the sliced distance of patches by SciPy's one-dimensional
Wasserstein distances of all patches, the border's saturation by matplotlib's HSV.
"""

import json
from pathlib import Path

import matplotlib
import numpy as np
import scipy
import skimage
from matplotlib.colors import rgb_to_hsv
from scipy.ndimage import convolve
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity


def pictures() -> tuple[np.ndarray, np.ndarray]:
    """Smooth colors and the same with noise, in 8 bits; of `test_metrics.pictures` too."""
    rng = np.random.RandomState(0)
    rows, columns = np.mgrid[0:40, 0:52] / 10
    waves = np.stack([np.sin(rows + columns), np.cos(columns), np.sin(2 * rows - columns)], axis=-1)
    first = (0.5 + 0.4 * waves).astype(np.float32)
    second = np.clip(first[::-1] + 0.1 * rng.standard_normal(first.shape), 0, 1)
    return tuple(np.round(x * 255).astype(np.uint8) / np.float32(255) for x in (first, second))


def ssim(image: np.ndarray, content: np.ndarray) -> float:
    luma = np.array([0.299, 0.587, 0.114])
    return structural_similarity(
        image.astype(float) @ luma,
        content.astype(float) @ luma,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1.0,
    )


def patch_distance(image: np.ndarray, style: np.ndarray) -> float:
    """Both of one size: of equal numbers of patches the distance is that of sorted values."""
    normal = np.random.RandomState(1).standard_normal((147, 128))
    directions = normal / np.linalg.norm(normal, axis=0)
    first, second = (
        np.sort(
            np.lib.stride_tricks.sliding_window_view(x.astype(float), (7, 7), axis=(0, 1))
            .transpose(0, 1, 3, 4, 2)
            .reshape(-1, 147)
            @ directions,
            axis=0,
        )
        for x in (image, style)
    )
    return float(np.sqrt(np.mean((first - second) ** 2)))


def chroma_speckle(image: np.ndarray, style: np.ndarray) -> float:
    kernel = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], float)

    def energy(picture: np.ndarray) -> float:
        chroma = rgb2ycbcr(picture.astype(float))[..., 1:]
        edges = [convolve(chroma[..., i], kernel)[1:-1, 1:-1] for i in range(2)]
        return float(np.mean(np.square(edges)))

    return energy(image) / energy(style)


def border_saturation(image: np.ndarray) -> float:
    saturation = rgb_to_hsv(image)[..., 1]
    inner = np.zeros(saturation.shape, bool)
    inner[2:-2, 2:-2] = True
    return float(saturation[~inner].mean() / saturation[8:-8, 8:-8].mean())


def main() -> None:
    content, image = pictures()
    found = {
        "ssim": float(ssim(image, content)),
        "psnr": float(peak_signal_noise_ratio(content, image, data_range=1)),
        "patch_distance": patch_distance(image, content),
        "chroma_speckle": chroma_speckle(image, content),
        "border_saturation": border_saturation(image),
        "versions": {each.__name__: each.__version__ for each in (np, scipy, skimage, matplotlib)},
    }
    path = Path(__file__).with_name("metrics.json")
    path.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
