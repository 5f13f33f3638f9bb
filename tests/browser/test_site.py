"""The site in a browser, from file://: nothing is fetched, nothing fails, and it can be read in both themes and without scripts."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, Request, sync_playwright
from rich.console import Console

import site_records
from attnbench.publish import publish
from attnbench.store import Store

pytestmark = [pytest.mark.browser, pytest.mark.alone]

CAPTION = "document.querySelector('[data-section=board] caption').textContent"
CHROMIUM = Path("/usr/bin/chromium")
PAGES = (
    "index", "scaling", "accuracy", "depth", "variants", "machines", "method", "submit", "variants/softmax", "variants/my_file",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        message = f"there is no {CHROMIUM}; apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield started
        started.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    for record in site_records.usual():
        Store(folder / "results").append(record)
    return publish(folder / "results", folder / "dist", Console()).parent


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    opened = browser.new_context(viewport={"width": 1200, "height": 900}, color_scheme="light")
    opened.set_default_timeout(10_000)
    yield opened
    opened.close()


def watched(context: BrowserContext) -> tuple[Page, list[str]]:
    """A page and a list that fills with whatever goes wrong in it, or leaves the disk."""
    faults: list[str] = []
    page = context.new_page()
    page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: faults.append(request.url) if not request.url.startswith(("file:", "data:", "blob:")) else None)
    page.on("requestfailed", lambda request: faults.append(f"failed: {request.url}") if not aborted(request) else None)
    return page, faults


def aborted(request: Request) -> bool:
    """Whether the browser gave a request up because the page was left; a file that is missing fails otherwise."""
    return request.failure == "net::ERR_ABORTED"


def until(page: Page, expression: str) -> None:
    """Wait until an expression holds. Playwright's own wait needs eval, which the policy of the pages forbids."""
    deadline = time.monotonic() + 10
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, f"never came true: {expression}"
        page.wait_for_timeout(20)


def uri(site: Path, name: str) -> str:
    return (site / f"{name}.html").as_uri()


def first_row(page: Page) -> str:
    return page.locator("[data-section=board] tbody tr").first.inner_text()


def test_every_page_loads_without_error_or_request_at_every_width(context: BrowserContext, site: Path) -> None:
    page, faults = watched(context)
    for name in PAGES:
        page.goto(uri(site, name))
        for width in (390, 1200):
            page.set_viewport_size({"width": width, "height": 900})
            until(page, "document.documentElement.scrollWidth <= window.innerWidth")  # plots follow a resize a moment later
        for plot in page.locator("[data-figure]").all():
            assert plot.locator("svg.main-svg").count() > 0, f"a plot of {name} was not drawn"
    assert not faults


def test_the_hash_holds_the_view_and_back_goes_back(context: BrowserContext, site: Path) -> None:
    page, faults = watched(context)
    page.goto(uri(site, "index"))
    default = first_row(page)
    page.locator("select[name=seq_len]").select_option("128")
    until(page, f"{CAPTION}.includes('seq_len 128 ')")
    short = first_row(page)
    assert short != default
    assert "seq_len=128" in page.url
    page.locator("select[name=track]").select_option("task")
    until(page, f"{CAPTION}.startsWith('Task')")
    page.go_back()
    until(page, f"{CAPTION}.includes('seq_len 128 ')")
    assert first_row(page) == short
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    assert first_row(page) == short
    page.goto("about:blank")
    page.goto(uri(site, "index") + "#seq_len=nonsense&<img src=x>=1")
    assert first_row(page) == default
    assert not faults


def test_every_view_of_the_leaderboard_can_be_shown(context: BrowserContext, site: Path) -> None:
    page, faults = watched(context)
    page.goto(uri(site, "index"))
    views = page.evaluate("ATTNBENCH.sections.board.map(view => [new URLSearchParams(view.axes).toString(), view.setting])")
    assert len(views) > 10
    for text, setting in reversed(views):
        page.evaluate("hash => { location.hash = hash; }", text)
        until(page, f"{CAPTION} === {json.dumps(setting)}")
        assert page.locator("[data-section=board] tbody tr").count() > 0
    assert not faults


