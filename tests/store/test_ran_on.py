"""Which part of its machine a record was measured on, whatever its environment holds."""

from __future__ import annotations

from typing import Any

import pytest

from attnbench.store.ran_on import RanOn, only_gpu, ran_on

H100, A100 = {"name": "NVIDIA H100"}, {"name": "NVIDIA A100"}
DIVIDED = {**H100, "mig.mode.current": "Enabled"}


@pytest.mark.parametrize(
    ("environment", "threads"),
    [
        ({"threads": 2}, 2),
        ({"threads": 1, "processor_quota": 0.5}, 0.5),
        ({"threads": 1, "processor_quota": 1.5}, 1),
        ({"threads": 4, "processor_quota": "half"}, 4),
        ({}, None),
        *(({"threads": odd}, None) for odd in ("2", True, 0, -3, 2**70, float("nan"), [2], {"a": 1}, None)),
    ],
)
def test_threads(environment: dict[str, Any], threads: float | None) -> None:
    assert ran_on("cpu", environment) == RanOn(threads, "")


@pytest.mark.parametrize(
    ("environment", "gpu"),
    [
        ({"gpu": "NVIDIA A100", "gpus": [H100]}, "NVIDIA A100"),
        ({"gpus": [H100]}, "NVIDIA H100"),  # as records were before they named it
        ({"gpus": [H100, H100]}, "NVIDIA H100"),
        ({"gpus": [H100, A100]}, ""),
        ({"gpus": [DIVIDED]}, ""),
        *(({"gpu": odd}, "") for odd in (3, None, ["NVIDIA H100"])),
        *(({"gpus": odd}, "") for odd in ("NVIDIA H100", 3, None, [], [None], [{}], {"name": "x"})),
    ],
)
def test_the_gpu_is_of_cells_on_one_alone(environment: dict[str, Any], gpu: str) -> None:
    assert ran_on("cuda", environment).gpu == gpu
    assert ran_on("cpu", environment).gpu == ""


def test_one_name_for_all() -> None:
    assert only_gpu([H100, H100]) == "NVIDIA H100" and only_gpu([H100, A100]) == only_gpu([]) == only_gpu(None) == ""
