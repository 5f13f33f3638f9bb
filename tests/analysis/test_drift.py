"""The drift anchor: which sessions are flagged, and that flagged ones do not rank."""

from __future__ import annotations

import pytest

from attnbench.analysis.drift import Drifts
from attnbench.store.facts import DRIFT_BASELINE
from attnbench.store.record import Record
from attnbench.website.pages.board import views
from attnbench.website.results import Results
from attnbench.website.tables.checks import Checks
from attnbench.website.tables.table import Table
from helpers.records import make_record, make_spec
from helpers.site_records import ENVIRONMENT, kernel


def anchored(milliseconds: float, baseline: float | None = None, **fields: object) -> Record:
    environment = {} if baseline is None else {DRIFT_BASELINE: baseline / 1e3}
    samples = [milliseconds / 1e3 * factor for factor in (0.9, 1.0, 3.0)]  # a median, whatever the outliers
    return make_record(measurements={"forward_s": [1.0], "drift_anchor_s": samples}, environment=environment, **fields)


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([anchored(5.0)] * 20 + [anchored(5.9)] * 20, None),
        ([anchored(5.0)] * 20 + [anchored(50.0)], None),  # one cell of 21 is no drift of the session
        ([anchored(5.0)] * 20 + [anchored(7.6)] * 20, "changed 1.52-fold"),
        ([anchored(5.0), anchored(7.6)], "changed 1.52-fold"),
        ([anchored(5.0, baseline=5.0)], None),
        ([anchored(8.0, baseline=5.0)] * 3, "1.60 times slower"),
        ([anchored(2.0, baseline=5.0)], None),  # the peaks were measured on a busy day
        ([make_record()], "no cell was timed beside the drift anchor"),
        ([anchored(5.0), make_record()], None),
    ],
)
def test_a_session_is_flagged_when_its_anchor_drifts(records: list[Record], said: str | None) -> None:
    drift = Drifts(records).of("desk", records[0].session)
    assert drift.flag is None if said is None else said in (drift.flag or "")
    assert Drifts(reversed(records)).of("desk", records[0].session) == drift


def test_sessions_are_judged_apart() -> None:
    quiet = [anchored(5.0, session="20261122T000000Z-aaaaaa"), anchored(5.1, session="20261122T000000Z-aaaaaa")]
    other_machine = [anchored(50.0, machine="lamp", session="20261122T000000Z-aaaaaa")]
    drifting = [anchored(5.0, session="20261122T000000Z-bbbbbb"), anchored(9.0, session="20261122T000000Z-bbbbbb")]
    assert Drifts([*quiet, *other_machine, *drifting]).flags().keys() == {("desk", "20261122T000000Z-bbbbbb")}


def ranked(records: list[Record]) -> dict[str, tuple[str, str]]:
    """Rank and why there is none, by variant, on the leaderboard's first table."""
    (table,) = [block for block in views(Results(records, {}), Checks([]))[0].blocks if isinstance(block, Table)]
    return {str(row[1].text): (str(row[0].text), str(row[0].title or "")) for row in table.rows}


def slowed(record: Record, factor: float) -> Record:
    """The record with another speed of the anchor, in the same session."""
    drift = [factor * x for x in record.measurements.get("drift_anchor_s", [])]
    return make_record(
        record.spec, status=record.status, measurements={**record.measurements, "drift_anchor_s": drift}, reason=record.reason
    )


def test_a_flagged_session_is_shown_and_does_not_rank() -> None:
    quiet = [slowed(r, 1.0) for name in ("softmax", "orthogonal") for r in kernel(name)]
    assert all(rank.isdigit() for rank, _ in ranked(quiet).values())
    drifting = [slowed(r, 1.0 + i % 2) for i, r in enumerate(quiet)]
    found = ranked(drifting)
    assert found.keys() == {"softmax", "orthogonal"}
    for rank, why in found.values():
        assert rank == "flagged"
        assert "changed 2.00-fold" in why


def test_ranks_go_by_the_ratio_to_the_interleaved_softmax() -> None:
    """The machine slowed down by a fifth between two cells: by the times alone the tie would be a lead."""
    spec = {name: make_spec(variant=name) for name in ("softmax", "softmax_math")}
    times = {"softmax": [1.0 + 0.001 * i for i in range(12)], "softmax_math": [1.2 + 0.001 * i for i in range(12)]}
    near_one = [0.98 + 0.004 * i for i in range(12)]
    records = [
        make_record(
            spec[name],
            measurements={"forward_s": times[name], "anchor_ratio": near_one, "drift_anchor_s": [0.005]},
            environment=ENVIRONMENT,
        )
        for name in spec
    ]
    assert {rank for rank, _ in ranked(records).values()} == {"1–2"}
