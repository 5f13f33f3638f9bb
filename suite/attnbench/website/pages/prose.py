"""Pages that people write in Markdown, with formulas between dollar signs."""

from __future__ import annotations

from markdown_it import MarkdownIt
from markupsafe import Markup
from mdit_py_plugins.dollarmath import dollarmath_plugin

from attnbench.website.formula import mathml


def html_of(markdown: str) -> Markup:
    """CommonMark with tables and $formulas$; HTML in it stays text."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.use(dollarmath_plugin, renderer=lambda formula, options: mathml(formula), allow_digits=False)
    return Markup(parser.render(markdown))
