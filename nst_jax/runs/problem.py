"""What a run minimises, how, and how long: what its settings come to, without a file or a word."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, UInt8

from nst_jax import driver, optimizers, strips, terms
from nst_jax import image as images
from nst_jax.choices import LayerBalance, OptimizerForm
from nst_jax.compiler import Program
from nst_jax.optimizers import Optimizer
from nst_jax.runlog import Variant
from nst_jax.runs.objectives import CONTENT, STYLE, region_of
from nst_jax.strips import Division
from nst_jax.terms import FeatureFn, Term, View, Weights

# Of a loss: what rounding leaves, or another file of the same picture; and what is no aim.
_NOTHING, _LITTLE = 1e-6, 0.1


Where = Mapping[str, Array]
"""Weights of locations by layer."""


class Pictures(NamedTuple):
    """A content of a run and all that is read with it, RGB in [0, 1].

    Attributes:
      content: (h, w, 3).
      styles: `{name: picture}`, as the variants name them; maybe in the content's colors.
      starts: pictures to start from, by the path in `Variant.init`.
      alpha: (h, w), what the result shall have of the content's transparency; None: it is opaque.
      references: further pictures that terms read, by name.
      masks: `{"content" or "style": {region: (h, w)}}`, 1 inside and 0 outside.
      blend: weights of the pictures that are one style together, by name; none: "style" is alone.
      colors: (h, w, 3), the picture whose colors the results get; None: they keep their own.
      own_colors: the styles as they are in their files.
      of_styles: further pictures that differ between the styles, `{style: {name: picture}}`.
    """

    content: Float[np.ndarray, "h w 3"]
    styles: Mapping[str, np.ndarray]
    starts: Mapping[str, np.ndarray]
    alpha: np.ndarray | None = None
    references: Mapping[str, np.ndarray] = MappingProxyType({})
    masks: Mapping[str, Mapping[str, np.ndarray]] = MappingProxyType({})
    blend: Mapping[str, float] = MappingProxyType({})
    colors: np.ndarray | None = None
    own_colors: Mapping[str, np.ndarray] = MappingProxyType({})
    of_styles: Mapping[str, Mapping[str, np.ndarray]] = MappingProxyType({})


@dataclass(frozen=True)
class Problem:
    """What the variants of one content minimise, and where they start.

    Attributes:
      objectives: one a style, by its name.
      terms: of each of these, by name.
      part_weights: `{term: (part,)}`, before layers are balanced.
      pictures: the content, and what is read with it.
      layer_balance: how layers are weighed against one another.
      noise: standard deviation of the noise that is added to each start.
      gray: whether the images are gray.
    """

    objectives: Mapping[str, Partial]
    terms: Mapping[str, Term]
    part_weights: Mapping[str, np.ndarray]
    pictures: Pictures
    layer_balance: LayerBalance = "equal"
    noise: float = 0.0
    gray: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """(h, w, 3) of the image."""
        return self.pictures.content.shape

    @property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """The names of the terms and of their parts, in the order of the log."""
        return {name: term.parts for name, term in self.terms.items()}

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

    def weights(self, variant: Variant, *, of_its_style: bool = False) -> Weights:
        """Of the terms and of their parts, for one variant.

        Args:
          variant: whose.
          of_its_style: with the targets of its style, for a program of several, which has the
            objective of any of them.
        """
        of_terms = {name: np.float32(variant.weights[name]) for name in self.terms}
        targets = self._targets_of_style(variant.style) if of_its_style else None
        weights = Weights(of_terms, self.part_weights, targets)
        if self.layer_balance == "equal":
            return weights
        scales = self._scales[variant.style]
        return weights._replace(parts=terms.relative_parts(weights.parts, scales))

    @cached_property
    def _scales(self) -> dict[str, dict[str, np.ndarray]]:
        """By style and term, the losses of an image without features."""
        return {style: self._scales_of(own) for style, own in self.objectives.items()}

    def _scales_of(self, objective: Partial) -> dict[str, np.ndarray]:
        if not strips.are_in(objective):
            return terms.losses_without_features(objective, self._seen)
        whole, rows = strips.opened(objective)
        image = jnp.asarray(self.pictures.content)
        return strips.losses_without_features(whole, image, rows=rows)

    @property
    def _seen(self) -> View:
        """A view of the size of the image, of which only the shapes count."""
        feature_fn = terms.feature_fn_of(next(iter(self.objectives.values())))
        shapes = jax.eval_shape(feature_fn, jax.ShapeDtypeStruct(self.shape, np.float32))
        # Zeros of a broadcast take no memory, features of a large picture much.
        features = {
            name: np.broadcast_to(np.zeros((), x.dtype), x.shape) for name, x in shapes.items()
        }
        return View(self.pictures.content, features)

    @property
    def styles_share_programs(self) -> bool:
        """Whether variants of all styles can be lanes of one program: their targets are alike."""
        if any(map(strips.are_in, self.objectives.values())):
            return False
        first, *others = (
            jax.tree.map(np.shape, self._targets_of_style(style)) for style in self.objectives
        )
        return all(own == first for own in others)

    def _targets_of_style(self, style: str) -> dict[str, Any]:
        """Of the terms that read more than the content."""
        targets = terms.targets_of(self.objectives[style])
        return {
            name: targets[name]
            for name, term in self.terms.items()
            if not set(term.references) <= {CONTENT}
        }

    def is_at_minimum(self, variant: Variant, losses: Mapping[str, float]) -> bool:
        """Whether an image of these losses leaves nothing to gain: it has all that is asked for.

        Terms of features are then nothing beside what an image without features would have, and
        the others are little.
        """
        scales = self.scales(variant)
        little = _LITTLE * sum(scales.values())
        return all(
            variant.weights[name] * losses[name]
            <= (_NOTHING * scales[name] if name in scales else little)
            for name in self.terms
        )

    def scales(self, variant: Variant) -> dict[str, float]:
        """By term of features, what it adds to the total of an image that has none."""
        weights = self.weights(variant)
        return {
            name: variant.weights[name] * float(np.dot(weights.parts[name], scale))
            for name, scale in self._scales[variant.style].items()
        }

    def colored(self, pictures: UInt8[np.ndarray, "v h w 3"]) -> UInt8[np.ndarray, "v h w 3"]:
        """Pictures of `in_8_bits` with the colors in which they are saved."""
        if self.pictures.colors is None:
            return pictures
        found = images.with_colors_of(images.from_uint8(pictures), self.pictures.colors)
        return images.to_uint8(found)

    def finished(self, state: driver.State) -> Float[np.ndarray, "v h w 3"]:
        """The pictures of a state with the colors in which they are saved, before any rounding."""
        pictures = driver.pictures(state)
        if self.gray:
            pictures = images.spread_first_channel(pictures)
        if self.pictures.colors is None:
            return pictures
        return images.with_colors_of(pictures, self.pictures.colors)

    def in_8_bits(self, state: driver.State) -> UInt8[np.ndarray, "v h w 3"]:
        """The pictures of a state, of which the losses are logged."""
        pictures = images.to_uint8(driver.pictures(state))
        # A compiled step may leave a channel a last bit off the others.
        return images.spread_first_channel(pictures) if self.gray else pictures


class Problems:
    """The problem of each content, by its name: made when it is asked for, the last one kept.

    Targets of a folder of pictures would fill the memory. Where layers are balanced by their
    targets, the log asks for all of them once, before the first step.
    """

    def __init__(
        self, pictures: Mapping[str, Pictures], make: Callable[[Pictures], Problem]
    ) -> None:
        """Args: `pictures`: of each content; `make`: what is minimised for them."""
        self.pictures = pictures
        self._made = lru_cache(maxsize=1)(lambda content: make(pictures[content]))

    def __getitem__(self, content: str) -> Problem:
        return self._made(content)

    def shape(self, content: str) -> tuple[int, ...]:
        """(h, w, 3) of the image of a content."""
        return self.pictures[content].content.shape

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of all images, each once."""
        return list(dict.fromkeys(map(self.shape, self.pictures)))


