"""What a site is made from besides records, and single pages of it, for tests that look at one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from attnbench.store.record import Record
from attnbench.website.publish import load_sources
from attnbench.website.results import Results
from attnbench.website.site import Site

SOURCES = load_sources()
NO_CLAIMS = dataclasses.replace(SOURCES, claims={})  # to judge the claims takes longer than all else about a small store


def page_of(records: Iterable[Record], path: str, first: str | None = None) -> str:
    """One page of a store's site, without the claims. first: the machine with which the page begins."""
    site = Site(Results(records, SOURCES.declared, shipped=SOURCES.summaries, first=first), NO_CLAIMS)
    for part in (site.cells, site.front, site.back):
        if found := next((content for name, content in part() if name == path), None):
            return found.decode()
    raise KeyError(f"no page is called {path}")
