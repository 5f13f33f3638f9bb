"""Which pairs two sessions order otherwise, by records that are made up."""

from __future__ import annotations

import runpy
from typing import Any

from attnbench.analysis.frame import frame
from helpers.paths import REPO
from helpers.records import timed

PROGRAM = runpy.run_path(str(REPO / "tools" / "reversals.py"))
FIRST, SECOND = "20261122T000000Z-abcdef", "20261123T000000Z-abcdef"


def orders(first: dict[str, float], second: dict[str, float]) -> dict[tuple[str, str], tuple[int, int]]:
    """The order of each pair in two sessions in which mechanisms took so many times as long as softmax."""
    records = [
        timed(name, middle, session=session, seed=seed)
        for session, of in ((FIRST, first), (SECOND, second))
        for name, middle in of.items()
        for seed in range(3)
    ]
    tables: list[Any] = [PROGRAM["places"](frame(records), session, "kernel") for session in (FIRST, SECOND)]
    return {(one, other): (then, now) for _, one, other, then, now in PROGRAM["compared"](*tables)}


def test_an_order_that_turned_is_found_and_a_tie_is_no_order() -> None:
    found = orders(
        {"softmax": 1.0, "polynomial": 1.001, "orthogonal": 0.5, "linear_elu": 0.1},
        {"softmax": 1.0, "polynomial": 1.001, "orthogonal": 2.0, "cosine": 0.1},
    )
    assert found == {
        ("orthogonal", "polynomial"): (-1, 1),
        ("orthogonal", "softmax"): (-1, 1),
        ("polynomial", "softmax"): (0, 0),
    }  # and what one session alone ranks has no pair


def test_sessions_of_no_common_cell_have_no_pair() -> None:
    assert orders({"softmax": 1.0, "polynomial": 2.0}, {"softmax": 1.0}) == {}
