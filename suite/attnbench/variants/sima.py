"""SimA: no softmax; queries and keys are divided by their L1 norms over all tokens, then linear attention.

A = Q^ K^^T, Q^_ic = q_ic / sum_l |q_lc|, K^ likewise, each channel of a head by itself over the unpadded tokens; out = A V, computed as
Q^ (K^^T V), linear in seq_len. No 1/sqrt(d), and rows do not sum to one. The norms look ahead, so that there is no causal form. A channel
that is zero throughout stays zero.

Koohpayegani and Pirsiavash 2024, SimA: Simple Softmax-free Attention for Vision Transformers, arXiv 2206.08898, whose code takes the
product Q^ K^^T first where there are fewer tokens than channels: the same output.
"""

from __future__ import annotations

from torch import Tensor, nn

from attnbench.attention import Heads, Matrix, PaddingMask, Unsupported, Variant, at_least_float32, hide_padding, without_autocast
from attnbench.kernels.definition import Seen, Weights, rows_of_matrix


class SimA(nn.Module):
    """No parameters. Half precision is worked in float32: entries of the matrix are of the size of 1 / seq_len^2."""

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        _refuse(causal)
        q, k, v = hide_padding(padding_mask, q, k, v)
        with without_autocast(q.device):
            return (_by_channel(q) @ (_by_channel(k).mT @ at_least_float32(v))).to(v.dtype)

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        _refuse(causal)
        q, k = hide_padding(padding_mask, q, k)
        return (_by_channel(q) @ _by_channel(k).mT).to(q.dtype)


def _refuse(causal: bool) -> None:
    if causal:
        raise Unsupported("sima has no causal form: its norms are sums over all tokens, later ones too")


def _by_channel(x: Heads) -> Tensor:
    """x in float32 or wider, each channel divided by its L1 norm over the tokens.

    The gradient by x, (g - sign(x) sum g x^) / norm, is zero for a lone token. It is so exactly, and not a rounding error over the norm,
    where the norm's own part of it comes from x^: the factor of x^ below is 0.
    """
    wide = at_least_float32(x)
    norm = wide.abs().sum(-2, keepdim=True)
    fixed = norm.detach().masked_fill(norm == 0.0, 1.0)
    return (wide - (wide.detach() / fixed) * (norm - norm.detach())) / fixed


def rows_by_definition(module: nn.Module, seen: Seen) -> Weights:
    """The products of queries and keys, each channel over both of its sums of absolute values."""
    _refuse(seen.causal)
    sums = seen.all_q.norm(p=1, dim=-2, keepdim=True) * seen.k.norm(p=1, dim=-2, keepdim=True)
    return seen.only_visible(seen.q / sums.masked_fill(sums == 0.0, 1.0) @ seen.k.mT)


VARIANT = Variant(
    build=lambda shape: SimA(),
    citation="Koohpayegani and Pirsiavash 2024, SimA: Simple Softmax-free Attention for Vision Transformers, arXiv 2206.08898",
    family="linear",
    formula=r"\hat{Q} (\hat{K}^{\top} V), \hat{X}_{ic} = X_{ic} / \textstyle\sum_l |X_{lc}|",
    causal=False,
    normalises_rows=False,
    equivariant=True,
    time_exponent=1.0,
    memory_exponent=1.0,
    reference_rows=rows_of_matrix(rows_by_definition),
)
