"""Activations that are divided by a sum over their row, for tiled.py and for decoding: weights relative to the row's largest score.

out_i = sum_j phi(s_ij) v_j / (c + sum_j psi(s_ij)). Every weight of both sums is taken times e^-m, m the largest score of the row so far,
so that none overflows; where m rises, what was summed before shrinks. The division is left to the caller, and to autograd.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from attnbench.kernels.activation import Activation

# Scores come times this, so that 2^s is what e^s was: torch's exp2 takes a CPU a third of the time of its exp, 150 and 440 us for 2^19
# numbers on one core.
BITS = math.log2(math.e)


@runtime_checkable
class Normalised(Protocol):
    """phi and psi, on a tile of scores in bits, 2^s for e^s. Where phi has a slope, psi has the same. Scratch and spare are overwritten.

    unit:   what scores are multiplied by: BITS, or 1 where they are to stay as they are.
    lowest: the shift of a row, its largest score, is at least this.
    unseen: a score whose phi, psi and slopes are zero: what a key gets that the row does not see. None where there may be none such.
    bound:  where no score is larger in size, weights need no shift.
    """

    @property
    def unit(self) -> float: ...

    @property
    def lowest(self) -> float: ...

    @property
    def unseen(self) -> float | None: ...

    @property
    def bound(self) -> float: ...

    def weigh_(self, scores: Tensor, shift: Tensor | None, scratch: Tensor) -> Tensor | float:
        """scores = phi(scores) 2^-shift; gives the sums of psi(scores) 2^-shift over each row."""

    def weigh_and_slope_(self, scores: Tensor, shift: Tensor | None, spare: Tensor) -> Tensor:
        """scores = phi(scores) 2^-shift; gives psi'(scores) 2^-shift, in `spare` or, where it is phi itself, in `scores`."""

    def chain_(self, d_weights: Tensor, slope: Tensor, d_sums: Tensor) -> None:
        """d_weights = the gradient by the scores, where that by phi was, given that by the sum of psi in each row too."""


@dataclass(frozen=True)
class Exponential:
    """phi = psi = e^s.

    Beside the two products, four fifths of the time, a tile of 2^19 scores takes these passes on one core, in us: exp2 150, sum 31 and,
    where scores need a shift, maximum 40 and difference 33.
    """

    unit: float = BITS
    lowest: float = -math.inf
    unseen: float = -math.inf
    bound: float = 40.0  # 2^40 times a value, over many keys, is far from the largest float32, and 2^-40 times one from the smallest

    def weigh_(self, scores: Tensor, shift: Tensor | None, scratch: Tensor) -> Tensor:
        self._raise_(scores, shift)
        return scores.sum(-1, keepdim=True)

    def weigh_and_slope_(self, scores: Tensor, shift: Tensor | None, spare: Tensor) -> Tensor:
        self._raise_(scores, shift)
        return scores

    def chain_(self, d_weights: Tensor, slope: Tensor, d_sums: Tensor) -> None:
        d_weights.add_(d_sums).mul_(slope)

    def _raise_(self, scores: Tensor, shift: Tensor | None) -> None:
        (scores if shift is None else scores.sub_(shift)).exp2_()


