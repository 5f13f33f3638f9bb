"""A mechanism without a form in float64, as compiled kernels are, is held against its definition in float32, and loses no other check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from attnbench.attention import Unsupported
from attnbench.measurement.checks import check
from attnbench.measurement.tracks import measure_cell
from attnbench.store.report import Finding
from helpers.changed_template import FORWARD, HIDE_V, NEXT, OUT, write
from helpers.records import make_spec

LACKING = f"if v.dtype == torch.float64: raise Unsupported('the kernel has no float64'){NEXT}{HIDE_V}"
WRONG = {
    "another scale than its matrix": (
        {FORWARD: "return self.matrix(1.01 * q, k, causal, padding_mask) @ v"},
        {"matrix", "lengths", "float32"},
    ),
    "what is left of a block of 64 is forgotten": (
        {FORWARD: f"n = q.shape[-2]; out = {OUT}; return out if n < 64 else out * (torch.arange(n) < n // 64 * 64).to(v.dtype)[:, None]"},
        {"lengths"},
    ),
    "a detached query": ({FORWARD: "return self.matrix(q.detach(), k, causal, padding_mask) @ v"}, {"float32"}),
    "rows that do not sum to one": ({FORWARD: f"return 0.99 * ({OUT})"}, {"row_sums"}),
}


def findings(source: str) -> dict[str, Finding]:
    return {found.name: found for found in check(source, {}, "cpu", full=False).checks}


def test_it_holds_and_says_what_was_not_looked_at(tmp_path: Path) -> None:
    found = findings(write(tmp_path, {HIDE_V: LACKING}))
    assert {one.status for one in found.values()} == {"passed", "skipped"}
    assert "no form in float64" in found["gradients"].detail
    assert all(found[name].status == "passed" and "float32" in found[name].detail for name in ("matrix", "lengths"))


@pytest.mark.parametrize("fault", WRONG)
def test_a_fault_is_found_all_the_same(fault: str, tmp_path: Path) -> None:
    changes, expected = WRONG[fault]
    failed = {name for name, found in findings(write(tmp_path, {HIDE_V: LACKING, **changes})).items() if found.status == "failed"}
    assert expected <= failed


def test_its_cells_are_measured_in_the_dtypes_that_it_has(tmp_path: Path) -> None:
    source = write(tmp_path, {HIDE_V: LACKING})

    def cell(**axes: Any) -> dict[str, list[float]]:
        return measure_cell(make_spec(variant="mine", num_heads=2, head_dim=8, **axes), source, None, lambda _: None).samples

    assert cell(seq_len=64)["error"][0] < 1e-5
    with pytest.raises(Unsupported, match="no float64"):
        cell(seq_len=64, dtype="float64")
    deep = cell(track="depth", seq_len=8, num_layers=2, block="residual", mode="training")
    assert deep["gradient_norm"][0] > 0
    assert not deep.keys() & {"jacobian_condition", "effective_rank", "dong_residual"}
