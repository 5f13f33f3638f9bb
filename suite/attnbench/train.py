"""The training engine: a model, data in memory and a recipe in; metrics and a curve out. No I/O."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attnbench.workload import Parts, Split

WEIGHT_DECAY = 0.05
WARMUP_SHARE = 0.1
CLIP_NORM = 1.0
EVALUATION_BATCH = 256


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """AdamW with linear warm-up over a tenth of the steps, cosine decay to zero, and gradients clipped to norm 1."""

    epochs: int
    lr: float
    batch_size: int
    seed: int


@dataclass
class Curve:
    """One point an epoch. wall_s is time spent training, evaluation left out; a loss that is not finite is None."""

    step: list[float | None] = field(default_factory=list)
    wall_s: list[float | None] = field(default_factory=list)
    train_loss: list[float | None] = field(default_factory=list)
    validation_accuracy: list[float | None] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """What a run of training gave. accuracy is on the test part, read once at the end; diverged says that a loss or weight
    stopped being finite, whereupon training ended."""

    accuracy: float
    validation_accuracy: float
    train_s: float
    training_tokens_per_s: float
    inference_tokens_per_s: float
    diverged: bool
    curve: Curve


def train(model: nn.Module, parts: Parts, seq_len: int, recipe: Recipe, on_epoch: Callable[[int], None]) -> Outcome:
    """Train on parts.train, watch parts.validation each epoch, measure parts.test once.

    The order of the rows depends on the seed alone. on_epoch is called with the number of epochs done.
    """
    data = parts.train
    steps_per_epoch = math.ceil(len(data) / recipe.batch_size)
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.lr, weight_decay=WEIGHT_DECAY)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, schedule(recipe.epochs * steps_per_epoch))
    shuffle = torch.Generator().manual_seed(recipe.seed)
    curve, train_s, diverged, validation = Curve(), 0.0, False, 0.0
    for epoch in range(recipe.epochs):
        order = torch.randperm(len(data), generator=shuffle).to(data.targets.device)
        started = time.perf_counter()
        losses = _epoch(model, data, order.split(recipe.batch_size), optimiser, scheduler)
        loss = losses.mean().item()  # the epoch's one wait for the device
        train_s += time.perf_counter() - started
        validation, _ = evaluate(model, parts.validation)
        curve.step.append((epoch + 1) * steps_per_epoch)
        curve.wall_s.append(train_s)
        curve.train_loss.append(loss if math.isfinite(loss) else None)
        curve.validation_accuracy.append(validation)
        on_epoch(epoch + 1)
        # A last step may leave weights that are not finite behind losses that were.
        diverged = not math.isfinite(loss) or not all(p.isfinite().all() for p in model.parameters())
        if diverged:
            break
    rows_seen = len(curve.step) * len(data)
    accuracy, test_s = evaluate(model, parts.test)
    return Outcome(
        accuracy=accuracy,
        validation_accuracy=validation,
        train_s=train_s,
        training_tokens_per_s=rows_seen * seq_len / train_s,
        inference_tokens_per_s=len(parts.test) * seq_len / test_s,
        diverged=diverged,
        curve=curve,
    )


def _epoch(
    model: nn.Module,
    data: Split,
    batches: tuple[Tensor, ...],
    optimiser: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
) -> Tensor:
    model.train()
    losses = []
    for rows in batches:
        losses.append(step(model, data, rows))
        nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimiser.step()
        scheduler.step()
    return torch.stack(losses)


def step(model: nn.Module, data: Split, rows: Tensor) -> Tensor:
    """Forward and backward on the given rows; leaves gradients, returns the detached loss."""
    model.zero_grad(set_to_none=True)
    mask = None if data.padding_mask is None else data.padding_mask[rows]
    loss = F.cross_entropy(model(data.inputs[rows], padding_mask=mask), data.targets[rows])
    loss.backward()
    return loss.detach()


@torch.no_grad()
def evaluate(model: nn.Module, data: Split) -> tuple[float, float]:
    """Accuracy on a split, and the seconds it took."""
    model.eval()
    correct = torch.zeros((), dtype=torch.int64, device=data.targets.device)
    started = time.perf_counter()
    for rows in torch.arange(len(data), device=data.targets.device).split(EVALUATION_BATCH):
        mask = None if data.padding_mask is None else data.padding_mask[rows]
        logits = model(data.inputs[rows], padding_mask=mask)
        correct += (logits.argmax(-1) == data.targets[rows]).sum()
    accuracy = correct.item() / len(data)
    return accuracy, time.perf_counter() - started


def schedule(steps: int) -> Callable[[int], float]:
    """Share of the learning rate at each step: linear warm-up, then a cosine to zero."""
    warmup = max(1, round(WARMUP_SHARE * steps))

    def share(done: int) -> float:
        if done < warmup:
            return (done + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (done - warmup) / max(1, steps - warmup)))

    return share
