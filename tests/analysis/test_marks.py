"""Marks of a task: all solve it, attention does not matter for it, or a model without attention does better."""

from __future__ import annotations

import pytest

from attnbench.analysis.marks import marks_of

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
    assert [mark.kind for mark in marks_of("accuracy", values, ties, classical)] == kinds


def test_of_bits_fewer_are_better() -> None:
    assert [mark.kind for mark in marks_of("bits_per_byte", {"softmax": 2.4}, {}, 1.6)] == ["below classical"]
    assert not marks_of("bits_per_byte", {"softmax": 1.5}, {}, 1.6)
