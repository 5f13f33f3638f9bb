"""A record says whether other programs disturbed its times."""

from __future__ import annotations

from typing import Any

import pytest

from attnbench.store.disturbed import disturbance
from attnbench.store.record_faults import warnings
from helpers.records import TASK, make_record, make_spec


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({}, None),
        ({"other_load": 0.1, "steal": 0.0}, None),
        ({"other_load": 0.97, "steal": 0.0}, "other processes used 0.97 of a core while it was timed; 0.1 is allowed"),
        ({"other_load": 0.06, "steal": 0.05}, "other processes used 0.06 of a core, and 0.05 of a core was stolen by the hypervisor while "
         "it was timed; 0.1 is allowed"),
        ({"other_load": 2.5}, "other processes used 2.50 cores while it was timed; 0.1 is allowed"),
        ({"load_average": 9.0, "threads": 1}, None),  # of an older record, which does not say what others used meanwhile
    ],
)  # fmt: skip
def test_the_load_of_the_window_decides(facts: dict[str, Any], said: str | None) -> None:
    environment = {**make_record().environment, **facts}
    assert disturbance(make_record(environment=environment)) == said
    assert disturbance(make_record(make_spec(**TASK), environment=environment)) == said


def test_validate_tells_of_it_and_not_of_the_load_before() -> None:
    for other, expected in ((0.5, 1), (0.0, 0)):
        facts = {"commit": "0" * 40, "other_load": other, "steal": 0.0, "load_average": 9.0, "threads": 1}
        said = [
            text for text in warnings(make_record(environment=facts), {"schema": 2}, ("softmax",), ()) if "core" in text or "busy" in text
        ]
        assert len(said) == expected, said
