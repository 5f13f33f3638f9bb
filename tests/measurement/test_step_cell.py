"""A step cell times what the trainer does, alone, leaves the model as it was, and is verified like any other timed call."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import attnbench
from attnbench import registry
from attnbench.errors import Incorrect
from attnbench.measurement.inputs import DrawnRows
from attnbench.measurement.tracks import measure_cell
from attnbench.measurement.tracks.step import StepTrial
from attnbench.measurement.verify.closeness import Verified
from attnbench.measurement.verify.stack import verify_model
from attnbench.runner.cell import resolve
from attnbench.runner.engines.local import run_one_by_one
from attnbench.runner.gate import Gate
from attnbench.runner.jobs import Limits, Result
from attnbench.runner.session import Session
from attnbench.spec.axes import Spec
from attnbench.store.record import Record
from attnbench.store.report import Report
from helpers.misbehaving import PATIENCE_S

TEMPLATE = (Path(attnbench.__file__).parent / "variants" / "_template.py").read_text()
FORWARD = "return self.matrix(q, k, causal, padding_mask) @ v"
CHEATS = {
    "detaches its gradient": "return self.matrix(q, k, causal, padding_mask).detach() @ v",
    "rounds as float16": "return (self.matrix(q, k, causal, padding_mask) @ v).half().float()",
    "returns its first result for ever": """if not hasattr(self, "first"):
            self.first = (self.matrix(q, k, causal, padding_mask) @ v).detach()
        return self.first + 0 * v""",
}


def spec_of(**axes: object) -> Spec:
    given = {"block": "residual", "num_layers": 1, "num_heads": 2, "head_dim": 8, "batch_size": 32}
    return Spec(**{"track": "step", "variant": "softmax", "task": "digits", **given, **axes})  # type: ignore[arg-type]


def trial_of(spec: Spec) -> StepTrial:
    task = registry.load("tasks", str(spec.task))
    return StepTrial(spec, task, task.parts(task.sources[0], test=False).train, spec.variant)


def measured(file: Path, text: str) -> Record:
    """The record of a step cell of a file, which the gate lets pass."""
    file.write_text(text)
    cell, gate = resolve(spec_of(variant="mine"), {"mine": str(file)}), Gate(file.parent / "results")
    request = cell.check_request
    gate.add(request, Result("ok", "done", None, Report(variant="mine", fingerprint=request.fingerprint(), device="cpu")))
    (record,) = run_one_by_one([cell], Session("session", Limits(timeout_s=PATIENCE_S)), gate)
    return record


@pytest.mark.parametrize(
    "axes", [{}, {"block": "skipless", "variant": "orthogonal"}, {"dtype": "bfloat16"}], ids=["plain", "skipless", "mixed"]
)
def test_it_is_timed_beside_softmax_and_verified(axes: dict[str, str]) -> None:
    found = measure_cell(spec_of(**axes), axes.get("variant", "softmax"), "digits", lambda stage: None)
    wanted = {
        "training_s",
        "anchor_s",
        "anchor_ratio",
        "drift_anchor_s",
        "peak_memory_bytes",
        "flops",
        "error",
        "error_share",
        "parameters",
    }
    assert wanted <= found.samples.keys()
    assert len(found.samples["training_s"]) == len(found.samples["anchor_ratio"]) and found.samples["error_share"][0] <= 1
    assert found.samples["verified_rows"] == [32.0 * registry.load("tasks", "digits").seq_len] and found.clocks["training_s"] == "wall"


def test_where_the_plain_form_lost_little_in_a_narrow_dtype_more_is_known_of_its_rounding_and_no_wrong_result_passes() -> None:
    deep = {"variant": "orthogonal", "block": "skipless", "num_layers": 6}
    mixed, whole = trial_of(spec_of(dtype="bfloat16", **deep)), trial_of(spec_of(**deep))
    results = mixed.results(mixed.call(0))
    rows = mixed.inputs.copies()[0]

    def verify(results: list[torch.Tensor]) -> Verified:
        shape = len(rows), registry.load("tasks", "digits").seq_len
        return verify_model(mixed.original, lambda model: whole._of(model, rows), results, shape, torch.bfloat16)

    assert verify(results).samples["error_share"][0] <= 1
    for wrong in ([1.1 * results[0], *results[1:]], [results[0], *(1.5 * x for x in results[1:])]):
        with pytest.raises(Incorrect):
            verify(wrong)


def test_a_step_changes_no_weight_and_leaves_clipped_gradients() -> None:
    trial = trial_of(spec_of())
    before = {name: x.clone() for name, x in trial.model.state_dict().items()}
    for number in range(3):
        loss = trial.call(number)
        trial.inputs.refresh()
    assert torch.isfinite(loss).all() and loss.shape == (1, 1)
    assert all(torch.equal(x, before[name]) for name, x in trial.model.state_dict().items())
    gradients = trial.results(loss)[1:]
    assert any(x.abs().max() > 0 for x in gradients)
    assert torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(x) for x in gradients])) <= 1 + 1e-5


def test_rows_change_before_every_call_and_can_be_had_again() -> None:
    rows = DrawnRows(1000, 16, "cpu")
    first = rows.copies()[0]
    assert rows.are_intact() and torch.equal(first, rows.tensors[0]) and int(first.max()) < 1000
    rows.refresh()
    assert not torch.equal(first, rows.tensors[0])
    rows.tensors[0][0] += 1
    assert not rows.are_intact()
    assert len(DrawnRows(5, 16, "cpu").tensors[0]) == 5


@pytest.mark.parametrize("does", CHEATS)
def test_a_mechanism_that_does_something_else_in_training_is_found_out(does: str, tmp_path: Path) -> None:
    record = measured(tmp_path / "mine.py", TEMPLATE.replace(FORWARD, CHEATS[does]))
    assert (record.status, record.stage) == ("incorrect", "verify"), record.reason


def test_the_template_holds_and_one_without_a_backward_pass_is_skipped(tmp_path: Path) -> None:
    record = measured(tmp_path / "mine.py", TEMPLATE)
    assert record.status == "ok" and "other_load" in record.environment and record.stage is None, record.reason
    record = measured(tmp_path / "mine.py", TEMPLATE.replace("Variant(", "Variant(training=False, ", 1))
    assert (record.status, record.reason) == ("skipped", "the mechanism declares training=False: it has no backward pass")
