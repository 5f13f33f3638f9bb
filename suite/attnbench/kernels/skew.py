"""What all orthogonal forms share: alpha, damping, the projections at the start, and the dense exponential that defines three of them.

S = c U J U^T with U = [Q, K], J = [[0, I], [-I, 0]], c = alpha / sqrt(d): skew-symmetric, of rank at most 2d, and linear in alpha.

Damping takes S - g I in place of S, g = damping / num_layers (damping itself where the number of layers is not known), so that a stack
loses as much at any depth. Of exp(S - g I) = e^-g exp(S) every singular value is e^-g. Miglior, Gravina, Bacciu 2026, arXiv 2609.39739,
have it in Cayley's form, as the ablation of orthogonality; 0, the default, is none.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import TypeGuard, cast

import torch
from torch import Tensor, nn

from attnbench.attention import (
    BadInput,
    Heads,
    KVHeads,
    Matrix,
    PaddingMask,
    Shape,
    Unsupported,
    at_least_float32,
    hide_padding,
    repeat_heads,
    unit_values,
    without_autocast,
)

MOST_ROWS_IN_A_BATCH = 128

Rotate = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
DampedRotate = Callable[[Tensor, Tensor, Tensor, Tensor, float], Tensor]


class SkewAttention(nn.Module):
    """out = A V for A = f(S - g I), orthogonal where g is 0, by `rotate(q, k, v, c, g)`, which gives A v.

    q, k: [batch, heads, seq_len, head_dim], padding zeroed; v: [batch, heads, seq_len, width]; c: [heads, 1, 1]; all of one dtype, float32
    or wider, for a Gram matrix in half precision has 8 or 11 bits. alpha, the first parameter, has shape [num_heads] and is used as it is:
    0 makes A the identity, but for the damping. damping: g, at least 0.
    """

    def __init__(self, name: str, alpha: nn.Parameter, damping: float, head_dim: int, rotate: DampedRotate) -> None:
        super().__init__()
        self.name = name
        self.alpha = alpha
        self.damping = damping
        self.head_dim = head_dim
        self.rotate = rotate

    def forward(self, q: Heads, k: KVHeads, v: KVHeads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        (v,) = hide_padding(padding_mask, v)
        return hide_padding(padding_mask, self._attend(q, k, v, causal, padding_mask))[0]

    def matrix(self, q: Heads, k: KVHeads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        """A; on padded rows it is f(-g) times the identity, whatever `forward` shows there."""
        return self._attend(q, k, unit_values(q), causal, padding_mask)

    def _attend(self, q: Heads, k: KVHeads, v: Tensor, causal: bool, padding_mask: PaddingMask | None) -> Tensor:
        if causal:
            raise Unsupported(f"{self.name} has no causal form: a triangular orthogonal matrix is diagonal")
        dtype = v.dtype
        q, k, v = (at_least_float32(x) for x in (*hide_padding(padding_mask, q, k), v))
        k, v = (repeat_heads(q.shape[1], x)[0] for x in (k, v))
        c = (self.alpha.to(q.dtype) / math.sqrt(self.head_dim))[:, None, None]
        with without_autocast(q.device):
            return self.rotate(q, k, v, c, self.damping).to(dtype)

    def init_projections(self, w_q: Tensor, w_k: Tensor, w_v: Tensor, w_o: Tensor) -> None:
        """The paper's initialisation, in place."""
        init_jointly_orthonormal(self.head_dim, w_q, w_k, w_v, w_o)


def init_jointly_orthonormal(head_dim: int, w_q: Tensor, w_k: Tensor, w_v: Tensor, w_o: Tensor) -> None:
    """Start projections in place: [W_Q, W_K] jointly orthonormal per head, W_V and W_O orthogonal."""
    with torch.no_grad():
        for start in range(0, w_q.shape[0], head_dim):
            rows = slice(start, start + head_dim)
            joint = torch.empty(2 * head_dim, w_q.shape[1], dtype=w_q.dtype, device=w_q.device)
            nn.init.orthogonal_(joint)
            w_q[rows], w_k[rows] = joint.chunk(2)
        nn.init.orthogonal_(w_v)
        nn.init.orthogonal_(w_o)


def skew_builder(name: str, rotate: DampedRotate) -> Callable[[Shape, object, object], nn.Module]:
    """The `build` of an orthogonal form; its parameter alpha is one number for all heads, or None for the initial one."""

    def build(shape: Shape, alpha: object, damping: object) -> nn.Module:
        return SkewAttention(name, alpha_parameter(shape, alpha), damping_of(shape, damping), shape.head_dim, rotate)

    return build


