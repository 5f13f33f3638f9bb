"""Analysis of records: the table of all records, settings, rankings, growth with length, averages over tasks, comparisons.

`attnbench.analysis.ranking`, `.scaling`, `.overall` and `.compare` are loaded when they are first asked for.
"""

from __future__ import annotations

import importlib
from types import ModuleType

PUBLIC = ("compare", "overall", "ranking", "scaling")


def __getattr__(name: str) -> ModuleType:
    if name not in PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")
