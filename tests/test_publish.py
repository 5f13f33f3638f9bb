"""The site as files: pure in its records, whole for every store, closed to harmful names and to the network."""

from __future__ import annotations

import io
import json
import random
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlparse

import pytest
from rich.console import Console

import site_records
from attnbench.errors import BadInput
from attnbench.publish import load_sources, publish, render
from attnbench.record import Record
from attnbench.spec import Spec
from attnbench.store import Store
from site_records import html

PAGES = {"index", "scaling", "accuracy", "depth", "variants", "machines", "method", "submit"}
SOURCES = load_sources()
STORES: dict[str, Callable[[], list[Record]]] = {
    "usual": site_records.usual,
    "empty": list,
    "single": lambda: site_records.usual()[:1],
    "all_failed": site_records.all_failed,
    "hostile": site_records.hostile,
}


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


def store(folder: Path, records: list[Record]) -> Path:
    for record in records:
        Store(folder).append(record)
    return folder


def test_any_order_of_records_gives_the_same_bytes() -> None:
    records = site_records.usual()
    first = render(records, SOURCES)
    for seed in range(3):
        shuffled = records.copy()
        random.Random(seed).shuffle(shuffled)
        assert render(shuffled, SOURCES) == first


def test_a_cell_measured_again_shows_its_newest_record_in_any_order() -> None:
    old, *_ = site_records.kernel("softmax")
    newer = site_records.record(old.spec, started_at="2026-11-23T06:00:00Z", measurements={"forward_s": [0.123456]})
    same_second = site_records.record(old.spec, started_at="2026-11-23T06:00:00Z", measurements={"forward_s": [0.2]})
    assert "123" in html(render([newer, old], SOURCES))["index.html"]
    assert render([old, newer, same_second], SOURCES) == render([same_second, newer, old], SOURCES)


def test_within_a_session_the_later_line_counts_though_the_clock_went_back(tmp_path: Path) -> None:
    first, *_ = site_records.kernel("softmax")
    again = site_records.record(first.spec, started_at="2026-11-21T06:00:00Z", measurements={"forward_s": [0.123456]})
    results = store(tmp_path / "results", [first, again])
    assert "123" in publish(results, tmp_path / "dist", Console(file=io.StringIO())).read_text()


@pytest.mark.parametrize("name", STORES)
def test_every_store_gives_every_page(name: str) -> None:
    pages = html(render(STORES[name](), SOURCES))
    assert {f"{page}.html" for page in PAGES} <= pages.keys()
    assert all("<h1>" in page for page in pages.values())


@pytest.mark.parametrize("name", STORES)
@pytest.mark.parametrize("has_asv", [False, True])
def test_every_internal_link_leads_somewhere(name: str, has_asv: bool) -> None:
    files = render(STORES[name](), SOURCES, has_asv)
    pages = {path: Links(page) for path, page in html(files).items()}
    there = {*files, "assets/plotly.min.js", *(["asv/index.html"] if has_asv else [])}
    for path, page in pages.items():
        assert len(page.ids) == len(set(page.ids)), f"{path} has an id twice"
        for tag, link in page.links:
            parts = urlparse(link)
            if parts.scheme:
                assert tag == "a" and link.startswith("https://arxiv.org/abs/"), f"{path} refers to {link}"
                continue
            target = _resolved(path, unquote(parts.path)) if parts.path else path
            assert target in there, f"{path} leads to {link}, which is not there"
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].ids, f"{path} leads to {link}, which has no such place"
    data = b"".join(content for file, content in files.items() if file.endswith((".js", ".css")) and "plotly" not in file)
    assert b"https://" not in data and b"http://" not in data


def test_views_in_scripts_lead_somewhere_too() -> None:
    files = render(site_records.usual(), SOURCES)
    ids = {path: set(Links(page).ids) for path, page in html(files).items()}
    links = re.findall(r'href=\\"([^"\\]+)\\"', files["data/index.js"].decode())
    assert len(links) > 100
    for link in links:
        path, _, fragment = link.partition("#")
        assert path in files
        assert not fragment or fragment in ids[path]


