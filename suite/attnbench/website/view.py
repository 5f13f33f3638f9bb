"""The parts of a page: sections, each of which shows one of its views; a view holds the tables and charts of one setting."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from attnbench.website.charts.chart import Chart
from attnbench.website.groups import MODES, Axis
from attnbench.website.tables.table import Table, Value


@dataclass(frozen=True)
class Charts:
    """Charts side by side under one heading."""

    charts: Sequence[Chart]
    title: str = ""
    lead: str = ""
    kind: str = "charts"


@dataclass(frozen=True)
class View:
    """One choice of every axis, and what is shown for it. chunk: the file of the page's views that holds it.

    extra: JSON values for the page's own script. rows: the rows of the view's download, if not the data of its tables.
    """

    axes: tuple[Axis, ...]
    blocks: Sequence[Table | Charts]
    setting: str = ""
    chunk: str = ""
    extra: Mapping[str, Any] | None = None
    rows: Sequence[Mapping[str, Value]] = ()


@dataclass(frozen=True)
class Section:
    """Views of which one is shown at a time, the first by default. empty: text that says what to run when there is none."""

    name: str
    title: str
    views: Sequence[View]
    empty: str = ""


@dataclass(frozen=True)
class Page:
    """One page of the site: its path, title, introduction of one sentence, and sections. known: what is known today, in one sentence."""

    path: str
    title: str
    lead: str
    sections: Sequence[Section]
    notes: Sequence[str] = field(default_factory=tuple)
    known: Markup | str = ""


# The order of the controls. A choice limits the controls after it to values that exist with it: a task limits the depths, not the other
# way round.
ORDER = (
    "track",
    "hardware",
    "device",
    "threads",
    "dtype",
    "torch",
    "timing",
    "task",
    "causal",
    "padded",
    "shape",
    "mode",
    "seq_len",
    "block",
    "num_layers",
    "token_shift",
    "init_norm",
    "positions",
    "weight_decay",
    "test_seq_len",
    "protocol",
    "recipe",
    "measure",
)


def switches(sections: Sequence[Section]) -> list[dict[str, Any]]:
    """Every axis of a page with its values in reading order, for the controls."""
    found: dict[str, dict[str, str]] = {}
    for section in sections:
        for view in section.views:
            for axis in view.axes:
                found.setdefault(axis.name, {})[axis.value] = axis.label
    return [
        {"name": name, "values": [[value, found[name][value]] for value in sorted(found[name], key=_reading_order)]}
        for name in sorted(found, key=ORDER.index)
    ]


def _reading_order(value: str) -> tuple[object, ...]:
    first = ["kernel", "depth", "task", *MODES, "settled", "old"]
    if value in first:
        return (0, first.index(value), "")
    return (1, int(value), "") if re.fullmatch(r"[0-9]{1,18}", value) else (2, 0, value)
