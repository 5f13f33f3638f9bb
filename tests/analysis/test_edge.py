"""Rates at the edge of what was tried: they were chosen, and are not called tuned."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest

from attnbench.analysis.edge import AT_EDGE, at_edge, edges_text
from attnbench.analysis.frame import frame
from attnbench.analysis.labels import rate_text, rates_text
from attnbench.analysis.ranking import ranking
from attnbench.spec import protocol as protocols
from attnbench.store.record import Record
from helpers.records import learnt

FIRST, NEWEST = protocols.FIRST.name, protocols.NEWEST.name
GROWN = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)


def run(lr: float | None, grid: str | None, protocol: str = NEWEST, tried: Sequence[float] = (), variant: str = "softmax") -> Record:
    record = learnt(variant, 0, 0.5)
    spec = dataclasses.replace(record.spec, lr=lr, lr_grid=grid, protocol=protocol)
    return dataclasses.replace(record, spec=spec, measurements={"accuracy": [0.5], **({"rates_tried": list(tried)} if tried else {})})


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (run(1e-1, "0.001 0.003 0.01", tried=GROWN), True),  # the end of the ladder
        (run(1e-5, "0.0001 0.0003", tried=(1e-5, 3e-5, 1e-4, 3e-4)), True),
        (run(3e-2, "0.001 0.003 0.01", tried=GROWN), False),  # beyond the first grid, and the best within what was tried
        (run(1e-2, "0.001 0.003 0.01"), None),  # by this protocol the grid may have grown, and the record does not say
        (run(1e-3, "0.001 0.003", FIRST), True),
        (run(3e-3, "0.001 0.003", FIRST), True),
        (run(3e-3, "0.001 0.003 0.01", FIRST), False),
        (run(0.00333333, "0.00333 0.01", FIRST), True),  # a grid in words is rounded
        (run(1e-3, "0.001", FIRST), True),
        (run(1e-3, None), None),  # it was given
        (run(None, "0.001 0.003", FIRST), None),  # no rate could be tried
        (run(1e-3, "any", FIRST), None),
        (run(1e-3, "0.001 0.003", "2031-01"), None),
    ],
)
def test_a_rate_is_at_an_edge(record: Record, expected: bool | None) -> None:
    assert at_edge(record) is expected
    told = frame([record])["at_edge"].iloc[0]
    assert (None if told != told else bool(told)) is expected
    assert ("(edge)" in rates_text([record])) is bool(expected)


def test_no_rate_of_a_setting_is_called_tuned_for_one_may_be_at_an_edge() -> None:
    records = [run(1e-2, "0.003 0.01", tried=GROWN), run(1e-1, "0.003 0.01", tried=GROWN, variant="orthogonal")]
    table = ranking(frame(records), "result", "task").set_index("label")  # in one table, so that it is not hidden
    assert table["notes"].to_dict() == {"softmax": (), "orthogonal": (AT_EDGE,)}
    assert not any("tuned" in text for text in (*table["rate"], *(rate_text(record.spec) for record in records)))
    assert rates_text(records) == "0.01, 0.1 (edge)"


def test_whose_rate_is_at_an_edge_is_said_in_a_sentence() -> None:
    within, at_end = run(1e-2, "0.003 0.01", tried=GROWN), run(1e-1, "0.003 0.01", tried=GROWN)
    given, failed = run(1e-2, None), run(None, "0.003 0.01")
    start = "Chosen, not tuned: the best rate is at the edge of those that were tried, of "
    assert edges_text({"b": [at_end], "a": [at_end], "c": [within]}) == start + "a, b."
    assert edges_text({"b": [at_end], "a": [at_end], "c": [failed]}) == start + "every mechanism."
    assert edges_text({"a": [at_end]}) == start + "a."
    assert edges_text({"a": [within], "b": [given], "c": []}) == ""
