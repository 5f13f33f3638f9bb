"""Finds the files that a file imports, directly or not, and the part of a file's text that changes what it does."""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

from attnbench.registry.module_files import is_never_beside

PACKAGE = Path(__file__).parents[1]
_CALLS = ("import_module", "__import__")  # that import the module their first argument names
_COMPILED = (".c", ".cc", ".cpp", ".cu", ".cuh", ".h", ".hip", ".hpp")
_LONGEST = 200  # characters of the path of such a file; of a longer text the system would say that it is no path
_INSTALLED = ("site-packages", "dist-packages")  # names of folders
_NO_CODE = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)


def closure(files: Iterable[Path]) -> set[Path]:
    """These files and every file that they import, directly or not, wherever in the file the import stands.

    Imports are followed to modules of this package, of a file's own folder, and of the package that this folder belongs to, as
    `module_files` finds them; calls import_module("name") count too, and files of C++ and CUDA that a text in the file names. Imports for
    type checkers are not followed, nor those of `attnbench/__init__.py`, which imports on demand what no cell runs.
    """
    found: set[tuple[Path, Path]] = set()  # a file, and the folder in which the absolute imports of the first of its importers are found
    waiting = [(file.resolve(), _root(file.resolve())) for file in files]
    while waiting:
        file, base = waiting.pop()
        if (file, base) not in found:
            found.add((file, base))
            waiting += [(path, PACKAGE.parent if PACKAGE in path.parents else base) for path in _imported(file, base)]
    return {file for file, _ in found}


@cache
def _imported(file: Path, base: Path) -> tuple[Path, ...]:
    """The files that a file imports directly. base: see closure."""
    tree = _parsed(file)
    if tree is None or file == PACKAGE / "__init__.py":
        return ()
    nodes = list(_nodes(tree))
    modules = dict.fromkeys(name for node in nodes for name in _modules(node, file))
    return (*(path for name in modules for path in _located(name, file, base)), *_compiled(nodes, file))


def _compiled(nodes: Iterable[ast.AST], file: Path) -> Iterator[Path]:
    """Yield the files in languages that are compiled which a file names in a text, by their paths from its folder."""
    for node in nodes:
        match node:
            case ast.Constant(value=str(name)) if name.endswith(_COMPILED) and len(name) < _LONGEST and (file.parent / name).is_file():
                yield (file.parent / name).resolve()


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node of a tree, without what stands under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING":
            yield from (inner for other in node.orelse for inner in ast.walk(other))
        else:
            yield node
            yield from _nodes(node)


def _modules(node: ast.AST, file: Path) -> Iterator[str]:
    """Yield the names of the modules that a statement or call imports; for `from a import b` a.b, a module or a name in module a.

    A name that begins with a dot was written as a relative one: it is of the importer's own package or folder.
    """
    match node:
        case ast.Import():
            yield from (alias.name for alias in node.names)
        case ast.ImportFrom():
            parent = _resolved(node.module or "", node.level, file)
            yield from (f"{parent}.{alias.name}" if parent.strip(".") else f"{parent}{alias.name}" for alias in node.names)
        case ast.Call(func=ast.Attribute(attr=called) | ast.Name(id=called), args=[ast.Constant(value=str(name)), *_]) if called in _CALLS:
            yield _resolved(name.lstrip("."), len(name) - len(name.lstrip(".")), file)


def _resolved(name: str, level: int, file: Path) -> str:
    """The name of a module that a file imports by a name with `level` dots before it."""
    packages = _top(file.parent)
    return "." + ".".join(filter(None, [*packages[: len(packages) + 1 - level], name])) if level else name


def _top(folder: Path) -> list[str]:
    """The names of the packages that a folder belongs to, the outermost first; empty where it is not a package."""
    names: list[str] = []
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    return names


def _root(file: Path) -> Path:
    """The folder that holds a file, or the outermost package that it is in."""
    return file.parents[len(_top(file.parent))]


def _located(module: str, importer: Path, base: Path) -> list[Path]:
    """The file of a module, or of the module that defines the last part of the name; empty if neither ours nor beside the importer.

    With it the `__init__.py` of every package that it is in, which is executed too; not of those that the importer itself is in.
    """
    parts = module.lstrip(".").split(".")
    for root in _roots(parts[0], importer, base, relative=module.startswith(".")):
        for length in (len(parts), len(parts) - 1):
            path = root.joinpath(*parts[:length])
            for file in (path.with_suffix(".py"), path / "__init__.py"):
                if length and file.is_file():
                    inside = [root.joinpath(*parts[:count], "__init__.py") for count in range(1, length) if root != PACKAGE.parent]
                    return [one.resolve() for one in (*inside, file) if one == file or _is_new(one, importer)]
    return []


def _roots(top: str, importer: Path, base: Path, relative: bool) -> list[Path]:
    """The folders in which a file's import of a module is followed, by the first part of its name."""
    root = _root(importer)
    if relative or top in _top(importer.parent)[:1]:
        return [root]
    if top == PACKAGE.name:
        return [PACKAGE.parent]
    if is_never_beside(top) or root.name in _INSTALLED:  # beside an installed package are all the others
        return []
    return list(dict.fromkeys((base, root, importer.parent)))


def _is_new(package: Path, importer: Path) -> bool:
    """Whether an `__init__.py` is there, of a package that the importer is not in."""
    return package.is_file() and package.parent not in importer.parents


def place(file: Path) -> str:
    """A file's name that does not depend on where the checkout is: its path from its outermost package, or its own name."""
    depth = len(_top(file.parent))
    return file.relative_to(file.parents[depth]).as_posix()


@cache
def _parsed(file: Path) -> ast.Module | None:
    """The syntax tree of a file; None if it is not valid Python."""
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return None


@cache
def content(file: Path) -> str:
    """The text of a file without comments, docstrings, blank lines and trailing blanks; unchanged if it is not valid Python."""
    tree = _parsed(file)
    if tree is None:
        return file.read_bytes().decode("latin-1")
    with tokenize.open(file) as stream:
        lines = stream.readlines()
    return _without_comments(lines, _docstring_lines(tree, lines))


def _docstring_lines(tree: ast.Module, lines: Sequence[str]) -> set[int]:
    """The numbers of the lines of docstrings, except of docstrings that share a line with other code."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if (
            isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            and ast.get_docstring(node, False) is not None
        ):
            docstring = node.body[0]
            last, end = docstring.end_lineno or 0, docstring.end_col_offset or 0
            before, after = lines[docstring.lineno - 1].encode()[: docstring.col_offset], lines[last - 1].encode()[end:]
            if not before.strip() and after.strip()[:1] in (b"", b"#"):
                found.update(range(docstring.lineno, last + 1))
    return found


def _without_comments(lines: Sequence[str], left_out: set[int]) -> str:
    """The lines that hold code, without their comments; a line inside a text of several lines is kept unchanged."""
    ends: dict[int, int] = {}  # line number -> column where its code ends
    whole: set[int] = set()
    for token in tokenize.generate_tokens(iter(lines).__next__):
        if token.type not in _NO_CODE:
            whole.update(range(token.start[0], token.end[0]))
            ends[token.end[0]] = token.end[1]
    kept = []
    for number, line in enumerate(lines, start=1):
        if number not in left_out and (number in whole or number in ends):
            kept.append(line if number in whole else line[: ends[number]] + "\n")
    return "".join(kept)
