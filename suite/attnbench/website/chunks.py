"""Writes the views of a page as scripts, because `fetch` is blocked on file://: an index of all views, and files that hold them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from attnbench.website.tables.table import Table
from attnbench.website.view import Charts, Page, View, switches

Draw = Callable[[View, str, int], str]


def scripts(page: Page, draw: Draw) -> Iterator[tuple[str, bytes]]:
    """Yield every script of a page: its index data/PAGE.js, and data/PAGE-CHUNK.js for each chunk.

    draw: the HTML of a view, given its section and number. The first view of every section is in the page itself.
    """
    stem = page.path.removesuffix(".html")
    names = list(dict.fromkeys(view.chunk for section in page.sections for view in section.views))
    axes = switches(page.sections)
    codes = {axis["name"]: {value: code for code, (value, _) in enumerate(axis["values"])} for axis in axes}
    sections: dict[str, list[list[int]]] = {}
    chunks: dict[str, dict[str, list[Any]]] = {name: {} for name in names}
    figures: dict[str, dict[str, Any]] = {name: {} for name in names}
    for section in page.sections:
        for number, view in enumerate(section.views):
            own = chunks[view.chunk].setdefault(section.name, [])
            given = {axis.name: codes[axis.name][axis.value] for axis in view.axes}
            sections.setdefault(section.name, []).append([*(given.get(a["name"], -1) for a in axes), names.index(view.chunk), len(own)])
            own.append(_view(view, draw(view, section.name, number) if number else ""))
            figures[view.chunk] |= figure_names(section.name, number, view)
    yield f"data/{stem}.js", _call("index", {"page": stem, "axes": axes, "sections": sections, "chunks": names})
    for name in names:
        yield f"data/{stem}-{name}.js", _call("chunk", {"name": name, "sections": chunks[name], "figures": figures[name]})


def chunk_files(page: Page) -> list[str]:
    """The scripts that a page loads first: its index, and the chunk of every section's first view."""
    stem = page.path.removesuffix(".html")
    first = dict.fromkeys(section.views[0].chunk for section in page.sections if section.views)
    return [f"data/{stem}.js", *(f"data/{stem}-{name}.js" for name in first)]


def figure_names(section: str, number: int, view: View) -> dict[str, Mapping[str, Any]]:
    """The figures of a view, by the names of their places in the page."""
    charts = [chart for block in view.blocks if isinstance(block, Charts) for chart in block.charts]
    return {f"{section}-{number}-{place}": chart.figure for place, chart in enumerate(charts)}


def figures_script(name: str, figures: Mapping[str, Mapping[str, Any]]) -> bytes:
    """The script with the figures of a page that has no views to choose from."""
    return _call("index", {"page": name, "axes": [], "sections": {}, "chunks": []}) + _call(
        "chunk", {"name": "figures", "sections": {}, "figures": figures}
    )


def _view(view: View, html: str) -> dict[str, Any]:
    tables: Sequence[Table] = [block for block in view.blocks if isinstance(block, Table)]
    found: dict[str, Any] = {"html": html, "setting": view.setting, "data": [list(table.data) for table in tables]}
    return found | ({"extra": view.extra} if view.extra else {}) | ({"rows": view.rows} if view.rows else {})


def _call(function: str, value: object) -> bytes:
    return b"attnbench.%s(%s);\n" % (function.encode(), msgspec.json.encode(value, order="sorted"))
