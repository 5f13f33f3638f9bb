"""How softmax is pooled and held against itself, by blocks that are made up."""

from __future__ import annotations

import runpy
from typing import Any

import pytest

from helpers.paths import REPO

PROGRAM = runpy.run_path(str(REPO / "tools" / "repeatability.py"))
CELL = ("forward", 256)


def blocks(*seconds_and_drift: tuple[float, float]) -> list[Any]:
    return [PROGRAM["Block"]({CELL: seconds}, drift_s) for seconds, drift_s in seconds_and_drift]


def test_the_lots_alternate_so_that_a_drift_meets_both() -> None:
    found = blocks(*((float(number), 1.0) for number in range(6)))
    one, other = ([block.seconds[CELL] for block in lot] for lot in PROGRAM["lots"](found))
    assert (one, other) == ([0.0, 3.0, 4.0], [1.0, 2.0, 5.0])


def test_a_ratio_is_of_the_medians_over_processes() -> None:
    """1, 1.02 and 1.5 against 1, 1 and 2: one wild process of each lot moves nothing."""
    (row,) = PROGRAM["rows"](blocks((1.0, 1.0), (1.0, 1.0), (1.0, 1.0), (1.02, 1.0), (1.5, 1.0), (2.0, 1.0)))
    assert (row.ratio, row.as_measured) == (pytest.approx(1.02), pytest.approx(1.02))


def test_a_machine_that_became_slower_divides_out() -> None:
    (row,) = PROGRAM["rows"](blocks((1.0, 2.0), (1.5, 3.0)))
    assert row.ratio == pytest.approx(1.0)
    assert row.as_measured == pytest.approx(1 / 1.5)


@pytest.mark.parametrize(
    ("seconds", "ratio", "holds"),
    [(0.005, 1.009, True), (0.005, 0.991, True), (0.005, 1.011, False), (0.0049, 1.029, True), (0.0049, 0.969, False)],
)
def test_a_long_call_may_differ_by_less(seconds: float, ratio: float, holds: bool) -> None:
    row = PROGRAM["Row"](CELL, seconds, ratio, 1.0)
    assert row.holds == holds
    assert ("NOT MET" in str(row)) != holds


def test_every_mode_must_hold_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = (PROGRAM["Row"]((mode, 256), 1.0, ratio, 1.0) for mode, ratio in (("forward", 1.0), ("decode", 1.1)))
    assert PROGRAM["verdict"]([good] * 20)
    assert not PROGRAM["verdict"]([good] * 20 + [bad])
    assert "decode: 0 of 1 cells hold" in capsys.readouterr().out


def test_a_cell_that_failed_in_one_process_is_left_out() -> None:
    whole, broken = blocks((1.0, 1.0)), [PROGRAM["Block"]({}, 1.0)]
    assert list(PROGRAM["rows"](whole + broken)) == []
