"""Inputs whose contents change before every call, at addresses that never do."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor

_draw = random.SystemRandom()  # a mechanism that seeds the global generators cannot foresee its inputs


class RolledInputs:
    """Tensors, each rolled along one dimension by an offset of its own that is drawn before every call.

    No call sees what an earlier one saw, so that a result remembered by address or by content is wrong; new random numbers would cost
    more than many a call, this costs a copy. The contents can be made again, to verify a result afterwards.

    pristine: tensors of unit variance; dim: along which to roll them; requires_grad: whether calls are differentiated by them.
    """

    def __init__(self, pristine: Sequence[Tensor], dim: int, requires_grad: bool = False) -> None:
        self._pristine = [x.detach() for x in pristine]
        self._dim = dim
        self._requires_grad = requires_grad
        self._offsets = [0] * len(pristine)
        self.tensors = self.copies()

    def refresh(self) -> None:
        """Roll every tensor by a new offset, in place, and drop its gradient."""
        self._offsets = [_draw.randrange(x.shape[self._dim]) for x in self._pristine]
        with torch.no_grad():
            for tensor, pristine, offset in zip(self.tensors, self._pristine, self._offsets, strict=True):
                tensor.grad = None
                _roll_into(tensor, pristine, offset, self._dim)

    def copies(self) -> list[Tensor]:
        """Copies of the present contents, in new storage."""
        found = []
        for pristine, offset in zip(self._pristine, self._offsets, strict=True):
            tensor = torch.empty_like(pristine)
            _roll_into(tensor, pristine, offset, self._dim)
            found.append(tensor.requires_grad_(self._requires_grad))
        return found

    def are_intact(self) -> bool:
        """Whether the tensors still hold what refresh put there."""
        return all(torch.equal(tensor, fresh) for tensor, fresh in zip(self.tensors, self.copies(), strict=True))


class Sequel:
    """The inputs of a call, and others beside them, of tokens before or after its own: see RolledInputs, whose methods these are.

    `refresh` changes the call's inputs alone; `copies` gives both, the call's first.
    """

    def __init__(self, own: RolledInputs, others: RolledInputs) -> None:
        self._own, self._others = own, others
        self.tensors, self.refresh = own.tensors, own.refresh

    def copies(self) -> list[Tensor]:
        """Copies of the present contents, in new storage."""
        return [*self._own.copies(), *self._others.copies()]

    def are_intact(self) -> bool:
        """Whether all tensors still hold what refresh put there."""
        return self._own.are_intact() and self._others.are_intact()


def _roll_into(target: Tensor, source: Tensor, offset: int, dim: int) -> None:
    """target = source.roll(offset, dim), without a tensor between."""
    rest = source.shape[dim] - offset
    target.narrow(dim, offset, rest).copy_(source.narrow(dim, 0, rest))
    target.narrow(dim, 0, offset).copy_(source.narrow(dim, rest, offset))
