"""Sites of made-up stores, each made once for all tests."""

from __future__ import annotations

import pytest

from attnbench.website.results import Results
from helpers import site_records
from helpers.site_records import Files
from helpers.site_sources import SOURCES
from helpers.site_stores import STORES, render_once


@pytest.fixture
def usual() -> Files:
    """The files of a store such as a reader meets, with a report of checks."""
    return render_once("usual").copy()


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> str:
    """The name of a kind of store, each in turn."""
    return str(request.param)


@pytest.fixture
def files(store: str) -> Files:
    """The files of that store, with a report of checks."""
    return render_once(store).copy()


@pytest.fixture(scope="session")
def usual_results() -> Results:
    """What the pages of the usual store are made of."""
    return Results(site_records.usual(), SOURCES.declared)
