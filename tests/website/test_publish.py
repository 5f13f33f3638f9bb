"""The site as files: pure in its records, whole for every store, closed to harmful names and to the network."""

from __future__ import annotations

import dataclasses
import io
import json
import random
import re
from collections.abc import Callable, Iterable
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qsl, unquote, urlparse

import pytest
from rich.console import Console

from attnbench.spec.axes import Spec
from attnbench.store.record import Record, encode
from attnbench.store.report import Finding, Report
from attnbench.website.links import cell_anchor
from attnbench.website.palette import slug
from attnbench.website.publish import publish, render
from helpers import site_records
from helpers.records import make_peaks
from helpers.site_records import Files, calls, chunks_of, html, index_of
from helpers.site_sources import NO_CLAIMS, SOURCES, page_of
from helpers.site_stores import REPORTS

VIEWS = ("index", "scaling", "accuracy", "depth", "compare")
PAGES = {*VIEWS, "claims", "variants", "machines", "method", "submit", "run", "about"}
OUTSIDE = ("assets/plotly.min.js", "data/attnbench.parquet")  # which publish adds


class Links(HTMLParser):
    """Every address a page refers to, every id it has, and every tag and attribute that could run something."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.ids: list[str] = []
        self.suspects: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get("id"):
            self.ids.append(given["id"] or "")
        self.links += [(tag, given[name] or "") for name in ("href", "src") if given.get(name)]
        if tag in ("img", "iframe", "object", "embed", "base") or (tag == "script" and "src" not in given):
            self.suspects.append(tag)
        self.suspects += [f"{tag} {name}" for name in given if name.startswith("on")]


@pytest.mark.parametrize("order", [reversed, lambda records: random.Random(0).sample(records, len(records))], ids=["reversed", "shuffled"])
def test_any_order_of_records_gives_the_same_bytes(usual: Files, order: Callable[[list[Record]], Iterable[Record]]) -> None:
    assert render(order(site_records.usual()), SOURCES, reports=REPORTS) == usual


def test_a_cell_measured_again_shows_its_newest_record_in_any_order_of_sessions() -> None:
    old, *_ = site_records.kernel("softmax")
    newer, same_second = (
        site_records.record(old.spec, started_at="2026-11-23T06:00:00Z", session=session, measurements={"forward_s": [cost]})
        for session, cost in (("b", 0.123456), ("a", 0.2))
    )
    assert "123\u2009ms" in page_of([newer, old], "index.html")
    assert render([old, newer, same_second], NO_CLAIMS) == render([same_second, newer, old], NO_CLAIMS)


def test_every_store_gives_every_page(files: Files) -> None:
    pages = html(files)
    assert {f"{page}.html" for page in PAGES} <= pages.keys()
    assert all("<h1>" in page for page in pages.values())


def test_every_internal_link_leads_somewhere(files: Files) -> None:
    assert_every_link_leads_somewhere(files)
    data = b"".join(content for file, content in files.items() if file.endswith((".js", ".css")) and "plotly" not in file)
    assert b"https://" not in data and b"http://" not in data


def test_asv_is_linked_only_where_it_is(usual: Files) -> None:
    assert not any("asv/index.html" in page for page in html(usual).values())
    beside_asv = render(site_records.usual()[:1], NO_CLAIMS, has_asv=True)
    assert all("asv/index.html" in page for page in html(beside_asv).values())
    assert_every_link_leads_somewhere(beside_asv, "asv/index.html")


def test_views_in_scripts_lead_somewhere_too(files: Files, store: str) -> None:
    """And what the search finds. Pages with views are not in a folder."""
    pages = {path: Links(page) for path, page in html(files).items()}
    views = [view["html"] for page in VIEWS for chunk in chunks_of(files, page) for of in chunk["sections"].values() for view in of]
    links = [link for view in views for _, link in Links(view).links]
    assert len(links) > 500 or store != "usual"
    ((_, (found,)),) = calls(files["data/search.js"])
    assert {href for *_, href in found} >= {"index.html", *(path for path in files if path.startswith("variants/"))}
    for link in [*links, *(href for *_, href in found)]:
        assert_leads_somewhere(files, pages, "index.html", link)


def test_every_view_and_figure_is_where_it_is_looked_for(files: Files) -> None:
    """The first view of a section is in the page itself, and its figures in one of the scripts that the page begins with."""
    for page in VIEWS:
        index, chunks, text = index_of(files, page), chunks_of(files, page), files[f"{page}.html"].decode()
        places = {(section, codes[-2], codes[-1]): n for section, views in index["sections"].items() for n, codes in enumerate(views)}
        held = {
            (section, number, place): view["html"]
            for number, chunk in enumerate(chunks)
            for section, views in chunk["sections"].items()
            for place, view in enumerate(views)
        }
        assert held.keys() == places.keys()
        for (section, number, place), n in places.items():
            assert bool(held[section, number, place]) == (n > 0)
            assert set(re.findall(rf'data-figure="({section}-{n}-\d+)"', held[section, number, place] or text)) == {
                figure for figure in chunks[number]["figures"] if figure.startswith(f"{section}-{n}-")
            }
            assert n or f'<script src="data/{page}-{index["chunks"][number]}.js" defer>' in text


def test_hostile_records_stay_text() -> None:
    hostile, records = site_records.HOSTILE, site_records.hostile()
    finding = Finding(name=hostile, status="failed", detail=hostile)
    report = Report(variant=hostile, fingerprint=hostile, device="cpu", params={hostile: hostile}, checks=[finding])
    peaks = {hostile: {"cpu": make_peaks(flops_per_s={hostile: 1e11}, device_name=hostile)}}
    sources = dataclasses.replace(SOURCES, files={**SOURCES.files, hostile: hostile}, summaries={**SOURCES.summaries, hostile: hostile})
    files = render(records, sources, reports=[report], peaks=peaks)
    for path, page in html(files).items():
        assert not Links(page).suspects, path
    for path in files:
        parts = PurePosixPath(path).parts
        assert re.fullmatch(r"[a-z0-9_.-]+(/[a-z0-9_.-]+)?", path), path
        assert ".." not in parts
    for path in ("variants.html", "machines.html", f"sources/{slug(hostile)}.html", f"variants/{slug(hostile)}.html"):
        assert "&lt;/script&gt;" in html(files)[path], path
    stored, views = dict[str, object](), 0
    for path, content in files.items():
        for name, given in calls(content) if path.startswith(("data/", "cells/")) and path.endswith(".js") else []:
            if name == "cell":
                stored[given[0]] = given[1]
            elif name == "index":
                assert all(re.fullmatch(r"[a-z0-9-]+", chunk) for chunk in given[0]["chunks"]), "they name files to load"
            elif name == "chunk":
                figures = json.dumps(given[0]["figures"])
                assert "<img" not in figures and "</script" not in figures, f"{path}: plotly reads HTML, so names are escaped for it"
                for view in (view for of in given[0]["sections"].values() for view in of):
                    views += 1
                    assert not Links(view["html"]).suspects, path
    assert views > 20
    assert stored == {cell_anchor(record): json.loads(encode(record)) for record in records}


@pytest.mark.parametrize("formula", ["V by <img/src=x/onerror=alert(1)>", r"\text{<img/src=x/onerror=alert(1)>}", "<img src=x>"])
def test_a_hostile_formula_stays_text(formula: str) -> None:
    """It is anybody's text, like a summary; MathML is made of it."""
    softmax = dataclasses.replace(SOURCES.declared["softmax"], formula=formula)
    sources = dataclasses.replace(NO_CLAIMS, declared={**SOURCES.declared, "softmax": softmax})
    page = html(render(site_records.usual()[:1], sources))["variants/softmax.html"]
    assert "<math" in page or "<code>" in page
    assert not Links(page).suspects


