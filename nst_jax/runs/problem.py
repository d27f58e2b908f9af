"""What a run minimises, how, and how long: what its settings come to, without a file or a word."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from nst_jax import driver, optimizers
from nst_jax import image as images
from nst_jax.choices import Convention, LayerBalance, OptimizerForm
from nst_jax.compiler import Program
from nst_jax.objective import (
    FeatureFn,
    LossWeights,
    Objective,
    Targets,
    compute_targets,
    in_gray,
    losses_without_features,
    make_objective,
    make_weights,
    relative_weights,
)
from nst_jax.optimizers import Optimizer
from nst_jax.runlog import Variant

# Of a loss: what rounding leaves, or another file of the same picture; and what is no aim.
_NOTHING, _LITTLE = 1e-6, 0.1


class Pictures(NamedTuple):
    """The pictures of a run, RGB in [0, 1].

    Attributes:
      content: (h, w, 3).
      styles: `{name: picture}`, as the variants name them.
      starts: pictures to start from, by the path in `Variant.init`.
      alpha: (h, w), what the result shall have of the content's transparency; None: it is opaque.
    """

    content: Float[np.ndarray, "h w 3"]
    styles: Mapping[str, np.ndarray]
    starts: Mapping[str, np.ndarray]
    alpha: np.ndarray | None = None


class Problem(NamedTuple):
    """What the variants minimise, and where they start.

    Attributes:
      objectives: one a style, by its name.
      targets: of these.
      pictures: of the run.
      layer_balance: how layers are weighed against one another.
      noise: standard deviation of the noise that is added to each start.
      gray: whether the images are gray.
    """

    objectives: Mapping[str, Objective]
    targets: Mapping[str, Targets]
    pictures: Pictures
    layer_balance: LayerBalance = "equal"
    noise: float = 0.0
    gray: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """(h, w, 3) of the image."""
        return self.pictures.content.shape

    @property
    def style_layers(self) -> tuple[str, ...]:
        """Whose Gram matrices are matched, in the order of the log."""
        return tuple(next(iter(self.targets.values())).style)

    def start(self, variant: Variant) -> Float[np.ndarray, "h w 3"]:
        """The initial image of a variant."""
        return images.initial_image(
            self.pictures.starts.get(variant.init, variant.init),
            self.pictures.content,
            self.pictures.styles[variant.style],
            seed=variant.seed,
            noise=self.noise,
            gray=self.gray,
        )

    def weights(self, variant: Variant) -> LossWeights:
        """Of the loss terms and of the layers, for one variant."""
        targets = self.targets[variant.style]
        weights = make_weights(
            targets,
            content=variant.content_weight,
            style=variant.style_weight,
            total_variation=variant.tv_weight,
        )
        return relative_weights(targets, weights) if self.layer_balance == "relative" else weights

    def is_at_minimum(self, variant: Variant, terms: Mapping[str, float]) -> bool:
        """Whether an image of these terms leaves nothing to gain: it has all that is asked for.

        Content and style are then nothing beside what an image without features would have, and
        the total variation is little.
        """
        weights = self.weights(variant)
        of_content, of_style = losses_without_features(self.targets[variant.style])
        content = variant.content_weight * float(np.dot(weights.content_layers, of_content))
        style = variant.style_weight * float(np.dot(weights.style_layers, of_style))
        return (
            variant.content_weight * terms["content"] <= _NOTHING * content
            and variant.style_weight * terms["style"] <= _NOTHING * style
            and variant.tv_weight * terms["total_variation"] <= _LITTLE * (content + style)
        )

    def in_8_bits(self, state: driver.State) -> UInt8[np.ndarray, "v h w 3"]:
        """The images of a state as they are saved."""
        pictures = images.to_uint8(driver.pictures(state))
        # A compiled step may leave a channel a last bit off the others.
        return images.spread_first_channel(pictures) if self.gray else pictures


class Method(NamedTuple):
    """How a run minimises: the form of the update rules; each variant names its optimizer."""

    optimizer_form: OptimizerForm = "keras"

    def optimizer(self, variant: Variant) -> Optimizer:
        """The optimizer of a variant."""
        return optimizers.named(variant.optimizer, form=self.optimizer_form)


class Schedule(NamedTuple):
    """How long a run goes on.

    Attributes:
      steps: at most.
      snapshot_every: period of the pictures that the log keeps; 0: none.
      tolerance: see `driver.has_converged`; None: all steps.
    """

    steps: int
    snapshot_every: int = 0
    tolerance: float | None = None


def make_problem(
    feature_fn: FeatureFn,
    pictures: Pictures,
    *,
    content_layers: Sequence[str],
    style_layers: Sequence[str],
    convention: Convention = "report",
    layer_balance: LayerBalance = "equal",
    noise: float = 0.0,
    gray: bool = False,
) -> Problem:
    """The targets of every style, computed once, and the objectives.

    Args:
      feature_fn: of the network, for all layers that follow.
      pictures: of the run.
      content_layers: by Keras's names.
      style_layers: by Keras's names.
      convention: of the formulas.
      layer_balance, noise, gray: see `Problem`.
    """
    compute: Callable = Program(
        compute_targets, static_argnames=("content_layers", "style_layers", "convention")
    )
    targets = {
        name: compute(
            feature_fn,
            pictures.content,
            style,
            content_layers=tuple(content_layers),
            style_layers=tuple(style_layers),
            convention=convention,
        )
        for name, style in pictures.styles.items()
    }
    objectives = {name: make_objective(feature_fn, each) for name, each in targets.items()}
    if gray:
        objectives = {name: in_gray(each) for name, each in objectives.items()}
    return Problem(objectives, targets, pictures, layer_balance, noise, gray)
