"""linear_elu, performer and cosformer: by hand, at their limits, and against performer-pytorch."""

from __future__ import annotations

import math
import warnings
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

import attnbench
from attnbench.errors import BadInput

HEADS, HEAD_DIM = 3, 8


def draw(seq_len: int, scale: float = 1.0, dtype: torch.dtype = torch.float64, batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seq_len)
    q, k, v = torch.randn(3, batch, HEADS, seq_len, HEAD_DIM, dtype=dtype, generator=generator)
    return scale * q, scale * k, v


def row(*values: float) -> Tensor:
    """One sequence of tokens with one head of one dimension."""
    return torch.tensor(values)[None, None, :, None]


@pytest.fixture(scope="module")
def package() -> ModuleType:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*distutils", category=DeprecationWarning)
        reason = "performer-pytorch is not installed, or this Python has no distutils, which it imports"
        module: ModuleType = pytest.importorskip("performer_pytorch.performer_pytorch", reason=reason, exc_type=ImportError)
        return module


def test_linear_elu_by_hand() -> None:
    """phi(k) is 1, 3 and 1/2; with one dimension phi(q) cancels, even at -40, where the float32 elu is -1."""
    q, k, v = row(0.0, 5.0, -40.0), row(0.0, 2.0, -math.log(2.0)), row(4.0, 8.0, 2.0)
    module = attnbench.build("linear_elu", 1, 1)
    torch.testing.assert_close(module(q, k, v), row(*[29 / 4.5] * 3))
    torch.testing.assert_close(module(q, k, v, causal=True), row(4.0, 7.0, 29 / 4.5))
    mask = torch.tensor([[False, True, False]])
    torch.testing.assert_close(module(q, k, v, padding_mask=mask), row(5 / 1.5, 0.0, 5 / 1.5))


@pytest.mark.parametrize("causal", [False, True])
def test_linear_elu_agrees_with_the_sums_of_the_package(causal: bool, package: ModuleType) -> None:
    q, k, v = draw(200)
    phi_q, phi_k = (nn.functional.elu(x) + 1 for x in (q, k))
    if causal:
        expected = package.causal_linear_attention_noncuda(phi_q, phi_k, v, chunk_size=3, eps=0.0)
    else:
        expected = package.linear_attention(phi_q, phi_k, v)
    torch.testing.assert_close(attnbench.build("linear_elu", HEADS, HEAD_DIM)(q, k, v, causal=causal), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("causal", [False, True])
def test_performer_agrees_with_the_package(causal: bool, package: ModuleType) -> None:
    """With the same Omega, and without the package's eps, which the definition has not."""
    q, k, v = draw(200)
    module = attnbench.build("performer", HEADS, HEAD_DIM).double()
    phi_q, phi_k = (package.softmax_kernel(x, projection_matrix=module.omega, is_query=x is q, eps=0.0) for x in (q, k))
    if causal:
        expected = package.causal_linear_attention_noncuda(phi_q, phi_k, v, chunk_size=3, eps=0.0)
    else:
        expected = package.linear_attention(phi_q, phi_k, v)
    torch.testing.assert_close(module(q, k, v, causal=causal), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("causal", [False, True])
def test_performer_estimates_softmax(causal: bool) -> None:
    """The error of a mean over m features falls as 1/sqrt(m): 16 times the features, a quarter of the error."""
    q, k, v = draw(20, scale=0.25)  # the variance grows as the exponential of the norms
    exact = attnbench.build("softmax", HEADS, HEAD_DIM)(q, k, v, causal=causal)

    def error(num_features: int) -> float:
        total = 0.0
        for seed in range(10):
            torch.manual_seed(seed)
            out = attnbench.build("performer", HEADS, HEAD_DIM, num_features=num_features).double()(q, k, v, causal=causal)
            total += float((out - exact).norm() / exact.norm()) / 10
        return total

    few, many = error(64), error(16 * 64)
    assert many < 0.02
    assert 3.0 < few / many < 5.5


@pytest.mark.parametrize(("head_dim", "num_features"), [(1, 1), (2, 2), (8, 17), (64, 267)])
def test_performer_takes_d_ln_d_features(head_dim: int, num_features: int) -> None:
    assert attnbench.build("performer", 1, head_dim).omega.shape == (num_features, head_dim)


def test_omega_is_orthogonal_in_blocks_with_the_norms_of_gaussian_vectors() -> None:
    torch.manual_seed(3)
    omega = attnbench.build("performer", 1, HEAD_DIM, num_features=4004).double().omega
    blocks = [block / block.norm(dim=-1, keepdim=True) for block in omega.split(HEAD_DIM)]
    assert [len(block) for block in blocks] == [HEAD_DIM] * 500 + [4]
    for block in blocks:
        torch.testing.assert_close(block @ block.mT, torch.eye(len(block), dtype=torch.float64), rtol=0.0, atol=1e-5)
    # Chi with 8 degrees of freedom: squares of mean 8 and variance 16. Directions without a bias: entries of mean 0 and variance 1.
    squares = omega.square().sum(-1)
    assert abs(float(squares.mean()) - HEAD_DIM) < 0.3
    assert abs(float(squares.var()) - 2 * HEAD_DIM) < 2.5
    assert float(omega.mean(0).abs().max()) < 0.08
    torch.testing.assert_close(omega.mT @ omega / len(omega), torch.eye(HEAD_DIM, dtype=torch.float64), rtol=0.0, atol=0.12)


def test_omega_comes_from_the_seed_and_is_kept() -> None:
    torch.manual_seed(5)
    first, second = attnbench.build("performer", HEADS, HEAD_DIM), attnbench.build("performer", HEADS, HEAD_DIM)
    torch.manual_seed(5)
    again = attnbench.build("performer", HEADS, HEAD_DIM)
    assert torch.equal(first.omega, again.omega) and not torch.equal(first.omega, second.omega)
    assert list(first.state_dict()) == ["omega"] and not list(first.parameters())
    q, k, v = draw(5, dtype=torch.float32)
    first(q, k, v)
    assert torch.equal(first.omega, again.omega)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 10.0])
