"""What a run says of its cells when it is done: whose seconds do not count, and nothing where there is none."""

from __future__ import annotations

import io

from rich.console import Console

from attnbench.analysis.drift import Drifts
from attnbench.cli._run_notices import tell_of_drift
from attnbench.store.record import Record
from helpers.records import make_record, timed


def said(*records: Record) -> str:
    out = io.StringIO()
    tell_of_drift(Drifts(records), Console(file=out, width=200))
    return out.getvalue()


def test_only_cells_in_which_the_speed_changed_are_told_of() -> None:
    changed = timed("orthogonal", 3.0, more={"drift_anchor_s": [2e-3] * 3 + [4e-3] * 3})
    steady = timed("softmax", 1.0, more={"drift_anchor_s": [2e-3] * 6})
    assert said(steady, changed).startswith("The seconds of 1 cell do not count, because the machine's speed changed")
    assert said(steady, make_record()) == said() == ""
