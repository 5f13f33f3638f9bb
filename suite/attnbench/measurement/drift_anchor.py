"""The drift anchor: one fixed call, timed beside everything else, that shows whether the machine's speed has changed."""

from __future__ import annotations

import torch

from attnbench.measurement.clock import Call
from attnbench.spec.construct import construct
from attnbench.store.fingerprint import ANCHOR as ANCHOR

SEQ_LEN, NUM_HEADS, HEAD_DIM = 1024, 4, 64
SETS = 4  # of inputs, which take turns


def drift_anchor(device: str) -> Call:
    """A forward pass of softmax attention: batch 1, 4 heads of 64, seq_len 1,024, float32. Inputs are made here, once."""
    context = {"seq_len": SEQ_LEN, "d_model": NUM_HEADS * HEAD_DIM, "layer_index": 0, "num_layers": 1}
    module = construct(ANCHOR, NUM_HEADS, HEAD_DIM, context, {}).to(device)
    own = torch.Generator(device).manual_seed(0)  # the global one belongs to the cell
    inputs = torch.randn(SETS, 3, 1, NUM_HEADS, SEQ_LEN, HEAD_DIM, generator=own, device=device)

    def call(number: int) -> object:
        with torch.no_grad():
            return module(*inputs[number % SETS])

    return call
