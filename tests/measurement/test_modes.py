"""Mechanisms are timed, verified and diagnosed in eval mode, and trained in train mode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from attnbench import registry
from attnbench.measurement.cell_result import Measurement
from attnbench.measurement.tracks import measure_cell
from helpers.changed_template import CLASS, FORWARD, NEXT, OUT, init, write
from helpers.records import TASK, make_spec

DROPPING = {
    CLASS: f"seen = []\n\n\n{CLASS}",
    **init("self.lock = threading.Lock()"),  # as nothing may be copied
    FORWARD: f"seen.append(self.training){NEXT}return F.dropout({OUT}, 0.1, self.training)",
}
SMALL: dict[str, Any] = {"num_heads": 2, "head_dim": 4}
DEPTH = {**SMALL, "track": "depth", "seq_len": 8, "num_layers": 2, "block": "residual"}
DIGITS = {**TASK, **SMALL, "task": "digits", "data": None, "num_layers": 1, "batch_size": 64}


def cell(source: str, **axes: Any) -> tuple[Measurement, list[bool], list[str]]:
    """The measurement, the modes in which the mechanism was called, and those of each stage."""
    seen: list[bool] = registry._from_file("variants", Path(source)).seen  # type: ignore[attr-defined]
    seen.clear()
    began: list[tuple[str, int]] = []
    measured = measure_cell(make_spec(variant="mine", **axes), source, None, lambda stage: began.append((stage, len(seen))))
    ends = [*(at for _, at in began[1:]), len(seen)]
    trained = [stage for (stage, start), end in zip(began, ends, strict=True) if any(seen[start:end])]
    return measured, list(seen), trained


@pytest.mark.parametrize("axes", [{**SMALL, "seq_len": 64}, DEPTH], ids=["kernel", "depth"])
@pytest.mark.parametrize("mode", ["forward", "training"])
def test_costs_and_diagnoses_are_those_of_eval_mode(axes: dict[str, Any], mode: str, tmp_path: Path) -> None:
    measured, seen, _ = cell(write(tmp_path, DROPPING), **axes, mode=mode)
    assert measured.samples[f"{mode}_s"]
    assert seen and not any(seen)


def test_a_task_is_trained_in_train_mode_and_evaluated_in_eval_mode(tmp_path: Path) -> None:
    source = write(tmp_path, DROPPING)
    measured, seen, trained = cell(source, **DIGITS)
    assert measured.samples["accuracy"] and measured.samples["peak_memory_bytes"]
    assert not all(seen)
    assert trained[0] == "warm up" and trained[-1] == "memory" and "test" not in trained
    again, _, _ = cell(source, **DIGITS)
    assert again.samples["accuracy"] == measured.samples["accuracy"]  # what is dropped comes from the seed
