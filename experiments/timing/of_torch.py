"""PyTorch, eager or compiled, channels last; bfloat16 by autocast, TF32 by its switch."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F

from timing.problem import (
    BLOCKS,
    CONTENT_WEIGHT,
    LEARNING_RATE,
    STYLE_LAYERS,
    STYLE_WEIGHT,
    Problem,
    Steps,
    layers,
)

MEAN_BGR = (103.939, 116.779, 123.68)
_DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

Features = tuple[list[torch.Tensor], torch.Tensor]
"""Gram matrices of the style layers, and the content layer."""


def steps(problem: Problem, variants: int, precision: str) -> Steps:
    """Eager steps of one variant."""
    del variants
    return _steps(problem, precision, lambda loss_of: loss_of)


def compiled_steps(problem: Problem, variants: int, precision: str) -> Steps:
    """The same under `torch.compile`."""
    del variants
    return _steps(problem, precision, torch.compile)


def _steps(problem: Problem, precision: str, prepared: Callable) -> Steps:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = True
    image = _as_image(problem["content"]).requires_grad_()
    optimizer = torch.optim.Adam([image], lr=LEARNING_RATE, eps=1e-7)
    loss_of = prepared(_loss_of(problem, precision))

    def step():
        optimizer.zero_grad()
        loss = loss_of(image)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            image.clamp_(0, 1)
        return loss.detach()

    return step, 1


def _loss_of(problem: Problem, precision: str) -> Callable[[torch.Tensor], torch.Tensor]:
    is_low = precision == "bfloat16"
    extract = _extractor(problem)
    with torch.no_grad(), torch.autocast(_DEVICE, torch.bfloat16, enabled=is_low):
        wanted = extract(_as_image(problem["style"]))[0]
        kept = extract(_as_image(problem["content"]))[1]

    def loss_of(image):
        with torch.autocast(_DEVICE, torch.bfloat16, enabled=is_low):
            grams, content = extract(image)
        style = sum(F.mse_loss(a, b) for a, b in zip(grams, wanted, strict=True))
        return CONTENT_WEIGHT * F.mse_loss(content, kept) + STYLE_WEIGHT / len(grams) * style

    return loss_of


def _extractor(problem: Problem) -> Callable[[torch.Tensor], Features]:
    weights = _weights(problem)
    mean = torch.tensor(MEAN_BGR, device=_DEVICE).reshape(1, 3, 1, 1)

    def gram_of(flat):
        # Products in the layer's own precision, sums and result in float32, as ours.
        with torch.autocast(_DEVICE, enabled=False):
            return (flat @ flat.transpose(1, 2)).float() / flat.shape[2]

    def extract(image):
        x, grams = image.flip(1) * 255 - mean, []
        for block, count in enumerate(BLOCKS, start=1):
            for conv in range(1, count + 1):
                name = f"block{block}_conv{conv}"
                x = F.relu(F.conv2d(x, *weights[name], padding=1))
                if name in STYLE_LAYERS:
                    grams.append(gram_of(x.flatten(2)))
            if block < len(BLOCKS):
                x = F.max_pool2d(x, 2)
        return grams, x.float()

    return extract


def _weights(problem: Problem) -> Mapping[str, tuple[torch.Tensor, torch.Tensor]]:
    """Kernel and bias by layer."""
    return {
        layer: (
            _on_device(problem[f"kernel/{layer}"].transpose(3, 2, 0, 1)).to(
                memory_format=torch.channels_last
            ),
            _on_device(problem[f"bias/{layer}"]),
        )
        for layer in layers()
    }


def _as_image(array: np.ndarray) -> torch.Tensor:
    image = _on_device(array.transpose(2, 0, 1)[None])
    return image.to(memory_format=torch.channels_last)


def _on_device(array: np.ndarray) -> torch.Tensor:
    return torch.tensor(np.ascontiguousarray(array), device=_DEVICE)


def device() -> str:
    """cpu or gpu, as PyTorch would have it."""
    return "gpu" if torch.cuda.is_available() else "cpu"


def peak_bytes() -> int | None:
    """Of a GPU."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
