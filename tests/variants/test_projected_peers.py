"""nystrom and linformer: by hand, exact limits, padding, and against nystrom-attention."""

from __future__ import annotations

import math
from types import ModuleType

import pytest
import torch
from torch import Tensor

import attnbench
from attnbench.errors import BadInput
from attnbench.variants.nystrom import pseudoinverse, segment_means, segment_weights

HEADS, HEAD_DIM = 3, 8


def draw(seq_len: int, batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seq_len)
    q, k, v = torch.randn(3, batch, HEADS, seq_len, HEAD_DIM, dtype=torch.float64, generator=generator)
    return q, k, v


@pytest.fixture(scope="module")
def package() -> ModuleType:
    module: ModuleType = pytest.importorskip("nystrom_attention.nystrom_attention", reason="nystrom-attention is not installed")
    return module


@pytest.mark.parametrize(("seq_len", "landmarks"), [(48, 6), (64, 64), (60, 1)])
def test_nystrom_agrees_with_the_package(seq_len: int, landmarks: int, package: ModuleType) -> None:
    """One head and one sequence at a time, for the package starts the pseudoinverse of all with one norm; without its convolution."""
    q, k, v = draw(seq_len)
    theirs = package.NystromAttention(3 * HEAD_DIM, HEAD_DIM, heads=1, num_landmarks=landmarks, residual=False).double()
    theirs.to_qkv.weight.data = torch.eye(3 * HEAD_DIM, dtype=torch.float64)
    theirs.to_out = torch.nn.Identity()
    out = attnbench.build("nystrom", HEADS, HEAD_DIM, num_landmarks=landmarks)(q, k, v)
    for sequence in range(2):
        for head in range(HEADS):
            joined = torch.cat([x[sequence, head] for x in (q, k, v)], dim=-1)
            torch.testing.assert_close(out[sequence, head], theirs(joined[None])[0], rtol=1e-8, atol=1e-10)


def test_the_pseudoinverse_is_the_iteration_of_the_package(package: ModuleType) -> None:
    a = draw(9)[0][0, 0, :, :8].softmax(-1)[:8]
    torch.testing.assert_close(pseudoinverse(a, 6), package.moore_penrose_iter_pinv(a[None], 6)[0], rtol=1e-10, atol=1e-12)


def test_the_pseudoinverse_converges_to_that_of_linalg() -> None:
    """With an empty slot in the middle, whose row and column stay zero."""
    a = draw(8)[0][0, 0].mul(2.0)
    a[:, 6] = -math.inf
    a = a.softmax(-1)
    a[6] = 0.0
    z = pseudoinverse(a, 40)
    torch.testing.assert_close(z, torch.linalg.pinv(a), rtol=1e-8, atol=1e-8)
    assert (z[6] == 0.0).all() and (z[:, 6] == 0.0).all()


@pytest.mark.parametrize("seq_len", [1, 7, 16])
def test_nystrom_is_softmax_when_every_token_is_a_landmark(seq_len: int) -> None:
    """A pinv(A) A = A. The 6 steps of the paper are not enough for that, and say so."""
    q, k, v = draw(seq_len)
    exact = attnbench.build("softmax", HEADS, HEAD_DIM)(q, k, v)
    out = attnbench.build("nystrom", HEADS, HEAD_DIM, num_landmarks=16, pinv_iterations=40)(q, k, v)
    torch.testing.assert_close(out, exact, rtol=1e-7, atol=1e-8)
    six = attnbench.build("nystrom", HEADS, HEAD_DIM, num_landmarks=16)(q, k, v)
    assert torch.allclose(six, exact, atol=1e-6) == (seq_len == 1)


def test_segments_differ_by_one_at_most() -> None:
    x = torch.arange(11.0)[:, None]
    torch.testing.assert_close(segment_means(x, 4), torch.tensor([[1.0], [4.0], [7.0], [9.5]]))
    torch.testing.assert_close(segment_means(x, 11), x)
    mask = torch.zeros(4, 11, dtype=torch.bool)
    mask[1, ::2], mask[2, 3:], mask[3] = True, True, True
    weights, used = segment_weights(mask, 4, torch.float32)
    assert used.tolist() == [[True] * 4, [True] * 4, [True] * 3 + [False], [True] + [False] * 3]
    expected = [[1.0, 4.0, 7.0, 9.5], [2.0, 5.0, 7.0, 9.0], [0.0, 1.0, 2.0, 0.0], [0.0] * 4]  # unpadded 1 3 5 7 9; 0 1 2; none
    torch.testing.assert_close((weights @ x)[..., 0], torch.tensor(expected))


