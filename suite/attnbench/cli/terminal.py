"""Tables and settings as the terminal shows them."""

from __future__ import annotations

from rich.console import Console
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

WIDEST = 1000


def new_table(*columns: str, left: tuple[str, ...] = ()) -> Table:
    """A table without lines, whose columns are right-aligned but for those named in `left`, and are never broken."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, justify="left" if column in left else "right", no_wrap=True)
    return table


def print_table(out: Console, table: Table) -> None:
    """Print a table at its full width: in a pipe, and in a narrow window too, a number is never cut off."""
    width = out.width
    needed = Measurement.get(out, out.options.update(max_width=WIDEST), table).maximum
    out.width = max(width, needed)
    try:
        out.print(table)
    finally:
        out.width = width


def print_indented(out: Console, text: str, style: str = "") -> None:
    """A paragraph, all lines of it indented."""
    out.print(Padding(Text(text, style=style), (0, 0, 0, 2)))
