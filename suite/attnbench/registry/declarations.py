"""Reads the plain fields of a declaration such as VARIANT = Variant(...) from the text of its file, without importing it."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

_PLAIN = (
    ast.Constant, ast.Name, ast.Load, ast.Tuple, ast.List, ast.Dict, ast.UnaryOp, ast.USub, ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div,
    ast.FloorDiv, ast.Call, ast.keyword,
)  # fmt: skip
_COMPUTED = (NameError, ValueError, TypeError, ArithmeticError)  # raised by `_value` for an expression that is not a plain value


@cache
def read(file: Path | None, declared: str) -> tuple[Mapping[str, Any], frozenset[str | None]]:
    """The plain fields of the declaration in a file, and the names of its computed fields; None among them means any field may be one.

    declared: the name it is assigned to, VARIANT for example.
    """
    try:
        tree = ast.parse(file.read_bytes() if file else b"")
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):  # an import, if one is needed, reports what is wrong
        return {}, frozenset({None})
    call = dict(_assignments(tree)).get(declared)
    if not isinstance(call, ast.Call) or ast.unparse(call.func) != declared.title() or _bound(tree)[declared] != 1:
        return {}, frozenset({None})
    constants = _constants(tree)
    plain: dict[str, Any] = {}
    for keyword in call.keywords:
        if keyword.arg is not None:
            with suppress(*_COMPUTED):
                plain[keyword.arg] = _value(keyword.value, constants)
    return plain, frozenset(keyword.arg for keyword in call.keywords) - plain.keys()


def _constants(tree: ast.Module) -> dict[str, Any]:
    """The names to which a module assigns exactly once, and a plain immutable value, with that value."""
    bound = _bound(tree)
    found: dict[str, Any] = {}
    for name, expression in _assignments(tree):
        if bound[name] == 1 and "*" not in bound:
            with suppress(*_COMPUTED):
                value = _value(expression, found)
                hash(value)  # raises TypeError for a list or dict
                found[name] = value
    return found


def _assignments(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Yield every `name = expression` at the top level of a module; `a, b = 1, 2` counts as two."""
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)) if len(names) == len(values):
                yield from ((name.id, value) for name, value in zip(names, values, strict=True) if isinstance(name, ast.Name))


def _bound(tree: ast.Module) -> Counter[str]:
    """How often every name is bound anywhere in a module; "*" counts the star imports."""
    found = Counter[str]()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found[name] += 1
            case ast.alias(name=name, asname=other):
                found[other or name.partition(".")[0]] += 1
    return found


def _value(node: ast.expr, constants: Mapping[str, Any]) -> Any:
    """The value of a plain expression, with Size(...) as a dict. Raises one of _COMPUTED for any other expression."""
    if not all(isinstance(part, _PLAIN) for part in ast.walk(node)):
        raise ValueError(f"line {node.lineno} is no plain value")
    return eval(compile(ast.Expression(node), "", "eval"), {"__builtins__": {}, "Size": dict, "dict": dict, **constants})
