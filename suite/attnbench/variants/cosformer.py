"""cosFormer: relu features weighted by the cosine of the distance between tokens, linear in seq_len.

w_ij = relu(q_i) . relu(k_j) cos(pi (i - j) / 2M), out_i = sum_j w_ij v_j / sum_j w_ij. As cos(a - b) = cos a cos b + sin a sin b the
features are [relu(x) cos a, relu(x) sin a], a = pi i / 2M: 2d of them, none negative.

Qin et al. 2022, arXiv 2202.08791.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from attnbench.attention import (
    BadInput,
    Heads,
    Matrix,
    PaddingMask,
    Shape,
    Variant,
    at_least_float32,
    count_visible,
    hide_padding,
    token_ranks,
)
from attnbench.kernels.definition import Seen, Weights, rows_of_matrix
from attnbench.kernels.linear import kernel_attention, normalise_rows
from attnbench.kernels.running_sums import RunningSums

DEFAULT_MAX_LEN = 4096


class Cosformer(nn.Module):
    """max_len is M when causal; otherwise M is each sequence's number of unpadded tokens.

    i is a token's rank among the unpadded ones. A row that shares no positive coordinate with a key it sees has no weight, and is zero.
    """

    def __init__(self, max_len: int) -> None:
        super().__init__()
        self.max_len = max_len

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        q, k, v = hide_padding(padding_mask, q, k, v)
        angles = self._angles(q, causal, padding_mask)
        return kernel_attention(_features(q, angles), _features(k, angles), v, causal, padding_mask)

    def init_state(self, batch_size: int) -> RunningSums:
        return RunningSums(batch_size)

    def prefill(self, q: Heads, k: Heads, v: Heads) -> RunningSums:
        return RunningSums(q.shape[0]).add(_features(k, self._angles(k, True, None)), v)

    def step(self, q: Heads, k: Heads, v: Heads, state: RunningSums) -> tuple[Heads, RunningSums]:
        angles = self._angles(q, True, None, before=state.length)
        state = state.add(_features(k, angles), v)
        return state.attend(_features(q, angles), v.dtype), state

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        """By the definition, not by features."""
        q, k = hide_padding(padding_mask, q, k)
        (angles,) = self._angles(q, causal, padding_mask).unbind(-1)
        scores = at_least_float32(q).relu() @ at_least_float32(k).relu().mT
        weights = scores * (angles[..., :, None] - angles[..., None, :]).cos().to(scores.dtype)
        return normalise_rows(weights, causal, padding_mask).to(q.dtype)

    def _angles(self, q: Heads, causal: bool, padding_mask: PaddingMask | None, before: int = 0) -> Tensor:
        """pi i / 2M, in [0, pi/2), [1 or batch, 1, seq_len, 1], float64, for tokens with so many before them."""
        seq_len = q.shape[-2]
        if causal and before + seq_len > self.max_len:
            came = f"cosformer got {before + seq_len} tokens, and its causal weights turn negative beyond {self.max_len}"
            raise BadInput(f"{came}; build it with seq_len={before + seq_len}")
        length = self.max_len if causal else count_visible(seq_len, False, padding_mask, q.device)
        ranks = token_ranks(seq_len, padding_mask, q.device)[:, None, :, None].double() + before
        return ranks * (math.pi / 2) / length


def _features(x: Heads, angles: Tensor) -> Tensor:
    """[relu(x) cos a, relu(x) sin a], [batch, heads, seq_len, 2 head_dim]."""
    wave = torch.stack([angles.cos(), angles.sin()], dim=-2)  # of float64, for weights near pi/2 are small differences
    x = at_least_float32(x).relu()
    return (x[..., None, :] * wave.to(x.dtype)).flatten(-2)


def rows_by_definition(module: nn.Module, seen: Seen) -> Weights:
    """relu(q) . relu(k) cos(pi (i - j) / 2M), its rows normalised; i and j are counted among the unpadded tokens."""
    assert isinstance(module, Cosformer)
    seq_len = seen.k.shape[-2]
    if seen.causal and seq_len > module.max_len:
        raise BadInput(f"cosformer got {seq_len} tokens and was built for {module.max_len}; build it with seq_len={seq_len}")
    ranks = (~seen.padding).double().cumsum(-1)[:, None, :]  # [#batch, 1, seq_len], from 1: only differences count
    length = float(module.max_len) if seen.causal else seen.count()
    distances = ranks[..., seen.rows, None] - ranks[..., None, :]
    return seen.normalised(seen.q.relu() @ seen.k.relu().mT * (distances * math.pi / (2 * length)).cos().to(seen.q.dtype))


def build(shape: Shape) -> nn.Module:
    return Cosformer(shape.seq_len or DEFAULT_MAX_LEN)


VARIANT = Variant(
    build=build,
    citation="Qin et al. 2022, cosFormer: Rethinking Softmax in Attention, arXiv 2202.08791",
    family="linear",
    formula=(
        r"\sum_{j} w_{ij} v_{j} / \sum_{j} w_{ij},\quad "
        r"w_{ij} = \operatorname{relu}(q_{i}) \cdot \operatorname{relu}(k_{j}) \operatorname{cos}(\pi(i - j) / 2 M)"
    ),
    causal=True,
    normalises_rows=False,  # a row may have no weight
    equivariant=False,
    time_exponent=1.0,
    memory_exponent=1.0,
    reference_rows=rows_of_matrix(rows_by_definition),
)
