"""Floating-point operations against counts made by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from attnbench.attention import BadInput
from attnbench.kernels.count import count_flops, reported_flops, visible_pairs
from attnbench.measurement.flops import Flops, count, flops

BATCH, HEADS, SEQ_LEN, WIDTH = 2, 3, 17, 5
PAIRS = {False: SEQ_LEN * SEQ_LEN, True: SEQ_LEN * (SEQ_LEN + 1) // 2}
KERNELS = ("flash_attention", "efficient_attention", "cudnn_attention", "fused_attention_overrideable")


def heads(rows: int = SEQ_LEN, count: int = HEADS, **options: Any) -> Tensor:
    return torch.randn(BATCH, count, rows, WIDTH, **options)


def test_a_product_is_two_operations_for_each_of_its_terms() -> None:
    a, b = torch.randn(7, 11), torch.randn(11, 13)
    assert flops(lambda _: a @ b) == 2 * 7 * 11 * 13


@pytest.mark.parametrize("name", ["baddbmm_", "addmm_"])
def test_products_in_place_count_too(name: str) -> None:
    shapes = ((7, 13), (7, 11), (11, 13))
    total, a, b = (torch.randn(*((3,) if name == "baddbmm_" else ()), *shape) for shape in shapes)
    assert flops(lambda _: getattr(total, name)(a, b)) == 2 * 7 * 11 * 13 * (3 if name == "baddbmm_" else 1)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_two_products_over_the_pairs_that_are_seen(causal: bool) -> None:
    q, k, v = heads(), heads(), heads()
    counted = flops(lambda _: F.scaled_dot_product_attention(q, k, v, is_causal=causal))
    assert counted == 2 * 2 * BATCH * HEADS * PAIRS[causal] * WIDTH


@pytest.mark.parametrize("causal", [False, True])
def test_its_backward_is_five(causal: bool) -> None:
    q, k, v = (heads(requires_grad=True) for _ in range(3))
    counted = flops(lambda _: F.scaled_dot_product_attention(q, k, v, is_causal=causal).sum().backward())
    assert counted == (2 + 5) * 2 * BATCH * HEADS * PAIRS[causal] * WIDTH


@pytest.mark.parametrize(("queries", "keys", "pairs"), [(3, 5, 1 + 2 + 3), (5, 3, 1 + 2 + 3 + 3 + 3)])
def test_query_i_sees_keys_up_to_i_whatever_their_number(queries: int, keys: int, pairs: int) -> None:
    q, k, v = heads(queries), heads(keys), heads(keys)
    assert visible_pairs(queries, keys, True) == pairs == int(torch.ones(queries, keys).tril().sum())
    assert flops(lambda _: F.scaled_dot_product_attention(q, k, v, is_causal=True)) == 2 * 2 * BATCH * HEADS * pairs * WIDTH


def on_a_gpu_that_is_not_here(kernel: str, causal: bool) -> tuple[Callable[[int], object], Callable[[int], object]]:
    """A CUDA kernel's forward and backward on tensors without data; backward's arguments are forward's results of the same name."""
    operation = getattr(torch.ops.aten, f"_scaled_dot_product_{kernel}").default
    backward = getattr(torch.ops.aten, f"_scaled_dot_product_{kernel}_backward").default
    x = heads(device="meta", dtype=torch.bfloat16)
    given = {"query": x, "key": x, "value": x, "is_causal": causal, "attn_bias": None, "compute_log_sumexp": True}
    forward_arguments = {a.name: given[a.name] for a in operation._schema.arguments if a.name in given}
    saved = {**given, **dict.fromkeys(("grad_out", "grad_out_", "out"), x), "dropout_p": 0.0, "max_q": SEQ_LEN, "max_k": SEQ_LEN}
    saved |= {"logsumexp": heads(device="meta")[..., 0], "grad_input_mask": [True] * 4}
    backward_arguments = [
        saved.get(a.name, torch.empty(0, device="meta")) for a in backward._schema.arguments if not a.kwarg_only
    ]  # fmt: skip
    return (lambda _: operation(**forward_arguments)), (lambda _: backward(*backward_arguments))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("causal", [False, True])
def test_the_kernels_of_cuda_honour_causal(kernel: str, causal: bool) -> None:
    forward, backward = on_a_gpu_that_is_not_here(kernel, causal)
    product = 2 * BATCH * HEADS * PAIRS[causal] * WIDTH
    assert flops(forward) == 2 * product
    assert flops(backward) == 5 * product


def test_torchs_own_counter_agrees_where_nothing_is_hidden() -> None:
    forward, backward = on_a_gpu_that_is_not_here("flash_attention", causal=False)
    with FlopCounterMode(display=False) as counter:
        forward(0)
        backward(0)
    assert flops(forward) + flops(backward) == counter.get_total_flops()


