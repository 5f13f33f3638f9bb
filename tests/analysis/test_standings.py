"""Statistics are looked up by a record's setting, whatever record asks."""

from __future__ import annotations

import dataclasses

from attnbench.analysis.frame import frame
from attnbench.analysis.settings import labels_of
from attnbench.analysis.standings import Standings
from helpers.records import timed


def test_the_places_of_records_that_are_made_for_the_moment_are_those_of_their_own_setting() -> None:
    """A joined record is gone after its table; the next may have its id()."""
    records = [
        timed(name, 1.0, seq_len=n) for n, names in ((64, ("softmax", "polynomial")), (128, ("softmax", "orthogonal"))) for name in names
    ]
    table = frame(records)
    standings = Standings(table, labels_of(table))
    for i in range(20):
        for record in records:
            assert record.spec.variant in standings.places("time", dataclasses.replace(record, duration_s=float(i)))


def test_a_record_that_does_not_say_its_torch_is_not_one_of_a_torch_named_nan() -> None:
    """pandas writes what is missing as nan, which is also a text that a record may hold."""
    records = [
        timed(name, 1.0, environment={**timed(name, 1.0).environment, "torch": torch})
        for name, torch in (("softmax", "nan"), ("polynomial", None))
    ]
    table = frame(records)
    standings = Standings(table, labels_of(table))
    for record in records:
        assert list(standings.growth("time", record)) == [record.spec.variant]
        assert list(standings.places("time", record)) == [record.spec.variant]