def test_performer_holds_for_large_and_tiny_inputs(scale: float, causal: bool) -> None:
    """Keys whose features differ by e^1000 and more: by logarithms in float64, row by row."""
    q, k, v = draw(150, scale)
    torch.manual_seed(0)
    module = attnbench.build("performer", HEADS, HEAD_DIM)

    def exponents(x: Tensor) -> Tensor:
        return x @ module.omega.double().mT * HEAD_DIM**-0.25 - x.square().sum(-1, keepdim=True) / (2 * math.sqrt(HEAD_DIM))

    logits = (exponents(q)[..., :, None, :] + exponents(k)[..., None, :, :]).logsumexp(-1)
    if causal:
        logits = logits.masked_fill(torch.ones(150, 150, dtype=torch.bool).triu(1), -math.inf)
    out = module(q.float(), k.float(), v.float(), causal=causal).double()
    assert float((out - logits.softmax(-1) @ v).norm() / v.norm()) < 1e-4


@pytest.mark.parametrize("causal", [False, True])
def test_performer_stays_finite_where_rows_underflow(causal: bool) -> None:
    """At a standard deviation of 100 some rows share no feature with any key: they are zero, and no gradient overflows."""
    inputs = [x.requires_grad_() for x in draw(150, 100.0, torch.float32)]
    torch.manual_seed(0)
    out = attnbench.build("performer", HEADS, HEAD_DIM)(*inputs, causal=causal)
    assert out.isfinite().all() and 0 < (out == 0.0).all(-1).sum() < out[..., 0].numel()
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(out.sum(), inputs))


def test_cosformer_by_hand() -> None:
    """Built for 2 tokens, the causal M is 2, and the weight of a neighbour cos(pi / 4); three tokens without causality have M = 3."""
    q, k, v = row(1.0, 2.0), row(3.0, 4.0), row(1.0, 5.0)
    c = math.cos(math.pi / 4)
    torch.testing.assert_close(attnbench.build("cosformer", 1, 1, seq_len=2)(q, k, v, causal=True), row(1.0, (3 * c + 20) / (3 * c + 4)))
    q, k, v = row(1.0, 1.0, 1.0), row(1.0, 1.0, 2.0), row(0.0, 0.0, 1.0)
    near = math.cos(math.pi / 6)  # and 1/2 at distance 2
    expected = row(1 / (2 + near), 2 * near / (1 + 3 * near), 2 / (2.5 + near))
    torch.testing.assert_close(attnbench.build("cosformer", 1, 1)(q, k, v), expected)
    mask = torch.tensor([[False, True, False]])  # two tokens, neighbours, M = 2
    expected = row(2 * c / (1 + 2 * c), 0.0, 2 / (c + 2))
    torch.testing.assert_close(attnbench.build("cosformer", 1, 1)(q, k, v, padding_mask=mask), expected)


