"""What `attnbench list`, `show` and `doctor` print."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.table import Table

from attnbench import environment, presets, registry
from attnbench.errors import unknown_name

KINDS = (*registry.GROUPS, "presets")


def show_list(what: str, as_json: bool, out: Console) -> None:
    """Names with summaries, without importing any of them.

    Raises BadInput for anything but variants, tasks and presets.
    """
    if what not in KINDS:
        raise unknown_name("list", what, KINDS, "attnbench list --help")
    if what == "presets":
        rows = [{"name": name, "summary": p.summary, "cells": len(p.specs())} for name, p in presets.PRESETS.items()]
    else:
        rows = [{"name": name, "summary": registry.summary(what, name)} for name in registry.names(what)]
    if as_json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in rows[0]:
        table.add_column(column, no_wrap=column == "name", justify="right" if column == "cells" else "left")
    for row in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in row.values()))
    out.print(table)


def show_doctor(as_json: bool, machine_only: bool, out: Console) -> None:
    """Facts about this machine, and which devices cells can run on."""
    if machine_only:
        print(environment.machine_name())
        return
    import torch

    facts: dict[str, Any] = {
        "machine": environment.machine_name(),
        **environment.describe(),
        "cuda": torch.cuda.is_available(),
        "presets": {"cpu": ["quick", "standard"], "cuda": list(presets.PRESETS)}["cuda" if torch.cuda.is_available() else "cpu"],
    }
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for name, value in facts.items():
        table.add_row(name, _fact(name, value))
    out.print(table)
    if not facts["cuda"]:
        out.print("No CUDA device: cells run on the CPU. Name this machine with ATTNBENCH_MACHINE=NAME.", style="dim")


def _fact(name: str, value: object) -> str:
    if name.endswith("_bytes") and isinstance(value, int):
        return f"{value / 2**30:.1f} GiB"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or "none"
    return "-" if value is None else str(value)
