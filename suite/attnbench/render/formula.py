"""Formulas as MathML, from the plain text in which mechanisms declare them, or from LaTeX."""

from __future__ import annotations

import re
import unicodedata

from latex2mathml.converter import convert
from markupsafe import Markup

_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ᵀⁿˢ", "0123456789-+Tns", strict=True))
_LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉ᵢⱼₖ", "0123456789ijk", strict=True))
_SIGNS = {"−": "-", "·": r"\cdot ", "⊙": r"\odot ", "Σ": r"\sum ", "‖": r"\| ", "≤": r"\le ", "^¼": "^{1/4}", "\u2009": " "}
_GREEK = {"α": "alpha", "λ": "lambda", "τ": "tau", "σ": "sigma", "φ": "varphi", "π": "pi", "Ω": "Omega", "Φ": "Phi"}
_WORD = re.compile(r"(?<![\\A-Za-z])([A-Za-z]{2,})")
_ROOT = re.compile(r"√(\d*[A-Za-z])")
_NEXT = re.compile(r", +(?=\S+(?: \S+)? = )")  # before a definition
_TILDE = re.compile(r"([A-Za-z])\u0303")


def mathml(formula: str) -> Markup:
    """A formula as a MathML element; as it stands, in text, where it cannot be read."""
    try:
        return Markup(convert(formula if "\\" in formula else latex(formula)))
    except Exception:  # a formula is anybody's text, and the library raises whatever it comes upon
        return Markup("<code>{}</code>").format(formula)


def latex(text: str) -> str:
    """A formula in plain text as LaTeX.

    >>> latex("softmax(Q Kᵀ / √d) V")
    '\\\\operatorname{softmax}(Q K^{\\\\top} / \\\\sqrt{d}) V'
    """
    text, _, how = unicodedata.normalize("NFD", text).partition(" by ")
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
    text = _NEXT.sub(r",\\quad ", text)
    return text + (f"\\quad\\text{{by {how}}}" if how else "")
