"""Formulas in LaTeX as MathML."""

from __future__ import annotations

from xml.etree import ElementTree

from latex2mathml.converter import convert
from markupsafe import Markup

_MATHML = "{http://www.w3.org/1998/Math/MathML"
_WITHIN = frozenset({"style", "table", "text", "space", "padded", "phantom", "frac", "row", "sqrt", "root"})
_SIMPLE = frozenset({"i", "n", "o", "td", "tr", "sub", "sup", "subsup", "over", "under", "underover"})


def formula_html(formula: str) -> Markup:
    """The formula of a `Variant`: LaTeX as a MathML element; text that has no LaTeX command as it was written."""
    return mathml(formula) if "\\" in formula else _as_text(formula)


def mathml(latex: str) -> Markup:
    """LaTeX as a MathML element; as text where it cannot be read."""
    try:
        found = convert(latex)
        is_formula = all(_is_harmless(element) for element in ElementTree.fromstring(found).iter())
    except Exception:  # a formula is anybody's text, and the library raises whatever it comes upon
        is_formula = False
    return Markup(found) if is_formula else _as_text(latex)


def _as_text(formula: str) -> Markup:
    return Markup("<code>{}</code>").format(formula)


def _is_harmless(element: ElementTree.Element) -> bool:
    """Whether an element is of MathML and has no attribute that does anything: the library does not escape the text of \\text."""
    space, _, name = element.tag.rpartition("}")
    known = name == "math" or name.removeprefix("m") in _WITHIN | _SIMPLE
    return space == _MATHML and known and not any(key == "href" or key.startswith("on") for key in element.keys())  # noqa: SIM118
