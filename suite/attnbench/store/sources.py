"""Finds the files that a file imports, directly or not, and the part of a file's text that changes what it does."""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
_NO_CODE = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)


def closure(files: Iterable[Path]) -> set[Path]:
    """These files and every file that they import, directly or not, wherever in the file the import stands.

    Imports are followed to modules of this package, of a file's own folder, and of the package that this folder belongs to. Imports for
    type checkers are not followed, nor those of `attnbench/__init__.py`, which imports on demand what no cell runs.
    """
    found: set[Path] = set()
    waiting = [file.resolve() for file in files]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += _imported(file)
    return found


@cache
def _imported(file: Path) -> tuple[Path, ...]:
    """The files that a file imports directly."""
    tree = _parsed(file)
    if tree is None or file == PACKAGE / "__init__.py":
        return ()
    modules = dict.fromkeys(name for node in _nodes(tree) for name in _modules(node, file))
    return tuple(path for name in modules for path in _located(name, file))


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node of a tree, without what stands under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING":
            yield from (inner for other in node.orelse for inner in ast.walk(other))
        else:
            yield node
            yield from _nodes(node)


def _modules(node: ast.AST, file: Path) -> Iterator[str]:
    """Yield the absolute names that an import statement imports; for `from a import b` a.b, which is a module or a name in module a."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parent = node.module or ""
        if node.level:
            package = [*_top(file.parent), ""][: len(_top(file.parent)) + 1 - node.level]
            parent = ".".join(filter(None, [*package, node.module]))
        yield from (f"{parent}.{alias.name}" if parent else alias.name for alias in node.names)


def _top(folder: Path) -> list[str]:
    """The names of the packages that a folder belongs to, the outermost first; empty where it is not a package."""
    names: list[str] = []
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    return names


def _located(module: str, importer: Path) -> list[Path]:
    """The file of a module, or of the module that defines the last part of the name; empty if neither ours nor beside the importer."""
    roots = [importer.parents[len(_top(importer.parent))], importer.parent, PACKAGE.parent]
    parts = module.split(".")
    for root in dict.fromkeys(roots):
        for length in (len(parts), len(parts) - 1):
            path = root.joinpath(*parts[:length])
            for file in (path.with_suffix(".py"), path / "__init__.py"):
                if length and file.is_file() and (root != PACKAGE.parent or parts[0] == PACKAGE.name):
                    return [file.resolve()]
    return []


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
