"""The trainer: trains a model on data in memory by a recipe, and gives its training curve. It does no I/O except through a checkpoint.

It never sees the test part: the caller of `train` calls `evaluate` on that, once, after training.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attnbench.store.metrics import higher_is_better
from attnbench.training.diagnose import Probe
from attnbench.training.evaluate import evaluate
from attnbench.training.recipe import Recipe, logits_of
from attnbench.training.token_shift import TokenShift
from attnbench.workload import IGNORED, Split


class Checkpoint(Protocol):
    """Keeps the state of a training run. `load` gives the state that was saved last, or None."""

    def load(self) -> dict[str, Any] | None: ...

    def save(self, state: dict[str, Any]) -> None: ...


@dataclass
class Callbacks:
    """What is called during training. on_epoch: with the number of epochs done, from 0. probe: with the model before the first epoch and
    after each; gives more columns of the curve. checkpoint: saves the state after each epoch."""

    on_epoch: Callable[[int], None] = lambda done: None
    probe: Probe = lambda model: {}
    checkpoint: Checkpoint | None = None


@dataclass
class Trained:
    """The outcome of a training run.

    curve: columns with one entry before training and one an epoch: step, wall_s (seconds spent training, evaluation left out), train_loss
    and validation_loss (nats; None where not finite; of training none before it), validation_METRIC, and the probe's. train_s: the last
    wall_s. rows: shown in all.
    diverged: a loss or weight stopped being finite, whereupon training ended. resumptions: how often training continued from a checkpoint.
    """

    curve: dict[str, list[float | None]] = field(default_factory=dict)
    train_s: float = 0.0
    rows: int = 0
    diverged: bool = False
    resumptions: int = 0

    def add(self, entries: Mapping[str, float]) -> None:
        """Add an entry to each column: the value, or None where it is not finite."""
        for column, value in entries.items():
            self.curve.setdefault(column, []).append(value if math.isfinite(value) else None)


def train(model: nn.Module, data: Split, validation: Split, recipe: Recipe, callbacks: Callbacks | None = None) -> Trained:
    """Train a model, in place, on `data`; evaluate it on `validation` before the first epoch and after each.

    The order of the rows depends on the recipe's seed alone. With a checkpoint, training continues from it and comes to the same weights as
    without the interruption (on a CPU with as many threads).
    """
    callbacks = callbacks or Callbacks()
    optimiser = optimiser_of(model, recipe)
    done, trained = _resume(model, optimiser, recipe, callbacks.checkpoint)
    per_epoch = recipe.epoch_rows or len(data)
    steps = math.ceil(per_epoch / recipe.batch_size)
    share = schedule(recipe.epochs * steps, recipe.warmup_share)
    if not trained.curve:
        _add_to_curve(model, validation, recipe, callbacks.probe, trained, 0, math.nan)
        callbacks.on_epoch(0)
    for epoch in range(done, recipe.epochs):
        if trained.diverged:
            break
        order = rows_of_epoch(len(data), per_epoch, recipe.seed, epoch).to(data.targets.device)
        started = time.perf_counter()
        losses = []
        model.train()
        for index, rows in enumerate(order.split(recipe.batch_size)):
            for group in optimiser.param_groups:
                group["lr"] = recipe.lr * share(epoch * steps + index)
            losses.append(update(model, data, rows, recipe, optimiser))
        loss = torch.stack(losses).mean().item()  # the epoch's one wait for the device
        trained.train_s += time.perf_counter() - started
        trained.rows += len(order)
        # A last step may leave weights that are not finite behind losses that were.
        trained.diverged = not math.isfinite(loss) or not all(p.isfinite().all() for p in model.parameters())
        _add_to_curve(model, validation, recipe, callbacks.probe, trained, (epoch + 1) * steps, loss)
        if callbacks.checkpoint is not None:
            callbacks.checkpoint.save(_state(model, optimiser, recipe, epoch + 1, trained))
        callbacks.on_epoch(epoch + 1)
    return trained


def update(model: nn.Module, data: Split, rows: Tensor, recipe: Recipe, optimiser: torch.optim.Optimizer) -> Tensor:
    """One step of training on the given rows: forward, backward, clipping and the optimiser; gives the detached loss as `step` does.

    The clipped gradients stay.
    """
    loss = step(model, data, rows, recipe)
    clip(model, recipe)
    optimiser.step()
    return loss


def clip(model: nn.Module, recipe: Recipe) -> None:
    """Scale the gradients of all parameters down to the recipe's norm together, if it is larger."""
    nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)


