"""A key-value cache, and the attention of one token's query over it.

The buffers have room for more tokens than there are and double when they are full, so that a step writes one row of keys and one of
values and copies none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attnbench.attention import Heads, KVHeads, at_least_float32
from attnbench.kernels.activation import Activation
from attnbench.kernels.normalised import BITS, Normalised, RowSums
from attnbench.kernels.state_batch import require_batch_size

Keys = Float[Tensor, "batch heads seq_len key_dim"]
Values = Float[Tensor, "batch value_heads seq_len value_dim"]

SMALLEST_CAPACITY = 16  # tokens
# Half precision is widened in blocks of 1 MB. Measured on one core, 16,384 tokens, 8 heads of 64, both products: 4.7 ms so, 7.1 ms in
# blocks of 2 MB or more; 24 ms with the products in bfloat16, for which oneDNN copies the whole operand. In float32 they take 2.7 ms.
WIDENED_VALUES = 2**18


class _Buffers:
    """Keys and values with room for more. The states of one sequence share them, so that they grow once for all of these."""

    def __init__(self) -> None:
        self.held: tuple[Tensor, ...] = ()  # none before the first token, which tells width, dtype and device

    def write(self, start: int, *added: Tensor) -> None:
        """Put keys and values at the tokens from `start` on."""
        end = start + added[0].shape[2]
        if not self.held or self.held[0].shape[2] < end:
            capacity = max(SMALLEST_CAPACITY, 1 << (end - 1).bit_length())
            grown = tuple(x.new_empty(*x.shape[:2], capacity, x.shape[3]) for x in added)
            for new, old in zip(grown, self.held, strict=False):
                new[:, :, : old.shape[2]] = old
            self.held = grown
        for buffer, x in zip(self.held, added, strict=True):
            buffer[:, :, start:end] = x


@dataclass(frozen=True)
class Cache:
    """The keys and values of the first `length` tokens of `batch_size` sequences, in the dtype in which they came.

    A cache stays valid after `append`, which writes beyond its length. A second `append` to it overwrites the same rows, so that of two
    continuations of one cache only the later is valid.
    """

    batch_size: int
    length: int = 0
    _buffers: _Buffers = field(default_factory=_Buffers, repr=False)

    def append(self, k: Keys, v: Values) -> Cache:
        """The cache with one token more, or several. Values may have fewer heads, and another width, than keys.

        Raises BadInput when there are not batch_size sequences.
        """
        require_batch_size(k, self.batch_size)
        self._buffers.write(self.length, k, v)
        return Cache(self.batch_size, self.length + k.shape[2], self._buffers)

    @property
    def keys(self) -> Keys:
        """The keys, a view of the buffer."""
        return self._buffers.held[0][:, :, : self.length]

    @property
    def values(self) -> Values:
        """The values, a view of the buffer."""
        return self._buffers.held[1][:, :, : self.length]

    def scores(self, q: Float[Tensor, "batch heads queries key_dim"]) -> Float[Tensor, "batch heads queries seq_len"]:
        """q . k_j of every token, for a q of float32 or wider; scale it beforehand."""
        keys = self.keys
        if not _is_half(keys):
            return q @ keys.mT
        if keys.device.type != "cpu":
            return product_in_half(q, keys.mT)
        return torch.cat([q @ block.mT for block in _widened(keys)], dim=-1)

    def weighted(self, weights: Float[Tensor, "batch value_heads queries seq_len"]) -> Float[Tensor, "batch value_heads queries value_dim"]:
        """sum_j w_j v_j, for weights of float32 or wider, in their dtype."""
        values = self.values
        if not _is_half(values):
            return weights @ values
        if values.device.type != "cpu":
            return product_in_half(weights, values)
        blocks = weights.split(_block(values), dim=-1)
        products = [mine @ block for mine, block in zip(blocks, _widened(values), strict=True)]
        return torch.stack(products).sum(0)


class CachedAttention(nn.Module):
    """Base of a mechanism that decodes from the unchanged keys and values of all tokens before. The mechanism adds `step`."""

    def init_state(self, batch_size: int) -> Cache:
        return Cache(batch_size)

    def prefill(self, q: Heads, k: KVHeads, v: KVHeads) -> Cache:
        return Cache(q.shape[0]).append(k, v)


def elementwise_step(
    q: Float[Tensor, "batch heads 1 head_dim"], cache: Cache, activation: Activation, bias: float = 0.0
) -> Float[Tensor, "batch heads 1 value_dim"]:
    """sum over the cached tokens of phi(q . k + bias) v in the dtype of v: `elementwise_attention` of the last token."""
    scores = cache.scores(at_least_float32(q))
    if bias:
        scores.add_(bias)
    activation.value_(scores, torch.empty_like(scores))
    return cache.weighted(scores).to(cache.values.dtype)


def normalised_step(
    q: Float[Tensor, "batch heads 1 head_dim"], cache: Cache, activation: Normalised
) -> tuple[Float[Tensor, "batch heads 1 value_dim"], Float[Tensor, "batch heads 1 1"], Float[Tensor, "batch heads 1 1"]]:
    """`normalised_sums` of the last token: the weighted values, what the weights sum to, and the shift of both, in float32 at least."""
    scores = cache.scores(at_least_float32(q) * activation.unit)
    weights = RowSums(activation, torch.zeros_like(scores[..., :1]))
    weights.weigh_(scores, torch.empty_like(scores))
    return cache.weighted(scores), weights.sums, weights.shift / BITS


def product_in_half(
    x: Float[Tensor, "*heads queries inner"], y: Float[Tensor, "*heads inner outer"]
) -> Float[Tensor, "*heads queries outer"]:
    """x @ y, computed in the half type of y and returned in the wide type of x: on a GPU y is then read once, unconverted.

    x is brought to length 1 for the product: in float16 weights of 1/N would lose digits, and large ones overflow.
    """
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    unit = x / length.masked_fill(length == 0.0, 1.0)
    return (unit.to(y.dtype) @ y).to(x.dtype) * length


def _is_half(x: Tensor) -> bool:
    return x.dtype.itemsize == 2


def _block(x: Tensor) -> int:
    """Tokens that are widened at a time."""
    return max(1, WIDENED_VALUES // math.prod((*x.shape[:2], x.shape[3])))


def _widened(x: Tensor) -> Iterator[Tensor]:
    """Blocks of tokens in float32, one after the other in the same buffer: use each before the next."""
    tokens = min(_block(x), x.shape[2])
    buffer = x.new_empty(*x.shape[:2], tokens, x.shape[3], dtype=torch.float32)
    for block in x.split(tokens, dim=2):
        yield buffer[:, :, : block.shape[2]].copy_(block)
