"""Imports a file by its path, so that it finds the modules beside it, and nobody else does.

A module beside a file is imported under a name of its own, that of the file's folder before it. So two files in two folders may each have a
`helper.py`, in one process, whenever they import it: at the top, or in the first call. It never takes the place of a module of the standard
library, of attnbench, or of an installed package.
"""

from __future__ import annotations

import builtins
import importlib.util
import re
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from attnbench.errors import BadInput

PREFIX = "attnbench_file_"  # of the packages, one for each folder, that hold what is imported here

_folders: dict[Path, str] = {}  # folder from which absolute imports count -> the name of its package here
_roots: dict[str, Path] = {}  # the name of every such package -> its folder


def load(path: Path, anew: bool = False) -> ModuleType:
    """Execute the file at a path and give its module.

    anew: in a package of its own, so that the modules beside it are executed again too, and share nothing with those of before.

    Raises BadInput for what is no Python file, or imports a name that a module beside it and an installed package both have; else whatever
    the file raises.
    """
    if path.suffix != ".py":
        raise BadInput(f"{path.name} is not a Python file; give a file that ends in .py")
    inside = _packages(path.parent)
    root = path.parents[len(inside)]
    # A name that no import statement can hold is made unique, for what is made of it here need not be.
    stem = path.stem if path.stem.isidentifier() else f"{re.sub(r'[^A-Za-z0-9_]', '_', path.stem)}_{len(sys.modules)}"
    name = ".".join([_new_package(root) if anew else _package(root), *inside, stem])
    spec = importlib.util.spec_from_file_location(name, path, loader=_Loader(name, str(path)))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def is_never_beside(name: str) -> bool:
    """Whether a module of the standard library or of attnbench has a name: it is never looked for beside a file."""
    return name == "attnbench" or name in sys.stdlib_module_names


def _packages(folder: Path) -> list[str]:
    """The names of the packages that a folder belongs to, the outermost first."""
    names: list[str] = []
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        names.insert(0, folder.name)
        folder = folder.parent
    return names


def _package(root: Path) -> str:
    """The name of the package of a folder, which is made where there is none yet."""
    if root not in _folders:
        _folders[root] = _new_package(root)
    return _folders[root]


def _new_package(root: Path) -> str:
    """The name of a package of a folder that nothing is in yet."""
    name = f"{PREFIX}{len(_roots)}"
    _roots[name] = root
    package = ModuleType(name)
    package.__path__ = [str(root)]
    sys.modules[name] = package
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    return name


class _Finder(MetaPathFinder):
    """Finds the modules of such packages, and has them executed as the file itself is."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if not name.startswith(PREFIX):
            return None
        found = PathFinder.find_spec(name, path, target)
        if found is not None and isinstance(found.loader, SourceFileLoader):
            found.loader = _Loader(name, found.loader.path)
        return found


class _Loader(SourceFileLoader):
    """Executes a file, from its text and not from a compiled copy, so that what runs is what was fingerprinted."""

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = self.source_to_code(self.get_data(self.path), self.path)
        return code

    def exec_module(self, module: ModuleType) -> None:
        # Python's import statements ask the `__import__` that their module's own builtins hold.
        own = partial(_import, module.__name__.partition(".")[0])
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": own}
        super().exec_module(module)


def _import(
    package: str,
    name: str,
    globals: Mapping[str, Any] | None = None,
    locals: Mapping[str, Any] | None = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> ModuleType:
    """As `__import__`, for a file or a module beside it; `package` is that of its folder."""
    top = name.partition(".")[0]
    if level == 0 and not is_never_beside(top):
        own = str((globals or {}).get("__package__") or package)
        for place in dict.fromkeys((package, own)):
            if _is_beside(place, top):
                found = importlib.import_module(f"{place}.{name}")
                if fromlist:  # which may name modules too
                    return builtins.__import__(found.__name__, globals, locals, fromlist)
                return sys.modules[f"{place}.{top}"]
    return builtins.__import__(name, globals, locals, fromlist or (), level)


def _is_beside(place: str, top: str) -> bool:
    """Whether the folder of a package has a module of that name. Raises BadInput where an installed package has it too."""
    package, *inner = place.split(".")
    folder = _roots[package].joinpath(*inner)
    files = [file for file in (folder / f"{top}.py", folder / top / "__init__.py") if file.is_file()]
    installed = _origin(top)
    if not files:
        return installed is None and (folder / top).is_dir() and top not in sys.modules
    if installed is None or installed.resolve() == files[0].resolve():
        return True
    if Path.cwd() in (installed.parent, installed.parent.parent):  # no package: `python -m` looks in the folder where it is started too
        return True
    raise BadInput(
        f"{top!r} is the name of {files[0].relative_to(folder)}, beside a file that imports it, and of an installed package; "
        "rename the one beside the file"
    )


def _origin(top: str) -> Path | None:
    """The file of a module as every other file would import it; None if there is none."""
    try:
        found = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return None
    return Path(found.origin) if found is not None and found.origin else None