@pytest.mark.parametrize("name", ["nystrom", "linformer"])
def test_only_the_order_of_unpadded_tokens_matters(name: str) -> None:
    """Holes, and fewer tokens than landmarks: the sequence of unpadded tokens alone."""
    q, k, v = draw(30, batch=3)
    mask = torch.zeros(3, 30, dtype=torch.bool)
    mask[0, 3::4], mask[1, :7], mask[2, 5:] = True, True, True
    params = {"num_landmarks": 9} if name == "nystrom" else {"rank": 9}
    module = attnbench.build(name, HEADS, HEAD_DIM, seq_len=30, **params).double()
    out = module(q, k, v, padding_mask=mask)
    for sequence, hidden in enumerate(mask):
        alone = module(*(x[sequence : sequence + 1, :, ~hidden] for x in (q, k, v)))
        torch.testing.assert_close(out[sequence, :, ~hidden], alone[0], rtol=1e-7, atol=1e-9)


def test_linformer_by_hand() -> None:
    """head_dim 4, so that sqrt(d) is 2; projected keys 0 and 2 log 2 along q give the weights 1/3 and 2/3."""
    module = attnbench.build("linformer", 1, 4, seq_len=3, rank=2)
    module.e.data = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 5.0]])
    module.f.data = torch.tensor([[1.0, 0.0, 0.0], [0.0, 3.0, 7.0]])
    q = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(1, 1, 2, 4)
    k = torch.tensor([[-2.0, 1.0, 0.0, 0.0], [2.0, 0.0, 1.0, 0.0]])[None, None] * math.log(2.0)
    v = torch.tensor([[3.0, 0.0, 0.0, 6.0], [0.0, 3.0, 0.0, 9.0]])[None, None]
    expected = torch.tensor([1.0, 6.0, 0.0, 20.0]).expand(1, 1, 2, 4)  # 1/3 of the first value, 2/3 of three times the second
    torch.testing.assert_close(module(q, k, v), expected)
    torch.testing.assert_close(module.matrix(q, k), torch.tensor([1 / 3, 2.0]).expand(1, 1, 2, 2))


@pytest.mark.parametrize(("seq_len", "columns", "rank"), [(300, 300, 256), (17, 17, 17), (None, 4096, 256)])
def test_linformer_has_the_size_it_was_built_for(seq_len: int | None, columns: int, rank: int) -> None:
    torch.manual_seed(0)
    module = attnbench.build("linformer", HEADS, HEAD_DIM, seq_len=seq_len)
    assert [(name, tuple(x.shape)) for name, x in module.named_parameters()] == [("e", (rank, columns)), ("f", (rank, columns))]
    for x in (module.e, module.f):
        assert abs(float(x.detach().std()) * math.sqrt(rank) - 1.0) < 0.15
    assert not torch.equal(module.e, module.f)
    x = torch.ones(1, HEADS, columns + 1, HEAD_DIM)
    with pytest.raises(BadInput, match=rf"{columns + 1} tokens and has {columns} columns; build it with seq_len={columns + 1}"):
        module(x, x, x)
    assert module(x[:, :, 1:], x[:, :, 1:], x[:, :, 1:]).shape == (1, HEADS, columns, HEAD_DIM)


@pytest.mark.parametrize("value", [0, -3, 2.0, True, "8", None])
@pytest.mark.parametrize(("name", "param"), [("nystrom", "num_landmarks"), ("nystrom", "pinv_iterations"), ("linformer", "rank")])
def test_sizes_are_whole_numbers(name: str, param: str, value: object) -> None:
    with pytest.raises(BadInput, match=rf"{param} is .*whole number"):
        attnbench.build(name, HEADS, HEAD_DIM, **{param: value})
