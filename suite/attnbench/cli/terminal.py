"""Makes and prints tables and paragraphs for the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from attnbench.store.store import Problem

WIDEST = 1000


def new_table(*columns: str, left: tuple[str, ...] = ()) -> Table:
    """A table without lines. Columns are right-aligned, except those named in `left`, and are never wrapped."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, justify="left" if column in left else "right", no_wrap=True)
    return table


def print_problems(out: Console, problems: Iterable[Problem]) -> None:
    """Print a line for each line of the store that could not be read."""
    for problem in problems:
        out.print(f"skipped an unreadable line: {problem}", style="yellow", markup=False, soft_wrap=True)


def print_table(out: Console, table: Table) -> None:
    """Print a table at its full width, so that no number is cut off in a pipe or a narrow window."""
    width = out.width
    needed = Measurement.get(out, out.options.update(max_width=WIDEST), table).maximum
    out.width = max(width, needed)
    try:
        out.print(table)
    finally:
        out.width = width


def print_indented(out: Console, text: str, style: str = "") -> None:
    """Print a paragraph with all its lines indented."""
    out.print(Padding(Text(text, style=style), (0, 0, 0, 2)))
