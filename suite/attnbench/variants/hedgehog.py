"""Hedgehog: linear attention whose feature map, a linear map and a softmax, is learned for each head, for queries and keys apart.

out_i = phi_q(q_i) . sum_j phi_k(k_j) v_j^T / phi_q(q_i) . sum_j phi_k(k_j),    phi(x) = softmax([2 (W x + b), -2 (W x + b)])

with W = I and b = 0 at the start; the softmax is over the 2 head_dim features. No 1/sqrt(d). It is the feature map of
flash-linear-attention. The paper's own is exp([W x + b, -(W x + b)]): the 2 can be learned and a query's sum cancels, but a key's does not,
so that here every key has the same weight in all, however long it is; in return nothing overflows. (Later code of its authors, LoLCATs,
takes two softmaxes, of W x + b and of its negative.) As in the paper, and not in that package, each head has maps of its own. Training
the maps to mimic a softmax model, the paper's other half, is a way of training and not part of the mechanism.

Zhang, Bhatia, Kumbong, Ré 2024, The Hedgehog & the Porcupine, arXiv 2402.04347.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attnbench.attention import Heads, Matrix, PaddingMask, Shape, Variant, at_least_float32, hide_padding, without_autocast
from attnbench.kernels.definition import Seen, Weights, rows_of_matrix
from attnbench.kernels.linear import kernel_matrix, mapped_attention, normalise_rows
from attnbench.kernels.running_sums import RunningSums


class FeatureMap(nn.Module):
    """phi of each head: weight [num_heads, head_dim, head_dim], whose rows are those of W, and bias [num_heads, head_dim]."""

    def __init__(self, num_heads: int, head_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(head_dim).repeat(num_heads, 1, 1))
        self.bias = nn.Parameter(torch.zeros(num_heads, head_dim))

    def forward(self, x: Heads) -> Float[Tensor, "batch heads seq_len features"]:
        """The 2 head_dim features of every token, which sum to one, in float32 or wider."""
        x = at_least_float32(x)
        with without_autocast(x.device):
            mapped = x @ (2.0 * self.weight.to(x.dtype)).mT + 2.0 * self.bias.to(x.dtype)[:, None]
            return torch.cat([mapped, -mapped], dim=-1).softmax(-1)


class Hedgehog(nn.Module):
    """query_map and key_map: the feature maps. A row that shares no feature with any key, in float32, is zero."""

    def __init__(self, num_heads: int, head_dim: int) -> None:
        super().__init__()
        self.query_map, self.key_map = FeatureMap(num_heads, head_dim), FeatureMap(num_heads, head_dim)

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        q, k, v = hide_padding(padding_mask, q, k, v)
        with without_autocast(q.device):
            return mapped_attention(self.query_map, self.key_map, q, k, v, causal, padding_mask)

    def init_state(self, batch_size: int) -> RunningSums:
        return RunningSums(batch_size)

    def prefill(self, q: Heads, k: Heads, v: Heads) -> RunningSums:
        return RunningSums(q.shape[0]).add(self.key_map(k), v)

    def step(self, q: Heads, k: Heads, v: Heads, state: RunningSums) -> tuple[Heads, RunningSums]:
        state = state.add(self.key_map(k), v)
        return state.attend(self.query_map(q), v.dtype), state

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        q, k = hide_padding(padding_mask, q, k)
        return kernel_matrix(self.query_map(q), self.key_map(k), causal, padding_mask).to(q.dtype)


def _weights(module: nn.Module, q: Tensor, k: Tensor) -> Tensor:
    """phi(q) . phi(k), the exponentials written out: (e^{2 y} . e^{2 z} + e^{-2 y} . e^{-2 z}) over both sums of cosh."""
    parts = []
    for x, name in ((q, "query_map"), (k, "key_map")):
        weight, bias = (module.get_parameter(f"{name}.{of}").to(x.dtype) for of in ("weight", "bias"))
        y = torch.einsum("bhnc,hdc->bhnd", x, weight) + bias[:, None]
        largest = y.detach().abs().amax(-1, keepdim=True)
        up, down = (2.0 * (y - largest)).exp(), (-2.0 * (y + largest)).exp()
        total = (up + down).sum(-1, keepdim=True)
        parts.append((up / total, down / total))
    (up_q, down_q), (up_k, down_k) = parts
    return up_q @ up_k.mT + down_q @ down_k.mT


def definition(module: nn.Module, q: Heads, k: Heads, causal: bool, padding_mask: PaddingMask | None) -> Matrix:
    """phi(Q) phi(K)^T with its rows normalised: for checking."""
    return normalise_rows(_weights(module, *hide_padding(padding_mask, q, k)), causal, padding_mask)


def rows_by_definition(module: nn.Module, seen: Seen) -> Weights:
    """phi(q) . phi(k), its rows normalised."""
    return seen.normalised(_weights(module, seen.q, seen.k))


def build(shape: Shape) -> nn.Module:
    return Hedgehog(shape.num_heads, shape.head_dim)


VARIANT = Variant(
    build=build,
    citation="Zhang, Bhatia, Kumbong, Ré 2024, The Hedgehog & the Porcupine: Expressive Linear Attentions with Softmax Mimicry, "
    "arXiv 2402.04347",
    family="linear",
    formula=(
        r"\varphi(Q) (\varphi(K)^{\top} V) / \varphi(Q) \sum \varphi(K),\quad "
        r"\varphi(x) = \operatorname{softmax}([2(W x + b), -2(W x + b)])"
    ),
    causal=True,
    normalises_rows=True,
    equivariant=True,
    time_exponent=1.0,
    memory_exponent=1.0,
    reference=definition,
    reference_rows=rows_of_matrix(rows_by_definition),
)
