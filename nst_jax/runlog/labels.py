"""Names for people: as short as they can be, and no two the same."""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence

# Numbers, words, and what stands between them.
_WORD = re.compile(r"\d+(?:\.\d+)?(?:e[-+]?\d+)?|[^\W\d_]+|[\W_]")


def of_numbers(values: Iterable[int | float]) -> dict[int | float, str]:
    """Each number in six digits, or in all of them where six do not tell it from another."""
    texts = {value: f"{value:g}" if isinstance(value, float) else str(value) for value in values}
    count = Counter(texts.values())
    return {
        value: text if count[text] == 1 else repr(float(value)) for value, text in texts.items()
    }


def of_paths(paths: Iterable[str]) -> dict[str, str]:
    """Each path by its last parts, as few as tell it from every other."""
    paths = list(dict.fromkeys(paths))
    # From right to left: neighbors in this order share the most last parts.
    parts = sorted(path.split("/")[::-1] for path in paths)
    shared = [0, *(_shared(*pair) for pair in itertools.pairwise(parts)), 0]
    names = {
        "/".join(own[::-1]): "/".join(own[max(lengths) :: -1])
        for own, *lengths in zip(parts, shared, shared[1:], strict=False)
    }
    return {path: names[path] for path in paths}


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """How many words both begin with."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def distinct(labels: Sequence[str]) -> list[str]:
    """The labels; those that occur more than once with their number among all, counted from 1."""
    count = Counter(labels)
    return [
        label if count[label] == 1 else f"{label} #{number}"
        for number, label in enumerate(labels, start=1)
    ]


def on_one_line(text: str) -> str:
    """A text from a log for a figure: a space for each letter that is not printable."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def brief(labels: Sequence[str], most: int) -> list[str]:
    """Labels of `most` letters at most, which differ where they did before.

    What all of them share is left out, the longest stretches first, as far as there is need; what
    is still too long is cut in the middle, and numbered where the cut left no difference.

    Args:
      labels: of what stands side by side, in any number and of any length.
      most: letters; of many labels at least eight, or there is no room for their numbers.

    Returns:
      A label for each, in the same order. Labels that fit all stay as they are.
    """
    words = [_WORD.findall(label) for label in labels]
    for stretch in _shared_stretches(words):
        if max(len("".join(each)) for each in words) <= most:
            break
        _leave_out(stretch, words)
    shorter = ["".join(each) for each in words]
    result = [cut(label, most) for label in shorter]
    if len(set(result)) < len(set(labels)):
        result = distinct([cut(label, most - len(f" #{len(labels)}")) for label in shorter])
    return result


def cut(text: str, most: int) -> str:
    """A text of `most` letters at most: its beginning and its end."""
    if len(text) <= most:
        return text
    tail = (most - 1) // 2
    return f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"


def _shared_stretches(words: Sequence[list[str]]) -> list[slice]:
    """Where all have the same words, longest first: from the left, then counted from the right."""
    if len(set(map(tuple, words))) < 2:
        return []
    shortest = min(map(len, words))

    def is_shared(i: int) -> bool:
        return len({each[i] for each in words}) == 1

    left = next((i for i in range(shortest) if not is_shared(i)), shortest)
    stretches = [slice(0, left)] if left else []
    for shared, group in itertools.groupby(range(left - shortest, 0), is_shared):
        places = list(group)
        if shared:
            stretches.append(slice(places[0], places[-1] + 1 or None))
    return sorted(stretches, key=lambda each: len("".join(words[0][each])), reverse=True)


def _leave_out(stretch: slice, words: Sequence[list[str]]) -> None:
    """Puts dots in place of a stretch; at an end, where a whole word is gone, nothing."""
    gone = words[0][stretch]
    left, right = (" " * (gone[i] == " ") for i in (0, -1))
    if stretch.start == 0:
        mark = "" if right else "…"
    elif stretch.stop is None:
        mark = "" if left else "…"
    else:
        mark = f"{left}…{right}"
    if len(mark) < len("".join(gone)):
        for each in words:
            each[stretch] = [mark, *[""] * (len(gone) - 1)]
