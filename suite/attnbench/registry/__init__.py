"""The registry of variants, tasks and claims: the files in the folders of these names, and installed entry points.

Names, summaries and plain fields of declarations are read from the text of the files; to list them, or to read results, needs no torch.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

from attnbench.errors import BadInput, NotImportable, Unavailable, text_of, unknown_name
from attnbench.registry import declarations, fresh, module_files, plugins, process_settings

GROUPS = ("variants", "tasks", "claims")
_PACKAGE = Path(__file__).parents[1]
_failed: dict[tuple[str, str], BadInput] = {}  # why a plug-in could not be imported: a second try in one process may half succeed


def names(group: str) -> list[str]:
    """Every registered name of a group ("variants", "tasks" or "claims"), sorted.

    A plug-in with the name of a built-in is left out; see `problems`. Raises BadInput for an unknown group.
    """
    return sorted(_builtin(group).keys() | _external(group).keys())


def builtin(group: str) -> list[str]:
    """The names that ship with attnbench, sorted."""
    return sorted(_builtin(group))


def problems(group: str) -> list[str]:
    """A line for each installed plug-in of a group that is left out, or cannot be used, by what its package says of it."""
    clashing = sorted(_builtin(group).keys() & _external(group).keys())
    clashes = [
        f"{group[:-1]} {name!r} of the installed entry point {_external(group)[name].value!r} has the name of a built-in, and is left out; "
        "rename it, or uninstall that package"
        for name in clashing
    ]
    return [*clashes, *plugins.installed(group).problems]


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


def by_stem(group: str, sources: Iterable[str]) -> dict[str, str]:
    """Names and paths of files by the name under which each is recorded. A file that is given twice, however it is written, is one.

    Raises BadInput for an unknown name, a path without a file, and two files, or a file and something registered, of one name.
    """
    found: dict[str, str] = {}
    for source in sources:
        check(group, source)
        known = found.setdefault(stem(source), source)
        if is_path(known) and Path(known).resolve() != Path(source).resolve():
            raise BadInput(
                f"{known} and {source} would both be recorded as the {group[:-1]} {stem(source)!r}, and could not be told apart; rename one"
            )
    return found


def load(group: str, name: str) -> Any:
    """The VARIANT, TASK or CLAIM that a registered module, or the file at a path, declares.

    Raises NotImportable when it cannot be imported; BadInput when the name is unknown, the file is missing, it declares nothing, or changes
    settings of the whole process, which are put back.
    """
    check(group, name)
    try:
        module = _from_file(group, Path(name).resolve()) if is_path(name) else _registered(group, name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the import of a third party's file may raise anything, SystemExit among it
        why = error if isinstance(error, BadInput) else _why(group, name, error)
        if not is_path(name):
            _failed[group, name] = why
        raise why from (None if why is error else error)
    declared = group[:-1].upper()
    if not hasattr(module, declared):
        raise BadInput(f"{name} declares no {declared}; end the file in {declared} = {declared.title()}(...)")
    return getattr(module, declared)


def _why(group: str, name: str, error: BaseException) -> NotImportable:
    """The error for a module that could not be imported."""
    if isinstance(error, Unavailable):
        return NotImportable(text_of(error), "unavailable")
    said = f"{group[:-1]} {stem(name)!r} cannot be imported: {type(error).__name__}: {text_of(error)}"
    if isinstance(error, ImportError) and (isinstance(error, ModuleNotFoundError) or "shared object" in text_of(error)):
        return NotImportable(f"{said}; install what it needs, or leave it out", "unavailable")
    return NotImportable(f"{said}; mend its file")


def declared(group: str, name: str) -> Mapping[str, Any]:
    """The fields of a declaration that are plain values in its file, read without importing it.

    A plain value consists of literals, of names to which the file assigns one literal only, of arithmetic with both, and of calls
    Size(num_layers=2, ...), which are returned as dicts. Computed fields are absent, and so are fields that the file leaves out.

    Raises BadInput for an unknown name or a missing file.
    """
    return declarations.read(_file(group, name), group[:-1].upper())[0]


def field(group: str, name: str, field: str, default: Any = ...) -> Any:
    """One field of a declaration; a Size is returned as a dict.

    default: the value where the file leaves the field out. The file is imported if it computes the field, or has neither it nor a default.

    Raises BadInput for an unknown name, a missing file, or a file that has to be imported and cannot be, or has no such field then.
    """
    plain, computed = declarations.read(_file(group, name), group[:-1].upper())
    if field in plain:
        return plain[field]
    if default is not ... and not computed & {field, None}:
        return default
    loaded = load(group, name)
    if not hasattr(loaded, field):
        declared = group[:-1].upper()
        raise BadInput(
            f"{declared} of {stem(name)} is a {type(loaded).__name__} without {field}; end the file in {declared} = {declared.title()}(...)"
        )
    value = getattr(loaded, field)
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value


def source(group: str, name: str) -> Path:
    """The file that defines a registered name, or the path itself. It is imported only where nothing else can find it.

    Raises BadInput when there is none, or when it has to be imported and cannot be.
    """
    found = _file(group, name)
    if found is None:
        load(group, name)
        imported = _registered(group, name).__file__
        if imported is None:
            raise BadInput(f"{group[:-1]} {name!r} has no source file, so its results could not be fingerprinted")
        found = Path(imported)
    return found


def is_path(name: str) -> bool:
    """Whether a name is the path of a file and not a registered name."""
    return name.endswith(".py") or "/" in name


def check(group: str, name: str) -> None:
    """Raise BadInput for a name that is not registered, a path without a file, and a file with the name of something registered."""
    if not is_path(name):
        if name not in names(group):
            raise unknown_name(group[:-1], name, names(group), f"attnbench list {group}")
    elif not Path(name).is_file():
        raise BadInput(f"there is no file {Path(name).name!r} at that path; run from the folder that holds it, or give its whole path")
    elif stem(name) in names(group) and Path(name).resolve() != _builtin(group).get(stem(name)):
        raise BadInput(f"{Path(name).name} has the name of a registered {group[:-1]} {stem(name)!r}; rename the file")


@cache
def _from_file(group: str, path: Path) -> ModuleType:
    return imported(group, path.stem, lambda: module_files.load(path))


@cache
def _registered(group: str, name: str) -> ModuleType:
    """The module of a built-in or of a plug-in."""
    if (group, name) in _failed:
        raise _failed[group, name]
    if name in _builtin(group):
        module = f"attnbench.{group}.{name}"
    else:
        if why := plugins.installed(group).doubtful.get(name):
            raise NotImportable(why)
        module = _module_of(_external(group)[name])
    return imported(group, name, lambda: importlib.import_module(module))


def imported(group: str, name: str, load: Callable[[], ModuleType]) -> ModuleType:
    """The module that `load` gives, of which `fresh` notes what it is now.

    What is printed meanwhile goes to stderr; settings of the process are kept, see process_settings.
    """
    if group != "claims":
        importlib.import_module("torch")  # which the file would import too: its settings are to be known before
    who = f"{group[:-1]} {name!r}, when it is imported,"
    with process_settings.kept(who, importing=True), warnings.catch_warnings(), redirect_stdout(sys.stderr):
        return fresh.imported(load)


@cache
def _builtin(group: str) -> Mapping[str, Path]:
    """The files of a group in this package by name, looked for once in a process."""
    if group not in GROUPS:
        raise unknown_name("group", group, GROUPS, "attnbench list --help")
    return {path.stem: path for path in (_PACKAGE / group).glob("[!_]*.py")}


def _external(group: str) -> dict[str, EntryPoint]:
    return plugins.installed(group).points


def _module_of(point: EntryPoint) -> str:
    module = plugins.module_of(point)
    if module is None:
        raise NotImportable(f"the entry point {point.name!r} has the value {point.value!r}, which names no module; mend its package")
    return module


def _file(group: str, name: str) -> Path | None:
    """The file of a registered name or a path, found without importing anything; None where only an import can find it."""
    check(group, name)
    if is_path(name):
        return Path(name).resolve()
    if name in _builtin(group):
        return _builtin(group)[name]
    module = plugins.module_of(_external(group)[name])
    return None if module is None else plugins.file_of(module)
