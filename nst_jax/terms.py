"""An open objective: any sum of named terms, for any number of pictures, anywhere in the picture.

    L = sum_t a_t L_t,    L_t = sum_p v_tp L_tp

with the weights a of the terms t and v of their parts p, mostly layers of the network.

A term is three pure functions. `init` makes its targets of the pictures that it names, once.
`measure` gives statistics of an image as sums over locations, so that parts of a picture, weights
of locations and several pictures are one thing to it. `loss` compares the sums of the whole image
with the targets.

    pictures = {"content": view(feature_fn, content), "style": view(feature_fn, style)}
    objective = compose(feature_fn, {"content": content(["block4_conv2"]),
                                     "style": wasserstein(["block1_conv1", "block3_conv1"]),
                                     "smooth": variation("squared")}, pictures)
    weights = weigh(objective, {"content": 1.0, "style": 0.1, "smooth": 1e-4})
    total, found = objective(image, weights)
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from nst_jax import losses
from nst_jax.objective import FeatureFn, as_pytree

