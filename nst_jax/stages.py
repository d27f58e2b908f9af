"""Coarse to fine: the state of a run at another size of its image.

Strokes are as large as what the network sees of them. A run that begins with a small image lays out
large ones, in cheap steps; later stages, each with a larger image, add what is finer.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nst_jax.optimizers import Optimizer
from nst_jax.steps import Hyperparameters, State, init_state
from nst_jax.terms import Objective, Weights


class Stage(NamedTuple):
    """A part of a run at one size of its image.

    Attributes:
      objective: made of pictures of this size.
      weights: of its loss terms.
      shape: (h, w, 3) of the image.
      num_steps: of this stage, at least 1.
      rate: factor of the run's learning rate, positive.
    """

    objective: Objective
    weights: Weights
    shape: tuple[int, ...]
    num_steps: int
    rate: float = 1.0


def grow(
    state: State, shape: tuple[int, ...], hyper: Hyperparameters, *, optimizer: Optimizer
) -> State:
    """The state from which the next stage goes on.

    The picture so far is resized by Lanczos interpolation and clipped; what becomes of the
    optimizer's state is its own business (`Optimizer.resize`). Steps are counted on, and an average
    of images begins anew.

    Args:
      state: after the last step of a stage, leading axis v.
      shape: (h, w, 3) of the image in the next one.
      hyper: of the next stage, leading axis v.
      optimizer: static.

    Returns:
      A state whose buffers are nobody else's; of a variant that has diverged its last good image is
      resized as well, and it stays as it is.
    """
    fresh = init_state(resize(jnp.asarray(state.picture), shape), optimizer, hyper)
    return fresh._replace(
        step=state.step,
        last_good=resize(state.last_good, shape),
        opt_state=jax.vmap(optimizer.resize)(fresh.opt_state, state.opt_state),
        diverged_step=state.diverged_step,
    )


def resize(images: Float[Array, "v h w 3"], shape: tuple[int, ...]) -> Float[Array, "v h2 w2 3"]:
    """Images of another size, in [0, 1]; of the same size they are left alone.

    Args:
      images: in [0, 1] or thereabouts.
      shape: (h2, w2, 3).
    """
    if images.shape[1:] == shape:
        return images
    # Not cubic, which keeps grain on old pixels and smooths it between them: at a factor of 1.4 the
    # variance of independent pixels then differs by 1.56, a weave that stays in the picture. With
    # this kernel it differs by 1.15.
    resized = jax.image.resize(
        images, (len(images), *shape), "lanczos5", precision=jax.lax.Precision.HIGHEST
    )
    return jnp.clip(resized, 0, 1)
