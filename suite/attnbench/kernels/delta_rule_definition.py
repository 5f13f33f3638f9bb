"""The delta rule by definition: token by token, and as a dense matrix. Both without any kernel of the chunked form.

    h_t = e^{g_t} h_{t-1} + k_t u_t^T,    u_t = beta_t (v_t - e^{g_t} h_{t-1}^T k_t),    o_t = q_t h_t / sqrt(d)

A row of the output has no formula of its own that would not take in all rows before it, so `rows_by_recurrence` runs through the tokens up
to the last row that is asked for. Segments of them are computed anew in a backward pass, so that one state a segment is kept.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from attnbench.attention import Heads, Matrix, PaddingMask, ReferenceRows, at_least_float32, without_autocast
from attnbench.kernels.definition import Rows, see
from attnbench.kernels.gates import Gates, Hidden

SEGMENT = 128  # tokens: about the root of the longest sequences that are looked at, where the memory is least

# Gives beta and the logarithmic decay, or None where the state does not decay, of every token: a mechanism's own, by definition.
GatesOf = Callable[[nn.Module, Hidden], tuple[Gates, Gates | None]]


def matrix_of(q: Heads, k: Heads, beta: Gates, log_decay: Gates | None) -> Matrix:
    """The dense matrix (lower part of Q K^T * D) (I + L)^-1 diag(beta) / sqrt(d), in the dtype of q.

    D_ij = e^{g_{j+1} + ... + g_i}, and L = the strictly lower part of diag(beta) (K K^T * D). q, k and the gates are zero at padding. Half
    precision is worked in float32.
    """
    dtype, q, k = q.dtype, _unit(at_least_float32(q)), _unit(at_least_float32(k))
    with without_autocast(q.device):
        products, scores = (beta[..., None] * (k @ k.mT)).tril(-1), (q @ k.mT).tril() / math.sqrt(q.shape[-1])
    if log_decay is not None:
        # Column j sums g from its own token on, so that no exponent is a difference of two large sums.
        decay = log_decay[..., None].expand(*log_decay.shape, log_decay.shape[-1]).tril(-1).cumsum(-2).tril().exp()
        products, scores = products * decay, scores * decay
    weights = torch.linalg.solve_triangular(products, scores, upper=False, left=False, unitriangular=True) * beta[..., None, :]
    return weights.to(dtype)


def matrix_by(gates_of: GatesOf) -> Callable[..., Matrix]:
    """A Variant's `reference` from what gives its gates."""

    def reference(
        module: nn.Module, q: Heads, k: Heads, causal: bool, padding_mask: PaddingMask | None, hidden: Hidden | None = None
    ) -> Matrix:
        assert causal and hidden is not None
        seen = see(q, k, k, torch.arange(q.shape[-2], device=q.device), causal, padding_mask)
        beta, log_decay = _gates(gates_of, module, hidden, seen.padding)
        return matrix_of(seen.all_q, seen.k, beta, log_decay)

    return reference


def rows_by_recurrence(gates_of: GatesOf) -> ReferenceRows:
    """A Variant's `reference_rows` from what gives its gates."""

    def reference_rows(
        module: nn.Module,
        q: Heads,
        k: Heads,
        v: Heads,
        rows: Rows,
        causal: bool,
        padding_mask: PaddingMask | None,
        hidden: Hidden | None = None,
    ) -> Float[Tensor, "batch heads rows head_dim"]:
        assert causal and hidden is not None
        seen = see(q, k, v, rows, causal, padding_mask)
        beta, log_decay = _gates(gates_of, module, hidden, seen.padding)
        wanted, places = rows.unique(return_inverse=True)
        q, k = _unit(seen.all_q[..., wanted, :]) / math.sqrt(q.shape[-1]), _unit(seen.k)
        return seen.without_padding(_recurrence(q, k, seen.v, beta, log_decay, wanted.tolist())[..., places, :])

    return reference_rows


def _gates(gates_of: GatesOf, module: nn.Module, hidden: Hidden, padding: Tensor) -> tuple[Gates, Gates | None]:
    """The gates; both are 0 at padding."""
    beta, log_decay = gates_of(module, hidden.masked_fill(padding[..., None], 0.0))
    at = padding[:, None]
    return beta.masked_fill(at, 0.0), None if log_decay is None else log_decay.masked_fill(at, 0.0)


def _unit(x: Tensor) -> Tensor:
    """x / sqrt(|x|^2 + 1e-6)."""
    return x / (x.square().sum(-1, keepdim=True) + 1e-6).sqrt()


def _recurrence(q: Tensor, k: Tensor, v: Tensor, beta: Gates, log_decay: Gates | None, wanted: list[int]) -> Tensor:
    """The outputs of the `wanted` tokens, in order, whose queries q holds."""
    end, k = wanted[-1] + 1, k.flatten(0, 1)
    # [batch * heads, tokens, _], and k as columns. What needs no state is computed for all tokens at once. Each is split once, because the
    # derivative of every single slice would be as large as what it is a slice of.
    beta, v = beta.flatten(0, 1)[..., None], v.flatten(0, 1)
    rows = [-beta * k, beta * v, *([] if log_decay is None else [log_decay.flatten(0, 1)[..., None].exp()])]
    segments = zip(k.mT[..., :end].split(SEGMENT, 2), *(x[:, :end].split(SEGMENT, 1) for x in rows), strict=True)
    reads = [[token % SEGMENT for token in wanted if token // SEGMENT == i] for i in range(math.ceil(end / SEGMENT))]
    queries = q.flatten(0, 1).split([len(at) for at in reads], 1)
    state, outs = k.new_zeros(len(k), k.shape[-1], v.shape[-1]), list[Tensor]()
    for segment, at, own in zip(segments, reads, queries, strict=True):
        state, *found = checkpoint(_segment, state, own, at, *segment, use_reentrant=False, preserve_rng_state=False)
        outs += found
    return torch.cat(outs, 1).unflatten(0, q.shape[:2])


def _segment(
    state: Tensor, q: Tensor, reads: list[int], k: Tensor, minus_beta_k: Tensor, beta_v: Tensor, decay: Tensor | None = None
) -> tuple[Tensor, ...]:
    """The state after some tokens, and the outputs of those at the positions `reads`, whose queries q holds."""
    queries = dict(zip(reads, q.unbind(1), strict=True))
    decays = itertools.repeat(None) if decay is None else decay.split(1, 1)
    tokens = zip(k.split(1, 2), minus_beta_k.split(1, 1), beta_v.split(1, 1), decays, strict=False)
    outs = []
    for token, (key, minus_beta_key, beta_value, fading) in enumerate(tokens):
        if fading is not None:
            state = state * fading
        u = torch.baddbmm(beta_value, minus_beta_key, state)  # beta (v - h^T k)
        state = torch.baddbmm(state, key, u)
        if token in queries:
            outs.append(queries[token][:, None] @ state)
    return state, *outs
