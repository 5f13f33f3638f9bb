"""A mechanism without a backward pass is a mechanism: it says so, its gradients are not asked for, and cells that train are skipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from attnbench.attention import Unsupported
from attnbench.measurement.checks import THOROUGH, check
from attnbench.measurement.checks.gradients import HINT
from attnbench.measurement.checks.subject import Subject
from attnbench.measurement.checks.torch_threads import one_thread
from attnbench.measurement.tracks import measure_cell
from attnbench.spec.construct import load_variant
from attnbench.store.report import Finding, Report
from helpers.changed_template import CLASS, FORWARD, HIDE_V, NEXT, OUT, write
from helpers.records import TASK, make_spec

CAUSAL = "causal=True,"
RAISES = "if torch.is_grad_enabled() and q.requires_grad: raise {}('there is no backward pass on this device')"
NO_BACKWARD = f"""class NoBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise Unsupported("there is no backward pass yet")


{CLASS}"""
SAYS_SO = {
    "in its declaration": {HIDE_V: f"{RAISES.format('NotImplementedError')}{NEXT}{HIDE_V}", CAUSAL: f"{CAUSAL} training=False,"},
    "in forward": {HIDE_V: f"{RAISES.format('Unsupported')}{NEXT}{HIDE_V}"},
    "in backward": {CLASS: NO_BACKWARD, FORWARD: f"return NoBackward.apply({OUT})"},
}
DEPTH = {"track": "depth", "seq_len": 8, "num_heads": 2, "head_dim": 4, "num_layers": 2, "block": "residual"}
SMALL = {"seq_len": 64, "num_heads": 2, "head_dim": 8}


def cell(source: str, **axes: Any) -> dict[str, list[float]]:
    return measure_cell(make_spec(variant="mine", **axes), source, None, lambda _: None).samples


def found(report: Report, name: str) -> Finding:
    return next(finding for finding in report.checks if finding.name == name)


@pytest.mark.parametrize("how", SAYS_SO)
def test_it_passes_the_checks_without_its_gradients(how: str, tmp_path: Path) -> None:
    source = write(tmp_path, SAYS_SO[how])
    report = check(source, {}, "cpu", full=False)
    assert report.ok, [finding for finding in report.checks if finding.status == "failed"]
    gradients = found(report, "gradients")
    assert gradients.status == "skipped"
    assert ("training=False" if how == "in its declaration" else "there is no backward pass") in gradients.detail
    for name in ("time", "memory"):
        with one_thread():
            assert "forward" in THOROUGH[name](Subject(source, load_variant(source), {})).detail


@pytest.mark.parametrize("how", SAYS_SO)
@pytest.mark.long
def test_its_cells_that_train_are_skipped_and_the_others_measured(how: str, tmp_path: Path) -> None:
    source = write(tmp_path, SAYS_SO[how])
    said = "training=False" if how == "in its declaration" else "no backward pass"
    task = {**TASK, "task": "digits", "data": None, "num_heads": 2, "head_dim": 4, "batch_size": 8, "num_layers": 1}
    for axes in ({**SMALL, "mode": "training"}, {**DEPTH, "mode": "training"}, task):
        with pytest.raises(Unsupported, match=said):
            cell(source, **axes)
    assert cell(source, **SMALL, mode="forward")["error"][0] < 1e-5
    deep = cell(source, **DEPTH, mode="forward")
    assert deep["forward_s"] and deep["effective_rank"] and deep["dong_residual"] and deep["parameters"]
    assert not deep.keys() & {"jacobian_condition", "attention_jacobian_condition", "gradient_norm"}


def test_one_that_does_not_say_so_is_told_what_to_do(tmp_path: Path) -> None:
    report = check(write(tmp_path, {HIDE_V: f"{RAISES.format('NotImplementedError')}{NEXT}{HIDE_V}"}), {}, "cpu", full=False)
    assert report.failed() == ["gradients"]
    detail = found(report, "gradients").detail
    assert "NotImplementedError: there is no backward pass" in detail and detail.endswith(HINT)


def test_a_form_without_a_backward_pass_leaves_the_other_its_gradients(tmp_path: Path) -> None:
    causal_only = RAISES.format("Unsupported").replace("if ", "if causal and ")
    report = check(write(tmp_path, {HIDE_V: f"{causal_only}{NEXT}{HIDE_V}"}), {}, "cpu", full=False)
    assert report.ok, [finding for finding in report.checks if finding.status == "failed"]
    assert found(report, "gradients").status == "passed"
    wrong = {HIDE_V: f"{causal_only}{NEXT}q = q if causal else q.detach(); {HIDE_V}"}
    assert "gradients" in check(write(tmp_path, wrong), {}, "cpu", full=False).failed()
