"""How a network is cut for a picture that it never sees as a whole: into sections, these into rows.

What a location sees grows with each layer, to 188 pixels in a VGG19: strips of the picture that go
through all of the network would mostly be overlap. Between two poolings it grows by two to four
rows alone. So a section is a block of the network with its pooling, its whole input is kept, and it
is computed in strips of rows, each with the few rows around it that its last layer sees.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from nst_jax.terms import Term
from nst_jax.vgg import Anatomy, Layer


class Section(NamedTuple):
    """Consecutive blocks of a network, which are computed together. Static.

    Attributes:
      first_block: of the network.
      layers: whose features terms read, by their names, each with the rows of the section's input
        that lie between two of its own.
      output: name and stride of the pooling whose result the next section takes; None: the last.
      halo: rows of the input that a strip needs beyond its own on each side.
      step: rows of the input, of which strips begin and end at multiples.
    """

    first_block: int
    layers: tuple[tuple[str, int], ...]
    output: tuple[str, int] | None
    halo: int
    step: int

    @property
    def needed(self) -> tuple[str, ...]:
        """The layers to ask the network for."""
        names = tuple(name for name, _ in self.layers)
        return names if self.output is None else (*names, self.output[0])


class Strip(NamedTuple):
    """Some rows of the input of a section. All strips of one have as many rows.

    Attributes:
      start: its first row; the rows before `begin` and from `stop` on are overlap.
      begin, stop: the rows that are its own.
    """

    # Any and not int: in a program they are traced.
    start: Any
    begin: Any
    stop: Any


def sections_of(anatomy: Anatomy, terms: Mapping[str, Term]) -> tuple[Section, ...]:
    """The sections of a network for terms, from the image upward.

    A section is one block, unless a term needs layers of several blocks at once.

    Args:
      anatomy: of the network.
      terms: which read its features.
    """
    groups = [group for term in terms.values() for group in _groups_of(term)]
    spans = [_blocks(anatomy, group) for group in groups]
    last = max(stop for _, stop in spans)
    joined = {block for first, stop in spans for block in range(first, stop)}
    cuts = [1, *(block + 1 for block in range(1, last) if block not in joined), last + 1]
    return tuple(
        _section(anatomy, terms, range(first, stop), is_last=stop > last)
        for first, stop in pairwise(cuts)
    )


def _groups_of(term: Term) -> Sequence[tuple[str, ...]]:
    """The layers of a term that are needed at once; none of a term of pixels."""
    whole = (term.layers,) if term.layers else ()
    return whole if term.groups is None else term.groups


def _blocks(anatomy: Anatomy, names: Iterable[str]) -> tuple[int, int]:
    blocks = [anatomy.layers[name].block for name in names]
    return min(blocks), max(blocks)


def _section(
    anatomy: Anatomy, terms: Mapping[str, Term], blocks: range, *, is_last: bool
) -> Section:
    rows = [row for row in anatomy.rows if row.block in blocks]
    stride = 2 ** (blocks[0] - 1)
    layers = {
        name: row.stride // stride
        for name, row in anatomy.layers.items()
        if row in rows and any(name in term.layers for term in terms.values())
    }
    if is_last:
        rows = rows[: 1 + max(rows.index(anatomy.layers[name]) for name in layers)]
    step = max(row.stride // stride for row in rows)
    output = None if is_last else (rows[-1].name, step)
    beyond = max((_reach_of_terms(terms, name) * each for name, each in layers.items()), default=0)
    halo = -(-(_reach(rows, stride) + beyond) // step) * step
    return Section(blocks[0], tuple(layers.items()), output, halo, step)


def _reach(rows: Sequence[Layer], stride: int) -> int:
    """Rows to each side that the last layer sees: a 3 x 3 kernel one more of its own."""
    return sum(row.stride // stride for row in rows if row.kind == "conv")


def _reach_of_terms(terms: Mapping[str, Term], layer: str) -> int:
    """How many locations of a layer terms look beyond one."""
    return max((term.reach for term in terms.values() if layer in term.layers), default=0)


def strips_of(section: Section, height: int, rows: int) -> tuple[int, list[Strip]]:
    """The strips of a section.

    Args:
      section: of the network.
      height: of its input.
      rows: that are a strip's own, at least 1; rounded up to what the poolings need.

    Returns:
      Rows of a strip with its overlap, and the strips. Each begins where the poolings of the whole
      input do; one at a border lies against it, where the zeros beyond it are those of the whole.
    """
    own = -(-rows // section.step) * section.step
    length = min(height, own + 2 * section.halo + height % section.step)
    last = (height - length) // section.step * section.step
    starts = [min(max(begin - section.halo, 0), last) for begin in range(0, height, own)]
    return length, [
        Strip(start, begin, min(begin + own, height))
        for start, begin in zip(starts, range(0, height, own), strict=True)
    ]
