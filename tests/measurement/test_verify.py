"""What is timed is compared with its definition: every honest mechanism passes, at every kind of shape, and small faults do not."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch

from attnbench import registry
from attnbench.errors import Incorrect, Unsupported
from attnbench.measurement import inputs
from attnbench.measurement.guard import Guard
from attnbench.measurement.timed import Trial, VerifiedTrial
from attnbench.measurement.tracks.call import KernelTrial
from attnbench.measurement.tracks.decode import STEPPED, DecodeTrial, PrefillTrial
from attnbench.measurement.tracks.depth import StackTrial
from attnbench.measurement.tracks.step import StepTrial
from attnbench.measurement.verify import kernel
from attnbench.measurement.verify.closeness import Result, Verified, compare
from attnbench.spec.axes import Spec
from attnbench.spec.presets import PRESETS
from helpers.changed_template import FORWARD, NEXT, OUT, SCORES, init, write
from helpers.mechanisms import RUNNABLE, VARIANTS, device_of
from helpers.records import make_spec

SMALL: dict[str, Any] = {"num_heads": 2, "head_dim": 16, "seq_len": 97}
DEEP: dict[str, Any] = {"track": "depth", "num_heads": 2, "head_dim": 8, "seq_len": 32, "batch_size": 2}
SHAPES: dict[str, dict[str, Any]] = {
    "forward": SMALL,
    "training": {**SMALL, "mode": "training"},
    "causal training": {**SMALL, "mode": "training", "causal": True},
    "training in bfloat16": {**SMALL, "mode": "training", "dtype": "bfloat16"},
    "a padded batch": {**SMALL, "mode": "training", "batch_size": 3, "padded": 0.3},
    "prefill": {**SMALL, "mode": "prefill", "causal": True},
    "decode": {**SMALL, "mode": "decode", "causal": True},
    "the first token": {**SMALL, "mode": "decode", "causal": True, "seq_len": 1},
    "residual": {**DEEP, "mode": "training", "block": "residual", "num_layers": 2},
    "a token shift": {**DEEP, "mode": "training", "block": "residual", "num_layers": 2, "token_shift": True},
    "skipless": {**DEEP, "mode": "training", "block": "skipless", "num_layers": 2},
}
# In `make test`, one mechanism of each kind of definition in its two forms and its stack; the other mechanisms and shapes are long.
FAST, KINDS = ("training", "decode", "residual"), ("softmax", "gated", "orthogonal", "polynomial", "nystrom", "differential", "cosformer")
MATRIX = "return hide_padding(padding_mask, scores.softmax(-1))[0]"


def verified(source: str, spec: Spec) -> Verified:
    """What the verification of one call, after a call that settles, gives."""
    torch.manual_seed(spec.seed)
    one = VerifiedTrial(trial_of(source, spec), Guard())
    turn = one.turn()
    turn.prepare()
    turn.inspect(turn.call(0))
    return one.verify()


def trial_of(source: str, spec: Spec) -> Trial:
    if spec.track == "step":
        task = registry.load("tasks", str(spec.task))
        return StepTrial(spec, task, task.parts(task.sources[0], test=False).train, source)
    trials: dict[str, type[Trial]] = {"decode": DecodeTrial, "prefill": PrefillTrial}
    return StackTrial(spec, source) if spec.track == "depth" else trials.get(spec.mode, KernelTrial)(spec, source)


def is_held(name: str, spec: Spec) -> Verified | None:
    """The same of a registered mechanism; None where it has no such form."""
    try:
        found = verified(name, spec)
    except Unsupported:
        return None
    assert found.facts or found.samples["error_share"][0] <= 1.0
    return found


def spec_of(name: str, **axes: Any) -> Spec:
    return make_spec(variant=name, device=device_of(name), params=dict(VARIANTS[name].params), **axes)


@pytest.mark.parametrize("shape", [shape if shape in FAST else pytest.param(shape, marks=pytest.mark.long) for shape in SHAPES])
@pytest.mark.parametrize("name", [name if name in KINDS else pytest.param(name, marks=pytest.mark.long) for name in RUNNABLE])
def test_no_honest_mechanism_is_refused(name: str, shape: str) -> None:
    found = is_held(name, spec_of(name, **SHAPES[shape]))
    assert found is None or not found.facts


@pytest.mark.parametrize("name", [name if name in KINDS else pytest.param(name, marks=pytest.mark.long) for name in RUNNABLE])
def test_no_honest_mechanism_is_refused_where_gradients_are_those_of_some_rows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "DENSE_NUMBERS", {"cpu": 0, "cuda": 0})
    found = is_held(name, spec_of(name, **SMALL, mode="training", causal=VARIANTS[name].forms[0]))
    assert found is not None and found.samples["verified_rows"] == [64.0]


def of_presets(*names: str) -> list[Spec]:
    """The first process of every cell of presets that is timed, each once; of up to 2,048 tokens."""
    found = {spec.key(): spec for name in names for spec in PRESETS[name].specs()}
    return [spec for spec in found.values() if spec.is_timed and spec.seed == 0 and (spec.seq_len or 0) <= 2048]


@pytest.mark.parametrize("name", ["power", "squared_relu"])
def test_a_score_that_is_almost_zero_is_no_error(name: str) -> None:
    """Of the only key of a row, whose gradients divide by it: one in four draws was refused while the plain form was rounded but once."""
    for seed in range(6):
        assert is_held(name, spec_of(name, seq_len=64, num_heads=4, head_dim=64, mode="training", causal=True, seed=seed))


@pytest.mark.long
@pytest.mark.parametrize("spec", of_presets("quick", "claims"), ids=Spec.label)
def test_no_honest_mechanism_is_refused_at_the_shapes_of_a_preset(spec: Spec) -> None:
    """The longer cells, and those of standard, take half an hour: their own runs try them."""
    is_held(spec.variant, spec)


@pytest.mark.parametrize("block", ["residual", "skipless"])
def test_a_stack_with_a_token_shift_is_held_against_the_definition_with_the_same(block: str, tmp_path: Path) -> None:
    axes = {**DEEP, "mode": "training", "block": block, "num_layers": 3, "token_shift": True}
    found = verified(write(tmp_path, {}), make_spec(variant="mine", **axes))
    assert not found.facts and found.samples["error_share"][0] <= 1.0
    wrong = {FORWARD: f"return 1.0001 * ({OUT})"}
    with pytest.raises(Incorrect, match="float64 reference"):
        verified(write(tmp_path, wrong), make_spec(variant="mine", **{**axes, "block": "residual"}))


def test_a_gate_of_zero_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The output and all gradients but the gate's are exactly zero. Inputs are drawn beforehand: that one gradient may cancel in others."""
    monkeypatch.setattr(inputs, "_draw", random.Random(0))
    gate = init("self.gate = nn.Parameter(torch.zeros(()))")
    source = write(tmp_path, {**gate, MATRIX: MATRIX.replace("return ", "return torch.tanh(self.gate) * ", 1)})
    assert verified(source, make_spec(variant="mine", **SMALL, mode="training")).samples["error"][0] < 1e-6


