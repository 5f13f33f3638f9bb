"""Chromium, a site of usual records, and a page that is watched for whatever goes wrong in it or leaves the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, sync_playwright
from rich.console import Console

from attnbench.store.record import Origin, Record
from attnbench.website.publish import publish
from helpers import site_records, site_settled
from helpers.misbehaving import PATIENCE_S
from helpers.site_page import Watched
from helpers.site_reports import write_reports

CHROMIUM = Path("/usr/bin/chromium")
MISSING = f"there is no {CHROMIUM} for the tests of the pages; apt-get install chromium"


def records() -> list[Record]:
    """The usual ones, those of orthogonal vouched for by the project, and a cell that was measured once before."""
    found = [
        replace(record, origin=Origin(by="maintainer", trust="rerun")) if record.spec.variant == "orthogonal" else record
        for record in site_records.usual()
    ]
    before = {"forward_s": site_records.samples(0.9), "peak_memory_bytes": [7e6]}
    first = next(record for record in found if record.spec.track == "kernel" and record.spec.variant == "softmax")
    return [*found, replace(first, session="20261120T060000Z-abc000", started_at="2026-11-20T06:00:00Z", measurements=before)]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.fail(MISSING)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield started
        started.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the usual records, with reports of checks, and a cell that was measured twice."""
    folder = tmp_path_factory.mktemp("site")
    results = site_records.stored(folder / "results", records())
    write_reports(results)
    return publish(results, folder / "dist", Console()).parent


@pytest.fixture(scope="session")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of ten mechanisms' forward calls by the present timing rule: more lines than a plot shows well."""
    folder = tmp_path_factory.mktemp("crowd")
    forward = [
        each for each in site_settled.settled() if (each.spec.track, each.spec.mode, each.spec.device) == ("kernel", "forward", "cpu")
    ]
    return publish(site_records.stored(folder / "results", forward), folder / "dist", Console()).parent


@pytest.fixture(scope="session")
def tab(browser: Browser) -> Iterator[tuple[Page, list[str]]]:
    """One page for all tests, for plotly takes a second to load in each new one; and what goes wrong in it. The network is off."""
    context = browser.new_context(offline=True, accept_downloads=True)
    context.set_default_timeout(1000 * PATIENCE_S)
    page, faults = context.new_page(), list[str]()
    page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: faults.append(request.url) if not request.url.startswith(("file:", "data:", "blob:")) else None)
    page.on("requestfailed", lambda request: faults.append(f"failed: {request.url}") if not aborted(request) else None)
    yield page, faults
    context.close()


@pytest.fixture
def watch(tab: tuple[Page, list[str]]) -> Callable[[Path], Watched]:
    """Opens a site in the page as a new visitor with a light theme and a wide window would."""

    def opened(site: Path) -> Watched:
        page, faults = tab
        page.set_viewport_size({"width": 1200, "height": 900})
        page.emulate_media(color_scheme="light")
        page.goto((site / "about.html").as_uri())
        page.evaluate("localStorage.clear(); sessionStorage.clear()")
        faults.clear()
        return Watched(page, site, faults)

    return opened


@pytest.fixture
def shown(watch: Callable[[Path], Watched], site: Path) -> Iterator[Watched]:
    """The usual site in the page; nothing may go wrong in it."""
    watched = watch(site)
    yield watched
    assert not watched.faults


@pytest.fixture
def crowded(watch: Callable[[Path], Watched], crowd: Path) -> Iterator[Watched]:
    """The site of many mechanisms in the page; nothing may go wrong in it."""
    watched = watch(crowd)
    yield watched
    assert not watched.faults


def aborted(request: Request) -> bool:
    """Whether the browser gave a request up because the page was left; a file that is missing fails otherwise."""
    return request.failure == "net::ERR_ABORTED"
