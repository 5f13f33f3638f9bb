"""Evaluation: how well a model answers a part of the data, in all and in each block of its rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attnbench.training.recipe import Recipe, logits_of
from attnbench.workload import IGNORED, Split

BATCH = 256  # rows at once


@dataclass(frozen=True)
class Evaluated:
    """What a model scored.

    value: in the recipe's metric. loss: cross-entropy in nats, the mean over what is asked; not finite where the model's answers are not.
    scores, asked: of each row, the sum of what the metric counts, right answers or bits, and how many answers are asked; on the CPU.
    """

    value: float
    loss: float
    scores: Tensor
    asked: Tensor

    def by_block(self, blocks: Tensor) -> list[float]:
        """The metric in each block of rows, see workload.block_of_rows; NaN in one where nothing is asked."""
        count = int(blocks.max()) + 1
        sums, asked = (torch.zeros(count, dtype=torch.float64).index_add(0, blocks, of) for of in (self.scores, self.asked.double()))
        return (sums / asked).tolist()


@torch.no_grad()
def evaluate(model: nn.Module, data: Split, recipe: Recipe) -> Evaluated:
    """How well a model answers a split.

    A model whose answers are not all finite scores like one for which all classes are equally likely.
    """
    model.eval()
    scores, losses, counts = list[Tensor](), list[Tensor](), list[Tensor]()
    classes = 0
    for rows in torch.arange(len(data), device=data.targets.device).split(BATCH):
        logits, targets = logits_of(model, data, rows, recipe), data.targets[rows]
        classes = logits.shape[-1]
        nats = F.cross_entropy(logits.flatten(0, -2), targets.flatten(), ignore_index=IGNORED, reduction="none").view(len(rows), -1)
        losses.append(nats.double().sum(1))
        counts.append((targets != IGNORED).view(len(rows), -1).sum(1))
        if recipe.metric == "accuracy":
            finite = logits.flatten(1).isfinite().all(1)
            right = (logits.argmax(-1) == targets).view(len(rows), -1).sum(1).double()
            scores.append(torch.where(finite, right, math.nan))
        else:
            scores.append(losses[-1] / math.log(2))
    score, loss, asked = (torch.cat(of).cpu() for of in (scores, losses, counts))
    value = float(score.sum() / asked.sum())
    if not math.isfinite(value):
        value = 1.0 / classes if recipe.metric == "accuracy" else math.log2(classes)
        score = value * asked.double()
    return Evaluated(value, float(loss.sum() / asked.sum()), score, asked)
