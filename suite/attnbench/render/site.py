"""The whole site as files: a pure function of the store and the sources."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jinja2

from attnbench.peaks import Peaks
from attnbench.record import Record
from attnbench.render import palette
from attnbench.render.cells import cell_pages
from attnbench.render.checked import Checks
from attnbench.render.chunks import chunk_files, figures_script, scripts
from attnbench.render.claims import summary_table, verdicts
from attnbench.render.links import variant_file
from attnbench.render.machines import commit_text, machines
from attnbench.render.pages import RUN, view_pages
from attnbench.render.palette import slug
from attnbench.render.prose import html_of
from attnbench.render.quantity import count
from attnbench.render.results import Results
from attnbench.render.search import entries
from attnbench.render.sources import Sources
from attnbench.render.variants import index_table, sheet
from attnbench.render.view import Page
from attnbench.report import Report

PARQUET = "data/attnbench.parquet"
LINKS = ("Scaling", "Accuracy", "Depth", "Claims", "Variants", "Compare", "Machines", "Method", "Submit")


def render(
    records: Iterable[Record], sources: Sources, has_asv: bool = False, first: str | None = None, reports: Iterable[Report] = (),
    peaks: Mapping[str, Mapping[str, Peaks]] | None = None,
) -> dict[str, bytes]:  # fmt: skip
    """Every file of the site by its path, but for plotly and the Parquet file."""
    return dict(files(Results(records, sources.declared, shipped=sources.summaries, first=first), sources, has_asv, reports, peaks or {}))


def files(
    results: Results, sources: Sources, has_asv: bool, reports: Iterable[Report], peaks: Mapping[str, Mapping[str, Peaks]]
) -> Iterator[tuple[str, bytes]]:
    """The same, one after the other: of a large store they are too much to hold at once. The same records give the same bytes."""
    draw = _Drawing(sources, has_asv)
    checks = Checks(reports)
    yield from sources.assets.items()
    yield "assets/palette.css", palette.css(results.styles.values()).encode()
    for page in view_pages(results, checks):
        yield from draw.view_page(page, _facts(results) if page.path == "index.html" else [])
    yield from _variant_pages(results, checks, sources, draw)
    found = verdicts(results, sources.claims)
    figures = {f"{v.name}-{n}": chart.figure for v in found for n, chart in enumerate(v.charts)}
    yield "data/claims.js", figures_script("claims", figures)
    yield draw.page("claims.html", "claims.html", verdicts=found, summary=summary_table(found), scripts=["data/claims.js"])
    shown = machines(results, peaks)
    yield "data/machines.js", figures_script("machines", {f"drift-{m.anchor}": m.drift.figure for m in shown if m.drift})
    yield draw.page("machines.html", "machines.html", machines=shown, scripts=["data/machines.js"])
    for file, body, script in cell_pages(results):
        beside = file.removesuffix(".html") + ".js"
        yield beside, script
        yield draw.page(file, "cells.html", body=body, scripts=[beside])
    for stem, text in sources.pages.items():
        yield draw.page(f"{stem}.html", "prose.html", title=stem.capitalize(), body=html_of(text))
    yield "data/search.js", _assignment("search", entries(results, sources, [("Leaderboard", "index.html"), *draw.links, *draw.more]))


def _variant_pages(results: Results, checks: Checks, sources: Sources, draw: _Drawing) -> Iterator[tuple[str, bytes]]:
    for name in results.variants:
        source = f"sources/{slug(name)}.html" if name in sources.files else ""
        shown = sheet(results, checks, name, sources.summaries.get(name, ""), source)
        yield draw.page(variant_file(name), "variant.html", sheet=shown)
        if source:
            lines = sources.files[name].splitlines()
            yield draw.page(source, "source.html", name=name, lines=lines, style=results.styles[name], back=variant_file(name))
    yield draw.page("variants.html", "list.html", table=index_table(results, checks, dict(sources.summaries)))


class _Drawing:
    """The templates, and what every page has."""

    def __init__(self, sources: Sources, has_asv: bool) -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(sources.templates), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
            lstrip_blocks=True, keep_trailing_newline=True,
        )  # fmt: skip
        self.links = [("Leaderboard", "index.html"), *((name, f"{name.lower()}.html") for name in LINKS)]
        self.more = [("About", "about.html"), *([("asv", "asv/index.html")] if has_asv else [])]
        self._view = self._environment.get_template("view.html")

    def page(self, path: str, template: str, scripts: Sequence[str] = (), **values: Any) -> tuple[str, bytes]:
        """A page; scripts: those that are its own, in this order."""
        root = "../" * path.count("/")
        shared = {"links": self.links, "more": self.more, "run": RUN, "parquet": PARQUET, "scripts": scripts}
        return path, self._environment.get_template(template).render(path=path, root=root, **shared, **values).encode()

    def view_page(self, page: Page, facts: Sequence[tuple[str, str]]) -> Iterator[tuple[str, bytes]]:
        """A page of views and its scripts."""
        yield self.page(page.path, "page.html", chunk_files(page), page=page, facts=facts)
        yield from scripts(page, lambda view, section, number: self._view.render(view=view, section=section, number=number, root=""))


def _facts(results: Results) -> list[tuple[str, str]]:
    """The data line: what there is, how new, from which code."""
    if not results.records:
        return []
    latest = results.sessions[-1]
    machine_count = len({r.machine for r in results.records})
    return [
        (count(len(results.records)), "cell" if len(results.records) == 1 else "cells"),
        (count(len(results.variants)), "variant" if len(results.variants) == 1 else "variants"),
        (count(machine_count), "machine" if machine_count == 1 else "machines"),
        (latest.started_at[:10], "updated"),
        (commit_text(latest.environment)[:40], "commit"),
    ]


def _assignment(name: str, value: object) -> bytes:
    return f"attnbench.{name} = {json.dumps(value, separators=(',', ':'))};\n".encode()
