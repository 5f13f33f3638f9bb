"""Performer (FAVOR+): softmax attention estimated by positive orthogonal random features, linear in seq_len.

out_i = phi(q_i) . sum_j phi(k_j) v_j^T / phi(q_i) . sum_j phi(k_j),    phi(x) = m^-1/2 exp(Omega x d^-1/4 - ||x||^2 / (2 sqrt(d)))

so that E[phi(q) . phi(k)] = exp(q . k / sqrt(d)). Omega is m x d: blocks of d orthogonal rows, each row rescaled to the norm of a
Gaussian vector. It is drawn once, at build, and shared by the heads.

Choromanski et al. 2021, arXiv 2009.14794.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attnbench.attention import BadInput, Heads, Matrix, PaddingMask, Shape, Variant, at_least_float32, hide_padding
from attnbench.kernels.definition import Seen, Weights, rows_of_matrix
from attnbench.kernels.linear import kernel_attention, kernel_matrix, normalise_rows
from attnbench.kernels.running_sums import RunningSums


class Performer(nn.Module):
    """omega, a buffer [num_features, head_dim], comes from torch's global generator; None takes the paper's m = d ln d.

    The exponents are large, so each row of features is divided by its own largest. For a query that cancels in the normalisation, as do
    m^-1/2 and e^-||q||^2/...; for a key it goes, with the norm, into the logarithmic factor that `kernel_attention` balances causally.
    What remains can underflow only where no key that a row sees shares a feature with it within e^-70 of the largest of each: such a
    row is zero. [M] With head_dim 64: no row for queries and keys of standard deviation 5, 1 to 2 % of the rows for 10.
    """

    omega: Tensor

    def __init__(self, head_dim: int, num_features: object) -> None:
        super().__init__()
        if num_features is None:
            num_features = max(1, math.ceil(head_dim * math.log(head_dim)))
        if type(num_features) is not int or num_features < 1:
            raise BadInput(f"num_features is {num_features!r}; give a whole number of at least 1, or None for head_dim ln(head_dim)")
        self.register_buffer("omega", orthogonal_features(num_features, head_dim))

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        q, k, v = hide_padding(padding_mask, q, k, v)
        phi_q, _ = self._features(q)
        phi_k, log_scale = self._features(k)
        return kernel_attention(phi_q, phi_k, v, causal, padding_mask, log_scale)

    def init_state(self, batch_size: int) -> RunningSums:
        return RunningSums(batch_size)

    def prefill(self, q: Heads, k: Heads, v: Heads) -> RunningSums:
        return self._add(RunningSums(q.shape[0]), k, v)

    def step(self, q: Heads, k: Heads, v: Heads, state: RunningSums) -> tuple[Heads, RunningSums]:
        state = self._add(state, k, v)
        phi_q, _ = self._features(q)
        return state.attend(phi_q, v.dtype), state

    def _add(self, state: RunningSums, k: Heads, v: Heads) -> RunningSums:
        phi_k, log_scale = self._features(k)
        return state.add(phi_k, v, log_scale)

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        q, k = hide_padding(padding_mask, q, k)
        phi_q, _ = self._features(q)
        phi_k, log_scale = self._features(k)
        return kernel_matrix(phi_q, phi_k, causal, padding_mask, log_scale).to(q.dtype)

    def _features(self, x: Heads) -> tuple[Tensor, Tensor]:
        """f with largest entry 1, [..., num_features], and s, [...], with phi(x) = m^-1/2 e^s f."""
        x = at_least_float32(x)
        exponents = x @ (self.omega.to(x.dtype) * x.shape[-1] ** -0.25).mT
        largest = exponents.detach().amax(-1, keepdim=True)
        log_scale = largest[..., 0] - x.square().sum(-1) / (2 * math.sqrt(x.shape[-1]))
        return exponents.sub_(largest).exp_(), log_scale


def orthogonal_features(num_features: int, head_dim: int) -> Float[Tensor, "num_features head_dim"]:
    """Gaussian rows made orthogonal in blocks of head_dim: uniform directions, norms of independent Gaussian vectors."""
    sizes = [min(head_dim, num_features - start) for start in range(0, num_features, head_dim)]
    directions = torch.cat([nn.init.orthogonal_(torch.empty(size, head_dim)) for size in sizes])
    return directions * torch.randn(num_features, head_dim).norm(dim=-1, keepdim=True)


def definition(module: nn.Module, q: Heads, k: Heads, causal: bool, padding_mask: PaddingMask | None) -> Matrix:
    """phi(Q) phi(K)^T with its rows normalised, no exponent balanced: for checking."""
    omega = module.get_buffer("omega").to(q.dtype)

    def phi(x: Tensor) -> Tensor:
        exponents = x @ omega.mT * x.shape[-1] ** -0.25 - x.square().sum(-1, keepdim=True) / (2 * math.sqrt(x.shape[-1]))
        return exponents.exp() / math.sqrt(len(omega))

    q, k = hide_padding(padding_mask, q, k)
    return normalise_rows(phi(q) @ phi(k).mT, causal, padding_mask)


def rows_by_definition(module: nn.Module, seen: Seen) -> Weights:
    """phi(q) . phi(k), its rows normalised; what is taken off the exponents of a row cancels."""
    root = seen.q.shape[-1] ** 0.25
    omega = module.get_buffer("omega").to(seen.q.dtype)
    of_q, of_k = (x / root @ omega.mT for x in (seen.q, seen.k))
    largest_k = of_k.detach().amax(-1, keepdim=True)
    of_q = of_q - of_q.detach().amax(-1, keepdim=True)
    logs = (largest_k - (seen.k / root).square().sum(-1, keepdim=True) / 2).mT.masked_fill(~seen.visible, torch.finfo(omega.dtype).min)
    factors = (logs - logs.detach().amax(-1, keepdim=True)).exp()
    return seen.normalised(of_q.exp() @ (of_k - largest_k).exp().mT * factors)


def build(shape: Shape, num_features: object) -> nn.Module:
    return Performer(shape.head_dim, num_features)


VARIANT = Variant(
    build=build,
    citation="Choromanski et al. 2021, Rethinking Attention with Performers, arXiv 2009.14794",
    family="linear",
    formula=(
        r"\varphi(Q) (\varphi(K)^{\top} V) / \varphi(Q) \sum \varphi(K),\quad "
        r"\varphi(x) = \operatorname{exp}(\Omega x / d^{1/4} - \|x\|^{2} / 2 \sqrt{d}) / \sqrt{m}"
    ),
    causal=True,
    normalises_rows=True,
    equivariant=True,
    time_exponent=1.0,
    memory_exponent=1.0,
    params={"num_features": None},
    reference=definition,
    reference_rows=rows_of_matrix(rows_by_definition),
)
