"""The next byte of a State of the Union address, from up to 64 bytes before it, or more.

    input    F e l l o w - C i t i z e n   ->   each position's next byte
    target   e l l o w - C i t i z e n s

Chunks of 64 bytes (UTF-8, nothing normalised) lie end to end in an address and never across two. Addresses are split as in sotu_era;
128 KiB of the validation part and 1 MiB of the test part are read, a fixed draw over all their addresses.

Beside the loss stands recall: the share of bytes guessed right that followed the same five bytes before in the chunk, and that a model of
frequencies would not guess (loading/recalled.py). The loss hides what it shows.

The model is told nothing of neighbours but their positions, so that without attention it can know no more than which byte follows
which. For scale, a 6-gram model of the whole training part comes to 1.61 bits (results/controls).

Text: package `sotu` 0.1.2 of the American Presidency Project; public domain.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from attnbench.errors import BadInput
from attnbench.tasks.loading.chunks import VALUES, next_byte
from attnbench.tasks.loading.recalled import recalled_bytes
from attnbench.tasks.loading.sotu import FILE, chunked
from attnbench.workload import Parts, Size, Split, Task

SEQ_LEN = 64
EPOCH_ROWS = 4096
SHORTEST, MOST = 8, 4096


def load(seq_len: int = SEQ_LEN) -> Parts:
    return chunked(seq_len + 1, seq_len, next_byte)


def vary(seq_len: int) -> dict[str, Any]:
    """With longer chunks as many bytes an epoch, in fewer rows."""
    if not MOST >= seq_len >= SHORTEST:
        raise BadInput(f"seq_len is {seq_len}; it can be {SHORTEST} to {MOST:,} bytes, which every address has")
    return {
        "seq_len": seq_len,
        "load": partial(load, seq_len),
        "longer": partial(longer, seq_len),
        "epoch_rows": max(1, SEQ_LEN * EPOCH_ROWS // seq_len),
    }


def longer(seq_len: int, factor: int) -> Split:
    """The test part in chunks so many times as long."""
    return load(factor * seq_len).test


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
    epoch_rows=EPOCH_ROWS,
    params={"seq_len": SEQ_LEN},
    grid={"seq_len": (64, 256, 1024)},
    vary=vary,
    longer=partial(longer, SEQ_LEN),
    recalled=recalled_bytes,
    citation="State of the Union addresses 1790-2026, The American Presidency Project, package sotu 0.1.2",
    licence="public domain (US government work)",
    small=Size(num_layers=2, num_heads=4, head_dim=16, batch_size=32, epochs=6, lr=3e-3),
    large=Size(num_layers=6, num_heads=8, head_dim=32, batch_size=64, epochs=60, lr=1e-3),
)