def test_asv_is_linked_only_where_it_is() -> None:
    assert "asv/index.html" not in html(render([], SOURCES))["index.html"]
    assert "asv/index.html" in html(render([], SOURCES, has_asv=True))["index.html"]


def test_hostile_records_stay_text() -> None:
    files = render(site_records.hostile(), SOURCES)
    for path, page in html(files).items():
        assert not Links(page).suspects, path
    for path in files:
        parts = PurePosixPath(path).parts
        assert re.fullmatch(r"[a-z0-9_.-]+(/[a-z0-9_.-]+)?", path), path
        assert ".." not in parts
    assert "&lt;/script&gt;" in html(files)["variants.html"]
    for path, content in files.items():
        if path.startswith("data/"):
            data = json.loads(content.decode().removeprefix("window.ATTNBENCH = ").removesuffix(";\n"))
            assert "<img" not in json.dumps(data["figures"]), f"{path}: plotly reads HTML, so names are escaped for it"
            for view in (view for views in data["sections"].values() for view in views):
                assert not Links(view["html"]).suspects, path


def test_hostile_store_writes_nothing_outside_its_folder(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "dist"
    records = [site_records.record(r.spec, machine="m", reason=site_records.HOSTILE, status="error") for r in site_records.hostile()]
    publish(store(tmp_path / "results", records), out, Console(file=io.StringIO()))
    assert {p.name for p in tmp_path.iterdir()} == {"results", "deep"}
    assert {p.name for p in (tmp_path / "deep").iterdir()} == {"dist"}


def test_files_of_others_are_kept(tmp_path: Path) -> None:
    out = tmp_path / "dist"
    (out / "asv").mkdir(parents=True)
    (out / "asv" / "index.html").write_text("asv")
    (out / "mine.txt").write_text("mine")
    index = publish(store(tmp_path / "results", site_records.usual()[:2]), out, Console(file=io.StringIO()))
    assert index == out / "index.html"
    assert (out / "asv" / "index.html").read_text() == "asv"
    assert (out / "mine.txt").read_text() == "mine"
    assert 'href="asv/index.html"' in index.read_text()
    assert (out / "assets" / "plotly.min.js").stat().st_size > 10**6


def test_unreadable_lines_are_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    folder = store(tmp_path / "results", site_records.usual()[:2])
    (file,) = folder.glob("records/*/*.jsonl")
    file.write_text(file.read_text() + '{"schema": 1, "id"\n')
    said = io.StringIO()
    index = publish(folder, tmp_path / "dist", Console(file=said, width=40))
    assert f"{file}:3:" in said.getvalue()
    assert "softmax" in index.read_text()


def test_a_missing_results_folder_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no results folder"):
        publish(tmp_path / "nowhere", tmp_path / "dist", Console(file=io.StringIO()))
    assert not (tmp_path / "dist").exists()


def test_an_empty_store_says_what_to_run() -> None:
    pages = html(render([], SOURCES))
    for page in ("index", "scaling", "accuracy", "depth", "variants", "machines"):
        assert "attnbench run" in pages[f"{page}.html"], page


def test_the_policy_is_on_every_page() -> None:
    for path, page in html(render(site_records.usual(), SOURCES)).items():
        assert "default-src 'none'; script-src 'self'" in page, path


def test_a_record_can_name_no_file_to_import(tmp_path: Path) -> None:
    """A record that names a path as its variant must not get that file executed."""
    trap, sprung = tmp_path / "trap.py", tmp_path / "sprung"
    trap.write_text(f"open({str(sprung)!r}, 'w').close()")
    spec = Spec(track="kernel", variant=str(trap), seq_len=128)
    publish(store(tmp_path / "results", [site_records.record(spec, "error")]), tmp_path / "dist", Console(file=io.StringIO()))
    assert not sprung.exists()


def _resolved(page: str, link: str) -> str:
    parts: list[str] = list(PurePosixPath(page).parent.parts)
    for part in PurePosixPath(link).parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)
