"""A record can be read back, whatever the machine and the cell said: facts that cannot are left out,
and a result that cannot is an error."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from attnbench.measurement.cell_result import Measurement
from attnbench.runner import session as running
from attnbench.runner.cell import resolve
from attnbench.runner.jobs import Result
from attnbench.store.record import Record, decode, encode
from attnbench.store.store import Store
from helpers.records import make_spec

BEGAN = datetime(2026, 11, 22, tzinfo=UTC)


def record_of(measured: Measurement, results: Path, **facts: object) -> Record:
    session = running.Session("20261122T000000Z-abcdef")
    return running._record(resolve(make_spec()), session, Result("ok", "done", None, measured), BEGAN, 1.5, facts)


@pytest.mark.parametrize(
    "samples", [{"forward_s": [1e200]}, {"forward_s": [float("inf")]}, {"": [1.0]}, {"forward_s": [0.0]}, {"curve.x": [1.0]}]
)
def test_a_result_that_no_record_holds_is_an_error_that_says_so(samples: dict[str, list[float]], results: Path) -> None:
    made = record_of(Measurement(samples), results)
    assert (made.status, made.stage, made.measurements) == ("error", "store", {})
    assert made.reason is not None and made.reason.startswith("no record can hold what it gave: ")
    Store(results).append(made)
    assert list(Store(results).read()) == [made]


@pytest.mark.parametrize(
    "facts", [{"cpu": ["x"]}, {"threads": "two"}, {"gpus": [{"name": None}]}, {"torch": "\x1b[2J"}, {"x": {1, 2}}, {"y": 2**70}]
)
def test_a_fact_that_no_record_holds_is_left_out(facts: dict[str, object], results: Path) -> None:
    made = record_of(Measurement({"forward_s": [1.0]}), results, **facts)
    assert made.status == "ok" and not facts.keys() & made.environment.keys()
    assert decode(encode(made)) == made and made.environment["timeout_s"] == 600.0
