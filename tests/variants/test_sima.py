"""SimA: by hand, against its formula, its size in half precision, and with faults planted in it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import attnbench
from attnbench.attention import Unsupported
from helpers.mechanisms import attend, draw, leaves, make, relative_error
from helpers.planted_faults import finding


def test_by_hand() -> None:
    """One channel: q^ is 1/4, 3/4, k^ is -1/2, 1/2; k^ . v = 3. With the last token alone both are 1, or -1."""
    q, k, v = (torch.tensor(x)[None, None, :, None] for x in ([1.0, 3.0], [-2.0, 2.0], [2.0, 8.0]))
    module = attnbench.build("sima", 1, 1)
    torch.testing.assert_close(module(q, k, v).flatten(), torch.tensor([0.75, 2.25]))
    torch.testing.assert_close(module.matrix(q, k)[0, 0], torch.tensor([[-0.125, 0.125], [-0.375, 0.375]]))
    torch.testing.assert_close(module(q, k, v, padding_mask=torch.tensor([[False, True]])).flatten(), torch.tensor([-2.0, 0.0]))
    with pytest.raises(Unsupported, match="no causal form"):
        module(q, k, v, causal=True)


@pytest.mark.parametrize("seq_len", [1, 3, 63, 100])
def test_output_is_that_of_the_formula(seq_len: int) -> None:
    """As its authors' code has it: F.normalize over the tokens, with p = 1. Fewer tokens than channels, and more."""
    inputs = {key: x.double() for key, x in draw("sima", seq_len=seq_len).items()}
    q, k = (F.normalize(inputs[key], p=1.0, dim=-2) for key in "qk")
    torch.testing.assert_close(attend(make("sima"), inputs), q @ k.mT @ inputs["v"], rtol=1e-12, atol=1e-14)


def test_a_channel_of_zeros_stays_zero() -> None:
    inputs = leaves(draw("sima"), torch.float32)
    with torch.no_grad():
        inputs["q"][..., 2] = 0.0
        inputs["k"][..., 3] = 0.0
    out = attend(make("sima"), inputs)
    expected = F.normalize(inputs["q"], p=1.0, dim=-2) @ (F.normalize(inputs["k"], p=1.0, dim=-2).mT @ inputs["v"])
    torch.testing.assert_close(out, expected)
    gradients = torch.autograd.grad(out.sum(), list(inputs.values()))
    assert all(x.isfinite().all() and float(x.norm()) < 1e3 for x in gradients)


@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_is_worked_in_float32(autocast: bool) -> None:
    """At 3,000 tokens the entries of the matrix are near 1e-6: below what float16 holds in full. The output alone is rounded."""
    inputs = {key: x.half() for key, x in draw("sima", batch=1, seq_len=3000, head_dim=16).items()}
    inputs["v"] *= 1e4
    exact = attend(make("sima"), {key: x.double() for key, x in inputs.items()})
    with torch.autocast("cpu", torch.float16, enabled=autocast):
        out: Tensor = attend(make("sima"), inputs)
    rounded_once = relative_error(exact.half(), exact)
    assert out.dtype == torch.float16 and relative_error(out, exact) < 1.01 * rounded_once


FAULTS = [
    ("wide.abs().sum(-2, keepdim=True)", "wide.abs().sum(-1, keepdim=True)", "rows"),
    ("wide.abs().sum(-2, keepdim=True)", "wide.square().sum(-2, keepdim=True).sqrt()", "rows"),
    ("* (norm - norm.detach())", "* 0.0", "gradients"),
    ("        q, k, v = hide_padding(padding_mask, q, k, v)\n", "", "padding"),
    ("        _refuse(causal)\n        q, k, v =", "        q, k, v =", "causal"),
]


@pytest.mark.parametrize(("old", "new", "check"), FAULTS)
def test_a_planted_fault_is_found(old: str, new: str, check: str) -> None:
    assert finding("sima", {old: new}, check).status == "failed"