def step(model: nn.Module, data: Split, rows: Tensor, recipe: Recipe) -> Tensor:
    """Forward and backward on the given rows; leaves gradients, returns the detached loss in nats, the mean over what is asked."""
    model.zero_grad(set_to_none=True)
    logits = logits_of(model, data, rows, recipe)
    loss = F.cross_entropy(logits.flatten(0, -2), data.targets[rows].flatten(), ignore_index=IGNORED)
    loss.backward()
    return loss.detach()


def steps_to_target(curve: Mapping[str, list[float | None]], metric: str, target: float) -> float | None:
    """Steps of training until the validation part first reached a value of the metric, at an epoch's end; None when it never did."""
    more = higher_is_better(metric)
    for steps, value in zip(curve["step"], curve[f"validation_{metric}"], strict=True):
        if value is not None and (value >= target if more else value <= target):
            return steps
    return None


def rows_of_epoch(total: int, per_epoch: int, seed: int, epoch: int) -> Tensor:
    """The rows that an epoch shows, in order: the next of an endless sequence of permutations, each drawn from the seed and its number."""
    first = epoch * per_epoch // total
    last = ((epoch + 1) * per_epoch - 1) // total
    passes = [torch.randperm(total, generator=torch.Generator().manual_seed((seed << 20) + number)) for number in range(first, last + 1)]
    start = epoch * per_epoch - first * total
    return torch.cat(passes)[start : start + per_epoch]


def schedule(steps: int, warmup_share: float) -> Callable[[int], float]:
    """Share of the learning rate at each step: linear warm-up over a share of the steps, then a cosine to zero."""
    warmup = max(1, round(warmup_share * steps))

    def share(done: int) -> float:
        if done < warmup:
            return (done + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (done - warmup) / max(1, steps - warmup)))

    return share


def optimiser_of(model: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """The optimiser of a training run. Matrices alone decay, not gains, mixes of tokens, biases and a mechanism's few scalars."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    mixes = {module.mix for module in model.modules() if isinstance(module, TokenShift)}  # to decay is to forget the token before
    decaying = [p.ndim >= 2 and p not in mixes for p in parameters]
    groups = [
        {"params": [p for p, decays in zip(parameters, decaying, strict=True) if decays], "weight_decay": recipe.weight_decay},
        {"params": [p for p, decays in zip(parameters, decaying, strict=True) if not decays], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=recipe.lr, fused=True)


def _add_to_curve(model: nn.Module, validation: Split, recipe: Recipe, probe: Probe, trained: Trained, steps: int, loss: float) -> None:
    found = evaluate(model, validation, recipe)
    entries = {"step": float(steps), "wall_s": trained.train_s, "train_loss": loss, "validation_loss": found.loss}
    trained.add({**entries, f"validation_{recipe.metric}": found.value, **probe(model)})


def _state(model: nn.Module, optimiser: torch.optim.Optimizer, recipe: Recipe, done: int, trained: Trained) -> dict[str, Any]:
    """All that the rest of the run depends on, with the random state, which some mechanisms draw from."""
    device = next(model.parameters()).device
    return {
        "recipe": asdict(recipe),
        "done": done,
        "trained": asdict(trained),
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "random": torch.get_rng_state(),
        "cuda_random": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def _resume(model: nn.Module, optimiser: torch.optim.Optimizer, recipe: Recipe, checkpoint: Checkpoint | None) -> tuple[int, Trained]:
    """Load the checkpoint of a run of the same recipe, if there is one; gives the epochs done and the outcome so far."""
    state = checkpoint.load() if checkpoint is not None else None
    if state is None or state["recipe"] != asdict(recipe):
        return 0, Trained()
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    torch.set_rng_state(state["random"])
    if state["cuda_random"] is not None:
        torch.cuda.set_rng_state(state["cuda_random"], next(model.parameters()).device)
    trained = Trained(**state["trained"])
    trained.resumptions += 1
    return state["done"], trained
