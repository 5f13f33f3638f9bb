"""What the definitions of mechanisms are written with: which keys a row sees, and rows of exp(S) V in a basis, by hand and densely."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from attnbench.attention import Unsupported
from attnbench.kernels.definition import Seen, rows_of_matrix, see
from attnbench.kernels.skew_rows import cayley_quotient, exponential_quotient, skew_rows

PADDING = torch.tensor([[False, False, True, False], [True, True, True, True]])
ROWS = torch.tensor([3, 0, 0])


def seen(causal: bool, padding: Tensor | None = PADDING) -> Seen:
    generator = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, 2, 1, 4, 2, dtype=torch.float64, generator=generator)
    return see(q, k, v, ROWS, causal, padding)


def test_a_row_sees_the_unpadded_keys_and_when_causal_those_up_to_itself() -> None:
    assert seen(False).visible[0, 0].tolist() == [[True, True, False, True]] * 3
    assert seen(True).visible[0, 0].tolist() == [[True, True, False, True], [True, False, False, False], [True, False, False, False]]
    assert not seen(True).visible[1].any()
    assert seen(False, None).visible.all()
    assert seen(False).count()[:, 0, :, 0].tolist() == [[3, 3, 3], [1, 1, 1]]
    assert seen(True).count()[0, 0, :, 0].tolist() == [3, 1, 1]
    assert seen(True).identity().tolist() == [[0, 0, 0, 1], [1, 0, 0, 0], [1, 0, 0, 0]]


def test_weights_of_zero_scores_by_hand() -> None:
    one = seen(True)
    scores = torch.zeros(2, 1, 3, 4, dtype=torch.float64)
    assert torch.allclose(one.softmax(scores)[0, 0, 0], torch.tensor([1, 1, 0, 1], dtype=torch.float64) / 3)
    assert one.normalised(scores + 2.0)[0, 0, 1].tolist() == [1, 0, 0, 0]
    assert one.normalised(scores)[0].eq(0.0).all()  # no weight at all
    assert one.softmax(scores).isfinite().all() and one.normalised(scores + 2.0)[1].eq(0.0).all()  # a sequence of padding alone


def test_what_stands_at_padding_reaches_neither_output_nor_gradient() -> None:
    q, k, v = (torch.full((2, 1, 4, 2), 0.5, dtype=torch.float64) for _ in range(3))
    for x in (q, k, v):
        x.masked_fill_(PADDING[:, None, :, None], math.nan).requires_grad_()
    mean = rows_of_matrix(lambda module, seen: seen.softmax(seen.scores()))
    out = mean(nn.Identity(), q, k, v, torch.arange(4), False, PADDING)
    assert torch.allclose(out[0, 0, :, 0], torch.tensor([0.5, 0.5, 0.0, 0.5], dtype=torch.float64)) and out[1].eq(0.0).all()
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(out.sum(), [q, k, v]))


class Alpha(nn.Module):
    def __init__(self, alpha: float, damping: float = 0.0) -> None:
        super().__init__()
        self.damping = damping
        self.alpha = nn.Parameter(torch.full((2,), alpha, dtype=torch.float64))


def dense(module: Alpha, q: Tensor, k: Tensor, by_cayley: bool) -> Tensor:
    """exp(X) or (I - X/2)^-1 (I + X/2) of the whole X, S less the damping."""
    s = module.alpha[:, None, None] / math.sqrt(q.shape[-1]) * (q @ k.mT - k @ q.mT)
    identity = torch.eye(s.shape[-1], dtype=s.dtype)
    s = s - module.damping * identity
    return torch.linalg.solve(identity - s / 2, identity + s / 2) if by_cayley else torch.linalg.matrix_exp(s)


@pytest.mark.parametrize("damping", [0.0, 0.3, 3.0])
@pytest.mark.parametrize("by_cayley", [False, True], ids=["exponential", "Cayley"])
@pytest.mark.parametrize(("tokens", "rank", "alpha"), [(19, 5, 1.0), (7, 5, 1.0), (1, 5, 1.0), (19, 2, 1.0), (19, 5, 20.0), (19, 0, 1.0)])
def test_rows_in_a_basis_are_those_of_the_dense_form(tokens: int, rank: int, alpha: float, by_cayley: bool, damping: float) -> None:
    """At full rank, with fewer tokens than columns, where [q, k] lacks rank or is zero, and where S is large; gradients too."""
    generator = torch.Generator().manual_seed(1)
    q, k, v = torch.randn(3, 3, 2, tokens, 5, dtype=torch.float64, generator=generator)
    q, k = (x * (torch.arange(5) < rank) for x in (q, k))
    module, rows = Alpha(alpha, damping), torch.tensor([tokens - 1, 0, tokens // 2])
    leaves = [x.detach().clone().requires_grad_() for x in (q, k, v)]
    definition = skew_rows("mine", cayley_quotient if by_cayley else exponential_quotient)
    found = definition(module, *leaves, rows, False, None)
    wanted = (dense(module, leaves[0], leaves[1], by_cayley) @ leaves[2])[:, :, rows]
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-10)
    upstream = torch.randn(found.shape, dtype=torch.float64, generator=generator)
    gradients = [torch.autograd.grad(out, [*leaves, module.alpha], upstream) for out in (found, wanted)]
    for one, other in zip(*gradients, strict=True):
        assert float((one - other).norm()) <= 1e-9 * max(1.0, float(other.norm()))


def test_an_orthogonal_form_has_no_causal_rows() -> None:
    x = torch.zeros(1, 2, 3, 5)
    with pytest.raises(Unsupported, match="mine has no causal form"):
        skew_rows("mine", exponential_quotient)(Alpha(1.0), x, x, x, torch.tensor([0]), True, None)
