"""The grid of contents and styles on the page: which results belong to each pair."""

from collections.abc import Mapping
from typing import NamedTuple

from nst_jax.report.pictures import MAX_FULL_SIZE
from nst_jax.runlog import RunRecord, labels

# Of more variants the table alone has pictures.
_MOST_VARIANTS = 400
# Of a picture beside others in a cell, and of any where there is no full size to be opened.
_SMALL = 256
_MOST_LETTERS = 32


class Result(NamedTuple):
    """A result of a pair: its variant, and how it differs from others of the pair."""

    variant: int
    caption: str


def of(record: RunRecord) -> Mapping[str, Mapping[str, list[Result]]]:
    """The results by content and style; none if one pair is all there is, or too many are."""
    is_single = len(record.contents) == len(record.styles) == 1
    if is_single or len(record.variants) > _MOST_VARIANTS:
        return {}
    return {
        content: {style: _of_pair(record, content, style) for style in record.styles}
        for content in record.contents
    }


def _of_pair(record: RunRecord, content: str, style: str) -> list[Result]:
    own = [
        i
        for i, variant in enumerate(record.variants)
        if (variant.content, variant.style) == (content, style)
    ]
    if len(own) == 1:
        return [Result(own[0], "")]
    captions = labels.brief([record.variants[i].label for i in own], _MOST_LETTERS)
    return [Result(*each) for each in zip(own, captions, strict=True)]


def size(record: RunRecord) -> int | None:
    """Longest side of the pictures of the grid; None: their own, of which there are not many."""
    return None if len(record.variants) <= MAX_FULL_SIZE else _SMALL
