"""The chunked delta rule: chunks and spans against the recurrence, gradients, decays, lengths of zero, mixed precision, memory and vmap."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from attnbench.kernels import delta_rule as kernel
from attnbench.kernels.delta_rule import CHUNK, Cutting, delta_rule, delta_rule_state
from attnbench.measurement.memory import peak_memory_bytes
from helpers.delta_recurrence import recurrence

BATCH, HEADS, HEAD_DIM, VALUE_DIM = 2, 3, 5, 7
LENGTHS = (1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5)
Arguments = list[Tensor]


def draw(seq_len: int, gated: bool, strength: float = 1.0) -> Arguments:
    """q, k, v, beta and perhaps logarithmic decays."""
    generator = torch.Generator().manual_seed(seq_len)
    q, k = torch.randn(2, BATCH, HEADS, seq_len, HEAD_DIM, dtype=torch.float64, generator=generator)
    v = torch.randn(BATCH, HEADS, seq_len, VALUE_DIM, dtype=torch.float64, generator=generator)
    beta, decay = torch.rand(2, BATCH, HEADS, seq_len, dtype=torch.float64, generator=generator)
    return [q, k, v, beta, *([-strength * decay] if gated else [])]


def with_gradients(form: Callable[..., Tensor], given: Arguments) -> Arguments:
    leaves = [x.clone().requires_grad_() for x in given]
    out = form(*leaves)
    upstream = torch.randn(out.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(out.dtype)
    return [out.detach(), *torch.autograd.grad(out, leaves, upstream)]


def check_equal(found: Arguments, wanted: Arguments) -> None:
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("seq_len", LENGTHS)
@pytest.mark.parametrize("gated", [False, True])
def test_it_is_the_recurrence_and_so_are_its_gradients(gated: bool, seq_len: int) -> None:
    given = draw(seq_len, gated)
    check_equal(with_gradients(delta_rule, given), with_gradients(recurrence, given))


@pytest.mark.parametrize("gated", [False, True])
def test_spans_of_any_length_give_the_same(gated: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """One span of all chunks, as in the test above, and spans of one and two chunks, the last with fewer."""
    given = draw(4 * CHUNK + 9, gated)
    assert len(Cutting.of(given[1]).spans) == 1
    whole, state = with_gradients(delta_rule, given), delta_rule_state(*given[1:])
    for chunks, spans in ((1, 5), (2, 3)):
        monkeypatch.setitem(kernel.SPAN_NUMBERS, "cpu", chunks * CHUNK * BATCH * HEADS * HEAD_DIM)
        assert len(Cutting.of(given[1]).spans) == spans
        check_equal([*with_gradients(delta_rule, given), delta_rule_state(*given[1:])], [*whole, state])


@pytest.mark.parametrize("gated", [False, True])
def test_the_state_answers_the_next_query(gated: bool) -> None:
    q, *given = draw(2 * CHUNK + 3, gated)
    wanted = recurrence(q, *given)[:, :, -1:]
    unit = q[:, :, -1:] / (q[:, :, -1:].square().sum(-1, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(unit @ delta_rule_state(*given) * HEAD_DIM**-0.5, wanted, rtol=1e-10, atol=1e-12)


def test_a_decay_of_nothing_is_no_decay() -> None:
    *given, log_decay = draw(2 * CHUNK, gated=True)
    check_equal(with_gradients(delta_rule, given), with_gradients(lambda *x: delta_rule(*x, 0.0 * log_decay), given))


def test_a_weak_decay_after_strong_ones_keeps_its_digits() -> None:
    """Sums of decays that differ by little among sums of thousands: in float32 such a difference would be wrong by 1e-4."""
    seq_len = 70
    given = draw(seq_len, gated=True)
    given[-1] = torch.where(torch.arange(seq_len) % 7 == 0, 3e3 * given[-1], 1e-2 * given[-1])
    found, wanted = with_gradients(delta_rule, [x.float() for x in given]), with_gradients(recurrence, given)
    for one, other in zip(found, wanted, strict=True):
        assert float((one - other).norm() / other.norm()) < 1e-6


@pytest.mark.parametrize("strength", [1e2, 1e5, 1e30])
def test_strong_decays_leave_each_token_alone(strength: float) -> None:
    given = [x.float() for x in draw(70, gated=True, strength=strength)]
    given[-1] -= strength
    found = with_gradients(delta_rule, given)
    assert all(x.isfinite().all() for x in found)
    q, k, v, beta = (x.double() for x in given[:4])
    unit_q, unit_k = (x / (x.square().sum(-1, keepdim=True) + 1e-6).sqrt() for x in (q, k))
    alone = (unit_q * unit_k).sum(-1, keepdim=True) * beta[..., None] * v * HEAD_DIM**-0.5
    torch.testing.assert_close(found[0].double(), alone, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("gated", [False, True])
def test_a_token_without_weight_changes_nothing(gated: bool) -> None:
    """k, beta and decay of zero, as padding has; its gradients are zero, but for those of its query and key."""
    given, at = draw(CHUNK + 9, gated), [3, CHUNK + 2]
    rest = [i for i in range(CHUNK + 9) if i not in at]
    for x in (*given[1:2], *given[3:]):
        x[:, :, at] = 0.0
    found, wanted = with_gradients(delta_rule, given), delta_rule(*(x[:, :, rest] for x in given))
    torch.testing.assert_close(found[0][:, :, rest], wanted, rtol=1e-10, atol=1e-12)
    assert not found[3][:, :, at].any() and not found[4][:, :, at].any()


def test_zero_rows_and_beta_have_finite_gradients() -> None:
    given = [torch.zeros_like(x) for x in draw(40, gated=True)]
    assert all(x.isfinite().all() for x in with_gradients(delta_rule, given))


def test_autograd_checks_it() -> None:
    given = [x[:1, :1].clone().requires_grad_() for x in draw(CHUNK + 1, gated=True)]
    assert torch.autograd.gradcheck(delta_rule, given, fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_worked_in_float32(dtype: torch.dtype) -> None:
    given = draw(70, gated=True)
    q, k, v = (x.to(dtype) for x in given[:3])
    gates = [x.float() for x in given[3:]]
    found, wanted = with_gradients(delta_rule, [q, k, v, *gates]), with_gradients(delta_rule, [q.float(), k.float(), v.float(), *gates])
    assert [x.dtype for x in found] == [dtype] * 4 + [torch.float32] * 2
    for one, other in zip(found, wanted, strict=True):
        assert float((one.float() - other).norm() / other.norm()) < 2 * torch.finfo(dtype).eps
    assert delta_rule_state(k, v, *gates).dtype == torch.float32


def test_autocast_changes_nothing() -> None:
    given = [x.float() for x in draw(70, gated=True)]
    wanted = with_gradients(delta_rule, given)
    with torch.autocast("cpu", torch.bfloat16):
        found = with_gradients(delta_rule, given)
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize("gated", [False, True])
def test_vmap_is_a_loop(gated: bool) -> None:
    several = [torch.stack([x, 2.0 * x, 0.5 * x]) for x in draw(CHUNK + 3, gated)]
    found = torch.func.vmap(lambda q, *rest: delta_rule(q, *rest))(*several)
    torch.testing.assert_close(found, torch.stack([delta_rule(*(x[i] for x in several)) for i in range(3)]), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("gated", [False, True])
def test_memory_is_linear_and_small(gated: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the gradients, which are as large as the inputs, training keeps an output and a state for each span."""
    monkeypatch.setitem(kernel.SPAN_NUMBERS, "cpu", 8 * CHUNK * BATCH * HEADS * HEAD_DIM)
    peaks = []
    for seq_len in (2048, 4096):
        given = [x.float() for x in draw(seq_len, gated)]
        with_gradients(delta_rule, given)
        peaks.append(peak_memory_bytes(lambda _, given=given: with_gradients(delta_rule, given), "cpu"))
        copies = 2 * sum(x.nbytes for x in given) + 3 * given[2].nbytes  # leaves and gradients; the output and twice the upstream gradient
    assert 0 < peaks[1] < 2.05 * peaks[0]
    assert peaks[1] < 1.5 * copies
