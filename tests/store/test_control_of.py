"""Which control stands beside the records of a task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from attnbench.store.controls import Control, control_of
from helpers.controls import make_control

DEFAULT, HARDER, OF_HUB = make_control(), make_control(task_params={"pairs": 16}), make_control(data="hub:a/b")
OTHER, IMAGES = make_control(task="digits"), make_control(task="mnist", data="embedded:1a2b3c4d", independent_of=("patch",))
BOTH, CAUSAL = make_control(task="copy"), make_control(task="copy", causal=True)


@pytest.mark.parametrize(
    ("task", "params", "data", "causal", "expected"),
    [
        ("mqar", None, "generated", False, DEFAULT),
        ("mqar", {}, "generated", True, DEFAULT),
        ("mqar", {"pairs": 16}, "generated", False, HARDER),
        ("mqar", {"pairs": 32}, "generated", False, None),
        ("mqar", {"pairs": 16, "blank": 1}, "generated", False, None),
        ("mqar", None, "hub:a/b", False, OF_HUB),
        ("mqar", None, None, False, None),
        ("digits", None, "generated", False, OTHER),
        ("mnist", None, "embedded:1a2b3c4d", False, IMAGES),
        ("mnist", {"patch": 2}, "embedded:1a2b3c4d", False, IMAGES),
        ("mnist", {"patch": 2, "rows": 9}, "embedded:1a2b3c4d", False, None),
        ("mnist", None, "embedded:00000000", False, None),
        ("copy", None, "generated", True, CAUSAL),
        ("copy", None, "generated", False, BOTH),
    ],
)
def test_a_control_belongs_to_task_params_data_and_form(
    task: str, params: dict[str, Any] | None, data: str | None, causal: bool, expected: Control | None
) -> None:
    controls = [DEFAULT, HARDER, OF_HUB, OTHER, IMAGES, BOTH, CAUSAL]
    order: tuple[Callable[[list[Control]], list[Control]], ...] = (list, lambda found: found[::-1])
    for arranged in order:
        assert control_of(arranged(controls), task, params, data, causal) is expected


def test_a_control_of_data_that_a_task_has_no_more_is_none_of_its_records() -> None:
    """The split of a task may change, and its files stay."""
    assert control_of([DEFAULT], "mqar", None, "generated", False, "0123456789abcdef") is DEFAULT
    assert control_of([DEFAULT], "mqar", None, "generated", False, "f" * 16) is None