@pytest.mark.parametrize("causal", [False, True])
def test_a_cosformer_row_without_a_common_coordinate_is_zero(causal: bool) -> None:
    """And its gradients are zero, in `forward` and in `matrix`."""
    q = torch.tensor([[1.0, -1.0], [-1.0, -2.0], [2.0, 1.0]])[None, None].requires_grad_()
    k = torch.tensor([[-1.0, 3.0], [-2.0, 1.0], [-3.0, 2.0]])[None, None].requires_grad_()
    v = torch.ones(1, 1, 3, 2, requires_grad=True)
    module = attnbench.build("cosformer", 1, 2)
    out, matrix = module(q, k, v, causal=causal), module.matrix(q, k, causal=causal)
    assert (out[:, :, :2] == 0.0).all() and (matrix[:, :, :2] == 0.0).all()
    torch.testing.assert_close(out[:, :, 2], torch.ones(1, 1, 2))
    gradients = torch.autograd.grad(out[:, :, :2].sum() + matrix[:, :, :2].square().sum(), (q, k, v))
    assert all((gradient == 0.0).all() for gradient in gradients)


def test_cosformer_weighs_the_farthest_token_exactly() -> None:
    """cos(pi (M - 1) / 2M) is 4e-4 for M = 4,096, and in float32 cos(pi / 2) is off by 4e-8: a hundredth of a percent."""
    length = 4096
    q, k, v = torch.zeros(3, 1, 1, length, 2)
    k[..., 0, 0], v[..., 0, 0] = 1.0, 1.0  # the first key, on the first coordinate
    k[..., -1, 1], v[..., -1, 0] = math.sin(math.pi / 2 / length), 3.0  # the last, of the same weight on the second
    q[..., -1, :] = 1.0
    out = attnbench.build("cosformer", 1, 2, seq_len=length)(q, k, v, causal=True)
    torch.testing.assert_close(out[0, 0, -1, 0], torch.tensor(2.0), rtol=1e-6, atol=0.0)


@pytest.mark.parametrize(("seq_len", "limit"), [(5, 5), (None, 4096)])
def test_cosformer_says_what_it_was_built_for(seq_len: int | None, limit: int) -> None:
    module = attnbench.build("cosformer", 1, 1, seq_len=seq_len)
    x = torch.ones(1, 1, limit + 1, 1)
    with pytest.raises(BadInput, match=rf"{limit + 1} tokens.*beyond {limit}; build it with seq_len={limit + 1}"):
        module(x, x, x, causal=True)
    torch.testing.assert_close(module(x, x, x), x)
    torch.testing.assert_close(module(x[:, :, 1:], x[:, :, 1:], x[:, :, 1:], causal=True), x[:, :, 1:])


@pytest.mark.parametrize("causal", [False, True])
def test_cosformer_counts_distance_over_unpadded_tokens(causal: bool) -> None:
    """Holes change nothing: what is seen is the sequence of unpadded tokens."""
    q, k, v = draw(30)
    mask = torch.zeros(2, 30, dtype=torch.bool)
    mask[0, 3::4], mask[1, :7] = True, True
    module = attnbench.build("cosformer", HEADS, HEAD_DIM, seq_len=30)
    out = module(q, k, v, causal=causal, padding_mask=mask)
    for sequence, hidden in enumerate(mask):
        alone = module(*(x[sequence : sequence + 1, :, ~hidden] for x in (q, k, v)), causal=causal)
        torch.testing.assert_close(out[sequence, :, ~hidden], alone[0], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("value", [0, -3, 2.0, True, "8"])
def test_num_features_is_a_whole_number(value: object) -> None:
    with pytest.raises(BadInput, match=r"num_features is .*whole number"):
        attnbench.build("performer", HEADS, HEAD_DIM, num_features=value)
