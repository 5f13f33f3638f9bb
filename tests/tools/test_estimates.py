"""The sample of cells by which an estimate is judged: spread over all, each once, the same every time."""

from __future__ import annotations

import pytest

from estimates import spread


@pytest.mark.parametrize("number", [1, 2, 7, 20, 100, 1000])
def test_a_sample_is_spread_over_all(number: int) -> None:
    cells = list(range(100))
    sample = spread(cells, number)
    assert sample == sorted(set(sample)) and len(sample) == min(number, 100) and sample == spread(cells, number)
    gaps = [after - before for before, after in zip([-1, *sample], [*sample, 100], strict=True)]
    assert max(gaps) <= 100 / number + 1


def test_of_nothing_there_is_no_sample() -> None:
    assert spread([], 0) == []
