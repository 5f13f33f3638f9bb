"""The identity: every token keeps its own value and sees no other; a control, what a model learns without mixing tokens.

A = I, out = V: a copy, the least that any mechanism can cost. Queries and keys are not read, and W_Q and W_K learn nothing.
"""

from __future__ import annotations

from torch import nn

from attnbench.attention import Heads, Matrix, PaddingMask, Variant, hide_padding, unit_values
from attnbench.kernels.definition import rows_of_matrix

State = tuple[()]


class Identity(nn.Module):
    """No parameters, and nothing to remember: the state is empty."""

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        return v.clone() if padding_mask is None else hide_padding(padding_mask, v)[0]

    def init_state(self, batch_size: int) -> State:
        return ()

    def prefill(self, q: Heads, k: Heads, v: Heads) -> State:
        return ()

    def step(self, q: Heads, k: Heads, v: Heads, state: State) -> tuple[Heads, State]:
        return v.clone(), ()

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        return hide_padding(padding_mask, unit_values(q))[0]


VARIANT = Variant(
    build=lambda shape: Identity(),
    citation="A control of this suite",
    family="other",
    formula=r"\mathbf{I} V",
    causal=True,
    normalises_rows=True,
    equivariant=True,
    reads_qk=False,
    orthogonal=True,
    time_exponent=1.0,
    memory_exponent=1.0,
    reference_rows=rows_of_matrix(lambda module, seen: seen.identity()),
)
