"""The files that a claim's rule is made of, found by what they import.

They are the claim's own; the judge and the contract, which every verdict passes through; what these take from other modules of this folder
and from attnbench.stats, directly or by way of another; and modules elsewhere that hold what was decided before anything was measured. How
records are read and which of a cell is the newest, attnbench.analysis and attnbench.store say for all tables alike: they are no rule of a
claim. Nor is the file of protocols, to which new ones are added: what a protocol says is compared by its fingerprint.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_ALWAYS = ("claims/_judge.py", "claim.py")
_FOLDERS = ("claims", "stats")
_NO_RULE = (
    "claims/_history.py",
    "claims/_power.py",
    "claims/_rule_files.py",
    "claims/_seen.py",
    "claims/_untested.py",
    "claims/__init__.py",
)
DECIDED = ("spec/budgets.py",)  # further files, of choices that are made before training runs


def rule_files(file: Path) -> list[Path]:
    """The files of a claim's rule, its own first."""
    found = [file.resolve(), *(_PACKAGE / name for name in _ALWAYS)]
    for each in found:  # which grows meanwhile
        for name in _imported(each):
            source = _source(name)
            if source is not None and _is_rule(source) and source not in found:
                found.append(source)
    return found


def shown(file: Path) -> str:
    """The name of a file as readers know it: below the package's folder, or alone."""
    return file.relative_to(_PACKAGE).as_posix() if file.is_relative_to(_PACKAGE) else file.name


def is_decided(file: Path) -> bool:
    """Whether a file holds what was decided before training runs, from earlier runs."""
    return shown(file) in DECIDED


def _is_rule(file: Path) -> bool:
    name = shown(file)
    return name in DECIDED or (name.partition("/")[0] in _FOLDERS and name not in _NO_RULE)


def _imported(file: Path) -> Iterator[str]:
    """What a file imports: names with dots, each that of a module of this package, or of something in one."""
    for level, module, name in _imports(file.read_bytes()):
        if level:  # relative, as is told from the file's own place
            inside = shown(file).split("/")[:-level] if file.is_relative_to(_PACKAGE) else None
            module = ".".join(["attnbench", *inside, *filter(None, [module])]) if inside is not None else ""
        if module.partition(".")[0] == "attnbench":
            yield ".".join(filter(None, [module, name]))


@lru_cache(256)
def _imports(content: bytes) -> tuple[tuple[int, str, str], ...]:
    """The imports in a file's content: how many dots begin each, the module, and the name taken from it, "" where that is the module."""
    found: list[tuple[int, str, str]] = []
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Import):
            found += [(0, alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [(node.level, node.module or "", "" if alias.name == "*" else alias.name) for alias in node.names]
    return tuple(found)


def _source(name: str) -> Path | None:
    """The file of a module, or that which defines something in a module; None where there is none."""
    path = _PACKAGE.joinpath(*name.split(".")[1:])
    for module in (path.with_name(f"{path.name}.py"), path / "__init__.py"):
        if module.is_file():
            return module
    if path.parent.with_name(f"{path.parent.name}.py").is_file():
        return path.parent.with_name(f"{path.parent.name}.py")
    package = path.parent / "__init__.py"
    if not package.is_file():
        return None
    elsewhere = _passed_on(package.read_bytes()).get(path.name)
    return _source(elsewhere) if elsewhere else package


@lru_cache(16)
def _passed_on(content: bytes) -> Mapping[str, str]:
    """The names that a package takes from its modules for others, each with where it is from."""
    nodes = [node for node in ast.walk(ast.parse(content)) if isinstance(node, ast.ImportFrom) and not node.level]
    return {alias.asname or alias.name: f"{node.module}.{alias.name}" for node in nodes for alias in node.names}
