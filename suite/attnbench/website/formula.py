"""Converts formulas from LaTeX to MathML."""

from __future__ import annotations

from xml.etree import ElementTree

from latex2mathml.converter import convert
from markupsafe import Markup

_MATHML = "{http://www.w3.org/1998/Math/MathML"
_WITHIN = frozenset({"style", "table", "text", "space", "padded", "phantom", "frac", "row", "sqrt", "root"})
_SIMPLE = frozenset({"i", "n", "o", "td", "tr", "sub", "sup", "subsup", "over", "under", "underover"})


def formula_html(formula: str) -> Markup:
    """The formula of a `Variant` as HTML: a MathML element if it has a LaTeX command, else the text as it was written."""
    return mathml(formula) if "\\" in formula else _as_text(formula)


def mathml(latex: str) -> Markup:
    """LaTeX as a MathML element; as plain text where it cannot be converted."""
    try:
        found = convert(latex)
        is_formula = all(_is_harmless(element) for element in ElementTree.fromstring(found).iter())
    except Exception:  # a formula may be any text, and the library may raise any error
        is_formula = False
    return Markup(found) if is_formula else _as_text(latex)


def _as_text(formula: str) -> Markup:
    return Markup("<code>{}</code>").format(formula)


def _is_harmless(element: ElementTree.Element) -> bool:
    """Whether an element is MathML and has no attribute that could run a script: the library does not escape the text of \\text."""
    space, _, name = element.tag.rpartition("}")
    known = name == "math" or name.removeprefix("m") in _WITHIN | _SIMPLE
    return space == _MATHML and known and not any(key == "href" or key.startswith("on") for key in element.keys())  # noqa: SIM118