def damped(rotate: Rotate) -> DampedRotate:
    """exp(S - g I) v = e^-g exp(S) v, from a function that gives exp(S) v."""

    def attend(q: Tensor, k: Tensor, v: Tensor, c: Tensor, g: float) -> Tensor:
        out = rotate(q, k, v, c)
        return out * math.exp(-g) if g else out

    return attend


def initial_alpha(head_dim: int, seq_len: int | None, num_layers: int | None = None) -> float:
    """An alpha at which S has norm 1 for unit-variance queries and keys, or sqrt(2 / num_layers) in a stack deeper than two.

    That norm is about alpha (N + 2 sqrt(N d)) / sqrt(d); without a known length N = 64 is taken. Measured condition number of the Jacobian
    of a skipless stack (N 16 to 49, d_model 16 to 64), in brackets with alpha 0: 1 layer 26-199 (1.7), 2 layers 36-150 (2.6), 4 layers
    16-21 (4.4), 8 layers 14-21 (8.5-10), 16 layers 26-38 (24-30), 32 layers 135-195 (121-185); at norm 1 throughout, 8 layers 86-540 and
    32 layers 562-7,020. A smaller norm mixes less at first: two residual layers on mnist reach .864 at 1 and .754 at 1/2 in 4 epochs,
    six skipless ones .901 and .905 in 6.
    """
    length = seq_len or 64
    norm = math.sqrt(2 / max(2, num_layers or 1))
    return norm * math.sqrt(head_dim) / (length + 2 * math.sqrt(length * head_dim))


def alpha_parameter(shape: Shape, alpha: object) -> nn.Parameter:
    """One alpha a head, [num_heads]: the given number, or for None the initial one. Raises BadInput for anything else."""
    if alpha is None:
        start = initial_alpha(shape.head_dim, shape.seq_len, shape.num_layers)
    elif _is_finite(alpha):
        start = float(alpha)
    else:
        raise BadInput(f"alpha is {alpha!r}; give a finite number, or None for one chosen from seq_len and head_dim")
    return nn.Parameter(torch.full((shape.num_heads,), start))


def damping_of(shape: Shape, damping: object) -> float:
    """g, the damping of one layer: the given number over num_layers, or over 1 where that is not known. Raises BadInput for a wrong one."""
    if not _is_finite(damping) or damping < 0:
        raise BadInput(f"damping is {damping!r}; give a finite number of at least 0, which is divided by the number of layers")
    return float(damping) / (shape.num_layers or 1)


def _is_finite(value: object) -> TypeGuard[float]:
    """Whether a value is a number that a float holds."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def apply_j(x: Tensor) -> Tensor:
    """J x for J = [[0, I], [-I, 0]]: the lower half, then minus the upper half."""
    upper, lower = x.chunk(2, dim=-2)
    return torch.cat([lower, -upper], dim=-2)


def solve(a: Tensor, b: Tensor) -> Tensor:
    """a^-1 b for a batch of square matrices; no error code is read back from the device.

    On the CPU large ones go one by one: with two threads torch 2.13's batched LU never returns from 160 rows on (seen; 144 pass).
    """
    if a.device.type != "cpu" or a.shape[-1] <= MOST_ROWS_IN_A_BATCH:
        return torch.linalg.solve_ex(a, b).result
    each = [torch.linalg.solve_ex(x, y).result for x, y in zip(a.flatten(0, -3), b.flatten(0, -3), strict=True)]
    return torch.stack(each).view(b.shape)


def dense_skew(module: nn.Module, q: Heads, k: KVHeads, padding_mask: PaddingMask | None) -> Matrix:
    """S itself, zero in the rows and columns of padding: for checking."""
    q, k = hide_padding(padding_mask, q, *repeat_heads(q.shape[1], k))
    c = module.get_parameter("alpha").to(q.dtype)[:, None, None] / math.sqrt(q.shape[-1])
    return c * (q @ k.mT - k @ q.mT)


def layer_damping(module: nn.Module) -> float:
    """g of an orthogonal form's module."""
    return float(cast(SkewAttention, module).damping)


def exponential(module: nn.Module, q: Heads, k: KVHeads, causal: bool, padding_mask: PaddingMask | None) -> Matrix:
    """exp(S - g I) by torch.linalg.matrix_exp of the dense matrix: the definition, for checking."""
    s = dense_skew(module, q, k, padding_mask)
    return torch.linalg.matrix_exp(s - layer_damping(module) * torch.eye(s.shape[-1], dtype=s.dtype, device=s.device))
