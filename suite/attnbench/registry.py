"""The registry of variants, tasks and claims: the files in the folders of these names, and installed entry points.

Names, summaries and plain fields of declarations are read from the text of the files; to list them, or to read results, needs no torch.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import importlib.util
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from attnbench.errors import AttnbenchError, BadInput, text_of, unknown_name

GROUPS = ("variants", "tasks", "claims")
_PACKAGE = Path(__file__).parent
_PLAIN = (
    ast.Constant, ast.Name, ast.Load, ast.Tuple, ast.List, ast.Dict, ast.UnaryOp, ast.USub, ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div,
    ast.FloorDiv, ast.Call, ast.keyword,
)  # fmt: skip
_COMPUTED = (NameError, ValueError, TypeError, ArithmeticError)  # raised by `_value` for an expression that is not a plain value


def names(group: str) -> list[str]:
    """Every registered name of a group ("variants", "tasks" or "claims"), sorted.

    Raises BadInput for an unknown group, or when an entry point takes the name of a built-in.
    """
    builtin = _builtin(group)
    external = _external(group)
    clash = sorted(builtin.keys() & external.keys())
    if clash:
        culprit = external[clash[0]]
        raise BadInput(
            f"{group[:-1]} {clash[0]!r} of the installed entry point {culprit.value!r} has the name of a built-in; "
            "rename it, or uninstall that package"
        )
    return sorted([*builtin, *external])


def builtin(group: str) -> list[str]:
    """The names that ship with attnbench, sorted."""
    return sorted(_builtin(group))


def summary(group: str, name: str) -> str:
    """The first line of the docstring of a registered module, read without importing it; "from PACKAGE" for a plug-in."""
    path = _builtin(group).get(name)
    if path is None:
        point = _external(group).get(name)
        return f"from {point.dist.name if point and point.dist else 'an installed package'}"
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.split("\n", 1)[0]


def stem(name: str) -> str:
    """The name under which a variant or task is recorded: the name itself, or the stem of a path."""
    return Path(name).stem if is_path(name) else name


def load(group: str, name: str) -> Any:
    """The VARIANT, TASK or CLAIM that a registered module, or the file at a path, declares.

    Raises BadInput when the name is unknown, the file is missing or cannot be imported, or it declares nothing.
    """
    try:
        module = _module(group, name)
    except AttnbenchError:
        raise
    except Exception as error:  # the import of a third party's file may raise anything
        said = f"{type(error).__name__}: {text_of(error)}"
        raise BadInput(f"{group[:-1]} {stem(name)!r} cannot be imported: {said}; mend its file") from error
    declared = group[:-1].upper()
    if not hasattr(module, declared):
        raise BadInput(f"{name} declares no {declared}; end the file in {declared} = {declared.title()}(...)")
    return getattr(module, declared)


def declared(group: str, name: str) -> Mapping[str, Any]:
    """The fields of a declaration that are plain values in its file, read without importing it.

    A plain value consists of literals, of names to which the file assigns one literal only, of arithmetic with both, and of calls
    Size(num_layers=2, ...), which are returned as dicts. Computed fields are absent, and so are fields that the file leaves out.

    Raises BadInput for an unknown name or a missing file.
    """
    return _declaration(group, _file(group, name))[0]


def field(group: str, name: str, field: str, default: Any = ...) -> Any:
    """One field of a declaration; a Size is returned as a dict.

    default: the value where the file leaves the field out. The file is imported if it computes the field, or has neither it nor a default.

    Raises BadInput for an unknown name, a missing file, or a file that has to be imported and cannot be.
    """
    plain, computed = _declaration(group, _file(group, name))
    if field in plain:
        return plain[field]
    if default is not ... and not computed & {field, None}:
        return default
    value = getattr(load(group, name), field)
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value


def source(group: str, name: str) -> Path:
    """The file that defines a registered name, or the path itself."""
    file = _module(group, name).__file__
    if file is None:
        raise BadInput(f"{group[:-1]} {name!r} has no source file, so its results could not be fingerprinted")
    return Path(file)


def is_path(name: str) -> bool:
    """Whether a name is the path of a file and not a registered name."""
    return name.endswith(".py") or "/" in name


def _module(group: str, name: str) -> ModuleType:
    _check(group, name)
    if is_path(name):
        return _from_file(group, Path(name).resolve())
    if name in _builtin(group):
        return importlib.import_module(f"attnbench.{group}.{name}")
    return importlib.import_module(_external(group)[name].module)


def _check(group: str, name: str) -> None:
    """Raise BadInput for a name that is not registered, a path without a file, and a file with the name of something registered."""
    path = Path(name).resolve()
    if not is_path(name):
        if name not in names(group):
            raise unknown_name(group[:-1], name, names(group), f"attnbench list {group}")
    elif not path.is_file():
        raise BadInput(f"there is no file {path.name!r} at that path; run from the folder that holds it, or give its whole path")
    elif path.stem in names(group) and path != _builtin(group).get(path.stem):
        raise BadInput(f"{path.name} has the name of a registered {group[:-1]} {path.stem!r}; rename the file")


@cache
def _from_file(group: str, path: Path) -> ModuleType:
    module_name = f"attnbench_file_{group}_{path.stem}"
    found = importlib.util.spec_from_file_location(module_name, path)
    if found is None or found.loader is None:
        raise BadInput(f"{path.name} is not a Python file; give a file that ends in .py")
    module = importlib.util.module_from_spec(found)
    sys.modules[module_name] = module
    found.loader.exec_module(module)
    return module


def _builtin(group: str) -> dict[str, Path]:
    if group not in GROUPS:
        raise unknown_name("group", group, GROUPS, "attnbench list --help")
    return {path.stem: path for path in (_PACKAGE / group).glob("[!_]*.py")}


@cache
def _external(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"attnbench.{group}")}


def _file(group: str, name: str) -> Path | None:
    """The file of a registered name or a path, found without importing anything; None where only an import can find it."""
    _check(group, name)
    if is_path(name):
        return Path(name).resolve()
    return _builtin(group).get(name) or _installed(_external(group)[name].module)


def _installed(module: str) -> Path | None:
    """The file of a module of an installed package, found without importing it; None if there is none."""
    top, *inner = module.split(".")
    found = importlib.util.find_spec(top)
    if found is None or not inner:
        return Path(found.origin) if found and found.origin and found.origin.endswith(".py") else None
    places = (Path(folder, *inner) for folder in found.submodule_search_locations or ())
    return next((file for place in places for file in (place / "__init__.py", Path(f"{place}.py")) if file.is_file()), None)


@cache
def _declaration(group: str, file: Path | None) -> tuple[Mapping[str, Any], frozenset[str | None]]:
    """The plain fields of the declaration in a file, and the names of its computed fields; None among them means any field may be one."""
    declared = group[:-1].upper()
    try:
        tree = ast.parse(file.read_bytes() if file else b"")
    except (OSError, SyntaxError, ValueError):  # an import, if one is needed, reports what is wrong
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
