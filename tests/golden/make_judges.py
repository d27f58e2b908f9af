"""Makes `judges.npz` with PyTorch, an oracle independent of this library: AlexNet and SqueezeNet.

The networks are written out here in torch's functions, from torchvision's definitions and, for
SqueezeNet in the form "caffe", from the layout of the converted weights. Weights and picture are
drawn from a seed (`random_params` in `tests/test_judge_networks.py` draws the same ones).

Versions that made the present file: PyTorch 2.13.0, numpy 2.4.6 (``meta``). How to run, in a
virtual environment of its own with torch for CPUs::

    python tests/golden/make_judges.py

Arrays, float32; a layer's features are compared by three numbers a channel, because a wrong
stride, padding or order of channels changes all of them:

- ``meta``: versions, as JSON.
- ``image`` (75, 90, 3): uint8; the program sees it / 255.
- ``alexnet/convI``, ``caffe/LAYER``, ``torchvision/LAYER`` (3, channels): the mean over locations
  of each channel, its value at the first and at the last location.
- ``caffe/logits``, ``torchvision/logits`` (1000,).
- ``FORM/gradient`` (15, 18, 3): of the mean of squares of the second layer (AlexNet) or the fifth
  at the picture, every fifth row and column.
- ``LAYER`` of each form with ``size/`` before it (2,): height and width of the features.
"""

import json
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

HERE = Path(__file__).resolve().parent
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MEAN_BGR = (104.006, 116.669, 122.679)
# Name, (out, in, height, width), in the order in which they are drawn.
ALEXNET = (
    ("conv1", (64, 3, 11, 11)),
    ("conv2", (192, 64, 5, 5)),
    ("conv3", (384, 192, 3, 3)),
    ("conv4", (256, 384, 3, 3)),
    ("conv5", (256, 256, 3, 3)),
)
# Name, input channels, channels after squeezing, of each expansion.
FIRES = (
    ("fire2", 64, 16, 64),
    ("fire3", 128, 16, 64),
    ("fire4", 128, 32, 128),
    ("fire5", 256, 32, 128),
    ("fire6", 256, 48, 192),
    ("fire7", 384, 48, 192),
    ("fire8", 384, 64, 256),
    ("fire9", 512, 64, 256),
)


def squeezenet_shapes():
    yield "conv1", (64, 3, 3, 3)
    for name, channels, squeezed, expanded in FIRES:
        yield f"{name}/squeeze1x1", (squeezed, channels, 1, 1)
        yield f"{name}/expand1x1", (expanded, squeezed, 1, 1)
        yield f"{name}/expand3x3", (expanded, squeezed, 3, 3)
    yield "conv10", (1000, 512, 1, 1)


def random_params(shapes):
    """He-normal kernels, drawn as (height, width, in, out), and small biases."""
    rng = np.random.RandomState(0)
    params = {}
    for name, (out, channels, height, width) in shapes:
        scale = np.float32(np.sqrt(2 / (height * width * channels)))
        kernel = rng.standard_normal((height, width, channels, out)).astype(np.float32) * scale
        bias = rng.standard_normal(out).astype(np.float32) * np.float32(0.1)
        params[name] = torch.tensor(kernel.transpose(3, 2, 0, 1).copy()), torch.tensor(bias)
    return params


def convolve(x, params, **options):
    kernel, bias = params
    return F.relu(F.conv2d(x, kernel, bias, **options))


def normalized(image):
    """An image (1, 3, h, w) in [0, 1] as torchvision's networks take it."""
    mean, deviation = (torch.tensor(x).reshape(3, 1, 1) for x in (MEAN, DEVIATION))
    return (image - mean) / deviation


def alexnet(image):
    params = random_params(ALEXNET)
    features = {}
    x = features["conv1"] = convolve(normalized(image), params["conv1"], stride=4, padding=2)
    x = F.max_pool2d(x, 3, 2)
    x = features["conv2"] = convolve(x, params["conv2"], padding=2)
    x = F.max_pool2d(x, 3, 2)
    for name in ("conv3", "conv4", "conv5"):
        x = features[name] = convolve(x, params[name], padding=1)
    return features


def fire(x, params, name):
    x = convolve(x, params[f"{name}/squeeze1x1"])
    expanded = convolve(x, params[f"{name}/expand1x1"])
    return torch.cat([expanded, convolve(x, params[f"{name}/expand3x3"], padding=1)], 1)


def first_of_caffe(image, params):
    """The first convolution with the padding "SAME": as many locations as ceil(length / 2)."""
    x = image.flip(1) * 255 - torch.tensor(MEAN_BGR).reshape(3, 1, 1)
    # (before, after) in the order left, right, top, bottom; an even length gets one after it alone.
    pads = [pad for length in (x.shape[3], x.shape[2]) for pad in (length % 2, 1)]
    return convolve(F.pad(x, pads), params["conv1"], stride=2)


def squeezenet(image, form):
    params = random_params(squeezenet_shapes())
    is_caffe = form == "caffe"
    features = {}
    if is_caffe:
        x = first_of_caffe(image, params)
    else:
        x = convolve(normalized(image), params["conv1"], stride=2)
    features["conv1"] = x
    for name, *_ in FIRES:
        if name in ("fire2", "fire4", "fire6"):
            x = F.max_pool2d(x, 3, 2, ceil_mode=not is_caffe)
        x = features[name] = fire(x, params, name)
    features["conv10"] = convolve(x, params["conv10"])
    return features


def summary(features):
    x = features[0]
    return torch.stack([x.mean((1, 2)), x[:, 0, 0], x[:, -1, -1]]).detach().numpy()


def main():
    torch.set_num_threads(1)
    # One side is odd, one even: paddings and poolings of both forms have something to round.
    image = np.random.RandomState(1).randint(0, 256, (75, 90, 3)).astype(np.uint8)
    x = torch.tensor(image.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255))
    x.requires_grad_()
    forms = {
        "alexnet": alexnet(x),
        "caffe": squeezenet(x, "caffe"),
        "torchvision": squeezenet(x, "torchvision"),
    }
    arrays = {"image": image}
    for form, features in forms.items():
        for layer, values in features.items():
            arrays[f"{form}/{layer}"] = summary(values)
            arrays[f"size/{form}/{layer}"] = np.array(values.shape[2:])
        middle = features["conv2" if form == "alexnet" else "fire5"]
        (gradient,) = torch.autograd.grad((middle**2).mean(), x, retain_graph=True)
        arrays[f"{form}/gradient"] = gradient[0].permute(1, 2, 0)[::5, ::5].numpy()
        if form != "alexnet":
            arrays[f"{form}/logits"] = features["conv10"].mean((2, 3))[0].detach().numpy()
    meta = json.dumps({"torch": torch.__version__, "numpy": np.__version__})
    np.savez_compressed(HERE / "judges.npz", meta=np.array(meta), **arrays)


if __name__ == "__main__":
    main()
