"""The Triton kernels of polynomial attention, run on the CPU by Triton's interpreter.

Not collected by itself: Triton reads TRITON_INTERPRET when it is imported, so that test_triton_polynomial.py runs this file in a process
of its own. By hand: TRITON_INTERPRET=1 pytest tests/kernels/triton_interpreted.py

The interpreter has no bfloat16: it keeps the bits as integers, and tl.dot multiplies those (triton-lang/triton#11584). The fixture below
widens them. Rounding to bfloat16 is still towards zero there, and to nearest on a GPU.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.runtime import interpreter

from attnbench.attention import BadInput
from attnbench.kernels.triton import launch
from attnbench.kernels.triton.blocks import Blocks
from attnbench.kernels.triton.polynomial import polynomial_attention, runs_on
from attnbench.measurement.flops import flops
from helpers.polynomial_definition import assert_close_to_definition, draw, draw_scale, plain, with_gradients

BATCH, HEADS = 2, 3
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
BLOCKS = (Blocks(32, 16, 4, 1), Blocks(16, 32, 4, 1), Blocks(32, 32, 4, 1))


@pytest.fixture(autouse=True, scope="module")
def bfloat16_products() -> Iterator[None]:
    original = interpreter.InterpreterBuilder.create_dot

    def widened(handle: Any) -> Any:
        if handle.dtype.scalar != tl.bfloat16:
            return handle
        return interpreter.TensorHandle((handle.data.astype(np.uint32) << 16).view(np.float32), tl.float32)

    def create_dot(self: Any, a: Any, b: Any, *rest: Any) -> Any:
        return original(self, widened(a), widened(b), *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interpreter.InterpreterBuilder, "create_dot", create_dot)
        yield


LENGTHS, HEAD_DIMS, POWERS = (1, 17, 63, 97), (5, 16, 64), ((3,), (2,), (3, 1), (1,), (7, 2))
KINDS = ("number", "sequence", "row")
# For every length, dtype and causal or not, in this order, the places of head_dim, powers, kind and blocks: any two values of any two axes
# meet in some case, which a test below holds.
PLACES = (
    "0321", "1411", "2310", "0000", "2120", "1222", "2112", "1401", "2210", "1322", "2221", "0022",
    "1011", "0202", "2421", "1420", "0111", "1301", "2000", "2111", "0222", "1102", "0402", "1310",
)  # fmt: skip


def cases() -> list[tuple[Any, ...]]:
    """seq_len, dtype, causal, head_dim, powers, kind of scale and blocks of every case."""
    axes = (HEAD_DIMS, POWERS, KINDS, BLOCKS)
    fixed = product(LENGTHS, DTYPES, (False, True))
    return [
        (*first, *(axis[int(place)] for axis, place in zip(axes, places, strict=True))) for first, places in zip(fixed, PLACES, strict=True)
    ]


def test_any_two_values_meet_in_some_case() -> None:
    axes = (LENGTHS, DTYPES, (False, True), HEAD_DIMS, POWERS, KINDS, BLOCKS)
    for i, j in combinations(range(len(axes)), 2):
        assert {(case[i], case[j]) for case in cases()} == set(product(axes[i], axes[j]))


def run(inputs: tuple[Tensor, ...], powers: tuple[int, ...], scale: Tensor | float, causal: bool, blocks: Blocks) -> tuple[Tensor, ...]:
    """out, d_q, d_k and d_v from the kernels themselves, with blocks so small that every loop turns."""
    q, k, v, d_out = inputs
    row_scale, factor = (scale.float().expand(len(q), 1, -1, 1), 1.0) if isinstance(scale, Tensor) else (None, scale)
    given = (q, k, v, row_scale, factor, tuple(sorted(powers)), causal)
    out, *gradients = (torch.empty_like(x) for x in (q, q, k, v))
    launch.forward(*given, out, blocks=blocks)
    launch.backward(*given, d_out, *gradients, blocks=blocks)
    return (out, *gradients)


@pytest.mark.parametrize(("seq_len", "dtype", "causal", "head_dim", "powers", "kind", "blocks"), cases(), ids=str)
def test_the_kernels_are_the_definition(
    seq_len: int, dtype: torch.dtype, causal: bool, head_dim: int, powers: tuple[int, ...], kind: str, blocks: Blocks
) -> None:
    if seq_len > 17:
        blocks = blocks._replace(queries=2 * blocks.queries, keys=2 * blocks.keys)  # the interpreter is slow
    drawn = draw(BATCH, HEADS if seq_len == 1 else 1, seq_len, head_dim, dtype=dtype)
    inputs = tuple(0.6 * x for x in drawn)  # x^7 stays in the range of float16
    scale = draw_scale(kind, BATCH, seq_len)
    assert_close_to_definition(run(inputs, powers, scale, causal, blocks), inputs, powers, scale, causal)


def poisoned(shape: tuple[int, ...], stride: tuple[int, ...], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """A storage full of NaN, and a view of such shape and stride well inside it."""
    storage = torch.full((sum((n - 1) * s for n, s in zip(shape, stride, strict=True)) + 201,), math.nan, dtype=dtype)
    return storage, storage.as_strided(shape, stride, 100)


@pytest.mark.parametrize(("dtype", "causal"), [(torch.float32, True), (torch.float16, False)], ids=str)
def test_nothing_outside_is_read_or_written(dtype: torch.dtype, causal: bool) -> None:
    """Every tensor is a view with gaps in a storage of NaN: what is read from a gap spoils a result, what is written there shows."""
    shape = (BATCH, HEADS, 17, 5)
    stride = (1013, 331, 19, 2)  # rows and numbers apart, and no axis contiguous
    inputs = draw(*shape, dtype=dtype)
    views = [poisoned(shape, stride, dtype)[1].copy_(x) for x in inputs]
    outputs = [poisoned(shape, stride, dtype) for _ in range(4)]
    given = (*views[:3], None, 0.3, (3,), causal)
    blocks = Blocks(16, 32, 4, 1)
    launch.forward(*given, outputs[0][1], blocks=blocks)
    launch.backward(*given, views[3], *(view for _, view in outputs[1:]), blocks=blocks)
    for (storage, view), wanted in zip(outputs, run(inputs, (3,), 0.3, causal, blocks), strict=True):
        assert torch.equal(view, wanted)
        assert int(storage.isnan().sum()) == storage.numel() - view.numel()


def test_the_views_of_a_model_and_expanded_tensors() -> None:
    q, k, _, _ = draw(BATCH, 17, HEADS, 16, dtype=torch.float32)
    k_rows, v, d_out = k[:1].transpose(1, 2), torch.randn(1, 1, 17, 1), torch.ones(())
    views = (q.transpose(1, 2), *(x.expand(BATCH, HEADS, 17, 16) for x in (k_rows, v, d_out)))
    results = with_gradients(polynomial_attention, *views, (3, 1), 0.3, True)
    for result, wanted in zip(results, run(tuple(x.contiguous() for x in views), (3, 1), 0.3, True, Blocks(64, 64, 4, 3)), strict=True):
        torch.testing.assert_close(result, wanted)
    assert results[0].stride() == views[0].stride()  # so that the model's own transpose back copies nothing


@pytest.mark.parametrize("kind", ["number", "sequence", "row"])
def test_float16_weights_beyond_its_range_are_scaled_first(kind: str) -> None:
    """phi(20) = 3.2e6, where float16 ends at 65,504; scaled to 3,200 it fits."""
    q, k, v, d_out = (x / x.norm(dim=-1, keepdim=True) for x in draw(BATCH, 1, 17, 16, dtype=torch.float32))
    inputs = tuple(x.half() for x in (q * 12, k * 12, v, d_out / 16))
    scale = {"number": 1e-3, "sequence": torch.full((BATCH, 1, 1, 1), 1e-3), "row": torch.full((1, 1, 17, 1), 1e-3)}[kind]
    assert float((inputs[0].double() @ inputs[1].double().mT / 4).abs().max()) ** 3 > 1.5e4
    results = run(inputs, (4, 3), scale, False, BLOCKS[0])
    exact = with_gradients(plain, *(x.double() for x in inputs), (4, 3), scale, False)
    for result, wanted in zip(results, exact, strict=True):
        assert float((result.double() - wanted).norm() / wanted.norm()) < 2e-3


def test_a_high_power_stays_in_the_range_of_float32() -> None:
    """q.k = 24 at d = 64: (24 / 8)^30 = 2e14 is in it, and 24^30 = 2.5e41 is not."""
    q, _, v, d_out = draw(1, 1, 17, 64, dtype=torch.float32)
    q = q / q.norm(dim=-1, keepdim=True)
    inputs = (q, 24 * q, v, d_out)
    assert_close_to_definition(run(inputs, (30,), 1e-6, False, BLOCKS[0]), inputs, (30,), 1e-6, False)


def test_the_operation_is_registered_in_full() -> None:
    """Schema, gradients, shapes and strides without data, and torch.compile's tracing, as torch checks them."""
    inputs = tuple(x.transpose(1, 2).requires_grad_() for x in draw(1, 7, 2, 5, dtype=torch.float32)[:3])
    torch.library.opcheck(torch.ops.attnbench.polynomial_attention.default, (*inputs, torch.rand(1, 1, 7, 1), 0.5, [1, 3], True))


