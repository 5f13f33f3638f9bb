"""Every page in a browser, from file:// with the network off: nothing fails, and it can be read in both themes and without scripts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser
from rich.console import Console

from attnbench.store.store import Store
from attnbench.website.publish import publish
from helpers import site_records
from helpers.site_page import Watched, every_view

pytest_plugins = ["helpers.site_browser"]
pytestmark = pytest.mark.browser

TOP = ("index", "scaling", "accuracy", "depth", "claims", "variants", "compare", "machines", "method", "submit", "about")
STATES = {"compare": "track=task", "accuracy": "block=skipless&num_layers=12"}


def page_types(site: Path) -> list[tuple[str, str]]:
    """One of every page type, with a state; a cell alone, and beside another."""
    cell = first_cell(site)
    other = next(file for file in sorted(site.glob("cells/*.html")) if file.stem != cell[6:8])
    anchor = other.read_text().split('<article class="cell" id="')[1].split('"')[0]
    file, _, place = cell.partition("#")
    return [
        *((name, STATES.get(name, "")) for name in TOP), ("variants/softmax", ""), ("variants/my_file", "checks"), ("sources/softmax", ""),
        (file, ""), (file, place), (file, f"{place}&with={anchor}"),
    ]  # fmt: skip


def first_cell(site: Path) -> str:
    """The first cell that the leaderboard leads to: cells/3f#cell-..."""
    return "cells/" + (site / "index.html").read_text().split('href="cells/')[1].split('"')[0].replace(".html", "")


def test_every_page_loads_without_error_or_request_at_every_width(shown: Watched) -> None:
    for name, state in page_types(shown.site):
        page = shown.open(name, state)
        for width in (390, 1200):
            page.set_viewport_size({"width": width, "height": 900})
            shown.until("document.documentElement.scrollWidth <= window.innerWidth")  # plots follow a resize a moment later
        for plot in page.locator("[data-figure]").all():
            if plot.is_visible():
                plot.scroll_into_view_if_needed()
                plot.locator("svg.main-svg").first.wait_for(timeout=5000)


def test_the_theme_follows_the_system_and_the_switch_is_remembered(shown: Watched) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    label = "getComputedStyle(document.querySelector('.annotation-text')).fill"
    page = shown.open("scaling")
    shown.until("document.querySelector('.annotation-text')")
    light, light_label = page.evaluate(background), page.evaluate(label)
    page.get_by_role("button", name="Switch to dark colours").click()
    dark, dark_label = page.evaluate(background), page.evaluate(label)
    assert dark != light and dark_label != light_label
    page = shown.open("method")
    assert page.evaluate(background) == dark
    page.get_by_role("button", name="Switch to light colours").click()
    assert page.evaluate(background) == light


def test_the_theme_of_the_system_is_used(browser: Browser, site: Path) -> None:
    with browser.new_context(color_scheme="dark") as context:
        page = context.new_page()
        page.goto((site / "index.html").as_uri())
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 22, 26)"


def test_axe_finds_nothing_serious_in_either_theme(browser: Browser, site: Path) -> None:
    every: dict[str, list[str]] = {"resultTypes": ["violations"]}
    rules = {"light": every, "dark": {**every, "runOnly": ["color-contrast"]}}  # all that a theme changes
    with browser.new_context(viewport={"width": 1200, "height": 900}) as context:
        page = context.new_page()
        for name, state in page_types(site):
            page.goto("about:blank")
            page.goto((site / f"{name}.html").as_uri() + (f"#{state}" if state else ""))
            page.wait_for_timeout(150)
            page.evaluate("document.querySelectorAll('details').forEach((one, place) => { one.open = place < 3; })")
            for theme in ("light", "dark"):
                page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
                found = Axe().run(page, options=rules[theme]).response["violations"]
                serious = [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in found if v["impact"] in ("serious", "critical")]
                assert not serious, f"{name}#{state}, {theme}: {serious}"


def test_everything_is_there_without_scripts(browser: Browser, site: Path) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto((site / "index.html").as_uri())
        table = page.locator("[data-section=board] table")
        assert table.locator("tbody tr").count() == 5
        assert "softmax" in table.inner_text()
        assert page.locator("form.controls").is_hidden() and page.locator("form.search").is_hidden()
        table.locator("td a").first.click()
        article = page.locator("article.cell:target")
        assert (
            article.is_visible() and "attnbench run --rerun --cell" in article.inner_text() and "peak_memory_bytes" in article.inner_text()
        )
        for name in ("index", "scaling", "accuracy", "depth", "claims", "machines"):
            page.goto((site / f"{name}.html").as_uri())
            charts = page.locator("figure.chart")
            assert charts.count() >= 1
            assert charts.locator("details table").count() == charts.count()
            assert not charts.locator(".plot").first.is_visible()
        page.goto((site / "compare.html").as_uri())
        assert page.locator("[data-section=compare] thead th").count() == 6  # all mechanisms, for none can be chosen
        page.goto((site / "variants/polynomial.html").as_uri())
        page.locator("details.why summary").first.click()  # reasons open without scripts too
        assert "tried to allocate 3.0 GiB" in page.locator("details.why").first.inner_text()
        page.goto((site / "variants/my_file.html").as_uri())
        assert "row 3 changes with token 7 <script>" in page.locator("#checks ~ details").first.inner_text()


def test_harmful_names_do_nothing(watch: Callable[[Path], Watched], tmp_path: Path) -> None:
    for record in site_records.hostile():
        record = site_records.record(
            record.spec, record.status, id=record.id, measurements=record.measurements, curve=record.curve,
            environment=record.environment, reason=record.reason, command=record.command,
        )  # fmt: skip
        Store(tmp_path / "results").append(record)
    shown = watch(publish(tmp_path / "results", tmp_path / "dist", Console()).parent)
    page = shown.page
    for file in sorted(shown.site.glob("**/*.html")):
        page.goto(file.as_uri())
        for view in [*every_view(page), *page.evaluate("[...document.querySelectorAll('article.cell')].map(({ id }) => id)")]:
            page.evaluate("hash => { location.hash = hash; }", view)
            page.wait_for_timeout(30)
            assert page.locator("img, [onerror], iframe").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{file} is wider than the window"
    page.locator("input[name=find]").fill("img")
    page.locator("#found a").first.wait_for()
    assert page.locator("img").count() == 0
    assert not shown.faults


STORES: dict[str, Callable[[], list[site_records.Record]]] = {
    "empty": list,
    "single": lambda: site_records.usual()[:1],
    "all_failed": site_records.all_failed,
    "many_machines": lambda: [r for n in range(12) for r in site_records.kernel("softmax", machine=f"machine-{n}")],
}


@pytest.mark.parametrize("name", STORES)
def test_every_store_has_pages_that_say_what_to_do_next(watch: Callable[[Path], Watched], tmp_path: Path, name: str) -> None:
    (tmp_path / "results").mkdir()
    for record in STORES[name]():
        Store(tmp_path / "results").append(record)
    shown = watch(publish(tmp_path / "results", tmp_path / "dist", Console()).parent)
    for page_name in TOP[: TOP.index("method")]:
        page = shown.open(page_name)
        page.wait_for_timeout(100)
        text = page.locator("main").inner_text()
        assert len(text) > 80
        if name == "empty" and page_name != "claims":
            assert "attnbench run" in text and "attnbench site" in text
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    if name == "many_machines":
        page = shown.open("index")
        assert page.locator("select[name=hardware] option").count() == 12
    assert not shown.faults
