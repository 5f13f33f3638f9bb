"""Every page in a browser, from file:// with the network off: nothing fails, and it can be read in both themes and without scripts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect
from rich.console import Console

from attnbench.website.publish import publish
from helpers import site_records
from helpers.site_page import Watched, every_view

TOP = ("index", "scaling", "accuracy", "depth", "claims", "variants", "compare", "machines")
STATES = {"compare": "track=task", "accuracy": "block=skipless&num_layers=12", "variants/my_file": "checks"}
CELLS = ("a page of cells", "a cell", "a cell beside another")
PAGES = (*TOP, "method", "submit", "about", "variants/softmax", "variants/my_file", "sources/softmax", *CELLS)
# One of each type for axe: views with tables and charts, a picker, claims, a list, machines, prose, a mechanism, its source, two cells.
EVERY_TYPE = ("index", "compare", "claims", "variants", "machines", "method", "variants/my_file", "sources/softmax", CELLS[-1])
ALL_RULES = {"resultTypes": ["violations"], "preload": False}  # to load stylesheets once more is what the policy forbids
RULES = {"light": ALL_RULES, "dark": {**ALL_RULES, "runOnly": ["color-contrast"]}}  # contrast is all that a theme changes


def address(site: Path, name: str) -> tuple[str, str]:
    """The file and the state of a page; the cells are the first that the leaderboard leads to, and one of another file."""
    if name not in CELLS:
        return name, STATES.get(name, "")
    cell = (site / "index.html").read_text().split('href="cells/')[1].split('"')[0]
    file, _, place = cell.partition(".html#")
    other = next(page for page in sorted(site.glob("cells/*.html")) if page.stem != file)
    anchor = other.read_text().split('<article class="cell" id="')[1].split('"')[0]
    return f"cells/{file}", ("", place, f"{place}&with={anchor}")[CELLS.index(name)]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_loads_without_error_or_request_at_every_width_and_axe_finds_nothing_serious(shown: Watched, name: str) -> None:
    page = shown.open(*address(shown.site, name))
    for width in (390, 1200):
        page.set_viewport_size({"width": width, "height": 900})
        shown.until("document.documentElement.scrollWidth <= window.innerWidth")  # plots follow a resize a moment later
    for plot in page.locator("[data-figure]").all():
        if plot.is_visible():
            plot.scroll_into_view_if_needed()
            plot.locator("svg.main-svg").first.wait_for()
    page.evaluate("document.querySelectorAll('details').forEach((one, place) => { one.open = place < 3; })")
    for theme, rules in RULES.items() if name in EVERY_TYPE else ():
        page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        found = Axe().run(page, options=rules).response["violations"]
        serious = [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in found if v["impact"] in ("serious", "critical")]
        assert not serious, f"{theme}: {serious}"


def test_the_theme_follows_the_system_and_the_switch_is_remembered(shown: Watched) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    label = "getComputedStyle(document.querySelector('.annotation-text')).fill"
    page = shown.open("scaling")
    shown.until("document.querySelector('.annotation-text')")
    light, light_label = page.evaluate(background), page.evaluate(label)
    page.get_by_role("button", name="Switch to dark colours").click()
    shown.until(f"{background} !== {light!r} && {label} !== {light_label!r}")
    dark = page.evaluate(background)
    page = shown.open("method")
    shown.shows(background, dark)
    page.get_by_role("button", name="Switch to light colours").click()
    shown.shows(background, light)
    page.evaluate("localStorage.clear()")
    page.emulate_media(color_scheme="dark")
    shown.open("index")
    shown.shows(background, "rgb(20, 22, 26)")
    assert dark == "rgb(20, 22, 26)"


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


# Shows one state after the other; those in which a name became an element.
HARMED = """async (states) => {
  const harmed = [];
  for (const state of ["", ...states]) {
    location.hash = state;
    await new Promise((done) => setTimeout(done, 30));
    if (document.querySelector("img, [onerror], iframe")) harmed.push(state);
  }
  return harmed;
}"""


@pytest.mark.long
def test_harmful_names_do_nothing(watch: Callable[[Path], Watched], tmp_path: Path) -> None:
    records = [
        site_records.record(
            record.spec, record.status, id=record.id, measurements=record.measurements, curve=record.curve,
            environment=record.environment, reason=record.reason, command=record.command,
        )
        for record in site_records.hostile()
    ]  # fmt: skip
    shown = watch(publish(site_records.stored(tmp_path / "results", records), tmp_path / "dist", Console()).parent)
    page = shown.page
    for file in sorted(shown.site.glob("**/*.html")):
        page.goto(file.as_uri())
        anchors = page.evaluate("[...document.querySelectorAll('article.cell')].map(({ id }) => id)")
        assert page.evaluate(HARMED, [*every_view(page), *anchors]) == [], file
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
LONG = ("single", "many_machines")


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.long) if name in LONG else name for name in STORES])
def test_every_store_has_pages_that_say_what_to_do_next(watch: Callable[[Path], Watched], tmp_path: Path, name: str) -> None:
    (tmp_path / "results").mkdir()
    shown = watch(publish(site_records.stored(tmp_path / "results", STORES[name]()), tmp_path / "dist", Console()).parent)
    for page_name in TOP:
        page = shown.open(page_name)
        text = page.locator("main").inner_text()
        assert len(text) > 80
        if name == "empty" and page_name != "claims":
            assert "attnbench run" in text and "attnbench site" in text
        shown.until("document.documentElement.scrollWidth <= window.innerWidth")
    if name == "many_machines":
        page = shown.open("index")
        expect(page.locator("select[name=hardware] option")).to_have_count(12)
    assert not shown.faults
