"""The files that a file imports, directly or not, and what of a file's text decides what it does."""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_NO_CODE = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)


def closure(files: Iterable[Path]) -> set[Path]:
    """These files and every file that they import, directly or not, wherever in the file the import stands.

    Followed are modules of this package, and modules beside a file: in its own folder, and in the package that the folder is a part of.
    Not followed are imports for type checkers, and the front door `attnbench/__init__.py`, which imports on demand what no cell runs.
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
    """The files that a file imports itself."""
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
    """The absolute names that an import statement asks for; of `from a import b` the name a.b, which may be a module or stand in a."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parent = node.module or ""
        if node.level:
            package = [*_top(file.parent), ""][: len(_top(file.parent)) + 1 - node.level]
            parent = ".".join(filter(None, [*package, node.module]))
        yield from (f"{parent}.{alias.name}" if parent else alias.name for alias in node.names)


def _top(folder: Path) -> list[str]:
    """The names of the packages that a folder is a part of, the outermost first; none where it is no package."""
    names: list[str] = []
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    return names


def _located(module: str, importer: Path) -> list[Path]:
    """The file of a module, or of the module in which the last part of the name stands; none for what is neither ours nor beside."""
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
    """A file's name that is the same wherever the checkout lies: its path with the packages that it is a part of, or its own name."""
    depth = len(_top(file.parent))
    return file.relative_to(file.parents[depth]).as_posix()


@cache
def _parsed(file: Path) -> ast.Module | None:
    """The syntax tree of a file; None where it has none."""
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return None


@cache
def content(file: Path) -> str:
    """The text of a file without comments, docstrings, blank lines and blanks at the ends of lines; as it is where it is no Python."""
    tree = _parsed(file)
    if tree is None:
        return file.read_bytes().decode("latin-1")
    with tokenize.open(file) as stream:
        lines = stream.readlines()
    return _without_comments(lines, _docstring_lines(tree, lines))


def _docstring_lines(tree: ast.Module, lines: Sequence[str]) -> set[int]:
    """The numbers of the lines that docstrings take up, of those that share no line with other code."""
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
    """The lines that hold code, each cut at its comment; a line that ends inside a token, in a text of several lines, is kept whole."""
    ends: dict[int, int] = {}  # by the number of a line, the column where its code ends
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
