"""What `attnbench show` prints of records."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from attnbench.cli.filters import Filter
from attnbench.cli.show import show_results
from attnbench.store.record import Record
from helpers.site_records import stored


def shown(records: Sequence[Record], folder: Path, wanted: Filter | None = None) -> str:
    """The tables of the records in a folder, with these among them, in a wide window."""
    stored(folder, records)
    out = io.StringIO()
    show_results(folder, wanted or Filter(), Console(file=out, width=200), Console(file=out))
    return out.getvalue().replace("\u2009", " ")


def row(text: str, variant: str) -> str:
    """The first table row of a mechanism, cells two blanks apart."""
    return next(line for line in text.splitlines() if re.search(rf"(^|  ){re.escape(variant)}  ", line))