def test_it_compiles_whole() -> None:
    inputs = draw(BATCH, 1, 17, 16, dtype=torch.float32)
    rest = ((3,), draw_scale("row", BATCH, 17), True)
    bare = inspect.unwrap(polynomial_attention)  # torch cannot trace the tests' type checker
    compiled = torch.compile(bare, backend="aot_eager", fullgraph=True)
    for result, wanted in zip(with_gradients(compiled, *inputs, *rest), run(inputs, *rest, Blocks(32, 32, 4, 2)), strict=True):
        torch.testing.assert_close(result, wanted)


@pytest.mark.parametrize("causal", [False, True])
def test_its_operations_are_counted(causal: bool) -> None:
    inputs = draw(BATCH, 1, 17, 5, dtype=torch.float32)
    counted = flops(lambda _: with_gradients(polynomial_attention, *inputs, (3,), 1.0, causal))
    pairs = 17 * 18 // 2 if causal else 17 * 17
    assert counted == (2 + 7) * 2 * BATCH * pairs * 5  # two products forward, seven backward


def test_what_is_saved_for_backward_is_the_inputs() -> None:
    q, k, v, _ = (x.requires_grad_() for x in draw(1, 2, 63, 16, dtype=torch.float32))
    saved: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x) or x, lambda x: x):
        polynomial_attention(q, k, v, (3,), torch.rand(1, 1, 63, 1), True)
    assert sum(x.numel() for x in saved) == 3 * q.numel() + 63


