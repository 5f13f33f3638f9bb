"""The tiles of scores that tiled.py goes through: their sizes, the buffers they share, and what is added to the scores in them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import cached_property

import torch
from torch import Tensor

from attnbench.kernels.normalised import Normalised

# 4 MB of float32 scores, of two heads at least, and no more rows than a share of the sequence's: they would make the tile a large part
# of its matrix or, when causal, see more keys in vain. Measured on two cores, seq_len 4,096, 4 heads of 64, as time over fused softmax, of
# sink and of relu: 2 x 2,048 x 256 1.05 and .93, 2 x 2,048 x 512 1.02 and .92, 4 x 1,024 x 256 1.03 and .93, 2 x 1,024 x 256 1.07 and .95,
# 2 x 512 x 512 1.12 and .99, 4 x 256 x 512 1.17 and 1.02; in training 2 x 2,048 x 256 1.05 and .98, 4 x 256 x 512 1.10 and 1.00. Causal:
# 4 x 512 x 512 1.16 and 1.01, 4 x 256 x 256 1.19 and 1.04, 4 x 512 x 256 1.23 and 1.07, 4 x 1,024 x 256 1.32 and 1.17.
TILE_SCORES = 2**20
HEADS = 2
KEYS, CAUSAL_KEYS = 256, 512
SHARE, CAUSAL_SHARE, FEWEST_ROWS = 2, 8, 256
# Elsewhere a launch costs more than a cache saves: 256 MB of float32 scores, all heads at once. Not measured.
TILE_SCORES_ELSEWHERE, KEYS_ELSEWHERE = 2**26, 4096


class Keys:
    """Keys of a tile and their values, with room for their gradients, each contiguous.

    In slices of a long sequence the matrices of a batched product lie a power of two apart, and it took up to twice the time: relu
    in training 1.37 times that of fused softmax, and so .98.
    """

    def __init__(self, k: Tensor, v: Tensor, at: slice) -> None:
        self.at, self.k, self.v = at, k[:, at].contiguous(), v[:, at].contiguous()

    @cached_property
    def dk(self) -> Tensor:
        return torch.zeros_like(self.k)

    @cached_property
    def dv(self) -> Tensor:
        return torch.zeros_like(self.v)


class Tiles:
    """Queries, keys and values as [batch * heads, seq_len, head_dim], and two buffers of which every tile uses the first.

    unit: what q . k is multiplied by. bias: of each row; drift and padding_mask as `normalised_sums` has them.
    """

    def __init__(
        self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, drift: Tensor | None, padding_mask: Tensor | None,
        activation: Normalised, causal: bool,
    ) -> None:  # fmt: skip
        self.q, self.k, self.v = flat(q), flat(k), flat(v)
        self.unit, self.unseen, self.causal = activation.unit, activation.unseen, causal
        self.bias = None if bias is None else flat(bias)
        self.drift = None if drift is None else drift.flatten(0, 1) * self.unit
        self.hidden = None if padding_mask is None or self.unseen != -math.inf else flat(_hidden(padding_mask, q))
        self.bounded = activation.bound == math.inf
        if 0.0 <= activation.bound < math.inf and _largest_score(q, k, drift, causal) * self.unit <= activation.bound:
            self.bounded = True
        heads, self.seq_len, _ = self.q.shape
        if q.device.type == "cpu":
            keys, share = (CAUSAL_KEYS, CAUSAL_SHARE) if causal else (KEYS, SHARE)
            size, at_once, rows = TILE_SCORES, min(heads, HEADS), max(FEWEST_ROWS, self.seq_len // share)
        else:
            size, at_once, rows, keys = TILE_SCORES_ELSEWHERE, heads, self.seq_len, KEYS_ELSEWHERE
        self.key_block = min(self.seq_len, keys)
        self.row_block = min(self.seq_len, rows, max(1, size // (self.key_block * at_once)))
        # A batched product runs its matrices side by side, so a tile spans several heads where there are several.
        self.head_block = max(1, min(heads, size // (self.key_block * self.row_block)))
        self.buffers = q.new_empty(2, self.head_block * self.row_block * self.key_block)
        self._keys: dict[tuple[int, int], Keys] = {}
        self._shaped: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}  # views, which take microseconds to make

    def blocks(self) -> Iterator[tuple[slice, slice]]:
        """Heads and query rows of every row of tiles."""
        for heads in range(0, self.q.shape[0], self.head_block):
            self._keys.clear()
            for rows in range(0, self.seq_len, self.row_block):
                yield slice(heads, heads + self.head_block), slice(rows, min(rows + self.row_block, self.seq_len))

    def keys(self, heads: slice, rows: slice) -> Iterator[Keys]:
        """Those of the tiles of these rows; when causal, none that lies wholly in their future."""
        end = rows.stop if self.causal else self.seq_len
        for start in range(0, end, self.key_block):
            stop = min(start + self.key_block, end)
            if (start, stop) not in self._keys:
                self._keys[start, stop] = Keys(self.k[heads], self.v[heads], slice(start, stop))
            yield self._keys[start, stop]

    def keys_so_far(self) -> Iterable[Keys]:
        """All that `keys` gave for the heads that `blocks` is at."""
        return self._keys.values()

    def score(self, queries: Tensor, heads: slice, rows: slice, keys: Keys) -> tuple[Tensor, Tensor]:
        """A tile of scores, and one of the same shape to write into. Keys that a row does not see are unseen, or left to `mask_`."""
        shape = queries.shape[0], queries.shape[1], keys.k.shape[1]
        if shape not in self._shaped:
            scores, other = self.buffers[:, : math.prod(shape)].view(2, *shape)
            self._shaped[shape] = scores, other
        scores, other = self._shaped[shape]
        torch.baddbmm(scores, queries, keys.k.mT, beta=0.0, alpha=self.unit, out=scores)
        if self.bias is not None:
            scores.add_(self.bias[heads, rows])
        if self.drift is not None:
            _drift_(scores, self.drift[heads, rows], self.drift[heads, keys.at], keys.at.stop <= rows.start, other)
        if self.hidden is not None:
            scores.add_(self.hidden[heads, :, keys.at])
        if self.unseen is not None and self._has_future(rows, keys):
            if self.unseen == 0.0:
                scores.tril_(rows.start - keys.at.start)
            else:
                scores.add_(scores.new_full(scores.shape[1:], self.unseen).triu_(rows.start - keys.at.start + 1))
        return scores, other

    def mask_(self, rows: slice, keys: Keys, *tiles: Tensor) -> None:
        """Zero what lies in the future of its row, where no score is unseen."""
        if self.unseen is None and self._has_future(rows, keys):
            for tile in tiles:
                tile.tril_(rows.start - keys.at.start)

    def _has_future(self, rows: slice, keys: Keys) -> bool:
        return self.causal and keys.at.stop > rows.start + 1


def flat(x: Tensor) -> Tensor:
    """[batch * heads, seq_len, width]."""
    return x.reshape(-1, *x.shape[-2:])


def _largest_score(q: Tensor, k: Tensor, drift: Tensor | None, causal: bool) -> Tensor | float:
    """What no score that matters is larger than in size: the product of the largest lengths of q and k.

    A drift that only falls takes from the scores of the past and nothing from a row's own key, so that its sum does not vanish; with
    another there is no such bound. Nor is one read back from a GPU, where that would cost more than it saves.
    """
    if q.device.type != "cpu" or (drift is not None and (not causal or (drift.diff() > 0.0).any())):
        return math.inf
    longest_q, longest_k = (torch.linalg.vector_norm(x, dim=-1).amax() for x in (q, k))
    return longest_q * longest_k


def _hidden(padding_mask: Tensor, q: Tensor) -> Tensor:
    """-inf for padded keys and 0 for others, [batch, heads, 1, seq_len]."""
    hidden = torch.zeros(padding_mask.shape, dtype=q.dtype, device=q.device).masked_fill_(padding_mask, -math.inf)
    return hidden[:, None, None].expand(-1, q.shape[1], -1, -1)


def _drift_(scores: Tensor, of_rows: Tensor, of_keys: Tensor, is_past: bool, scratch: Tensor) -> None:
    """Add c_i - c_j, of which no digits are lost to the size of c.

    c is counted from the first row and rounded, and the difference of what is rounded is exact where row and key are near one another.
    What rounding took from each is added too, but for keys before all rows: of these only one near the first row is near any.
    """
    first = of_rows[:, :1]
    rows, keys = (of_rows - first)[:, :, None], (of_keys - first)[:, None]
    rounded = [x.to(scores.dtype) for x in (rows, keys)]
    scores.add_(torch.sub(*rounded, out=scratch))
    if not is_past:
        lost = [(x - y).to(scores.dtype) for x, y in zip((rows, keys), rounded, strict=True)]
        scores.add_(lost[0]).sub_(lost[1])
