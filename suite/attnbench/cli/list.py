"""`attnbench list`: prints the names of variants, tasks, claims, presets or columns."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from attnbench import registry
from attnbench.cli._notices import tell_of_plugins
from attnbench.cli.output import print_json
from attnbench.errors import unknown_name
from attnbench.spec import presets

KINDS = (*registry.GROUPS, "presets", "columns")


def show_list(what: str, as_json: bool, out: Console) -> None:
    """Print names with summaries; variants, tasks and claims are not imported.

    Raises BadInput for anything but variants, tasks, claims, presets and columns.
    """
    if what not in KINDS:
        raise unknown_name("list", what, KINDS, "attnbench list --help")
    if what == "presets":
        rows = [{"name": name, "summary": p.summary, "cells": len(p.specs())} for name, p in presets.PRESETS.items()]
    elif what == "columns":
        from attnbench.analysis.columns import dictionary

        rows = [{"name": row.name, "summary": f"{row.type}: {row.meaning}"} for row in dictionary().itertuples(index=False)]
    else:
        rows = [{"name": name, "summary": registry.summary(what, name)} for name in registry.names(what)]
        tell_of_plugins((what,))
    if as_json:
        print_json(rows)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in rows[0]:
        table.add_column(column, no_wrap=column == "name", justify="right" if column == "cells" else "left")
    for row in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in row.values()))
    out.print(table)