def test_a_task_of_another_metric_can_be_chosen_and_depths_of_the_one_that_has_them(context: BrowserContext, site: Path) -> None:
    page, faults = watched(context)
    page.goto(uri(site, "accuracy"))
    header, stacked = page.locator("[data-section=accuracy] thead").first, page.locator("[data-section=stacked]")
    assert "Test accuracy" in header.inner_text() and stacked.is_visible()
    page.locator("select[name=block]").select_option("skipless")
    page.locator("select[name=num_layers]").select_option("12")
    until(page, "document.querySelector('[data-setting], caption').textContent.includes('skipless, 12 layers')")
    assert page.locator("figure h3", has_text="Effective rank by layer").count() == 2
    assert stacked.is_visible()
    page.locator("select[name=task]").select_option(label="sotu_lm (embedded:06bf3045)")
    until(page, "document.querySelector('caption').textContent.includes('causal, sotu_lm')")
    assert "Test bits per byte" in header.inner_text() and stacked.is_hidden()
    assert page.locator("p", has_text="Better is down and to the left").is_visible()
    assert not faults


def test_the_theme_follows_the_system_and_the_switch_is_remembered(context: BrowserContext, site: Path) -> None:
    page, _ = watched(context)
    background = "getComputedStyle(document.body).backgroundColor"
    label = "getComputedStyle(document.querySelector('.annotation-text')).fill"
    page.goto(uri(site, "index"))
    light, light_label = page.evaluate(background), page.evaluate(label)
    page.get_by_role("button", name="Switch to dark colours").click()
    dark, dark_label = page.evaluate(background), page.evaluate(label)
    assert dark != light and dark_label != light_label
    page.goto(uri(site, "method"))
    assert page.evaluate(background) == dark
    page.get_by_role("button", name="Switch to light colours").click()
    assert page.evaluate(background) == light


def test_the_theme_of_the_system_is_used(browser: Browser, site: Path) -> None:
    with browser.new_context(color_scheme="dark") as context:
        page = context.new_page()
        page.goto(uri(site, "index"))
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 22, 26)"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Browser, site: Path, theme: str) -> None:
    with browser.new_context(viewport={"width": 1200, "height": 900}, color_scheme="dark" if theme == "dark" else "light") as context:
        page = context.new_page()
        for name in ("index", "accuracy", "variants", "machines", "method", "variants/softmax"):  # one of every template
            page.goto(uri(site, name))
            page.evaluate("document.querySelectorAll('details').forEach((one, place) => { one.open = place < 3; })")
            found = Axe().run(page).response["violations"]
            serious = [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in found if v["impact"] in ("serious", "critical")]
            assert not serious, f"{name}, {theme}: {serious}"


def test_everything_is_there_without_scripts(browser: Browser, site: Path) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(uri(site, "index"))
        table = page.locator("[data-section=board] table")
        assert table.locator("tbody tr").count() == 5
        assert "softmax" in table.inner_text()
        assert page.locator("form.controls").is_hidden()
        for name in ("index", "scaling", "accuracy", "depth"):
            page.goto(uri(site, name))
            charts = page.locator("figure.chart")
            assert charts.count() >= 3
            assert charts.locator("details table").count() == charts.count()
            assert not charts.locator(".plot").first.is_visible()


def test_a_cell_can_be_reached_from_its_number(context: BrowserContext, site: Path) -> None:
    page, faults = watched(context)
    page.goto(uri(site, "index"))
    page.locator("[data-section=board] td a").first.click()
    page.wait_for_url("**/variants/*.html#cell-*")
    assert page.locator("details.cell[open]").count() == 1
    assert "attnbench run --rerun --cell" in page.locator("details.cell[open] code").first.inner_text()
    assert not faults


def test_harmful_names_do_nothing(context: BrowserContext, tmp_path: Path) -> None:
    for record in site_records.hostile():
        record = site_records.record(
            record.spec, record.status, id=record.id, measurements=record.measurements, curve=record.curve,
            environment=record.environment, reason=record.reason, command=record.command,
        )  # fmt: skip
        Store(tmp_path / "results").append(record)
    site = publish(tmp_path / "results", tmp_path / "dist", Console()).parent
    page, faults = watched(context)
    page.on("dialog", lambda dialog: faults.append(dialog.message))
    for file in sorted(site.glob("**/*.html")):
        page.goto(file.as_uri())
        for view in page.evaluate("(window.ATTNBENCH?.sections.board ?? []).map(view => new URLSearchParams(view.axes).toString())"):
            page.evaluate("hash => { location.hash = hash; }", view)
        assert page.locator("img, [onerror]").count() == 0
    assert not faults
