"""Makes all files of the site; they depend only on the store and the sources."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jinja2
import msgspec

from attnbench.analysis.number_format import count
from attnbench.store.metrics import as_plain
from attnbench.store.peaks import Peaks
from attnbench.store.record import Record
from attnbench.store.report import Report
from attnbench.website import palette
from attnbench.website.chunks import chunk_files, figures_script, scripts
from attnbench.website.contents import RUN, first_pages, scaling_page
from attnbench.website.links import variant_file
from attnbench.website.pages.cells import cell_pages
from attnbench.website.pages.claims import judged_claims, summary_table, untested_table
from attnbench.website.pages.machines import commit_text, machines
from attnbench.website.pages.prose import html_of
from attnbench.website.pages.variants import index_table, sheet
from attnbench.website.palette import slug
from attnbench.website.results import Results
from attnbench.website.search import entries
from attnbench.website.sources import Sources
from attnbench.website.tables.checks import Checks
from attnbench.website.tables.html import table_html, tell_html
from attnbench.website.view import Page

PARQUET = "data/attnbench.parquet"
METRICS = "data/metrics.js"  # the table of metrics, by which scripts format numbers
LINKS = ("Scaling", "Accuracy", "Depth", "Claims", "Variants", "Compare", "Machines", "Method", "Submit")
File = tuple[str, bytes]


@dataclass(frozen=True)
class Site:
    """The inputs of a site. reports: of checks; peaks: by machine, then device; has_asv: whether asv's pages are beside the site."""

    results: Results
    sources: Sources
    has_asv: bool = False
    reports: Sequence[Report] = ()
    peaks: Mapping[str, Mapping[str, Peaks]] | None = None

    def cells(self) -> Iterator[File]:
        """Yield the pages of cells; they need no statistics. In this part as in the others, equal records give equal bytes."""
        for file, body, script in cell_pages(self.results):
            beside = file.removesuffix(".html") + ".js"
            yield beside, script
            yield self._draw.page(file, "cells.html", body=body, scripts=[METRICS, beside])

    def front(self) -> Iterator[File]:
        """Yield half of the other files, one at a time: those of a large store need too much memory together."""
        draw, results = self._draw, self.results
        yield from self.sources.assets.items()
        yield "assets/palette.css", palette.css(results.styles.values()).encode()
        for page in first_pages(results, self._checks):
            yield from draw.view_page(page, _facts(results) if page.path == "index.html" else [])
        found = judged_claims(results, self.sources.claims)
        figures = {f"{each.name}-{n}": chart.figure for each in found for n, chart in enumerate(each.charts)}
        yield "data/claims.js", figures_script("claims", figures)
        yield draw.page(
            "claims.html", "claims.html", claims=found, summary=summary_table(found), untested=untested_table(), scripts=["data/claims.js"]
        )
        shown = machines(results, self.peaks or {})
        yield "data/machines.js", figures_script("machines", {f"drift-{m.anchor}": m.drift.figure for m in shown if m.drift})
        yield draw.page("machines.html", "machines.html", machines=shown, scripts=["data/machines.js"])
        for stem, text in self.sources.pages.items():
            yield draw.page(f"{stem}.html", "prose.html", title=stem.capitalize(), body=html_of(text))
        pages = [("Leaderboard", "index.html"), *draw.links, *draw.more]
        yield METRICS, b"attnbench.metrics = %s;\n" % msgspec.json.encode(as_plain())
        yield "data/search.js", b"attnbench.search = %s;\n" % msgspec.json.encode(entries(results, self.sources, pages))

    def back(self) -> Iterator[File]:
        """Yield the other half, which takes about as much work."""
        yield from self._draw.view_page(scaling_page(self.results), [])
        yield from self._variant_pages()

    def _variant_pages(self) -> Iterator[File]:
        draw, results, sources = self._draw, self.results, self.sources
        for name in results.variants:
            source = f"sources/{slug(name)}.html" if name in sources.files else ""
            shown = sheet(results, self._checks, name, sources.summaries.get(name, ""), source)
            yield draw.page(variant_file(name), "variant.html", sheet=shown)
            if source:
                lines = sources.files[name].splitlines()
                yield draw.page(source, "source.html", name=name, lines=lines, style=results.styles[name], back=variant_file(name))
        yield draw.page("variants.html", "list.html", table=index_table(results, self._checks, dict(sources.summaries)))

    @cached_property
    def _checks(self) -> Checks:
        return Checks(self.reports)

    @cached_property
    def _draw(self) -> _Drawing:
        return _Drawing(self.sources, self.has_asv)


def render(
    records: Iterable[Record], sources: Sources, has_asv: bool = False, first: str | None = None, reports: Sequence[Report] = (),
    peaks: Mapping[str, Mapping[str, Peaks]] | None = None,
) -> dict[str, bytes]:  # fmt: skip
    """Every file of the site by its path, without plotly and the Parquet file."""
    results = Results(records, sources.declared, shipped=sources.summaries, first=first)
    site = Site(results, sources, has_asv, reports, peaks)
    return dict([*site.cells(), *site.front(), *site.back()])


class _Drawing:
    """Draws pages from the templates, with the parts that every page has."""

    def __init__(self, sources: Sources, has_asv: bool) -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(sources.templates), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
            lstrip_blocks=True, keep_trailing_newline=True,
        )  # fmt: skip
        self._environment.globals |= {"table_html": table_html, "tell_html": tell_html}
        self.links = [("Leaderboard", "index.html"), *((name, f"{name.lower()}.html") for name in LINKS)]
        self.more = [("About", "about.html"), ("Run it", "run.html"), *([("asv", "asv/index.html")] if has_asv else [])]
        self._view = self._environment.get_template("view.html")

    def page(self, path: str, template: str, scripts: Sequence[str] = (), **values: Any) -> File:
        """A page. scripts: the page's own scripts, in the order of loading."""
        root = "../" * path.count("/")
        shared = {"links": self.links, "more": self.more, "run": RUN, "parquet": PARQUET, "scripts": scripts}
        return path, self._environment.get_template(template).render(path=path, root=root, **shared, **values).encode()

    def view_page(self, page: Page, facts: Sequence[tuple[str, str]]) -> Iterator[File]:
        """A page of views and its scripts."""
        yield self.page(page.path, "page.html", chunk_files(page), page=page, facts=facts)
        yield from scripts(page, lambda view, section, number: self._view.render(view=view, section=section, number=number, root=""))


def _facts(results: Results) -> list[tuple[str, str]]:
    """The facts about the data, as pairs of name and text: how much there is, how new it is, and the code that measured it."""
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
