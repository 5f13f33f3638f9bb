"""A store of many cells on many machines: a small landing page, all machines in the selector, every record on a page of its cell.

How long large stores take is a finding: `make scale`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect
from rich.console import Console

from _stores import write_cells, write_records
from attnbench.website.publish import publish
from helpers.site_page import Watched


@pytest.mark.long
def test_many_cells_make_a_small_page_with_every_machine(watch: Callable[[Path], Watched], tmp_path: Path) -> None:
    write_cells(tmp_path / "results", 1_000, of_machine=200)
    publish(tmp_path / "results", tmp_path / "dist", Console(quiet=True))
    assert (tmp_path / "dist" / "index.html").stat().st_size <= 1_000_000
    shown = watch(tmp_path / "dist")
    page = shown.open("index")
    page.locator("[data-section=board] tbody tr").first.wait_for()
    page.locator("[data-section=plots] svg.main-svg").first.wait_for()
    expect(page.locator("select[name=hardware] option")).to_have_count(5)
    page.locator("select[name=hardware]").select_option("machine003")
    shown.until("document.querySelector('[data-section=board] caption').textContent.includes('machine003')")
    assert not shown.faults


def test_every_record_has_an_article(tmp_path: Path) -> None:
    write_records(tmp_path / "results", 1_000)
    publish(tmp_path / "results", tmp_path / "dist", Console(quiet=True))
    assert sum(file.read_text().count('<article class="cell"') for file in (tmp_path / "dist" / "cells").glob("*.html")) == 1_000