@dataclass(frozen=True)
class RectifiedExponential:
    """phi = max(e^s - 1, 0) and psi = |e^s - 1|, both with slope 0 at 0, as torch has it."""

    unit: float = BITS
    lowest: float = 0.0
    unseen: float = 0.0
    bound: float = -1.0  # it always has a shift

    def weigh_(self, scores: Tensor, shift: Tensor | None, scratch: Tensor) -> Tensor:
        zero, _ = self._raise_(scores, shift)
        sums = torch.abs(scores.sub_(zero), out=scratch).sum(-1, keepdim=True)
        scores.relu_()
        return sums

    def weigh_and_slope_(self, scores: Tensor, shift: Tensor | None, spare: Tensor) -> Tensor:
        slope = torch.sign(scores, out=spare)
        zero, less_one = self._raise_(scores, shift)
        slope.addcmul_(slope, scores) if less_one else slope.mul_(scores)
        scores.sub_(zero).relu_()
        return slope

    def chain_(self, d_weights: Tensor, slope: Tensor, d_sums: Tensor) -> None:
        torch.ops.aten.threshold_backward(d_weights, slope, 0.0, grad_input=d_weights)  # phi has a slope where psi rises
        d_weights.add_(d_sums).mul_(slope)

    def _raise_(self, scores: Tensor, shift: Tensor | None) -> tuple[Tensor, bool]:
        """scores = 2^(scores - shift), or that less one; gives the same of a score of zero, and which.

        Where a row has small scores alone, a difference of powers would have lost their digits: they are taken less one, at twice the
        time. So they always are on a GPU, where a tile's time is that of reading and writing it, and nothing is read back.
        """
        assert shift is not None
        less_one = shift.device.type != "cpu"
        if not less_one and (shift < 1.0).any():
            less_one = True
        zero = -shift
        for x in (scores.sub_(shift), zero):
            x.div_(BITS).expm1_() if less_one else x.exp2_()
        return zero, less_one


@dataclass(frozen=True)
class Undivided:
    """An elementwise activation, whose rows nothing divides, as one whose sums are zero."""

    activation: Activation
    unit: float = 1.0
    lowest: float = 0.0
    unseen: None = None
    bound: float = math.inf

    def weigh_(self, scores: Tensor, shift: Tensor | None, scratch: Tensor) -> float:
        self.activation.value_(scores, scratch)
        return 0.0

    def weigh_and_slope_(self, scores: Tensor, shift: Tensor | None, spare: Tensor) -> Tensor:
        self.activation.value_and_slope_(scores, spare)
        return spare

    def chain_(self, d_weights: Tensor, slope: Tensor, d_sums: Tensor) -> None:
        d_weights.mul_(slope)


@dataclass(frozen=True)
class OwnSums:
    """An elementwise activation, zero at zero and with slope zero there, divided by its own sums."""

    activation: Activation
    unit: float = 1.0
    lowest: float = 0.0
    unseen: float = 0.0
    bound: float = math.inf

    def weigh_(self, scores: Tensor, shift: Tensor | None, scratch: Tensor) -> Tensor:
        self.activation.value_(scores, scratch)
        return scores.sum(-1, keepdim=True)

    def weigh_and_slope_(self, scores: Tensor, shift: Tensor | None, spare: Tensor) -> Tensor:
        self.activation.value_and_slope_(scores, spare)
        return spare

    def chain_(self, d_weights: Tensor, slope: Tensor, d_sums: Tensor) -> None:
        d_weights.add_(d_sums).mul_(slope)


class RowSums:
    """The sums of psi over each row and the shift that they and the sums of phi v are taken with, tile by tile."""

    def __init__(self, activation: Normalised, total: Tensor, bounded: bool = False) -> None:
        """total: the sums of phi v, [..., rows, width], which `weigh_` shrinks with its own. bounded: whether no shift is needed."""
        self.activation, self.total = activation, total
        lowest = 0.0 if bounded else max(activation.lowest, torch.finfo(total.dtype).min)  # not -inf: that less itself is NaN
        self.sums = torch.zeros_like(total[..., :1])
        self.shift = torch.full_like(self.sums, lowest)
        self.bounded = bounded

    def weigh_(self, scores: Tensor, scratch: Tensor) -> None:
        """scores = their weights."""
        if not self.bounded:
            shift = torch.maximum(self.shift, scores.amax(-1, keepdim=True))
            shrink = self.shift.sub_(shift).exp2_()
            self.sums.mul_(shrink)
            self.total.mul_(shrink)
            self.shift = shift
        self.sums.add_(self.activation.weigh_(scores, None if self.bounded else self.shift, scratch))
