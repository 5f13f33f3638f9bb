"""Rows generated from a seed: the same bits on every machine, each part from a stream of its own, no row drawn twice.

Everything is integers from the raw stream of PCG64, which numpy promises never to change; its samplers may change.
https://numpy.org/doc/stable/reference/random/bit_generators/pcg64.html
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attnbench.errors import BadInput
from attnbench.workload import Parts, Split


class Draws:
    """One stream of random integers; streams of different keys are independent."""

    def __init__(self, *key: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(key))
        self._spare: Iterator[int] = iter(())

    def words(self, *shape: int) -> NDArray[np.uint64]:
        """Random 64-bit words."""
        words: NDArray[np.uint64] = self._bits.random_raw(math.prod(shape))
        return words.reshape(shape)

    def below(self, bound: int, *shape: int) -> NDArray[np.int64]:
        """Integers in 0 ... bound - 1, for bounds up to 2^31. No value is likelier than another by more than 2^-32."""
        return (((self.words(*shape) >> np.uint64(32)) * np.uint64(bound)) >> np.uint64(32)).astype(np.int64)

    def one(self, bound: int) -> int:
        """One integer in 0 ... bound - 1: for what has to be drawn step by step."""
        word = next(self._spare, None)
        if word is None:
            self._spare = iter(self.below(1 << 31, 4_096).tolist())
            word = next(self._spare)
        return word * bound >> 31

    def distinct(self, bound: int, rows: int, size: int) -> NDArray[np.int64]:
        """Integers in 0 ... bound - 1 in random order, none twice in a row; [rows, size]."""
        return self.words(rows, bound).argsort(axis=1, kind="stable")[:, :size]


def generate(draw: Callable[[Draws, int], Split], seed: int, *, train: int, validation: int, test: int) -> Parts:
    """Parts of the given numbers of rows, by draw(draws, rows), which takes all its randomness from `draws`.

    A row that is already there, in this part or one before it, is drawn again.
    """
    seen: set[bytes] = set()
    train_part, validation_part, test_part = (
        _fresh(draw, Draws(seed, number), rows, seen) for number, rows in enumerate((train, validation, test))
    )
    return Parts(train_part, validation_part, test_part)


def longer_part(draw: Callable[[Draws, int], Split], seed: int, factor: int, rows: int) -> Split:
    """A test part of rows that draw(draws, rows) makes `factor` times as long as those of `generate`: from a stream of its own."""
    return _fresh(draw, Draws(seed, 3, factor), rows, set())


def within(name: str, value: float, least: float, most: float) -> None:
    """Raise BadInput for a value of a task's parameter that is not within its bounds; nan is not."""
    if not least <= value <= most:
        raise BadInput(f"the task's parameter {name} is {value!r}; give a number from {least} to {most}")


def _fresh(draw: Callable[[Draws, int], Split], draws: Draws, rows: int, seen: set[bytes]) -> Split:
    """Rows whose inputs are not in `seen`; they are added to it."""
    found: list[Split] = []
    while missing := rows - sum(len(split) for split in found):
        split = draw(draws, missing)
        fresh = torch.tensor([_first_time(row.tobytes(), seen) for row in split.inputs.numpy()])
        mask = None if split.padding_mask is None else split.padding_mask[fresh]
        found.append(Split(split.inputs[fresh], split.targets[fresh], mask))
    masks = [split.padding_mask for split in found if split.padding_mask is not None]
    return Split(_joined([split.inputs for split in found]), _joined([split.targets for split in found]), _joined(masks) if masks else None)


def _joined(tensors: list[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)


def _first_time(content: bytes, seen: set[bytes]) -> bool:
    known = len(seen)
    seen.add(content)
    return len(seen) > known
