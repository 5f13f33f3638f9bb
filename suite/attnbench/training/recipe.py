"""The recipe of a training run, and how a model is asked by it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from attnbench.workload import Split


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """AdamW with linear warm-up over a share of the steps, cosine decay to zero, and gradients clipped to a norm.

    epoch_rows: rows that an epoch shows, None for all; the next epoch shows the next rows, and every row is shown once before any twice.
    mixed_precision: forward passes in bfloat16 where torch deems it safe; weights, gradients and the optimiser in float32.
    """

    epochs: int
    lr: float
    batch_size: int
    seed: int
    metric: str = "accuracy"
    causal: bool = False
    epoch_rows: int | None = None
    mixed_precision: bool = False
    weight_decay: float = 0.05
    warmup_share: float = 0.1
    clip_norm: float = 1.0


def logits_of(model: nn.Module, data: Split, rows: Tensor, recipe: Recipe) -> Tensor:
    """The model's answers to some rows, [rows, classes] or [rows, seq_len, classes]."""
    mask = None if data.padding_mask is None else data.padding_mask[rows]
    inputs = data.inputs[rows]
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=recipe.mixed_precision):
        logits: Tensor = model(inputs, padding_mask=mask, causal=recipe.causal)
    return logits if logits.dtype == torch.float64 else logits.float()
