"""The words of a page: a template that a writer edits, filled with facts.

In NAME.md.jinja an indented line goes on with the line before, so that a paragraph, which is one
line of the page, can be written in several. Empty lines are one. What is missing is an error, not
a gap.
"""

import math
import re
from pathlib import Path

import jinja2


def render(name: str, **facts: object) -> str:
    """The text of NAME.md.jinja with these facts.

    Raises:
      jinja2.UndefinedError: the template asks for a fact that is not there.
    """
    text = _TEMPLATES.get_template(f"{name}.md.jinja").render(facts)
    one_line_a_paragraph = re.sub(r"\n +", " ", text.strip())
    return re.sub(r"\n{3,}", "\n\n", one_line_a_paragraph)


def digits(value: float, count: int = 6) -> str:
    """With so many significant digits."""
    return f"{float(value):.{count}g}"


def decimals(value: float, count: int) -> str:
    """With so many digits behind the point."""
    return f"{float(value):.{count}f}"


def signed(value: float, count: int) -> str:
    """The same with a plus before what is not negative."""
    return f"{float(value):+.{count}f}"


def percent(value: float, count: int = 3) -> str:
    """A part of 1 in percent, with so many significant digits."""
    return f"{100 * value:.{count}g} %"


def milliseconds(seconds: float) -> str:
    """With four significant digits, from a second on without a fraction."""
    return f"{1e3 * seconds:.0f}" if seconds >= 1 else f"{1e3 * seconds:.4g}"


def loss(value: float) -> str:
    """With four significant digits, if it is a number."""
    return f"{value:.4g}" if math.isfinite(value) else "diverged"


_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {
    each.__name__: each for each in (digits, decimals, signed, percent, milliseconds, loss)
}
