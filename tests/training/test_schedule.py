"""The learning rate over a run: linear warm-up, then a cosine to zero."""

from __future__ import annotations

import math

import pytest

from attnbench.training.train import schedule

WARMUP = 0.1


def test_the_schedule_warms_up_and_follows_a_cosine() -> None:
    share = schedule(100, WARMUP)
    assert [share(i) for i in range(10)] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert share(10) == pytest.approx(1.0)
    assert share(55) == pytest.approx(0.5)  # half of the cosine's ninety steps
    assert share(32) == pytest.approx(0.5 * (1 + math.cos(math.pi * 22 / 90)))
    assert share(100) == pytest.approx(0.0)
    falling = [share(i) for i in range(10, 101)]
    assert falling == sorted(falling, reverse=True)


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_a_short_schedule_never_stops_learning(steps: int) -> None:
    shares = [schedule(steps, WARMUP)(i) for i in range(steps)]
    assert all(0.0 < share <= 1.0 for share in shares) and shares[0] == 1.0
    assert math.isfinite(schedule(steps, WARMUP)(steps))
