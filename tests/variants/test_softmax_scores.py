"""ssmax, l2 and xsa: softmax with other scores, or without a token's own value, by torch's fused kernel."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor

import attnbench
from attnbench.measurement.memory import peak_memory_bytes
from helpers.dense_softmax import check_is_dense, scores_of, softmax_of
from helpers.mechanisms import Inputs, attend, backward, draw, leaves, make, relative_error
from helpers.planted_faults import finding, plant

names = pytest.mark.parametrize("name", ["ssmax", "l2", "xsa"])
causal_or_not = pytest.mark.parametrize("causal", [False, True])


def ssmax(module: Any, q: Tensor, k: Tensor, v: Tensor, visible: Tensor) -> Tensor:
    keys = visible.sum(-1).clamp(min=2).double()[:, None, :, None]
    return softmax_of(module.scale[:, None, None] * keys.log() * scores_of(q, k), visible) @ v


def l2(module: Any, q: Tensor, k: Tensor, v: Tensor, visible: Tensor) -> Tensor:
    distances = (q[..., :, None, :] - k[..., None, :, :]).square().sum(-1)
    return softmax_of(-distances / math.sqrt(q.shape[-1]), visible) @ v


def xsa(module: Any, q: Tensor, k: Tensor, v: Tensor, visible: Tensor) -> Tensor:
    y, direction = softmax_of(scores_of(q, k), visible) @ v, torch.nn.functional.normalize(v, dim=-1)
    return y - (y * direction).sum(-1, keepdim=True) * direction


DEFINITIONS = {dense.__name__: dense for dense in (ssmax, l2, xsa)}


@pytest.mark.parametrize("padded", [False, True])
@causal_or_not
@names
def test_output_is_the_dense_definition(name: str, causal: bool, padded: bool) -> None:
    check_is_dense(name, DEFINITIONS[name], causal, padded)


@pytest.mark.parametrize("seq_len", [1, 63, 100])
@causal_or_not
@names
def test_odd_lengths(name: str, causal: bool, seq_len: int) -> None:
    check_is_dense(name, DEFINITIONS[name], causal, False, seq_len)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@names
def test_no_attention_matrix_is_kept(name: str, dtype: torch.dtype, training: bool) -> None:
    """The kernel is fused: all that is allocated together is less than half of one seq_len x seq_len matrix."""
    seq_len = 2048
    module = attnbench.build(name, 2, 8, seq_len=seq_len).to(dtype)
    q, k, v = (torch.randn(1, 2, seq_len, 8, dtype=dtype, requires_grad=training) for _ in range(3))

    def call(_: int) -> Tensor:
        out: Tensor = module(q, k, v, causal=True)
        if training:
            torch.autograd.grad(out.sum(), (q, k, v))
        return out

    call(0)
    assert 0 < peak_memory_bytes(call, "cpu") < seq_len * seq_len * 4 / 2


@pytest.mark.parametrize(("seq_len", "keys"), [(100, 100), (None, 512), (1, 2)])
def test_ssmax_starts_as_softmax_for_a_row_that_sees_all(seq_len: int | None, keys: int) -> None:
    module = attnbench.build("ssmax", 3, 5, seq_len=seq_len)
    torch.testing.assert_close(module.scale.detach(), torch.full((3,), 1 / math.log(keys)))
    inputs = draw("ssmax", batch=1, seq_len=keys)
    torch.testing.assert_close(attend(module, inputs), attend(make("softmax"), inputs))
    out, plain = attend(module, inputs, causal=True), attend(make("softmax"), inputs, causal=True)
    torch.testing.assert_close(out[:, :, [0, -1]], plain[:, :, [0, -1]])  # and one that sees itself alone
    assert keys == 2 or not torch.allclose(out[:, :, keys // 2], plain[:, :, keys // 2], rtol=1e-3)


def test_ssmax_by_hand() -> None:
    """Of four keys one has score 1: at a = 1 its weight is 4 / (4 + 3), for log 4 of a score is a factor of 4."""
    module = attnbench.build("ssmax", 1, 1)
    with torch.no_grad():
        module.scale.fill_(1.0)
    q, k, v = (torch.tensor(x)[None, None, :, None] for x in ([1.0] * 4, [1.0, 0.0, 0.0, 0.0], [7.0, 0.0, 0.0, 0.0]))
    torch.testing.assert_close(module(q, k, v).flatten(), torch.full((4,), 4.0))
    # One key: 1. Two: 2/3. Three: 3/5.
    torch.testing.assert_close(module(q, k, v, causal=True).flatten(), torch.tensor([7.0, 14 / 3, 21 / 5, 4.0]))
    mask = torch.tensor([[False, False, True, True]])
    torch.testing.assert_close(module(q, k, v, padding_mask=mask).flatten(), torch.tensor([14 / 3, 14 / 3, 0.0, 0.0]))


def test_l2_by_hand() -> None:
    """head_dim 4: squared distances 0 and 2 log 3 give weights 3/4 and 1/4, wherever the origin is."""
    module = attnbench.build("l2", 1, 4)
    far = math.sqrt(2.0 * math.log(3.0))
    q, k = torch.zeros(1, 1, 2, 4), torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.0, far, 0.0, 0.0]])[None, None]
    v = torch.tensor([[4.0, 0.0, 0.0, 1.0], [0.0, 8.0, 0.0, 1.0]])[None, None]
    for shift in (0.0, 5.0):
        torch.testing.assert_close(module(q + shift, k + shift, v)[0, 0], torch.tensor([[3.0, 2.0, 0.0, 1.0]] * 2))


def errors(name: str, inputs: Inputs, causal: bool) -> list[float]:
    """Of the output, each gradient and a decoded token, in the dtype of the inputs."""
    dtype = inputs["q"].dtype
    module = attnbench.build(name, 2, 64).to(dtype)
    found, exact = leaves(inputs, dtype), leaves(inputs, torch.float64)
    out, wanted = attend(module, found, causal), attend(copy.deepcopy(module).double(), exact, causal)
    pairs = zip(backward(out, module, found).values(), backward(wanted, module, exact).values(), strict=True)
    with torch.no_grad():
        step, _ = module.step(*(x[:, :, -1:] for x in inputs.values()), module.prefill(*(x[:, :, :-1] for x in inputs.values())))
    return [relative_error(x, y) for x, y in [(out, wanted), *pairs, (step, wanted[:, :, -1:])]]


ONE_COLUMN = {"(column - rounded).to(k.dtype)": "(column - column.detach()).to(k.dtype)"}


@causal_or_not
@pytest.mark.parametrize("size", [1.0, 5.0])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_l2_keeps_the_length_of_keys_in_half_precision(dtype: torch.dtype, size: float, causal: bool) -> None:
    """Half of a squared length of 64 or 1,600, over 4: rounded to 8 bits it would be off by .02 or .4 in the exponent. Against softmax."""
    inputs = {key: (size if key == "k" else 1.0) * x for key, x in draw("l2", seq_len=200, head_dim=64, groups=2).items()}
    inputs = {key: x.to(dtype) for key, x in inputs.items()}
    allowed = [3 * error + 2 * torch.finfo(dtype).eps for error in errors("softmax", inputs, causal)]
    assert all(error < most for error, most in zip(errors("l2", inputs, causal), allowed, strict=True))
    if size > 1.0:
        assert all(error > most for error, most in zip(errors(plant("l2", ONE_COLUMN), inputs, causal), allowed, strict=True))


def test_l2_takes_long_keys_in_float16() -> None:
    """Half the square of a length of 1,400 is beyond float16, which ends at 65,504."""
    q = torch.randn(1, 1, 10, 4, generator=torch.Generator().manual_seed(0)).half()
    k = (700.0 * torch.ones(4) * torch.tensor([1.0, -1.0, 1.0, -1.0])).half().expand(1, 1, 10, 4)
    out = attnbench.build("l2", 1, 4)(q, k, q)
    torch.testing.assert_close(out.float(), q.float().mean(-2, keepdim=True).expand_as(q), rtol=1e-3, atol=1e-3)


def test_xsa_by_hand() -> None:
    """Equal scores: y = (2, 2) for both rows. Along (4, 0) it has (2, 0), and along (0, 4) it has (0, 2)."""
    module = attnbench.build("xsa", 1, 2)
    q, v = torch.zeros(1, 1, 2, 2), torch.tensor([[4.0, 0.0], [0.0, 4.0]])[None, None]
    torch.testing.assert_close(module(q, q, v)[0, 0], torch.tensor([[0.0, 2.0], [2.0, 0.0]]))
    torch.testing.assert_close(module(q, q, v, causal=True)[0, 0], torch.tensor([[0.0, 0.0], [2.0, 0.0]]))


@causal_or_not
def test_the_output_of_xsa_is_orthogonal_to_the_values(causal: bool) -> None:
    inputs = {key: x.double() for key, x in draw("xsa", seq_len=50).items()}
    out = attend(make("xsa").double(), inputs, causal)
    assert float((out * inputs["v"]).sum(-1).abs().max()) < 1e-14
    assert not causal or not out[:, :, 0].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_a_value_of_zero_takes_nothing_off(dtype: torch.dtype) -> None:
    inputs = {key: x.to(dtype) for key, x in draw("xsa").items()}
    inputs["v"][:, :, 3] = 0.0
    inputs["v"][:, :, 4] = 1e-7  # subnormal in float16
    inputs = {key: x.requires_grad_() for key, x in inputs.items()}
    out, plain = attend(make("xsa"), inputs), attend(make("softmax"), inputs)
    torch.testing.assert_close(out[:, :, 3], plain[:, :, 3])
    assert out.isfinite().all() and float((out * inputs["v"]).detach().sum(-1).abs().max()) < 5e-3
    gradient = torch.autograd.grad(out[:, :, 3].sum(), inputs["v"])[0]
    torch.testing.assert_close(gradient, torch.autograd.grad(plain[:, :, 3].sum(), inputs["v"])[0])


FAULTS = [
    ("ssmax", "max(state.length, FEWEST_KEYS)", "max(state.length - 1, FEWEST_KEYS)", "decode"),
    ("ssmax", "count_visible(q.shape[-2], causal,", "count_visible(q.shape[-2], False,", "causal_prefix"),
    ("ssmax", "causal, padding_mask, q.device).clamp", "causal, None, q.device).clamp", "padding_alone"),
    ("ssmax", "[:, None, None] * logarithm)", "[:, None, None] * logarithm) ** 2", "rows"),
    ("ssmax", "(wide * (self.scale", "(wide * (self.scale.detach()", "gradients"),
    ("l2", "return 2 / math.sqrt", "return 1 / math.sqrt", "rows"),
    ("l2", "sum(-1, keepdim=True) / (-2 *", "sum(-1, keepdim=True) / (-1 *", "rows"),
    ("l2", "column = wide.square()", "column = wide.detach().square()", "gradients"),
    ("l2", "state.append(keys, _widened(v, keys))", "state.append(F.pad(k, (0, 1)), _widened(v, keys))", "decode"),
    ("l2", "columns = [rounded, (column", "columns = [rounded, 0 * (column", "bfloat16"),
    ("xsa", "return (wide - share * own)", "return (wide - 0.5 * share * own)", "rows"),
    ("xsa", "return _without_own(fused_softmax_step(q, state), v), state", "return fused_softmax_step(q, state), state", "decode"),
    ("xsa", "(v,) = hide_padding(padding_mask, v)", "v = v + 0.0", "padding"),
    ("xsa", "share = (wide * own)", "share = (wide * own).detach()", "gradients"),
]


@pytest.mark.parametrize(("name", "old", "new", "check"), FAULTS)
def test_a_planted_fault_is_found(name: str, old: str, new: str, check: str) -> None:
    assert finding(name, {old: new}, check).status == "failed"
