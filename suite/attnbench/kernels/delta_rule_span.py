"""The delta rule in a span of chunks, given the state before it, and its gradients: what `delta_rule` is made of.

Everything is in float32 or wider. The chunks come first, so that what one chunk needs lies together; rows are batch x heads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from attnbench.kernels.chunk_decay import ChunkDecay, Chunks, Pairs, PerToken, State

Keys = Float[Tensor, "chunks rows size head_dim"]
Values = Float[Tensor, "chunks rows size value_dim"]
States = Float[Tensor, "chunks_and_1 rows head_dim value_dim"]


@dataclass(frozen=True)
class Gradients:
    """The gradients by what a span was given; there is none by log_decay where the state does not decay."""

    q: Keys
    k: Keys
    v: Values
    beta: PerToken
    log_decay: PerToken | None
    state: State


class SolvedSpan:
    """A span whose triangular systems are solved and whose states are known.

    u:      the rows u_t that are added to the state as k_t u_t^T.
    states: the state before each chunk and, last, that after the span.
    """

    def __init__(self, k: Keys, v: Values, beta: PerToken, decay: ChunkDecay, state: State) -> None:
        self.k, self.beta, self.decay = k, beta[..., None], decay
        self.products = (k @ k.mT).tril(-1)
        self.lower = decay.between(self.products) * self.beta
        self.past = solve(self.lower, decay.since_start(k) * self.beta)  # times the state: what the chunk takes from u because of it
        self.until = decay.until_end(k)
        self.u = solve(self.lower, v * self.beta)
        self.states = state.new_empty(len(k) + 1, *state.shape)
        self.states[0] = state
        for i in range(len(k)):
            u = self.u[i].baddbmm_(self.past[i], self.states[i], alpha=-1.0)
            torch.baddbmm(decay.over_chunk(i, self.states[i]), self.until[i].mT, u, out=self.states[i + 1])

    def read(self, q: Keys) -> Values:
        """q_t h_t."""
        inside = self.decay.between((q @ self.k.mT).tril()) @ self.u
        return inside.add_(self.decay.since_start(q) @ self.states[:-1])

    def gradients(self, q: Keys, by_out: Values, by_last: State) -> Gradients:
        """The gradients of all inputs, given those by what `read` gives for q and by the last state."""
        decay, k, u, before = self.decay, self.k, self.u, self.states[:-1]
        scores = (q @ k.mT).tril()
        by_u = decay.between(scores).mT @ by_out
        by_states = self._back_through_states(decay.since_start(q).mT @ by_out, by_u, by_last)
        by_rows = solve_transposed(self.lower, by_u)  # by the right-hand sides of the systems
        by_scores = decay.between((by_out @ u.mT).tril())
        by_products = decay.between((by_rows @ u.mT).tril(-1)).mul_(-self.beta)
        # By rows times decays; v takes the same from by_rows as k, but for the state.
        by_v = by_rows * self.beta
        by_q_since, by_k_since, by_k_until = by_out @ before.mT, -(by_v @ before.mT), u @ by_states[1:].mT
        by_log_decay = None
        if not decay.is_none:
            by_log_decay = decay.gradient(
                between=by_scores * scores + by_products * self.products,
                since=(decay.since_start(q) * by_q_since + decay.since_start(k) * by_k_since).sum(-1),
                until=(self.until * by_k_until).sum(-1),
                over=(before * by_states[1:]).sum((-2, -1)),
            )
        return Gradients(
            q=(by_scores @ k).add_(decay.since_start(by_q_since)),
            k=((by_products + by_products.mT) @ k)
            .add_(by_scores.mT @ q)
            .add_(decay.since_start(by_k_since))
            .add_(decay.until_end(by_k_until)),
            v=by_v,
            beta=((by_rows * u).sum(-1, keepdim=True) / self.beta).masked_fill_(self.beta == 0.0, 0.0).squeeze(-1),
            log_decay=by_log_decay,
            state=by_states[0],
        )

    def _back_through_states(self, by_states: Float[Tensor, "chunks rows head_dim value_dim"], by_u: Values, by_last: State) -> States:
        """The gradients by all states, and in place those by u: what is given of both leaves out what comes through later states."""
        found = by_last.new_empty(self.states.shape)
        found[-1] = by_last
        for i in reversed(range(len(by_u))):
            by_u[i].baddbmm_(self.until[i], found[i + 1])
            by_states[i].add_(self.decay.over_chunk(i, found[i + 1]))
            torch.baddbmm(by_states[i], self.past[i].mT, by_u[i], alpha=-1.0, out=found[i])
        return found


def solve(lower: Pairs, rows: Chunks) -> Chunks:
    """X of (I + lower) X = rows for strictly lower matrices. As the transposed system, which torch solves without copies."""
    return torch.linalg.solve_triangular(lower.mT, rows.mT, upper=True, left=False, unitriangular=True).mT


def solve_transposed(lower: Pairs, rows: Chunks) -> Chunks:
    """X of (I + lower)^T X = rows."""
    return torch.linalg.solve_triangular(lower, rows.mT, upper=False, left=False, unitriangular=True).mT
