"""Converts pages that people write in Markdown, with formulas between dollar signs, to HTML."""

from __future__ import annotations

from markdown_it import MarkdownIt
from markupsafe import Markup
from mdit_py_plugins.dollarmath import dollarmath_plugin

from attnbench.website.formula import mathml


def html_of(markdown: str) -> Markup:
    """The HTML of CommonMark with tables and $formulas$; HTML in the source is shown as text."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.use(dollarmath_plugin, renderer=lambda formula, options: mathml(formula), allow_digits=False)
    return Markup(parser.render(markdown))
