"""Tables and settings as the terminal shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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


def setting_text(setting: Mapping[str, Any]) -> str:
    """A setting in words: numbers with their names, other values as they are, what is missing not at all.

    >>> setting_text({"mode": "forward", "causal": True, "seq_len": 4096.0, "block": None})
    'forward, causal, seq_len 4,096'
    """
    return ", ".join(filter(None, (_part(name, value) for name, value in setting.items())))


def _part(name: str, value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return name if value else ""
    if isinstance(value, str):
        return f"{name} {value}" if name in ("torch", "rate") else value
    number = int(value) if float(value).is_integer() else value
    return f"{name} {number:,}"
