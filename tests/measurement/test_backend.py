"""The kernel that softmax uses is the one that is recorded: held against what torch's profiler sees it run."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile

from attnbench import registry
from attnbench.errors import BadInput, Incorrect
from attnbench.measurement import backend
from attnbench.measurement.guard import Guard
from attnbench.measurement.prefill import prefilled
from attnbench.measurement.tracks import measure_cell
from attnbench.registry import process_settings
from attnbench.spec.axes import Spec
from helpers.mechanisms import make
from helpers.records import make_spec

OPERATIONS = {
    "aten::_scaled_dot_product_flash_attention": "flash",
    "aten::_scaled_dot_product_flash_attention_for_cpu": "flash",
    "aten::_scaled_dot_product_efficient_attention": "efficient",
    "aten::_scaled_dot_product_cudnn_attention": "cudnn",
    "aten::_scaled_dot_product_attention_math": "math",
}
DTYPES = ("float64", "float32", "bfloat16", "float16")
CELLS: list[dict[str, Any]] = [
    *({"dtype": dtype, "causal": causal, "mode": mode} for dtype in DTYPES for causal in (False, True) for mode in ("forward", "training")),
    {"causal": True, "mode": "decode"},
    {"causal": True, "mode": "prefill"},
    *({"causal": causal, "padded": 0.3, "batch_size": 3} for causal in (False, True)),
    *({"num_kv_heads": 1, "causal": True, "mode": mode} for mode in ("forward", "training", "decode")),
    {"num_kv_heads": 1, "padded": 0.3, "batch_size": 3},
]


def cell(**axes: Any) -> Spec:
    return make_spec(**{"variant": "softmax", "seq_len": 19, "num_heads": 2, "head_dim": 8, **axes})


def seen(spec: Spec) -> set[str]:
    """The kernels that run when the module softmax is called as in the cell."""
    module, dtype = make("softmax").to(getattr(torch, spec.dtype)), getattr(torch, spec.dtype)
    training = spec.mode == "training"
    heads = (spec.num_heads, spec.kv_heads, spec.kv_heads)
    q, k, v = (torch.randn(spec.batch_size, of, 19, 8, dtype=dtype, requires_grad=training) for of in heads)
    lengths = torch.tensor(spec.lengths())
    mask = torch.arange(19) >= lengths[:, None] if spec.padded else None
    state = prefilled(module, *(x[:, :, :18] for x in (q, k, v))) if spec.mode == "decode" else None
    step: Any = module.step
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        if spec.mode == "decode":
            step(*(x[:, :, 18:] for x in (q, k, v)), state)
        else:
            module(q, k, v, causal=spec.causal, padding_mask=mask)
    return {OPERATIONS[event.key] for event in profiled.key_averages() if event.key in OPERATIONS}


@pytest.mark.parametrize("forced", [None, SDPBackend.MATH], ids=["torch's choice", "math alone"])
@pytest.mark.parametrize("axes", CELLS, ids=str)
def test_the_recorded_kernel_is_the_one_that_runs(axes: dict[str, Any], forced: SDPBackend | None) -> None:
    spec = cell(**axes)
    with sdpa_kernel(forced or [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]):
        kernel = backend.hold(spec)
        assert seen(spec) == {kernel}
        assert forced is None or kernel == "math"


def test_holding_it_is_no_change_that_the_guard_would_lay_on_a_mechanism() -> None:
    backend.hold(cell())
    settings = process_settings.values()
    guard = Guard()
    backend.hold(cell(dtype="bfloat16", causal=True))
    assert not process_settings.changes(settings)
    guard.check_seal()


def test_another_kernel_afterwards_is_refused() -> None:
    spec, softmax = cell(), registry.load("variants", "softmax")
    kernel = backend.hold(spec)
    assert backend.facts(spec, kernel, softmax) == {"softmax_backend": kernel, "implementation": "tuned"}
    with sdpa_kernel(SDPBackend.MATH), pytest.raises(Incorrect, match=f"{kernel} kernel before .* math afterwards"):
        backend.facts(spec, kernel, softmax)


def test_no_kernel_at_all_is_said() -> None:
    with (
        sdpa_kernel(SDPBackend.CUDNN_ATTENTION),
        pytest.raises(BadInput, match=r"no kernel switched on for softmax attention of \[1, 2, 19, 8\]"),
    ):
        backend.hold(cell())


@pytest.mark.parametrize(
    ("axes", "implementation"),
    [
        ({"variant": "softmax"}, "tuned"),
        ({"variant": "linear_elu", "causal": True}, "reference"),
        ({"variant": "differential", "causal": True, "mode": "decode"}, None),  # its step is another code than its forward pass
        ({"variant": "gated", "track": "depth", "mode": "training", "num_layers": 1, "block": "residual"}, "tuned"),
    ],
)
def test_a_cell_says_whose_code_ran(axes: dict[str, Any], implementation: str | None) -> None:
    spec = cell(**axes)
    facts = measure_cell(spec, spec.variant, None, lambda _: None).facts
    assert facts["softmax_backend"] == backend.hold(spec)
    assert facts.get("implementation") == implementation
