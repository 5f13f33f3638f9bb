"""Blocks of a test part: rows that stand and fall together, by which it is known how far a result depends on the rows that were drawn."""

from __future__ import annotations

import heapq

import torch
from torch import Tensor

from attnbench.workload.data import IGNORED, Split

BLOCKS = 64


def block_of_rows(split: Split, most: int = BLOCKS) -> Tensor:
    """The block of every row, [rows] int64, the same for every model that is tested on them.

    Rows without groups are dealt out by a fixed shuffle. Groups (an address, a speaker) stay whole: from the largest on, each joins the
    block that has the fewest rows, so that blocks are about as large where there are more groups than blocks.
    """
    if split.groups is None:
        count = min(most, len(split))
        found = torch.empty(len(split), dtype=torch.int64)
        found[torch.randperm(len(split), generator=torch.Generator().manual_seed(0))] = torch.arange(len(split)) % count
        return found
    rows: dict[str, list[int]] = {}
    for row, group in enumerate(split.groups):
        rows.setdefault(group, []).append(row)
    found = torch.empty(len(split), dtype=torch.int64)
    room = [(0, block) for block in range(min(most, len(rows)))]
    for _, members in sorted(rows.items(), key=lambda item: (-len(item[1]), item[0])):
        held, block = heapq.heappop(room)
        found[members] = block
        heapq.heappush(room, (held + len(members), block))
    return found


def asked_by_block(split: Split, blocks: Tensor) -> Tensor:
    """How many answers are asked in each block, [blocks] float64."""
    asked = (split.targets != IGNORED).reshape(len(split), -1).sum(1).double()
    return torch.zeros(int(blocks.max()) + 1, dtype=torch.float64).index_add(0, blocks, asked)
