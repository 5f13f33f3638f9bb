"""identity and uniform, the controls of a task table: by hand, in half precision over many tokens, and with faults planted in them."""

from __future__ import annotations

import pytest
import torch

import attnbench
from attnbench.attention import BadInput
from helpers.mechanisms import NAMES, VARIANTS, attend, draw, leaves, make, state_after, step
from helpers.planted_faults import finding

causal_or_not = pytest.mark.parametrize("causal", [False, True])
MASK = torch.tensor([[False, True, False, False]])
V = torch.tensor([3.0, 100.0, 5.0, 1.0])[None, None, :, None]


@causal_or_not
def test_identity_copies_the_values(causal: bool) -> None:
    module, inputs = make("identity"), draw("identity")
    out = attend(module, inputs, causal)
    assert torch.equal(out, inputs["v"])
    out.zero_()  # a tensor of its own
    assert inputs["v"].all()
    q = torch.zeros_like(V)
    assert torch.equal(module(q, q, V, causal, MASK).flatten(), torch.tensor([3.0, 0.0, 5.0, 1.0]))


def test_identity_remembers_nothing() -> None:
    module, inputs = make("identity"), draw("identity")
    out, state = step(module, inputs, 3, state_after(module, inputs, 3))
    assert torch.equal(out, inputs["v"][:, :, 3:4]) and state == () == module.init_state(2)


def test_uniform_by_hand() -> None:
    """The padded token counts for nothing, and a row counts the tokens up to itself when causal."""
    module = make("uniform")
    q = torch.full_like(V, 9.0)
    assert torch.equal(module(q, q, V, padding_mask=MASK).flatten(), torch.tensor([3.0, 0.0, 3.0, 3.0]))
    assert torch.equal(module(q, q, V, causal=True, padding_mask=MASK).flatten(), torch.tensor([3.0, 0.0, 4.0, 3.0]))
    matrix = module.matrix(q, q, causal=True, padding_mask=MASK)[0, 0]
    third = 1 / 3
    expected = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.5, 0.0, 0.5, 0.0], [third, 0.0, third, third]])
    torch.testing.assert_close(matrix, expected)


@causal_or_not
def test_uniform_is_softmax_without_scores(causal: bool) -> None:
    inputs = draw("uniform", seq_len=100)
    inputs["q"] = torch.zeros_like(inputs["q"])
    torch.testing.assert_close(attend(make("uniform"), inputs, causal), attend(make("softmax"), inputs, causal))


@causal_or_not
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
def test_uniform_loses_nothing_with_length(dtype: torch.dtype, causal: bool) -> None:
    """Values of mean 5 over 20,000 tokens: a sum kept in half precision stops growing at some hundreds, and ends at 65,504 in float16."""
    v = (torch.randn(1, 1, 20_000, 2, generator=torch.Generator().manual_seed(0)) + 5.0).to(dtype).requires_grad_()
    module = make("uniform").to(dtype)
    out = module(v, v, v, causal=causal)
    exact = v.detach().double().cumsum(-2) / torch.arange(1, 20_001)[:, None] if causal else v.detach().double().mean(-2, keepdim=True)
    unit = torch.finfo(dtype).eps
    assert float((out.detach().double() / exact - 1).abs().max()) <= unit
    (gradient,) = torch.autograd.grad(out[..., -1:, :].sum(), v)
    assert float((gradient.double() * 20_000 - 1).abs().max()) < 4 * unit + 1e-2 * (dtype == torch.float16)  # 1 / 20,000 is subnormal there


def test_uniform_decodes_in_half_precision_over_many_tokens() -> None:
    module, v = make("uniform"), torch.full((1, 1, 3000, 2), 3.0).half()
    out, _ = module.step(v[:, :, :1], v[:, :, :1], v[:, :, :1], module.prefill(v, v, v))
    assert torch.equal(out, v[:, :, :1])


def test_a_running_mean_of_another_batch_is_refused() -> None:
    inputs = draw("uniform", seq_len=1)
    with pytest.raises(BadInput, match=r"of 2 sequences, its state of 3; make the state with init_state\(2\)"):
        make("uniform").step(**inputs, state=make("uniform").init_state(3))


@pytest.mark.parametrize("name", [name for name in NAMES if not VARIANTS[name].reads_qk])
def test_queries_and_keys_learn_nothing(name: str) -> None:
    inputs = leaves(draw(name), torch.float32)
    gradients = torch.autograd.grad(attend(attnbench.build(name, 3, 5), inputs).sum(), list(inputs.values()), allow_unused=True)
    assert gradients[:2] == (None, None) and gradients[2] is not None


FAULTS = [
    ("identity", "v.clone() if padding_mask is None else hide_padding(padding_mask, v)[0]", "v.clone()", "padding"),
    ("identity", "return v.clone(), ()", "return 2.0 * v, ()", "decode"),
    ("identity", "return v.clone() if", "return v.flip(-2) if", "matrix"),
    ("identity", "seen.identity()", "seen.identity().roll(1, -1)", "rows"),
    ("uniform", "state.total / state.length", "state.total / (state.length + 1)", "decode"),
    ("uniform", "visible_mean(v, causal, padding_mask)", "visible_mean(v, False, padding_mask)", "causal"),
    ("uniform", "        (v,) = hide_padding(padding_mask, v)\n", "", "padding"),
    ("uniform", "visible_mean(v, causal, padding_mask)", "visible_mean(v, causal, None)", "padding_alone"),
    ("uniform", "count_visible(seq_len, causal,", "count_visible(seq_len, False,", "matrix"),
    ("uniform", "seen.softmax(", "0.5 * seen.softmax(", "rows"),
]


@pytest.mark.parametrize(("name", "old", "new", "check"), FAULTS)
def test_a_planted_fault_is_found(name: str, old: str, new: str, check: str) -> None:
    assert finding(name, {old: new}, check).status == "failed"
