"""sum_j P(q_i . k_j) v_j for a polynomial P, exactly and in time linear in seq_len: by symmetric features.

With (q . k)^p = f_p(q) . (w_p f_p(k)) the sum over the keys is one state S_p = w_p sum_j f_p(k_j) v_j^T for every power, and
out_i = sum_p c_p f_p(q_i)^T S_p. When causal the state is the one before the chunk, and the pairs within the chunk go by their matrix.
Tokens are worked in chunks; features live for one chunk, and the backward pass makes them again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from attnbench.kernels.activation import Polynomial
from attnbench.kernels.batching import by_folding
from attnbench.kernels.symmetric import SymmetricFeatures

Coefficients = tuple[tuple[int, float], ...]

SHORTEST_CHUNK, LONGEST_CHUNK = 64, 1024
FEATURE_VALUES = 2**21  # 8 MB of float32 features at a time: measured, as fast as 16 MB
FEATURE_VALUES_ELSEWHERE = 2**26  # where a launch costs more than a cache saves; not measured
MOST_HEADS = 4
SHORTEST_CAUSAL_CHUNK, LONGEST_CAUSAL_CHUNK = 256, 512  # within a chunk the time is quadratic: about as many tokens as features

features_of = cache(SymmetricFeatures)


def power_sums(
    q: Float[Tensor, "batch heads seq_len head_dim"],
    k: Float[Tensor, "batch heads seq_len head_dim"],
    v: Float[Tensor, "batch heads seq_len value_dim"],
    coefficients: Coefficients,
    causal: bool,
) -> Float[Tensor, "batch heads seq_len value_dim"]:
    """sum over keys of P(q . k) v, P(x) = sum_p c_p x^p, differentiable in q, k and v.

    Time is that of 4 N D value_dim operations a head, D = C(head_dim + p - 1, p); extra memory a few times that of q, k and v.
    """
    out: Tensor = _PowerSums.apply(q, k, v, coefficients, causal)  # type: ignore[no-untyped-call]
    return out


def sums_of(
    k: Float[Tensor, "batch heads seq_len head_dim"], v: Float[Tensor, "batch heads seq_len value_dim"], coefficients: Coefficients
) -> tuple[Float[Tensor, "_ _ value_dim"], ...]:
    """The states of all the keys, weighted: c_p S_p for each power, [batch * heads, D_p, value_dim]."""
    work = _Work(k, k, v, coefficients, causal=False)
    return tuple(torch.cat(parts) for parts in zip(*(work.gathered(heads) for heads in work.heads()), strict=True))


def meet_sums(
    q: Float[Tensor, "batch heads seq_len head_dim"], sums: tuple[Tensor, ...], coefficients: Coefficients
) -> Float[Tensor, "batch heads seq_len value_dim"]:
    """sum over the keys of `sums_of` of P(q . k) v."""
    levels = features_of(q.shape[-1], degree_of(coefficients)).of(q.flatten(0, 1).mT.contiguous())
    return _spread(levels, sums, coefficients).view(*q.shape[:-1], -1)


@dataclass(frozen=True)
class Chunking:
    """How the work is cut: heads and tokens at a time, features a token (those of lower powers included), operations a chunk."""

    heads: int
    tokens: int
    dimension: int
    operations: int


def chunking(heads: int, head_dim: int, degree: int, causal: bool, device: str) -> Chunking:
    """The cut for that many heads, batch included, on a type of device."""
    symmetric = features_of(head_dim, degree)
    dimension = sum(symmetric.dimension(power) for power in range(1, degree + 1))
    values, most = (FEATURE_VALUES, MOST_HEADS) if device == "cpu" else (FEATURE_VALUES_ELSEWHERE, heads)
    at_once = max(1, min(heads, most, values // (SHORTEST_CHUNK * dimension)))
    longest = min(LONGEST_CAUSAL_CHUNK, max(SHORTEST_CAUSAL_CHUNK, dimension)) if causal else LONGEST_CHUNK
    tokens = max(SHORTEST_CHUNK, min(longest, values // (at_once * dimension)))
    operations = 2 * symmetric.groups * (degree - 1) + (14 if causal else 6)
    return Chunking(at_once, tokens, dimension, operations)


class _PowerSums(torch.autograd.Function):
    @staticmethod
    def forward(q: Tensor, k: Tensor, v: Tensor, coefficients: Coefficients, causal: bool) -> Tensor:
        work = _Work(q, k, v, coefficients, causal)
        out = v.new_empty(work.v.shape)
        for heads in work.heads():
            (work.causal_forward if causal else work.forward)(heads, out)
        return out.view(v.shape)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        q, k, v, ctx.coefficients, ctx.causal = inputs
        ctx.save_for_backward(q, k, v)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v = ctx.saved_tensors
        work = _Work(q, k, v, ctx.coefficients, ctx.causal)
        d_out = upstream.reshape(work.v.shape)
        dq, dk, dv = q.new_empty(work.q.shape), k.new_empty(work.k.shape), v.new_empty(work.v.shape)
        for heads in work.heads():
            (work.causal_backward if ctx.causal else work.backward)(heads, d_out, dq, dk, dv)
        return dq.view(q.shape), dk.view(k.shape), dv.view(v.shape), None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
        return by_folding(_PowerSums, info, in_dims, inputs)


class _Work:
    """Inputs as [batch * heads, seq_len, dim], cut into heads and chunks of tokens, and the steps on one chunk."""

    def __init__(self, q: Tensor, k: Tensor, v: Tensor, coefficients: Coefficients, causal: bool) -> None:
        self.q, self.k, self.v = (x.reshape(-1, *x.shape[-2:]) for x in (q, k, v))
        self.coefficients = coefficients
        self.activation = Polynomial(coefficients)
        self.symmetric = features_of(q.shape[-1], degree_of(coefficients))
        plan = chunking(self.q.shape[0], q.shape[-1], self.symmetric.degree, causal, q.device.type)
        self.head_block, self.chunk = plan.heads, plan.tokens
        self.factors = [
            factor * _weights(q.shape[-1], self.symmetric.degree, power, q.device).to(q.dtype) for power, factor in coefficients
        ]

    def forward(self, heads: slice, out: Tensor) -> None:
        """Sums all keys into the states, then applies these to every query."""
        weighted = self.gathered(heads)
        for tokens in self.chunks():
            out[heads, tokens] = self.spread(self.features(self.q, heads, tokens), weighted)

    def backward(self, heads: slice, d_out: Tensor, dq: Tensor, dk: Tensor, dv: Tensor) -> None:
        """dQ from the states of the keys, dK and dV from states that are summed over the queries."""
        weighted, turned = self.gathered(heads), self.states(heads)
        for tokens in self.chunks():
            levels = self.features(self.q, heads, tokens)
            self.collect_(turned, levels, d_out[heads, tokens])
            dq[heads, tokens] = self.pull_back(levels, weighted, d_out[heads, tokens])
        weighted = self.weighted(turned)
        for tokens in self.chunks():
            levels = self.features(self.k, heads, tokens)
            dv[heads, tokens] = self.spread(levels, weighted)
            dk[heads, tokens] = self.pull_back(levels, weighted, self.v[heads, tokens])

    def causal_forward(self, heads: slice, out: Tensor) -> None:
        """Applies the states of the chunks before a chunk to its queries, and adds the attention within the chunk."""
        states = self.states(heads)
        for tokens in self.chunks():
            out[heads, tokens] = self.spread(self.features(self.q, heads, tokens), self.weighted(states)) + self.within(heads, tokens)
            self.collect_(states, self.features(self.k, heads, tokens), self.v[heads, tokens])

    def causal_backward(self, heads: slice, d_out: Tensor, dq: Tensor, dk: Tensor, dv: Tensor) -> None:
        """dQ from the states of the keys before a chunk, dK and dV from those of the queries after it: one pass in each direction."""
        states, turned = self.states(heads), self.states(heads)
        for tokens in self.chunks():
            levels = self.features(self.q, heads, tokens)
            dq[heads, tokens] = self.pull_back(levels, self.weighted(states), d_out[heads, tokens])
            self.collect_(states, self.features(self.k, heads, tokens), self.v[heads, tokens])
        for tokens in reversed(list(self.chunks())):
            levels, weighted = self.features(self.k, heads, tokens), self.weighted(turned)
            dv[heads, tokens] = self.spread(levels, weighted)
            dk[heads, tokens] = self.pull_back(levels, weighted, self.v[heads, tokens])
            self.within_backward_(heads, tokens, d_out, dq, dk, dv)
            self.collect_(turned, self.features(self.q, heads, tokens), d_out[heads, tokens])

    def heads(self) -> Iterator[slice]:
        return (slice(start, start + self.head_block) for start in range(0, self.q.shape[0], self.head_block))

    def chunks(self) -> Iterator[slice]:
        seq_len = self.q.shape[1]
        return (slice(start, min(start + self.chunk, seq_len)) for start in range(0, seq_len, self.chunk))

    def features(self, x: Tensor, heads: slice, tokens: slice) -> list[Tensor]:
        """Features of every power of some tokens, each [heads, dimension, tokens]."""
        return self.symmetric.of(x[heads, tokens].mT.contiguous())

    def states(self, heads: slice) -> list[Tensor]:
        """An empty state for every power of the polynomial, [heads, dimension, value_dim]."""
        count = self.q[heads].shape[0]
        return [self.v.new_zeros(count, self.symmetric.dimension(power), self.v.shape[2]) for power, _ in self.coefficients]

    def gathered(self, heads: slice) -> list[Tensor]:
        """The states of all keys, weighted."""
        states = self.states(heads)
        for tokens in self.chunks():
            self.collect_(states, self.features(self.k, heads, tokens), self.v[heads, tokens])
        return self.weighted(states)

    def weighted(self, states: list[Tensor]) -> list[Tensor]:
        return [factor * state for factor, state in zip(self.factors, states, strict=True)]

    def collect_(self, states: list[Tensor], levels: list[Tensor], values: Tensor) -> None:
        """state += f(tokens) values^T."""
        for (power, _), state in zip(self.coefficients, states, strict=True):
            state.baddbmm_(levels[power], values)

    def spread(self, levels: list[Tensor], weighted: list[Tensor]) -> Tensor:
        """f(tokens)^T state, summed over the powers: [heads, tokens, value_dim]."""
        return _spread(levels, weighted, self.coefficients)

    def pull_back(self, levels: list[Tensor], weighted: list[Tensor], values: Tensor) -> Tensor:
        """Gradient of values . spread(levels, weighted) by the tokens of `levels`: [heads, tokens, head_dim]."""
        gradients: list[Tensor | None] = [None] * len(levels)
        for (power, _), state in zip(self.coefficients, weighted, strict=True):
            gradients[power] = torch.bmm(state, values.mT)
        return self.symmetric.pull_back_(levels[1], levels, gradients).mT

    def within(self, heads: slice, tokens: slice) -> Tensor:
        """The causal attention of the tokens of one chunk over each other."""
        scores = self.q[heads, tokens] @ self.k[heads, tokens].mT
        self.activation.value_(scores, torch.empty_like(scores))
        return scores.tril_() @ self.v[heads, tokens]

    def within_backward_(self, heads: slice, tokens: slice, d_out: Tensor, dq: Tensor, dk: Tensor, dv: Tensor) -> None:
        """Add the gradients of `within`."""
        queries, keys, upstream = self.q[heads, tokens], self.k[heads, tokens], d_out[heads, tokens]
        scores = queries @ keys.mT
        slope = torch.empty_like(scores)
        self.activation.value_and_slope_(scores, slope)
        dv[heads, tokens] += scores.tril_().mT @ upstream
        d_scores = (upstream @ self.v[heads, tokens].mT).mul_(slope).tril_()
        dq[heads, tokens] += d_scores @ keys
        dk[heads, tokens] += d_scores.mT @ queries


def degree_of(coefficients: Coefficients) -> int:
    """The highest power, at least 1."""
    return max(1, *(power for power, _ in coefficients))


def _spread(levels: list[Tensor], weighted: Sequence[Tensor], coefficients: Coefficients) -> Tensor:
    products = [torch.bmm(levels[power].mT, state) for (power, _), state in zip(coefficients, weighted, strict=True)]
    return sum(products[1:], start=products[0])


@cache
def _weights(head_dim: int, degree: int, power: int, device: torch.device) -> Tensor:
    return features_of(head_dim, degree).weights(power).to(device)