class Stage(NamedTuple):
    """A part of a run at one size of its images.

    Attributes:
      problems: what the variants minimise at this size, by content.
      begin, stop: the steps of the run at which it begins and ends.
      rate: factor of the learning rate.
      weights: factors of the weights of terms, by name; of the others 1.
    """

    problems: Problems
    begin: int
    stop: int
    rate: float = 1.0
    weights: Mapping[str, float] = MappingProxyType({})

    @property
    def problem(self) -> Problem:
        """That of the first content: terms and parts are the same in all."""
        return self.problems[next(iter(self.problems.pictures))]

    def hyper(self, variant: Variant, *, of_its_style: bool = False) -> driver.Hyperparameters:
        """Rate and weights of a variant in this stage; see `Problem.weights`."""
        problem = self.problems[variant.content]
        weights = problem.weights(variant, of_its_style=of_its_style)
        of_terms = {
            name: np.float32(weight * self.weights.get(name, 1.0))
            for name, weight in weights.terms.items()
        }
        return driver.Hyperparameters(
            variant.learning_rate * self.rate, weights._replace(terms=of_terms)
        )


class Method(NamedTuple):
    """How a run minimises; each variant names its optimizer.

    Attributes:
      optimizer_form: of the update rules.
      constants: of the optimizers, by name; each takes those that it has.
      average: factor of the average of images that it ends with; None: it ends with the last one.
      carry_state: whether a stage goes on with the optimizer's state of the one before.
    """

    optimizer_form: OptimizerForm = "keras"
    constants: Mapping[str, float] = MappingProxyType({})
    average: float | None = None
    carry_state: bool = False

    def optimizer(self, variant: Variant) -> Optimizer:
        """The optimizer of a variant."""
        own = optimizers.constants_of(variant.optimizer)
        constants = {name: value for name, value in self.constants.items() if name in own}
        named = optimizers.named(variant.optimizer, form=self.optimizer_form, constants=constants)
        optimizer = optimizers.averaged(named, self.average)
        return optimizer._replace(resize=optimizers.warm) if self.carry_state else optimizer


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
    terms_of_run: Mapping[str, Term],
    part_weights: Mapping[str, np.ndarray],
    *,
    regions: Mapping[str, Mapping[str, Where]] = MappingProxyType({}),
    division: Division = Division(),  # noqa: B008 (it is immutable)
    layer_balance: LayerBalance = "equal",
    noise: float = 0.0,
    gray: bool = False,
) -> Problem:
    """The targets of every style, computed once, and the objectives.

    Args:
      feature_fn: of the network, for all layers of the terms.
      pictures: of one content.
      terms_of_run: by name.
      part_weights: of each term.
      regions: `{"content" or "style": {region: weights of locations by layer}}`.
      division: which pictures are computed in strips.
      layer_balance, noise, gray: see `Problem`.
    """
    named = tuple(terms_of_run.items())
    objectives = {}
    for style, picture in pictures.styles.items():
        named_pictures = {**pictures.references, **pictures.of_styles.get(style, {})}
        read = {CONTENT: pictures.content, STYLE: picture, **named_pictures}
        given = feature_fn, read, dict(regions), dict(pictures.blend)
        if rows := division.rows_for(*(each.shape for each in read.values())):
            targets = _targets_in_strips(*given, terms_of_run=named, rows=rows)
        else:
            targets = _compute_targets(*given, terms_of_run=named)
        objective = terms.of_targets(feature_fn, terms_of_run, targets)
        objective = terms.in_gray(objective) if gray else objective
        own_rows = division.rows_for(pictures.content.shape)
        objectives[style] = strips.in_strips(objective, own_rows) if own_rows else objective
    return Problem(objectives, terms_of_run, part_weights, pictures, layer_balance, noise, gray)


