"""Every kind of store, and its site as files, rendered once for all tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache

from attnbench.store.record import Record
from attnbench.store.report import Finding, Report
from attnbench.website.publish import render
from helpers import site_records
from helpers.site_records import Files
from helpers.site_sources import SOURCES

REPORTS = [Report(variant="softmax", fingerprint=None, device="cpu", checks=[Finding(name="causal", status="passed", detail="")])]
STORES: dict[str, Callable[[], list[Record]]] = {
    "usual": site_records.usual,
    "empty": list,
    "single": lambda: site_records.usual()[:1],
    "all_failed": site_records.all_failed,
    "hostile": site_records.hostile,
    "measured_again": lambda: [
        dataclasses.replace(record, session=f"2026112{day}T060000Z-abc123", started_at=f"2026-11-2{day}T06:00:00Z")
        for record in site_records.usual()[:2]
        for day in (2, 3, 4)
    ],
}


@cache
def render_once(store: str) -> Files:
    """The files of a kind of store, with a report of checks; what a test changes in them others would see."""
    return render(STORES[store](), SOURCES, reports=REPORTS)
