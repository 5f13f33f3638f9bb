"""Options of a model reach the stack of a depth cell and the model of a task, and softmax beside it has the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from attnbench import registry
from attnbench.measurement.tracks import measure_cell
from attnbench.measurement.tracks.architecture import architecture
from attnbench.measurement.tracks.depth import StackTrial
from attnbench.measurement.tracks.kernel import softmax_of
from attnbench.measurement.tracks.task import build_model
from attnbench.spec.axes import Spec
from attnbench.training.model import count_mechanism_parameters, count_parameters
from helpers.records import TASK, make_spec

SMALL: dict[str, Any] = {"num_heads": 2, "head_dim": 4, "num_layers": 2, "block": "residual"}
D_MODEL = 8


def deep(**axes: Any) -> Spec:
    return make_spec(**{"track": "depth", "seq_len": 8, "variant": "gated", **SMALL, **axes})


def test_a_token_shift_is_in_every_layer_and_in_those_of_softmax_beside_it() -> None:
    shifted, plain = (count_parameters(StackTrial(deep(token_shift=on), "gated").stack) for on in (True, False))
    assert shifted - plain == 2 * 3 * D_MODEL
    beside = softmax_of(deep(token_shift=True))
    assert beside.token_shift and architecture(beside, "softmax", 8).token_shift


def test_a_token_shift_is_a_part_of_a_tasks_model_and_not_of_its_mechanism() -> None:
    def model(**axes: Any) -> Any:
        spec = make_spec(**{**TASK, "task": "digits", **SMALL, "variant": "gated", **axes})
        return build_model(spec, registry.load("tasks", "digits"), "gated")

    shifted, plain = model(token_shift=True), model()
    assert count_parameters(shifted) - count_parameters(plain) == 2 * 3 * D_MODEL
    assert count_mechanism_parameters(shifted) == count_mechanism_parameters(plain)


@pytest.mark.parametrize("variant", ["softmax", "orthogonal", "value_skipinit"])
def test_a_norm_at_the_start_is_a_factor_on_w_q_and_w_k_after_the_mechanisms_own(variant: str) -> None:
    def weights(init_norm: float) -> list[dict[str, torch.Tensor]]:
        torch.manual_seed(0)
        stack = StackTrial(deep(variant=variant, init_norm=init_norm), variant).stack
        return [{name: x.detach() for name, x in block.attention.named_parameters()} for block in stack.blocks]

    for plain, scaled in zip(weights(1.0), weights(0.125), strict=True):
        assert plain.keys() == scaled.keys()
        for name, x in plain.items():
            assert torch.equal(scaled[name], x / 8 if name in ("w_q.weight", "w_k.weight") else x), name


def test_a_norm_at_the_start_is_that_of_a_tasks_model_too() -> None:
    def model(**axes: Any) -> Any:
        torch.manual_seed(0)
        return build_model(make_spec(**{**TASK, "task": "digits", **SMALL, **axes}), registry.load("tasks", "digits"), "softmax")

    layers = zip(model().stack.blocks, model(init_norm=4).stack.blocks, strict=True)
    assert all(torch.equal(4 * one.attention.w_k.weight, other.attention.w_k.weight) for one, other in layers)


@pytest.mark.long
def test_a_depth_cell_with_options_is_measured_verified_and_diagnosed() -> None:
    found = measure_cell(deep(variant="softmax", token_shift=True, init_norm=2.0), "softmax", None, lambda _: None).samples
    assert found["error_share"][0] <= 1.0 and found["jacobian_condition"] and found["attention_frobenius"]
