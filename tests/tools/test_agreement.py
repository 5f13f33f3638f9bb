"""When the program says that our clock agrees with torch's; `make acceptance` runs it."""

from __future__ import annotations

import runpy

import pytest

from helpers.paths import REPO

PROGRAM = REPO / "tools" / "agreement.py"


@pytest.mark.parametrize(("theirs_s", "holds"), [(1.0, True), (1.04, True), (0.96, True), (1.06, False), (0.94, False)])
def test_a_twentieth_either_way_is_agreement(theirs_s: float, holds: bool) -> None:
    """By the median of the rounds' ratios, which one wild round does not move."""
    row = runpy.run_path(str(PROGRAM))["Row"](1024, "another", (1.0, 1.0, 50.0), (theirs_s, theirs_s, 1.0), 1.0)
    assert row.holds == holds
    assert ("NOT MET" in str(row)) != holds
