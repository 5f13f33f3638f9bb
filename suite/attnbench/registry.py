"""Which variants, tasks and claims there are: the folder is the registry, entry points add to it.

Listing reads files without importing them, so it needs no torch.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from attnbench.errors import AttnbenchError, BadInput, text_of, unknown_name

GROUPS = ("variants", "tasks", "claims")
_PACKAGE = Path(__file__).parent


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
    """First line of the docstring of a registered module, read without importing it."""
    path = _builtin(group).get(name)
    if path is None:
        point = _external(group).get(name)
        return f"from {point.dist.name if point and point.dist else 'an installed package'}"
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.split("\n", 1)[0]


def stem(name: str) -> str:
    """The name under which a variant or task is recorded: itself, or the stem of its file."""
    return Path(name).stem if is_path(name) else name


def load(group: str, name: str) -> Any:
    """The declared VARIANT, TASK or CLAIM of a registered name, or of a path to one file.

    Raises BadInput when the name is unknown, the file is missing or cannot be imported, or it declares nothing.
    """
    try:
        module = _module(group, name)
    except AttnbenchError:
        raise
    except Exception as error:  # whatever a third party's file does when it is imported
        said = f"{type(error).__name__}: {text_of(error)}"
        raise BadInput(f"{group[:-1]} {stem(name)!r} cannot be imported: {said}; mend its file") from error
    declared = group[:-1].upper()
    if not hasattr(module, declared):
        raise BadInput(f"{name} declares no {declared}; end the file in {declared} = {declared.title()}(...)")
    return getattr(module, declared)


def source(group: str, name: str) -> Path:
    """The file that defines a registered name, or the path itself."""
    file = _module(group, name).__file__
    if file is None:
        raise BadInput(f"{group[:-1]} {name!r} has no source file, so its results could not be fingerprinted")
    return Path(file)


def is_path(name: str) -> bool:
    """Whether a name is a path of a file rather than registered."""
    return name.endswith(".py") or "/" in name


def _module(group: str, name: str) -> ModuleType:
    if is_path(name):
        return _from_file(group, Path(name).resolve())
    if name not in names(group):
        raise unknown_name(group[:-1], name, names(group), f"attnbench list {group}")
    if name in _builtin(group):
        return importlib.import_module(f"attnbench.{group}.{name}")
    return importlib.import_module(_external(group)[name].module)


@cache
def _from_file(group: str, path: Path) -> ModuleType:
    if not path.is_file():
        raise BadInput(f"there is no file {path.name!r} at that path; run from the folder that holds it, or give its whole path")
    if path.stem in names(group) and path != _builtin(group).get(path.stem):
        raise BadInput(f"{path.name} has the name of a registered {group[:-1]} {path.stem!r}; rename the file")
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
