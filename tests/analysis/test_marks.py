"""Marks of a task: all solve it, attention does not matter for it, or a model without attention does better."""

from __future__ import annotations

import pytest

from attnbench.analysis.marks import Reached, marks_of, seeds_asked

TIED = {"softmax": ("uniform",), "uniform": ("softmax",)}


@pytest.mark.parametrize(
    ("values", "ties", "classical", "kinds"),
    [
        ({"softmax": 0.9, "uniform": 0.5}, {}, None, []),
        ({"softmax": 0.9995, "orthogonal": 1.0}, {}, None, ["saturated"]),
        ({"softmax": 0.9, "uniform": 0.89}, TIED, None, ["not about attention"]),
        ({"softmax": 0.9, "orthogonal": 0.9}, {"softmax": ("orthogonal",)}, None, []),  # a tie of others says nothing
        ({"softmax": 0.80}, {}, 0.816, ["below classical"]),
        ({"softmax": 0.82}, {}, 0.816, []),
        ({"orthogonal": 0.5}, {}, 0.816, []),  # without softmax nothing is known
        ({"softmax": 0.80, "uniform": 0.80}, TIED, 0.9, ["not about attention", "below classical"]),
    ],
)
def test_marks_by_hand(values: dict[str, float], ties: dict[str, tuple[str, ...]], classical: float | None, kinds: list[str]) -> None:
    assert kinds_of({label: Reached(value, 3, ties.get(label, ())) for label, value in values.items()}, classical) == kinds


def test_of_bits_fewer_are_better() -> None:
    assert kinds_of({"softmax": Reached(2.4, 3)}, 1.6, metric="bits_per_byte") == ["below classical"]
    assert not kinds_of({"softmax": Reached(1.5, 3)}, 1.6, metric="bits_per_byte")


def test_a_control_that_does_not_solve_a_task_does_not_hide_that_all_others_do() -> None:
    """Controls do not compete: beside two mechanisms at 1.0 they are at what the frequencies give."""
    reached = {"softmax": Reached(1.0, 5), "orthogonal": Reached(1.0, 5), "identity": Reached(0.03, 5), "uniform": Reached(0.03, 5)}
    (mark,) = marks_of("accuracy", reached, 5)
    assert (mark.kind, mark.why) == ("saturated", "all mechanisms, controls aside, are above 0.999")
    assert not kinds_of({**reached, "orthogonal": Reached(0.9, 5)})
    assert not kinds_of({label: Reached(1.0, 5) for label in ("identity", "uniform")}), "of controls alone nothing is known"


@pytest.mark.parametrize(
    ("of_softmax", "of_uniform", "is_marked"), [(1, 1, False), (5, 4, False), (4, 5, False), (5, 5, True), (8, 5, True)]
)
def test_a_tie_for_want_of_seeds_is_no_mark(of_softmax: int, of_uniform: int, is_marked: bool) -> None:
    """.95 beside .30 is a tie where each has one seed, for no test tells two seeds apart."""
    reached = {"softmax": Reached(0.95, of_softmax, ("uniform",)), "uniform": Reached(0.30, of_uniform, ("softmax",))}
    assert [mark.kind for mark in marks_of("accuracy", reached, 5)] == ["not about attention"] * is_marked


def test_seeds_are_asked_by_protocol() -> None:
    assert (seeds_asked("2026-11"), seeds_asked("2026-12"), seeds_asked("somebody's")) == (3, 5, 3)


def kinds_of(reached: dict[str, Reached], classical: float | None = None, metric: str = "accuracy") -> list[str]:
    return [mark.kind for mark in marks_of(metric, reached, 3, classical)]
