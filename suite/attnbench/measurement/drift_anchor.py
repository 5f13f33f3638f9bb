"""The drift anchor: one fixed call, timed beside everything else, that shows whether the machine's speed has changed."""

from __future__ import annotations

import torch

from attnbench.measurement.clock import Call, seconds
from attnbench.spec.construct import construct
from attnbench.store.fingerprint import ANCHOR as ANCHOR
from attnbench.store.peaks import ANCHOR_SHAPES

SEQ_LEN = ANCHOR_SHAPES["cpu"][2]
SETS = {"cpu": 4, "cuda": 2}  # of inputs, which take turns; on CUDA one fills the L2 cache many times over
CALLS = 3  # that are timed, before the turns and after them, or before training and after each epoch


def drift_anchor(device: str) -> Call:
    """A forward pass of softmax attention in float32, of a shape that is fixed for each device. Inputs are made here, once."""
    batch_size, num_heads, seq_len, head_dim = ANCHOR_SHAPES[device]
    context = {"seq_len": seq_len, "d_model": num_heads * head_dim, "layer_index": 0, "num_layers": 1}
    module = construct(ANCHOR, num_heads, head_dim, context, {}).to(device)
    own = torch.Generator(device).manual_seed(0)  # the global one belongs to the cell
    inputs = torch.randn(SETS[device], 3, batch_size, num_heads, seq_len, head_dim, generator=own, device=device)

    def call(number: int) -> object:
        with torch.no_grad():
            return module(*inputs[number % SETS[device]])

    return call


def drift_samples(anchor: Call, device: str) -> list[float]:
    """Seconds of three calls of the drift anchor, after one that is not timed, for it finds the caches as something else left them."""
    return [seconds(anchor, device, number) for number in range(CALLS + 1)][1:]
