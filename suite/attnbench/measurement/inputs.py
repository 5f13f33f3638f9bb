"""Inputs whose contents change before every call, at addresses that never do."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

ROLLS = 2  # of one tensor, whose sum is what a call is given

_draw = random.SystemRandom()  # a mechanism that seeds the global generators cannot foresee its inputs


class Inputs(Protocol):
    """What a call computes on: see RolledInputs."""

    tensors: list[Tensor]

    def refresh(self) -> None:
        """Change the contents, for the next call."""

    def copies(self) -> list[Tensor]:
        """Copies of the present contents, in new storage."""

    def are_intact(self) -> bool:
        """Whether the tensors still hold what refresh put there."""


class RolledInputs:
    """Tensors [..., seq_len, width], each the sum of two rolls of one that is kept; how far and how much is drawn before every call.

    Each sequence rolls as one row of seq_len x width numbers, never by whole tokens, and no two rolls differ by whole tokens while the
    width has room for that. So every token holds the end of one that is kept and the beginning of the next, products of queries and keys
    are no rearrangement of earlier ones, and as the angle phi in cos(phi) x roll + sin(phi) x other roll is a real number, no contents
    come twice: a call that remembers an earlier one by address or by content is wrong. New random numbers would cost more than many a
    call; this costs two copies. The contents can be made again, to verify a result afterwards.

    pristine: tensors of unit variance, which their sums have too; requires_grad: whether calls are differentiated by them;
    finish: applied to the contents, as what gives each token of a stack its size.
    """

    def __init__(self, pristine: Sequence[Tensor], requires_grad: bool = False, finish: Callable[[Tensor], Tensor] | None = None) -> None:
        self._pristine = [x.detach().contiguous() for x in pristine]
        self._requires_grad, self._finish = requires_grad, finish
        self._rolls = [(0.0, [0] * ROLLS) for _ in pristine]
        self.tensors = self.copies()

    def refresh(self) -> None:
        """Change the contents of every tensor in place, and drop its gradient."""
        taken: dict[int, set[int]] = {}
        for i, pristine in enumerate(self._pristine):
            seq_len, width = pristine.shape[-2:]
            residues = taken.setdefault(width, set())
            self._rolls[i] = _draw.uniform(0, math.pi / 2), [_offset(seq_len, width, residues) for _ in range(ROLLS)]
        with torch.no_grad():
            for i, tensor in enumerate(self.tensors):
                tensor.grad = None
                self._fill(tensor, i)

    def copies(self) -> list[Tensor]:
        """Copies of the present contents, in new storage."""
        found = [torch.empty_like(x) for x in self._pristine]
        for i, tensor in enumerate(found):
            self._fill(tensor, i)
        return [x.requires_grad_(self._requires_grad) for x in found]

    def are_intact(self) -> bool:
        """Whether the tensors still hold what refresh put there."""
        return all(torch.equal(tensor, fresh) for tensor, fresh in zip(self.tensors, self.copies(), strict=True))

    def _fill(self, tensor: Tensor, i: int) -> None:
        """Give a tensor the present contents of the i-th."""
        (angle, (one, other)), source = self._rolls[i], self._pristine[i].flatten(-2)
        target = tensor.detach().flatten(-2)
        for into, part in _parts(target, source, one):
            into.copy_(part)
        target.mul_(math.cos(angle))
        for into, part in _parts(target, source, other):
            into.add_(part, alpha=math.sin(angle))
        if self._finish is not None:
            tensor.detach().copy_(self._finish(tensor.detach()))


class DrawnInputs:
    """Tensors of new standard normal numbers before every call; for those of one token, of which there are few. See RolledInputs."""

    def __init__(self, like: Sequence[Tensor]) -> None:
        self.tensors = [torch.empty_like(x) for x in like]
        self.refresh()

    def refresh(self) -> None:
        """Draw other numbers, from a generator of its own that nobody else can seed."""
        self._seed = _draw.getrandbits(63)
        for tensor, fresh in zip(self.tensors, self.copies(), strict=True):
            tensor.copy_(fresh)

    def copies(self) -> list[Tensor]:
        """Copies of the present contents, in new storage."""
        generator = torch.Generator(self.tensors[0].device).manual_seed(self._seed)
        return [torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype) for x in self.tensors]

    def are_intact(self) -> bool:
        """Whether the tensors still hold what refresh put there."""
        return all(torch.equal(tensor, fresh) for tensor, fresh in zip(self.tensors, self.copies(), strict=True))


class DrawnRows:
    """The numbers of a batch's rows of a data set, drawn before every call. See RolledInputs."""

    def __init__(self, total: int, batch_size: int, device: str) -> None:
        self._total = total
        self.tensors = [torch.zeros(min(batch_size, total), dtype=torch.int64, device=device)]
        self.refresh()

    def refresh(self) -> None:
        """Draw other rows, from a generator of its own that nobody else can seed."""
        self._seed = _draw.getrandbits(63)
        self.tensors[0].copy_(self.copies()[0])

    def copies(self) -> list[Tensor]:
        """The present rows, in new storage."""
        generator = torch.Generator().manual_seed(self._seed)
        return [torch.randint(self._total, x.shape, generator=generator).to(x.device) for x in self.tensors]

    def are_intact(self) -> bool:
        """Whether the tensor still holds what refresh put there."""
        return torch.equal(self.tensors[0], self.copies()[0])


class Sequel:
    """The inputs of a call, and those of others beside it, on tokens before or after its own: see RolledInputs, whose methods these are.

    `refresh` changes the call's inputs alone; `copies` gives all, the call's first. others: may be replaced between calls.
    """

    def __init__(self, own: Inputs, others: Sequence[Inputs]) -> None:
        self._own, self.others = own, others
        self.tensors, self.refresh = own.tensors, own.refresh

    def copies(self) -> list[Tensor]:
        """Copies of the present contents, in new storage."""
        return [x for inputs in (self._own, *self.others) for x in inputs.copies()]

    def are_intact(self) -> bool:
        """Whether all tensors still hold what refresh put there."""
        return all(inputs.are_intact() for inputs in (self._own, *self.others))


def _offset(seq_len: int, width: int, taken: set[int]) -> int:
    """How far to roll seq_len x width numbers: not by whole tokens, nor by whole tokens more than another roll; its residue is taken."""
    free = [residue for residue in range(1, width) if residue not in taken] or range(width)
    residue = _draw.choice(free)
    taken.add(residue)
    return _draw.randrange(seq_len) * width + residue


def _parts(target: Tensor, source: Tensor, offset: int) -> list[tuple[Tensor, Tensor]]:
    """The two parts of a target [..., numbers], each beside that of the source which a roll by the offset brings there."""
    rest = source.shape[-1] - offset
    return [
        (target.narrow(-1, offset, rest), source.narrow(-1, 0, rest)),
        (target.narrow(-1, 0, offset), source.narrow(-1, rest, offset)),
    ]