def _targets(
    feature_fn: FeatureFn,
    pictures: Mapping[str, Array],
    regions: Mapping[str, Mapping[str, Where]],
    blend: Mapping[str, Any],
    *,
    terms_of_run: tuple[tuple[str, Term], ...],
) -> dict[str, Any]:
    """The targets of all terms, in one program."""
    views = {name: terms.view(feature_fn, picture) for name, picture in pictures.items()}
    if blend:
        views[STYLE] = terms.blend([views[name] for name in blend], list(blend.values()))
    for picture, named in regions.items():
        for region, where in named.items():
            views[region_of(picture, region)] = views[picture]._replace(where=where)
    return terms.targets_from(dict(terms_of_run), views)


_compute_targets: Callable = Program(_targets, static_argnames=("terms_of_run",))


def _targets_in_strips(
    feature_fn: FeatureFn,
    pictures: Mapping[str, np.ndarray],
    regions: Mapping[str, Mapping[str, Where]],
    blend: Mapping[str, Any],
    *,
    terms_of_run: tuple[tuple[str, Term], ...],
    rows: int,
) -> dict[str, Any]:
    """The same of pictures whose features do not fit."""
    views = {name: View(jnp.asarray(picture), {}) for name, picture in pictures.items()}
    pieces = {name: [view] for name, view in views.items()}
    if blend:
        shapes = [_with_shapes(feature_fn, views[name]) for name in blend]
        shared = terms.shared(shapes, list(blend.values()))
        pieces[STYLE] = [view._replace(features={}) for view in shared]
    for picture, named in regions.items():
        for region, where in named.items():
            pieces[region_of(picture, region)] = [views[picture]._replace(where=where)]
    return strips.targets_of(feature_fn, dict(terms_of_run), pieces, rows=rows)


def _with_shapes(feature_fn: FeatureFn, view: View) -> View:
    return view._replace(features=jax.eval_shape(feature_fn, view.image))
