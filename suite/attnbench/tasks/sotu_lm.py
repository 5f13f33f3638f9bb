"""The next byte of a State of the Union address, from up to 64 bytes before it.

    input    F e l l o w - C i t i z e n   ->   each position's next byte
    target   e l l o w - C i t i z e n s

Chunks of 64 bytes (UTF-8, nothing normalised) lie end to end in an address and never across two. Addresses are split as in sotu_era;
1,024 chunks of the validation part and 4,096 of the test part are read, a fixed draw over all their addresses.

The model is told nothing of neighbours but their positions, so that without attention it can know no more than which byte follows
which. A small run of softmax comes to 2.4 bits; for scale, a 6-gram model of characters to 1.66 bits per character on another split of
these texts.

Text: package `sotu` 0.1.2 of the American Presidency Project; public domain.
"""

from __future__ import annotations

from attnbench.tasks.loading.chunks import VALUES, next_byte
from attnbench.tasks.loading.sotu import FILE, chunked
from attnbench.workload import Parts, Size, Task

SEQ_LEN = 64


def load() -> Parts:
    return chunked(SEQ_LEN + 1, SEQ_LEN, next_byte)


TASK = Task(
    kind="language",
    load=load,
    files=(FILE,),
    metric="bits_per_byte",
    target=2.5,
    num_classes=VALUES,
    per_token=True,
    causal=(True,),
    seq_len=SEQ_LEN,
    vocabulary=VALUES,
    epoch_rows=4_096,
    citation="State of the Union addresses 1790-2026, The American Presidency Project, package sotu 0.1.2",
    licence="public domain (US government work)",
    small=Size(num_layers=2, num_heads=4, head_dim=16, batch_size=32, epochs=6, lr=3e-3),
    large=Size(num_layers=6, num_heads=8, head_dim=32, batch_size=64, epochs=60, lr=1e-3),
)
