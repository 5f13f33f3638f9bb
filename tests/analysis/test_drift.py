"""The drift anchor: in which cells the machine's speed changed, what they lose by that, and by how much seconds are corrected."""

from __future__ import annotations

import numpy as np
import pytest

from attnbench.analysis.drift import NEAR, SHORTEST_S, Drifts
from attnbench.store.facts import DRIFT_BASELINE
from attnbench.store.record import Record
from helpers.records import make_record, make_spec


def anchored(milliseconds: float, baseline: float | None = None, after: float | None = None, **fields: object) -> Record:
    """A cell beside whose rounds the anchor took so long; `after` them as long as before, unless said."""
    environment = {} if baseline is None else {DRIFT_BASELINE: baseline / 1e3}
    factors = (0.9, 1.0, 3.0)  # a median, whatever the outliers
    drift = [of / 1e3 * factor for of in (milliseconds, milliseconds if after is None else after) for factor in factors]
    given = {"measurements": {"forward_s": [1.0], "drift_anchor_s": drift}, "environment": environment, **fields}
    return make_record(**given)  # type: ignore[arg-type]


def at(number: int) -> str:
    return f"2026-11-22T00:{number:02}:00Z"


def in_turn(*milliseconds: float, **fields: object) -> list[Record]:
    return [anchored(of, started_at=at(number), **fields) for number, of in enumerate(milliseconds)]


@pytest.mark.parametrize(("after", "said"), [(5.0, None), (6.4, None), (6.6, "1.32-fold while"), (3.5, "1.43-fold while")])
def test_a_cell_drifts_when_the_speed_changed_from_before_to_after(after: float, said: str | None) -> None:
    _, why, _ = Drifts([anchored(5.0), anchored(5.0, after=after), anchored(5.0)]).speeds().why
    assert why is None if said is None else said in (why or "")


def test_a_cell_drifts_when_the_cells_near_in_time_were_slower_than_most() -> None:
    records = in_turn(*[5.0] * 12, *[8.0] * 5)
    why = Drifts(records).speeds().why
    assert why[: 12 - NEAR] == [None] * (12 - NEAR) and all("1.60 times slower" in (of or "") for of in why[-4:])
    backwards = Drifts(records[::-1]).speeds().why
    assert backwards == why[::-1]  # the order of reading is not that of time


def test_one_cell_among_others_does_not_say_how_fast_the_machine_was() -> None:
    assert Drifts(in_turn(*[5.0] * 8, 50.0, *[5.0] * 8)).speeds().why == [None] * 17


def test_an_anchor_that_is_too_short_judges_nothing() -> None:
    short = 0.9e3 * SHORTEST_S
    found = Drifts([anchored(short), anchored(short, after=3 * short), anchored(short)]).speeds()
    assert found.why == [None] * 3 and (found.slower == 1).all()
    assert Drifts([anchored(0.4)]).of("desk", make_record().session).note == "drift was not judged: its anchor takes 0.4 ms"


def test_another_device_or_number_of_threads_has_another_anchor() -> None:
    one = in_turn(*[5.0] * 6)
    other = [anchored(9.0, spec=make_spec(device="cuda"), started_at=at(number)) for number in range(6)]
    assert Drifts([*one, *other]).speeds().why == [None] * 12


def turns(records: list[Record], milliseconds: list[float]) -> list[Record]:
    """The records with softmax in their rounds taking so long."""
    return [
        make_record(r.spec, measurements={**r.measurements, "anchor_s": [of / 1e3] * 5}, environment=r.environment, started_at=r.started_at)
        for r, of in zip(records, milliseconds, strict=True)
    ]


def test_seconds_are_corrected_as_far_as_softmax_followed_the_anchor() -> None:
    speeds = [1.0] * 40 + [1.2] * 20
    records = in_turn(*[5 * of for of in speeds])
    followed = Drifts(turns(records, [7 * of for of in speeds])).speeds().slower
    assert followed[10] == pytest.approx(1, abs=0.01) and 1.15 < followed[50] <= 1.2
    still = Drifts(turns(records, [7.0] * 60)).speeds().slower
    assert np.abs(still - 1).max() < 0.01
    assert (Drifts(records).speeds().slower == 1).all()  # without softmax beside it nothing is known


def test_few_cells_correct_little() -> None:
    speeds = [1.0, 1.0, 1.0, 1.0, 1.06, 1.06]
    found = Drifts(turns(in_turn(*[5 * of for of in speeds]), [7 * of for of in speeds])).speeds().slower
    assert found.max() < 1.03


def test_a_subject_moves_no_speed_by_its_own_anchor() -> None:
    """One cell in which the anchor and softmax take twice as long, as after a mechanism that empties the caches."""
    normal, thrashing = [5.0] * 21, [*[5.0] * 10, 10.0, *[5.0] * 10]
    found = Drifts(turns(in_turn(*thrashing), [7 * of for of in (1.0 if x == 5 else 2.0 for x in thrashing)])).speeds()
    assert found.slower == pytest.approx(np.ones(len(normal))) and found.why == [None] * 21


def test_a_session_without_any_anchor_does_not_rank_and_one_that_is_slower_than_its_peaks_does() -> None:
    assert Drifts([make_record()]).of("desk", make_record().session).flag == "no cell was timed beside the drift anchor"
    assert list(Drifts([make_record(), anchored(5.0, session="b")]).flags()) == [("desk", make_record().session)]
    slow = Drifts([anchored(8.0, baseline=5.0)] * 3)
    found = slow.of("desk", make_record().session)
    assert found.flag is None and "1.60 times slower" in (found.note or "") and slow.speeds().why == [None] * 3
    for baseline in (2.0, 5.0, None):
        assert Drifts([anchored(5.0 if baseline != 2.0 else 1.5, baseline=baseline)]).of("desk", make_record().session).note is None


def test_sessions_are_judged_apart() -> None:
    quiet = [anchored(5.0, session="20261122T000000Z-aaaaaa")] * 5
    other_machine = [anchored(50.0, machine="lamp", session="20261122T000000Z-aaaaaa")]
    other_session = [anchored(20.0, session="20261122T000000Z-bbbbbb")]
    assert Drifts([*quiet, *other_machine, *other_session]).speeds().why == [None] * 7
