"""Equations of the documentation, LaTeX to MathML at build time: no script in the pages.

They are written as GitHub reads them: a fenced block `math`, or $`x`$ within a line.
"""

import re

from latex2mathml.converter import convert, convert_to_element
from markdown import Markdown
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor


def fence(source: str, language: str, css_class: str, options: dict, md: Markdown, **_) -> str:
    """An equation of its own: the formatter of `math` blocks."""
    del language, options, md
    return f'<div class="{css_class}">{convert(source, display="block")}</div>'


class _Inline(InlineProcessor):
    def handleMatch(self, match: re.Match, data: str):
        del data
        return convert_to_element(match[1]), *match.span()


class MathML(Extension):
    def extendMarkdown(self, md: Markdown) -> None:
        # Before code spans, whose priority is 190.
        md.inlinePatterns.register(_Inline(r"\$`([^`]+)`\$"), "mathml", 195)


def makeExtension(**settings) -> Extension:
    return MathML(**settings)
