"""ListOps: the value, one digit, of nested lists of operations, as 128 to 512 tokens.

    [MAX 4 3 [MIN 2 3 ] 1 0 [MED 1 5 8 9 2 ] ]   ->   5

Operations are MIN, MAX, MED (median, rounded down) and SM (sum modulo 10), each of 2 to 10 arguments; an argument is an operation in
one case of four, else a digit, ten levels deep at most. The classes are not balanced: 0 and 9 make a third. The operation of the root
alone lets a third be guessed (0.34), which is what a model finds first; the target is above that.

Nangia and Bowman 2018, with the probabilities, depth and arguments of Tay et al. 2021 (Long Range Arena). Theirs has 500 to 2,000
tokens and 96,000 training rows, ours a quarter of those lengths and 16,384 rows. Theirs also writes two parentheses round every
argument, which say nothing that the brackets do not; they are left out, as by most who came later.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from attnbench.tasks.loading.synthetic import Draws, generate
from attnbench.workload import Parts, Size, Split, Task

Ints = NDArray[np.int64]

MIN_LENGTH, SEQ_LEN = 128, 512
MAX_DEPTH, MAX_ARGUMENTS = 10, 10
OPERATIONS = ("[MIN", "[MAX", "[MED", "[SM")
TOKENS = ("", *"0123456789", *OPERATIONS, "]")  # the first is padding
PADDING, DIGIT, OPERATION, END = 0, 1, 11, 15
ROOTS = 8_192  # trees grown at once, of which a fifth is neither too short nor too long
SEED = 2011_04006


def load() -> Parts:
    return generate(draw, SEED, train=16_384, validation=1_024, test=2_048)


@dataclass
class Level:
    """Nodes of one depth of many trees. The arguments of a node stand together, in order, in the level below.

    tree, parent: of which tree; which node of the level above. arity: number of arguments, 0 of a digit.
    symbol: the digit, or the number of the operation. length: in tokens. value: what it evaluates to. place: of its first token.
    """

    tree: Ints
    parent: Ints
    arity: Ints
    symbol: Ints
    length: Ints = field(init=False)
    value: Ints = field(init=False)
    place: Ints = field(init=False)

    def __post_init__(self) -> None:
        self.length, self.value, self.place = np.ones_like(self.symbol), self.symbol.copy(), np.zeros_like(self.symbol)

    @property
    def first(self) -> Ints:
        """Where the arguments of each node begin in the level below."""
        return self.arity.cumsum() - self.arity


def draw(draws: Draws, rows: int) -> Split:
    tokens: list[Ints] = []
    values: list[Ints] = []
    while sum(map(len, values)) < rows:
        levels = grow(draws)
        evaluate(levels)
        tokens.append(write(levels))
        values.append(levels[0].value)
    inputs = torch.from_numpy(np.concatenate(tokens)[:rows])
    return Split(inputs, torch.from_numpy(np.concatenate(values)[:rows]), inputs == PADDING)


def grow(draws: Draws) -> list[Level]:
    """Random trees, level by level, those of a length in tokens that fits. Roots are operations: a lone digit would be too short.

    A tree that has passed the greatest length grows no further, whatever it would still get.
    """
    levels: list[Level] = []
    tree, parent, length = np.arange(ROOTS), np.arange(ROOTS), np.ones(ROOTS, dtype=np.int64)
    for depth in range(1, MAX_DEPTH + 1):
        odds = (4, MAX_ARGUMENTS - 1, len(OPERATIONS), 10)
        chance, more, operation, digit = np.unravel_index(draws.below(math.prod(odds), len(tree)), odds)
        inner = (chance == 0) & (depth < MAX_DEPTH) | (depth == 1)
        arity = np.where(inner, 2 + more, 0)
        length += np.bincount(tree, weights=arity + inner, minlength=ROOTS).astype(np.int64)
        arity[(length > SEQ_LEN)[tree]] = 0
        levels.append(Level(tree, parent, arity, np.where(inner, operation, digit)))
        tree, parent = np.repeat(tree, arity), np.repeat(np.arange(len(tree)), arity)
    return chosen(levels, (length >= MIN_LENGTH) & (length <= SEQ_LEN))


def chosen(levels: list[Level], fits: NDArray[np.bool_]) -> list[Level]:
    """The levels without the trees that do not fit."""
    kept = []
    tree = above = fits.cumsum() - 1
    for level in levels:
        here = fits[level.tree]
        kept.append(Level(tree[level.tree[here]], above[level.parent[here]], level.arity[here], level.symbol[here]))
        above = here.cumsum() - 1
    return kept


def evaluate(levels: list[Level]) -> None:
    """Fill in lengths and values, from the deepest operations up, then places from the root down."""
    for level, below in reversed(list(pairwise(levels))):
        inner = level.arity > 0
        starts, arity = level.first[inner], level.arity[inner]
        if len(starts):
            level.length[inner] = 2 + np.add.reduceat(below.length, starts)
            level.value[inner] = apply(level.symbol[inner], arity, starts, below)
    for level, below in pairwise(levels):
        before = below.length.cumsum() - below.length
        below.place = level.place[below.parent] + 1 + before - before[level.first[below.parent]]


def apply(symbol: Ints, arity: Ints, starts: Ints, below: Level) -> Ints:
    """Values of operations whose arguments are those of `below` from `starts` on."""
    ordered = np.sort(10 * below.parent + below.value) % 10  # within each operation
    low, high = ordered[starts + (arity - 1) // 2], ordered[starts + arity // 2]
    results = (ordered[starts], ordered[starts + arity - 1], (low + high) // 2, np.add.reduceat(below.value, starts) % 10)
    return np.choose(symbol, results)


def write(levels: list[Level]) -> Ints:
    """Tokens of the trees, [trees, seq_len]."""
    tokens = np.full((len(levels[0].tree), SEQ_LEN), PADDING)
    for level in levels:
        inner = level.arity > 0
        tokens[level.tree, level.place] = np.where(inner, OPERATION, DIGIT) + level.symbol
        tokens[level.tree[inner], (level.place + level.length - 1)[inner]] = END
    return tokens


TASK = Task(
    kind="synthetic",
    load=load,
    metric="accuracy",
    target=0.4,
    num_classes=10,
    seq_len=SEQ_LEN,
    vocabulary=len(TOKENS),
    epoch_rows=1_024,
    citation="Tay et al. 2021, Long Range Arena, arXiv:2011.04006; Nangia and Bowman 2018, ListOps, arXiv:1804.06028",
    licence="generated; MIT, as this package",
    small=Size(num_layers=2, num_heads=4, head_dim=16, batch_size=16, epochs=3, lr=3e-3),
    large=Size(num_layers=4, num_heads=4, head_dim=32, batch_size=64, epochs=160, lr=5e-4),
)
