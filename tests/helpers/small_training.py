"""A small classification problem, models of it, and models that misbehave, for tests of the trainer."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

import attnbench
from attnbench.training.evaluate import evaluate
from attnbench.training.model import Architecture, Transformer
from attnbench.training.recipe import Recipe
from attnbench.training.train import Trained, train
from attnbench.workload import Parts, Split

SEQ_LEN, VOCABULARY, CLASSES = 5, 11, 3
ROWS = {"train": 97, "validation": 23, "test": 31}


def draw_split(rows: int, seed: int, vocabulary: int = VOCABULARY) -> Split:
    """The class is the first token modulo 3; some of the tail is padding."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randint(0, vocabulary, (rows, SEQ_LEN), generator=generator)
    lengths = torch.randint(2, SEQ_LEN + 1, (rows, 1), generator=generator)
    return Split(inputs, inputs[:, 0] % CLASSES, torch.arange(SEQ_LEN) >= lengths)


def draw_parts() -> Parts:
    return Parts(*(draw_split(rows, seed) for seed, rows in enumerate(ROWS.values())))


def separable(rows: int, seed: int) -> Split:
    """Every token of a row is its class: nothing could be easier."""
    targets = torch.randint(0, CLASSES, (rows,), generator=torch.Generator().manual_seed(seed))
    return Split(targets[:, None].repeat(1, SEQ_LEN), targets)


def recipe(**fields: Any) -> Recipe:
    return Recipe(**{"epochs": 2, "lr": 1e-2, "batch_size": 16, "seed": 0, **fields})


def build_model(seed: int = 0, name: str = "softmax", block: str = "residual", per_token: bool = False) -> Transformer:
    torch.manual_seed(seed)
    architecture = Architecture(
        block=block,
        num_layers=1,
        num_heads=2,
        d_model=8,
        build_attention=lambda layer_index: attnbench.build(name, 2, 4, seq_len=SEQ_LEN, d_model=8),
    )
    return Transformer(architecture, nn.Embedding(VOCABULARY, 8), SEQ_LEN, CLASSES, per_token)


def run(model: nn.Module, parts: Parts | None = None, chosen: Recipe | None = None) -> Trained:
    parts = parts or draw_parts()
    return train(model, parts.train, parts.validation, chosen or recipe())


def accuracy(model: nn.Module, split: Split) -> float:
    return evaluate(model, split, recipe()).value


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(x, other.state_dict()[key]) for key, x in one.state_dict().items())


def numbered() -> Parts:
    """Parts whose every row holds its own number: training 0.., validation 200.., test 300.. ."""

    def split(rows: int, start: int) -> Split:
        numbers = torch.arange(start, start + rows)
        return Split(numbers[:, None].repeat(1, SEQ_LEN), numbers % CLASSES)

    return Parts(split(97, 0), split(23, 200), split(300, 300))


class Watched(nn.Module):
    """A linear classifier that writes down every batch it sees, and whether it was training."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.embedding = nn.Embedding(1000, width)
        self.head = nn.Linear(width, CLASSES)
        self.batches: list[tuple[bool, list[int]]] = []

    def forward(self, inputs: Tensor, padding_mask: Tensor | None = None, causal: bool = False) -> Tensor:
        self.batches.append((self.training, inputs[:, 0].tolist()))
        return self.head(self.embedding(inputs).mean(1))

    def seen(self, training: bool) -> list[int]:
        return [row for was_training, rows in self.batches if was_training == training for row in rows]


class BreaksDown(nn.Module):
    """Gives logits and then, from one call in training on, what is not finite: as its loss, or in its gradient alone."""

    def __init__(self, after: int, where: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(CLASSES))
        self.calls, self.after, self.where = 0, after, where

    def forward(self, inputs: Tensor, padding_mask: Tensor | None = None, causal: bool = False) -> Tensor:
        self.calls += self.training
        logits = self.weight.expand(len(inputs), -1)
        if not self.training or self.calls <= self.after:
            return logits
        if self.where == "loss":
            return logits * math.nan
        return logits + (self.weight - self.weight.detach()).abs().sqrt()  # zero, with an infinite derivative
