"""Masked bytes of a State of the Union address, from the bytes on both sides.

    text     F e l l o w - C i t i z e n s
    input    F e _ l o w - C i _ i z e n s   ->   the bytes behind the masks
    target   . . l . . . . . . t . . . . .

Chunks of 64 bytes (UTF-8, nothing normalised) lie end to end in an address and never across two. In each, 10 positions (15 %) are
asked, drawn once from a fixed seed: their input is always the mask token, their target the byte; the simple form of BERT's masking,
which leaves some of them as they are. Addresses are split as in sotu_era; 128 KiB of the validation part and 1 MiB of the test part
are read, a fixed draw over all their addresses.

Without attention a model can know no more than how frequent each byte is, 4.4 bits; a small run of softmax comes to 2.8.

Text: package `sotu` 0.1.2 of the American Presidency Project; public domain. Masking after Devlin et al. 2018, arXiv:1810.04805.
"""

from __future__ import annotations

import torch
from torch import Tensor

from attnbench.tasks.loading.chunks import VALUES
from attnbench.tasks.loading.sotu import FILE, chunked
from attnbench.workload import IGNORED, Parts, Size, Task

SEQ_LEN = 64
ASKED = round(0.15 * SEQ_LEN)
MASK = VALUES
SEED = 0


def load() -> Parts:
    return chunked(SEQ_LEN, SEQ_LEN, masked)


def masked(chunks: Tensor) -> tuple[Tensor, Tensor]:
    """Inputs and targets of chunks, all [rows, seq_len] int64."""
    draw = torch.rand(chunks.shape, generator=torch.Generator().manual_seed(SEED))
    asked = torch.zeros_like(chunks, dtype=torch.bool).scatter(1, draw.topk(ASKED, dim=1).indices, True)
    return chunks.masked_fill(asked, MASK), chunks.masked_fill(~asked, IGNORED)


TASK = Task(
    kind="language",
    load=load,
    files=(FILE,),
    metric="bits_per_byte",
    target=3.3,
    num_classes=VALUES,
    per_token=True,
    seq_len=SEQ_LEN,
    vocabulary=VALUES + 1,
    epoch_rows=4_096,
    citation="State of the Union addresses 1790-2026, The American Presidency Project, package sotu 0.1.2",
    licence="public domain (US government work)",
    small=Size(num_layers=2, num_heads=4, head_dim=16, batch_size=32, epochs=6, lr=3e-3),
    large=Size(num_layers=6, num_heads=8, head_dim=32, batch_size=64, epochs=60, lr=1e-3),
)
