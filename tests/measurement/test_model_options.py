"""Options of a model reach the stack of a depth cell and the model of a task, and softmax beside it has the same."""

from __future__ import annotations

from typing import Any

import pytest

from attnbench import registry
from attnbench.measurement.tracks import measure_cell
from attnbench.measurement.tracks.depth import StackTrial, architecture
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


@pytest.mark.long
def test_a_depth_cell_with_a_token_shift_is_measured_verified_and_diagnosed() -> None:
    found = measure_cell(deep(variant="softmax", token_shift=True), "softmax", None, lambda _: None).samples
    assert found["error_share"][0] <= 1.0 and found["jacobian_condition"] and found["attention_frobenius"]
