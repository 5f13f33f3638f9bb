"""The browser of these tests, one for all of them. Where there is none they are skipped; on a CI machine (CI=true) they fail."""

from __future__ import annotations

import os

import pytest

from helpers.site_browser import CHROMIUM, MISSING, browser, crowd, crowded, shown, site, tab, watch

__all__ = ["browser", "crowd", "crowded", "shown", "site", "tab", "watch"]


@pytest.hookimpl(tryfirst=True)
def pytest_make_collect_report(collector: pytest.Collector) -> pytest.CollectReport | None:
    """Skips every file of this folder for one reason at one place, of which pytest makes one line."""
    if CHROMIUM.exists() or os.environ.get("CI") == "true" or not isinstance(collector, pytest.Module):
        return None
    return pytest.CollectReport(collector.nodeid, "skipped", (__file__, None, MISSING), [])
