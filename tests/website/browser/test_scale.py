"""Large stores: the landing page of 10,000 records is there at once, and 100,000 are rendered in a minute."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers import many_cells, many_records
from helpers.site_page import Watched

pytest_plugins = ["helpers.site_browser"]
pytestmark = [pytest.mark.browser, pytest.mark.alone, pytest.mark.slow]

# Runs the command line and says how much memory the larger of its processes needed.
MEASURED = """
import resource, sys
from attnbench.cli import main
try:
    main()
finally:
    print(max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)), file=sys.stderr)
"""


def built(results: Path, out: Path) -> tuple[float, float]:
    """Build a site as a user does; the seconds that took, and GiB of the larger process."""
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, "site", "--results", str(results), "--out", str(out)], capture_output=True, text=True, check=True
    )
    return time.monotonic() - start, int(done.stderr.split()[-1]) / 2**20


def test_ten_thousand_records_are_shown_at_once(watch: Callable[[Path], Watched], tmp_path: Path) -> None:
    many_cells.write_store(tmp_path / "results", 10_000)
    built(tmp_path / "results", tmp_path / "dist")
    assert (tmp_path / "dist" / "index.html").stat().st_size <= 1_000_000
    shown = watch(tmp_path / "dist")
    start = time.monotonic()
    page = shown.page
    page.goto((tmp_path / "dist" / "index.html").as_uri(), wait_until="commit")
    page.locator("[data-section=board] tbody tr").nth(20).wait_for()
    table_s = time.monotonic() - start
    page.locator("[data-section=plots] svg.main-svg").nth(2).wait_for()
    plots_s = time.monotonic() - start
    assert table_s < 1 and plots_s < 3, f"table after {table_s:.2f} s, plots after {plots_s:.2f} s"
    assert len(page.locator("select[name=hardware] option").all()) == 5
    page.locator("select[name=hardware]").select_option("machine003")
    shown.until("document.querySelector('[data-section=board] caption').textContent.includes('machine003')")
    assert not shown.faults


def test_a_hundred_thousand_records_take_a_minute(tmp_path: Path) -> None:
    many_records.write_store(tmp_path / "results", 100_000)
    seconds, gib = built(tmp_path / "results", tmp_path / "dist")
    assert seconds < 60 and gib < 4, f"{seconds:.1f} s, {gib:.2f} GiB"
    assert sum(file.read_text().count('<article class="cell"') for file in (tmp_path / "dist" / "cells").glob("*.html")) == 100_000
