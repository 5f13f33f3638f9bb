"""sum_j P(q_i . k_j) v_j for a polynomial P, exactly and in time linear in seq_len: by symmetric features.

With (q . k)^p = f_p(q) . (w_p f_p(k)) the sum over the keys is one state S_p = w_p sum_j f_p(k_j) v_j^T for every power, and
out_i = sum_p c_p f_p(q_i)^T S_p. When causal the state is the one before the chunk, and the pairs within the chunk go by their matrix.
Tokens are worked in chunks. The features of the highest power are made part by part, and each part is used for all that is needed of it
while it lies in the cache; the backward pass makes them again, and is given the sums over the keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from attnbench.attention import without_autocast
from attnbench.kernels.activation import Polynomial
from attnbench.kernels.batching import by_folding
from attnbench.kernels.feature_states import Coefficients, FeatureStates, States, chunking, degree_of, features_of


def power_sums(
    q: Float[Tensor, "batch heads seq_len head_dim"],
    k: Float[Tensor, "batch heads seq_len head_dim"],
    v: Float[Tensor, "batch heads seq_len value_dim"],
    coefficients: Coefficients,
    causal: bool,
) -> Float[Tensor, "batch heads seq_len value_dim"]:
    """sum over keys of P(q . k) v, P(x) = sum_p c_p x^p, differentiable in q, k and v.

    Time is that of 4 N D value_dim operations a head, D = C(head_dim + p - 1, p); extra memory a few times that of q, k and v. Mixed
    precision rounds nothing in it.
    """
    with without_autocast(v.device):
        out: Tensor = _PowerSums.apply(q, k, v, coefficients, causal)[0]  # type: ignore[no-untyped-call]
    return out


def sums_of(
    k: Float[Tensor, "batch heads seq_len head_dim"], v: Float[Tensor, "batch heads seq_len value_dim"], coefficients: Coefficients
) -> tuple[Float[Tensor, "_ _ value_dim"], ...]:
    """The states of all the keys, weighted: c_p S_p for each power, [batch * heads, D_p, value_dim]."""
    work = _Work(k, k, v, coefficients, causal=False)
    with without_autocast(v.device):
        return work.states.by_power(work.gathered())


def meet_sums(
    q: Float[Tensor, "batch heads seq_len head_dim"], sums: tuple[Tensor, ...], coefficients: Coefficients
) -> Float[Tensor, "batch heads seq_len value_dim"]:
    """sum over the keys of `sums_of` of P(q . k) v."""
    levels = features_of(q.shape[-1], degree_of(coefficients)).of(q.flatten(0, 1).mT.contiguous())
    with without_autocast(q.device):
        products = [torch.bmm(levels[power].mT, state) for (power, _), state in zip(coefficients, sums, strict=True)]
    return sum(products[1:], start=products[0]).view(*q.shape[:-1], -1)


class _PowerSums(torch.autograd.Function):
    @staticmethod
    def forward(q: Tensor, k: Tensor, v: Tensor, coefficients: Coefficients, causal: bool) -> tuple[Tensor, ...]:
        """The sums and, where one state of a piece serves every query, the states: not differentiable, for the backward pass."""
        work = _Work(q, k, v, coefficients, causal)
        out = v.new_empty(work.v.shape)
        states = work.causal_forward(out) if causal else work.forward(out)
        return out.view(v.shape), *(state.unflatten(0, v.shape[:2]) for state in states)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        q, k, v, ctx.coefficients, ctx.causal = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(q, k, v, *output[1:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor, *_: None) -> tuple[Tensor | None, ...]:
        q, k, v, *states = ctx.saved_tensors
        work = _Work(q, k, v, ctx.coefficients, ctx.causal)
        d_out = upstream.reshape(work.v.shape)
        dq, dk, dv = q.new_empty(work.q.shape), k.new_empty(work.k.shape), v.new_empty(work.v.shape)
        with without_autocast(v.device):
            if ctx.causal:
                work.causal_backward(d_out, dq, dk, dv)
            else:
                work.backward([state.flatten(0, 1) for state in states], d_out, dq, dk, dv)
        return dq.view(q.shape), dk.view(k.shape), dv.view(v.shape), None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        return by_folding(_PowerSums, info, in_dims, inputs)


class _Work:
    """Inputs as [batch * heads, seq_len, dim], cut into heads and chunks of tokens, and the steps on one chunk."""

    def __init__(self, q: Tensor, k: Tensor, v: Tensor, coefficients: Coefficients, causal: bool) -> None:
        self.q, self.k, self.v = (x.reshape(-1, *x.shape[-2:]) for x in (q, k, v))
        self.activation = Polynomial(coefficients)
        heads, seq_len, head_dim = self.q.shape
        plan = chunking(heads, head_dim, degree_of(coefficients), causal, q.device.type)
        self.head_block, self.chunk = plan.heads, plan.tokens
        values = plan.heads * plan.rows * min(plan.tokens, seq_len)
        self.states = FeatureStates(coefficients, head_dim, self.v.shape[2], self.v, values)

    def forward(self, out: Tensor) -> States:
        """Applies the states of all keys to every query, and gives them."""
        weighted = self.gathered()
        for heads in self.heads():
            own = [state[heads] for state in weighted]
            for at in self.chunks():
                self.states.visit(self.q[heads, at], spread=(own, out[heads, at]))
        return weighted

    def backward(self, weighted: States, d_out: Tensor, dq: Tensor, dk: Tensor, dv: Tensor) -> None:
        """dQ from the states of the keys, dK and dV from states that are summed over the queries."""
        for heads in self.heads():
            own, turned = [state[heads] for state in weighted], self.states.empty(self.q[heads].shape[0])
            for at in self.chunks():
                self.states.visit(self.q[heads, at], collect=(turned, d_out[heads, at]), pull=(own, d_out[heads, at], dq[heads, at]))
            turned = self.states.weighted(turned)
            for at in self.chunks():
                self.states.visit(self.k[heads, at], spread=(turned, dv[heads, at]), pull=(turned, self.v[heads, at], dk[heads, at]))

    def causal_forward(self, out: Tensor) -> States:
        """Applies the states of the chunks before a chunk to its queries, and adds the attention within the chunk."""
        for heads in self.heads():
            states = self.states.empty(self.q[heads].shape[0])
            for at in self.chunks():
                self.states.visit(self.q[heads, at], spread=(self.states.weighted(states), out[heads, at]))
                out[heads, at].add_(self.within(heads, at))
                self.states.visit(self.k[heads, at], collect=(states, self.v[heads, at]))
        return []

    def causal_backward(self, d_out: Tensor, dq: Tensor, dk: Tensor, dv: Tensor) -> None:
        """dQ from the states of the keys before a chunk, dK and dV from those of the queries after it: one pass in each direction."""
        for heads in self.heads():
            states, turned = self.states.empty(self.q[heads].shape[0]), self.states.empty(self.q[heads].shape[0])
            for at in self.chunks():
                self.states.visit(self.q[heads, at], pull=(self.states.weighted(states), d_out[heads, at], dq[heads, at]))
                self.states.visit(self.k[heads, at], collect=(states, self.v[heads, at]))
            for at in reversed(list(self.chunks())):
                weighted = self.states.weighted(turned)
                self.states.visit(self.k[heads, at], spread=(weighted, dv[heads, at]), pull=(weighted, self.v[heads, at], dk[heads, at]))
                self.within_backward_(heads, at, d_out, dq, dk, dv)
                self.states.visit(self.q[heads, at], collect=(turned, d_out[heads, at]))

    def heads(self) -> Iterator[slice]:
        return (slice(start, start + self.head_block) for start in range(0, self.q.shape[0], self.head_block))

    def chunks(self) -> Iterator[slice]:
        seq_len = self.q.shape[1]
        return (slice(start, min(start + self.chunk, seq_len)) for start in range(0, seq_len, self.chunk))

    def gathered(self) -> States:
        """The states of all keys, weighted."""
        states = self.states.empty(self.k.shape[0])
        for heads in self.heads():
            own = [state[heads] for state in states]
            for at in self.chunks():
                self.states.visit(self.k[heads, at], collect=(own, self.v[heads, at]))
        return self.states.weighted(states)

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
        dv[heads, tokens].add_(scores.tril_().mT @ upstream)
        d_scores = (upstream @ self.v[heads, tokens].mT).mul_(slope).tril_()
        dq[heads, tokens].add_(d_scores @ keys)
        dk[heads, tokens].add_(d_scores.mT @ queries)
