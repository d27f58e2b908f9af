"""What a term is: a summand of an objective, as three pure functions of pictures."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jax.typing import ArrayLike
from jaxtyping import Array, Float

FeatureFn = Callable[[Array], Mapping[str, Array]]
"""From an image, RGB in [0, 1], (h, w, 3), to `{layer: features}`, each (h_l, w_l, c_l)."""
IMAGE = "image"
"""The name of the picture itself among its layers, and of the part of a term of pixels."""


class View(NamedTuple):
    """A picture as a term sees it.

    Attributes:
      image: RGB in [0, 1], (h, w, 3).
      features: `{layer: F}`, each (h_l, w_l, c_l).
      where: weights of the locations by layer, or "image", each (h_l, w_l), not negative; None: all
        count alike.
    """

    # Any and not Array: JAX's transformations rebuild a pytree with other leaves in it, such as
    # axis numbers of `vmap` or bare objects, and beartype would refuse them.
    image: Any
    features: Mapping[str, Any]
    where: Mapping[str, Any] | None = None

    def weights(self, layer: str) -> Array | None:
        """Of the locations of a layer, or None."""
        return None if self.where is None else self.where[layer]


class Targets(NamedTuple):
    """What a term compares an image with. Traced: other targets run the same program.

    Attributes:
      maps: `{layer or "image": (h_l, w_l, ...)}`, what lies in the image's plane, cut
        with it.
      values: the rest, the same for all of the image; any pytree.
    """

    maps: Mapping[str, Any]
    values: Any


class Source(NamedTuple):
    """How targets are made of a reference whose features are never there as a whole.

    Attributes:
      reference: the picture that `Term.measure` measures.
      begin: that picture, as a `View` without features -> what `measure` gets as its targets.
      finish: (`{name: View}` of all references, without features; the sums of the picture) -> the
        targets, as `Term.init` gives them.
    """

    reference: str
    begin: Callable[[View], Any]
    finish: Callable[[Mapping[str, View], Any], Any]


class Term(NamedTuple):
    """A summand of an objective before its weight. Static: functions and names.

    A term is hashed by its functions: make it once, by a cached constructor, so that a program
    that has been compiled for it is found again.

    Attributes:
      init: `{name: View}` of the pictures -> targets, called once: `Targets`, or any pytree of
        arrays of which nothing lies in the image's plane.
      measure: (targets, view of the image) -> sums over locations, a pytree of arrays.
      loss: (targets, sums of the whole image) -> (part,), one number a part, not negative.
      parts: names of these numbers.
      layers: whose features it reads.
      references: names of the pictures that it reads.
      reach: how many locations of its layers, or pixels, `measure` looks beyond a location to the
        right and below: a strip of the image needs so many more.
      maps: (targets, view of the image) -> `{layer: (h_l, w_l, ...)}`, for a statistic that is no
        sum: the maps of two strips are put together, and `loss` gets (sums, maps). None: it needs
        none.
      groups: sets of layers that suffice for some parts: of a view with some of `layers`, `measure`
        gives, by name, the sums of those parts for which they suffice. None: it needs all at once.
      source: how targets are made of sums. None: `init` has to see the references whole.
    """

    init: Callable[[Mapping[str, View]], Any]
    measure: Callable[[Any, View], Any]
    loss: Callable[[Any, Any], Float[Array, "part"]]
    parts: tuple[str, ...]
    layers: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    reach: int = 0
    maps: Callable[[Any, View], Mapping[str, Any]] | None = None
    groups: tuple[tuple[str, ...], ...] | None = None
    source: Source | None = None

    def losses_of(self, targets: Any, seen: View) -> Float[Array, "part"]:
        """The numbers of an image that is seen whole."""
        sums = self.measure(targets, seen)
        return self.loss(targets, sums if self.maps is None else (sums, self.maps(targets, seen)))


class Weights(NamedTuple):
    """Weights of an objective, not negative and traced; all may have leading axes v of variants.

    Attributes:
      terms: a_t, `{term: ()}`.
      parts: v_t, `{term: (part,)}`, taken as they are: they need not sum to 1.
      targets: of terms whose targets differ between variants, in the place of the objective's,
        `{term: targets}`; None: all variants have those of the objective. For `driver` and one's
        own programs; objectives in strips have none.
    """

    terms: Mapping[str, Any]
    parts: Mapping[str, Any]
    # None has no leaves: programs of runs without them are those of before.
    targets: Mapping[str, Any] | None = None

    @property
    def axes(self) -> "Weights":
        """How many axes each has for one variant."""
        return Weights(dict.fromkeys(self.terms, 0), dict.fromkeys(self.parts, 1))

    def with_terms(self, **terms: ArrayLike) -> "Weights":
        """The same with other weights of some terms, `weights.with_terms(style=0.5)`.

        Raises:
          ValueError: there is no such term.
        """
        if unknown := [name for name in terms if name not in self.terms]:
            raise ValueError(f"there is no term {unknown[0]!r} to weigh: {', '.join(self.terms)}")
        return self._replace(terms={**self.terms, **terms})


class Losses(NamedTuple):
    """The loss of an image, and what it is the sum of, before their weights.

    total = sum_t a_t L_t,    L_t = sum_p v_tp L_tp

    All have the leading axes of the variants, if there are any.

    Attributes:
      total: L, what is minimized.
      terms: L_t, `{term: ()}`.
      parts: L_tp, `{term: (part,)}`.
    """

    total: Any
    terms: Mapping[str, Any]
    parts: Mapping[str, Any]

    def __getattr__(self, name: str) -> Any:
        """The names of version 0.1, for one version more: `losses.style` is `.terms["style"]`."""
        group, key = ("parts", "style") if name == "style_per_layer" else ("terms", name)
        found = () if name.startswith("_") else getattr(self, group)
        # JAX looks for attributes of pytrees whose leaves it has replaced by other things.
        if not isinstance(found, Mapping) or key not in found:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        warnings.warn(
            f"`.{name}` is deprecated: write `.{group}[{key!r}]`", DeprecationWarning, stacklevel=2
        )
        return found[key]


Objective = Callable[[Array, Weights], tuple[Array, Losses]]
"""From an image, RGB in [0, 1], (h, w, 3), to its loss, a number, and what it is the sum of."""
