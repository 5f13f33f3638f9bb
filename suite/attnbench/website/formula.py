"""Formulas as MathML, from the plain text in which mechanisms declare them, or from LaTeX."""

from __future__ import annotations

import re
import unicodedata
from xml.etree import ElementTree

from latex2mathml.converter import convert
from markupsafe import Markup

_MATHML = "{http://www.w3.org/1998/Math/MathML"
_WITHIN = frozenset({"style", "table", "text", "space", "padded", "phantom", "frac", "row", "sqrt", "root"})
_SIMPLE = frozenset({"i", "n", "o", "td", "tr", "sub", "sup", "subsup", "over", "under", "underover"})
_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ᵀⁿˢ", "0123456789-+Tns", strict=True))
_LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉ᵢⱼₖ", "0123456789ijk", strict=True))
_SIGNS = {"−": "-", "·": r"\cdot ", "⊙": r"\odot ", "Σ": r"\sum ", "‖": r"\| ", "≤": r"\le ", "^¼": "^{1/4}", "\u2009": " "}
_GREEK = {"α": "alpha", "λ": "lambda", "τ": "tau", "σ": "sigma", "φ": "varphi", "π": "pi", "Ω": "Omega", "Φ": "Phi"}
_WORD = re.compile(r"(?<![\\A-Za-z])([A-Za-z]{2,})")
_ROOT = re.compile(r"√(\d*[A-Za-z])")
_NEXT = re.compile(r", +(?=\S+(?: \S+)? = )")  # before a definition
_TILDE = re.compile(r"([A-Za-z])\u0303")


def mathml(formula: str) -> Markup:
    """A formula as a MathML element, what comes after " by " in words behind it; all in text where it cannot be read."""
    written, by, how = (formula, "", "") if "\\" in formula else formula.partition(" by ")
    try:
        found = convert(written if "\\" in written else latex(written))
        is_formula = all(_is_harmless(element) for element in ElementTree.fromstring(found).iter())
    except Exception:  # a formula is anybody's text, and the library raises whatever it comes upon
        is_formula = False
    return Markup("{}{}{}").format(Markup(found), by, how) if is_formula else Markup("<code>{}</code>").format(formula)


def _is_harmless(element: ElementTree.Element) -> bool:
    """Whether an element is of MathML and has no attribute that does anything: the library does not escape the text of \\text."""
    space, _, name = element.tag.rpartition("}")
    known = name == "math" or name.removeprefix("m") in _WITHIN | _SIMPLE
    return space == _MATHML and known and not any(key == "href" or key.startswith("on") for key in element.keys())  # noqa: SIM118


def latex(text: str) -> str:
    """A formula in plain text as LaTeX.

    >>> latex("softmax(Q Kᵀ / √d) V")
    '\\\\operatorname{softmax}(Q K^{\\\\top} / \\\\sqrt{d}) V'
    """
    text = unicodedata.normalize("NFD", text)
    text = _WORD.sub(r"\\operatorname{\1}", text)
    text = _ROOT.sub(r"\\sqrt{\1}", text)
    text = _TILDE.sub(r"\\tilde{\1}", text)
    for signs, mark in ((_RAISED, "^"), (_LOWERED, "_")):
        runs = re.compile(f"[{''.join(signs)}]+")
        text = runs.sub(lambda run, signs=signs, mark=mark: f"{mark}{{{''.join(map(signs.__getitem__, run[0]))}}}", text)  # type: ignore[misc]
    text = text.replace("^{T}", r"^{\top}")
    for sign, name in _GREEK.items():
        text = text.replace(sign, f"\\{name} ")
    for sign, command in _SIGNS.items():
        text = text.replace(sign, command)
    return _NEXT.sub(r",\\quad ", text)