def test_an_empty_batch_has_an_empty_result() -> None:
    results = with_gradients(polynomial_attention, *draw(0, HEADS, 17, 5, dtype=torch.float32), (3,), 1.0, True)
    assert all(result.shape == (0, HEADS, 17, 5) for result in results)


def test_powers_come_in_any_order_and_more_than_once() -> None:
    inputs = draw(1, 1, 17, 5, dtype=torch.float32)
    results = with_gradients(polynomial_attention, *inputs, (3, 1, 3), 1.0, False)
    assert_close_to_definition(results, inputs, (3, 1, 3), 1.0, False)


def test_bad_input_is_refused_with_what_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    q = torch.randn(2, 1, 7, 5)
    assert not runs_on(q)
    with pytest.raises(BadInput, match=r"torch.float64.*take float32, float16 or bfloat16.*tiled form"):
        polynomial_attention(q.double(), q.double(), q.double(), (3,), 1.0, False)
    with pytest.raises(BadInput, match=r"torch.float32 \[2, 1, 7, 5\], torch.float16.*one dtype and one shape"):
        polynomial_attention(q, q.half(), q, (3,), 1.0, False)
    with pytest.raises(BadInput, match=r"\[2, 1, 6, 5\].*one dtype and one shape"):
        inspect.unwrap(polynomial_attention)(q, q[:, :, :6], q, (3,), 1.0, False)  # the tests' type checker would refuse it first
    with pytest.raises(BadInput, match=r"257\].*at most 256"):
        polynomial_attention(*(torch.randn(1, 1, 2, 257),) * 3, (3,), 1.0, False)
    for shape in ([2, 1, 6, 1], [2, 1, 7], [2, 3, 7, 1]):
        with pytest.raises(BadInput, match=r"row_scale has shape.*\[2 or 1, 1, 7 or 1, 1\]"):
            polynomial_attention(q, q, q, (3,), torch.ones(shape), False)
    monkeypatch.setattr(triton.knobs.runtime, "interpret", False)
    with pytest.raises(BadInput, match=r"need tensors on CUDA, and q is on cpu"):
        polynomial_attention(q, q, q, (3,), 1.0, False)