class Reporting(torch.autograd.Function):
    """Doubles, outside of torch as far as its counter can see, and says how much work that was."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        count_flops(x.numel())
        return torch.from_numpy(x.detach().numpy() * 2)

    @staticmethod
    def backward(ctx: Any, d_out: Tensor) -> Tensor:
        count_flops(3 * d_out.numel())
        return 2 * d_out


def test_a_kernel_of_ones_own_reports_forward_and_backward() -> None:
    x, a = torch.randn(7, 11, requires_grad=True), torch.randn(11, 13)
    forward = 7 * 11 + 2 * 7 * 11 * 13
    assert flops(lambda _: Reporting.apply(x) @ a) == forward
    assert flops(lambda _: (Reporting.apply(x) @ a).sum().backward()) == forward + 3 * 7 * 11 + 2 * 7 * 11 * 13


def test_what_a_backward_pass_computes_anew_is_executed_and_no_work() -> None:
    """A product of the forward pass, once more in the backward pass, and the two products of its gradients."""
    x, a = torch.randn(7, 11, requires_grad=True), torch.randn(11, 13, requires_grad=True)
    product = 2 * 7 * 11 * 13
    plain, again = (count(lambda _, f=f: f(x, a).sum().backward()) for f in (lambda x, a: (x @ a).sin(), _checkpointed))
    assert plain == Flops(executed=3 * product, forward=product)
    assert again == Flops(executed=4 * product, forward=product)
    assert again.algorithmic("training") == plain.algorithmic("training") == 3 * product


def test_a_backward_pass_that_needs_less_than_twice_its_forward_pass_counts_as_what_ran() -> None:
    """Ten products with the derivative of the last alone, as of an iteration that converges: eleven, not three times ten."""
    x, a = torch.randn(13, 13, requires_grad=True), torch.randn(13, 13)

    def call(_: int) -> None:
        with torch.no_grad():
            for _ in range(9):
                x @ a
        (x @ a).sum().backward()

    counted = count(call)
    assert counted.executed == 11 * 2 * 13**3
    assert counted.algorithmic("training") == counted.executed


def _checkpointed(x: Tensor, a: Tensor) -> Any:
    return checkpoint(lambda x, a: (x @ a).sin(), x, a, use_reentrant=False)


@pytest.mark.parametrize("causal", [False, True])
def test_training_of_fused_attention_needs_six_products_and_executes_seven(causal: bool) -> None:
    q, k, v = (heads(requires_grad=True) for _ in range(3))
    counted = count(lambda _: F.scaled_dot_product_attention(q, k, v, is_causal=causal).sum().backward())
    product = 2 * BATCH * HEADS * PAIRS[causal] * WIDTH
    assert counted.executed == 7 * product
    assert counted.algorithmic("training") == 6 * product


def test_what_kernels_report_inside_a_backward_pass_is_told_apart() -> None:
    x = torch.randn(7, 11, requires_grad=True)
    assert count(lambda _: Reporting.apply(x).sum().backward()) == Flops(executed=4 * 77, forward=77)


@pytest.mark.parametrize("mode", ["forward", "prefill", "decode"])
def test_without_training_what_runs_is_what_is_needed(mode: str) -> None:
    """Also where a mechanism descends a gradient inside its forward pass."""
    x, a = torch.randn(7, 11, requires_grad=True), torch.randn(11, 13)
    counted = count(lambda _: torch.autograd.grad((x @ a).sum(), x))
    assert counted.algorithmic(mode) == counted.executed == 2 * 2 * 7 * 11 * 13


def test_reports_of_other_threads_count() -> None:
    """As of autograd's threads on CUDA, which inherit no context."""

    def call(_: int) -> None:
        thread = threading.Thread(target=count_flops, args=(1.5,))
        thread.start()
        thread.join()

    assert flops(call) == 1.5


def test_nothing_is_kept_between_counts() -> None:
    def failing(_: int) -> None:
        count_flops(7)
        raise ValueError("in the middle")

    count_flops(3)
    with pytest.raises(ValueError, match="in the middle"):
        flops(failing)
    count_flops(5)
    assert flops(lambda _: None) == 0


def test_counts_may_nest() -> None:
    with reported_flops() as outer:
        count_flops(1)
        assert flops(lambda _: count_flops(2)) == 2
        count_flops(3)
    assert outer == [1, 2, 3]


@pytest.mark.parametrize("n", [-1.0, float("nan"), float("inf")])
def test_a_number_that_is_no_count_is_refused(n: float) -> None:
    with pytest.raises(BadInput, match=r"was given .*0 or more"):
        count_flops(n)