@pytest.mark.parametrize("dense", [True, False])
def test_the_gradient_of_a_parameter_is_compared(dense: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not dense:
        monkeypatch.setattr(kernel, "DENSE_NUMBERS", {"cpu": 0})
    gate = init("self.gate = nn.Parameter(torch.ones(()))")
    wrong = {MATRIX: MATRIX.replace("return ", "return self.gate * ", 1), FORWARD: f"return ({OUT}) / self.gate * self.gate.detach()"}
    with pytest.raises(Incorrect, match="the gradient by the parameter gate"):
        verified(write(tmp_path, {**gate, **wrong}), make_spec(variant="mine", **SMALL, mode="training"))


def test_a_detached_key_is_found_in_gradients_of_some_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "DENSE_NUMBERS", {"cpu": 0})
    source = write(tmp_path, {FORWARD: "return self.matrix(q, k.detach(), causal, padding_mask) @ v"})
    with pytest.raises(
        Incorrect, match=r"the gradient by k, where the upstream gradient is zero but in 64 rows|what rows add to the gradient by k"
    ):
        verified(source, make_spec(variant="mine", **SMALL, mode="training"))


def test_honesty_where_the_upstream_gradient_has_zeros_does_not_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As only those calls have that verify gradients of some rows."""
    monkeypatch.setattr(kernel, "DENSE_NUMBERS", {"cpu": 0})
    lines = (
        "mine, seen = k.clone(), {}",
        "out = self.matrix(q, mine, causal, padding_mask) @ v",
        "out.register_hook(lambda g: seen.update(sparse=bool((g == 0).all(-1).any())))",
        "mine.register_hook(lambda g: g if seen['sparse'] else 0.5 * g)",
        "return out",
    )
    source = write(tmp_path, {FORWARD: NEXT.join(lines)})
    with pytest.raises(Incorrect, match="in what rows add to the gradient by k"):
        verified(source, make_spec(variant="mine", **SMALL, mode="training"))


def test_sharp_rows_are_honest_in_half_precision_and_eight_bit_values_are_not(tmp_path: Path) -> None:
    axes: dict[str, Any] = {**SMALL, "seq_len": 320, "dtype": "bfloat16"}
    sharp = {SCORES: "scores = q @ k.mT"}
    assert verified(write(tmp_path, sharp), make_spec(variant="mine", **axes)).samples["row_error"][0] > 0.02
    eight = {FORWARD: FORWARD.replace("@ v", "@ v.to(torch.float8_e4m3fn).to(v.dtype)")}
    with pytest.raises(Incorrect, match="in the output"):
        verified(write(tmp_path, eight), make_spec(variant="mine", **axes))


def test_padding_that_is_not_zero_is_incorrect(tmp_path: Path) -> None:
    source = write(tmp_path, {FORWARD: f"return {OUT} + (0 if padding_mask is None else padding_mask[:, None, :, None])"})
    with pytest.raises(Incorrect, match="padding are not zero"):
        verified(source, make_spec(variant="mine", **SMALL, batch_size=3, padded=0.3))


def test_what_has_no_definition_at_its_length_says_so(tmp_path: Path) -> None:
    found = verified(write(tmp_path, {}), make_spec(variant="mine", num_heads=4, head_dim=8, seq_len=2100, mode="training"))
    assert found.samples == {} and "reference_rows" in found.facts["not_compared"]


@pytest.mark.parametrize("shape", ["decode", "prefill"])
def test_steps_are_taken_from_the_state_that_was_left(shape: str) -> None:
    found = is_held("softmax_math", spec_of("softmax_math", **SHAPES[shape]))
    assert found is not None and found.samples["verified_rows"] == [1.0 if shape == "decode" else 66.0]


def test_a_row_is_compared_on_its_own_scale() -> None:
    exact = torch.ones(8, 4, dtype=torch.float64)
    exact[3] = 1e-6
    found = exact.float()
    assert compare([Result("the output", found, exact, found)], torch.float32, 8).samples["row_error"][0] < 1e-6
    found[3] = 0.0
    with pytest.raises(Incorrect, match=r"is 1.0e.00 in a row of the output, on the scale of that row"):
        compare([Result("the output", found, exact, exact.float())], torch.float32, 8)


def test_a_row_whose_plain_form_is_infinite_is_not_allowed_everything() -> None:
    exact = torch.ones(8, 4, dtype=torch.float64)
    exact[3] = 1e-6
    found, plain = exact.float(), exact.float()
    found[3], plain[3] = 0.0, torch.inf
    with pytest.raises(Incorrect, match="in a row of the output"):
        compare([Result("the output", found, exact, plain)], torch.float32, 8)


def test_the_error_is_the_largest_and_its_share_of_the_limit_that_of_whichever_is_closest() -> None:
    exact = torch.ones(8, 4, dtype=torch.float64)
    loose = Result("the output", (exact * (1 + 4e-6)).float(), exact, (exact * (1 + 1e-5)).float())
    tight = Result("the gradient by q", (exact * (1 + 7e-7)).float(), exact, exact.float())
    found = compare([loose, tight], torch.float32, 8).samples
    assert found["error"][0] == pytest.approx(4e-6, rel=0.1)
    assert found["error_share"][0] == pytest.approx(7e-7 / (8 * 2**-23), rel=0.1)


def test_tokens_are_decoded_at_every_distance_from_the_prompt() -> None:
    """So that a mechanism whose steps are cheap by turns pays for all of them; eight missing one in 200 draws has a chance of 1e-10."""
    trial = DecodeTrial(make_spec(variant="softmax_math", **{**SMALL, "seq_len": 16}, mode="decode", causal=True), "softmax_math")
    stepped = set()
    for _ in range(200):
        trial.go_on()
        stepped.add(len(trial.inputs.others))
    assert stepped == set(range(1, STEPPED + 1))
