"""Chromium, a site of usual records, and pages that are watched for whatever goes wrong in them or leaves the disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Request, sync_playwright
from rich.console import Console

from attnbench.store.record import Origin, Record
from attnbench.store.store import Store
from attnbench.website.publish import publish
from helpers import site_records
from helpers.site_page import Watched
from helpers.site_reports import write_reports

CHROMIUM = Path("/usr/bin/chromium")


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


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the usual records, with reports of checks, and a cell that was measured twice."""
    folder = tmp_path_factory.mktemp("site")
    for record in records():
        Store(folder / "results").append(record)
    write_reports(folder / "results")
    return publish(folder / "results", folder / "dist", Console()).parent


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    opened = browser.new_context(viewport={"width": 1200, "height": 900}, color_scheme="light", offline=True, accept_downloads=True)
    opened.set_default_timeout(10_000)
    yield opened
    opened.close()


@pytest.fixture
def watch(context: BrowserContext) -> Callable[[Path], Watched]:
    """Opens a page of a site; the network is off."""

    def opened(site: Path) -> Watched:
        watched = Watched(context.new_page(), site)
        page, faults = watched.page, watched.faults
        page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: faults.append(dialog.message))
        page.on("request", lambda request: faults.append(request.url) if not request.url.startswith(("file:", "data:", "blob:")) else None)
        page.on("requestfailed", lambda request: faults.append(f"failed: {request.url}") if not aborted(request) else None)
        return watched

    return opened


@pytest.fixture
def shown(watch: Callable[[Path], Watched], site: Path) -> Iterator[Watched]:
    """A page of the usual site; nothing may go wrong in it."""
    watched = watch(site)
    yield watched
    assert not watched.faults


def aborted(request: Request) -> bool:
    """Whether the browser gave a request up because the page was left; a file that is missing fails otherwise."""
    return request.failure == "net::ERR_ABORTED"