def test_an_empty_store_says_what_to_run() -> None:
    pages = html(render([], NO_CLAIMS))
    for page in ("index", "scaling", "accuracy", "depth", "variants", "machines"):
        assert "attnbench run" in pages[f"{page}.html"], page


def test_the_policy_is_on_every_page(usual: Files) -> None:
    for path, page in html(usual).items():
        assert "default-src 'none'; script-src 'self'" in page, path


def test_a_record_can_name_no_file_to_import(tmp_path: Path) -> None:
    """A record that names a path as its variant must not get that file executed."""
    trap, sprung = tmp_path / "trap.py", tmp_path / "sprung"
    trap.write_text(f"open({str(sprung)!r}, 'w').close()")
    spec = Spec(track="kernel", variant=str(trap), seq_len=128)
    publish(site_records.stored(tmp_path / "results", [site_records.record(spec, "error")]), tmp_path / "dist", Console(file=io.StringIO()))
    assert not sprung.exists()


def assert_every_link_leads_somewhere(files: Files, *beside: str) -> None:
    """Every link of every page, and no id is there twice. beside: files that others wrote."""
    pages = {path: Links(page) for path, page in html(files).items()}
    for path, page in pages.items():
        assert len(page.ids) == len(set(page.ids)), f"{path} has an id twice"
        for tag, link in page.links:
            if urlparse(link).scheme:
                assert tag == "a" and link.startswith("https://arxiv.org/abs/"), f"{path} refers to {link}"
            else:
                assert_leads_somewhere(files, pages, path, link, *beside)


def assert_leads_somewhere(files: Files, pages: dict[str, Links], page: str, link: str, *beside: str) -> None:
    """The file is there, and so is the place in it, which may be a choice among the views of a page."""
    parts = urlparse(link)
    assert not parts.scheme and not parts.netloc, f"{page} refers to {link}"
    target = _resolved(page, unquote(parts.path)) if parts.path else page
    assert target in {*files, *OUTSIDE, *beside}, f"{page} leads to {link}, which is not there"
    if parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
        assert _is_choice(files, target, parts.fragment), f"{page} leads to {link}, which has no such place"


def _is_choice(files: Files, page: str, fragment: str) -> bool:
    """Whether a page with views knows all that a fragment chooses: values of axes, mechanisms to compare with softmax, a place."""
    stem = page.removesuffix(".html")
    if stem not in VIEWS:
        return False
    known = {axis["name"]: {value for value, _ in axis["values"]} for axis in index_of(files, stem)["axes"]}
    if stem == "compare":
        views = [view for chunk in chunks_of(files, stem) for view in chunk["sections"]["compare"]]
        known["v"] = {"softmax", *(label for view in views for label in view["extra"]["labels"])}
    known["to"] = set(Links(files[page].decode()).ids)  # the place that is scrolled to
    chosen = parse_qsl(fragment, keep_blank_values=True)
    return bool(chosen) and all(known.get(name, set()) >= set(value.split("~") if name == "v" else [value]) for name, value in chosen)


def _resolved(page: str, link: str) -> str:
    parts: list[str] = list(PurePosixPath(page).parent.parts)
    for part in PurePosixPath(link).parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)
